//! [`User`]: a program that uses a client in any way there is.

use std::io::Read;
use std::sync::{Arc, Mutex};

use gofer_client::{Client, lisafs};
use gofer_transport::{ReadInto, WriteFrom};
use gofer_vfs::{
    AccessMode, Allocate, AllocateKind, Backend, CreateFlags, Lock, LockKind, Name, OpenFlags, Owner,
    RenameFlags, Result, SetAttr, SetTime, SocketKind, Special, Time, Unlink, XattrFlags, XattrPolicy,
};

use crate::liar::Left;

/// What clients have besides.
pub trait Tree: Backend {
    /// Whether the connection has ended.
    fn has_ended(&self) -> bool;

    /// What a path leads to.
    fn find(&self, path: &str) -> Result<Self::Node>;

    /// Reads a little of the file that a path leads to.
    fn read_path(&self, path: &str);
}

macro_rules! tree {
    ($($client:ty)*) => { $(
        impl Tree for $client {
            fn has_ended(&self) -> bool {
                self.ended().is_some()
            }

            fn find(&self, path: &str) -> Result<Self::Node> {
                self.find(path).map(|(node, _)| node)
            }

            fn read_path(&self, path: &str) {
                if let Ok(mut reader) = self.reader(path) {
                    ended(reader.read(&mut [0; 100]));
                }
            }
        }
    )* };
}

tree! { Client lisafs::Client }

/// A call has ended, however: that is all it has to do.
fn ended<T>(_: T) {}

/// A program that uses the client.
pub struct User<'c, C: Tree> {
    client: &'c C,
    input: Arc<Mutex<Left>>,
    nodes: Vec<C::Node>,
    files: Vec<C::File>,
}

const NAMES: [&[u8]; 8] = [b"file", b"dir", b"link", b"new", b"other", b"fifo", b"socket", b"empty"];
const PATHS: [&str; 6] = ["file", "dir/sub/deep", "dir/inner", "", "dir/sub/none/deeper", "link/file"];

impl<'c, C: Tree> User<'c, C> {
    /// Nothing is held yet.
    pub fn new(client: &'c C, input: Arc<Mutex<Left>>) -> Self {
        Self { client, input, nodes: Vec::new(), files: Vec::new() }
    }

    /// Uses the client while there is input and a connection.
    pub fn run(mut self) {
        while let Some(operation) = self.next() {
            self.step(operation);
        }
    }

    /// The next operation, while there is one and the server is there.
    fn next(&self) -> Option<u8> {
        let mut input = self.input.lock().expect("nobody panics");
        if input.is_empty() || self.client.has_ended() { None } else { Some(input.u8()) }
    }

    fn byte(&self) -> u8 {
        self.input.lock().expect("nobody panics").u8()
    }

    fn number(&self) -> u64 {
        self.input.lock().expect("nobody panics").number()
    }

