//! What the fuzz targets share.
//!
//! | module | holds |
//! |---|---|
//! | [`input`] | [`Input`]: bytes that are taken off one by one |
//! | [`frames`] | a client's stream, cut and changed frame by frame |
//! | [`conversation`] | [`Conversation`]: a session that is asked, and whose every answer is checked |

pub mod conversation;
pub mod frames;
pub mod input;

pub use conversation::{Answer, Conversation};
pub use input::Input;
