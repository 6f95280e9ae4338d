//! What somebody would try who has taken the server over, and which layer stops it: `cargo run -p gofer-jail --example
//! attempts`. Every attempt is made by a process of its own, without a layer, with each layer alone, and with all.
//!
//! An attempt goes on until it has what an attacker wants: not a ring of requests, but a file by it; not a socket, but
//! somebody at its other end. That a call which reaches nothing shows more of the kernel to an attacker is no row: such
//! calls are not on the list of system calls, which is the only layer against mistakes of the kernel.
//!
//! The exit code is 1 when something succeeds that must not: an attempt has to be stopped by two layers, each of which
//! does it alone, where the process is root, and by Landlock or the list of system calls where it is not.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::ffi::CStr;
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use gofer_jail::{Abi, Layers, Plan, Sealed, Tasks, Tree, Users, Violation};
use gofer_sys::attempt::{self, Keyring, net, ring};
use gofer_sys::walk;
use gofer_vfs::{AccessMode, Name, OpenFlags, Result};

/// What is known before the process is sealed.
struct Before {
    /// Another process of this user.
    pid: u32,
    /// Where others listen.
    doors: Doors,
    namespace: OwnedFd,
    handle: Result<attempt::Handle>,
}

/// Where others of this host listen, as words for the processes that make attempts.
struct Doors {
    tcp: SocketAddr,
    tcp6: SocketAddr,
    udp: SocketAddr,
    unix: PathBuf,
    abstract_unix: String,
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
    fn read(&self, dir: BorrowedFd<'_>, path: &CStr) -> Result<()> {
        let place = attempt::place_below(dir, path)?;
        let (procfd, _) = self.sealed.tree(0).unwrap();
        procfd.reopen(place.as_fd(), OpenFlags::new(AccessMode::Read)).map(drop)
    }

    fn write(&self, dir: BorrowedFd<'_>) -> Result<()> {
        let place = walk::open_child(dir, Name::new(b"file")?)?;
        let (procfd, _) = self.sealed.tree(0).unwrap();
        procfd.reopen(place.as_fd(), OpenFlags::new(AccessMode::Write)).map(drop)
    }