    fn name(&self) -> Name<'static> {
        Name::new(NAMES[usize::from(self.byte()) % NAMES.len()]).expect("a name")
    }

    fn path(&self) -> &'static str {
        PATHS[usize::from(self.byte()) % PATHS.len()]
    }

    fn len(&self) -> usize {
        usize::try_from(self.number()).unwrap_or(usize::MAX) % 20_000
    }

    fn flags(&self) -> OpenFlags {
        let byte = self.byte();
        let access = [AccessMode::Read, AccessMode::Write, AccessMode::ReadWrite][usize::from(byte % 3)];
        OpenFlags {
            truncate: byte & 16 != 0,
            append: byte & 32 != 0,
            clears_set_id: byte & 64 != 0,
            directory: byte & 128 != 0,
            ..OpenFlags::new(access)
        }
    }

    fn step(&mut self, operation: u8) {
        let client = self.client;
        let pick = |len: usize| (len > 0).then(|| usize::from(self.byte()) % len.max(1));
        let node = pick(self.nodes.len()).map(|at| self.nodes[at].clone());
        let Some(node) = node.or_else(|| client.attach().ok().map(|(node, _)| node)) else { return };
        let mut made = None;
        match operation % 40 {
            0 => made = client.attach().ok().map(|(node, _)| node),
            1..=3 => made = client.find(self.path()).ok(),
            4 | 5 => made = client.walk(&node, self.name()).ok().map(|(node, _)| node),
            6 => ended(client.lookup(&node, self.name())),
            7..=9 => {
                let flags = self.flags();
                if let Ok(file) = client.open(&node, flags) {
                    self.files.push(file);
                }
            }
            10 => {
                let flags = CreateFlags { open: self.flags(), exclusive: self.byte() & 1 == 0 };
                let name = self.name();
                if let Ok((node, file, _)) = client.create(&node, name, flags, 0o644, Owner::default()) {
                    made = Some(node);
                    self.files.push(file);
                }
            }
            11 => ended(client.getattr(&node)),
            12 => {
                let byte = self.byte();
                let set = SetAttr {
                    perm: (byte & 1 != 0).then_some(0o6755),
                    size: (byte & 2 != 0).then(|| self.number()),
                    mtime: (byte & 4 != 0).then_some(SetTime::Now),
                    atime: (byte & 8 != 0).then(|| SetTime::At(Time::default())),
                    ctime: byte & 16 != 0,
                    ..SetAttr::default()
                };
                ended(client.setattr(&node, self.files.last(), &set));
            }
            13 => ended(client.statfs(&node)),
            14 => ended(client.readlink(&node, &mut Vec::new())),
            15 => made = client.mkdir(&node, self.name(), 0o755, Owner::default()).ok().map(|(node, _)| node),
            16 => {
                let what = [Special::Regular, Special::Fifo, Special::Socket][usize::from(self.byte() % 3)];
                made = client
                    .mknod(&node, self.name(), what, 0o644, Owner::default())
                    .ok()
                    .map(|(node, _)| node);
            }
            17 => {
                let target = self.path().as_bytes();
                made =
                    client.symlink(&node, self.name(), target, Owner::default()).ok().map(|(node, _)| node);
            }
            18 => ended(self.nodes.last().map(|other| client.link(&node, other, self.name()))),
            19 => {
                let other = self.nodes.last().unwrap_or(&node);
                ended(client.rename(&node, self.name(), other, self.name(), RenameFlags::Replace));
            }
            20 => {
                let what = if self.byte() & 1 == 0 { Unlink::File } else { Unlink::Directory };
                ended(client.unlink(&node, self.name(), what));
            }
            21 | 22 => self.run_xattr(&node),
            23 => ended(client.connect(&node, SocketKind::Stream, None)),
            24 => drop(self.nodes.pop()),
            25 => drop(self.files.pop()),
            26 => {
                ended(client.read_path(self.path()));
            }
            _ => self.run_file(operation % 13),
        }
        self.nodes.extend(made);
        self.nodes.truncate(32);
        self.files.truncate(32);
    }

    fn run_xattr(&self, node: &C::Node) {
        let (client, byte) = (self.client, self.byte());
        let name = XattrPolicy::User.admit(b"user.name").expect("a name of an attribute");
        match byte % 4 {
            0 => ended(client.getxattr(node, name, &mut Vec::new())),
            1 => ended(client.setxattr(node, name, &vec![1; usize::from(byte)], XattrFlags::Any)),
            2 => ended(client.listxattr(node, &mut Vec::new())),
            _ => ended(client.removexattr(node, name)),
        }
    }

    fn run_file(&self, operation: u8) {
        let client = self.client;
        let Some(file) = self.files.last() else { return };
        let lock = |kind| Lock { kind, start: self.number(), length: self.number() };
        match operation {
            0..=3 => {
                let (mut bytes, len) = (Vec::new(), self.len());
                if let Ok(read) = client.read(file, self.number(), len, &mut ReadInto::new(&mut bytes, len)) {
                    assert!(read <= len && bytes.len() <= len, "{read} and {} of {len}", bytes.len());
                }
            }
            4 | 5 => {
                let bytes = vec![7; self.len()];
                if let Ok(written) = client.write(file, self.number(), &mut WriteFrom(&bytes)) {
                    assert!(written <= bytes.len());
                }
            }
            6 => ended(client.fsync(file, self.byte() & 1 == 0)),
            7 => ended(client.flush(file)),
            8 => {
                let what = Allocate {
                    kind: AllocateKind::Reserve,
                    keep_size: false,
                    offset: self.number(),
                    length: 1,
                };
                ended(client.allocate(file, what));
            }
            9 | 10 => {
                // A server may list for ever; the caller takes what it likes.
                let mut left = 200;
                let each = &mut |entry: gofer_vfs::Entry<'_>| {
                    assert!(!entry.name.as_bytes().contains(&b'/'), "a name is one step");
                    left -= 1;
                    left > 0
                };
                ended(client.readdir(file, self.number(), 4096, each));
            }
            11 => {
                let kind =
                    [LockKind::Shared, LockKind::Exclusive, LockKind::Unlock][usize::from(self.byte() % 3)];
                ended(client.lock(file, lock(kind)));
                ended(client.getlock(file, lock(LockKind::Exclusive)));
            }
            _ => ended(client.donate(file)),
        }
    }
}
