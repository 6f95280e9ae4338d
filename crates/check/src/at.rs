//! Sites at an address: each case has a tree of its own, in a directory that is made for all of them below what is
//! attached, and goes with it.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gofer_sys::process::user;
use gofer_transport::{Address, Socket};
use gofer_vfs::{Errno, PeerUid, Result, Uid};
use gofer_wire::p9::*;

use crate::attr::{mode, nothing};
use crate::client::{Base, Client, Manners, ROOT};
use crate::sample::{self, Laid};
use crate::site::{Dialect, Facts, Serving, Site, Transport};
use crate::verdict::{Demand, caught};

/// What may be done at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing that changes a file is sent.
    Look,
    /// Files are made and changed, in the directory for it.
    Change,
    /// The same is sent, to files that the host has put there: all of it is to be refused.
    BeRefused,
}

/// Which server, and what may be done there.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub address: Address,
    /// What to attach.
    pub aname: String,
    /// What that is on this host.
    pub export_dir: Option<PathBuf>,
    /// What may be done.
    pub rights: Rights,
    /// Who attaches.
    pub user: u32,
    /// How long an answer may take.
    pub patience: Duration,
}

/// A way to speak to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// What is spoken.
    pub dialect: Dialect,
    /// Through what.
    pub transport: Transport,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.dialect, self.transport) {
            (_, Transport::Channel) => "channel",
            (Dialect::Base, _) => "base",
            (Dialect::Google, _) => "google",
        })
    }
}

/// Why a server cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody can be reached.
    #[error(transparent)]
    Transport(#[from] gofer_transport::Error),
    /// It speaks something else.
    #[error(
        "the server agrees neither on 9P2000.L nor on its Google extensions: {0}; is it one of 9P2000.u?"
    )]
    Version(Errno),
    /// It breaks the protocol before anything was tried.
    #[error("what answers there does not keep to 9P2000.L: {0}; check the address")]
    Broken(String),
    /// What should be attached is not there.
    #[error("cannot attach {name:?}: {errno}; name the export with --aname")]
    Attach {
        /// What was asked for.
        name: String,
        /// Why not.
        errno: Errno,
    },
    /// The directory for the cases cannot be made.
    #[error("cannot make {path:?}: {errno}; {hint}")]
    Scratch {
        /// Where.
        path: String,
        /// Why not.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
    /// The directory that was named is not what is exported.
    #[error(
        "{dir:?} is not what the server exports as {aname:?}: what is made in one is not in the other; \
         check --export-dir and --aname"
    )]
    Elsewhere {
        /// The directory.
        dir: PathBuf,
        /// What was attached.
        aname: String,
    },
}

/// A server at an address.
#[derive(Debug)]
pub struct At {
    options: Options,
    /// The name of the directory for the cases; none where nothing can be made.
    scratch: Option<String>,
    next: AtomicU32,
    speaks: Vec<Lane>,
    attaches_below: bool,
    laid: Laid,
    is_root: bool,
    may_chown: bool,
}

impl At {
    /// Finds out what a server is, and makes the directory for the cases.
    ///
    /// # Errors
    /// [`Error`].
    pub fn reach(options: Options) -> std::result::Result<Arc<Self>, Error> {
        let mut at = Self {
            scratch: None,
            next: AtomicU32::new(0),
            speaks: Vec::new(),
            attaches_below: false,
            laid: Laid { links: true, special: true },
            is_root: user().0 == Uid(0),
            may_chown: false,
            options,
        };
        drop(Socket::connect(&at.options.address, Some(at.options.patience))?);
        caught(|| at.find_out()).unwrap_or_else(|why| Err(Error::Broken(why)))?;
        Ok(Arc::new(at))
    }

    fn find_out(&mut self) -> std::result::Result<(), Error> {
        self.find_lanes()?;
        let mut c = self.root().map_err(|errno| Error::Attach { name: self.options.aname.clone(), errno })?;
        if self.options.rights != Rights::Look || self.options.export_dir.is_some() {
            self.make_scratch(&mut c)?;
            // What cannot be found out is not so.
            let _ = self.find_facts(&mut c);
        }
        Ok(())
    }