    fn map(&self, dir: BorrowedFd<'_>) -> Result<()> {
        let place = walk::open_child(dir, Name::new(b"program")?)?;
        let (procfd, _) = self.sealed.tree(0).unwrap();
        let file = procfd.reopen(place.as_fd(), OpenFlags::new(AccessMode::Read))?;
        attempt::executable_file(file.as_fd())
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
    /// Whether nothing can be changed where it is made.
    read_only: bool,
    /// What is done before the process is sealed.
    before: fn() -> Result<()>,
    run: fn(&Here<'_>) -> Result<()>,
}

const fn to(what: &'static str, run: fn(&Here<'_>) -> Result<()>) -> Attempt {
    Attempt { what, read_only: false, before: || Ok(()), run }
}

impl Attempt {
    const fn after(self, before: fn() -> Result<()>) -> Self {
        Self { before, ..self }
    }
}

const PASSWD: &CStr = c"../../../../../../../../../etc/passwd";

const ATTEMPTS: &[Attempt] = &[
    // Files.
    to("open /etc/passwd", |_| attempt::open_path()),
    to("open /etc/passwd by io_uring", |_| ring::open(c"/etc/passwd")),
    to("open ../../etc/passwd from an export", |here| here.read(here.writable, PASSWD)),
    to("open ../../etc/passwd from /proc/self/fd", |here| here.read(here.procfd(), PASSWD)),
    to("open ../root/etc/passwd from /proc/self/fd", |here| here.read(here.procfd(), c"../root/etc/passwd")),
    to("open a file by its inode", |here| {
        let (procfd, _) = here.sealed.tree(0).unwrap();
        let mount = procfd.reopen(here.writable, OpenFlags::new(AccessMode::Read))?;
        attempt::open_handle(mount.as_fd(), here.before.handle.as_ref().map_err(|errno| *errno)?)
    }),
    to("write to a file of a read-only export", |here| here.write(here.read_only)),
    Attempt { read_only: true, ..to("chmod in a read-only export", |here| here.change_mode(here.read_only)) },
    to("make a set-id file in a read-only export", |here| attempt::set_id(here.read_only)),
    to("make a device file", |here| attempt::device(here.writable)),
    // Code.
    to("run a program", |_| attempt::exec()),
    to("run a program that it wrote", |here| attempt::exec_below(here.writable, c"program")),
    to("map code that it wrote to a file", |here| here.map(here.writable)),
    to("write code to memory", |_| attempt::executable_memory()),
    // Other processes.
    to("trace another process", |here| attempt::trace(here.before.pid)),
    to("read another process's memory", |here| attempt::read_memory(here.before.pid)),
    to("measure another process (perf_event_open)", |here| attempt::measure(here.before.pid)),
    to("signal another process", |here| attempt::kill(here.before.pid)),
    // The network, and other services.
    to("connect to a TCP port", |here| net::tcp(&here.before.doors.tcp)),
    to("connect to a TCP port by IPv6", |here| net::tcp(&here.before.doors.tcp6)),
    to("connect to a TCP port by io_uring", |here| ring::connect(here.before.doors.tcp.port())),
    to("send a datagram (UDP)", |here| net::udp(&here.before.doors.udp)),
    to("connect to a unix socket by its path", |here| net::unix(&here.before.doors.unix)),
    to("connect to an abstract unix socket", |here| {
        net::abstract_unix(here.before.doors.abstract_unix.as_bytes())
    }),
    to("see the host's packets (packet socket)", |_| net::packets()),
    to("see the host's addresses (netlink socket)", |_| net::addresses()),
    to("listen to other machines (vsock)", |_| net::vsock()),
    to("listen to other machines by io_uring", |_| ring::vsock()),
    // Keys.
    to("read a key of the session (keyctl)", |_| attempt::read_key(Keyring::Session))
        .after(|| attempt::add_key(Keyring::Session)),
    to("read a key of the user (keyctl)", |_| attempt::read_key(Keyring::User))
        .after(|| attempt::add_key(Keyring::User)),
    // Rights.
    to("mount", |_| attempt::mount()),
    to("enter a namespace (setns)", |here| attempt::enter_namespace(here.before.namespace.as_fd())),
    to("make a mount namespace (unshare)", |_| attempt::unshare_mounts()),
    to("be root of a new user namespace (unshare)", |_| attempt::unshare_users()),
    to("chroot", |_| attempt::chroot()),
    to("raise the limit of open files", |_| attempt::raise_limit()).after(attempt::limit),
    to("open more files than the limit", |_| attempt::hold_more()).after(attempt::limit),
    to("load a kernel module", |_| attempt::module()),
    to("bpf", |_| attempt::bpf()),
    to("userfaultfd", |_| attempt::userfaultfd()),
];

const COLUMNS: [(&str, Layers); 8] = [
    ("none", Layers::NONE),
    ("namespaces", Layers { namespaces: true, users: true, ..Layers::NONE }),
    ("privileges", Layers { privileges: true, ..Layers::NONE }),
    ("capabilities", Layers { capabilities: true, ..Layers::NONE }),
    ("landlock", Layers { landlock: true, ..Layers::NONE }),
    ("families", Layers { families: true, ..Layers::NONE }),
    ("seccomp", Layers { seccomp: true, ..Layers::NONE }),
    ("all", Layers::ALL),
];
const LANDLOCK: usize = 4;
const SECCOMP: usize = 6;
const ALL: usize = 7;

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
        [row, column, pid, dir, tcp, tcp6, udp, abstract_unix] => {
            let (row, column) = (row.parse::<usize>().unwrap(), column.parse::<usize>().unwrap());
            let dir = Path::new(dir);
            let doors = Doors {
                tcp: tcp.parse().unwrap(),
                tcp6: tcp6.parse().unwrap(),
                udp: udp.parse().unwrap(),
                unix: dir.join("socket"),
                abstract_unix: abstract_unix.clone(),
            };
            make(&ATTEMPTS[row], COLUMNS[column].1, pid.parse().unwrap(), doors, dir)
        }
        _ => panic!("no words are expected"),
    }
}

/// Others of this host, for as long as this lives.
struct Others {
    dir: tempfile::TempDir,
    /// Somebody to trace, to signal and to read: for an ordinary user, a process of the same user.
    process: Child,
    words: Vec<String>,
    _listeners: (TcpListener, TcpListener, UnixListener, UnixListener),
}

