//! Our client against a server that is honest until the input has it lie: about bytes, sizes, tags, errnos, and the
//! descriptors that come with them. Whatever it says, every call ends, and no more comes than was asked for.
#![no_main]

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gofer_client::{Client, Dialect, Options};
use gofer_conformance::sample;
use gofer_fuzz::conversation::How;
use gofer_fuzz::frames::Form;
use gofer_fuzz::{Conversation, Input};
use gofer_sys::shm;
use gofer_transport::{ClientStream, Descriptors, ReadInto, Stream, WriteFrom};
use gofer_vfs::{
    AccessMode, Allocate, AllocateKind, Backend, CreateFlags, Errno, Lock, LockKind, MemFs, Name, OpenFlags,
    Owner, RenameFlags, SetAttr, SetTime, SocketKind, Special, Time, Unlink, XattrFlags, XattrPolicy,
};
use gofer_wire::p9::{HEADER, Header, Reply, Rlerror, Tag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let how = input.u8();
    let tree = MemFs::new(1 << 20);
    sample::lay(&tree).expect("room for a sample");
    let server = Server {
        // The bytes that are left are shared: an operation takes some, then each reply to it.
        input: data.get(1..).unwrap_or_default().to_vec().into(),
        conversation: Conversation::new(tree, How::OPEN),
        asked: Vec::new(),
        given: VecDeque::new(),
        held: None,
        is_over: false,
    };
    let liar = Liar {
        server: Arc::new(Mutex::new(server)),
        passes_descriptors: how & 1 != 0,
        waits: how & 0xe2 == 2,
    };
    let options = Options {
        dialect: [None, Some(Dialect::Base), Some(Dialect::Google), None][usize::from(how >> 2 & 3)],
        msize: if how & 16 == 0 { 4096 } else { 1 << 20 },
        timeout: liar.waits.then_some(Duration::from_millis(2)),
        ..Options::default()
    };
    let server = Arc::clone(&liar.server);
    let Ok(client) = Client::over(liar, &options) else { return };
    let mut user = User { client: &client, server, nodes: Vec::new(), files: Vec::new() };
    while let Some(operation) = user.next() {
        user.run(operation);
    }
});

/// What is left of the input.
struct Left(VecDeque<u8>);

impl From<Vec<u8>> for Left {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Left {
    fn u8(&mut self) -> u8 {
        self.0.pop_front().unwrap_or(0)
    }

    fn number(&mut self) -> u64 {
        // Small numbers and those at the edges.
        let bits = self.u8();
        let number = u64::from(self.u8());
        match bits >> 6 {
            0 => number,
            1 => number << (bits & 63),
            2 => u64::MAX - number,
            _ => (1 << (bits & 31)) - 1 + number,
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.u8()).min(self.0.len());
        self.0.drain(..len).collect()
    }
}

/// The server behind the stream.
struct Server {
    input: Left,
    conversation: Conversation<MemFs>,
    /// What came of a request.
    asked: Vec<u8>,
    given: VecDeque<Given>,
    /// A reply that comes behind the next.
    held: Option<Given>,
    is_over: bool,
}

/// Bytes on their way to the client, and what comes with the first.
type Given = (VecDeque<u8>, Option<OwnedFd>);

impl Server {
    /// Answers whole requests.
    fn answer(&mut self) {
        while let Some(size) = self.asked.first_chunk().map(|size| u32::from_le_bytes(*size) as usize) {
            if size > self.asked.len() || self.is_over {
                return;
            }
            let rest = self.asked.split_off(size);
            let frame = std::mem::replace(&mut self.asked, rest);
            match self.conversation.ask(&frame) {
                Some(answer) => self.give(answer.frame),
                None => self.is_over = true,
            }
        }
    }

    /// Sends a reply, or a lie.
    fn give(&mut self, mut frame: Vec<u8>) {
        let lie = self.input.u8();
        let descriptor = descriptor(lie >> 5);
        let tag = Header::decode(frame.first_chunk().expect("a whole frame")).tag;
        let held = self.held.take();
        match lie & 0x1f {
            1 | 2 => {
                let at = usize::from(self.input.u8()) % frame.len();
                frame[at] ^= self.input.u8();
            }
            3 => {
                let at = frame.len() - 1 - usize::from(self.input.u8()) % frame.len();
                frame[at] ^= self.input.u8();
            }
            4 | 5 => {
                frame.truncate(HEADER);
                frame.extend(self.input.bytes());
                Form::P9.fix(&mut frame);
            }
            6 => {
                frame.truncate(HEADER + usize::from(self.input.u8()));
                Form::P9.fix(&mut frame);
            }
            7 => {
                frame.extend(self.input.bytes());
                Form::P9.fix(&mut frame);
            }
            8 => {
                let ecode = u32::try_from(self.input.number()).unwrap_or(u32::MAX);
                Reply::from(Rlerror { ecode }).encode(tag, &mut frame);
            }
            9 => {
                frame[4] = self.input.u8();
                let given = self.input.bytes();
                frame.truncate(HEADER);
                frame.extend(given);
                Form::P9.fix(&mut frame);
            }
            10 => {
                let Tag(other) = tag;
                let [low, high] = other.wrapping_add(self.input.u8().into()).to_le_bytes();
                frame[5..HEADER].copy_from_slice(&[low, high]);
            }
            11 => self.given.push_back((frame.clone().into(), None)),
            12 => frame.clear(),
            13 => {
                self.held = Some((std::mem::take(&mut frame).into(), None));
            }
            14 => frame = self.input.bytes(),
            15 => self.is_over = true,
            _ => {}
        }
        if !frame.is_empty() {
            self.given.push_back((frame.into(), descriptor));
        }
        self.given.extend(held);
    }
}

/// Descriptors that a server might give away.
fn descriptor(which: u8) -> Option<OwnedFd> {
    match which {
        1 => File::open("/proc/self/exe").ok().map(OwnedFd::from),
        2 => File::open("/").ok().map(OwnedFd::from),
        3 => File::open("/dev/zero").ok().map(OwnedFd::from),
        4 => shm::create("given", 8192).ok(),
        5 => std::io::pipe().ok().map(|(reader, _)| reader.into()),
        _ => None,
    }
}

struct Liar {
    server: Arc<Mutex<Server>>,
    passes_descriptors: bool,
    waits: bool,
}

impl Liar {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().expect("nobody panics")
    }
}

