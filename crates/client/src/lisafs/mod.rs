//! A lisafs client: what gVisor's sandbox is to its gofer, as a [`Backend`](gofer_vfs::Backend).
//!
//! ```no_run
//! use gofer_client::lisafs::{Client, Options};
//! use gofer_transport::Socket;
//!
//! let client = Client::over(Socket::inherited(3)?, &Options::default())?;
//! std::io::copy(&mut client.reader("etc/hostname")?, &mut std::io::stdout())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The protocol has no tags: a call has a channel, or the socket, to itself until its reply has come. There are as
//! many calls at once as there are channels, and one more. The server is believed as little as one of 9P.
//!
//! # What lisafs does not have
//!
//! | what | is |
//! |---|---|
//! | locks | `EOPNOTSUPP` |
//! | FIFOs, sockets and devices by [`mknod`](gofer_vfs::Backend::mknod) | `EPERM` from the server |
//! | walking to a block device | `EPERM` from the server |
//! | refusing a FIFO to a writer while nobody reads | opened all the same: the server opens it for reading, too |
//! | extended attributes of a file that was removed | `EINVAL` from the server |
//! | an attribute's value of 65,536 bytes | `E2BIG` |
//! | renaming with flags, on servers of before 2026 | `EINVAL` |
//! | opening a file that exists, or making it | a walk and an open, when it cannot be made |
//! | reading a directory from a position | reading on, where that was the last; else from the start, up to it |
//! | appending | by the server's own descriptor where it gave one; else a write at the end that the file had a moment ago: users of one client take turns, those of two may write over each other |
//! | writes that are on disk when they are answered | a write and an fsync |
//! | taking set-id bits from a file that is written to | before a write, unless they were looked for since this client last set any |
//! | moving nothing but ctime | setting atime to what it is |
//! | a file system's id | 0 |
//!
//! What is dropped is closed at the server a hundred at a time, an end of a FIFO at once.
//!
//! | file | holds |
//! |---|---|
//! | `rpc.rs` | calls, whose turn it is on the socket, channels; what is to be closed |
//! | `fds.rs` | [`Node`] and [`File`]: what the server holds for us |
//! | the others | the operations, by family |

mod attr;
mod dir;
mod entry;
mod fds;
mod io;
mod lock;
mod open;
mod rpc;
mod session;
mod socket;
mod walk;
mod xattr;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gofer_transport::ClientStream;
use gofer_vfs::Errno;

pub use fds::{File, Node};
use rpc::Rpc;

/// How to use a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call may take; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Channels to ask for: shared memory, through which one call goes at a time. Servers have four at most.
    pub channels: usize,
}

impl Default for Options {
    /// One minute, four channels.
    fn default() -> Self {
        Self { timeout: Some(Duration::from_secs(60)), channels: 4 }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection ended before there was a root.
    #[error("the server ended the connection: {0}; see what it logs, or whether it speaks something else")]
    Lost(Errno),
    /// The server said nothing.
    #[error("the server did not answer within {0:?}; check that it speaks lisafs, and try again")]
    Silent(Duration),
    /// What came is no lisafs.
    #[error("what answers there does not speak lisafs; check what it was started as")]
    Foreign,
    /// The root cannot be had.
    #[error("the server has no root to give: {0}; check what it was told to serve")]
    Mount(Errno),
    /// Messages are too short to be of use.
    #[error("the server takes messages of {0} bytes only; use one that takes {least}", least = session::PAYLOAD_MIN)]
    Narrow(u32),
}

/// A remote file tree.
pub struct Client {
    rpc: Arc<Rpc>,
    /// Unlike that of any other client of this process.
    number: u64,
    pub(crate) root: Node,
    /// Whose turn it is to append, by inode number.
    appending: [Mutex<()>; 8],
    /// Counts the moments at which this client gave a file set-id bits.
    set_id_epoch: AtomicU64,
}

impl Client {
    /// Asks for the root, and for channels, over a stream that is connected.
    ///
    /// # Errors
    /// [`Error`]. That there are no channels is none.
    pub fn over(stream: impl ClientStream, options: &Options) -> Result<Self, Error> {
        session::open(Rpc::new(Box::new(stream), options.timeout), options)
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.rpc.channels()
    }

    /// Why the connection ended, if it has: every call answers that.
    pub fn ended(&self) -> Option<Errno> {
        self.rpc.ended()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("root", &self.root).finish_non_exhaustive()
    }
}
