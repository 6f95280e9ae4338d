//! The operations, one file per family.

mod attr;
mod dir;
mod entry;
mod io;
mod lock;
mod open;
mod session;
mod socket;
mod walk;
mod xattr;

pub use session::Features;
pub(crate) use session::open_session;
