//! The operations, one file per family.

mod attr;
mod dir;
mod entry;
mod fids;
mod io;
mod lock;
mod open;
mod rpc;
mod session;
mod socket;
mod walk;
mod xattr;

use gofer_wire::p9::HEADER;

/// What is left of a message for other things than data: a little more than any message takes, and some servers
/// insist on it.
const IO_HEAD: usize = HEADER + 17;

pub use fids::{File, Node};
pub(crate) use rpc::{Greeting, Rpc};
pub use session::Features;
pub(crate) use session::open_session;
