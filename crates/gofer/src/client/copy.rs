//! Copying between any two trees.
//!
//! A file is written beside its target, under a name that says of what it is a part, and renamed when it is whole.
//! Directories get their modes and times last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gofer_transport::{ReadInto, WriteFrom};
use gofer_vfs::{
    AccessMode, Attr, Backend, CreateFlags, Errno, FileKind, Name, NameBuf, OpenFlags, Owner, RenameFlags,
    SetAttr, SetTime, Unlink,
};
use indicatif::ProgressBar;

use super::{Complaints, attrs, each, entries, go_down, show};

/// Bytes that are read and written at once: several messages, all in flight.
const CHUNK: usize = 8 << 20;
/// Holes are looked for in pieces of this many bytes.
const PAGE: usize = 4096;

/// Something to copy.
pub(super) struct Source<A: Backend> {
    pub(super) node: A::Node,
    pub(super) attr: Attr,
    /// Where it was found; `None` for the root of a tree.
    pub(super) at: Option<(Arc<A::Node>, NameBuf)>,
    /// What it is called.
    pub(super) shown: String,
}

/// A copy in the making.
pub(super) struct Copy<'c, A: Backend, B: Backend> {
    pub(super) from: &'c A,
    pub(super) to: &'c B,
    pub(super) recursive: bool,
    /// Go on with what was begun.
    pub(super) resume: bool,
    pub(super) complaints: &'c Complaints,
    pub(super) progress: &'c ProgressBar,
    /// Told to end, or there is nobody to copy from or to.
    pub(super) stop: &'c AtomicBool,
    files: Vec<File<A, B>>,
    /// Directories, and what they get at the end.
    dirs: Vec<(Arc<B::Node>, SetAttr, String)>,
}

/// A regular file to copy.
struct File<A: Backend, B: Backend> {
    from: (Arc<A::Node>, NameBuf),
    to: (Arc<B::Node>, NameBuf),
    shown: String,
}

/// A directory to copy.
struct Dir<A: Backend, B: Backend> {
    from: Arc<A::Node>,
    to: Arc<B::Node>,
    shown: String,
    /// How far down it is.
    depth: usize,
}

/// What is kept: mode and times.
fn kept(attr: &Attr) -> SetAttr {
    SetAttr {
        perm: Some(attr.perm),
        atime: Some(SetTime::At(attr.atime)),
        mtime: Some(SetTime::At(attr.mtime)),
        ..SetAttr::default()
    }
}

/// The name of an unfinished file. Two versions of a source have different ones, so that what is continued is what
/// was begun.
fn part_name(name: Name<'_>, attr: &Attr) -> Result<NameBuf, Errno> {
    let version = format!(".{:x}-{:x}-{:x}.part", attr.size, attr.mtime.sec(), attr.mtime.nsec());
    let room = Name::MAX - 1 - version.len();
    let name = &name.as_bytes()[..name.as_bytes().len().min(room)];
    let part = [b".", name, version.as_bytes()].concat();
    Name::new(&part).map(NameBuf::from)
}

