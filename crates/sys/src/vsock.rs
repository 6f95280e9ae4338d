//! Sockets between a virtual machine and its host (`vsock(7)`). Their calls are in the tables of `net`.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use gofer_vfs::Result;
use rustix::net::AddressFamily;

use crate::net::{BACKLOG, set_send_timeout, socket};
use crate::{errno, last_errno, raw};

/// An address of `vsock(7)`, the sockets between a virtual machine and its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VsockAddr {
    /// The machine; `u32::MAX` is "any" for a listener.
    pub cid: u32,
    /// The port.
    pub port: u32,
}

impl VsockAddr {
    fn raw(self) -> libc::sockaddr_vm {
        libc::sockaddr_vm {
            svm_family: FAMILY,
            svm_reserved1: 0,
            svm_port: self.port,
            svm_cid: self.cid,
            svm_zero: [0; 4],
        }
    }
}

impl fmt::Display for VsockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cid {
            u32::MAX => write!(f, "any:{}", self.port),
            cid => write!(f, "{cid}:{}", self.port),
        }
    }
}

/// `AF_VSOCK`.
pub(crate) const FAMILY: u16 = 40;
/// The size of `struct sockaddr_vm`.
const LEN: u32 = 16;
const _: () = assert!(size_of::<libc::sockaddr_vm>() == LEN as usize);

/// A vsock that listens at `address`.
///
/// # Errors
/// Those of `socket(2)` and `bind(2)`: `EAFNOSUPPORT` where the kernel has no vsock.
pub fn listen(address: VsockAddr) -> Result<OwnedFd> {
    bind(socket(AddressFamily::from_raw(FAMILY))?, address)
}

/// Lets a vsock listen.
pub(crate) fn bind(socket: OwnedFd, address: VsockAddr) -> Result<OwnedFd> {
    let vm = address.raw();
    // SAFETY: `vm` is a live `sockaddr_vm` and `LEN` its size (asserted above); the kernel reads
    // that many bytes during the call and keeps no pointer. The descriptor is open: `socket` owns it.
    let bound = unsafe { libc::bind(raw(&socket), (&raw const vm).cast(), LEN) };
    if bound != 0 {
        return Err(last_errno());
    }
    rustix::net::listen(&socket, BACKLOG).map_err(errno)?;
    Ok(socket)
}

/// A vsock connection to `address`. It is given up after `limit`.
///
/// # Errors
/// Those of `socket(2)` and `connect(2)`: `ENODEV` where there is no such machine, `EINPROGRESS` after `limit`.
pub fn connect(address: VsockAddr, limit: Option<Duration>) -> Result<OwnedFd> {
    let socket = socket(AddressFamily::from_raw(FAMILY))?;
    set_send_timeout(socket.as_fd(), limit);
    let vm = address.raw();
    // SAFETY: `vm` is a live `sockaddr_vm` and `LEN` its size (asserted above); the kernel reads
    // that many bytes during the call and keeps no pointer. The descriptor is open: `socket` owns it.
    let connected = unsafe { libc::connect(raw(&socket), (&raw const vm).cast(), LEN) };
    if connected != 0 {
        return Err(last_errno());
    }
    Ok(socket)
}
