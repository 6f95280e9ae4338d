//! [`Site`]: a server that a case runs against.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gofer_localfs::LocalFs;
use gofer_server::{Export, HostSockets, Limits, Policy, Server};
use gofer_sys::net;
use gofer_sys::process::{has_cap_chown, user};
use gofer_transport::{Address, Listener, Socket, memory};
use gofer_vfs::{Access, Backend, Errno, MemFs, Name, NameBuf, ReadOnly, Uid, XattrPolicy};
use gofer_wire::p9::MESSAGE_MAX;
use tempfile::TempDir;

use crate::client::{Client, ROOT};
use crate::record::Record;
use crate::sample;

/// What is served.
#[derive(Clone, Copy, Debug)]
pub enum Ground {
    /// A tree in memory.
    Memory,
    /// A temporary directory of the host.
    Host,
    /// A tree in memory behind another server, of which the one that is served is a client.
    Remote,
    /// A temporary directory of the host behind another server.
    RemoteHost,
    /// A temporary directory of the host, served by another process.
    Process(Launch),
}

impl Ground {
    /// Whether there is a host file system at the end.
    pub fn is_host(self) -> bool {
        matches!(self, Self::Host | Self::RemoteHost | Self::Process(_))
    }
}

/// Starts a process that serves directories, each under its name, and accepts connections.
pub type Launch = fn(&[(&'static str, &Path)], Setup) -> Box<dyn Serving>;

/// What it is served over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A pair of unix sockets.
    Pair,
    /// A unix socket that listens.
    Unix,
    /// TCP over the loopback interface.
    Tcp,
    /// A stream in memory.
    Memory,
    /// Shared memory, beside a pair of unix sockets. Only Google's clients have it.
    Channel,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `9P2000.L`.
    Base,
    /// `9P2000.L.Google.13`.
    Google,
}

impl Dialect {
    /// The version string, and the msize that clients here ask for.
    pub fn version(self) -> (&'static str, u32) {
        match self {
            Self::Base => ("9P2000.L", 65_536),
            Self::Google => ("9P2000.L.Google.13", MESSAGE_MAX),
        }
    }
}

/// How it is served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// What clients may do.
    pub policy: Policy,
    /// How much they may hold.
    pub limits: Limits,
    /// Whether they can change nothing.
    pub read_only: bool,
    /// Names of the exports, each a tree of its own. None is one export without a name.
    pub exports: &'static [&'static str],
}

/// A fresh [sample] behind a server, and a way to reach it.
pub struct Site {
    ground: Ground,
    transport: Transport,
    dialect: Dialect,
    record: Arc<Record>,
    serving: Box<dyn Serving>,
    /// The servers that it is a client of, which end after it.
    behind: Vec<Box<dyn Serving>>,
    host: Option<PathBuf>,
    _dirs: Vec<TempDir>,
}

impl Site {
    /// Lays out a sample and serves it.
    pub fn new(ground: Ground, transport: Transport, dialect: Dialect, setup: Setup) -> Self {
        let mut dirs: Vec<TempDir> = Vec::new();
        let host = |dirs: &mut Vec<TempDir>| {
            let dir = TempDir::new().expect("a directory for temporary files");
            let fs = LocalFs::open(dir.path()).expect("an export");
            dirs.push(dir);
            laid(fs)
        };
        let mut behind: Vec<Box<dyn Serving>> = Vec::new();
        let memory = || laid(MemFs::new(1 << 30));
        let serving: Box<dyn Serving> = match ground {
            Ground::Memory => Box::new(Served::start(memory, transport, setup)),
            Ground::Host => Box::new(Served::start(|| host(&mut dirs), transport, setup)),
            Ground::Remote => {
                let far = || remote(memory(), transport, dialect, &mut behind);
                Box::new(Served::start(far, transport, setup))
            }
            Ground::RemoteHost => {
                let far = || remote(host(&mut dirs), transport, dialect, &mut behind);
                Box::new(Served::start(far, transport, setup))
            }
            Ground::Process(launch) => {
                let names = if setup.exports.is_empty() { &[""][..] } else { setup.exports };
                for _ in names {
                    drop(host(&mut dirs));
                }
                let named: Vec<_> = names.iter().copied().zip(dirs.iter().map(TempDir::path)).collect();
                launch(&named, setup)
            }
        };
        let host = dirs.first().map(|dir| dir.path().to_owned());
        Self { ground, transport, dialect, record: Arc::default(), serving, behind, host, _dirs: dirs }
    }

