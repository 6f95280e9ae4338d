//! [`Pages`]: large reads on their way to a unix socket. They are the file's own, which nobody copies but the client.
//!
//! They wait in a pipe, and then in the socket. Until the client takes them it may see what is written to the file. A
//! client that takes nothing keeps a pipe, and the memory of the file system that is in it; so there are a few for the
//! whole process, made when they are first used, and a read that finds none is copied.
//!
//! Over TCP it would be slower than copying: 64 KiB on the way to the same machine take half as long again.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gofer_sys::pipe::{Filled, Pipe};
use gofer_vfs::{Result, Sink};

use crate::ReadInto;

/// The most pipes that there are.
const MOST: usize = 16;

/// The fewest bytes that are worth asking for. Copying 16 KiB takes less time than two more system calls; at 32 KiB there is
/// nothing between the two, and beyond less time of the processor is taken as well.
pub const LEAST: usize = 32 * 1024;

/// Those in which nothing is.
static IDLE: Mutex<Vec<Empty>> = Mutex::new(Vec::new());

/// How many pipes there are.
static ALL: AtomicUsize = AtomicUsize::new(0);

/// One of [`MOST`], as long as it is held.
#[derive(Debug)]
struct Place;

#[derive(Debug)]
struct Empty(Pipe, Place);

/// Pages of a file on their way to a socket.
#[derive(Debug)]
pub struct Pages(Filled, Place);

impl Place {
    fn take() -> Option<Self> {
        let one_more = |all| (all < MOST).then_some(all + 1);
        ALL.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        ALL.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Empty {
    /// One of those that nobody uses, or a new one.
    fn take() -> Option<Self> {
        let kept = idle().pop();
        kept.or_else(|| Place::take().and_then(|place| Some(Self(Pipe::new().ok()?, place))))
    }

    fn give_back(self) {
        idle().push(self);
    }
}

fn idle() -> MutexGuard<'static, Vec<Empty>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there are pipes that nobody uses.
pub fn are_kept() -> bool {
    ALL.load(Ordering::Relaxed) > 0 && !idle().is_empty()
}

/// Closes the pipes that nobody uses.
pub fn close() {
    drop(std::mem::take(&mut *idle()));
}

impl Pages {
    /// Pages of a file, at most `len` bytes; none where there is no pipe, and where nothing came.
    fn read(file: BorrowedFd<'_>, offset: u64, len: usize) -> Option<Self> {
        let Empty(pipe, place) = Empty::take()?;
        match pipe.fill(file, offset, len) {
            Ok(filled) => Some(Self(filled, place)),
            Err(pipe) => {
                Empty(pipe, place).give_back();
                None
            }
        }
    }

    /// How many bytes they are; not 0.
    #[expect(clippy::len_without_is_empty, reason = "there are some")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends all of `head`, then the pages, then all of `payload`.
    ///
    /// # Errors
    /// Those of [`Stream::send`](crate::Stream::send).
    pub fn send(self, socket: BorrowedFd<'_>, head: &[u8], payload: &[u8]) -> Result<()> {
        let Self(filled, place) = self;
        Empty(filled.send(socket, head, payload)?, place).give_back();
        Ok(())
    }
}

/// Reads many bytes of a host file as [`Pages`], and all else, and what a pipe has no room for, into a buffer. What is in
/// the buffer belongs behind the pages.
#[derive(Debug)]
pub struct ReadPages<'a> {
    /// Where they go, as long as nothing was read.
    pages: Option<&'a mut Option<Pages>>,
    rest: ReadInto<'a>,
}

impl<'a> ReadPages<'a> {
    /// Takes up to `limit` bytes. The buffer is empty.
    pub fn new(buffer: &'a mut Vec<u8>, limit: usize, pages: &'a mut Option<Pages>) -> Self {
        Self { pages: Some(pages), rest: ReadInto::new(buffer, limit) }
    }
}

impl Sink for ReadPages<'_> {
    fn room(&self) -> usize {
        self.rest.room()
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        self.pages = None;
        self.rest.put(bytes)
    }

    fn pull(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize> {
        let len = len.min(self.room());
        let pages = self.pages.take().and_then(|place| {
            *place = Pages::read(file, offset, len);
            place.as_ref().map(Pages::len)
        });
        let Some(read) = pages else { return self.rest.pull(file, offset, len) };
        self.rest.take_room(read);
        if read == len {
            return Ok(len);
        }
        // An error behind what was read comes again when it is asked for.
        let behind = self.rest.pull(file, offset.saturating_add(read as u64), len - read);
        Ok(read + behind.unwrap_or(0))
    }
}
