//! What a server offers: exports, their policies, and how an attach name finds one.

use gofer_vfs::{Errno, FileId, FileKind, IdMap, Name, NameBuf, Result, XattrPolicy};
use gofer_wire::p9::Qid;

use crate::p9::Qids;
use crate::quota::Quota;

/// What a client may do with unix sockets of the host that it finds in an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostSockets {
    /// Nothing.
    #[default]
    None,
    /// Connect to them.
    Connect,
    /// Make new ones where the protocol can.
    Make,
    /// Both.
    All,
}

impl HostSockets {
    /// Whether clients may connect to them.
    pub fn may_connect(self) -> bool {
        matches!(self, Self::Connect | Self::All)
    }

    /// Whether clients may make new ones.
    pub fn may_make(self) -> bool {
        matches!(self, Self::Make | Self::All)
    }
}

/// What clients of an export may do beyond files and directories.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Which extended attributes they see and set.
    pub xattr: XattrPolicy,
    /// What they may do with unix sockets.
    pub sockets: HostSockets,
    /// Whether connections to them are made as the user that the client names, where the protocol lets it and the
    /// process may.
    pub credentials: bool,
    /// Whether FIFOs may be opened (by clients that can take a descriptor).
    pub fifos: bool,
    /// Whether they may make device nodes. Such a node is never opened here, but it is one for every
    /// program of the host that can reach it.
    pub devices: bool,
    /// Whether a client of this export that asks for a change and is answered `EROFS` is cut off.
    pub strict: bool,
    /// How their user and group ids become the host's.
    pub ids: IdMap,
}

/// A file tree under a name.
#[derive(Debug)]
pub struct Export<B> {
    /// The first component of an attach name that means this export. Without one, the whole attach name is
    /// a path inside, and there can be no other export.
    pub name: Option<NameBuf>,
    /// The tree.
    pub backend: B,
    /// What clients may do with it.
    pub policy: Policy,
}

/// The exports of a server, and the identities of their files.
#[derive(Debug)]
pub(crate) struct Exports<B> {
    all: Vec<Export<B>>,
    qids: Qids,
    /// The descriptors of all open files.
    descriptors: Quota,
}

impl<B> Exports<B> {
    pub(crate) fn new(exports: Vec<Export<B>>, descriptors: usize) -> Self {
        Self { all: exports, qids: Qids::default(), descriptors: Quota::new(descriptors) }
    }

    /// A connection's part of the descriptors for open files.
    pub(crate) fn descriptors(&self) -> Quota {
        self.descriptors.part()
    }

    /// The export that an attach name means, and the path inside it that is left.
    ///
    /// A leading `/` is dropped. Nothing more means the only export; with several, there is no telling which.
    pub(crate) fn find<'n>(&self, aname: &'n [u8]) -> Result<(u16, &'n [u8])> {
        let path = aname.strip_prefix(b"/").unwrap_or(aname);
        if let [Export { name: None, .. }] = &self.all[..] {
            return Ok((0, path));
        }
        if path.is_empty() && self.all.len() == 1 {
            return Ok((0, path));
        }
        let (first, rest) = match path.iter().position(|b| *b == b'/') {
            // A path that ends in "/" has an empty last component.
            Some(end) if end + 1 == path.len() => return Err(Errno::EINVAL),
            Some(end) => (&path[..end], &path[end + 1..]),
            None => (path, &path[path.len()..]),
        };
        let first = Name::new(first).map_err(|_| Errno::ENOENT)?;
        let named = |export: &Export<B>| export.name.as_ref().is_some_and(|n| n.as_name() == first);
        let at = self.all.iter().position(named).and_then(|at| u16::try_from(at).ok());
        at.map(|at| (at, rest)).ok_or(Errno::ENOENT)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn backend(&self, at: u16) -> &B {
        &self.all[usize::from(at)].backend
    }

    pub(crate) fn policy(&self, at: u16) -> &Policy {
        &self.all[usize::from(at)].policy
    }

    /// The qid of a file in an export.
    ///
    /// # Errors
    /// Those of [`Qids::qid`].
    pub(crate) fn qid(&self, at: u16, id: FileId, kind: FileKind) -> Result<Qid> {
        self.qids.qid(at.into(), id, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exports(names: &[&str]) -> Exports<()> {
        let export = |name: &&str| Export {
            name: Name::new(name.as_bytes()).ok().map(NameBuf::from),
            backend: (),
            policy: Policy::default(),
        };
        Exports::new(names.iter().map(export).collect(), 0)
    }

    #[test]
    fn an_attach_name_finds_its_export() {
        let unnamed = exports(&[""]);
        assert_eq!(unnamed.find(b""), Ok((0, &b""[..])));
        assert_eq!(unnamed.find(b"/a/b"), Ok((0, &b"a/b"[..])));
        assert_eq!(unnamed.find(b"//a"), Ok((0, &b"/a"[..])));

        let one = exports(&["src"]);
        assert_eq!(one.find(b"/"), Ok((0, &b""[..])));
        assert_eq!(one.find(b"src"), Ok((0, &b""[..])));
        assert_eq!(one.find(b"other"), Err(Errno::ENOENT));
        assert_eq!(one.find(b"src/"), Err(Errno::EINVAL));

        let two = exports(&["src", "out"]);
        assert_eq!(two.find(b"/"), Err(Errno::ENOENT));
        assert_eq!(two.find(b"/out/x/y"), Ok((1, &b"x/y"[..])));
        assert_eq!(two.find(b"../src"), Err(Errno::ENOENT));
    }
}
