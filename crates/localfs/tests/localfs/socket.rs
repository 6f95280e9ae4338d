use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use gofer_vfs::{Backend, Errno, Owner, SocketKind, Special};
use rustix::fs::OFlags;

use crate::{Export, name, refused, status_flags};

#[test]
fn a_connection_carries_bytes() {
    let export = Export::new();
    let listener = UnixListener::bind(export.path("s")).unwrap();
    let socket = export.fs.connect(&export.node("s"), SocketKind::Stream, None).unwrap();
    assert!(status_flags(&socket).contains(OFlags::NONBLOCK));
    assert_eq!(rustix::io::fcntl_getfd(&socket).unwrap(), rustix::io::FdFlags::CLOEXEC);
    let (mut there, _) = listener.accept().unwrap();
    let mut here = UnixStream::from(socket);
    here.write_all(b"ping").unwrap();
    drop(here);
    let mut bytes = String::new();
    there.read_to_string(&mut bytes).unwrap();
    assert_eq!(bytes, "ping");
}

#[test]
fn a_path_of_any_length_and_a_new_name_are_no_hindrance() {
    let export = Export::new();
    let _listener = UnixListener::bind(export.path("s")).unwrap();
    let mut path = export.dir.path().to_path_buf();
    let (mut dir, _) = export.fs.attach().unwrap();
    for _ in 0..10 {
        let component = "d".repeat(200);
        path.push(&component);
        std::fs::create_dir(&path).unwrap();
        dir = export.fs.walk(&dir, name(&component)).unwrap().0;
    }
    std::fs::rename(export.path("s"), path.join("s")).unwrap();
    let (node, _) = export.fs.walk(&dir, name("s")).unwrap();
    std::fs::rename(path.join("s"), path.join("t")).unwrap();
    export.fs.connect(&node, SocketKind::Stream, None).unwrap();
    // Nor is there a need for a name at all.
    std::fs::remove_file(path.join("t")).unwrap();
    export.fs.connect(&node, SocketKind::Stream, None).unwrap();
}

#[test]
fn the_kind_of_socket_must_match() {
    let export = Export::new();
    let datagram = UnixDatagram::bind(export.path("d")).unwrap();
    let node = export.node("d");
    assert_eq!(refused(export.fs.connect(&node, SocketKind::Stream, None)), Errno::EPROTOTYPE);
    assert_eq!(refused(export.fs.connect(&node, SocketKind::SeqPacket, None)), Errno::EPROTOTYPE);
    let socket = UnixDatagram::from(export.fs.connect(&node, SocketKind::Datagram, None).unwrap());
    socket.send(b"packet").unwrap();
    let mut bytes = [0; 16];
    assert_eq!(datagram.recv(&mut bytes).unwrap(), 6);
}

#[test]
fn where_nobody_listens_the_connection_is_refused() {
    let export = Export::new();
    let connect = |at: &str| refused(export.fs.connect(&export.node(at), SocketKind::Stream, None));
    export.fs.mknod(&export.root, name("s"), Special::Socket, 0o666, Owner::default()).unwrap();
    assert_eq!(connect("s"), Errno::ECONNREFUSED);
    let _listener = UnixListener::bind(export.path("listening")).unwrap();
    export.host_file("f", "");
    symlink("listening", export.path("l")).unwrap();
    export.host_dir("d");
    for at in ["f", "l", "d"] {
        assert_eq!(connect(at), Errno::ECONNREFUSED, "{at}");
    }
}

#[test]
fn a_full_queue_does_not_make_it_wait() {
    let export = Export::new();
    let _listener = UnixListener::bind(export.path("s")).unwrap();
    let node = export.node("s");
    let mut waiting = Vec::new();
    let error = loop {
        match export.fs.connect(&node, SocketKind::Stream, None) {
            Ok(socket) => waiting.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::EAGAIN);
}
