//! Pipes: where the bytes of a file wait for a socket. They are the file's own pages, which nobody copies
//! (`splice(2)`).

use std::io::IoSlice;
use std::os::fd::{BorrowedFd, OwnedFd};

use gofer_vfs::{Errno, Result};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};

use crate::net::{self, Direction, patiently};
use crate::seccomp::{Arg, Call, Is, syscall};
use crate::{call, errno};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(close),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_SETPIPE_SZ.cast_unsigned()))]),
    syscall!(pipe2).only(&[Arg(1, Is::Equal(PipeFlags::CLOEXEC.bits()))]),
    syscall!(splice).only(&[Arg(5, Is::Bits(!SpliceFlags::MORE.bits(), 0))]),
];

/// A pipe with nothing in it.
#[derive(Debug)]
pub struct Pipe(Box<Ends>);

/// Where it is stays the same: what may carry one is no larger than a pointer.
#[derive(Debug)]
struct Ends {
    input: OwnedFd,
    output: OwnedFd,
    /// Bytes in it.
    held: usize,
}

/// A pipe with bytes of a file. Dropped, it takes them along: only [`Filled::send`] makes it an empty one again, so that
/// nobody is sent what was read for another.
#[derive(Debug)]
pub struct Filled(Box<Ends>);

impl Pipe {
    /// What it holds: as much as anybody may ask for by default (`/proc/sys/fs/pipe-max-size`).
    pub const CAPACITY: usize = 1 << 20;

    /// A new one.
    ///
    /// # Errors
    /// Those of `pipe2(2)`, and `EPERM` for a user who has too much in pipes.
    pub fn new() -> Result<Self> {
        let (output, input) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(errno)?;
        rustix::pipe::fcntl_setpipe_size(&input, Self::CAPACITY).map_err(errno)?;
        Ok(Self(Box::new(Ends { input, output, held: 0 })))
    }

    /// Takes as many bytes of a file as there is room for, at most `len`. It stays empty where none came: at the end of
    /// the file, where the file is of a kind that has no pages, and where it cannot be read; `pread(2)` tells which.
    ///
    /// What is written to the file before the bytes have left may be seen.
    pub fn fill(self, file: BorrowedFd<'_>, offset: u64, len: usize) -> std::result::Result<Filled, Self> {
        let Self(mut ends) = self;
        let mut at = offset;
        let flags = SpliceFlags::empty();
        let filled = call(|| rustix::pipe::splice(file, Some(&mut at), &ends.input, None, len, flags));
        ends.held = filled.unwrap_or(0);
        if ends.held == 0 { Err(Self(ends)) } else { Ok(Filled(ends)) }
    }
}

impl Filled {
    /// How many bytes it holds; not 0.
    #[expect(clippy::len_without_is_empty, reason = "it is not")]
    pub fn len(&self) -> usize {
        self.0.held
    }

    /// Sends all of `head`, what the pipe holds, and all of `tail`, and makes the pipe an empty one. What the socket
    /// has taken of the pages stays in memory until its peer has it.
    ///
    /// `SIGPIPE` must be ignored, as the language's runtime does: there is no way to say here that it is not wanted.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`. How much was sent by then is unknown.
    pub fn send(self, socket: BorrowedFd<'_>, head: &[u8], tail: &[u8]) -> Result<Pipe> {
        let Self(mut ends) = self;
        send_more(socket, head)?;
        let flags = if tail.is_empty() { SpliceFlags::empty() } else { SpliceFlags::MORE };
        while ends.held > 0 {
            let Ends { output, held, .. } = &*ends;
            let sent = patiently(socket, Direction::Send, || {
                rustix::pipe::splice(output, None, socket, None, *held, flags)
            })?;
            // The kernel sends no more than it was asked to, nor nothing of what there is.
            ends.held = held.checked_sub(sent).filter(|_| sent > 0).ok_or(Errno::EIO)?;
        }
        net::send(socket, tail, b"", &[])?;
        Ok(Pipe(ends))
    }
}

