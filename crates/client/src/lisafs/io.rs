//! PRead, PWrite, FSync, FAllocate, Flush.

use std::os::fd::AsFd;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use gofer_vfs::{Allocate, Errno, FileKind, Result, SetAttr, Sink, Source, Sync};
use gofer_wire::ListBuf;
use gofer_wire::lisafs::{
    FAllocateReq, FSyncReq, FlushReq, PReadHead, PReadReq, PReadResp, PWriteHead, PWriteReq, PWriteResp, Pad,
    Taken, Written,
};

use super::fds::Given;
use super::{Client, File};
use crate::emulated::{allocate_mode, check_offset, whole_pages, without_set_id};

impl Client {
    pub(crate) fn read(&self, file: &File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        let len = len.min(into.room());
        check_offset(offset, 0)?;
        if !file.flags.access.reads() {
            return Err(Errno::EBADF);
        }
        check_offset(offset, len)?;
        if file.kind == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
        if let Given::Fifo(fifo) = &file.given {
            return fifo.read(len, into);
        }
        let most = whole_pages(self.rpc.payload_max() - PReadHead::LEN);
        let mut got = 0;
        loop {
            let count = (len - got).min(most);
            let read = match self.read_once(file, offset + got as u64, count, into) {
                Err(_) if got > 0 => return Ok(got),
                read => read?,
            };
            got += read;
            if read < count || got == len {
                return Ok(got);
            }
        }
    }

    fn read_once(&self, file: &File, offset: u64, count: usize, into: &mut dyn Sink) -> Result<usize> {
        let wire_count = u32::try_from(count).map_err(|_| Errno::EIO)?;
        let answer = self.rpc.call(&PReadReq { offset, fd: file.fd(), count: wire_count, pad: Pad })?;
        let PReadResp { data: Taken(bytes) } = answer.body()?;
        if bytes.len() > count { Err(self.rpc.violated()) } else { Ok(into.put(bytes)) }
    }

    pub(crate) fn write(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        if !file.flags.access.writes() {
            return Err(check_offset(offset, 0).err().unwrap_or(Errno::EBADF));
        }
        // A position that cannot be is the server's to refuse, who clears the set-id bits before.
        self.clear_set_id(file)?;
        let written = match &file.given {
            Given::Fifo(fifo) => return fifo.write(from),
            // It is open to append.
            Given::Regular(donated) if file.flags.append => from.push(donated.as_fd(), offset)?,
            _ if file.flags.append => self.append(file, offset, from)?,
            _ => self.write_at(file, offset, from)?,
        };
        if file.flags.sync != Sync::None {
            self.fsync(file, file.flags.sync == Sync::Data)?;
        }
        Ok(written)
    }

    /// Writes where the end was a moment ago. The lock is held while the server is asked and told: those who append to
    /// files that share it wait for each other, as they would for the file.
    fn append(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        // It means nothing, but has to be one.
        check_offset(offset, from.left())?;
        // The remainder is less than their number.
        let turn = usize::try_from(file.id.ino % self.appending.len() as u64).unwrap_or(0);
        let _turn = self.appending[turn].lock().unwrap_or_else(PoisonError::into_inner);
        self.write_at(file, self.getattr_fd(file.fd())?.size, from)
    }

    fn write_at(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        let most = whole_pages(self.rpc.payload_max() - PWriteHead::LEN);
        let mut chunk = vec![0; from.left().min(most)];
        let mut written = 0;
        loop {
            let len = from.take(&mut chunk);
            let Some(at) = offset.checked_add(written as u64) else { return Ok(written) };
            let count = match self.write_once(file, at, &chunk[..len]) {
                Err(_) if written > 0 => return Ok(written),
                count => count?,
            };
            written += count;
            if count < len || from.left() == 0 {
                return Ok(written);
            }
        }
    }

    fn write_once(&self, file: &File, offset: u64, bytes: &[u8]) -> Result<usize> {
        let answer = self.rpc.call(&PWriteReq { offset, fd: file.fd(), data: Written(bytes) })?;
        let PWriteResp { count } = answer.body()?;
        match usize::try_from(count) {
            Ok(count) if count <= bytes.len() => Ok(count),
            _ => Err(self.rpc.violated()),
        }
    }

    /// Takes the set-id bits from a file that is about to change, before the change: servers leave that to their
    /// clients.
    pub(crate) fn clear_set_id(&self, file: &File) -> Result<()> {
        let now = self.set_id_epoch.load(Ordering::Acquire);
        let ours = file.flags.clears_set_id && file.kind == FileKind::Regular;
        if !ours || file.set_id_seen.load(Ordering::Relaxed) == now {
            return Ok(());
        }
        let perm = self.getattr_fd(file.fd())?.perm;
        let kept = without_set_id(perm);
        let set = SetAttr { perm: Some(kept), ..SetAttr::default() };
        if kept != perm {
            self.set(file.place.fd, &set)?;
        }
        file.set_id_seen.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// There is but one kind of it.
    pub(crate) fn fsync(&self, file: &File, _data_only: bool) -> Result<()> {
        let mut room = Vec::new();
        let mut fds = ListBuf::new(&mut room);
        fds.push(&file.fd());
        self.rpc.call(&FSyncReq { fds: fds.finish() }).map(drop)
    }

    /// A server that does not have it has nothing to say.
    pub(crate) fn flush(&self, file: &File) -> Result<()> {
        if self.rpc.has::<FlushReq>() { self.rpc.call(&FlushReq { fd: file.fd() }).map(drop) } else { Ok(()) }
    }

    pub(crate) fn allocate(&self, file: &File, what: Allocate) -> Result<()> {
        let mode = allocate_mode(file.flags.access, what)?.into();
        self.clear_set_id(file)?;
        let Allocate { offset, length, .. } = what;
        self.rpc.call(&FAllocateReq { fd: file.fd(), mode, offset, length }).map(drop)
    }
}
