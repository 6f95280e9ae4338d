//! What somebody would try who has taken over a process, to see what stops it: for tests alone.
//!
//! Each attempt is made so that it does no harm where it succeeds.

pub mod net;
pub mod ring;

use std::ffi::{c_long, c_void};
use std::os::fd::BorrowedFd;
use std::ptr;

use gofer_vfs::{Errno, Result};

use crate::{last_errno, raw};

/// What the kernel answers to a call, in which a pointer may be a number.
fn answer(result: c_long) -> Result<()> {
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// A call that would have gone on to fail with this errno was let through.
fn reached(result: Result<()>, errno: Errno) -> Result<()> {
    if result == Err(errno) { Ok(()) } else { result }
}

const NONE: *const c_void = ptr::null();

/// A call without memory of ours.
macro_rules! plain {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are integers, null or constant C strings, and the kernel writes nothing.
        answer(unsafe { libc::syscall(libc::$number $(, $argument)*) })
    };
}

/// Reads a file by its path.
pub fn open_path() -> Result<()> {
    plain!(SYS_openat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
}

/// A place below `dir` by a path, `..` included.
pub fn place_below(dir: BorrowedFd<'_>, path: &std::ffi::CStr) -> Result<std::os::fd::OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
    crate::call(|| rustix::fs::openat(dir, path, flags, rustix::fs::Mode::empty()))
}

/// Runs another program, which ends this process with success.
pub fn exec() -> Result<()> {
    let arguments = [c"true".as_ptr(), ptr::null()];
    // SAFETY: the path and the argument are C strings, and the list ends in null.
    answer(unsafe { libc::syscall(libc::SYS_execve, c"/bin/true".as_ptr(), arguments.as_ptr(), NONE) })
}

/// Traces another process.
pub fn trace(pid: u32) -> Result<()> {
    /// `PTRACE_SEIZE`, which does not stop it.
    const SEIZE: u32 = 0x4206;
    plain!(SYS_ptrace, SEIZE, pid, NONE, NONE)
}

/// Sends another process a signal that does nothing.
pub fn kill(pid: u32) -> Result<()> {
    plain!(SYS_kill, pid, 0)
}

/// Mounts something; there is no such file system.
pub fn mount() -> Result<()> {
    let (what, root) = (c"none".as_ptr(), c"/".as_ptr());
    reached(plain!(SYS_mount, what, root, c"gofer-none".as_ptr(), 0_usize, NONE), Errno::ENODEV)
}

/// Goes to another namespace, of which a descriptor was left open.
pub fn enter_namespace(namespace: BorrowedFd<'_>) -> Result<()> {
    plain!(SYS_setns, raw(&namespace), 0)
}

/// Makes a namespace of mounts.
pub fn unshare_mounts() -> Result<()> {
    plain!(SYS_unshare, libc::CLONE_NEWNS)
}

/// Makes a namespace of users.
pub fn unshare_users() -> Result<()> {
    plain!(SYS_unshare, libc::CLONE_NEWUSER)
}

/// Changes the root.
pub fn chroot() -> Result<()> {
    plain!(SYS_chroot, c"/".as_ptr())
}

/// The most descriptors that this process may hold, for [`raise_limit`] and [`hold_more`].
const MOST: u64 = 1024;

/// Sets the limit that is to be left, as an operator would.
pub fn limit() -> Result<()> {
    set_limit(MOST)
}

fn set_limit(most: u64) -> Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limit is a live value, and no old one is asked for.
    answer(unsafe { libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &raw const limit, NONE) })
}

/// Leaves the limit.
pub fn raise_limit() -> Result<()> {
    set_limit(2 * MOST)
}

/// Holds a descriptor beyond the limit, raised or not.
pub fn hold_more() -> Result<()> {
    let raised = raise_limit();
    match plain!(SYS_fcntl, 0, libc::F_DUPFD_CLOEXEC, MOST) {
        // As fcntl(2) has it for a number beyond the limit.
        Err(Errno::EINVAL) => raised.and(Err(Errno::EMFILE)),
        other => other,
    }
}

/// Makes a device file.
pub fn device(dir: BorrowedFd<'_>) -> Result<()> {
    plain!(SYS_mknodat, raw(&dir), c"gofer-device".as_ptr(), libc::S_IFCHR | 0o600, 0x0103)
}

/// Makes a set-id file.
pub fn set_id(dir: BorrowedFd<'_>) -> Result<()> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    plain!(SYS_openat, raw(&dir), c"gofer-set-id".as_ptr(), flags, 0o4755)
}

