//! The files that are measured on: a directory of our own in whatever a server exports.

use std::ops::Range;

use gofer_vfs::{Errno, Name, PeerGid};
use gofer_wire::Data;
use gofer_wire::p9::*;

use super::client::{Client, Failed, Names, ROOT};
use super::operation::{Operation, SMALL};

/// Bytes of the large file.
pub(super) const FILE_LEN: u64 = 16 << 20;
/// Entries of the large directory.
pub(super) const ENTRIES: u64 = 10_000;

/// The large file.
pub(super) const LARGE: &str = "large";
/// The large directory.
pub(super) const MANY: &str = "many";
/// A directory in the directory of this name, seven times.
pub(super) const STEP: &str = "step";
/// The file in the directory and in every step.
pub(super) const LEAF: &str = "leaf";
const STEPS: u32 = 7;

/// A file of 4 KiB for each request in flight.
pub(super) fn small(number: u32) -> String {
    format!("small{number}")
}

/// A file to rename for each request in flight.
pub(super) fn moved(number: u32) -> String {
    format!("moved{number}")
}

/// The directory, by its name below the root of the export.
#[derive(Debug)]
pub(super) struct Tree {
    name: String,
    slots: u16,
    /// What is to be removed, in reverse: the fid number of the directory, the name, `AT_REMOVEDIR` or 0.
    made: Vec<(Fid, String, u32)>,
}

impl Tree {
    /// The fid that stands for it on every connection.
    pub(super) const FID: Fid = Fid(1);
    const MANY: Fid = Fid(2);
    /// The first of the steps' fids.
    const STEPS: u32 = 10;
    const PASSING: Fid = Fid(3);

    /// A directory of this name that is there, with what the operations need.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), slots: 0, made: Vec::new() }
    }

    /// Makes what these operations need, for as many in flight.
    pub(super) fn make(
        client: &mut Client,
        wanted: &[Operation],
        slots: u16,
    ) -> Result<Self, (Self, Failed)> {
        let mut tree = Self { name: format!("gofer-bench-{}", std::process::id()), slots, made: Vec::new() };
        match tree.fill(client, wanted) {
            Ok(()) => Ok(tree),
            Err(failed) => Err((tree, failed)),
        }
    }

    fn fill(&mut self, client: &mut Client, wanted: &[Operation]) -> Result<(), Failed> {
        let wants = |some: &[Operation]| wanted.iter().any(|operation| some.contains(operation));
        let name = self.name.clone();
        self.directory(client, ROOT, &name, Self::FID)?;
        for number in 0..self.spare().end {
            let number = number.into();
            self.file(client, Self::FID, &small(number), SMALL.into())?;
            if wants(&[Operation::Rename]) {
                self.file(client, Self::FID, &moved(number), 0)?;
            }
        }
        if wants(&[Operation::Stat1, Operation::Stat4, Operation::Stat8, Operation::Neighbours]) {
            self.file(client, Self::FID, LEAF, 0)?;
            let mut above = Self::FID;
            for step in 0..STEPS {
                let here = Fid(Self::STEPS + step);
                self.directory(client, above, STEP, here)?;
                self.file(client, here, LEAF, 0)?;
                above = here;
            }
        }
        if wants(&[
            Operation::Read64k,
            Operation::Read1m,
            Operation::RandomRead,
            Operation::RandomWrite,
            Operation::Neighbours,
        ]) {
            self.file(client, Self::FID, LARGE, FILE_LEN)?;
        }
        if wants(&[Operation::Readdir]) {
            self.directory(client, Self::FID, MANY, Self::MANY)?;
            for number in 0..ENTRIES {
                self.file(client, Self::MANY, &format!("entry-{number:05}"), 0)?;
            }
        }
        Ok(())
    }

    /// Makes a directory and walks to it.
    fn directory(&mut self, client: &mut Client, dfid: Fid, name: &str, fid: Fid) -> Result<(), Failed> {
        let mkdir = Tmkdir { dfid, name: checked(name)?, mode: 0o755, gid: group() };
        client.ask(mkdir.into())?;
        self.made.push((dfid, name.to_owned(), Tunlinkat::AT_REMOVEDIR));
        client.walk(dfid, fid, &Names::new(&[name]))
    }

    /// Makes a file with so many bytes.
    fn file(&mut self, client: &mut Client, dfid: Fid, name: &str, len: u64) -> Result<(), Failed> {
        let fid = Self::PASSING;
        client.walk(dfid, fid, &Names::new(&[]))?;
        let flags = OpenBits::WRONLY | OpenBits::CREATE | OpenBits::EXCL;
        client.ask(Tlcreate { fid, name: checked(name)?, flags, mode: 0o644, gid: group() }.into())?;
        self.made.push((dfid, name.to_owned(), 0));
        let block = vec![0x21; client.payload_max() as usize];
        let mut offset = 0;
        while offset < len {
            let left = usize::try_from(len - offset).unwrap_or(usize::MAX);
            let data = Data(&block[..block.len().min(left)]);
            match client.ask(Twrite { fid, offset, data }.into())? {
                Reply::Write(Rwrite { count }) if count > 0 => offset += u64::from(count),
                _ => return Err(Failed::Refused("Twrite", Errno::EIO)),
            }
        }
        client.ask(Tclunk { fid }.into()).map(drop)
    }

    /// The number of the files for one more request, of somebody who shares the tree with those that are in flight.
    pub(super) fn spare(&self) -> Range<u16> {
        self.slots..self.slots.saturating_add(1)
    }

    /// Walks to it on another connection.
    pub(super) fn walk(&self, client: &mut Client) -> Result<(), Failed> {
        client.walk(ROOT, Self::FID, &Names::new(&[&self.name]))
    }

    /// Removes all that was made, on the connection it was made on.
    pub(super) fn remove(&mut self, client: &mut Client) -> Result<(), Failed> {
        while let Some((dfid, name, flags)) = self.made.pop() {
            let mut names = vec![name];
            if names[0].starts_with("moved") {
                names.push(format!("{}-", names[0]));
            }
            let removed = names.iter().map(|name| Self::unlink(client, dfid, name, flags));
            // A file that is renamed has one of its two names.
            removed.collect::<Vec<_>>().into_iter().reduce(Result::or).unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

impl Tree {
    fn unlink(client: &mut Client, dfid: Fid, name: &str, flags: u32) -> Result<(), Failed> {
        match client.ask(Tunlinkat { dfid, name: checked(name)?, flags }.into()) {
            // What was before Tunlinkat.
            Err(Failed::Refused(_, Errno::EOPNOTSUPP)) => {
                client.walk(dfid, Self::PASSING, &Names::new(&[name]))?;
                client.ask(Tremove { fid: Self::PASSING }.into()).map(drop)
            }
            other => other.map(drop),
        }
    }
}

fn checked(name: &str) -> Result<Name<'_>, Failed> {
    Name::new(name.as_bytes()).map_err(|errno| Failed::Refused("a name", errno))
}

fn group() -> PeerGid {
    PeerGid(gofer_sys::process::user().1.0)
}
