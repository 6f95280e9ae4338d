//! Who owns the bytes of a read or a write.
//!
//! The front-end owns them: a reply's buffer, a request's, or a window that the peer shares. A backend that
//! has its bytes in memory copies them once; one that has a descriptor of the host lends it, and the bytes go
//! between file and buffer in one system call. Neither learns what the buffer is.

use std::os::fd::BorrowedFd;

use crate::Result;

/// Where the bytes of a read go.
pub trait Sink {
    /// How many more bytes there is room for.
    fn room(&self) -> usize;

    /// Takes as many of `bytes` as there is room for, and says how many.
    fn put(&mut self, bytes: &[u8]) -> usize;

    /// Reads from a host file at `offset` (`pread(2)`), at most `len` bytes and at most the room there is.
    /// 0 is the end of the file.
    ///
    /// # Errors
    /// Those of `pread(2)`, never `EINTR`.
    fn pull(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize>;
}

/// Where the bytes of a write come from.
pub trait Source {
    /// How many bytes are left.
    fn left(&self) -> usize;

    /// Fills `room` with as many of the bytes as fit, and says how many.
    fn take(&mut self, room: &mut [u8]) -> usize;

    /// Writes what is left to a host file at `offset` (`pwrite(2)`), and says how many bytes went.
    ///
    /// # Errors
    /// Those of `pwrite(2)`, never `EINTR`.
    fn push(&mut self, file: BorrowedFd<'_>, offset: u64) -> Result<usize>;
}
