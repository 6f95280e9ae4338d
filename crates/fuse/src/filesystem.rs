//! What the kernel asks for, and who answers: a line for each request, its work in the file of its family.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLock, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use gofer_vfs::{Backend, Errno, LockKind, Result, Unlink};

use crate::attr::{Change, nothing};
use crate::entry::Maker;
use crate::lock::Claim;
use crate::{Cache, Served, lock};

/// The largest write and read of the kernel.
const IO_MAX: u32 = 1 << 20;
/// Requests that the kernel makes on its own (reading ahead, writing back) at the same time.
const BACKGROUND_MAX: u16 = 64;
/// The magic number of overlayfs, which is a file system on others itself.
const OVERLAYFS: u32 = 0x794c_7630;

/// The front-end as fuser calls it. `ended` is told when it does no more.
pub(crate) struct Front<B: Backend> {
    pub(crate) served: Arc<Served<B>>,
    pub(crate) ended: Sender<()>,
}

thread_local! {
    /// What a reply borrows: the memory of a thread, used again.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with this thread's memory, emptied.
fn with_scratch(f: impl FnOnce(&mut Vec<u8>)) {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        f(scratch);
    });
}

/// Answers with what the work gave, or with its error.
macro_rules! answer {
    ($front:expr, $reply:ident, $done:expr, $value:pat => $told:expr) => {
        match $done {
            Ok($value) => $told,
            Err(error) => $reply.error($front.served.errno(error)),
        }
    };
}

impl<B: Backend> Front<B> {
    fn entry(&self, reply: ReplyEntry, made: Result<fuser::FileAttr>) {
        let validity = self.served.options.cache.validity();
        answer!(self, reply, made, told => reply.entry(&validity, &told, Generation(0)));
    }

    fn empty(&self, reply: ReplyEmpty, done: Result<()>) {
        answer!(self, reply, done, () => reply.ok());
    }

    /// The value of an attribute, or how long it is where the caller has no room yet.
    fn xattr(&self, reply: ReplyXattr, size: u32, value: &[u8], done: Result<()>) {
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        match done {
            Err(error) => reply.error(self.served.errno(error)),
            Ok(()) if size == 0 => reply.size(len),
            Ok(()) if len > size => reply.error(self.served.errno(Errno::ERANGE)),
            Ok(()) => reply.data(value),
        }
    }
}

