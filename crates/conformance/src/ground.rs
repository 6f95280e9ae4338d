//! Sites of our own: any backend behind any transport, in this process or in another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gofer_check::{Client, Dialect, Facts, Lack, Serving, Setup, Site, Transport, sample};
use gofer_localfs::LocalFs;
use gofer_server::lisafs::Settings;
use gofer_server::{Export, HostSockets, Limits, Policy, Server};
use gofer_sys::net;
use gofer_sys::process::{has_cap_chown, raise_nofile, user};
use gofer_transport::{Address, Listener, Socket, memory};
use gofer_vfs::{Access, Backend, Errno, MemFs, Name, NameBuf, ReadOnly, Uid, XattrPolicy};
use tempfile::TempDir;

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
    /// A tree in memory behind another server, of which the one that is served is a client that speaks lisafs: through
    /// channels where it is itself reached through one, else through a socket.
    Lisafs,
    /// A temporary directory of the host in the same way.
    LisafsHost,
    /// A temporary directory of the host, served by another process.
    Process(Launch),
}

impl Ground {
    /// What cannot be done there.
    fn lacks(self) -> &'static [Lack] {
        match self {
            Self::Lisafs | Self::LisafsHost => &LISAFS,
            _ => &[],
        }
    }

    /// Whether there is a host file system at the end.
    pub fn is_host(self) -> bool {
        matches!(self, Self::Host | Self::RemoteHost | Self::LisafsHost | Self::Process(_))
    }
}

/// What lisafs has no way to say.
const LISAFS: [Lack; 7] = [
    // There are no messages; a sandbox keeps its own.
    Lack::Locks,
    // MknodAt makes regular files; of all else a sandbox makes its own.
    Lack::Special,
    // The server opens a FIFO for reading, too, so that no handler waits.
    Lack::LonelyWriter,
    // Walk refuses them.
    Lack::BlockDevice,
    // OpenAt takes nothing but the access mode and truncation.
    Lack::OpenFlags,
    // The messages refuse them, and there is no other way to one as 9P has.
    Lack::RemovedXattr,
    // A value is a string.
    Lack::LargestXattr,
];

/// Starts a process that serves directories, each under its name, and accepts connections.
pub type Launch = fn(&[(&'static str, &Path)], Setup) -> Box<dyn Serving>;

/// Lays out a sample and serves it.
pub fn site(ground: Ground, transport: Transport, dialect: Dialect, setup: Setup) -> Site {
    // Both ends of every connection are here. Where it cannot be raised it may be enough.
    let _ = raise_nofile();
    let mut dirs: Vec<TempDir> = Vec::new();
    let host = |dirs: &mut Vec<TempDir>| {
        let dir = TempDir::new().expect("a directory for temporary files");
        let fs = LocalFs::open(dir.path()).expect("an export");
        dirs.push(dir);
        laid(fs)
    };
    let mut behind: Vec<Box<dyn Serving>> = Vec::new();
    let memory = || laid(MemFs::new(1 << 30));
    let front: Box<dyn Serving> = match ground {
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
        Ground::Lisafs => {
            let far = || lisafs(memory(), transport, &mut behind);
            Box::new(Served::start(far, transport, setup))
        }
        Ground::LisafsHost => {
            let far = || lisafs(host(&mut dirs), transport, &mut behind);
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
    let path = dirs.first().map(|dir| dir.path().to_owned());
    Site::new(Box::new(Chain { front, behind }), facts(ground, transport, dialect), path)
        .keeping(dirs)
        .repeated_by(Box::new(move |setup| site(ground, transport, dialect, setup)))
}

/// The same in a directory that is the caller's, and empty.
pub fn site_in(dir: &Path, dialect: Dialect, setup: Setup) -> Site {
    let (ground, transport) = (Ground::Host, Transport::Pair);
    let fresh = || laid(LocalFs::open(dir).expect("an export"));
    let serving = Box::new(Served::start(fresh, transport, setup));
    Site::new(serving, facts(ground, transport, dialect), Some(dir.to_owned()))
}

fn facts(ground: Ground, transport: Transport, dialect: Dialect) -> Facts {
    Facts {
        transport,
        dialect,
        is_host: ground.is_host(),
        is_here: !matches!(ground, Ground::Process(_)),
        is_root: !ground.is_host() || user().0 == Uid(0),
        may_chown: !ground.is_host() || has_cap_chown(),
        forgets: false,
        has_sample: true,
        laid: sample::Laid { links: true, special: true },
        may_change: true,
        knows_google: true,
        lacks: ground.lacks(),
    }
}

/// A server, and those that it is a client of, which end after it.
struct Chain {
    front: Box<dyn Serving>,
    behind: Vec<Box<dyn Serving>>,
}

impl Serving for Chain {
    fn connect(&self) -> Result<Client, Errno> {
        self.front.connect()
    }

    fn drain(&self, grace: Duration) -> usize {
        let cut = self.front.drain(grace);
        // Their clients are the backends of the server that just ended, and may not be gone yet.
        for far in &self.behind {
            far.drain(Duration::ZERO);
        }
        cut
    }
}

/// A tree with a sample in it.
fn laid<B: Backend>(tree: B) -> B {
    sample::lay(&tree).expect("a sample");
    tree
}

/// A tree to be served to a client that is a server itself. Everything is allowed: policies are those of the one in
/// front.
fn open_to_all<B: Backend>(tree: B) -> Vec<Export<Access<B>>> {
    let policy = Policy {
        xattr: XattrPolicy::All,
        sockets: HostSockets::All,
        fifos: true,
        devices: true,
        ..Policy::default()
    };
    vec![Export { name: None, backend: Access::ReadWrite(tree), policy }]
}

/// A tree behind a server of its own, which a client reaches.
fn remote<B: Backend>(
    tree: B,
    transport: Transport,
    dialect: Dialect,
    behind: &mut Vec<Box<dyn Serving>>,
) -> gofer_client::Client {
    let far = Served::over(open_to_all(tree), Limits::default(), transport);
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

/// A tree behind a server of its own, which a client that speaks lisafs reaches.
fn lisafs<B: Backend>(
    tree: B,
    transport: Transport,
    behind: &mut Vec<Box<dyn Serving>>,
) -> gofer_client::lisafs::Client {
    let server = Server::new(open_to_all(tree), Limits::default()).expect("a server");
    let (ours, theirs) = Socket::pair().expect("two sockets");
    server.connect_lisafs(theirs, 0, Settings::default()).expect("a connection");
    let channels = if transport == Transport::Channel { 2 } else { 0 };
    let options = gofer_client::lisafs::Options { channels, ..gofer_client::lisafs::Options::default() };
    let client = gofer_client::lisafs::Client::over(ours, &options).expect("a client");
    assert_eq!(client.channels(), channels);
    behind.push(Box::new(Served { server, reach: Reach::Pair }));
    client
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
