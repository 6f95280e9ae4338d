//! PRead, PWrite, FSync, FAllocate, Flush.

use gofer_transport::{ReadInto, ReadPages, WriteFrom, pages};
use gofer_vfs::{Allocate, AllocateKind, Backend, Errno, Result, Sink, Source};
use gofer_wire::lisafs::{
    Done, FAllocateReq, FSyncReq, FdId, FlushReq, PAYLOAD_MAX, PReadHead, PReadReq, PReadResp, PWriteReq,
    PWriteResp, Taken,
};

use super::{Answer, Cx, Session};

impl<B: Backend> Session<B> {
    pub(super) fn pread<'b>(&self, t: PReadReq, cx: Cx<'b>) -> Result<Answer<PReadResp<'b>>> {
        let mut pages = None;
        if cx.takes_pages && t.count as usize >= pages::LEAST {
            self.read_into(&t, |len| ReadPages::new(cx.scratch, len, &mut pages))?;
        } else {
            self.read_into(&t, |len| ReadInto::new(cx.scratch, len))?;
        }
        Ok(Answer::with(PReadResp { data: Taken(cx.scratch) }, pages))
    }

    /// Reads until there is as much as was asked for, or no more, to wherever it belongs.
    pub(super) fn read_into<S: Sink>(&self, t: &PReadReq, into: impl FnOnce(usize) -> S) -> Result<usize> {
        const ROOM: usize = PAYLOAD_MAX as usize - PReadHead::LEN;
        let open = self.fds.open(t.fd)?;
        open.check_reads()?;
        let len = t.count as usize;
        if len > ROOM {
            return Err(Errno::ENOBUFS);
        }
        let (mut into, mut done) = (into(len), 0);
        // Also for nothing the host is asked, which may refuse the position.
        loop {
            let at = t.offset.saturating_add(done as u64);
            match self.backend().read(&open.file, at, len - done, &mut into) {
                Ok(n) if n == 0 || done + n == len => return Ok(done + n),
                Ok(n) => done += n,
                // What was read is there; whoever reads on learns of the error.
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            }
        }
    }

    pub(super) fn pwrite(&self, t: PWriteReq<'_>, _: Cx<'_>) -> Result<PWriteResp> {
        self.write_from(t.fd, t.offset, &mut WriteFrom(t.data.0))
    }

    /// Writes all there is, or as much as can be written.
    pub(super) fn write_from(&self, fd: FdId, offset: u64, from: &mut dyn Source) -> Result<PWriteResp> {
        let open = self.fds.open(fd)?;
        open.check_writes()?;
        let (all, mut done) = (from.left(), 0);
        loop {
            let at = offset.saturating_add(done as u64);
            match self.backend().write(&open.file, at, from) {
                Ok(n) if n == 0 || done + n == all => return Ok(PWriteResp { count: (done + n) as u64 }),
                Ok(n) => done += n,
                Err(_) if done > 0 => return Ok(PWriteResp { count: done as u64 }),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Puts all of the files on disk that can be. The first error is the answer.
    pub(super) fn fsync(&self, t: FSyncReq<'_>, _: Cx<'_>) -> Result<Done> {
        let mut all = Ok(Done);
        for fd in t.fds {
            let synced = self.fds.open(fd).and_then(|open| self.backend().fsync(&open.file, false));
            all = all.and(synced.map(|()| Done));
        }
        all
    }

    pub(super) fn fallocate(&self, t: FAllocateReq, _: Cx<'_>) -> Result<Done> {
        let open = self.fds.open(t.fd)?;
        open.check_writes()?;
        let kind = match t.mode & !FAllocateReq::KEEP_SIZE {
            0 => AllocateKind::Reserve,
            FAllocateReq::PUNCH_HOLE => AllocateKind::PunchHole,
            FAllocateReq::ZERO_RANGE => AllocateKind::Zero,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        let keep_size = t.mode & FAllocateReq::KEEP_SIZE != 0;
        let what = Allocate { kind, keep_size, offset: t.offset, length: t.length };
        self.backend().allocate(&open.file, what)?;
        Ok(Done)
    }

    pub(super) fn flush(&self, t: FlushReq, _: Cx<'_>) -> Result<Done> {
        self.backend().flush(&self.fds.open(t.fd)?.file)?;
        Ok(Done)
    }
}
