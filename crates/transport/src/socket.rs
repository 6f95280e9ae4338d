//! [`Socket`]: a connected unix, TCP or vsock stream.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use gofer_sys::net::{self, Family};
use gofer_vfs::Errno;

use crate::{Error, Stream};

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

    fn send(&self, head: &[u8], payload: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        net::send(self.fd.as_fd(), head, payload, descriptor)
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
