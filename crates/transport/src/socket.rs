//! [`Socket`]: a connected unix, TCP or vsock stream.

use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use gofer_sys::net::{self, Family};
use gofer_sys::vsock;
use gofer_vfs::Errno;

use crate::{Address, ClientStream, Descriptors, Error, Stream};

/// A connected stream socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    passes_descriptors: bool,
}

impl Socket {
    /// A socket that is connected.
    ///
    /// # Errors
    /// `ENOTSOCK`, `EPROTONOSUPPORT` or `EINVAL` when it is no connected stream socket of a known family.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Errno> {
        let family = net::family_of(fd.as_fd())?;
        if net::is_listening(fd.as_fd())? {
            return Err(Errno::EINVAL);
        }
        net::set_blocking(fd.as_fd(), true)?;
        if family == Family::Ip {
            net::set_nodelay(fd.as_fd())?;
            net::set_keepalive(fd.as_fd())?;
        }
        Ok(Self { fd, passes_descriptors: family == Family::Unix })
    }

    /// Connects to a server. It is given up after `limit`; a unix socket whose server accepts nobody is waited for
    /// as long as that takes.
    ///
    /// # Errors
    /// [`Error::Connect`], and [`Error::Inherited`] for a descriptor.
    pub fn connect(address: &Address, limit: Option<Duration>) -> Result<Self, Error> {
        let fd = match address {
            Address::Unix(path) => net::connect_unix(path),
            Address::Tcp(address) => match limit {
                Some(limit) => TcpStream::connect_timeout(address, limit)
                    .map(OwnedFd::from)
                    .map_err(|error| errno(&error)),
                None => net::connect_tcp(address),
            },
            Address::Vsock(address) => vsock::connect(*address, limit),
            Address::Inherited(number) => return Self::inherited(*number),
        };
        fd.and_then(Self::from_fd).map_err(|errno| Error::Connect {
            address: address.clone(),
            errno,
            hint: hint(errno),
        })
    }

    /// The connected socket that this process was started with as descriptor `number`.
    ///
    /// # Errors
    /// [`Error::Inherited`] when there is none or it is something else.
    pub fn inherited(number: u32) -> Result<Self, Error> {
        gofer_sys::process::inherited(number).and_then(Self::from_fd).map_err(|errno| Error::Inherited {
            number,
            expected: "a connected stream socket",
            errno,
        })
    }

    /// Two connected sockets.
    ///
    /// # Errors
    /// Those of `socketpair(2)`.
    pub fn pair() -> Result<(Self, Self), Errno> {
        let (a, b) = net::pair()?;
        Ok((Self::from_fd(a)?, Self::from_fd(b)?))
    }
}

impl Stream for Socket {
    fn recv(&self, into: &mut Vec<u8>, limit: usize) -> Result<usize, Errno> {
        net::recv(self.fd.as_fd(), into, limit)
    }

    fn send(&self, head: &[u8], payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        net::send(self.fd.as_fd(), head, payload, descriptors)
    }

    fn unix_socket(&self) -> Option<BorrowedFd<'_>> {
        // Those alone pass descriptors.
        self.passes_descriptors.then(|| self.fd.as_fd())
    }

    fn passes_descriptors(&self) -> bool {
        self.passes_descriptors
    }

    fn close_input(&self) {
        net::shutdown_input(self.fd.as_fd());
    }

    fn tell_quiet(&self, limit: Option<Duration>) {
        net::set_recv_timeout(self.fd.as_fd(), limit);
    }

    fn close(&self) {
        net::shutdown(self.fd.as_fd());
    }
}

impl ClientStream for Socket {
    fn recv_with_descriptors(&self, into: &mut Vec<u8>, limit: usize) -> Result<(usize, Descriptors), Errno> {
        net::recv_with_descriptors(self.fd.as_fd(), into, limit)
    }

    fn tell_stuck(&self, limit: Option<Duration>) {
        net::set_send_timeout(self.fd.as_fd(), limit);
    }
}

/// The errno of a failed library call; one that took too long has none.
fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::ETIMEDOUT, Errno::from_host)
}

/// What to do about an error of `connect(2)`.
fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => "no socket has this path: check it, or start the server",
        // The second is what a virtual machine's host answers.
        Errno::ECONNREFUSED | Errno::ECONNRESET => {
            "nobody listens there: start the server, or check the address"
        }
        Errno::EACCES | Errno::EPERM => {
            "the socket is another user's: use one that is yours, or ask its owner"
        }
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ETIMEDOUT | Errno::EINPROGRESS => {
            "the machine does not answer: check the address and what is between"
        }
        Errno::EAFNOSUPPORT | Errno::ENODEV => "the kernel has no such sockets, or there is no such machine",
        Errno::ENAMETOOLONG | Errno::EINVAL => "choose a shorter path (at most 107 bytes)",
        _ => "check the address",
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}