    /// The ways to speak to it.
    pub fn lanes(&self) -> &[Lane] {
        &self.speaks
    }

    /// What may be done there.
    pub fn rights(&self) -> Rights {
        self.options.rights
    }

    /// Whether cases have trees of their own.
    pub fn has_trees(&self) -> bool {
        self.scratch.is_some()
    }

    /// What it serves and how, in a line.
    pub fn facts(&self) -> String {
        let mut facts: Vec<String> = self.speaks.iter().map(ToString::to_string).collect();
        facts.push(if self.attaches_below { "attaches below" } else { "attaches exports only" }.to_owned());
        facts.extend(self.is_root.then(|| "acts as root".to_owned()));
        facts.join(", ")
    }

    fn find_lanes(&mut self) -> std::result::Result<(), Error> {
        let stream = match self.options.address {
            Address::Unix(_) => Transport::Unix,
            _ => Transport::Tcp,
        };
        let mut refused = Errno::EPROTO;
        for dialect in [Dialect::Base, Dialect::Google] {
            match self.greet(dialect) {
                Ok(mut c) => {
                    self.speaks.push(Lane { dialect, transport: stream });
                    if dialect == Dialect::Google && stream == Transport::Unix && c.channel(0).is_ok() {
                        self.speaks.push(Lane { dialect, transport: Transport::Channel });
                    }
                }
                Err(errno) if dialect == Dialect::Base => refused = errno,
                Err(_) => {}
            }
        }
        if self.speaks.is_empty() { Err(Error::Version(refused)) } else { Ok(()) }
    }

    /// A connection that has not said anything.
    fn connect(&self) -> Result<Client> {
        let socket = Socket::connect(&self.options.address, Some(self.options.patience));
        let client = Client::new(socket.map_err(|_| Errno::ECONNREFUSED)?);
        let manners = Manners { changes: true, google: true, exact: false };
        Ok(client.patient_for(self.options.patience).with_manners(manners))
    }

    /// A connection that agreed on a dialect.
    fn greet(&self, dialect: Dialect) -> Result<Client> {
        let mut c = self.connect()?;
        let (version, msize) = dialect.version();
        let agreed = c.version(msize, version)?;
        if agreed.1 == version.as_bytes() { Ok(c) } else { Err(Errno::EPROTO) }
    }

    /// A connection with all that is exported attached as [`ROOT`].
    fn root(&self) -> Result<Client> {
        let dialect = self.speaks.first().map_or(Dialect::Base, |lane| lane.dialect);
        let base = Base::Attached(self.options.aname.clone());
        let mut c = self.greet(dialect)?.based_at(base, &self.options.aname, PeerUid(self.options.user));
        c.attach(ROOT, "").map(|_| c)
    }

    fn make_scratch(&mut self, c: &mut Client) -> std::result::Result<(), Error> {
        let name = format!("gofer-check.{}", std::process::id());
        let failed = |errno, hint| Error::Scratch { path: name.clone(), errno, hint };
        if self.options.rights == Rights::Change {
            c.mkdir(ROOT, &name)
                .map_err(|errno| failed(errno, "leave out --rw, or have the export writable"))?;
        } else if let Some(dir) = &self.options.export_dir {
            make_dir(&dir.join(&name)).map_err(|errno| failed(errno, "choose another --export-dir"))?;
        }
        self.scratch = Some(name.clone());
        let there = c.at(&name);
        let here = self.options.export_dir.as_ref().map(|dir| dir.join(&name).is_dir());
        if there.is_err() || here == Some(false) {
            // The host has not seen what the server made.
            let _ = match self.options.rights {
                Rights::Change => self.remove_there(&name),
                _ => self.remove_at(&name),
            };
            let (dir, aname) =
                (self.options.export_dir.clone().unwrap_or_default(), self.options.aname.clone());
            return Err(Error::Elsewhere { dir, aname });
        }
        Ok(())
    }

