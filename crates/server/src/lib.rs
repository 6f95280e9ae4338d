//! 9P and lisafs sessions over any [`Backend`].
//!
//! A [`Server`] has exports and connections. Each connection is a stream, a session ([`p9::Session`] or
//! [`lisafs::Session`]) and a few threads that take turns at receiving; whoever receives a request handles it and
//! sends the reply.
//!
//! ```text
//! listener --> Server::listen --> Server::connect --> Connection --> Session::handle --> Backend
//!              one thread each     counts, refuses     turns, gate     p9/{family}.rs, lisafs/{family}.rs
//! ```
//!
//! Locks, in the order in which they may be taken: the server's list of connections; the watch's list, then a
//! turn; a connection's sending side; what a session says of its own. Two are held across system calls that a
//! peer can keep waiting: the receiving side by whoever has the turn, and the sending side.

mod connection;
mod export;
#[expect(clippy::needless_pass_by_value, reason = "the table of operations calls every handler alike")]
pub mod lisafs;
#[expect(clippy::needless_pass_by_value, reason = "the table of operations calls every handler alike")]
pub mod p9;
mod protocol;
mod quota;
mod replies;
mod steps;
mod sync;
mod table;
mod turn;
mod xattr;

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use gofer_transport::{Acceptor, Listener, Stream};
use gofer_vfs::{Backend, Errno};

use connection::Connection;
use export::Exports;
pub use export::{Export, HostSockets, Policy};
use protocol::Protocol;
pub use protocol::{Buffers, Extra, Outcome};
use turn::Watch;

/// How much each client may hold, and how many clients there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more are closed as they come.
    pub connections: usize,
    /// Fids of one connection (`ENFILE` beyond).
    pub fids: usize,
    /// Descriptors that open files hold, of all connections together: two for each, and one for its locks. A
    /// connection may hold as many as it leaves to others (`ENFILE` beyond). What a backend needs for places
    /// that are not open is its own affair.
    pub descriptors: usize,
    /// Threads of one connection, which are the requests that it can have in progress.
    pub threads: usize,
    /// Shared-memory channels of one connection, each with a thread and memory: 1 MiB for 9P (`ENOSYS` beyond), 2 MiB for
    /// lisafs (`ENOMEM` beyond).
    pub channels: usize,
    /// Byte-range locks that one connection holds (`ENOLCK` beyond).
    pub locks: usize,
    /// Bytes of extended attributes that the fids of one connection hold (`ENOBUFS` beyond).
    pub xattr_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            fids: 262_144,
            descriptors: 262_144,
            threads: 16,
            // As many as gVisor's server offers.
            channels: thread::available_parallelism().map_or(2, NonZero::get).clamp(2, 4),
            locks: 16_384,
            xattr_bytes: 16 << 20,
        }
    }
}

/// Why a connection was not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There are as many as there may be.
    #[error("there are {0} connections already, which is the limit")]
    Full(usize),
    /// The server is being stopped.
    #[error("the server is stopping")]
    Stopping,
    /// The system gives no thread for it.
    #[error("no thread for a connection: {0}; raise the limit on processes of this user")]
    Thread(Errno),
}

/// Exports, and the clients that use them.
pub struct Server<B: Backend> {
    exports: Arc<Exports<B>>,
    limits: Limits,
    watch: Arc<Watch>,
    next: AtomicU64,
    state: Mutex<State>,
    /// A connection has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    stopping: bool,
    /// What stops each listener's thread, and the thread, which lets go of the listener as it ends.
    accepting: Vec<(Acceptor, JoinHandle<()>)>,
    /// By their streams: whoever ends one from outside must not be the one that drops all it holds.
    connections: HashMap<u64, Weak<dyn Stream>>,
}

