//! [`Donated`]: a regular file that a server gave away, looked at before it is used; [`Fifo`] in the same way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gofer_sys::{attr, io, net};
use gofer_vfs::{AccessMode, Errno, FileKind, Result, Sink, Source};

/// A descriptor of an open regular file, with the access that was asked for.
///
/// Whoever sent it may be hostile. A regular file can be read and written without waiting for anyone; only one
/// on a network or user-space file system waits for whoever serves that.
#[derive(Debug)]
pub struct Donated(OwnedFd);

impl Donated {
    /// Takes a descriptor that came for a file opened with `access`.
    ///
    /// # Errors
    /// `EPROTO` for anything but a regular file that is open for that; those of `fstat(2)`.
    pub fn new(fd: OwnedFd, access: AccessMode) -> Result<Self> {
        checked(fd, FileKind::Regular, access).map(Self)
    }

    /// How long the file is, in bytes.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub fn size(&self) -> Result<u64> {
        Ok(attr::stat(self.0.as_fd())?.size)
    }

    /// Makes every write go to the end of the file.
    ///
    /// # Errors
    /// Those of `fcntl(2)`.
    pub fn append(&self) -> Result<()> {
        io::set_append(self.0.as_fd())
    }
}

impl AsFd for Donated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Donated> for OwnedFd {
    fn from(donated: Donated) -> Self {
        donated.0
    }
}

/// A descriptor of an open FIFO, which is read and written without waiting for its other end.
#[derive(Debug)]
pub struct Fifo(OwnedFd);

impl Fifo {
    /// Takes a descriptor that came for a FIFO opened with `access`.
    ///
    /// # Errors
    /// `EPROTO` for anything but a FIFO that is open for that; those of `fstat(2)` and `fcntl(2)`.
    pub fn new(fd: OwnedFd, access: AccessMode) -> Result<Self> {
        let fd = checked(fd, FileKind::Fifo, access)?;
        net::set_blocking(fd.as_fd(), false)?;
        Ok(Self(fd))
    }

    /// Reads what is there, at most `len` bytes.
    ///
    /// # Errors
    /// Those of `read(2)`: `EAGAIN` when nothing is there.
    pub fn read(&self, len: usize, into: &mut dyn Sink) -> Result<usize> {
        io::read_stream(self.0.as_fd(), len, into)
    }

    /// Writes, all of it or nothing, at most a page.
    ///
    /// # Errors
    /// Those of `write(2)`: `EAGAIN` when there is no room, `EPIPE` without a reader.
    pub fn write(&self, from: &mut dyn Source) -> Result<usize> {
        io::write_stream(self.0.as_fd(), from)
    }
}

/// A descriptor that came for a file of this kind, opened with `access`.
///
/// # Errors
/// `EPROTO` for anything else; those of `fstat(2)`.
pub fn checked(fd: OwnedFd, kind: FileKind, access: AccessMode) -> Result<OwnedFd> {
    let has = io::access(fd.as_fd())
        .is_ok_and(|has| (has.reads() || !access.reads()) && (has.writes() || !access.writes()));
    if has && attr::stat(fd.as_fd())?.kind == kind { Ok(fd) } else { Err(Errno::EPROTO) }
}

/// A descriptor that came as a connected socket.
///
/// # Errors
/// `EPROTO` for anything else; those of `fstat(2)`.
pub fn socket(fd: OwnedFd) -> Result<OwnedFd> {
    if attr::stat(fd.as_fd())?.kind == FileKind::Socket { Ok(fd) } else { Err(Errno::EPROTO) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_a_regular_file_with_the_access_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "abc").unwrap();
        let (read, write) =
            (|| File::open(&path).unwrap(), || File::options().write(true).open(&path).unwrap());
        let donated = Donated::new(read().into(), AccessMode::Read).unwrap();
        assert_eq!(donated.size(), Ok(3));
        assert!(Donated::new(write().into(), AccessMode::Write).is_ok());
        let refused = |fd: OwnedFd, access| Donated::new(fd, access).err();
        assert_eq!(refused(read().into(), AccessMode::Write), Some(Errno::EPROTO));
        assert_eq!(refused(write().into(), AccessMode::ReadWrite), Some(Errno::EPROTO));
        assert_eq!(refused(File::open(dir.path()).unwrap().into(), AccessMode::Read), Some(Errno::EPROTO));
        assert_eq!(refused(File::open("/dev/zero").unwrap().into(), AccessMode::Read), Some(Errno::EPROTO));
        let place = gofer_sys::walk::open_root(&path).unwrap();
        assert_eq!(refused(place, AccessMode::Read), Some(Errno::EPROTO));
    }
}
