//! The first inputs of the targets for lisafs: conversations that use every operation, and that try to get out.

use std::fs;
use std::io;
use std::path::Path;

use gofer_fuzz::conversation::How;
use gofer_vfs::{Name, PeerGid, PeerUid};
use gofer_wire::lisafs::*;
use gofer_wire::{List, ListBuf, Str, Wire};

/// A client's requests, one behind the other.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    requests: Vec<(u16, Vec<u8>)>,
}

impl Stream {
    fn ask<'a, M: Operation<'a>>(&mut self, message: &M) {
        let mut head = Vec::new();
        let rest = frame(M::NUMBER, message, &mut head);
        head.extend_from_slice(rest);
        self.requests.push((M::NUMBER, head[HEADER..].to_vec()));
        self.bytes.extend_from_slice(&head);
    }

    fn walk(&mut self, dir: u64, path: &[&str]) {
        let mut room = Vec::new();
        self.ask(&WalkReq { dir: FdId(dir), names: names(&mut room, path) });
        let mut room = Vec::new();
        self.ask(&WalkStatReq { dir: FdId(dir), names: names(&mut room, path) });
    }
}

fn names<'b>(room: &'b mut Vec<u8>, path: &[&str]) -> List<'b, Str<'b>> {
    let mut names = ListBuf::new(room);
    assert!(path.iter().all(|name| names.push_str(text(name))));
    names.finish()
}

fn list<'b, T: Wire<'b>>(room: &'b mut Vec<u8>, elements: &[T]) -> List<'b, T> {
    let mut list = ListBuf::new(room);
    assert!(elements.iter().all(|element| list.push(element)));
    list.finish()
}

fn text(text: &str) -> Str<'_> {
    Str::new(text.as_bytes()).expect("a short text")
}

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).expect("a name")
}

fn create(dir: u64, mode: u16) -> Create {
    Create { dir: FdId(dir), uid: PeerUid::NONE, gid: PeerGid::NONE, mode, pad: Pad }
}

/// Files: the root is 1, what is created 2 and 3.
fn files() -> Stream {
    let mut stream = Stream::default();
    let (place, open) = (FdId(2), FdId(3));
    let still = Timespec { sec: 1, nsec: Timespec::NOW };
    stream.ask(&MountReq);
    stream.ask(&OpenCreateAtReq { create: create(1, 0o644), flags: 2, name: name("new") });
    stream.ask(&PWriteReq { offset: 0, fd: open, data: Written(b"content") });
    stream.ask(&PReadReq { offset: 0, fd: open, count: 100, pad: Pad });
    stream.ask(&FAllocateReq { fd: open, mode: 0, offset: 0, length: 4096 });
    let mut room = Vec::new();
    stream.ask(&FSyncReq { fds: list(&mut room, &[open]) });
    stream.ask(&FlushReq { fd: open });
    stream.ask(&FStatReq { fd: open });
    stream.ask(&FStatFsReq { fd: place });
    let (uid, gid, mask) = (PeerUid(0), PeerGid(0), SetStatReq::ALL);
    stream.ask(&SetStatReq { fd: place, mask, mode: 0o600, uid, gid, size: 3, atime: still, mtime: still });
    stream.ask(&OpenAtReq { fd: place, flags: OpenAtReq::TRUNC | 1, pad: Pad });
    stream.ask(&FSetXattrReq { fd: place, flags: 0, name: text("user.a"), value: text("value") });
    stream.ask(&FGetXattrReq { fd: place, size: 0, name: text("user.a") });
    stream.ask(&FListXattrReq { fd: place, size: 0 });
    stream.ask(&FRemoveXattrReq { fd: place, name: text("user.a") });
    let mut room = Vec::new();
    stream.ask(&CloseReq { fds: list(&mut room, &[place, open]) });
    stream
}

