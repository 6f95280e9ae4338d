//! read, write, fsync, flushf, allocate.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use gofer_vfs::{Allocate, Errno, FileKind, Result, SetAttr, Sink, Source, Sync};
use gofer_wire::Data;
use gofer_wire::p9::{Rread, Rwrite, Tallocate, Tflushf, Tfsync, Tread, Twrite};

use crate::emulated::{allocate_mode, check_offset, without_set_id};
use crate::p9::rpc::{Answer, Pending};
use crate::{Client, File};

/// Messages in flight for one read or write that is longer than a message.
const WINDOW: usize = 8;

/// Messages in flight for one call, each with the bytes that it is about.
#[derive(Default)]
struct Pipeline<'r>(VecDeque<(usize, Pending<'r>)>);

impl Pipeline<'_> {
    fn has_room(&self) -> bool {
        self.0.len() < WINDOW
    }

    /// Waits for what is still in flight. What it says is of no use any more, but its bytes are on their way.
    fn drain(self) {
        for (_, pending) in self.0 {
            drop(pending.wait());
        }
    }
}

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
        if let Some(donated) = &file.donated {
            return into.pull(donated.as_fd(), offset, len);
        }
        if len <= file.chunk {
            let count = u32::try_from(len).map_err(|_| Errno::EIO)?;
            let answer = self.rpc.call(Tread { fid: file.fid(), offset, count })?;
            let Rread { data: Data(bytes) } = answer.body()?;
            return if bytes.len() > len { Err(self.rpc.violated()) } else { Ok(into.put(bytes)) };
        }
        let mut pipeline = Pipeline::default();
        let (mut asked, mut got) = (0, 0);
        loop {
            while asked < len && pipeline.has_room() {
                let at = offset + asked as u64;
                let count = (len - asked).min(file.chunk);
                let wire_count = u32::try_from(count).map_err(|_| Errno::EIO)?;
                let pending = self.rpc.start(Tread { fid: file.fid(), offset: at, count: wire_count })?;
                pipeline.0.push_back((count, pending));
                asked += count;
            }
            let Some((count, next)) = pipeline.0.pop_front() else { return Ok(got) };
            let answer = match next.wait() {
                Ok(answer) => answer,
                Err(errno) => {
                    pipeline.drain();
                    return if got > 0 { Ok(got) } else { Err(errno) };
                }
            };
            let Rread { data: Data(bytes) } = answer.body()?;
            if bytes.len() > count {
                return Err(self.rpc.violated());
            }
            got += into.put(bytes);
            if bytes.len() < count {
                pipeline.drain();
                return Ok(got);
            }
        }
    }

    pub(crate) fn write(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        if !file.flags.access.writes() {
            return Err(check_offset(offset, 0).err().unwrap_or(Errno::EBADF));
        }
        // A position that cannot be is the server's to refuse, who clears the set-id bits before.
        self.clear_set_id(file)?;
        // What an open asks for besides the access, a server of the base protocol sees to when it writes.
        let written = match &file.donated {
            Some(donated) if self.features.is_google() => from.push(donated.as_fd(), offset)?,
            _ if file.flags.append => self.append(file, offset, from)?,
            _ => self.write_at(file, offset, from)?,
        };
        if self.features.is_google() && file.flags.sync != Sync::None {
            self.fsync(file, file.flags.sync == Sync::Data)?;
        }
        Ok(written)
    }

    /// Writes in the order of the bytes: a message at a time.
    fn append(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        let mut chunk = vec![0; from.left().min(file.chunk)];
        let len = from.take(&mut chunk);
        // Google's servers do not know about the end; theirs is where it was a moment ago.
        let offset =
            if self.features.is_google() { self.getattr_fid(file.fid(), file.qid)?.size } else { offset };
        self.write_once(file, offset, &chunk[..len])
    }

    fn write_once(&self, file: &File, offset: u64, bytes: &[u8]) -> Result<usize> {
        self.written(&self.rpc.call(Twrite { fid: file.fid(), offset, data: Data(bytes) })?, bytes.len())
    }

    fn write_at(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        let mut chunk = vec![0; from.left().min(file.chunk)];
        if from.left() <= file.chunk {
            let len = from.take(&mut chunk);
            return self.write_once(file, offset, &chunk[..len]);
        }
        let mut pipeline = Pipeline::default();
        let (mut sent, mut written) = (0, 0);
        loop {
            while from.left() > 0 && pipeline.has_room() {
                let Some(at) = offset.checked_add(sent as u64) else { break };
                let len = from.take(&mut chunk);
                pipeline.0.push_back((len, self.start_write(file, at, &chunk[..len])?));
                sent += len;
            }
            let Some((len, next)) = pipeline.0.pop_front() else { return Ok(written) };
            match next.wait().and_then(|answer| self.written(&answer, len)) {
                Ok(count) => written += count,
                Err(errno) if written == 0 => {
                    pipeline.drain();
                    return Err(errno);
                }
                Err(_) => {
                    pipeline.drain();
                    return Ok(written);
                }
            }
            if written < sent - pipeline.0.iter().map(|(len, _)| len).sum::<usize>() {
                // What was written behind the gap is written again when the caller goes on.
                pipeline.drain();
                return Ok(written);
            }
        }
    }

    fn start_write(&self, file: &File, offset: u64, bytes: &[u8]) -> Result<Pending<'_>> {
        self.rpc.start(Twrite { fid: file.fid(), offset, data: Data(bytes) })
    }

    fn written(&self, answer: &Answer<'_>, len: usize) -> Result<usize> {
        let Rwrite { count } = answer.body()?;
        match usize::try_from(count) {
            Ok(count) if count <= len => Ok(count),
            _ => Err(self.rpc.violated()),
        }
    }

    /// Takes the set-id bits from a file that is about to change, before its first change: Google's servers leave
    /// that to their clients.
    pub(crate) fn clear_set_id(&self, file: &File) -> Result<()> {
        let ours = file.flags.clears_set_id && self.features.is_google() && file.kind == FileKind::Regular;
        if !ours || file.set_id_cleared.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let perm = self.getattr_fid(file.fid(), file.qid)?.perm;
        let kept = without_set_id(perm);
        let set = SetAttr { perm: Some(kept), ..SetAttr::default() };
        if kept == perm { Ok(()) } else { self.setattr_fid(file.fid(), &set) }
    }

    pub(crate) fn fsync(&self, file: &File, data_only: bool) -> Result<()> {
        self.rpc.call(Tfsync { fid: file.fid(), datasync: data_only.into() }).map(drop)
    }

    pub(crate) fn flush(&self, file: &File) -> Result<()> {
        if self.features.has(1) { self.rpc.call(Tflushf { fid: file.fid() }).map(drop) } else { Ok(()) }
    }

    pub(crate) fn allocate(&self, file: &File, what: Allocate) -> Result<()> {
        if !self.features.has(7) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mode = allocate_mode(file.flags.access, what)?;
        self.clear_set_id(file)?;
        let Allocate { offset, length, .. } = what;
        self.rpc.call(Tallocate { fid: file.fid(), mode, offset, length }).map(drop)
    }
}
