//! What is measured: each operation as the chain of requests that a client makes for it.

use clap::ValueEnum;
use gofer_vfs::{Errno, Name, PeerGid};
use gofer_wire::Data;
use gofer_wire::p9::*;
use serde::Serialize;

use super::client::{Client, Failed, Names};
use super::tree::{self, FILE_LEN, Tree};

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operation {
    /// Time from the start of our server to the first attach, and its memory.
    Start,
    /// Memory and descriptors of 20,000 walked fids.
    Fids,
    /// The same of 1,000,000, with getattr on some of them; only when it is asked for.
    MillionFids,
    /// Memory and threads of 1,000 idle connections.
    Connections,
    /// Latency of getattr for one client while others keep the server busy.
    Neighbours,
    /// Attributes of a file that was walked to.
    Getattr,
    /// Walk of one name, getattr, clunk.
    Walk,
    /// Both in one message of Google's, clunk.
    Walkgetattr,
    /// Walk, open, read of 4 KiB, clunk.
    Open,
    /// A second fid of the directory, create, write of 4 KiB, clunk, unlink (or walk and remove).
    Create,
    /// All of a directory of 10,000 entries.
    Readdir,
    /// Sequential reads of 64 KiB messages.
    Read64k,
    /// Sequential reads of 1 MiB messages, or as many smaller ones as the server's msize makes of them.
    Read1m,
    /// Rename inside a directory.
    Rename,
    /// As walk, at the end of one name.
    Stat1,
    /// As walk, four names down.
    Stat4,
    /// As walk, eight names down.
    Stat8,
    /// Read of 4 KiB somewhere in a file of 16 MiB.
    RandomRead,
    /// Write of 4 KiB somewhere in a file of 16 MiB.
    RandomWrite,
    /// Read of 4 KiB by a descriptor that the server donated, beside one that was opened locally.
    Donated,
}

/// Bytes of a small read or write.
pub(super) const SMALL: u32 = 4096;

/// What a read or write can carry in a message of `size` bytes.
const fn payload(size: u32) -> u32 {
    size - 24
}

impl Operation {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The bytes of files that one operation moves.
    pub(super) fn bytes(self) -> u32 {
        match self {
            Self::Open | Self::Create | Self::RandomRead | Self::RandomWrite | Self::Donated => SMALL,
            Self::Read64k => payload(64 * 1024),
            Self::Read1m => payload(1024 * 1024),
            _ => 0,
        }
    }

    /// The names walked, for what is a walk.
    fn depth(self) -> usize {
        match self {
            Self::Stat4 => 4,
            Self::Stat8 => 8,
            _ => 1,
        }
    }
}

/// The state of one of the requests in flight: how far its operation came, and what it uses.
#[derive(Clone)]
pub(super) struct Slot {
    /// A fid that is prepared before and stays.
    held: Fid,
    /// A fid of the chain.
    passing: Fid,
    names: Names,
    /// The walk to `own`.
    made: Names,
    own: String,
    other: String,
    /// How often the operation was begun.
    round: u64,
    step: u32,
    /// Where the listing goes on, or the next read.
    offset: u64,
    /// Bytes left to read, or entries left to see.
    left: u64,
    random: u64,
    /// Whether the server has Tunlinkat and Trenameat, without which a client makes do with what was before.
    has_at: bool,
    /// Whose group is given to new files.
    gid: PeerGid,
}

impl Slot {
    pub(super) fn new(number: u16, operation: Operation) -> Self {
        let number = u32::from(number);
        let own = tree::small(number);
        let names = match operation {
            Operation::Stat1 => Names::new(&[tree::LEAF]),
            Operation::Stat4 | Operation::Stat8 => {
                let mut path = vec![tree::STEP; operation.depth() - 1];
                path.push(tree::LEAF);
                Names::new(&path)
            }
            Operation::Create => Names::new(&[]),
            _ => Names::new(&[&own]),
        };
        let (own, other) = match operation {
            Operation::Create => (format!("new{number}"), String::new()),
            Operation::Rename => (tree::moved(number), format!("{}-", tree::moved(number))),
            _ => (own, String::new()),
        };
        Self {
            held: Fid(1000 + number),
            passing: Fid(2000 + number),
            names,
            made: Names::new(&[&own]),
            own,
            other,
            round: 0,
            step: 0,
            offset: 0,
            left: 0,
            random: 0x9E37_79B9_7F4A_7C15 ^ (u64::from(number) + 1),
            has_at: true,
            gid: PeerGid(gofer_sys::process::user().1.0),
        }
    }

