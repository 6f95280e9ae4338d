//! Connect, ConnectWithCreds, BindAt, Listen, Accept.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

fn connect(fd: FdId, kind: u32) -> ConnectReq {
    ConnectReq { fd, kind, pad: Pad }
}

fn stream(asked: Asked) -> UnixStream {
    let stream = UnixStream::from(asked.descriptors.into_iter().next().expect("a descriptor"));
    stream.set_nonblocking(false).expect("it can be done");
    stream
}

fn word(from: &mut UnixStream) -> String {
    let mut word = [0; 5];
    from.read_exact(&mut word).expect("as much as is announced");
    String::from_utf8(word.to_vec()).expect("it can be done")
}

#[test]
fn a_socket_of_the_host_is_connected_to() {
    let mut talk = Talk::new();
    let listener = UnixListener::bind(talk.path().join("s")).unwrap();
    let fd = talk.walk("s").fd;
    let mut ours = stream(talk.ask(&connect(fd, 1)).unwrap());
    ours.write_all(b"hello").unwrap();
    assert_eq!(word(&mut listener.accept().unwrap().0), "hello");
    let named = ConnectWithCredsReq { connect: connect(fd, 1), uid: PeerUid(1), gid: PeerGid(1) };
    assert!(talk.ask(&named).is_ok(), "as ourselves, where the policy says no more");
    assert_eq!(refused(talk.ask(&connect(fd, 2))), Errno::EPROTOTYPE);
    assert_eq!(refused(talk.ask(&connect(fd, 3))), Errno::ENXIO);
    assert_eq!(refused(talk.ask(&connect(fd, 0))), Errno::ENXIO);
    let root = talk.root;
    assert_eq!(refused(talk.ask(&connect(root, 1))), Errno::ENOTSOCK);
    drop(listener);
    assert_eq!(refused(talk.ask(&connect(fd, 1))), Errno::ECONNREFUSED);
    std::fs::remove_file(talk.path().join("s")).unwrap();
    assert_eq!(refused(talk.ask(&connect(fd, 1))), Errno::EINVAL);
}

#[test]
fn a_socket_is_made_listens_and_accepts() {
    let mut talk = Talk::new();
    let root = talk.root;
    let bind = BindAtReq { create: create(root, 0o755), kind: 1, name: named("s") };
    let asked = talk.ask(&bind).unwrap();
    let bound: BindAtResp = asked.reply();
    assert_eq!(asked.descriptors.len(), 1);
    assert_eq!(bound.fd.0, bound.child.fd.0 + 1);
    let host = std::fs::symlink_metadata(talk.path().join("s")).unwrap();
    assert!(host.file_type().is_socket());
    assert_eq!(host.mode() & 0o7777, 0o755);
    let stat: Statx = talk.ask(&FStatReq { fd: bound.child.fd }).unwrap().reply();
    assert_eq!(stat.ino, host.ino(), "of the file, not of the socket");
    assert_eq!(refused(talk.ask(&FStatReq { fd: bound.fd })), Errno::EINVAL);

    assert_eq!(refused(talk.ask(&AcceptReq { fd: bound.fd })), Errno::EINVAL, "it does not listen");
    assert!(talk.ask(&ListenReq { fd: bound.fd, backlog: 5, pad: Pad }).is_ok());
    assert_eq!(refused(talk.ask(&AcceptReq { fd: bound.fd })), Errno::EAGAIN);
    let mut theirs = UnixStream::connect(talk.path().join("s")).unwrap();
    let asked = talk.ask(&AcceptReq { fd: bound.fd }).unwrap();
    assert_eq!(asked.reply::<AcceptResp<'_>>().address.as_bytes(), b"");
    let mut ours = stream(asked);
    ours.write_all(b"hello").unwrap();
    assert_eq!(word(&mut theirs), "hello");

    assert_eq!(refused(talk.ask(&bind)), Errno::EADDRINUSE);
    assert_eq!(refused(talk.ask(&BindAtReq { kind: 3, ..bind })), Errno::ENXIO);
    let long = "n".repeat(120);
    assert_eq!(refused(talk.ask(&BindAtReq { name: named(&long), ..bind })), Errno::EINVAL);
    assert_eq!(refused(talk.ask(&ListenReq { fd: root, backlog: 5, pad: Pad })), Errno::EINVAL);
    assert_eq!(refused(talk.ask(&ListenReq { fd: FdId(99), backlog: 5, pad: Pad })), Errno::EBADF);

    std::fs::remove_file(talk.path().join("s")).unwrap();
    assert_eq!(refused(talk.ask(&ListenReq { fd: bound.fd, backlog: 5, pad: Pad })), Errno::EINVAL);
    assert_eq!(refused(talk.ask(&AcceptReq { fd: bound.fd })), Errno::EINVAL, "it has no name any more");
}

/// The client has the same open file description, and may let it wait: Accept waited then for as long as nobody
/// connected.
#[test]
fn accept_waits_for_nobody_whatever_the_client_does_to_the_socket() {
    let mut talk = Talk::new();
    let bind = BindAtReq { create: create(talk.root, 0o755), kind: 1, name: named("s") };
    let asked = talk.ask(&bind).unwrap();
    let fd = asked.reply::<BindAtResp>().fd;
    assert!(talk.ask(&ListenReq { fd, backlog: 5, pad: Pad }).is_ok());
    UnixListener::from(asked.descriptors.into_iter().next().unwrap()).set_nonblocking(false).unwrap();
    let path = talk.path().join("s");
    let late = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        UnixStream::connect(path).unwrap()
    });
    assert_eq!(refused(talk.ask(&AcceptReq { fd })), Errno::EAGAIN);
    late.join().unwrap();
    assert!(talk.ask(&AcceptReq { fd }).is_ok());
}

#[test]
fn the_policy_says_what_is_done_with_sockets() {
    for (sockets, connects) in [(HostSockets::None, false), (HostSockets::Connect, true)] {
        let policy = Policy { sockets, ..everything() };
        let mut talk = Talk::with(TempDir::new().unwrap(), false, policy, Settings::default());
        let _listener = UnixListener::bind(talk.path().join("s")).unwrap();
        let (root, fd) = (talk.root, talk.walk("s").fd);
        let connected = talk.ask(&connect(fd, 1)).map(drop);
        assert_eq!(connected, if connects { Ok(()) } else { Err(Errno::EPERM) });
        let bind = BindAtReq { create: create(root, 0o755), kind: 1, name: named("t") };
        assert_eq!(refused(talk.ask(&bind)), Errno::EPERM);
    }
}
