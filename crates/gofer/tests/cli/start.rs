//! What is there when the server starts, and what is left when it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::peer::Peer;
use crate::process::{Server, failure, place, run};

fn at(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

#[test]
fn what_cannot_be_had_is_one_line_and_exit_code_3() {
    let (dir, tree, socket) = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = format!("tcp:{}", taken.local_addr().unwrap());
    let far = at(&dir.path().join("none/sock"));
    for (args, why) in [
        (["/nope", &at(&socket)], "cannot serve \"/nope\": no such file or directory (ENOENT)"),
        (["/nope:rx", &at(&socket)], "rw, ro, devices, fifos and strict"),
        ([&tree, &tcp], "EADDRINUSE"),
        ([&tree, &far], "ENOENT"),
        ([&tree, "fd:7"], "EBADF"),
    ] {
        let (code, said) = failure(&run(&["serve", args[0], "--listen", args[1]]));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(why) && said.contains("; "), "{said}");
    }
    assert!(!socket.exists(), "no socket of a server that did not start");
    let (code, said) = failure(&run(&["serve", &tree, "--listen", &at(&socket), "--ready-fd", "7"]));
    assert!(code == 3 && said.contains("EBADF"), "{said}");
}

/// It said that it serves, to whoever waited for that, too, and then that it cannot.
#[test]
fn what_cannot_be_served_is_not_announced() {
    let (dir, tree, socket) = place();
    let (link, fifo) = (dir.path().join("link"), dir.path().join("fifo"));
    std::os::unix::fs::symlink(&tree, &link).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (path, why) in [(link, "ELOOP"), (fifo, "no FIFOs")] {
        let export = path.to_str().unwrap();
        let (code, said) = failure(&run(&["serve", export, "--listen", &at(&socket)]));
        assert!(code == 3 && said.contains(why), "{said}");
        assert!(!socket.exists(), "{export}");
    }
}

#[test]
fn the_default_socket_is_private_and_goes_with_the_server() {
    let (dir, tree, _) = place();
    let mut server = Server::start_with(&[&tree], None, "", &[("XDG_RUNTIME_DIR", dir.path())]);
    let socket = dir.path().join("gofer.sock");
    assert_eq!(server.ready, at(&socket));
    assert!(server.ready_was_closed());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o7777, 0o600);
    Peer::at(&socket).attach("/").unwrap();
    server.signal("TERM");
    assert_eq!(server.end().0, 0);
    assert!(!socket.exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let (_dir, tree, socket) = place();
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "left behind");
    let _server = Server::start(&[&tree, "--listen", &at(&socket)]);
    let (code, said) = failure(&run(&["serve", &tree, "--listen", &at(&socket)]));
    assert!(code == 3 && said.contains("another server is listening"), "{said}");
    Peer::at(&socket).attach("/").unwrap();
}

#[test]
fn what_is_no_socket_is_not_removed() {
    let (_dir, tree, socket) = place();
    fs::write(&socket, "precious").unwrap();
    let (code, said) = failure(&run(&["serve", &tree, "--listen", &at(&socket)]));
    assert!(code == 3 && said.contains("no socket"), "{said}");
    assert_eq!(fs::read(&socket).unwrap(), b"precious");
}

#[test]
fn the_banner_is_plain_text_in_a_pipe() {
    let (_dir, tree, socket) = place();
    let mut server = Server::start(&[&format!("{tree}:rw"), "--listen", &at(&socket)]);
    server.signal("INT");
    let (code, said) = server.end();
    assert_eq!(code, 0);
    let mount = format!("mount -t 9p -o trans=unix,version=9p2000.L,aname=/ {} /mnt", socket.display());
    for part in [tree.as_str(), "read-write", "this user only", &mount, env!("CARGO_PKG_VERSION")] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains('\x1b'), "{said}");
}

#[test]
fn quiet_means_quiet() {
    let (_dir, tree, socket) = place();
    let mut server = Server::start(&[&tree, "-q", "--log-level", "error", "--listen", &at(&socket)]);
    Peer::at(&socket).attach("/").unwrap();
    server.signal("TERM");
    assert_eq!(server.end(), (0, String::new()));
}

#[test]
fn every_line_of_a_json_log_is_an_object() {
    let (_dir, tree, socket) = place();
    let json = ["--log-format", "json", "--log-level", "debug"];
    let mut server = Server::start(&[&json[..], &[&tree, "--listen", &at(&socket)]].concat());
    let mut peer = Peer::at(&socket);
    peer.attach("/").unwrap();
    assert!(peer.mkdir("d").is_err());
    drop(peer);
    server.signal("TERM");
    let (code, said) = server.end();
    assert_eq!(code, 0);
    for line in said.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(record["message"].is_string() && record["level"].is_string(), "{line}");
    }
    assert!(said.contains(&tree) && said.contains(&at(&socket)), "the banner is in it: {said}");
}
