//! [`Listener`]: a bound address, and the connections that come.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gofer_sys::net::{self, Family, Latch};
use gofer_sys::vsock;
use gofer_vfs::Errno;

use crate::{Address, Error, Socket};

/// A socket that listens. The file of a unix socket that it made is removed when it is dropped, if it is
/// still the same file.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: Address,
    latch: Arc<Latch>,
    file: Option<SocketFile>,
}

/// Stops a [`Listener`] that another thread waits on.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<Latch>);

impl Acceptor {
    /// No more connections are accepted.
    pub fn stop(&self) {
        self.0.raise();
    }
}

impl Listener {
    /// Listens at an address. The file of a unix socket is made for this user only (mode 0600); one that
    /// was left behind by a server that is gone is replaced.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Taken`] or [`Error::Bind`].
    pub fn bind(address: &Address) -> Result<Self, Error> {
        let refused = |errno| Error::Bind { address: address.clone(), errno, hint: hint(errno) };
        let (fd, file) = match address {
            Address::Unix(path) => {
                let fd = match net::listen_unix(path) {
                    Err(Errno::EADDRINUSE) => {
                        clear_stale(path, address)?;
                        net::listen_unix(path)
                    }
                    other => other,
                };
                (fd.map_err(refused)?, SocketFile::of(path))
            }
            Address::Tcp(address) => (net::listen_tcp(address).map_err(refused)?, None),
            Address::Vsock(address) => (vsock::listen(*address).map_err(refused)?, None),
            Address::Inherited(number) => return Self::inherited(*number),
        };
        Self::new(fd, address.clone(), file).map_err(refused)
    }

    /// The listening socket that this process was started with as descriptor `number`, as a service manager
    /// passes it.
    ///
    /// # Errors
    /// [`Error::Inherited`] when there is none or it is something else.
    pub fn inherited(number: u32) -> Result<Self, Error> {
        let refused = |errno| Error::Inherited { number, expected: "a listening stream socket", errno };
        let fd = gofer_sys::process::inherited(number).map_err(refused)?;
        if !net::is_listening(fd.as_fd()).map_err(refused)? {
            return Err(refused(Errno::EINVAL));
        }
        let address = match net::family_of(fd.as_fd()).map_err(refused)? {
            Family::Unix => net::local_path(fd.as_fd())
                .map_err(refused)?
                .map(|path| Address::Unix(PathBuf::from(std::ffi::OsString::from_vec(path)))),
            Family::Ip | Family::Vsock => None,
        };
        Self::new(fd, address.unwrap_or(Address::Inherited(number)), None).map_err(refused)
    }

    fn new(fd: OwnedFd, address: Address, file: Option<SocketFile>) -> Result<Self, Errno> {
        net::set_blocking(fd.as_fd(), false)?;
        // The system may have chosen the port.
        let address = net::local_ip(fd.as_fd())?.map_or(address, Address::Tcp);
        Ok(Self { fd, address, latch: Arc::new(Latch::new()?), file })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Leaves the file of the socket to the caller, for a process that may not remove it by its path at the end.
    pub fn take_file(&mut self) -> Option<SocketFile> {
        self.file.take()
    }

    /// What stops it.
    pub fn acceptor(&self) -> Acceptor {
        Acceptor(Arc::clone(&self.latch))
    }

    /// Waits for the next connection; `None` once it was stopped.
    ///
    /// # Errors
    /// Those of `accept(2)`; `EMFILE` and its like are worth another try later.
    pub fn accept(&self) -> Result<Option<Socket>, Errno> {
        net::accept(self.fd.as_fd(), &self.latch)?.map(Socket::from_fd).transpose()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.remove();
        }
    }
}

/// The file of a unix socket, known again by its inode.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(path).ok()?;
        Some(Self { path: path.to_owned(), id: (found.dev(), found.ino()) })
    }

    /// Removes it, if it is still the same.
    pub fn remove(&self) {
        if Self::of(&self.path).is_some_and(|now| now.id == self.id) {
            // Whoever removed it meanwhile did what was to be done.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket at `path` if no server listens on it. One that is bound and does not listen yet looks the
/// same: of two servers that start at once for the same path, the first may lose its name to the second.
fn clear_stale(path: &Path, address: &Address) -> Result<(), Error> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Err(Error::Taken(address.clone()));
    }
    let stale = SocketFile::of(path);
    match net::answers_unix(path) {
        Ok(false) => {
            if let Some(file) = stale {
                file.remove();
            }
            Ok(())
        }
        Err(errno) => Err(Error::Bind { address: address.clone(), errno, hint: hint(errno) }),
        Ok(true) => Err(Error::InUse(address.clone())),
    }
}

/// What to do about an error of `bind(2)`.
fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EADDRINUSE => "stop whoever listens there or choose another address",
        Errno::EACCES | Errno::EPERM => "choose an address that this user may use",
        Errno::ENOENT | Errno::ENOTDIR => "make the directory first",
        Errno::ENAMETOOLONG | Errno::EINVAL => "choose a shorter path (at most 107 bytes)",
        Errno::EADDRNOTAVAIL => "choose an address of this machine",
        Errno::EAFNOSUPPORT | Errno::ENODEV => {
            "the kernel has no such sockets; choose another kind of address"
        }
        _ => "choose another address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &Path) -> Address {
        Address::Unix(path.to_owned())
    }

    #[test]
    fn a_live_socket_is_refused_and_a_stale_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let live = Listener::bind(&unix(&path)).unwrap();
        assert!(matches!(Listener::bind(&unix(&path)), Err(Error::InUse(_))));
        drop(live);
        assert!(!path.exists(), "its own file is removed");

        drop(net::listen_unix(&path).unwrap());
        assert!(path.exists(), "left behind");
        let again = Listener::bind(&unix(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "not ours").unwrap();
        drop(again);
        assert!(path.exists(), "a file that took the name is left alone");
        assert!(matches!(Listener::bind(&unix(&path)), Err(Error::Taken(_))));
        assert_eq!(fs::read(&path).unwrap(), b"not ours");
    }

    #[test]
    fn a_live_socket_is_found_while_nobody_accepts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _live = Listener::bind(&unix(&path)).unwrap();
        // More than may wait.
        for _ in 0..200 {
            assert!(matches!(Listener::bind(&unix(&path)), Err(Error::InUse(_))));
        }
    }

    #[test]
    fn a_connection_that_another_took_is_not_waited_for() {
        let listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
        let sharer = std::net::TcpListener::from(listener.fd.try_clone().unwrap());
        assert_eq!(sharer.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_stopped_listener_accepts_no_more() {
        let listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
        let Address::Tcp(address) = *listener.address() else { panic!("{}", listener.address()) };
        assert_ne!(address.port(), 0);
        let _client = net::connect_tcp(&address).unwrap();
        assert!(listener.accept().unwrap().is_some());
        listener.acceptor().stop();
        assert!(listener.accept().unwrap().is_none());
    }
}
