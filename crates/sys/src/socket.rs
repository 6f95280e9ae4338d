//! Connecting to the unix sockets in a tree.

use std::os::fd::{BorrowedFd, OwnedFd};

use gofer_vfs::{Result, SocketKind};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::open::ProcFd;
use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{call, errno};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(connect).with(Need::HostSockets),
    // A stream, datagram or packet socket that does not wait: the kinds are 1, 2 and 5.
    syscall!(socket)
        .only(&[Arg(0, Is::Equal(UNIX)), Arg(1, Is::Bits(!7, FLAGS)), Arg(2, Is::Equal(0))])
        .with(Need::HostSockets),
];

const UNIX: u32 = libc::AF_UNIX.cast_unsigned();
const FLAGS: u32 = SocketFlags::CLOEXEC.bits() | SocketFlags::NONBLOCK.bits();

/// Connects to the socket that `node` is, without waiting. The connection does not wait either. It is the
/// file that is connected to, whatever the length of its path and whatever its name stands for now.
///
/// # Errors
/// Those of `connect(2)`: `EAGAIN` when the queue is full, `EPROTOTYPE` for another kind of socket,
/// `ECONNREFUSED` when nobody listens and for a file that is no socket.
pub fn connect(procfd: &ProcFd, node: BorrowedFd<'_>, kind: SocketKind) -> Result<OwnedFd> {
    let kind = match kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
        SocketKind::SeqPacket => SocketType::SEQPACKET,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = call(|| rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None))?;
    let address = SocketAddrUnix::new(procfd.number(node)).map_err(errno)?;
    procfd.within(|| call(|| rustix::net::connect(&socket, &address)))?;
    Ok(socket)
}
