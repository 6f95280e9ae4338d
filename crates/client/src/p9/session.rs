//! version, attach.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gofer_transport::frames::End;
use gofer_vfs::{Attr, Errno, PeerUid};
use gofer_wire::Str;
use gofer_wire::p9::{
    Fid, GetattrMask, MESSAGE_MAX, MSIZE_MIN, Rattach, Rgetattr, Tattach, Tgetattr, Version,
};

use crate::emulated::next_number;
use crate::p9::attr;
use crate::p9::fids::Held;
use crate::p9::rpc::{Greeting, Rpc};
use crate::{Client, Dialect, Error, Node, Options};

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The version, whose meanings hold.
    version: Version,
    /// The server knows the messages of all versions.
    extended: bool,
    /// Descriptors can come.
    descriptors: bool,
    msize: u32,
}

impl Features {
    /// Whether Google's meanings hold.
    pub fn is_google(self) -> bool {
        self.version.is_google()
    }

    /// The longest message, in bytes.
    pub fn msize(self) -> u32 {
        self.msize
    }

    /// Whether regular files come with a descriptor, if the server has one for us.
    pub fn has_descriptors(self) -> bool {
        self.descriptors && (self.extended || self.is_google())
    }

    /// Whether the messages of a Google version may be sent.
    pub(crate) fn has(self, version: u32) -> bool {
        self.extended || self.version.0 >= version
    }
}

/// Agrees on a version and attaches.
pub(crate) fn open_session(mut greeting: Greeting, options: &Options) -> Result<Client, Error> {
    let features = agree(&mut greeting, options)?;
    let mut rpc = greeting.agreed(features.msize);
    if features.has_descriptors() && features.has(Version::CHANNELS.0) {
        rpc.open_channels(options.channels);
    }
    let rpc = Arc::new(rpc);
    let number = next_number();
    let root = attach(&rpc, options, number).map_err(|errno| Error::Attach {
        name: options.export.clone(),
        errno,
        hint: match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::EINVAL => "check the name of the export",
            Errno::EACCES | Errno::EPERM => "the server does not let this user in",
            _ => "ask who runs the server",
        },
    })?;
    Ok(Client { rpc, features, number, root, lacks_at: AtomicBool::new(false) })
}

/// Offers versions until one is accepted.
fn agree(greeting: &mut Greeting, options: &Options) -> Result<Features, Error> {
    let msize = options.msize.clamp(MSIZE_MIN, MESSAGE_MAX);
    let google = match options.dialect {
        Some(dialect) => dialect == Dialect::Google,
        None => greeting.passes_descriptors(),
    };
    let mut number = if google { Some(Version::HIGHEST.0) } else { Some(0) };
    loop {
        let offered = number.map_or_else(|| Version::BASE.to_string(), |n| format!("9P2000.L.Google.{n}"));
        let answer = greeting.offer(msize, &offered).map_err(|end| unanswered(end, options))?;
        let (their_msize, text) = match answer {
            // A server of Google's asks for an older version.
            Err(Errno::EAGAIN) if number.is_some_and(|n| n > 1) => {
                number = number.map(|n| n - 1);
                continue;
            }
            Err(_) if number.take().is_some() => continue,
            Err(errno) => return Err(Error::Version(errno.to_string())),
            Ok(answer) => answer,
        };
        let version = Version::parse(&text).filter(|version| version.0 <= number.unwrap_or(0));
        match version {
            None if number.take().is_some() => {}
            None => return Err(Error::Version(format!("it says \"{}\"", text.escape_ascii()))),
            Some(_) if their_msize < MSIZE_MIN => {
                return Err(Error::Version(format!("it takes messages of {their_msize} bytes only")));
            }
            Some(version) => {
                let extended = text.starts_with(b"9P2000.L.Google.") && version == Version::BASE;
                let descriptors = greeting.passes_descriptors();
                return Ok(Features { version, extended, descriptors, msize: their_msize.min(msize) });
            }
        }
    }
}

fn unanswered(end: End, options: &Options) -> Error {
    match end {
        End::Closed => Error::Lost(Errno::ECONNRESET),
        End::Lost(errno) => Error::Lost(errno),
        End::Malformed => Error::Foreign,
        End::Quiet => Error::Silent(options.timeout.unwrap_or_default()),
    }
}

fn attach(rpc: &Arc<Rpc>, options: &Options, number: u64) -> Result<Node, Errno> {
    let text = |text| Str::new(text).ok_or(Errno::EINVAL);
    let (uname, aname) = (text(options.user_name.as_bytes())?, text(options.export.as_bytes())?);
    let n_uname = options.user.map_or(PeerUid::NONE, PeerUid);
    let fid = rpc.new_fid()?;
    let answer = rpc.call(Tattach { fid, afid: Fid::NONE, uname, aname, n_uname })?;
    let held = Held::new(rpc, fid);
    let Rattach { qid } = answer.body()?;
    let answer = rpc.call(Tgetattr { fid, mask: GetattrMask::ALL })?;
    let Rgetattr { valid, attr: stat, .. } = answer.body()?;
    let kind = attr::attr(number, qid, valid, &stat)?.kind;
    Ok(Node::new(Arc::new(held), qid, kind))
}

impl Client {
    /// The root, a second time: the one that was attached to is kept.
    pub(crate) fn attach(&self) -> Result<(Node, Attr), Errno> {
        let attr = self.getattr(&self.root)?;
        let held = Arc::new(self.clone_fid(&self.root.held)?);
        Ok((Node::new(held, self.root.qid, self.root.kind), attr))
    }
}