/// Directories: the root is 1.
fn directories() -> Stream {
    let mut stream = Stream::default();
    let root = FdId(1);
    stream.ask(&MountReq);
    stream.ask(&MkdirAtReq { create: create(1, 0o755), name: name("new") });
    stream.ask(&MknodAtReq { create: create(2, 0o100_644), minor: 0, major: 0, name: name("file") });
    let nobody = (PeerUid::NONE, PeerGid::NONE);
    stream.ask(&SymlinkAtReq {
        dir: root,
        uid: nobody.0,
        gid: nobody.1,
        name: name("link"),
        target: text("new/file"),
    });
    stream.ask(&ReadLinkAtReq { fd: FdId(4) });
    stream.ask(&LinkAtReq { dir: root, target: FdId(3), name: name("again") });
    let (old_name, new_name) = (name("again"), name("moved"));
    stream.ask(&RenameAtReq { old_dir: root, new_dir: FdId(2), old_name, new_name });
    let (old_name, new_name) = (name("new"), name("link"));
    let flags = RenameAt2Req::EXCHANGE;
    stream.ask(&RenameAt2Req { old_dir: root, new_dir: root, old_name, new_name, flags });
    stream.ask(&OpenAtReq { fd: root, flags: 0, pad: Pad });
    for count in [-4096, 4096] {
        stream.ask(&Getdents64Req { fd: FdId(6), count, pad: Pad });
    }
    stream.ask(&UnlinkAtReq { dir: root, flags: 0, name: name("new") });
    stream.ask(&UnlinkAtReq { dir: root, flags: UnlinkAtReq::REMOVEDIR, name: name("link") });
    stream
}

/// Sockets and channels.
fn sockets() -> Stream {
    let mut stream = Stream::default();
    stream.ask(&MountReq);
    stream.ask(&ChannelReq);
    stream.ask(&BindAtReq { create: create(1, 0o755), kind: 1, name: name("new") });
    stream.ask(&ListenReq { fd: FdId(3), backlog: 1, pad: Pad });
    let connect = ConnectReq { fd: FdId(2), kind: 1, pad: Pad };
    stream.ask(&connect);
    stream.ask(&ConnectWithCredsReq { connect, uid: PeerUid(0), gid: PeerGid(0) });
    stream.ask(&AcceptReq { fd: FdId(3) });
    stream
}

/// A client that goes where a path of links would lead out, and does what it can there.
fn leave(path: &[&str]) -> Stream {
    let mut stream = Stream::default();
    stream.ask(&MountReq);
    stream.walk(1, path);
    for fd in 2..5 {
        stream.ask(&OpenAtReq { fd: FdId(fd), flags: 0, pad: Pad });
        stream.ask(&Getdents64Req { fd: FdId(fd + 1), count: -4096, pad: Pad });
        stream.ask(&ReadLinkAtReq { fd: FdId(fd) });
        stream.ask(&MkdirAtReq { create: create(fd, 0o755), name: name("new") });
        stream.ask(&LinkAtReq { dir: FdId(1), target: FdId(fd), name: name("taken") });
        stream.ask(&UnlinkAtReq { dir: FdId(fd), flags: 0, name: name("link") });
        stream.walk(fd, &["sub"]);
    }
    stream
}

pub(crate) fn write(to: &Path) -> io::Result<()> {
    let all = [("files", files()), ("directories", directories()), ("sockets", sockets())];
    let ways_out = super::WAYS_OUT.into_iter().enumerate();
    let ways_out = ways_out.map(|(number, path)| (format!("out-{number}"), leave(path)));
    for (name, stream) in all.map(|(name, stream)| (name.to_owned(), stream)).into_iter().chain(ways_out) {
        for how in [How::OPEN.0, How::OPEN.0 | 1, How::OPEN.0 | 1 << 6, How::OPEN.0 | 1 << 7] {
            let input = [&[how][..], &stream.bytes].concat();
            fs::write(to.join("lisafs").join(format!("{name}-{how}")), &input)?;
            fs::write(to.join("lisafs_host").join(format!("{name}-{how}")), &input)?;
        }
        for (at, (number, payload)) in stream.requests.into_iter().enumerate() {
            let number = u8::try_from(number).unwrap_or_default();
            fs::write(
                to.join("lisafs_decode").join(format!("{name}-{at}")),
                [&[number], &payload[..]].concat(),
            )?;
        }
    }
    Ok(())
}