/// Runs a program of a tree, which ends this process with success.
pub fn exec_below(dir: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<()> {
    let arguments = [name.as_ptr(), ptr::null()];
    // SAFETY: the path and the argument are C strings, and the list ends in null.
    answer(unsafe {
        libc::syscall(libc::SYS_execveat, raw(&dir), name.as_ptr(), arguments.as_ptr(), NONE, 0)
    })
}

/// Loads something into the kernel's virtual machine: a map.
pub fn bpf() -> Result<()> {
    /// The first members of the attributes of `BPF_MAP_CREATE`: an array of one word.
    const MAP: [u32; 18] = [2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads the attributes, whose size is given.
    answer(unsafe { libc::syscall(libc::SYS_bpf, 0, MAP.as_ptr(), size_of_val(&MAP)) })
}

/// Handles faults of the kernel's own accesses.
pub fn userfaultfd() -> Result<()> {
    plain!(SYS_userfaultfd, libc::O_CLOEXEC)
}

/// Loads a module into the kernel.
pub fn module() -> Result<()> {
    reached(plain!(SYS_finit_module, -1, c"".as_ptr(), 0), Errno::EBADF)
}

/// Reads the memory of another process.
pub fn read_memory(pid: u32) -> Result<()> {
    // Nothing is read, but the right to is looked at.
    let (mut byte, one, flags) = (0_u8, 1_usize, 0_usize);
    let own = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: one };
    let other = libc::iovec { iov_base: ptr::null_mut(), iov_len: one };
    // SAFETY: one byte at most is written to `byte`, which is live.
    let read = answer(unsafe {
        libc::syscall(libc::SYS_process_vm_readv, pid, &raw const own, one, &raw const other, one, flags)
    });
    reached(read, Errno::EFAULT)
}

/// Makes memory that can be written and run.
pub fn executable_memory() -> Result<()> {
    let (access, flags) = (libc::PROT_WRITE | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    plain!(SYS_mmap, NONE, 4096_usize, access, flags, -1, 0_usize)
}

/// Maps a file so that it can be run.
pub fn executable_file(file: BorrowedFd<'_>) -> Result<()> {
    let access = libc::PROT_READ | libc::PROT_EXEC;
    plain!(SYS_mmap, NONE, 4096_usize, access, libc::MAP_PRIVATE, raw(&file), 0_usize)
}

/// A keyring (`keyrings(7)`).
#[derive(Clone, Copy, Debug)]
pub enum Keyring {
    /// That of the session.
    Session,
    /// That of the user.
    User,
}

impl Keyring {
    fn number(self) -> c_long {
        match self {
            Self::Session => -3,
            Self::User => -4,
        }
    }

    /// The name of the key in it.
    fn key(self) -> &'static std::ffi::CStr {
        match self {
            Self::Session => c"gofer-attempt-session",
            Self::User => c"gofer-attempt-user",
        }
    }
}

/// Puts something into a keyring (`KEYCTL_LINK`).
fn link_key(what: c_long, to: Keyring) -> Result<()> {
    const LINK: usize = 8;
    plain!(SYS_keyctl, LINK, what, to.number())
}

/// Puts a key into a keyring. The session is a new one, which does not lead to the user's.
pub fn add_key(to: Keyring) -> Result<()> {
    const SET_TIMEOUT: usize = 15;
    crate::process::leave_keyring()?;
    let (kind, name, payload) = (c"user".as_ptr(), to.key().as_ptr(), c"x".as_ptr());
    let session = Keyring::Session.number();
    // SAFETY: all are C strings, and one byte of the last is read.
    let key = unsafe { libc::syscall(libc::SYS_add_key, kind, name, payload, 1_usize, session) };
    answer(key)?;
    // It goes away by itself.
    plain!(SYS_keyctl, SET_TIMEOUT, key, 60)?;
    link_key(key, to)
}

/// Reads that key.
pub fn read_key(of: Keyring) -> Result<()> {
    const SEARCH: usize = 10;
    const READ: usize = 11;
    if let Keyring::User = of {
        // What can be reached from the session may be read.
        link_key(of.number(), Keyring::Session)?;
    }
    let (kind, name) = (c"user".as_ptr(), of.key().as_ptr());
    // SAFETY: both are C strings, and the kernel writes nothing.
    let key = unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, of.number(), kind, name, 0_usize) };
    answer(key)?;
    // Its length is asked for; whoever may not read it does not learn that either.
    plain!(SYS_keyctl, READ, key, NONE, 0_usize)
}

/// Measures another process.
pub fn measure(pid: u32) -> Result<()> {
    /// `struct perf_event_attr` as it was first: the clock of the processor, counted, not in the kernel.
    const CLOCK: [u32; 16] = [1, 64, 0, 0, 0, 0, 0, 0, 0, 0, 1 | 1 << 5 | 1 << 6, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads the attributes, whose size is in them.
    answer(unsafe { libc::syscall(libc::SYS_perf_event_open, CLOCK.as_ptr(), pid, -1, -1, 0_usize) })
}

/// Opens a file by its inode, wherever it is.
pub fn open_handle(mount: BorrowedFd<'_>, handle: &Handle) -> Result<()> {
    // SAFETY: the handle is a live value of the size that its first word says.
    answer(unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            raw(&mount),
            &raw const *handle,
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    })
}

/// `struct file_handle`.
#[repr(C)]
#[derive(Debug)]
pub struct Handle {
    bytes: u32,
    kind: i32,
    id: [u8; 128],
}

/// The handle of a file.
pub fn handle(path: &std::ffi::CStr) -> Result<Handle> {
    let mut handle = Handle { bytes: 128, kind: 0, id: [0; 128] };
    let mut mount = 0_i32;
    // SAFETY: the path is a C string; the kernel writes to the handle, at most as many bytes as its first word says,
    // and to the number of the mount, both live.
    answer(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    })?;
    Ok(handle)
}