impl Stream for Liar {
    fn recv(&self, into: &mut Vec<u8>, limit: usize) -> Result<usize, Errno> {
        self.recv_with_descriptors(into, limit).map(|(received, _)| received)
    }

    fn send(&self, head: &[u8], payload: &[u8], _: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut server = self.server();
        if server.is_over {
            return Err(Errno::EPIPE);
        }
        server.asked.extend_from_slice(head);
        server.asked.extend_from_slice(payload);
        server.answer();
        Ok(())
    }

    fn passes_descriptors(&self) -> bool {
        self.passes_descriptors
    }

    fn close_input(&self) {}

    fn tell_quiet(&self, _: Option<Duration>) {}

    fn close(&self) {
        self.server().is_over = true;
    }
}

impl ClientStream for Liar {
    fn recv_with_descriptors(&self, into: &mut Vec<u8>, limit: usize) -> Result<(usize, Descriptors), Errno> {
        let mut guard = self.server();
        let server = &mut *guard;
        let limit = limit.min(into.capacity() - into.len());
        assert!(limit > 0, "there is always room");
        match server.given.front_mut() {
            Some((bytes, descriptor)) => {
                let received = limit.min(bytes.len());
                into.extend(bytes.drain(..received));
                let descriptor = descriptor.take();
                if bytes.is_empty() {
                    server.given.pop_front();
                }
                Ok((received, [descriptor, None]))
            }
            // Nothing comes by itself: whoever waits without a limit would wait for ever.
            None if self.waits && !server.is_over => Err(Errno::EAGAIN),
            None => Ok((0, Descriptors::default())),
        }
    }

    fn tell_stuck(&self, _: Option<Duration>) {}
}

/// A call has ended, however: that is all it has to do.
fn ended<T>(_: T) {}

/// A program that uses the client.
struct User<'c> {
    client: &'c Client,
    server: Arc<Mutex<Server>>,
    nodes: Vec<gofer_client::Node>,
    files: Vec<gofer_client::File>,
}

const NAMES: [&[u8]; 8] = [b"file", b"dir", b"link", b"new", b"other", b"fifo", b"socket", b"empty"];
const PATHS: [&str; 6] = ["file", "dir/sub/deep", "dir/inner", "", "dir/sub/none/deeper", "link/file"];

impl User<'_> {
    /// The next operation, while there is one and the server is there.
    fn next(&self) -> Option<u8> {
        let mut server = self.server.lock().expect("nobody panics");
        if server.input.0.is_empty() || self.client.ended().is_some() {
            None
        } else {
            Some(server.input.u8())
        }
    }

    fn byte(&self) -> u8 {
        self.server.lock().expect("nobody panics").input.u8()
    }

    fn number(&self) -> u64 {
        self.server.lock().expect("nobody panics").input.number()
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

    fn run(&mut self, operation: u8) {
        let client = self.client;
        let pick = |len: usize| (len > 0).then(|| usize::from(self.byte()) % len.max(1));
        let node = pick(self.nodes.len()).map(|at| self.nodes[at].clone());
        let Some(node) = node.or_else(|| client.attach().ok().map(|(node, _)| node)) else { return };
        let mut made = None;
        match operation % 40 {
            0 => made = client.attach().ok().map(|(node, _)| node),
            1..=3 => made = client.find(self.path()).ok().map(|(node, _)| node),
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
                if let Ok(mut reader) = client.reader(self.path()) {
                    let mut text = [0; 100];
                    ended(std::io::Read::read(&mut reader, &mut text));
                }
            }
            _ => self.run_file(operation % 13),
        }
        self.nodes.extend(made);
        self.nodes.truncate(32);
        self.files.truncate(32);
    }

    fn run_xattr(&self, node: &gofer_client::Node) {
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
