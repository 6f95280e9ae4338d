//! What somebody would try who has taken the server over, and which layer stops it: `cargo run -p gofer-jail --example
//! attempts`. Every attempt is made by a process of its own, without a layer, with each layer alone, and with all.
//!
//! The exit code is 1 when something succeeds that must not: an attempt that would reach something outside has to be
//! stopped by two layers, each of which does it alone, where the process is root, and by one where it is not. Those
//! marked `*` reach nothing by themselves, they only show an attacker more of the kernel: the list of system calls has
//! to stop them.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use gofer_jail::{Layers, Plan, Sealed, Tasks, Tree, Violation};
use gofer_sys::{attempt, walk};
use gofer_vfs::{AccessMode, Name, OpenFlags, Result};

/// What is known before the process is sealed.
struct Before {
    /// Another process of this user.
    pid: u32,
    address: SocketAddr,
    namespace: OwnedFd,
    handle: Result<attempt::Handle>,
}

/// What a process that was taken over has.
struct Here<'a> {
    before: Before,
    sealed: &'a Sealed,
    writable: BorrowedFd<'a>,
    read_only: BorrowedFd<'a>,
}

impl Here<'_> {
    /// Reads what is found below a descriptor, in steps that the list of system calls allows.
    fn read(&self, dir: BorrowedFd<'_>, path: &std::ffi::CStr) -> Result<()> {
        let place = attempt::place_below(dir, path)?;
        let (procfd, _) = self.sealed.tree(0).unwrap();
        procfd.reopen(place.as_fd(), OpenFlags::new(AccessMode::Read)).map(drop)
    }

    fn write(&self, dir: BorrowedFd<'_>) -> Result<()> {
        let place = walk::open_child(dir, Name::new(b"file")?)?;
        let (procfd, _) = self.sealed.tree(0).unwrap();
        procfd.reopen(place.as_fd(), OpenFlags::new(AccessMode::Write)).map(drop)
    }

    fn change_mode(&self, dir: BorrowedFd<'_>) -> Result<()> {
        let place = walk::open_child(dir, Name::new(b"file")?)?;
        let (procfd, _) = self.sealed.tree(0).unwrap();
        gofer_sys::attr::chmod(procfd, place.as_fd(), 0o600)
    }

    fn procfd(&self) -> BorrowedFd<'_> {
        self.sealed.tree(0).unwrap().0.as_fd()
    }
}

/// An attempt.
struct Attempt {
    what: &'static str,
    /// Whether it would reach something outside.
    reaches: bool,
    /// Whether nothing can be changed where it is made.
    read_only: bool,
    run: fn(&Here<'_>) -> Result<()>,
}

const fn outside(what: &'static str, run: fn(&Here<'_>) -> Result<()>) -> Attempt {
    Attempt { what, reaches: true, read_only: false, run }
}

const fn kernel(what: &'static str, run: fn(&Here<'_>) -> Result<()>) -> Attempt {
    Attempt { what, reaches: false, read_only: false, run }
}

const PASSWD: &std::ffi::CStr = c"../../../../../../../../../etc/passwd";

const ATTEMPTS: &[Attempt] = &[
    outside("open /etc/passwd", |_| attempt::open_path()),
    outside("open ../../etc/passwd from an export", |here| here.read(here.writable, PASSWD)),
    outside("open ../../etc/passwd from /proc/self/fd", |here| here.read(here.procfd(), PASSWD)),
    outside("open ../root/etc/passwd from /proc/self/fd", |here| {
        here.read(here.procfd(), c"../root/etc/passwd")
    }),
    outside("open a file by its inode", |here| {
        let (procfd, _) = here.sealed.tree(0).unwrap();
        let mount = procfd.reopen(here.writable, OpenFlags::new(AccessMode::Read))?;
        attempt::open_handle(mount.as_fd(), here.before.handle.as_ref().map_err(|errno| *errno)?)
    }),
    outside("write to a file of a read-only export", |here| here.write(here.read_only)),
    Attempt {
        read_only: true,
        ..outside("chmod in a read-only export", |here| here.change_mode(here.read_only))
    },
    outside("make a device file", |here| attempt::device(here.writable)),
    outside("run a program", |_| attempt::exec()),
    outside("trace another process", |here| attempt::trace(here.before.pid)),
    outside("read another process's memory", |here| attempt::read_memory(here.before.pid)),
    outside("signal another process", |here| attempt::kill(here.before.pid)),
    outside("connect to a TCP port", |here| attempt::connect_out(&here.before.address)),
    outside("mount", |_| attempt::mount()),
    outside("enter a namespace (setns)", |here| attempt::enter_namespace(here.before.namespace.as_fd())),
    outside("make a mount namespace (unshare)", |_| attempt::unshare_mounts()),
    outside("chroot", |_| attempt::chroot()),
    outside("raise the limit of open files", |_| attempt::raise_limits()),
    outside("load a kernel module", |_| attempt::module()),
    outside("bpf", |_| attempt::bpf()),
    outside("userfaultfd", |_| attempt::userfaultfd()),
    outside("a packet socket", |_| attempt::socket(17, 3)),
    kernel("make a user namespace (unshare)", |_| attempt::unshare_users()),
    kernel("io_uring", |_| attempt::io_uring()),
    kernel("keyctl", |_| attempt::keyctl()),
    kernel("perf_event_open", |_| attempt::perf()),
    kernel("memory that can be written and run", |_| attempt::executable_memory()),
    kernel("a unix socket", |_| attempt::socket(1, 1)),
    kernel("an IPv4 socket", |_| attempt::socket(2, 1)),
    kernel("an IPv6 socket", |_| attempt::socket(10, 1)),
    kernel("a netlink socket", |_| attempt::socket(16, 3)),
    kernel("a vsock socket", |_| attempt::socket(40, 1)),
];

