//! The other floor: the system calls that our server makes for an operation, without a server.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use gofer_localfs::LocalFs;
use gofer_sys::io::{ReadInto, WriteFrom};
use gofer_vfs::{
    AccessMode, Backend, CreateFlags, Errno, IdMap, Name, OpenFlags, Owner, RenameFlags, Result, Unlink,
};

use super::operation::{Operation, SMALL};
use super::stats::Latencies;
use super::tree;

type Node = <LocalFs as Backend>::Node;

/// A tree like the one that the servers have, and an operation on it.
pub(super) struct Direct {
    tree: LocalFs,
    operation: Operation,
    root: Node,
    /// What the operation works on, where it is the same every time.
    node: Node,
    file: Option<<LocalFs as Backend>::File>,
    owner: Owner,
    buffer: Vec<u8>,
    round: u64,
}

/// Makes what these operations need in a directory.
pub(crate) fn fill(dir: &Path, wanted: &[Operation]) -> std::io::Result<()> {
    let wants = |some: &[Operation]| wanted.iter().any(|operation| some.contains(operation));
    fs::write(dir.join(tree::small(0)), [0; SMALL as usize])?;
    if wants(&[Operation::Rename]) {
        fs::write(dir.join(tree::moved(0)), [])?;
    }
    if wants(&[Operation::Read64k, Operation::Read1m, Operation::RandomRead, Operation::RandomWrite]) {
        fs::write(dir.join(tree::LARGE), vec![0x21; usize::try_from(tree::FILE_LEN).unwrap_or(0)])?;
    }
    if wants(&[Operation::Stat1, Operation::Stat4, Operation::Stat8]) {
        let mut steps = dir.to_owned();
        fs::write(steps.join(tree::LEAF), [])?;
        for _ in 0..7 {
            steps.push(tree::STEP);
            fs::create_dir(&steps)?;
            fs::write(steps.join(tree::LEAF), [])?;
        }
    }
    if wants(&[Operation::Readdir]) {
        let many = dir.join(tree::MANY);
        fs::create_dir(&many)?;
        for number in 0..tree::ENTRIES {
            File::create(many.join(format!("entry-{number:05}")))?;
        }
    }
    Ok(())
}

/// Where an operation reads or writes the next time. A stride that is prime to the number of blocks visits all of them.
fn place(operation: Operation, round: u64) -> u64 {
    let bytes = u64::from(operation.bytes());
    let block = match operation {
        Operation::RandomRead | Operation::RandomWrite => round.wrapping_mul(1663),
        Operation::Donated => 0,
        _ => round,
    };
    block % (tree::FILE_LEN / bytes) * bytes
}

impl Direct {
    /// The operation, on a tree that was [filled](fill).
    pub(super) fn new(dir: &Path, operation: Operation) -> Result<Self> {
        let tree = LocalFs::open(dir)?;
        let (root, _) = tree.attach()?;
        let [first, second] = [Name::new(b"moved0")?, Name::new(b"moved0-")?];
        // It has the second after an odd number of renames, else there is nothing to be moved.
        let _ = tree.rename(&root, second, &root, first, RenameFlags::Replace);
        let (name, access) = match operation {
            Operation::Readdir => (tree::MANY, Some(AccessMode::Read)),
            Operation::Read64k | Operation::Read1m | Operation::RandomRead => {
                (tree::LARGE, Some(AccessMode::Read))
            }
            Operation::RandomWrite => (tree::LARGE, Some(AccessMode::ReadWrite)),
            _ => ("small0", None),
        };
        let (node, _) = tree.walk(&root, Name::new(name.as_bytes())?)?;
        let file = access.map(|access| tree.open(&node, OpenFlags::new(access))).transpose()?;
        let (uid, gid) = gofer_sys::process::user();
        let owner = IdMap::Squash(uid, gid).owner(gofer_vfs::PeerUid(uid.0), gofer_vfs::PeerGid(gid.0));
        let buffer = Vec::with_capacity(operation.bytes() as usize);
        Ok(Self { tree, operation, root, node, file, owner, buffer, round: 0 })
    }

    /// Does it for as long, and says how often.
    pub(super) fn run(&mut self, length: Duration, into: &mut Latencies) -> Result<u64> {
        let start = Instant::now();
        let (mut since, mut done) = (start, 0);
        while since - start < length {
            self.once()?;
            let now = Instant::now();
            into.record(now - since);
            (since, done) = (now, done + 1);
        }
        Ok(done)
    }

