//! The program as runsc starts it. Containers are in `tests/runsc`.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use gofer_transport::{ClientStream, Socket, Stream};

use crate::process::{GOFER, run};

const SPEC: &str = r#"{"root":{"path":"tree"},"process":{"cwd":"/made/for/this"},"mounts":[
    {"destination":"/proc","type":"proc","source":"proc"},
    {"destination":"/lnk/file","type":"bind","source":"file","options":["ro"]}]}"#;

/// A bundle: a root with a link, and a file to mount.
fn bundle() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("tree/data")).unwrap();
    symlink("data", dir.path().join("tree/lnk")).unwrap();
    fs::write(dir.path().join("file"), "content").unwrap();
    fs::write(dir.path().join("config.json"), SPEC).unwrap();
    dir
}

/// The gofer of a bundle with the connections 5 and 6, the list of mounts at 4 and errors at 7.
fn gofer(bundle: &Path, connections: [UnixStream; 2], mounts: OwnedFd, gofer_flags: &str) -> Command {
    let script = "ulimit -Sn \"${FILES:-1024}\"; [ ! -e \"$BUNDLE/wait\" ] || exec 8<\"$BUNDLE/wait\"; exec \"$@\" 3<\"$BUNDLE/config.json\" 4>&1 5<&0 6<&2 7>\"$BUNDLE/log\" >/dev/null 2>/dev/null </dev/null";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh", GOFER, "runsc-gofer", "--root=/state", "--log-fd=7"]);
    command.arg("gofer").arg("--bundle").arg(bundle);
    command
        .args(["--spec-fd=3", "--mounts-fd=4"])
        .args(gofer_flags.split_ascii_whitespace())
        .env("BUNDLE", bundle);
    let [first, second] = connections.map(OwnedFd::from);
    command.stdin(first).stderr(second).stdout(Stdio::from(mounts));
    command
}

/// Asks for the root, as lisafs has it: a header, and nothing behind it. Answers how long the reply is, and its number.
fn mount(connection: &mut UnixStream) -> (u32, u16) {
    connection.write_all(&[0, 0, 0, 0, 1, 0, 0, 0]).unwrap();
    let mut header = [0; 8];
    connection.read_exact(&mut header).unwrap();
    let len = u32::from_le_bytes(header[..4].try_into().unwrap());
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    connection.read_exact(&mut payload).unwrap();
    (len, u16::from_le_bytes([header[4], header[5]]))
}