impl Others {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rw", "ro"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("file"), "content").unwrap();
        }
        let program = dir.path().join("rw/program");
        fs::write(&program, program_that_ends()).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let name = format!("gofer-attempts-{}", std::process::id());
        let (tcp, tcp6) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let nameless = UnixListener::bind_addr(&address).unwrap();
        let addresses = [tcp.local_addr(), tcp6.local_addr(), udp.local_addr()];
        let process = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let mut words = vec![process.id().to_string(), dir.path().to_str().unwrap().to_owned()];
        words.extend(addresses.map(|address| address.unwrap().to_string()));
        words.push(name);
        // Somebody sends something all the time, to himself.
        thread::spawn(move || {
            let to = udp.local_addr().unwrap();
            while udp.send_to(b"x", to).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { dir, process, words, _listeners: (tcp, tcp6, unix, nameless) }
    }

    /// Makes one attempt in a process of its own.
    fn outcome(&self, row: usize, column: usize) -> Outcome {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([row.to_string(), column.to_string()]).args(&self.words);
        let output = command.stdin(Stdio::null()).output().unwrap();
        // What a success left behind.
        for left in ["rw/gofer-device", "ro/gofer-set-id"] {
            let _ = fs::remove_file(self.dir.path().join(left));
        }
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match (output.status.code(), said.strip_prefix("stopped ")) {
            (_, Some(how)) => Outcome::Stopped(how.to_owned()),
            // What was run in place of the attempt said nothing.
            (Some(0), None) => Outcome::Succeeded,
            other => {
                panic!(
                    "{}: {other:?}: {said} {}",
                    ATTEMPTS[row].what,
                    String::from_utf8_lossy(&output.stderr)
                )
            }
        }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program that needs no other file, and ends at once with success: an ELF file (`elf(5)`) of one segment.
fn program_that_ends() -> Vec<u8> {
    const AT: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (machine, code): (u16, &[u8]) = match std::env::consts::ARCH {
        // xor edi, edi; mov eax, 60; syscall
        "x86_64" => (62, &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]),
        // mov x0, 0; mov x8, 93; svc 0
        _ => (183, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]),
    };
    let size = HEADERS + u64::try_from(code.len()).unwrap();
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half =
        |elf: &mut Vec<u8>, words: &[u16]| words.iter().for_each(|word| elf.extend(word.to_le_bytes()));
    let long =
        |elf: &mut Vec<u8>, words: &[u64]| words.iter().for_each(|word| elf.extend(word.to_le_bytes()));
    half(&mut elf, &[2, machine, 1, 0]);
    long(&mut elf, &[AT + HEADERS, 64, 0]);
    half(&mut elf, &[0, 0, 64, 56, 1, 0, 0, 0]);
    // What is loaded, to be read and run.
    half(&mut elf, &[1, 0, 5, 0]);
    long(&mut elf, &[0, AT, AT, size, size, 0x1000]);
    elf.extend(code);
    elf
}

/// Makes all attempts and prints what came of them.
fn table() -> ExitCode {
    let others = Others::new();
    let is_root = gofer_sys::process::user().0.0 == 0;
    print!("{:<44}", "");
    println!("{}", COLUMNS.map(|(name, _)| format!("{name:<13}")).concat());
    let mut failed = Vec::new();
    for (row, attempt) in ATTEMPTS.iter().enumerate() {
        let outcomes: Vec<_> = (0..COLUMNS.len()).map(|column| others.outcome(row, column)).collect();
        print!("{:<44}", attempt.what);
        let cells = outcomes.iter().map(|outcome| match outcome {
            Outcome::Succeeded => format!("{:<13}", "-"),
            Outcome::Stopped(how) => format!("{how:<13}"),
        });
        println!("{}", cells.collect::<String>());
        let stops = |column: usize| outcomes[column] != Outcome::Succeeded;
        let held = match is_root {
            true => (1..ALL).filter(|column| stops(*column)).count() >= 2,
            false => stops(LANDLOCK) || stops(SECCOMP),
        };
        if !held || !stops(ALL) {
            failed.push(attempt.what);
        }
    }
    println!(
        "\n-: it succeeded. SIGSYS: the process was ended. What \"none\" stops, this system refuses to everybody."
    );
    println!("{} of {} rows hold", ATTEMPTS.len() - failed.len(), ATTEMPTS.len());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("failed: {}", failed.join("; "));
        ExitCode::FAILURE
    }
}

/// Seals this process with some layers and makes an attempt.
fn make(attempt: &Attempt, layers: Layers, pid: u32, doors: Doors, dir: &Path) -> ExitCode {
    let tree = |name: &str, writable| {
        let path = dir.join(name);
        Tree { place: walk::open_root(&path).unwrap(), path, writable, devices: false }
    };
    let plan = Plan {
        trees: vec![tree("rw", !attempt.read_only), tree("ro", false)],
        tasks: Tasks::default(),
        users: Users::All,
        violation: Violation::Kill,
        landlock: Abi::NEWEST,
        at_end: Box::new(|ended| {
            if let Some(gofer_jail::Ended::Signal(31)) = ended {
                println!("stopped SIGSYS");
            }
        }),
    };
    let before = Before {
        pid,
        doors,
        namespace: fs::File::open(format!("/proc/{pid}/ns/uts")).unwrap().into(),
        handle: attempt::handle(c"/etc/passwd"),
    };
    (attempt.before)().unwrap();
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