    fn once(&mut self) -> Result<()> {
        self.round = self.round.wrapping_add(1);
        let small = Name::new(b"small0")?;
        match self.operation {
            Operation::Getattr => self.tree.getattr(&self.node).map(drop),
            Operation::Walk | Operation::Stat1 => self.stat(1),
            Operation::Walkgetattr => self.tree.walk(&self.root, small).map(drop),
            Operation::Stat4 => self.stat(4),
            Operation::Stat8 => self.stat(8),
            Operation::Open => {
                let (node, _) = self.tree.walk(&self.root, small)?;
                let file = self.tree.open(&node, OpenFlags::new(AccessMode::Read))?;
                self.read(&file, 0)
            }
            Operation::Create => self.create(),
            Operation::Readdir => self.list(),
            Operation::Rename => {
                let names = [Name::new(b"moved0")?, Name::new(b"moved0-")?];
                let [from, to] = if self.round % 2 == 1 { names } else { [names[1], names[0]] };
                self.tree.rename(&self.root, from, &self.root, to, RenameFlags::Replace)
            }
            Operation::Read64k | Operation::Read1m | Operation::RandomRead => {
                let file = self.file.take().ok_or(Errno::EBADF)?;
                let done = self.read(&file, place(self.operation, self.round));
                self.file = Some(file);
                done
            }
            Operation::RandomWrite => {
                let file = self.file.as_ref().ok_or(Errno::EBADF)?;
                let offset = place(self.operation, self.round);
                self.tree.write(file, offset, &mut WriteFrom(&[0x42; SMALL as usize])).map(drop)
            }
            Operation::Donated
            | Operation::Start
            | Operation::Fids
            | Operation::MillionFids
            | Operation::Connections
            | Operation::Neighbours => Err(Errno::EOPNOTSUPP),
        }
    }

    fn read(&mut self, file: &<LocalFs as Backend>::File, offset: u64) -> Result<()> {
        let len = self.operation.bytes() as usize;
        self.buffer.clear();
        self.tree.read(file, offset, len, &mut ReadInto::new(&mut self.buffer, len)).map(drop)
    }

    /// A walk of so many names and the attributes at its end.
    fn stat(&self, depth: usize) -> Result<()> {
        let (step, leaf) = (Name::new(tree::STEP.as_bytes())?, Name::new(tree::LEAF.as_bytes())?);
        let mut place = None;
        for _ in 1..depth {
            place = Some(self.tree.walk(place.as_ref().unwrap_or(&self.root), step)?.0);
        }
        let (node, _) = self.tree.walk(place.as_ref().unwrap_or(&self.root), leaf)?;
        self.tree.getattr(&node).map(drop)
    }

    fn create(&self) -> Result<()> {
        let name = Name::new(b"new0")?;
        let open = OpenFlags::new(AccessMode::ReadWrite);
        let flags = CreateFlags { open, exclusive: true };
        let (_node, file, _) = self.tree.create(&self.root, name, flags, 0o644, self.owner)?;
        self.tree.write(&file, 0, &mut WriteFrom(&[0x42; SMALL as usize]))?;
        drop(file);
        self.tree.unlink(&self.root, name, Unlink::File)
    }

    fn list(&self) -> Result<()> {
        let file = self.file.as_ref().ok_or(Errno::EBADF)?;
        let mut cookie = 0;
        loop {
            let before = cookie;
            self.tree.readdir(file, cookie, 1 << 20, &mut |entry| {
                cookie = entry.cookie;
                true
            })?;
            if cookie == before {
                return Ok(());
            }
        }
    }
}

/// A file that is read by a descriptor as an operation reads it.
pub(super) struct Reading {
    file: File,
    operation: Operation,
    buffer: Vec<u8>,
    round: u64,
}

impl Reading {
    pub(super) fn new(file: File, operation: Operation) -> Self {
        Self { file, operation, buffer: vec![0; operation.bytes() as usize], round: 0 }
    }

    /// Does it for as long, and says how often.
    pub(super) fn run(&mut self, length: Duration, into: &mut Latencies) -> std::io::Result<u64> {
        let start = Instant::now();
        let (mut since, mut done) = (start, 0);
        while since - start < length {
            self.round = self.round.wrapping_add(1);
            self.file.read_exact_at(&mut self.buffer, place(self.operation, self.round))?;
            let now = Instant::now();
            into.record(now - since);
            (since, done) = (now, done + 1);
        }
        Ok(done)
    }
}