    fn find_facts(&mut self, c: &mut Client) -> Result<()> {
        let Some(scratch) = self.scratch.clone() else { return Ok(()) };
        let dir = c.at(&scratch)?;
        let walked = c.getattr(dir)?.qid;
        let below = Base::Attached(format!("{}/{scratch}", self.options.aname.trim_end_matches('/')));
        let mut other = self.root()?.based_at(below, &self.options.aname, PeerUid(self.options.user));
        self.attaches_below = other.attach(Fid(9), "").is_ok_and(|qid| qid.path == walked.path);
        if self.options.rights != Rights::Change {
            return Ok(());
        }
        c.mkdir(dir, "facts")?;
        let facts = c.at(&format!("{scratch}/facts"))?;
        // What the server makes none of the host makes, where that can be.
        let laid = sample::lay_at(c, facts)?;
        self.laid = if self.options.export_dir.is_some() { self.laid } else { laid };
        let below = c.at(&format!("{scratch}/facts/dir"))?;
        c.setattr(below, mode(0))?;
        let fid = c.fid();
        self.is_root = c.walk(below, fid, &["inner"]).is_ok();
        c.setattr(below, mode(0o755))?;
        let owner = SetattrBody { valid: SetattrMask::UID, uid: PeerUid(4321), ..nothing() };
        let given = c.setattr(below, owner).and_then(|()| c.getattr(below));
        self.may_chown = given.is_ok_and(|attr| attr.attr.uid == PeerUid(4321));
        if self.may_chown {
            let owner = SetattrBody { uid: PeerUid(self.options.user), ..owner };
            c.setattr(below, owner)?;
        }
        Ok(())
    }

    /// Whether it still answers.
    pub fn is_alive(&self) -> bool {
        caught(|| self.root().is_ok()).unwrap_or(false)
    }

    /// A tree of its own for a case, spoken to in this way. What is read-only is to be refused where it is changed.
    ///
    /// # Errors
    /// Those of making the tree.
    pub fn site(self: &Arc<Self>, lane: Lane, read_only: bool, demand: Demand) -> Result<Site> {
        let tree = Arc::new(Tree { at: Arc::clone(self), path: self.lay()? });
        let host = self.options.export_dir.as_ref().map(|dir| dir.join(&tree.path));
        let may_change = match self.options.rights {
            Rights::Look => false,
            Rights::Change => true,
            Rights::BeRefused => read_only,
        };
        let knows_google = self.speaks.iter().any(|lane| lane.dialect == Dialect::Google);
        let manners = Manners { changes: may_change, google: knows_google, exact: demand == Demand::Exact };
        let facts = Facts {
            transport: lane.transport,
            dialect: lane.dialect,
            is_here: false,
            is_host: true,
            is_root: self.is_root,
            may_chown: self.may_chown,
            forgets: false,
            has_sample: self.scratch.is_some(),
            laid: self.laid,
            may_change,
            knows_google,
            lacks: &[],
        };
        Ok(Site::new(Box::new(There(Arc::clone(&tree), manners)), facts, host).keeping(tree))
    }

    /// Makes a fresh sample; where it is, below what is attached.
    fn lay(&self) -> Result<String> {
        let Some(scratch) = &self.scratch else { return Ok(String::new()) };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = format!("{scratch}/{number}");
        match (&self.options.export_dir, self.options.rights) {
            (_, Rights::Change) => {
                let mut c = self.root()?;
                let dir = c.at(scratch)?;
                c.mkdir(dir, &number.to_string())?;
                let root = c.at(&path)?;
                let laid = sample::lay_at(&mut c, root)?;
                if let Some(dir) = &self.options.export_dir {
                    sample::complete_on_host(&dir.join(&path), laid).map_err(|error| errno(&error))?;
                }
            }
            (Some(dir), _) => {
                let root = dir.join(&path);
                make_dir(&root)?;
                sample::lay_on_host(&root).map_err(|error| errno(&error))?;
            }
            (None, _) => {}
        }
        Ok(path)
    }

    /// Removes all that was made. What is left, if anything, and why.
    pub fn remove(&self) -> Option<(String, Errno)> {
        let scratch = self.scratch.as_ref()?;
        self.remove_at(scratch).err().map(|errno| (scratch.clone(), errno))
    }

