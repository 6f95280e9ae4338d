//! What tests share: a tree, and what is done in it.

use std::os::fd::BorrowedFd;

use super::{File, MemFs, Node};
use crate::{
    AccessMode, Backend, CreateFlags, Errno, Name, OpenFlags, Owner, Result, Sink, Source, XattrName,
    XattrPolicy,
};

/// A tree of 1 MiB and its root.
pub(crate) fn tree() -> (MemFs, Node) {
    let fs = MemFs::new(1 << 20);
    let root = fs.attach().unwrap().0;
    (fs, root)
}

pub(crate) fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

pub(crate) fn xattr(text: &str) -> XattrName<'_> {
    XattrPolicy::All.admit(text.as_bytes()).unwrap()
}

/// A new file with mode 0644, and opened.
pub(crate) fn file(fs: &MemFs, dir: &Node, at: &str, access: AccessMode) -> (Node, File) {
    let flags = CreateFlags { open: OpenFlags::new(access), exclusive: true };
    let (node, file, _) = fs.create(dir, name(at), flags, 0o644, Owner::default()).unwrap();
    (node, file)
}

pub(crate) fn dir(fs: &MemFs, dir: &Node, at: &str) -> Node {
    fs.mkdir(dir, name(at), 0o755, Owner::default()).unwrap().0
}

/// The names in a directory, in the order it lists them.
pub(crate) fn names<B: Backend>(fs: &B, dir: &B::Node) -> Vec<String> {
    let file = fs.open(dir, OpenFlags::new(AccessMode::Read)).unwrap();
    let mut names = Vec::new();
    let mut each = |entry: crate::Entry<'_>| {
        names.push(String::from_utf8_lossy(entry.name.as_bytes()).into_owned());
        true
    };
    fs.readdir(&file, 0, usize::MAX, &mut each).unwrap();
    names
}

pub(crate) fn write<B: Backend>(fs: &B, file: &B::File, offset: u64, bytes: &[u8]) -> Result<usize> {
    fs.write(file, offset, &mut Taken(bytes))
}

pub(crate) fn read<B: Backend>(fs: &B, file: &B::File, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut into = Given { bytes: Vec::new(), len };
    let count = fs.read(file, offset, len, &mut into)?;
    assert_eq!(count, into.bytes.len());
    Ok(into.bytes)
}

struct Taken<'a>(&'a [u8]);

impl Source for Taken<'_> {
    fn left(&self) -> usize {
        self.0.len()
    }
    fn take(&mut self, room: &mut [u8]) -> usize {
        let (now, later) = self.0.split_at(room.len().min(self.0.len()));
        room[..now.len()].copy_from_slice(now);
        self.0 = later;
        now.len()
    }
    fn push(&mut self, _: BorrowedFd<'_>, _: u64) -> Result<usize> {
        Err(Errno::EOPNOTSUPP)
    }
}

struct Given {
    bytes: Vec<u8>,
    len: usize,
}

impl Sink for Given {
    fn room(&self) -> usize {
        self.len - self.bytes.len()
    }
    fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.bytes.extend_from_slice(&bytes[..count]);
        count
    }
    fn pull(&mut self, _: BorrowedFd<'_>, _: u64, _: usize) -> Result<usize> {
        Err(Errno::EOPNOTSUPP)
    }
}
