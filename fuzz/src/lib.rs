//! What the fuzz targets share.
//!
//! | module | holds |
//! |---|---|
//! | [`input`] | [`Input`]: bytes that are taken off one by one |
//! | [`frames`] | a client's stream, cut and changed frame by frame |
//! | [`liar`] | [`Liar`]: a stream whose other end is an honest server, until the input has it lie |
//! | [`user`] | [`User`]: a program that uses a client in any way there is |
//! | [`conversation`] | [`Conversation`]: a session that is asked, and whose every answer is checked |
//! | [`lisafs`] | the same for lisafs |
//! | [`ground`] | [`Ground`]: an export, and beside it what no client may touch or see |

pub mod conversation;
pub mod frames;
pub mod ground;
pub mod input;
pub mod liar;
pub mod lisafs;
pub mod user;

pub use conversation::{Answer, Conversation};
pub use ground::Ground;
pub use input::Input;
pub use liar::Liar;
pub use user::User;