#[test]
fn each_root_is_served_until_its_connection_ends() {
    let bundle = bundle();
    let ((mut root, ours), (mut file, theirs)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let (mut list, mounts) = std::io::pipe().unwrap();
    let mut child =
        gofer(bundle.path(), [ours, theirs], mounts.into(), "--io-fds=5 --io-fds=6").spawn().unwrap();
    let mut text = String::new();
    list.read_to_string(&mut text).unwrap();
    let source = |name: &str| bundle.path().join(name).display().to_string();
    let expected = format!(
        r#"[{{"destination":"/proc","type":"proc","source":"{}"}},{{"destination":"/data/file","type":"bind","source":"{}","options":["ro"]}}]"#,
        source("proc"),
        source("file")
    );
    assert_eq!(text.replace(r#","overlayfs_stale_read""#, ""), expected);
    assert!(
        bundle.path().join("tree/data/file").is_file() && bundle.path().join("tree/made/for/this").is_dir()
    );
    for connection in [&mut root, &mut file] {
        let (len, number) = mount(connection);
        assert!(number == 1 && len > 158, "{number}, {len} bytes");
    }
    drop(root);
    // The other is served all the same.
    assert_eq!(mount(&mut file).1, 1);
    drop(file);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read_to_string(bundle.path().join("log")).unwrap(), "", "no errors");
}

/// As runsc of 2026 starts it: it waits until runsc is done with its root, and gives away descriptors of what it serves.
#[test]
fn it_waits_before_it_leaves_the_root_and_donates_what_is_mounted() {
    let bundle = bundle();
    let wait = bundle.path().join("wait");
    assert!(Command::new("mkfifo").arg(&wait).status().unwrap().success());
    let held = fs::File::options().read(true).write(true).open(&wait).unwrap();
    let ((root, ours), (file, theirs)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let (mut list, mounts) = std::io::pipe().unwrap();
    let flags = "--io-fds=5,6 --gofer-mount-confs=lisafs:self,lisafs:none --sync-chroot-fd=8 a-container";
    let mut child = gofer(bundle.path(), [ours, theirs], mounts.into(), flags).spawn().unwrap();
    // A reader of it exists: the process, and not the shell before it.
    let name = bundle.path().join("tree/data/file");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!name.exists(), "it has not gone on");
    drop(held);
    let mut text = String::new();
    list.read_to_string(&mut text).unwrap();
    assert!(text.contains(r#""destination":"/data/file""#), "{text}");
    assert!(!bundle.path().join("tree/made").exists(), "the working directory is made by the sandbox");
    for (connection, expected) in [(root, "data"), (file, "")] {
        let socket = Socket::from_fd(connection.into()).unwrap();
        socket.send(&[0, 0, 0, 0, 1, 0, 0, 0], &[], &[]).unwrap();
        let mut reply = Vec::new();
        let (_, donated) = socket.recv_with_descriptors(&mut reply, 8).unwrap();
        let donated = donated.into_iter().flatten().next().unwrap();
        let path = format!("/proc/self/fd/{}/{expected}", donated.as_raw_fd());
        assert!(fs::metadata(path.trim_end_matches('/')).is_ok(), "{path}");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_served_ends_with_128_and_says_why() {
    let bundle = bundle();
    fs::remove_file(bundle.path().join("file")).unwrap();
    let ((_root, ours), (_file, theirs)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let (_list, mounts) = std::io::pipe().unwrap();
    let status =
        gofer(bundle.path(), [ours, theirs], mounts.into(), "--io-fds=5 --io-fds=6").status().unwrap();
    assert_eq!(status.code(), Some(128));
    let log = fs::read_to_string(bundle.path().join("log")).unwrap();
    assert!(log.starts_with(r#"{"level":"error","msg":"mount source"#) && log.contains("ENOENT"), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// Every step to where a mount belongs takes a descriptor, and runsc leaves the limit as low as it found it.
#[test]
fn the_limit_of_descriptors_is_raised_before_any_are_needed() {
    let bundle = bundle();
    let deep = SPEC.replace("/made/for/this", &"/d".repeat(50));
    fs::write(bundle.path().join("config.json"), deep).unwrap();
    let ((_, ours), (_, theirs)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let (_list, mounts) = std::io::pipe().unwrap();
    let mut command = gofer(bundle.path(), [ours, theirs], mounts.into(), "--io-fds=5 --io-fds=6");
    let status = command.env("FILES", "32").status().unwrap();
    assert_eq!(status.code(), Some(0), "{}", fs::read_to_string(bundle.path().join("log")).unwrap());
}

/// Where the roots cannot be mounts of their own a directory's descriptor leads to all that is above it.
#[test]
fn no_directory_is_donated_that_leads_out() {
    if gofer_sys::process::user().0.0 != 0 {
        return eprintln!("SKIP: only root can act as a user who may not mount");
    }
    let bundle = bundle();
    fs::set_permissions(bundle.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(bundle.path().join("tree/data/file"), "").unwrap();
    let log = bundle.path().join("log");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
    let code = |flags: &str| {
        let ((root, ours), (file, theirs)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let (_list, mounts) = std::io::pipe().unwrap();
        drop((root, file));
        let flags = format!("--io-fds=5,6 --gofer-mount-confs=lisafs:none,lisafs:none {flags} a-container");
        let mut command = gofer(bundle.path(), [ours, theirs], mounts.into(), &flags);
        command.uid(65534).gid(65534).status().unwrap().code()
    };
    assert_eq!(code("--directfs=false"), Some(0), "{}", fs::read_to_string(&log).unwrap());
    assert_eq!(code(""), Some(128));
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("EPERM") && said.contains("--directfs=false"), "{said}");
    // What could be better is told, and no option of another command to do without it.
    assert_eq!(code("--directfs=false --log-fd=-1 --debug-log-fd=7"), Some(0));
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("weaker than it could be") && !said.contains("--sandbox"), "{said}");
}

/// Sends a message, and answers the number of the reply and its first four bytes.
fn ask(connection: &mut UnixStream, number: u16, payload: &[u8]) -> (u16, u32) {
    let len = u32::try_from(payload.len()).unwrap();
    connection
        .write_all(&[&len.to_le_bytes()[..], &number.to_le_bytes(), &[0; 2], payload].concat())
        .unwrap();
    let mut header = [0; 8];
    connection.read_exact(&mut header).unwrap();
    let mut reply = vec![0; usize::try_from(u32::from_le_bytes(header[..4].try_into().unwrap())).unwrap()];
    connection.read_exact(&mut reply).unwrap();
    let first = reply.first_chunk().map_or(0, |first| u32::from_le_bytes(*first));
    (u16::from_le_bytes([header[4], header[5]]), first)
}

#[test]
fn a_sealed_gofer_connects_as_the_user_that_is_named() {
    if gofer_sys::process::user().0.0 != 0 {
        return eprintln!("SKIP: only root can act as another user");
    }
    let bundle = bundle();
    let path = bundle.path().join("tree/s");
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let ((mut root, ours), (file, theirs)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let (_list, mounts) = std::io::pipe().unwrap();
    let flags = "--io-fds=5,6 --host-uds=open --gofer-mount-confs=lisafs:none,lisafs:none a-container";
    let mut child = gofer(bundle.path(), [ours, theirs], mounts.into(), flags).spawn().unwrap();
    assert_eq!(ask(&mut root, 1, &[]).0, 1);
    // From place 1 to "s", which is place 2.
    assert_eq!(ask(&mut root, 5, &[&1_u64.to_le_bytes()[..], &[1, 0, 1, 0], b"s"].concat()).0, 5);
    let mut connect = |user: u32| {
        let place = [&2_u64.to_le_bytes()[..], &1_u64.to_le_bytes()].concat();
        ask(&mut root, 32, &[&place[..], &user.to_le_bytes(), &user.to_le_bytes()].concat())
    };
    assert_eq!(connect(1), (0, 13), "EACCES");
    assert_eq!(connect(0), (32, 0));
    drop((root, file));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_wrong_command_line_ends_with_128() {
    let code = |output: &Output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    let (status, said) = code(&run(&["runsc-gofer"]));
    assert!(status == Some(128) && said.contains("--io-fds"), "{said}");
    let (status, said) = code(&run(&["runsc-gofer", "gofer", "--bundle", "/", "--spec-fd=3", "--io-fds=77"]));
    assert!(status == Some(128) && said.contains("77"), "{said}");
    // By the name that runsc gives it.
    let output = Command::new(GOFER).arg0("runsc-gofer").args(["--root=x", "gofer"]).output().unwrap();
    assert_eq!(output.status.code(), Some(128));
}

#[test]
fn what_is_not_for_the_gofer_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let (own, original) = (dir.path().join("gofer"), dir.path().join("runsc-original"));
    fs::copy(GOFER, &own).unwrap();
    fs::write(&original, "#!/bin/sh\nIFS=,\necho \"$*\"\nexit 7\n").unwrap();
    fs::set_permissions(&original, fs::Permissions::from_mode(0o755)).unwrap();
    let call =
        |name: &str| Command::new(&own).arg0(name).args(["--root=gofer", "boot", "gofer"]).output().unwrap();
    let output = call("runsc-sandbox");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(7), &b"--root=gofer,boot,gofer\n"[..]));
    fs::remove_file(&original).unwrap();
    let output = call("/somewhere/runsc-exec");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(128) && said.contains("runsc-install"), "{said}");
}