impl<B: Backend> Filesystem for Front<B> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let served = &self.served;
        let offered = config.capabilities();
        // Not FUSE_ATOMIC_O_TRUNC: it saves a request, but `O_RDONLY | O_TRUNC` then empties a program that runs before the
        // kernel refuses that (ETXTBSY).
        let mut wanted = InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_POSIX_ACL
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2
            | InitFlags::FUSE_MAX_PAGES;
        wanted |= match served.options.cache {
            Cache::None => InitFlags::FUSE_POSIX_LOCKS | InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
            Cache::Revalidate => InitFlags::FUSE_POSIX_LOCKS | InitFlags::FUSE_AUTO_INVAL_DATA,
            Cache::Exclusive => InitFlags::FUSE_CACHE_SYMLINKS | InitFlags::FUSE_EXPLICIT_INVAL_DATA,
        };
        let passthrough = served.options.passthrough
            && offered.contains(InitFlags::FUSE_PASSTHROUGH)
            && gofer_sys::task::has_cap_sys_admin();
        if passthrough {
            wanted |= InitFlags::FUSE_PASSTHROUGH;
            let stacked = served.statfs(INodeNo::ROOT).is_ok_and(|fs| fs.magic == OVERLAYFS);
            // Both are within what the kernel takes.
            let _ = config.set_max_stack_depth(if stacked { 2 } else { 1 });
        } else if served.options.cache == Cache::Exclusive {
            // The kernel does not take both.
            wanted |= InitFlags::FUSE_WRITEBACK_CACHE;
        }
        served.passthrough.store(passthrough, Ordering::Relaxed);
        served
            .writeback
            .store((wanted & offered).contains(InitFlags::FUSE_WRITEBACK_CACHE), Ordering::Relaxed);
        // Only what is offered is asked for, and the sizes are within the bounds of fuser.
        let _ = config.add_capabilities(wanted & offered);
        let _ = config.set_max_write(IO_MAX);
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn destroy(&mut self) {
        // Nobody waits for it when the mount was dropped.
        let _ = self.ended.send(());
    }

    // walk

    fn lookup(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.served.lookup(dir, name).map(|found| found.unwrap_or_else(nothing));
        self.entry(reply, found);
    }

    fn forget(&self, _: &Request, nodeid: INodeNo, count: u64) {
        self.served.inodes.forget(nodeid, count);
    }

    // open

    fn open(&self, _: &Request, nodeid: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let register = |file: BorrowedFd<'_>| reply.open_backing(file);
        let opened = self.served.open(nodeid, flags.0, &register);
        answer!(self, reply, opened, opened => match &opened.backing {
            Some(id) => reply.opened_passthrough(opened.file, opened.flags, id),
            None => reply.opened(opened.file, opened.flags),
        });
    }

    fn create(
        &self,
        request: &Request,
        dir: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let register = |file: BorrowedFd<'_>| reply.open_backing(file);
        let made = self.served.create(dir, name, Maker::new(request, mode, umask), flags, &register);
        let (validity, generation) = (self.served.options.cache.validity(), Generation(0));
        answer!(self, reply, made, (told, opened) => match &opened.backing {
            Some(id) => {
                reply.created_passthrough(&validity, &told, generation, opened.file, opened.flags, id);
            }
            None => reply.created(&validity, &told, generation, opened.file, opened.flags),
        });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.served.release(file);
        reply.ok();
    }

    // io

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        with_scratch(|bytes| {
            let done = self.served.read(file, offset, size, bytes);
            answer!(self, reply, done, () => reply.data(bytes));
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        answer!(self, reply, self.served.write(file, offset, data), written => reply.written(written));
    }

    fn fsync(&self, _: &Request, _: INodeNo, file: FileHandle, data_only: bool, reply: ReplyEmpty) {
        self.empty(reply, self.served.fsync(file, data_only));
    }

    fn flush(&self, _: &Request, _: INodeNo, file: FileHandle, owner: LockOwner, reply: ReplyEmpty) {
        self.empty(reply, self.served.flush(file, owner));
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.empty(reply, self.served.fallocate(file, offset, length, mode));
    }

    fn lseek(&self, _: &Request, _: INodeNo, file: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        answer!(self, reply, self.served.lseek(file, offset, whence), offset => reply.offset(offset));
    }

    // attr

    fn getattr(&self, _: &Request, nodeid: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let validity = self.served.options.cache.validity();
        answer!(self, reply, self.served.getattr(nodeid), told => reply.attr(&validity, &told));
    }

    fn setattr(
        &self,
        request: &Request,
        nodeid: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        file: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let validity = self.served.options.cache.validity();
        let change = Change { mode, uid, gid, size, atime, mtime, ordinary: request.uid() != 0 };
        answer!(self, reply, self.served.setattr(nodeid, file, change), told => reply.attr(&validity, &told));
    }

    fn statfs(&self, _: &Request, nodeid: INodeNo, reply: ReplyStatfs) {
        answer!(self, reply, self.served.statfs(nodeid), fs => reply.statfs(
            fs.blocks,
            fs.blocks_free,
            fs.blocks_available,
            fs.files,
            fs.files_free,
            fs.block_size,
            fs.name_max,
            fs.block_size,
        ));
    }

    fn readlink(&self, _: &Request, nodeid: INodeNo, reply: ReplyData) {
        with_scratch(|target| {
            let done = self.served.readlink(nodeid, target);
            answer!(self, reply, done, () => reply.data(target));
        });
    }

    // entry

    fn mkdir(&self, request: &Request, dir: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.entry(reply, self.served.mkdir(dir, name, Maker::new(request, mode, umask)));
    }

    fn mknod(
        &self,
        request: &Request,
        dir: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        self.entry(reply, self.served.mknod(dir, name, Maker::new(request, mode, umask), rdev));
    }

    fn symlink(&self, request: &Request, dir: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let target = target.as_os_str().as_bytes();
        self.entry(reply, self.served.symlink(dir, name, target, Maker::new(request, 0o777, 0)));
    }

    fn link(&self, _: &Request, nodeid: INodeNo, dir: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, self.served.link(nodeid, dir, name));
    }

    fn rename(
        &self,
        _: &Request,
        old_dir: INodeNo,
        old: &OsStr,
        new_dir: INodeNo,
        new: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.empty(reply, self.served.rename((old_dir, old), (new_dir, new), flags));
    }

    fn unlink(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, self.served.unlink(dir, name, Unlink::File));
    }

    fn rmdir(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, self.served.unlink(dir, name, Unlink::Directory));
    }

    // dir

    fn opendir(&self, _: &Request, nodeid: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(self, reply, self.served.opendir(nodeid), file => reply.opened(file, FopenFlags::empty()));
    }

    fn readdir(&self, _: &Request, nodeid: INodeNo, file: FileHandle, from: u64, mut reply: ReplyDirectory) {
        answer!(self, reply, self.served.readdir(nodeid, file, from, &mut reply), () => reply.ok());
    }

    fn readdirplus(
        &self,
        _: &Request,
        nodeid: INodeNo,
        file: FileHandle,
        from: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        answer!(self, reply, self.served.readdirplus(nodeid, file, from, &mut reply), () => reply.ok());
    }

    fn releasedir(&self, _: &Request, _: INodeNo, file: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.served.handles.remove(file);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, nodeid: INodeNo, file: FileHandle, data_only: bool, reply: ReplyEmpty) {
        self.empty(reply, self.served.fsyncdir(nodeid, file, data_only));
    }

    // xattr

    fn getxattr(&self, _: &Request, nodeid: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        with_scratch(|value| {
            let done = self.served.getxattr(nodeid, name, value);
            self.xattr(reply, size, value, done);
        });
    }

    fn listxattr(&self, _: &Request, nodeid: INodeNo, size: u32, reply: ReplyXattr) {
        with_scratch(|names| {
            let done = self.served.listxattr(nodeid, names);
            self.xattr(reply, size, names, done);
        });
    }

    fn setxattr(
        &self,
        _: &Request,
        nodeid: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        self.empty(reply, self.served.setxattr(nodeid, name, value, flags));
    }

    fn removexattr(&self, _: &Request, nodeid: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, self.served.removexattr(nodeid, name));
    }

    // lock

    fn getlk(
        &self,
        _: &Request,
        _: INodeNo,
        file: FileHandle,
        owner: LockOwner,
        start: u64,
        last: u64,
        kind: i32,
        process: u32,
        reply: ReplyLock,
    ) {
        let wanted = lock::lock(kind, start, last);
        let found = wanted.and_then(|lock| self.served.getlock(file, Claim { owner, process, lock }));
        answer!(self, reply, found, found => match found {
            Some(holder) => {
                let (start, last, kind) = lock::told(holder.lock);
                reply.locked(start, last, kind, holder.pid);
            }
            None => {
                let (.., unlocked) = lock::told(gofer_vfs::Lock { kind: LockKind::Unlock, start, length: 0 });
                reply.locked(start, last, unlocked, 0);
            }
        });
    }

    fn setlk(
        &self,
        request: &Request,
        _: INodeNo,
        file: FileHandle,
        owner: LockOwner,
        start: u64,
        last: u64,
        kind: i32,
        process: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        let claim = match lock::lock(kind, start, last) {
            Ok(lock) => Claim { owner, process, lock },
            Err(error) => return reply.error(self.served.errno(error)),
        };
        if sleep {
            return self.served.wait_for_lock(file, claim, request.pid(), reply);
        }
        let taken = self.served.handles.named(file).and_then(|handle| self.served.lock(&handle, claim));
        self.empty(reply, taken.and_then(|taken| if taken { Ok(()) } else { Err(Errno::EAGAIN) }));
    }
}