/// Sends all of `head`, which is to leave together with what follows.
fn send_more(socket: BorrowedFd<'_>, mut head: &[u8]) -> Result<()> {
    let mut nothing = SendAncillaryBuffer::default();
    while !head.is_empty() {
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        let sent = patiently(socket, Direction::Send, || {
            rustix::net::sendmsg(socket, &[IoSlice::new(head)], &mut nothing, flags)
        })?;
        head = &head[sent..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// All that comes until the other end is closed.
    fn all(socket: BorrowedFd<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            bytes.reserve(1 << 16);
            match net::recv(socket, &mut bytes, 1 << 16) {
                Ok(n) if n > 0 => {}
                end => return end.map(|_| bytes).unwrap(),
            }
        }
    }

    fn file(len: usize) -> (std::fs::File, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn what_a_file_holds_leaves_between_head_and_tail() {
        let (file, bytes) = file(3 << 20);
        let (ours, theirs) = net::pair().unwrap();
        std::thread::scope(|scope| {
            let came = scope.spawn(|| all(theirs.as_fd()));
            let filled = Pipe::new().unwrap().fill(file.as_fd(), 5, 2 << 20).unwrap();
            assert!((1..=Pipe::CAPACITY).contains(&filled.len()), "{}", filled.len());
            let end = 5 + filled.len();
            let pipe = filled.send(ours.as_fd(), b"head", b"tail").unwrap();
            let again = pipe.fill(file.as_fd(), (3 << 20) - 7, 100).unwrap();
            assert_eq!(again.len(), 7, "the end of the file");
            let pipe = again.send(ours.as_fd(), b"", b"").unwrap();
            let pipe = pipe.fill(file.as_fd(), 3 << 20, 100).unwrap_err();
            net::shutdown(ours.as_fd());
            let expected = [b"head", &bytes[5..end], b"tail", &bytes[bytes.len() - 7..]].concat();
            assert!(came.join().unwrap() == expected);
            drop(pipe);
        });
    }

    #[test]
    fn what_has_no_pages_leaves_the_pipe_empty() {
        let (ours, _theirs) = net::pair().unwrap();
        let (one, other) = rustix::pipe::pipe().unwrap();
        let pipe = Pipe::new().unwrap();
        let pipe = pipe.fill(ours.as_fd(), 0, 10).unwrap_err();
        let pipe = pipe.fill(one.as_fd(), 0, 10).unwrap_err();
        drop((pipe, other));
    }

    #[test]
    fn a_file_that_is_cut_off_meanwhile_gives_as_many_bytes() {
        let (file, bytes) = file(1 << 20);
        let (ours, theirs) = net::pair().unwrap();
        let filled = Pipe::new().unwrap().fill(file.as_fd(), 0, 1 << 20).unwrap();
        let len = filled.len();
        file.set_len(10).unwrap();
        std::thread::scope(|scope| {
            let came = scope.spawn(|| all(theirs.as_fd()));
            filled.send(ours.as_fd(), b"", b"").unwrap();
            net::shutdown(ours.as_fd());
            let came = came.join().unwrap();
            assert_eq!(came.len(), len);
            assert_eq!(came[..10], bytes[..10]);
        });
        assert_eq!(file.read_at(&mut [0; 11], 0).unwrap(), 10);
    }

    #[test]
    fn no_list_has_a_splice_with_other_flags() {
        let ((one, _ours), (_theirs, other)) = (rustix::pipe::pipe().unwrap(), rustix::pipe::pipe().unwrap());
        let spliced = std::thread::spawn(move || {
            let procfd = crate::open::ProcFd::open().unwrap();
            let all = crate::SYSCALLS.iter().flat_map(|(_, calls)| calls.iter());
            crate::seccomp::install(all, &procfd, crate::seccomp::Violation::Errno).unwrap();
            [SpliceFlags::empty(), SpliceFlags::MORE, SpliceFlags::GIFT]
                .map(|flags| call(|| rustix::pipe::splice(&one, None, &other, None, 0, flags)))
        });
        assert_eq!(spliced.join().unwrap(), [Ok(0), Ok(0), Err(Errno::EPERM)]);
    }

    #[test]
    fn a_peer_that_goes_ends_the_sending() {
        let (file, _) = file(1 << 20);
        let (ours, theirs) = net::pair().unwrap();
        let filled = Pipe::new().unwrap().fill(file.as_fd(), 0, 1 << 20).unwrap();
        std::thread::scope(|scope| {
            let sent = scope.spawn(|| filled.send(ours.as_fd(), b"head", b"tail").map(drop));
            let mut some = Vec::with_capacity(100_000);
            net::recv(theirs.as_fd(), &mut some, 100_000).unwrap();
            drop(theirs);
            assert_eq!(sent.join().unwrap(), Err(Errno::EPIPE));
        });
    }
}
