//! A 9P2000.L client, and in [`lisafs`] one for gVisor's protocol. A client is a [`Backend`](gofer_vfs::Backend): a
//! remote file tree is used, wrapped and served like any other.
//!
//! ```no_run
//! use gofer_client::{Client, Options};
//!
//! let client = Client::connect(&"unix:/run/gofer.sock".parse()?, &Options::default())?;
//! let mut notes = client.reader("docs/notes.txt")?;
//! std::io::copy(&mut notes, &mut std::io::stdout())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Any number of threads may use a client at once; their requests are in flight on the connection together.
//! Calls block, and fail with `ETIMEDOUT` after [`Options::timeout`]. Nodes and files are released at the server
//! when they are dropped, and keep the connection open until then.
//!
//! The server is not trusted. What it says is checked before it is believed: lengths, counts, names, kinds,
//! descriptors. A server that breaks the protocol loses the connection, and every call fails from then on.
//!
//! # What is spoken
//!
//! | [`Dialect`] | offered, in this order | what it is for |
//! |---|---|---|
//! | [`Google`](Dialect::Google) | `9P2000.L.Google.13` down to `.1`, `9P2000.L` | descriptors of regular files, which are then read and written without the server |
//! | [`Base`](Dialect::Base) | `9P2000.L.Google.0`, `9P2000.L` | everything a file tree can hold: FIFOs, sockets and devices are places like any other. Our server donates descriptors here, too; writes go through it all the same |
//!
//! `.Google.0` has the meanings of plain 9P2000.L, and tells that the server knows the messages of the later
//! versions, which save round trips. Where a server does not, or refuses one, the older messages do.
//!
//! | file | holds |
//! |---|---|
//! | `p9/rpc/` | requests in flight, their replies, the end of a connection |
//! | `p9/fids.rs` | [`Node`] and [`File`]: what the server holds for us |
//! | `p9/` | the operations, by family |
//! | `lisafs/` | the same for lisafs |
//! | `rpc/` | what calls of both have in common: frames, channels, deadlines |
//! | `emulated.rs` | what both leave to their clients, or have no message for |
//! | `path.rs` | paths and [`Reader`], for programs that want no more |

mod backend;
mod emulated;
pub mod lisafs;
mod p9;
mod path;
mod rpc;
mod sync;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gofer_transport::{Address, ClientStream, Socket};
use gofer_vfs::Errno;
use gofer_wire::p9::MESSAGE_MAX;

pub use p9::{Features, File, Node};
use p9::{Greeting, Rpc};
pub use path::Reader;

/// What to ask a server for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to attach: the name of an export, a path inside it behind a `/`, or `/`.
    pub export: String,
    /// The user to act as, for servers that check; with no number, by [`user_name`](Self::user_name).
    pub user: Option<u32>,
    /// The user's name.
    pub user_name: String,
    /// Which dialect to offer; `None` is Google's where descriptors can travel, else the base protocol.
    pub dialect: Option<Dialect>,
    /// The longest message to agree to, in bytes: 4096 to 1 MiB.
    pub msize: u32,
    /// How long a call may take, connecting included; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Channels to ask for, through which one short call at a time goes each: shared memory, where the server has
    /// that for this stream. Calls that find none free, or that are not short, go through the stream.
    pub channels: usize,
}

impl Default for Options {
    /// The root of the only export, nobody in particular, the best dialect, 1 MiB, one minute, two channels.
    fn default() -> Self {
        Self {
            export: "/".to_owned(),
            user: None,
            user_name: "nobody".to_owned(),
            dialect: None,
            msize: MESSAGE_MAX,
            timeout: Some(Duration::from_secs(60)),
            channels: 2,
        }
    }
}

/// What is spoken, as the [crate] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Plain 9P2000.L, with the messages of the Google extensions where the server knows them.
    Base,
    /// The Google extensions, with their meanings: descriptors are donated; FIFOs, sockets and devices can be
    /// listed but not walked to, unless the server's policy says so.
    Google,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can be reached.
    #[error(transparent)]
    Transport(#[from] gofer_transport::Error),
    /// The connection ended while a version was agreed on.
    #[error("the server ended the connection: {0}; it may have reached a limit, or speak something else")]
    Lost(Errno),
    /// The server said nothing.
    #[error("the server did not answer within {0:?}; check that it is a 9P server, and try again")]
    Silent(Duration),
    /// What came is no 9P.
    #[error("what answers there does not speak 9P; check the address")]
    Foreign,
    /// No version in common.
    #[error("the server does not speak 9P2000.L: {0}; use one that does")]
    Version(String),
    /// The export cannot be had.
    #[error("cannot attach to {name:?}: {errno}; {hint}")]
    Attach {
        /// What was asked for.
        name: String,
        /// Why not.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
}

/// A remote file tree.
pub struct Client {
    rpc: Arc<Rpc>,
    features: Features,
    /// Unlike that of any other client of this process.
    number: u64,
    root: Node,
    /// The server knows only Trename and Tremove.
    lacks_at: AtomicBool,
}

impl Client {
    /// Connects to a server and attaches.
    ///
    /// # Errors
    /// [`Error`].
    ///
    /// ```no_run
    /// # use gofer_client::{Client, Options};
    /// let options = Options { export: "out".to_owned(), ..Options::default() };
    /// let client = Client::connect(&"tcp:127.0.0.1:5640".parse()?, &options)?;
    /// # Ok::<(), gofer_client::Error>(())
    /// ```
    pub fn connect(address: &Address, options: &Options) -> Result<Self, Error> {
        Self::over(Socket::connect(address, options.timeout)?, options)
    }

    /// Attaches over a stream that is connected.
    ///
    /// # Errors
    /// [`Error`].
    pub fn over(stream: impl ClientStream, options: &Options) -> Result<Self, Error> {
        p9::open_session(Greeting::new(Box::new(stream), options.timeout), options)
    }

    /// What was agreed on.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Why the connection ended, if it has: every call answers that.
    pub fn ended(&self) -> Option<Errno> {
        self.rpc.ended()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("features", &self.features).finish_non_exhaustive()
    }
}