    /// The same in a directory that is the caller's, and empty.
    pub fn in_dir(dir: &Path, dialect: Dialect, setup: Setup) -> Self {
        let (ground, transport, host) = (Ground::Host, Transport::Pair, Some(dir.to_owned()));
        let fresh = || laid(LocalFs::open(dir).expect("an export"));
        let serving = Box::new(Served::start(fresh, transport, setup));
        let (behind, dirs) = (Vec::new(), Vec::new());
        Self { ground, transport, dialect, record: Arc::default(), serving, behind, host, _dirs: dirs }
    }

    /// Writes what clients ask and are answered into `record`.
    #[must_use]
    pub fn recorded(mut self, record: &Arc<Record>) -> Self {
        self.record = Arc::clone(record);
        self
    }

    /// The same with another setup and another tree.
    pub fn with(&self, setup: Setup) -> Self {
        Self::new(self.ground, self.transport, self.dialect, setup).recorded(&self.record)
    }

    /// The same with other policies.
    pub fn with_policy(&self, policy: Policy) -> Self {
        self.with(Setup { policy, ..Setup::default() })
    }

    /// The same with other limits.
    pub fn with_limits(&self, limits: Limits) -> Self {
        self.with(Setup { limits, ..Setup::default() })
    }

    /// A client that is connected and has not said anything.
    pub fn connect(&self) -> Client {
        self.serving.connect().expect("a connection").recorded(&self.record)
    }

    /// A client that agreed on the dialect, with the export attached as [`ROOT`].
    pub fn client(&self) -> Client {
        let mut client = self.connect();
        let (version, msize) = self.dialect.version();
        client.version(msize, version).expect("a version");
        if self.transport == Transport::Channel {
            client.use_channel().expect("a channel");
        }
        client.attach(ROOT, "/").expect("the root");
        client
    }

    /// The directory of the host that is served, where it is one.
    pub fn host(&self) -> Option<&Path> {
        self.host.as_deref()
    }

    /// Whether the server is a part of this process.
    pub fn is_here(&self) -> bool {
        !matches!(self.ground, Ground::Process(_))
    }

    /// What it is served over.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What the client speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// One of two, by the dialect.
    pub fn google_or<T>(&self, google: T, base: T) -> T {
        if self.is_google() { google } else { base }
    }

    /// Whether the client speaks Google's.
    pub fn is_google(&self) -> bool {
        self.dialect == Dialect::Google
    }

    /// Whether descriptors can travel to the client.
    pub fn passes_descriptors(&self) -> bool {
        matches!(self.transport, Transport::Pair | Transport::Unix | Transport::Channel)
    }

    /// Whether a sender waits for its reader: TCP's buffers grow to more than a test should hold.
    pub fn waits_for_readers(&self) -> bool {
        self.transport != Transport::Tcp
    }

    /// Whether the server may do everything: there are no permissions in memory.
    pub fn is_root(&self) -> bool {
        !self.ground.is_host() || user().0 == Uid(0)
    }

    /// Whether the server may give files away.
    pub fn may_chown(&self) -> bool {
        !self.ground.is_host() || has_cap_chown()
    }

    /// Stops serving; how many connections had to be cut off.
    pub fn drain(&self, grace: Duration) -> usize {
        self.serving.drain(grace)
    }
}

impl Drop for Site {
    /// When a case is over so are its connections, without being cut off.
    fn drop(&mut self) {
        let cut = self.serving.drain(Duration::from_secs(60));
        assert!(cut == 0 || std::thread::panicking(), "{cut} connections did not end with their clients");
        // Their clients are the backends of the server that just ended, and may not be gone yet.
        for far in &self.behind {
            far.drain(Duration::ZERO);
        }
    }
}

/// A tree with a sample in it.
fn laid<B: Backend>(tree: B) -> B {
    sample::lay(&tree).expect("a sample");
    tree
}