impl<'c, A: Backend, B: Backend> Copy<'c, A, B> {
    pub(super) fn new(
        (from, to): (&'c A, &'c B),
        (recursive, resume): (bool, bool),
        complaints: &'c Complaints,
        progress: &'c ProgressBar,
        stop: &'c AtomicBool,
    ) -> Self {
        Self { from, to, recursive, resume, complaints, progress, stop, files: Vec::new(), dirs: Vec::new() }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn complain(&self, shown: &str, errno: Errno) {
        if matches!(errno, Errno::ECONNRESET | Errno::EPIPE) && self.stop.swap(true, Ordering::Relaxed) {
            // Said before; there is nobody left to copy from or to.
            return;
        }
        self.complaints.add(format_args!("cannot copy {shown}"), errno);
    }

    /// Looks at everything below a source and makes the directories for it. `name` is what it shall be called in
    /// `dir`; without one its contents go there.
    pub(super) fn plan(&mut self, source: Source<A>, dir: &Arc<B::Node>, name: Option<&NameBuf>) {
        let Source { node, attr, at, shown } = source;
        match (attr.kind, at, name) {
            (FileKind::Directory, ..) if !self.recursive => self.complaints.say(format_args!(
                "cannot copy {shown}: {}; copy it and all that is in it with -r",
                Errno::EISDIR
            )),
            (FileKind::Directory, _, name) => {
                let from = Arc::new(node);
                let made =
                    name.map_or_else(|| Ok(Arc::clone(dir)), |name| self.directory(dir, name, &attr, &shown));
                match made {
                    Ok(to) => self.plan_below(Dir { from, to, shown, depth: 0 }),
                    Err(errno) => self.complain(&shown, errno),
                }
            }
            (kind, Some((from, from_name)), Some(name)) => {
                self.plan_file(kind, &attr, (&from, &from_name), (dir, name), shown);
            }
            (_, _, _) => self.complain(&shown, Errno::EISDIR),
        }
    }

    /// A directory for what is in another.
    fn directory(
        &mut self,
        dir: &B::Node,
        name: &NameBuf,
        attr: &Attr,
        shown: &str,
    ) -> Result<Arc<B::Node>, Errno> {
        // Until the end it is for its owner alone, who has to be able to fill it.
        let made = match self.to.mkdir(dir, name.as_name(), 0o700, Owner::default()) {
            Err(Errno::EEXIST) => self.to.walk(dir, name.as_name()),
            made => made,
        };
        let (node, found) = made?;
        if found.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let node = Arc::new(node);
        self.dirs.push((Arc::clone(&node), kept(attr), shown.to_owned()));
        Ok(node)
    }

    fn plan_below(&mut self, top: Dir<A, B>) {
        let mut waiting = vec![top];
        while let Some(Dir { from, to, shown, depth }) = waiting.pop() {
            let names = match entries(self.from, &from) {
                Ok(names) => names,
                Err(errno) => {
                    self.complain(&shown, errno);
                    continue;
                }
            };
            let found = attrs(self.from, &from, &names);
            for (name, attr) in names.into_iter().zip(found) {
                if self.stopped() {
                    return;
                }
                let shown =
                    format!("{}/{}", shown.trim_end_matches('/'), show::quoted(name.as_name().as_bytes()));
                match attr {
                    Ok(attr) if attr.kind == FileKind::Directory => {
                        let entered = go_down(depth).and_then(|()| self.from.walk(&from, name.as_name()));
                        let entered = entered
                            .and_then(|(node, _)| Ok((node, self.directory(&to, &name, &attr, &shown)?)));
                        match entered {
                            Ok((node, to)) => {
                                waiting.push(Dir { from: Arc::new(node), to, shown, depth: depth + 1 });
                            }
                            Err(errno) => self.complain(&shown, errno),
                        }
                    }
                    Ok(attr) => self.plan_file(attr.kind, &attr, (&from, &name), (&to, &name), shown),
                    Err(errno) => self.complain(&shown, errno),
                }
            }
        }
    }

    fn plan_file(
        &mut self,
        kind: FileKind,
        attr: &Attr,
        (from, from_name): (&Arc<A::Node>, &NameBuf),
        (to, to_name): (&Arc<B::Node>, &NameBuf),
        shown: String,
    ) {
        match kind {
            FileKind::Regular => {
                self.progress.inc_length(attr.size);
                let (from, to) = ((Arc::clone(from), from_name.clone()), (Arc::clone(to), to_name.clone()));
                self.files.push(File { from, to, shown });
            }
            FileKind::Symlink => match self.link(from, from_name, to, to_name) {
                Ok(()) => self.complaints.done(),
                Err(errno) => self.complain(&shown, errno),
            },
            other => {
                self.complaints.say(format_args!("{shown} is a {} and was not copied", show::kind(other)));
            }
        }
    }

    fn link(
        &self,
        from: &A::Node,
        from_name: &NameBuf,
        to: &B::Node,
        to_name: &NameBuf,
    ) -> Result<(), Errno> {
        let (node, attr) = self.from.walk(from, from_name.as_name())?;
        let mut target = Vec::new();
        self.from.readlink(&node, &mut target)?;
        let make = || self.to.symlink(to, to_name.as_name(), &target, Owner::default());
        let (made, _) = match make() {
            Err(Errno::EEXIST) => {
                self.to.unlink(to, to_name.as_name(), Unlink::File)?;
                make()
            }
            made => made,
        }?;
        // Links have times of their own, but not every server can set them.
        let _ = self.to.setattr(&made, None, &SetAttr { perm: None, ..kept(&attr) });
        Ok(())
    }

    /// Copies the files that were found, many at a time, and completes the directories.
    pub(super) fn run(self) {
        let left = each(&self.files, |file| {
            if self.stopped() {
                return 1;
            }
            match self.file(file) {
                Ok(()) => self.complaints.done(),
                Err(errno) => self.complain(&file.shown, errno),
            }
            0
        });
        let left: usize = left.into_iter().sum();
        if left > 0 {
            self.complaints.say(format_args!("stopped: {left} more files were not copied"));
        }
        for (node, set, shown) in self.dirs.iter().rev() {
            if let Err(errno) = self.to.setattr(node, None, set) {
                self.complain(shown, errno);
            }
        }
    }

    fn file(&self, file: &File<A, B>) -> Result<(), Errno> {
        let (node, attr) = self.from.walk(&file.from.0, file.from.1.as_name())?;
        if attr.kind != FileKind::Regular {
            // It was one a moment ago.
            return Err(Errno::ESTALE);
        }
        let source = self.from.open(&node, OpenFlags::new(AccessMode::Read))?;
        let (dir, name) = (&file.to.0, file.to.1.as_name());
        let part = part_name(name, &attr)?;
        let open = OpenFlags { truncate: !self.resume, ..OpenFlags::new(AccessMode::ReadWrite) };
        let flags = CreateFlags { open, exclusive: false };
        let (made, target, begun) = self.to.create(dir, part.as_name(), flags, 0o600, Owner::default())?;
        // The last bytes were in flight together: which of them arrived is not known.
        let start = begun.size.min(attr.size).saturating_sub(CHUNK as u64);
        let start = if self.resume { start - start % PAGE as u64 } else { 0 };
        self.progress.inc(start);
        let mut at = start;
        let copied = self.bytes(&source, &target, &attr, &mut at).and_then(|()| {
            self.to.setattr(&made, Some(&target), &SetAttr { size: Some(at), ..kept(&attr) })?;
            self.to.flush(&target)?;
            self.to.rename(dir, part.as_name(), dir, name, RenameFlags::Replace)
        });
        if copied.is_err() {
            self.leave(dir, &part, at, &file.shown);
        }
        copied
    }

    /// Keeps what an unfinished copy has, and says so; or removes what has nothing.
    fn leave(&self, dir: &B::Node, part: &NameBuf, has: u64, shown: &str) {
        if has == 0 {
            // What cannot be removed is an empty file.
            let _ = self.to.unlink(dir, part.as_name(), Unlink::File);
            return;
        }
        self.complaints.note(format_args!(
            "the first {} of {shown} are kept beside the target as {}; go on with --continue",
            show::bytes(has, true),
            show::quoted(part.as_name().as_bytes())
        ));
    }

    /// Copies from `at` to the end, leaving the holes of a file that has any.
    fn bytes(&self, source: &A::File, target: &B::File, attr: &Attr, at: &mut u64) -> Result<(), Errno> {
        let sparse = attr.blocks.saturating_mul(512) < attr.size;
        let mut chunk = Vec::new();
        loop {
            if self.stopped() {
                return Err(Errno::EINTR);
            }
            // No more than the file is thought to have: a small one is one message.
            let left = usize::try_from(attr.size.saturating_sub(*at)).unwrap_or(CHUNK);
            let want = left.clamp(1, CHUNK);
            chunk.clear();
            if self.from.read(source, *at, want, &mut ReadInto::new(&mut chunk, want))? == 0 {
                return Ok(());
            }
            let mut from = 0;
            while from < chunk.len() {
                let (hole, len) = if sparse { run(&chunk[from..]) } else { (false, chunk.len() - from) };
                if !hole {
                    self.write(target, *at + from as u64, &chunk[from..from + len])?;
                }
                from += len;
            }
            *at += chunk.len() as u64;
            self.progress.inc(chunk.len() as u64);
        }
    }

    fn write(&self, target: &B::File, mut at: u64, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let written = self.to.write(target, at, &mut WriteFrom(bytes))?;
            if written == 0 {
                return Err(Errno::EIO);
            }
            at += written as u64;
            bytes = bytes.get(written..).ok_or(Errno::EIO)?;
        }
        Ok(())
    }
}

