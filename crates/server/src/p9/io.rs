//! read, write, fsync, flushf, allocate.

use gofer_transport::{ReadInto, ReadPages, WriteFrom, pages};
use gofer_vfs::{Allocate, AllocateKind, Backend, Errno, Result, Sink, Source};
use gofer_wire::codec::Data;
use gofer_wire::p9::{
    Fid, Rallocate, Rflushf, Rfsync, Rread, Rwrite, Tallocate, Tflushf, Tfsync, Tread, Twrite,
};

use super::fids::Entry;
use super::{Answer, Cx, Session};

impl<B: Backend> Session<B> {
    pub(super) fn read<'b>(&self, t: Tread, cx: Cx<'b>) -> Result<Answer<'b>> {
        let len = cx.payload_max(t.count);
        if cx.takes_pages && len >= pages::LEAST {
            return self.read_pages(t, len, cx.scratch);
        }
        self.read_into(t.fid, t.offset, len, &mut ReadInto::new(cx.scratch, len))?;
        Ok(Rread { data: Data(cx.scratch) }.into())
    }

    fn read_pages<'b>(&self, t: Tread, len: usize, scratch: &'b mut Vec<u8>) -> Result<Answer<'b>> {
        let mut pages = None;
        self.read_into(t.fid, t.offset, len, &mut ReadPages::new(scratch, len, &mut pages))?;
        Ok(Answer { extra: pages.into(), ..Rread { data: Data(scratch) }.into() })
    }

    /// Reads at most `len` bytes of whatever a fid stands for to wherever they belong.
    pub(super) fn read_into(&self, fid: Fid, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        match self.fids.entry(fid)? {
            Entry::Xattr(fid) => fid.read(offset, len, into),
            Entry::Walked(_) => Err(Errno::EINVAL),
            Entry::Opened(fid) => {
                let open = fid.open().ok_or(Errno::EINVAL)?;
                if !open.access.reads() {
                    return Err(Errno::EPERM);
                }
                self.backend(&fid.place).read(&open.file, offset, len, into)
            }
        }
    }

    pub(super) fn write(&self, t: Twrite<'_>, _: Cx<'_>) -> Result<Rwrite> {
        self.write_from(t.fid, t.offset, &mut WriteFrom(t.data.0))
    }

    /// Writes to whatever a fid stands for from wherever the bytes are.
    pub(super) fn write_from(&self, fid: Fid, offset: u64, from: &mut dyn Source) -> Result<Rwrite> {
        let written = match self.fids.entry(fid)? {
            Entry::Xattr(fid) => fid.write(offset, from)?,
            Entry::Walked(_) => return Err(Errno::EINVAL),
            Entry::Opened(fid) => {
                let open = fid.open().ok_or(Errno::EINVAL)?;
                if !open.access.writes() {
                    return Err(Errno::EPERM);
                }
                self.backend(&fid.place).write(&open.file, offset, from)?
            }
        };
        // No more was written than a message holds.
        Ok(Rwrite { count: u32::try_from(written).map_err(|_| Errno::EIO)? })
    }

    pub(super) fn fsync(&self, t: Tfsync, _: Cx<'_>) -> Result<Rfsync> {
        let fid = self.fids.get(t.fid)?;
        let open = fid.open().ok_or(Errno::EINVAL)?;
        self.backend(&fid.place).fsync(&open.file, t.datasync != 0)?;
        Ok(Rfsync)
    }

    /// Reports what closing would, for a file that was written. Anything else has nothing to report.
    pub(super) fn flushf(&self, t: Tflushf, _: Cx<'_>) -> Result<Rflushf> {
        let fid = self.fids.get(t.fid)?;
        if let Some(open) = fid.open().filter(|open| open.access.writes()) {
            self.backend(&fid.place).flush(&open.file)?;
        }
        Ok(Rflushf)
    }

    pub(super) fn allocate(&self, t: Tallocate, _: Cx<'_>) -> Result<Rallocate> {
        let fid = self.fids.get(t.fid)?;
        let open = fid.open().ok_or(Errno::EINVAL)?;
        if !open.access.writes() {
            return Err(Errno::EBADF);
        }
        let kind = match t.mode & !Tallocate::KEEP_SIZE {
            0 => AllocateKind::Reserve,
            Tallocate::PUNCH_HOLE => AllocateKind::PunchHole,
            Tallocate::ZERO_RANGE => AllocateKind::Zero,
            Tallocate::COLLAPSE_RANGE => AllocateKind::Collapse,
            Tallocate::INSERT_RANGE => AllocateKind::Insert,
            Tallocate::UNSHARE_RANGE => AllocateKind::Unshare,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        let keep_size = t.mode & Tallocate::KEEP_SIZE != 0;
        let what = Allocate { kind, keep_size, offset: t.offset, length: t.length };
        self.backend(&fid.place).allocate(&open.file, what)?;
        Ok(Rallocate)
    }
}
