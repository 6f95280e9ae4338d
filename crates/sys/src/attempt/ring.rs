//! What leads out by a ring of requests to the kernel (`io_uring(7)`), which a filter of system calls does not see.

use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use gofer_vfs::{Errno, Result};
use rustix::mm::{MapFlags, ProtFlags};

use crate::vsock::VsockAddr;
use crate::{errno, libc_call, raw};

/// What is written to and read from the kernel by 32 bits: `struct io_uring_params`, 120 bytes.
type Parameters = [u32; 30];
/// A request, 64 bytes.
type Request = [u64; 8];

/// Places in the parameters.
const SUBMITTED_TAIL: usize = 11;
const COMPLETED_ENTRIES: usize = 25;
/// Where the two things are that are mapped.
const RINGS: u64 = 0;
const REQUESTS: u64 = 0x1000_0000;
/// Enough for both: a ring of one request and its two answers is less than a page.
const PAGE: usize = 4096;

/// Opens a file by its path.
pub fn open(path: &CStr) -> Result<()> {
    let at = u64::try_from(path.as_ptr().expose_provenance()).map_err(|_| Errno::EFAULT)?;
    // Which operation, where from (`AT_FDCWD`), the path, and `O_CLOEXEC` as its flags.
    let flags = u64::from(libc::O_CLOEXEC.cast_unsigned()) << 32;
    Ring::new()?
        .ask([18 | u64::from(libc::AT_FDCWD.cast_unsigned()) << 32, 0, at, flags, 0, 0, 0, 0])
        .map(drop)
}

/// Connects to an IPv4 port of this host.
pub fn connect(port: u16) -> Result<()> {
    let (family, [high, low]) = (libc::AF_INET.to_ne_bytes(), port.to_be_bytes());
    let address = [family[0], family[1], high, low, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let at = u64::try_from(address.as_ptr().expose_provenance()).map_err(|_| Errno::EFAULT)?;
    let socket = socket(libc::AF_INET)?;
    let size = u64::try_from(address.len()).map_err(|_| Errno::EINVAL)?;
    let number = u64::from(raw(&socket).cast_unsigned());
    Ring::new()?.ask([16 | number << 32, size, at, 0, 0, 0, 0, 0]).map(drop)
}

/// Listens to whoever runs this virtual machine.
pub fn vsock() -> Result<()> {
    crate::vsock::bind(socket(libc::AF_VSOCK)?, VsockAddr { cid: u32::MAX, port: u32::MAX }).map(drop)
}

fn socket(family: c_int) -> Result<OwnedFd> {
    let (family, stream) = (family.cast_unsigned(), libc::SOCK_STREAM.cast_unsigned());
    let socket = Ring::new()?.ask([45 | u64::from(family) << 32, u64::from(stream), 0, 0, 0, 0, 0, 0])?;
    // SAFETY: it is the answer to the request for a socket: a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// A ring for one request.
struct Ring {
    ring: OwnedFd,
    rings: NonNull<c_void>,
    requests: NonNull<c_void>,
    parameters: Parameters,
}

impl Ring {
    fn new() -> Result<Self> {
        let mut parameters: Parameters = [0; 30];
        let number = libc_call(|| {
            // SAFETY: the kernel reads and writes 120 bytes, which the parameters have.
            unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) }
        })?;
        let number = c_int::try_from(number).map_err(|_| Errno::EBADF)?;
        // SAFETY: the call succeeded, and then it returns a new descriptor, which nobody else owns.
        let ring = unsafe { OwnedFd::from_raw_fd(number) };
        let (rings, requests) = (map(&ring, RINGS)?, map(&ring, REQUESTS)?);
        Ok(Self { ring, rings, requests, parameters })
    }

    /// Where the parameters say that something is.
    fn at(&self, parameter: usize, more: usize) -> Result<NonNull<u32>> {
        let offset = usize::try_from(self.parameters[parameter]).map_err(|_| Errno::EINVAL)? + more;
        if offset + size_of::<u32>() > PAGE {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the offset is inside of the page that is mapped there for as long as this process lives.
        Ok(unsafe { self.rings.byte_add(offset) }.cast())
    }

    /// Makes the request, and waits for the answer.
    fn ask(&self, request: Request) -> Result<i32> {
        const WAIT: u32 = 1;
        let (tail, answer) = (self.at(SUBMITTED_TAIL, 0)?, self.at(COMPLETED_ENTRIES, 8)?);
        // SAFETY: a page is mapped there that nobody else uses before the kernel is told of it, and its start is
        // aligned for everything.
        unsafe { self.requests.cast::<Request>().write(request) };
        // SAFETY: as `at` says; the kernel reads it when it is called.
        unsafe { tail.write_volatile(1) };
        libc_call(|| {
            let (enter, none) = (libc::SYS_io_uring_enter, std::ptr::null::<u8>());
            // SAFETY: the arguments are integers and null. What the request points to is live: the caller waits.
            unsafe { libc::syscall(enter, raw(&self.ring), 1, 1, WAIT, none, 0) }
        })?;
        // SAFETY: as `at` says; the kernel has written it.
        let answer = unsafe { answer.read_volatile() }.cast_signed();
        if answer < 0 { Err(Errno::from_host(answer.saturating_neg())) } else { Ok(answer) }
    }
}

fn map(ring: &OwnedFd, offset: u64) -> Result<NonNull<c_void>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at a place that the kernel chooses, takes no memory from anybody. It stays.
    let mapped = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), PAGE, access, MapFlags::SHARED, ring.as_fd(), offset)
    };
    NonNull::new(mapped.map_err(errno)?).ok_or(Errno::EFAULT)
}
