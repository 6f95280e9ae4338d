//! What leads out by sockets.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use gofer_vfs::{Errno, Result};
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::call;
use crate::vsock::VsockAddr;

/// Connects to a port of this host.
pub fn tcp(address: &SocketAddr) -> Result<()> {
    crate::net::connect_tcp(address).map(drop)
}

/// Sends a datagram to a port of this host.
pub fn udp(address: &SocketAddr) -> Result<()> {
    let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", address));
    sent.map(drop).map_err(|error| Errno::from_host(error.raw_os_error().unwrap_or(0)))
}

/// Connects to a unix socket by its path.
pub fn unix(path: &Path) -> Result<()> {
    crate::net::connect_unix(path).map(drop)
}

/// Connects to a unix socket that has a name and no file.
pub fn abstract_unix(name: &[u8]) -> Result<()> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    let address = SocketAddrUnix::new_abstract_name(name).map_err(crate::errno)?;
    call(|| rustix::net::connect(&socket, &address))
}

fn socket(family: AddressFamily, kind: SocketType, protocol: Option<Protocol>) -> Result<OwnedFd> {
    let socket = call(|| rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol))?;
    crate::net::set_recv_timeout(socket.as_fd(), Some(Duration::from_millis(500)));
    Ok(socket)
}

fn recv(socket: &OwnedFd) -> Result<Vec<u8>> {
    const MOST: usize = 4096;
    let mut received = Vec::with_capacity(MOST);
    crate::net::recv(socket.as_fd(), &mut received, MOST)?;
    Ok(received)
}

/// Asks for the addresses of this host (`rtnetlink(7)`), of which it has one at least.
pub fn addresses() -> Result<()> {
    const NEW_ADDRESS: [u8; 2] = 20_u16.to_ne_bytes();
    /// `RTM_GETADDR` with `NLM_F_REQUEST | NLM_F_DUMP`, and nothing that narrows it.
    const ASKED: [u32; 6] = [24, 22 | 0x301 << 16, 1, 0, 0, 0];
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let asked = ASKED.map(u32::to_ne_bytes).concat();
    call(|| rustix::net::send(&socket, &asked, SendFlags::empty()))?;
    let answer = recv(&socket)?;
    if answer.get(4..6) == Some(&NEW_ADDRESS) { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }
}

/// Sees what is sent by others of this host, who do it all the time.
pub fn packets() -> Result<()> {
    /// `ETH_P_ALL`, in the order of the network.
    const ALL: u16 = 3_u16.to_be();
    let all = NonZeroU32::new(ALL.into()).map(Protocol::from_raw);
    recv(&socket(AddressFamily::PACKET, SocketType::RAW, all)?).map(drop)
}

/// Listens to whoever runs this virtual machine.
pub fn vsock() -> Result<()> {
    crate::vsock::listen(VsockAddr { cid: u32::MAX, port: u32::MAX }).map(drop)
}