/// A tree behind a server of its own, which a client reaches. That server allows everything: policies are those of
/// the one in front.
fn remote<B: Backend>(
    tree: B,
    transport: Transport,
    dialect: Dialect,
    behind: &mut Vec<Box<dyn Serving>>,
) -> gofer_client::Client {
    let policy = Policy {
        xattr: XattrPolicy::All,
        sockets: HostSockets::All,
        fifos: true,
        devices: true,
        ..Policy::default()
    };
    let exports = vec![Export { name: None, backend: Access::ReadWrite(tree), policy }];
    let far = Served::over(exports, Limits::default(), transport);
    let options = gofer_client::Options {
        dialect: Some(match dialect {
            Dialect::Base => gofer_client::Dialect::Base,
            Dialect::Google => gofer_client::Dialect::Google,
        }),
        // A pair does without, to have both ways.
        channels: if transport == Transport::Pair { 0 } else { 2 },
        ..gofer_client::Options::default()
    };
    let client = match far.stream().expect("a connection") {
        End::Socket(socket) => gofer_client::Client::over(socket, &options),
        End::Memory(end) => gofer_client::Client::over(end, &options),
    };
    behind.push(Box::new(far));
    client.expect("a client")
}

/// A server, wherever it is.
pub trait Serving: Send + Sync {
    /// A connection that has not said anything. One that the server refuses ends at once.
    ///
    /// # Errors
    /// Those of connecting.
    fn connect(&self) -> Result<Client, Errno>;

    /// Stops serving; how many connections had to be cut off after `grace`.
    fn drain(&self, grace: Duration) -> usize;
}

struct Served<B: Backend> {
    server: Arc<Server<Access<B>>>,
    reach: Reach,
}

/// How to connect.
enum Reach {
    Pair,
    Unix { path: PathBuf, _dir: TempDir },
    Tcp(std::net::SocketAddr),
    Memory,
}

impl<B: Backend> Served<B> {
    fn start(mut fresh: impl FnMut() -> B, transport: Transport, setup: Setup) -> Self {
        let mut export = |name: Option<&str>| {
            let tree = fresh();
            let backend =
                if setup.read_only { Access::ReadOnly(ReadOnly(tree)) } else { Access::ReadWrite(tree) };
            let name = name.map(|name| NameBuf::from(Name::new(name.as_bytes()).expect("a name")));
            Export { name, backend, policy: setup.policy }
        };
        let exports = match setup.exports {
            [] => vec![export(None)],
            names => names.iter().map(|name| export(Some(name))).collect(),
        };
        Self::over(exports, setup.limits, transport)
    }

    fn over(exports: Vec<Export<Access<B>>>, limits: Limits, transport: Transport) -> Self {
        let server = Server::new(exports, limits).expect("a server");
        let listen = |address: &Address| {
            let listener = Listener::bind(address).expect("an address to listen at");
            let address = listener.address().clone();
            server.listen(listener).expect("a thread");
            address
        };
        let reach = match transport {
            Transport::Pair | Transport::Channel => Reach::Pair,
            Transport::Memory => Reach::Memory,
            Transport::Unix => {
                let dir = TempDir::new().expect("a directory for temporary files");
                let path = dir.path().join("s");
                listen(&Address::Unix(path.clone()));
                Reach::Unix { path, _dir: dir }
            }
            Transport::Tcp => match listen(&"tcp:127.0.0.1:0".parse().expect("an address")) {
                Address::Tcp(address) => Reach::Tcp(address),
                other => panic!("listening at {other}"),
            },
        };
        Self { server, reach }
    }

    /// A connection. One that the server refuses ends at once.
    fn stream(&self) -> Result<End, Errno> {
        match &self.reach {
            Reach::Pair => {
                let (ours, theirs) = Socket::pair()?;
                let _ = self.server.connect(theirs);
                Ok(End::Socket(ours))
            }
            Reach::Memory => {
                let (ours, theirs) = memory::pair();
                let _ = self.server.connect(theirs);
                Ok(End::Memory(ours))
            }
            Reach::Unix { path, .. } => Ok(End::Socket(Socket::from_fd(net::connect_unix(path)?)?)),
            Reach::Tcp(address) => Ok(End::Socket(Socket::from_fd(net::connect_tcp(address)?)?)),
        }
    }
}

/// The client's end of a connection.
enum End {
    Socket(Socket),
    Memory(memory::End),
}

impl<B: Backend> Serving for Served<B> {
    fn connect(&self) -> Result<Client, Errno> {
        Ok(match self.stream()? {
            End::Socket(socket) => Client::new(socket),
            End::Memory(end) => Client::new(end),
        })
    }

    fn drain(&self, grace: Duration) -> usize {
        self.server.drain(grace)
    }
}