const COLUMNS: [(&str, Layers); 6] = [
    ("none", Layers::NONE),
    ("namespaces", Layers { namespaces: true, ..Layers::NONE }),
    ("capabilities", Layers { capabilities: true, ..Layers::NONE }),
    ("landlock", Layers { landlock: true, ..Layers::NONE }),
    ("seccomp", Layers { seccomp: true, ..Layers::NONE }),
    ("all", Layers::ALL),
];

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    Stopped(String),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [] => table(),
        [row, column, pid, address, dir] => {
            let (row, column) = (row.parse::<usize>().unwrap(), column.parse::<usize>().unwrap());
            make(
                &ATTEMPTS[row],
                COLUMNS[column].1,
                pid.parse().unwrap(),
                address.parse().unwrap(),
                dir.as_ref(),
            )
        }
        _ => panic!("no words are expected"),
    }
}

/// Makes all attempts and prints what came of them.
fn table() -> ExitCode {
    let dir = tempfile::tempdir().unwrap();
    for name in ["rw", "ro"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("file"), "content").unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Somebody else to trace, to signal and to read: for an ordinary user, a process of the same user.
    let mut other = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let is_root = gofer_sys::process::user().0.0 == 0;
    print!("{:<44}", "");
    println!("{}", COLUMNS.map(|(name, _)| format!("{name:<13}")).concat());
    let mut failed = Vec::new();
    for (row, attempt) in ATTEMPTS.iter().enumerate() {
        let outcomes: Vec<_> = (0..COLUMNS.len())
            .map(|column| {
                let outcome = outcome(row, column, other.id(), &address, dir.path());
                // What a success left behind.
                let _ = std::fs::remove_file(dir.path().join("rw/gofer-device"));
                outcome
            })
            .collect();
        let mark = if attempt.reaches { "" } else { " *" };
        print!("{:<44}", format!("{}{mark}", attempt.what));
        let cells = outcomes.iter().map(|outcome| match outcome {
            Outcome::Succeeded => format!("{:<13}", "-"),
            Outcome::Stopped(how) => format!("{how:<13}"),
        });
        println!("{}", cells.collect::<String>());
        let stops = |column: usize| outcomes[column] != Outcome::Succeeded;
        let alone = (1..=4).filter(|column| stops(*column)).count();
        let filtered = stops(3) || stops(4);
        let held = match (attempt.reaches, is_root) {
            (true, true) => alone >= 2,
            (true, false) => filtered,
            (false, _) => stops(4),
        };
        // The kernel itself refuses much to an ordinary user; to root, a table in which it does shows nothing.
        if !held || !stops(5) {
            failed.push(attempt.what);
        }
    }
    let _ = other.kill();
    let _ = other.wait();
    println!(
        "\n-: it succeeded. SIGSYS: the process was ended. What \"none\" stops, this system refuses to everybody.\n {} of {} rows hold",
        ATTEMPTS.len() - failed.len(),
        ATTEMPTS.len()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("failed: {}", failed.join("; "));
        ExitCode::FAILURE
    }
}

/// Makes one attempt in a process of its own.
fn outcome(row: usize, column: usize, pid: u32, address: &str, dir: &Path) -> Outcome {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&row.to_string(), &column.to_string(), &pid.to_string(), address]).arg(dir);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match (output.status.code(), said.strip_prefix("stopped ")) {
        (_, Some(how)) => Outcome::Stopped(how.to_owned()),
        // What was run in place of the attempt said nothing.
        (Some(0), None) => Outcome::Succeeded,
        other => {
            panic!("{}: {other:?}: {said} {}", ATTEMPTS[row].what, String::from_utf8_lossy(&output.stderr))
        }
    }
}

/// Seals this process with some layers and makes an attempt.
fn make(attempt: &Attempt, layers: Layers, pid: u32, address: SocketAddr, dir: &Path) -> ExitCode {
    let tree = |name: &str, writable| {
        let path = dir.join(name);
        Tree { place: walk::open_root(&path).unwrap(), path, writable, devices: false }
    };
    let plan = Plan {
        trees: vec![tree("rw", !attempt.read_only), tree("ro", false)],
        tasks: Tasks::default(),
        violation: Violation::Kill,
        at_end: Box::new(|ended| {
            if let Some(gofer_jail::Ended::Signal(31)) = ended {
                println!("stopped SIGSYS");
            }
        }),
    };
    let before = Before {
        pid,
        address,
        namespace: std::fs::File::open(format!("/proc/{pid}/ns/uts")).unwrap().into(),
        handle: attempt::handle(c"/etc/passwd"),
    };
    let (sealed, _) = plan.enter_with(layers).unwrap();
    let here = Here {
        before,
        writable: sealed.tree(0).unwrap().1,
        read_only: sealed.tree(1).unwrap().1,
        sealed: &sealed,
    };
    match (attempt.run)(&here) {
        Ok(()) => println!("succeeded"),
        Err(errno) => println!("stopped {}", errno.name().map_or(errno.number().to_string(), str::to_owned)),
    }
    ExitCode::SUCCESS
}
