//! The contract, kept by a sealed server: every family of operations against the program itself, which is ended by the
//! first system call that is not on its list. Whatever an operation needs and does not have fails here.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use gofer_conformance::{Client, Dialect, FAMILIES, Ground, Serving, Setup, Transport, site};
use gofer_server::HostSockets;
use gofer_sys::net::connect_unix;
use gofer_transport::Socket;
use gofer_vfs::{Errno, IdMap, XattrPolicy};

const GOFER: &str = env!("CARGO_BIN_EXE_gofer");

/// Names a directory to which every system call of the servers is written, for `tests/calls`.
const TRACE: &str = "TRACE_CALLS_TO";

/// A sealed server; told to end when dropped.
struct Sealed {
    child: Mutex<Option<Child>>,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

/// The words for a setup.
fn words(trees: &[(&'static str, &Path)], setup: Setup) -> Vec<String> {
    let Setup { policy, limits, read_only, .. } = setup;
    let mut words: Vec<String> = Vec::new();
    for (name, path) in trees {
        let name = if name.is_empty() { String::new() } else { format!("{name}=") };
        let mut options = vec![if read_only { "ro" } else { "rw" }];
        options.extend(policy.fifos.then_some("fifos"));
        options.extend(policy.strict.then_some("strict"));
        options.extend((policy.devices && !read_only).then_some("devices"));
        words.push(format!("{name}{}:{}", path.display(), options.join(",")));
    }
    let mut say = |option: &str, value: &str| words.extend([format!("--{option}"), value.to_owned()]);
    say("max-fids", &limits.fids.to_string());
    say("max-connections", &limits.connections.to_string());
    say("max-threads", &limits.threads.to_string());
    say("max-channels", &limits.channels.to_string());
    say("owner", if policy.ids == IdMap::Identity { "client" } else { "squash" });
    say(
        "xattr",
        match policy.xattr {
            XattrPolicy::None => "none",
            XattrPolicy::Verity => "verity",
            XattrPolicy::User => "user",
            XattrPolicy::All => "all",
        },
    );
    say(
        "host-sockets",
        match policy.sockets {
            HostSockets::None => "none",
            HostSockets::Connect => "connect",
            HostSockets::Make | HostSockets::All => "all",
        },
    );
    words
}

fn launch(trees: &[(&'static str, &Path)], setup: Setup, sandbox: &str) -> Box<dyn Serving> {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let mut command = match std::env::var_os(TRACE) {
        Some(dir) => {
            let mut strace = Command::new("strace");
            let file = tempfile::Builder::new().prefix("calls.").tempdir_in(dir).unwrap().keep().join("of");
            strace.args(["-D", "-ff", "-qq", "-s0", "-o"]).arg(file).arg(GOFER);
            strace
        }
        None => Command::new(GOFER),
    };
    command.arg("serve").args(words(trees, setup)).args(["--sandbox", sandbox, "--log-level", "warn"]);
    command.arg("--listen").arg(format!("unix:{}", socket.display()));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The banner is said when the process is sealed.
    let mut said = BufReader::new(child.stderr.as_mut().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.contains("serves files"), "{first}");
    Box::new(Sealed { child: Mutex::new(Some(child)), socket, _dir: dir })
}

/// With all layers; on a kernel before Linux 6.12, with as much of each as it has.
fn full(trees: &[(&'static str, &Path)], setup: Setup) -> Box<dyn Serving> {
    static STRENGTH: LazyLock<&str> = LazyLock::new(|| {
        let words = ["serve", "/", "--sandbox", "full", "--print-sandbox", "--listen", "unix:/nowhere"];
        let refused = Command::new(GOFER).args(words).env_clear().output().unwrap().stderr;
        let is_old = ["use Linux 6.12", "use Linux 6.3"];
        let is_old = is_old.iter().any(|fix| String::from_utf8_lossy(&refused).contains(fix));
        if is_old { "auto" } else { "full" }
    });
    launch(trees, setup, &STRENGTH)
}

fn without_namespaces(trees: &[(&'static str, &Path)], setup: Setup) -> Box<dyn Serving> {
    launch(trees, setup, "landlock")
}

impl Serving for Sealed {
    fn connect(&self) -> Result<Client, Errno> {
        Ok(Client::new(Socket::from_fd(connect_unix(&self.socket)?)?))
    }

    /// A server that was ended by its filter did not drain.
    fn drain(&self, _grace: Duration) -> usize {
        let Some(mut child) = self.child.lock().unwrap().take() else { return 0 };
        let kill =
            Command::new("/bin/sh").args(["-c", "kill \"$1\"", "sh", &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let code = child.wait().unwrap().code();
        assert!(code == Some(0) || std::thread::panicking(), "{code:?}: {said}");
        usize::from(said.contains("were cut off"))
    }
}

fn check(name: &str, ground: Ground, transport: Transport, dialect: Dialect) {
    let family = FAMILIES.iter().find(|family| family.name == name).unwrap();
    let failures = family.failures(|setup| site(ground, transport, dialect, setup));
    assert!(failures.is_empty(), "{name} over {transport:?} in {dialect:?}: {failures:?}");
}

macro_rules! families {
    ($launch:ident $transport:ident $dialect:ident: $($family:ident)*) => { $(
        #[test]
        fn $family() {
            crate::check(
                stringify!($family),
                gofer_conformance::Ground::Process(crate::$launch),
                gofer_conformance::Transport::$transport,
                gofer_conformance::Dialect::$dialect,
            );
        }
    )* };
}

macro_rules! matrix {
    ($($launch:ident)*) => { $(
        mod $launch {
            mod base {
                matrix!(@families $launch Unix Base);
            }
            mod google {
                matrix!(@families $launch Unix Google);
            }
            mod channel {
                matrix!(@families $launch Channel Google);
            }
        }
    )* };
    (@families $($of:ident)*) => {
        families!($($of)*: session walk open io attr entry dir xattr lock socket readonly channel);
    };
}
matrix!(full without_namespaces);
