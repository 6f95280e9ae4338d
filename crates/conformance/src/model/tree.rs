//! Everything below a root.

use std::collections::HashMap;

use gofer_vfs::{
    AccessMode, Attr, Backend, EntryName, FileKind, Gid, Name, OpenFlags, Result, Time, Uid, XattrPolicy,
};

use super::side::{Look, read, xattrs};

/// How many bytes of each file are looked at.
const CONTENT_MAX: usize = 1 << 16;

/// A whole tree as it was when it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Tree {
    leaves: Vec<Leaf>,
}

/// One name in a tree, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The names from the root, each with a `/` before it.
    pub path: Vec<u8>,
    /// The attributes; reading a tree moves atime, which is left out.
    pub attr: Attr,
    /// The first bytes of a regular file, the target of a symbolic link.
    pub inside: Vec<u8>,
    /// The extended attributes of the user.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What can be compared of a [`Leaf`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    path: Vec<u8>,
    look: Look,
    inside: Vec<u8>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Tree {
    /// Reads the tree of a backend.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn read<B: Backend>(backend: &B) -> Result<Self> {
        let mut leaves = Vec::new();
        let (root, attr) = backend.attach()?;
        let mut waiting = vec![(Vec::new(), root, attr)];
        while let Some((path, node, attr)) = waiting.pop() {
            let mut inside = Vec::new();
            match attr.kind {
                FileKind::Directory => {
                    for name in children(backend, &node)? {
                        let (child, attr) = backend.walk(&node, Name::new(&name)?)?;
                        waiting.push(([&path[..], b"/", &name].concat(), child, attr));
                    }
                }
                FileKind::Regular => {
                    let file = backend.open(&node, OpenFlags::new(AccessMode::Read))?;
                    inside = read(backend, &file, 0, CONTENT_MAX)?;
                }
                FileKind::Symlink => backend.readlink(&node, &mut inside)?,
                FileKind::Socket | FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => {}
            }
            let xattrs = values(backend, &node)?;
            leaves.push(Leaf { path, attr: Attr { atime: Time::default(), ..attr }, inside, xattrs });
        }
        leaves.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { leaves })
    }

    /// What of it can be compared with the tree of another backend. Files with several names are told by the
    /// first of them.
    pub(super) fn into_looks(self, server: (Uid, Gid)) -> Vec<Seen> {
        let mut first = HashMap::new();
        let leaves = self.leaves.into_iter().enumerate();
        let seen = leaves.map(|(number, Leaf { path, attr, inside, xattrs })| {
            let same_as = *first.entry(attr.id).or_insert(number);
            Seen { path, look: Look::new(&attr, server, Some(same_as)), inside, xattrs }
        });
        seen.collect()
    }
}

fn children<B: Backend>(backend: &B, dir: &B::Node) -> Result<Vec<Vec<u8>>> {
    let file = backend.open(dir, OpenFlags::new(AccessMode::Read))?;
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        let before = cookie;
        backend.readdir(&file, cookie, usize::MAX, &mut |entry| {
            cookie = entry.cookie;
            if let EntryName::Child(name) = entry.name {
                names.push(name.as_bytes().to_vec());
            }
            true
        })?;
        if cookie == before {
            return Ok(names);
        }
    }
}

fn values<B: Backend>(backend: &B, node: &B::Node) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut values = Vec::new();
    for name in xattrs(backend, node)? {
        let mut value = Vec::new();
        backend.getxattr(node, XattrPolicy::User.admit(&name)?, &mut value)?;
        values.push((name, value));
    }
    Ok(values)
}
