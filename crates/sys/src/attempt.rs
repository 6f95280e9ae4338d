//! What somebody would try who has taken over a process, to see what stops it: for tests alone.
//!
//! Each attempt is made so that it does no harm where it succeeds.

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

/// Leaves the limits: more open files than were allowed.
pub fn raise_limits() -> Result<()> {
    let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: the limit is a live value, and no old one is asked for.
    answer(unsafe { libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &raw const limit, NONE) })
}

/// Makes a device file.
pub fn device(dir: BorrowedFd<'_>) -> Result<()> {
    plain!(SYS_mknodat, raw(&dir), c"gofer-device".as_ptr(), libc::S_IFCHR | 0o600, 0x0103)
}

/// Loads something into the kernel's virtual machine: a map.
pub fn bpf() -> Result<()> {
    /// The first members of the attributes of `BPF_MAP_CREATE`: an array of one word.
    const MAP: [u32; 18] = [2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the kernel reads the attributes, whose size is given.
    answer(unsafe { libc::syscall(libc::SYS_bpf, 0, MAP.as_ptr(), size_of_val(&MAP)) })
}

/// Makes a ring whose requests no filter sees.
pub fn io_uring() -> Result<()> {
    let mut parameters = [0_u64; 32];
    // SAFETY: the kernel writes 120 bytes at most to what is borrowed.
    answer(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) })
}

/// Handles faults of the kernel's own accesses.
pub fn userfaultfd() -> Result<()> {
    plain!(SYS_userfaultfd, libc::O_CLOEXEC)
}

/// Asks for the keys of this user.
pub fn keyctl() -> Result<()> {
    // KEYCTL_GET_KEYRING_ID of the user's keyring, which is made when it is asked for.
    plain!(SYS_keyctl, 0, -4, 1)
}

/// Measures the machine.
pub fn perf() -> Result<()> {
    // There is no structure of that size.
    reached(plain!(SYS_perf_event_open, NONE, 0, -1, -1, 0_usize), Errno::EFAULT)
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

/// A socket of a family.
pub fn socket(family: i32, kind: i32) -> Result<()> {
    plain!(SYS_socket, family, kind | libc::SOCK_CLOEXEC, 0)
}

/// Connects to a port of this host.
pub fn connect_out(address: &std::net::SocketAddr) -> Result<()> {
    crate::net::connect_tcp(address).map(drop)
}

/// Makes memory that can be written and run.
pub fn executable_memory() -> Result<()> {
    let (access, flags) = (libc::PROT_WRITE | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    plain!(SYS_mmap, NONE, 4096_usize, access, flags, -1, 0_usize)
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
