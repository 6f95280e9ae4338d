//! The contract as tests: what every backend has to do, behind every transport, for both dialects.
//!
//! The cases are those of [`gofer_check`], which anybody can run against any server; what is here is what they are run
//! against, and the model.
//!
//! | module | holds |
//! |---|---|
//! | [`ground`] | [`site`]: a backend behind a transport |
//! | [`model`] | random operations against two backends at once |

pub mod ground;
pub mod model;

pub use gofer_check::*;
pub use ground::{Ground, Launch, site, site_in};
