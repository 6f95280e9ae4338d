//! The program, started and watched.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

pub(crate) const GOFER: &str = env!("CARGO_BIN_EXE_gofer");

/// A directory to serve, and the place of a socket.
pub(crate) fn place() -> (tempfile::TempDir, String, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let socket = dir.path().join("sock");
    (dir, tree.to_str().unwrap().to_owned(), socket)
}

/// `gofer` with no more environment than it is given.
pub(crate) fn gofer(args: &[&str]) -> Command {
    with_shell("exec \"$@\"", args)
}

/// Runs `gofer` to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    gofer(args).output().unwrap()
}

/// Runs `gofer` to its end in what a shell script, which says `"$@"` somewhere, makes of its surroundings.
pub(crate) fn run_in(surroundings: &str, args: &[&str]) -> Output {
    with_shell(surroundings, args).output().unwrap()
}

/// The exit code of a program that failed, and the one line it said.
pub(crate) fn failure(output: &Output) -> (i32, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.starts_with("gofer: ") && said.ends_with('\n'), "{said:?}");
    assert_eq!(said.lines().count(), 1, "{said}");
    (output.status.code().unwrap(), said)
}

/// `gofer`, started by a shell script that ends in `exec "$@"`: the way to give it descriptors.
fn with_shell(script: &str, args: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "sh", GOFER]).args(args).env_clear().stdin(Stdio::null());
    command
}

/// A server that runs; killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Where it listens, as it wrote to `--ready-fd`.
    pub(crate) ready: String,
}

impl Server {
    /// Starts `gofer serve` and waits until it is ready.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, None, "", &[])
    }

    /// Starts `gofer serve` with a socket at descriptor 4 and these variables, and waits until it is ready.
    pub(crate) fn start_with(
        args: &[&str],
        socket: Option<OwnedFd>,
        set: &str,
        vars: &[(&str, &Path)],
    ) -> Self {
        let args = [&["serve", "--ready-fd", "9"], args].concat();
        let mut command = with_shell(&format!("{set} exec \"$@\" 9>&1 >/dev/null 3<&0 </dev/null"), &args);
        if let Some(socket) = socket {
            command.stdin(socket);
        }
        command.envs(vars.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).unwrap();
        let mut server = Self { child, stdout, ready };
        if !server.ready.ends_with('\n') {
            panic!("it did not start: {}", server.end().1);
        }
        server.ready.pop();
        server
    }

    /// The process that was started, as `/proc` has it.
    pub(crate) fn keeper(&self) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string())
    }

    /// The process that serves, which the one that was started keeps, as `/proc` has it.
    pub(crate) fn sealed(&self) -> PathBuf {
        let keeper = self.child.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
        Path::new("/proc").join(children.trim())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let script = "kill -s \"$1\" \"$2\"";
        assert!(Command::new("/bin/sh").args(["-c", script, "sh", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end: the exit code and what it wrote to standard error.
    pub(crate) fn end(&mut self) -> (i32, String) {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said).unwrap();
        }
        (self.child.wait().unwrap().code().expect("an exit code"), said)
    }

    /// Stops listening to what it says: writing to standard error fails from now on.
    pub(crate) fn deafen(&mut self) {
        self.child.stderr = None;
    }

    /// Whether descriptor 9 was closed after the line was written.
    pub(crate) fn ready_was_closed(&mut self) -> bool {
        matches!(self.stdout.read(&mut [0]), Ok(0))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