    /// Prepares the fid that stays.
    pub(super) fn prepare(&mut self, operation: Operation, client: &mut Client) -> Result<(), Failed> {
        let (names, flags) = match operation {
            Operation::Getattr => (Names::new(&[&self.own]), None),
            Operation::Readdir => (Names::new(&[tree::MANY]), Some(OpenBits::DIRECTORY)),
            Operation::Read64k | Operation::Read1m | Operation::RandomRead => {
                (Names::new(&[tree::LARGE]), Some(OpenBits::RDONLY))
            }
            Operation::RandomWrite => (Names::new(&[tree::LARGE]), Some(OpenBits::RDWR)),
            Operation::Create => return self.prepare_unlink(client),
            Operation::Rename => return self.prepare_rename(client),
            _ => return Ok(()),
        };
        client.walk(Tree::FID, self.held, &names)?;
        if let Some(flags) = flags {
            client.ask(Tlopen { fid: self.held, flags }.into())?;
        }
        Ok(())
    }

    /// Finds out how a name is removed.
    fn prepare_unlink(&mut self, client: &mut Client) -> Result<(), Failed> {
        let Some(name) = valid(&self.own) else { return Ok(()) };
        match client.ask(Tunlinkat { dfid: Tree::FID, name, flags: 0 }.into()) {
            Ok(_) | Err(Failed::Refused(_, Errno::ENOENT)) => Ok(()),
            Err(Failed::Refused(_, Errno::EOPNOTSUPP)) => {
                self.has_at = false;
                Ok(())
            }
            Err(failed) => Err(failed),
        }
    }

    /// Gives the file its first name again, which it has not after an odd number of renames, and finds out how.
    fn prepare_rename(&mut self, client: &mut Client) -> Result<(), Failed> {
        let (Some(oldname), Some(newname)) = (valid(&self.other), valid(&self.own)) else { return Ok(()) };
        let (olddirfid, newdirfid) = (Tree::FID, Tree::FID);
        match client.ask(Trenameat { olddirfid, oldname, newdirfid, newname }.into()) {
            Ok(_) | Err(Failed::Refused(_, Errno::ENOENT)) => return Ok(()),
            Err(Failed::Refused(_, Errno::EOPNOTSUPP)) => self.has_at = false,
            Err(failed) => return Err(failed),
        }
        if client.walk(Tree::FID, self.held, &Names::new(&[&self.own])).is_ok() {
            return Ok(());
        }
        client.walk(Tree::FID, self.held, &Names::new(&[&self.other]))?;
        let (dfid, name) = (Tree::FID, valid(&self.own).ok_or(Failed::Refused("a name", Errno::EINVAL))?);
        client.ask(Trename { fid: self.held, dfid, name }.into()).map(drop)
    }

    /// Begins the operation again. `slots` are in flight.
    pub(super) fn begin(&mut self, operation: Operation, slots: u64) {
        let bytes = u64::from(operation.bytes());
        match operation {
            Operation::Readdir => (self.offset, self.left) = (0, tree::ENTRIES),
            Operation::Read64k | Operation::Read1m => {
                let number = u64::from(self.held.0) + self.round * slots;
                (self.offset, self.left) = (number % (FILE_LEN / bytes) * bytes, bytes);
            }
            Operation::RandomRead | Operation::RandomWrite => {
                // Marsaglia's xorshift.
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                (self.offset, self.left) = (self.random % (FILE_LEN / bytes) * bytes, bytes);
            }
            Operation::Open => (self.offset, self.left) = (0, bytes),
            _ => {}
        }
        self.step = 0;
        self.round += 1;
    }

