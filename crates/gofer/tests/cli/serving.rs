//! Connections from their start to their end.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use crate::peer::{Peer, TGETATTR, message};
use crate::process::{Server, place};

const ENOENT: u32 = 2;
const EROFS: u32 = 30;

#[test]
fn only_what_is_writable_can_be_written() {
    let (dir, tree, socket) = place();
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let (writable, listen) = (format!("out={}:rw", other.display()), format!("unix:{}", socket.display()));
    let _server = Server::start(&[&tree, &writable, "--listen", &listen]);
    let mut peer = Peer::at(&socket);
    assert_eq!(peer.attach("/"), Err(ENOENT), "two exports have no common root");
    peer.attach("tree").unwrap();
    assert_eq!(peer.mkdir("d"), Err(EROFS));
    let mut peer = Peer::at(&socket);
    peer.attach("/out").unwrap();
    assert_eq!(peer.mkdir("d"), Ok(()));
    assert!(other.join("d").is_dir());
}

#[test]
fn a_configuration_file_is_enough() {
    let (dir, tree, socket) = place();
    let file = dir.path().join("gofer.toml");
    let listen = format!("listen = [\"unix:{}\"]", socket.display());
    fs::write(&file, format!("{listen}\nquiet = true\n[[export]]\npath = \"{tree}\"\noptions = [\"rw\"]\n"))
        .unwrap();
    let _server = Server::start(&["--config", file.to_str().unwrap()]);
    let mut peer = Peer::at(&socket);
    peer.attach("/").unwrap();
    assert_eq!(peer.mkdir("d"), Ok(()));
}

#[test]
fn tcp_on_loopback_says_which_port_it_got() {
    let (_dir, tree, _) = place();
    let server = Server::start(&[&tree, "--listen", "tcp:127.0.0.1:0"]);
    let address = server.ready.strip_prefix("tcp:").unwrap();
    Peer::over(TcpStream::connect(address).unwrap()).attach("/").unwrap();
}

#[test]
fn once_is_over_with_the_first_connection() {
    let (dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let second = dir.path().join("second");
    let mut server = Server::start(&[
        &tree,
        "--once",
        "--listen",
        &listen,
        "--listen",
        &format!("unix:{}", second.display()),
    ]);
    let mut peer = Peer::at(&second);
    peer.attach("/").unwrap();
    let mut late = UnixStream::connect(&socket).map(Peer);
    assert!(late.as_mut().map_or(true, |late| late.version().is_err()), "nobody else is served");
    assert_eq!(peer.mkdir("d"), Err(EROFS), "the first still is");
    drop(peer);
    assert_eq!(server.end().0, 0);
    assert!(!socket.exists() && !second.exists());
}

#[test]
fn a_connected_descriptor_is_served_to_its_end() {
    let (_dir, tree, _) = place();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut server = Server::start_with(&[&tree, "--listen", "fd:3"], Some(theirs.into()), "", &[]);
    assert_eq!(server.ready, "fd:3");
    let mut peer = Peer::over(ours);
    peer.attach("/").unwrap();
    drop(peer);
    assert_eq!(server.end().0, 0);
}

#[test]
fn sockets_of_a_service_manager_are_used() {
    let (_dir, tree, socket) = place();
    let listener = UnixListener::bind(&socket).unwrap();
    let set = "export LISTEN_FDS=1 LISTEN_PID=$$;";
    let mut server = Server::start_with(&[&tree], Some(listener.into()), set, &[]);
    Peer::at(&socket).attach("/").unwrap();
    server.signal("TERM");
    assert_eq!(server.end().0, 0);
    assert!(socket.exists(), "it is the service manager's");
}

#[test]
fn there_are_no_more_connections_than_allowed() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let _server = Server::start(&[&tree, "--max-connections", "2", "--listen", &listen]);
    let mut two = [Peer::at(&socket), Peer::at(&socket)];
    let mut third = Peer(UnixStream::connect(&socket).unwrap());
    assert!(third.version().is_err());
    for peer in &mut two {
        peer.attach("/").unwrap();
    }
}

#[test]
fn a_hangup_changes_nothing() {
    let (_dir, tree, socket) = place();
    let mut server = Server::start(&[&tree, "--listen", &format!("unix:{}", socket.display())]);
    server.signal("HUP");
    Peer::at(&socket).attach("/").unwrap();
    server.signal("TERM");
    let (code, said) = server.end();
    assert!(code == 0 && said.contains("does not change after start"), "{said}");
}

#[test]
fn a_log_that_nobody_reads_disturbs_nobody() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let mut server = Server::start(&[&tree, "--log-level", "debug", "--listen", &listen]);
    server.deafen();
    for _ in 0..3 {
        let mut peer = Peer::at(&socket);
        peer.attach("/").unwrap();
        assert_eq!(peer.mkdir("d"), Err(EROFS));
    }
    server.signal("TERM");
    assert_eq!(server.end().0, 0);
}

/// Sends requests and takes no answers until the server has to wait, and so can take no more.
fn stuff(peer: &mut Peer<UnixStream>) {
    let request = message(TGETATTR, &[0_u32.to_le_bytes(), [0xff; 4], [0; 4]].concat());
    peer.0.set_nonblocking(true).unwrap();
    // Each has a tag of its own: one that is in flight must not be used again.
    let with_tag = |tag: u16| [&request[..5], &tag.to_le_bytes(), &request[7..]].concat();
    let requests: Vec<u8> = (0..60_000).flat_map(with_tag).collect();
    let (mut sent, mut waited) = (0, false);
    loop {
        match peer.0.write(&requests[sent..]) {
            Ok(more) => (sent, waited) = ((sent + more) % requests.len(), false),
            Err(error) if error.kind() == ErrorKind::WouldBlock && waited => return,
            // It may only be slow.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(200));
                waited = true;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_client_that_takes_no_answers_is_cut_off() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let mut server = Server::start(&[&tree, "--drain-seconds", "0", "--listen", &listen]);
    let mut peer = Peer::at(&socket);
    peer.attach("/").unwrap();
    stuff(&mut peer);
    server.signal("TERM");
    assert_eq!(server.end().0, 0);
    peer.0.set_nonblocking(false).unwrap();
    // What was answered can be taken, and then the connection is over.
    let mut rest = Vec::new();
    let over = peer.0.read_to_end(&mut rest);
    assert!(over.is_ok() || over.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let mut server = Server::start(&[&tree, "--drain-seconds", "100000", "--listen", &listen]);
    let mut peer = Peer::at(&socket);
    peer.attach("/").unwrap();
    stuff(&mut peer);
    server.signal("TERM");
    // Of two signals of one kind, one may be lost.
    server.signal("INT");
    assert_eq!(server.end().0, 1);
}