    fn remove_at(&self, path: &str) -> Result<()> {
        if let Some(dir) = &self.options.export_dir {
            return remove_on_host(&dir.join(path));
        }
        if self.options.rights == Rights::Change { self.remove_there(path) } else { Ok(()) }
    }

    /// By the server, who has made it.
    fn remove_there(&self, path: &str) -> Result<()> {
        let gone = || -> Result<()> {
            let mut c = self.root()?;
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let dir = c.at(above)?;
            remove_below(&mut c, dir, name)
        };
        caught(gone).unwrap_or(Err(Errno::EPROTO))
    }
}

/// A directory that everybody may look at.
fn make_dir(path: &Path) -> Result<()> {
    let made = fs::create_dir(path).and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)));
    made.map_err(|error| errno(&error))
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_host)
}

/// Removes a tree of the host. Directories are opened to their owner where they were closed; no link is followed.
fn remove_on_host(path: &Path) -> Result<()> {
    fn open(dir: &Path) {
        let Ok(found) = fs::symlink_metadata(dir) else { return };
        if !found.is_dir() {
            return;
        }
        if found.mode() & 0o700 != 0o700 {
            let _ = fs::set_permissions(dir, Permissions::from_mode(0o700));
        }
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            open(&entry.path());
        }
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            open(path);
            fs::remove_dir_all(path).map_err(|error| errno(&error))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|error| errno(&error)),
    }
}

/// Removes a name of a directory at the server, and all below it.
fn remove_below(c: &mut Client, dir: Fid, name: &str) -> Result<()> {
    // Deep trees are taken apart from below: a stack of directories, not of calls.
    let mut path: Vec<(Fid, Vec<u8>)> = vec![(dir, name.as_bytes().to_vec())];
    while let Some((parent, name)) = path.last().cloned() {
        if unlink(c, parent, &name, 0).is_ok() {
            path.pop();
            continue;
        }
        let fid = c.fid();
        c.walk(parent, fid, &[&name])?;
        // It may be closed to whoever the server is.
        let _ = c.setattr(fid, mode(0o755));
        let below = loop {
            let listing = c.fid();
            c.walk(fid, listing, &[""; 0])?;
            c.open(listing, OpenBits::RDONLY)?;
            let names: Vec<_> = c.list(listing)?.into_iter().map(|entry| entry.name).collect();
            c.clunk(listing)?;
            let names: Vec<_> = names.into_iter().filter(|name| name != b"." && name != b"..").collect();
            let left = names.into_iter().find(|name| unlink(c, fid, name, 0).is_err());
            match left {
                Some(name) if unlink(c, fid, &name, Tunlinkat::AT_REMOVEDIR).is_ok() => {}
                left => break left,
            }
        };
        match below {
            Some(below) => path.push((fid, below)),
            None => {
                c.clunk(fid)?;
                unlink(c, parent, &name, Tunlinkat::AT_REMOVEDIR)?;
                path.pop();
            }
        }
    }
    Ok(())
}

fn unlink(c: &mut Client, dfid: Fid, name: &[u8], flags: u32) -> Result<()> {
    let name = gofer_vfs::Name::new(name)?;
    c.call(Tunlinkat { dfid, name, flags }).map(drop)
}

/// The tree of a case. Dropped, it is removed.
#[derive(Debug)]
struct Tree {
    at: Arc<At>,
    path: String,
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.path.is_empty() {
            // What is left goes in the end, or is told of.
            let _ = self.at.remove_at(&self.path);
        }
    }
}

/// A server that is there already.
struct There(Arc<Tree>, Manners);

impl Serving for There {
    fn connect(&self) -> Result<Client> {
        let Tree { at, path } = &*self.0;
        let aname = at.options.aname.trim_end_matches('/');
        let base = match path.as_str() {
            "" => Base::Attached(at.options.aname.clone()),
            path if at.attaches_below => Base::Attached(format!("{aname}/{path}")),
            path => {
                let names = path.split('/').map(str::to_owned).collect();
                Base::Walked(at.options.aname.clone(), names)
            }
        };
        Ok(at.connect()?.with_manners(self.1).based_at(base, &at.options.aname, PeerUid(at.options.user)))
    }

    fn drain(&self, _grace: Duration) -> usize {
        0
    }
}