impl<B: Backend> Server<B> {
    /// A server without a connection.
    ///
    /// # Errors
    /// The system's, when it gives no thread to watch over requests that take long.
    pub fn new(exports: Vec<Export<B>>, limits: Limits) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self {
            exports: Arc::new(Exports::new(exports, limits.descriptors)),
            limits,
            watch: Arc::new(Watch::start()?),
            next: AtomicU64::new(1),
            state: Mutex::default(),
            ended: Condvar::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection until it ends, by threads of its own. The number identifies it in the log.
    ///
    /// # Errors
    /// [`Refused`]; the stream is closed.
    pub fn connect<S: Stream>(self: &Arc<Self>, stream: S) -> Result<Client<B>, Refused> {
        let donates = stream.passes_descriptors();
        let session = p9::Session::new(Arc::clone(&self.exports), &self.limits, donates);
        self.take_on(stream, session, self.limits.threads)
    }

    /// Serves a connection that speaks lisafs until it ends, by a thread of its own and one for each channel. `export`
    /// says which of the exports is its root, counted from 0.
    ///
    /// # Errors
    /// [`Refused`]; the stream is closed.
    ///
    /// # Panics
    /// When there is no such export.
    pub fn connect_lisafs<S: Stream>(
        self: &Arc<Self>,
        stream: S,
        export: u16,
        settings: lisafs::Settings,
    ) -> Result<Client<B>, Refused> {
        let (exports, donates) = (Arc::clone(&self.exports), stream.passes_descriptors());
        assert!(usize::from(export) < exports.len(), "export {export} of {}", exports.len());
        let session = lisafs::Session::new(exports, export, &self.limits, donates, settings);
        // One request at a time: its reply comes before the next is looked at.
        self.take_on(stream, session, 1)
    }

    fn take_on<S: Stream, P: Protocol<Backend = B>>(
        self: &Arc<Self>,
        stream: S,
        session: P,
        threads: usize,
    ) -> Result<Client<B>, Refused> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        if state.stopping {
            return Err(Refused::Stopping);
        }
        if state.connections.len() >= self.limits.connections {
            return Err(Refused::Full(self.limits.connections));
        }
        let leaving = Leaving { server: Arc::clone(self), id };
        let stream = Arc::new(stream);
        let control: Arc<dyn Stream> = stream.clone();
        state.connections.insert(id, Arc::downgrade(&control));
        // Whatever drops a connection takes the lock to leave the list.
        drop(state);
        let watch = Arc::clone(&self.watch);
        let connection = Connection::new(id, stream, session, threads, watch, leaving);
        Arc::new(connection).start().map_err(Refused::Thread)?;
        tracing::info!(connection = id, "opened");
        Ok(Client { server: Arc::clone(self), id })
    }

    /// Takes on every connection that comes to a listener, by a thread of its own, until the server is
    /// [drained](Self::drain).
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn listen(self: &Arc<Self>, listener: Listener) -> Result<(), Errno> {
        let acceptor = listener.acceptor();
        let server = Arc::clone(self);
        let mut state = self.state();
        if !state.stopping {
            let thread = spawn("accept", move || server.accept_all(&listener))?;
            state.accepting.push((acceptor, thread));
        }
        Ok(())
    }

    fn accept_all(self: &Arc<Self>, listener: &Listener) {
        /// How long to let others close descriptors when there are none left.
        const PAUSE: Duration = Duration::from_millis(100);
        // One line for a time in which connections are refused, not one for each.
        let mut refusing = false;
        loop {
            match listener.accept() {
                Ok(None) => return,
                Ok(Some(stream)) => {
                    let refused = self.connect(stream).err();
                    if let Some(refused) = refused.filter(|_| !refusing) {
                        tracing::warn!(address = %listener.address(), "connections are refused: {refused}");
                    }
                    refusing = refused.is_some();
                }
                Err(errno) => {
                    tracing::warn!(address = %listener.address(), %errno, "cannot accept a connection; trying again");
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Stops: accepts nothing more, answers what was received, and ends all connections. Those that have not
    /// ended after `grace` are cut off. Says how many that were.
    pub fn drain(&self, grace: Duration) -> usize {
        let mut state = self.state();
        state.stopping = true;
        let accepting = std::mem::take(&mut state.accepting);
        let all = |state: &State| state.connections.values().filter_map(Weak::upgrade).collect::<Vec<_>>();
        let open = all(&state);
        drop(state);
        for (acceptor, _) in &accepting {
            acceptor.stop();
        }
        for connection in open {
            connection.close_input();
        }
        for (_, thread) in accepting {
            // It waits for nothing but this server's locks; with it goes the file of a unix socket.
            let _ = thread.join();
        }
        if self.wait_until_empty(grace) {
            return 0;
        }
        let open = all(&self.state());
        let cut = open.len();
        for connection in open {
            connection.close();
        }
        self.wait_until_empty(grace);
        cut
    }

    /// Waits until there is no connection.
    fn wait_until_empty(&self, grace: Duration) -> bool {
        let start = Instant::now();
        let mut state = self.state();
        while !state.connections.is_empty() {
            let left = grace.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// A connection that was taken on.
pub struct Client<B: Backend> {
    server: Arc<Server<B>>,
    id: u64,
}

impl<B: Backend> Client<B> {
    /// Waits until the connection has ended.
    pub fn wait(&self) {
        let mut state = self.server.state();
        while state.connections.contains_key(&self.id) {
            state = self.server.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Takes a connection off the server's list when it is dropped with it.
struct Leaving<B: Backend> {
    server: Arc<Server<B>>,
    id: u64,
}

impl<B: Backend> Drop for Leaving<B> {
    fn drop(&mut self) {
        tracing::info!(connection = self.id, "closed");
        self.server.state().connections.remove(&self.id);
        self.server.ended.notify_all();
    }
}

/// The stack of a thread that serves: the deepest handler needs a small part of it.
const STACK: usize = 256 * 1024;

/// Starts a thread.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Errno> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(work)
        .map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_host))
}
