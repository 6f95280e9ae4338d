//! Connecting to the unix sockets in a tree.

use std::os::fd::{BorrowedFd, OwnedFd};

use gofer_vfs::{Result, SocketKind};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::open::ProcFd;
use crate::{call, errno};

/// The system calls of this module.
pub const SYSCALLS: &[&str] = &["connect", "socket"];

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