/// Whether bytes begin with a hole, and how far that or what is none reaches, in pages.
fn run(bytes: &[u8]) -> (bool, usize) {
    let is_hole = |page: &[u8]| page.len() == PAGE && page.iter().all(|byte| *byte == 0);
    let mut pages = bytes.chunks(PAGE).map(|page| (is_hole(page), page.len()));
    let Some((hole, first)) = pages.next() else { return (false, 0) };
    (hole, pages.take_while(|(other, _)| *other == hole).fold(first, |sum, (_, len)| sum + len))
}

/// Who is to be told to stop by signals: the first one is waited for, the second ends the program.
pub(super) fn stop_at_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_by_the_page() {
        let mut bytes = vec![0; 5 * PAGE + 7];
        assert_eq!(run(&bytes), (true, 5 * PAGE), "the last piece is no page");
        bytes[2 * PAGE + 9] = 1;
        assert_eq!(run(&bytes), (true, 2 * PAGE));
        assert_eq!(run(&bytes[2 * PAGE..]), (false, PAGE));
        assert_eq!(run(&bytes[5 * PAGE..]), (false, 7));
    }

    #[test]
    fn a_part_has_a_name_whatever_the_name() {
        let attr = gofer_vfs::MemFs::new(1 << 20).attach().unwrap().1;
        let long = [b'n'; Name::MAX];
        let part = part_name(Name::new(&long).unwrap(), &attr).unwrap();
        assert_eq!(part.as_name().as_bytes().len(), Name::MAX);
        let other = Attr { size: attr.size + 1, ..attr };
        assert_ne!(part_name(Name::new(&long).unwrap(), &other).unwrap().as_name(), part.as_name());
    }
}