    /// The request that is next, with payloads of at most `most` bytes; `None` where the operation is done.
    pub(super) fn request(&self, operation: Operation, most: u32) -> Option<Request<'_>> {
        let (held, passing) = (self.held, self.passing);
        let names = self.names.list();
        let data = Data(&[0x42; SMALL as usize]);
        let read = |fid| {
            let count = u32::try_from(self.left).unwrap_or(u32::MAX).min(most);
            Some(Tread { fid, offset: self.offset, count }.into())
        };
        match (operation, self.step) {
            (Operation::Getattr, 0) => Some(getattr(held)),
            (
                Operation::Walk
                | Operation::Open
                | Operation::Create
                | Operation::Stat1
                | Operation::Stat4
                | Operation::Stat8,
                0,
            ) => Some(Twalk { fid: Tree::FID, newfid: passing, names }.into()),
            (Operation::Walk | Operation::Stat1 | Operation::Stat4 | Operation::Stat8, 1) => {
                Some(getattr(passing))
            }
            (Operation::Walk | Operation::Stat1 | Operation::Stat4 | Operation::Stat8, 2) => {
                Some(Tclunk { fid: passing }.into())
            }
            (Operation::Walkgetattr, 0) => {
                Some(Twalkgetattr { fid: Tree::FID, newfid: passing, names }.into())
            }
            (Operation::Walkgetattr, 1) => Some(Tclunk { fid: passing }.into()),
            (Operation::Open, 1) => Some(Tlopen { fid: passing, flags: OpenBits::RDONLY }.into()),
            (Operation::Open, 2) => read(passing),
            (Operation::Open, 3) | (Operation::Create, 3) => Some(Tclunk { fid: passing }.into()),
            (Operation::Create, 1) => {
                let flags = OpenBits::RDWR | OpenBits::CREATE | OpenBits::EXCL;
                let name = valid(&self.own)?;
                Some(Tlcreate { fid: passing, name, flags, mode: 0o644, gid: self.gid }.into())
            }
            (Operation::Create, 2) => Some(Twrite { fid: passing, offset: 0, data }.into()),
            (Operation::Create, 4) if self.has_at => {
                Some(Tunlinkat { dfid: Tree::FID, name: valid(&self.own)?, flags: 0 }.into())
            }
            (Operation::Create, 4) => {
                Some(Twalk { fid: Tree::FID, newfid: passing, names: self.made.list() }.into())
            }
            (Operation::Create, 5) if !self.has_at => Some(Tremove { fid: passing }.into()),
            (Operation::Readdir, _) if self.left > 0 => {
                Some(Treaddir { fid: held, offset: self.offset, count: most }.into())
            }
            (Operation::Read64k | Operation::Read1m | Operation::RandomRead, _) if self.left > 0 => {
                read(held)
            }
            (Operation::RandomWrite, 0) => Some(Twrite { fid: held, offset: self.offset, data }.into()),
            (Operation::Rename, 0) => {
                let (from, to) =
                    if self.round % 2 == 1 { (&self.own, &self.other) } else { (&self.other, &self.own) };
                let (oldname, newname) = (valid(from)?, valid(to)?);
                let (olddirfid, newdirfid) = (Tree::FID, Tree::FID);
                Some(if self.has_at {
                    Trenameat { olddirfid, oldname, newdirfid, newname }.into()
                } else {
                    Trename { fid: held, dfid: newdirfid, name: newname }.into()
                })
            }
            _ => None,
        }
    }

    /// Takes the reply to the request that was next.
    pub(super) fn take(&mut self, operation: Operation, most: u32, reply: Reply<'_>) -> Result<(), Failed> {
        let request = self.request(operation, most).ok_or(Failed::Lost("a reply too many".to_owned()))?;
        match super::client::check(&request, reply)? {
            Reply::Read(Rread { data }) => {
                let n = data.0.len() as u64;
                if n == 0 || n > self.left {
                    return Err(Failed::Refused("Tread of what is there", Errno::EIO));
                }
                (self.offset, self.left) = (self.offset + n, self.left - n);
            }
            Reply::Readdir(Rreaddir { data }) => self.list(data.0)?,
            Reply::Write(Rwrite { count }) if count != SMALL => {
                return Err(Failed::Refused("Twrite of all", Errno::EIO));
            }
            Reply::Walk(walked) => match request {
                Request::Walk(walk) if walk.names.len() == walked.qids.len() => {}
                _ => return Err(Failed::Refused("Twalk", Errno::ENOENT)),
            },
            _ => {}
        }
        self.step += 1;
        Ok(())
    }

    /// Takes a part of the listing; the empty one ends it and must not come early.
    fn list(&mut self, data: &[u8]) -> Result<(), Failed> {
        let mut entries = 0;
        for entry in Dirents::new(data) {
            self.offset = entry.map_err(|error| Failed::Lost(error.to_string()))?.offset;
            entries += 1;
        }
        if entries == 0 && self.left > 1 {
            return Err(Failed::Refused("Treaddir of all entries", Errno::EIO));
        }
        // One is left until the end has been seen.
        self.left = if entries == 0 { 0 } else { self.left.saturating_sub(entries).max(1) };
        Ok(())
    }
}

fn getattr<'a>(fid: Fid) -> Request<'a> {
    Tgetattr { fid, mask: GetattrMask::BASIC }.into()
}

fn valid(name: &str) -> Option<Name<'_>> {
    Name::new(name.as_bytes()).ok()
}
