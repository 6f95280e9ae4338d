//! [`Site`]: a server that a case runs against.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gofer_server::{Limits, Policy};
use gofer_vfs::{Errno, FileKind};
use gofer_wire::p9::MESSAGE_MAX;

use crate::client::{Client, ROOT};
use crate::record::Record;
use crate::sample::{self, Laid};
use crate::verdict::skip_now;

/// What it is served over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A pair of unix sockets.
    Pair,
    /// A unix socket that listens.
    Unix,
    /// TCP, or what else passes no descriptors.
    Tcp,
    /// A stream in memory.
    Memory,
    /// Shared memory, beside a unix socket. Only Google's clients have it.
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

/// What is known of a server before it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Files of a host are at the end.
    pub is_host: bool,
    /// What it is served over.
    pub transport: Transport,
    /// What the client speaks.
    pub dialect: Dialect,
    /// The server is a part of this process.
    pub is_here: bool,
    /// The server may do everything.
    pub is_root: bool,
    /// The server may give files away.
    pub may_chown: bool,
    /// A fid whose file has another name by now may be stale.
    pub forgets: bool,
    /// The tree is a [sample], and not whatever lies there.
    pub has_sample: bool,
    /// What is there of the sample.
    pub laid: Laid,
    /// Clients may change the tree.
    pub may_change: bool,
    /// The server knows Google's messages, whatever was agreed on.
    pub knows_google: bool,
    /// What the tree cannot do.
    pub lacks: &'static [Lack],
}

/// What a tree may be unable to do because of the way on which the server itself reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Locks on ranges of bytes.
    Locks,
    /// Making FIFOs, sockets and devices.
    Special,
    /// Refusing a FIFO to a writer while nobody reads.
    LonelyWriter,
    /// Walking to a block device.
    BlockDevice,
    /// Opens of the host that write through or append by themselves.
    OpenFlags,
    /// Extended attributes of files that were removed.
    RemovedXattr,
    /// A value of 65,536 bytes of an extended attribute.
    LargestXattr,
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

/// Another site like one, with another setup and another tree.
pub type Again = Box<dyn Fn(Setup) -> Site + Send + Sync>;

/// A tree behind a server, and a way to reach it.
pub struct Site {
    facts: Facts,
    record: Arc<Record>,
    serving: Box<dyn Serving>,
    host: Option<PathBuf>,
    again: Option<Again>,
    /// What has to stay as long as this.
    _kept: Box<dyn Any + Send + Sync>,
}

impl Site {
    /// What `serving` serves, which is `host` where the caller can look at it.
    pub fn new(serving: Box<dyn Serving>, facts: Facts, host: Option<PathBuf>) -> Self {
        Self { facts, record: Arc::default(), serving, host, again: None, _kept: Box::new(()) }
    }

    /// The same, which can be had with other setups too.
    #[must_use]
    pub fn repeated_by(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

    /// The same, which keeps something until it is dropped.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self._kept = Box::new(kept);
        self
    }

    /// The same, whose server has so few descriptors that a fid whose file has another name by now may be stale.
    #[must_use]
    pub fn forgetting(mut self) -> Self {
        self.facts.forgets = true;
        self
    }

    /// Writes what clients ask and are answered into `record`.
    #[must_use]
    pub fn recorded(mut self, record: &Arc<Record>) -> Self {
        self.record = Arc::clone(record);
        self
    }

    /// What clients asked and were answered.
    pub fn record(&self) -> Arc<Record> {
        Arc::clone(&self.record)
    }

    /// The same with another setup and another tree. The case ends where there is no way to have it.
    pub fn with(&self, setup: Setup) -> Self {
        match &self.again {
            Some(again) => again(setup).recorded(&self.record),
            None => skip_now("needs a server that is set up in another way"),
        }
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

    /// A client that agreed on the dialect, with the tree attached as [`ROOT`].
    pub fn client(&self) -> Client {
        let mut client = self.connect();
        let (version, msize) = self.facts.dialect.version();
        client.version(msize, version).expect("a version");
        if self.facts.transport == Transport::Channel {
            client.use_channel().expect("a channel");
        }
        client.attach(ROOT, "/").expect("the root");
        client
    }

    /// The directory of the host that is served, where it is one and can be looked at.
    pub fn host(&self) -> Option<&Path> {
        self.host.as_deref()
    }

    /// The same. The case ends where there is none.
    pub fn hosted(&self) -> &Path {
        self.host().unwrap_or_else(|| skip_now("needs the exported directory (--export-dir)"))
    }

    /// The case ends where clients may not change the tree.
    pub fn changed(&self) -> &Self {
        if !self.facts.may_change {
            skip_now("changes the tree (--rw)");
        }
        self
    }

    /// Whether the tree can do this.
    pub fn can(&self, what: Lack) -> bool {
        !self.facts.lacks.contains(&what)
    }

    /// The case ends where the tree cannot do this.
    pub fn able(&self, what: Lack) -> &Self {
        if !self.can(what) {
            skip_now(format_args!("needs what the tree lacks: {what:?}"));
        }
        self
    }

    /// What is known of it.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// Whether the server is a part of this process.
    pub fn is_here(&self) -> bool {
        self.facts.is_here
    }

    /// Whether files of a host are at the end.
    pub fn is_host(&self) -> bool {
        self.facts.is_host
    }

    /// What it is served over.
    pub fn transport(&self) -> Transport {
        self.facts.transport
    }

    /// What the client speaks.
    pub fn dialect(&self) -> Dialect {
        self.facts.dialect
    }

    /// One of two, by the dialect.
    pub fn google_or<T>(&self, google: T, base: T) -> T {
        if self.is_google() { google } else { base }
    }

    /// Whether the client speaks Google's.
    pub fn is_google(&self) -> bool {
        self.facts.dialect == Dialect::Google
    }

    /// Whether the server knows the messages of Google's extensions.
    pub fn knows_google(&self) -> bool {
        self.facts.knows_google
    }

    /// Whether descriptors can travel to the client.
    pub fn passes_descriptors(&self) -> bool {
        matches!(self.facts.transport, Transport::Pair | Transport::Unix | Transport::Channel)
    }

    /// Whether a sender waits for its reader: TCP's buffers grow to more than a test should hold.
    pub fn waits_for_readers(&self) -> bool {
        self.facts.transport != Transport::Tcp
    }

    /// Whether the server may do everything: there are no permissions in memory.
    pub fn is_root(&self) -> bool {
        self.facts.is_root
    }

    /// Whether the server may give files away.
    pub fn may_chown(&self) -> bool {
        self.facts.may_chown
    }

    /// Whether a fid whose file has another name by now may be stale.
    pub fn forgets(&self) -> bool {
        self.facts.forgets
    }

    /// What is in the root, sorted, and what each of it is.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, FileKind)> {
        let Laid { links, special } = self.facts.laid;
        let all = sample::NAMES.into_iter().zip(sample::KINDS);
        all.filter(move |(_, kind)| match kind {
            FileKind::Fifo | FileKind::Socket => special,
            FileKind::Symlink => links,
            _ => true,
        })
    }

    /// The names of that.
    pub fn names(&self) -> Vec<&'static str> {
        self.entries().map(|(name, _)| name).collect()
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
    }
}
