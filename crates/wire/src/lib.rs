//! 9P2000.L with its Google extensions, and lisafs: bytes to messages and back.
//!
//! No I/O, and decoding allocates nothing: a message borrows its names and data from the bytes it was read
//! from, and its lists are read again by whoever walks through them. Whatever a peer sends is a message or a
//! [`DecodeError`].
//!
//! | module | holds |
//! |---|---|
//! | [`codec`] | [`Reader`], [`Wire`] and the fields every protocol is made of |
//! | [`p9`] | 9P2000.L: the table of operations, the frame, and the messages by family |
//! | [`lisafs`] | the same for lisafs |

pub mod codec;
pub mod lisafs;
pub mod p9;

pub use codec::{Data, DecodeError, List, ListBuf, ListIter, Reader, Str, Wire};
