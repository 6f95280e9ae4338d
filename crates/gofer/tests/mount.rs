//! `gofer mount` as it is used: command lines, exit codes, descriptors and signals. What needs FUSE is skipped where
//! this user does not have it, and says so; with `GOFER_NEEDS_FUSE` set that is a failure.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const GOFER: &str = env!("CARGO_BIN_EXE_gofer");

/// A directory with a file in it, and an empty one.
fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (tree, at) = (dir.path().join("tree"), dir.path().join("mnt"));
    fs::create_dir(&tree).unwrap();
    fs::create_dir(&at).unwrap();
    fs::write(tree.join("f"), "content").unwrap();
    (dir, tree, at)
}

fn gofer(script: &str, tree: &str, at: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh", GOFER, "mount", tree]).arg(at).args(more).stdin(Stdio::null());
    command
}

fn has_fuse(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    let lacks =
        said.contains("/dev/fuse") || said.contains("fusermount3") || said.contains("run this as root");
    if output.status.code() == Some(3) && lacks && std::env::var_os("GOFER_NEEDS_FUSE").is_none() {
        eprintln!("skipped: {said}");
        return false;
    }
    assert!(output.status.success(), "{said}");
    true
}

fn unmount(at: &Path) {
    assert!(Command::new("fusermount3").arg("-u").arg(at).status().unwrap().success());
}

/// The end of a program: its exit code and what it said.
fn end(mut child: Child) -> (i32, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code().unwrap(), said)
}

#[test]
fn what_cannot_be_mounted_is_one_line_and_a_code() {
    let (dir, tree, at) = place();
    let path = tree.to_str().unwrap();
    fs::create_dir(tree.join("inside")).unwrap();
    let missing = dir.path().join("missing");
    for (source, at, code, why) in [
        ("/nope", at.clone(), 3, "ENOENT"),
        ("/nope:rx", at.clone(), 3, "rw, ro and devices"),
        (&format!("{path}:rw,ro"), at.clone(), 2, "contradict"),
        // A misspelt wish was taken and forgotten.
        (&format!("{path}:ro,strict"), at.clone(), 2, "rw, ro and devices"),
        (&format!("name={path}"), at.clone(), 2, "write ./"),
        (path, missing, 3, "make the directory"),
        (path, tree.join("inside"), 3, "inside"),
        (path, dir.path().to_owned(), 3, "not empty"),
        (path, dir.path().join("tree/f"), 3, "inside"),
        (&format!("{path}/f"), at.clone(), 3, "only a directory"),
    ] {
        let output = gofer("exec \"$@\"", source, &at, &[]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.starts_with("gofer: ") && said.lines().count() == 1, "{said}");
        assert!(said.contains(why) && said.contains("; "), "{why}: {said}");
    }
    let output = gofer("exec \"$@\"", path, &at, &["--ready-fd", "7"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("EBADF"));
}

#[test]
fn it_says_when_it_is_ready_and_ends_with_a_signal() {
    let (_dir, tree, at) = place();
    let script = "exec \"$@\" 9>&1 >/dev/null";
    let mut command = gofer(script, tree.to_str().unwrap(), &at, &["--ready-fd", "9"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        assert!(!has_fuse(&child.wait_with_output().unwrap()));
        return;
    }
    assert_eq!(Path::new(line.trim_end()), at.canonicalize().unwrap());
    assert_eq!(fs::read(at.join("f")).unwrap(), b"content");
    assert_eq!(fs::write(at.join("f"), "x").unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let pid = child.id().to_string();
    assert!(
        Command::new("/bin/sh").args(["-c", "kill -s TERM \"$1\"", "sh", &pid]).status().unwrap().success()
    );
    let (code, said) = end(child);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("is mounted") && said.contains("is unmounted"), "{said}");
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
}

#[test]
fn a_server_is_mounted_and_may_end() {
    let (dir, tree, at) = place();
    let socket = dir.path().join("s");
    let address = format!("unix:{}", socket.display());
    let mut server = Command::new(GOFER)
        .args(["serve", &format!("out={}:rw", tree.display()), "--quiet", "--listen", &address])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    while !socket.exists() {
        assert!(server.try_wait().unwrap().is_none(), "the server has ended");
        std::thread::yield_now();
    }
    fs::create_dir(tree.join("sub")).unwrap();
    let source = format!("{address}/out:sub");
    let output = gofer("exec \"$@\"", &source, &at, &["--daemon"]).output().unwrap();
    let mounted = has_fuse(&output);
    if mounted {
        fs::write(at.join("new"), "content").unwrap();
        assert_eq!(fs::read(tree.join("sub/new")).unwrap(), b"content");
        fs::rename(at.join("new"), at.join("moved")).unwrap();
        assert_eq!(fs::read(at.join("moved")).unwrap(), b"content");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    if mounted {
        fs::write(at.join("lost"), "x").unwrap_err();
        unmount(&at);
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    }
    let output = gofer("exec \"$@\"", &address, &at, &[]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with("gofer: ") && said.contains("; "), "{said}");
}

#[test]
fn in_the_background_it_returns_when_it_is_mounted() {
    let (_dir, tree, at) = place();
    let source = format!("{}:rw", tree.display());
    // Nothing keeps the pipes of whoever started it open: the output has an end.
    let output = gofer("exec \"$@\"", &source, &at, &["--daemon", "--cache", "exclusive"]).output().unwrap();
    if !has_fuse(&output) {
        return;
    }
    fs::write(at.join("f"), "changed").unwrap();
    assert_eq!(fs::read(tree.join("f")).unwrap(), b"changed");
    unmount(&at);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    let output = gofer("exec \"$@\"", "/nope", &at, &["--daemon"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty() && String::from_utf8(output.stderr).unwrap().contains("ENOENT"));
}
