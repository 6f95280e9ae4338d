//! read, write, flush, allocate, and the set-id bits that writing clears.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use gofer_sys::{attr, io};
use gofer_vfs::{Allocate, Errno, Result, Sink, Source};

use crate::{File, LocalFs, Opened};

/// Counts the moments at which this server gave a file set-id bits.
#[derive(Debug)]
pub(crate) struct Epoch(AtomicU64);

impl Default for Epoch {
    /// 0 is the moment at which a file was last looked at that never was.
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Epoch {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Ends the present one.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

pub(crate) fn read(file: &File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
    match file.opened {
        Opened::Fifo => io::read_stream(file.as_fd(), len, into),
        Opened::Regular { .. } | Opened::Directory(_) => into.pull(file.as_fd(), offset, len),
    }
}

pub(crate) fn flush(file: &File) -> Result<()> {
    if file.access.writes() { io::flush(file.as_fd()) } else { Ok(()) }
}

impl LocalFs {
    pub(crate) fn write(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        match file.opened {
            Opened::Fifo => return io::write_stream(file.as_fd(), from),
            Opened::Regular { .. } if file.access.writes() => self.clear_set_id(file)?,
            Opened::Regular { .. } | Opened::Directory(_) => {}
        }
        from.push(file.as_fd(), offset)
    }

    pub(crate) fn allocate(&self, file: &File, what: Allocate) -> Result<()> {
        if file.access.writes() {
            self.clear_set_id(file)?;
        }
        io::allocate(file.as_fd(), what)
    }

    /// Takes the set-id bits from a file that is about to change, unless they were looked for since this
    /// server last set any. It is done before the change: what a client wrote never is a set-id program. Only
    /// an open that truncates comes first; what it leaves is empty until the client has the file to write to.
    pub(crate) fn clear_set_id(&self, file: &File) -> Result<()> {
        let Opened::Regular { set_id_seen: Some(seen), .. } = &file.opened else { return Ok(()) };
        let now = self.set_id_epoch.now();
        if seen.load(Ordering::Relaxed) == now {
            return Ok(());
        }
        let perm = attr::stat(file.as_fd())?.perm;
        let kept = perm & !set_id_bits(perm);
        if kept != perm {
            match attr::chmod(&self.procfd, file.as_fd(), kept) {
                // Another's file, and the kernel will clear the bits itself.
                Err(Errno::EPERM) if !io::keeps_set_id() => {}
                done => done?,
            }
        }
        seen.store(now, Ordering::Relaxed);
        Ok(())
    }
}

/// The bits that would let others act as the file's owner or group. Set-group-id without the right to execute
/// is the old mark of mandatory locking (`inode(7)`).
fn set_id_bits(perm: u32) -> u32 {
    let group = if perm & 0o010 != 0 { 0o2000 } else { 0 };
    perm & (0o4000 | group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_mandatory_locking_is_no_set_id_bit() {
        assert_eq!(set_id_bits(0o6777), 0o6000);
        assert_eq!(set_id_bits(0o6767), 0o4000);
        assert_eq!(set_id_bits(0o1777), 0);
    }
}
