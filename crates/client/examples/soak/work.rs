//! A client that does everything by chance and checks all it gets.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use gofer_client::{Client, File, Node};
use gofer_transport::{Address, ReadInto, WriteFrom};
use gofer_vfs::{
    AccessMode, Backend, CreateFlags, EntryName, Errno, FileKind, Lock, LockKind, Name, NameBuf, OpenFlags,
    Owner, RenameFlags, SetAttr, Unlink,
};

use crate::journal::{Journal, State, Version};
use crate::model::{Chance, content};
use crate::{Result, connect};

/// How many names there are.
const NAMES: usize = 40;
/// The longest file.
const LONGEST: usize = 1 << 20;
/// How long a server may take to come back.
const AWAY: Duration = Duration::from_secs(30);
/// What is in the way of being whole has this in front of its name.
const PART: &str = "part-";
/// What is made and removed within one operation.
const SCRATCH: &str = "scratch";
/// The directory in a directory.
const INNER: &str = "inner";

/// Where to work.
pub(crate) struct Place {
    address: Address,
    export: String,
    dir: NameBuf,
    /// What operations may fail with.
    allowed: Vec<Errno>,
}

impl Place {
    pub(crate) fn new(address: &str, export: &str, dir: &str, allowed: Vec<Errno>) -> Result<Self> {
        let dir = NameBuf::from(Name::new(dir.as_bytes())?);
        Ok(Self { address: address.parse()?, export: export.to_owned(), dir, allowed })
    }

    /// Connects, again and again while there is nobody, and makes the directory if it is not there.
    fn enter(&self) -> Result<(Client, Node)> {
        let since = Instant::now();
        loop {
            let why: Box<dyn std::error::Error> = match connect(&self.address, &self.export) {
                Ok(client) => match self.find(&client) {
                    Ok(dir) => return Ok((client, dir)),
                    Err(errno) if client.ended().is_some() || self.allowed.contains(&errno) => errno.into(),
                    Err(errno) => return Err(format!("cannot find the directory: {errno}").into()),
                },
                Err(error) => error.into(),
            };
            if since.elapsed() > AWAY {
                return Err(format!("no server for {AWAY:?}: {why}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn find(&self, client: &Client) -> gofer_vfs::Result<Node> {
        let (root, _) = client.attach()?;
        let name = self.dir.as_name();
        let made = client.mkdir(&root, name, 0o755, Owner::default());
        match made {
            Err(Errno::EEXIST) => client.walk(&root, name).map(|(node, _)| node),
            made => made.map(|(node, _)| node),
        }
    }
}

/// Why an operation is not done.
enum Failed {
    /// With what it may fail with.
    Allowed,
    /// The connection is gone.
    Lost,
    /// With anything else, or with a wrong result.
    Wrong(String),
}

type Done<T = ()> = std::result::Result<T, Failed>;

/// Works until the time is over.
pub(crate) fn run(place: &Place, journal: &Path, length: Duration) -> Result<()> {
    let end = Instant::now() + length;
    let mut journal = Journal::open(journal)?;
    let mut chance = Chance::new(u64::from(std::process::id()));
    let (mut done, mut failed, mut lost) = (0u64, 0u64, 0u64);
    // Whoever worked here before was killed perhaps.
    let mut is_known = false;
    while Instant::now() < end {
        let (client, dir) = place.enter()?;
        let mut worker = Worker { place, client: &client, dir, journal: &mut journal, chance: &mut chance };
        if !is_known {
            match worker.settle_all() {
                Err(_) if client.ended().is_some_and(|errno| errno != Errno::EIO) => continue,
                settled => settled?,
            }
            is_known = true;
        }
        while Instant::now() < end {
            match worker.one() {
                Ok(()) => done += 1,
                Err(Failed::Allowed) => failed += 1,
                Err(Failed::Lost) => {
                    lost += 1;
                    break;
                }
                Err(Failed::Wrong(what)) => return Err(what.into()),
            }
        }
    }
    println!("{done} operations, {failed} failed as they may, {lost} connections lost");
    Ok(())
}

/// Looks whether all is there that was acknowledged, and removes it.
pub(crate) fn verify(place: &Place, journal: &Path) -> Result<()> {
    let mut journal = Journal::open(journal)?;
    let (client, dir) = place.enter()?;
    let mut chance = Chance::new(1);
    let mut worker = Worker { place, client: &client, dir, journal: &mut journal, chance: &mut chance };
    worker.settle_all()?;
    let files = worker.journal.names.values().filter(|state| state.either[0].is_some()).count();
    for name in worker.stubbornly(|worker| worker.list())? {
        let name = NameBuf::from(Name::new(name.as_bytes())?);
        worker.stubbornly(|worker| worker.clear(&name))?;
    }
    worker.stubbornly(|worker| {
        let removed = client.attach();
        let (root, _) = worker.sort("attach", removed)?;
        worker.sort("rmdir", client.unlink(&root, place.dir.as_name(), Unlink::Directory))
    })?;
    println!("{files} files are as they were acknowledged");
    Ok(())
}

struct Worker<'w> {
    place: &'w Place,
    client: &'w Client,
    dir: Node,
    journal: &'w mut Journal,
    chance: &'w mut Chance,
}

/// How what was read is not the beginning of what is there.
fn difference(read: &[u8], there: &[u8]) -> Option<String> {
    if read.is_empty() != there.is_empty() || read.len() > there.len() {
        return Some(format!("{} were read of {}", read.len(), there.len()));
    }
    let at = read.iter().zip(there).position(|(read, there)| read != there)?;
    let few = |bytes: &[u8]| bytes[at..].iter().take(8).copied().collect::<Vec<_>>();
    Some(format!("behind {at} that are the same, {:?} were read for {:?}", few(read), few(there)))
}

fn name_of(text: &str) -> Done<NameBuf> {
    Name::new(text.as_bytes()).map(NameBuf::from).map_err(|errno| Failed::Wrong(format!("{text}: {errno}")))
}

impl Worker<'_> {
    /// What became of a call.
    fn sort<T>(&self, what: &str, result: gofer_vfs::Result<T>) -> Done<T> {
        result.map_err(|errno| match self.client.ended() {
            // A server that breaks the protocol is told by this.
            Some(Errno::EIO) => Failed::Wrong(format!("{what}: the server broke the protocol")),
            Some(_) => Failed::Lost,
            None if self.place.allowed.contains(&errno) => Failed::Allowed,
            None => Failed::Wrong(format!("{what}: {errno}")),
        })
    }

    fn note(result: Result<()>) -> Done {
        result.map_err(|error| Failed::Wrong(format!("the journal: {error}")))
    }

    fn any_name(&mut self) -> String {
        format!("file{:02}", self.chance.below(NAMES))
    }

    fn one(&mut self) -> Done {
        match self.chance.below(100) {
            0..30 => self.put(),
            30..60 => {
                let name = self.any_name();
                self.check(&name)
            }
            60..70 => self.remove(),
            70..76 => self.check_names(),
            76..88 => self.scratch(),
            88..94 => self.directories(),
            _ => self.links(),
        }
    }

    /// Does something until it is done: what may fail is made to fail sometimes, not always.
    fn stubbornly<T>(&mut self, mut work: impl FnMut(&mut Self) -> Done<T>) -> Result<T> {
        for _ in 0..100 {
            match work(self) {
                Ok(done) => return Ok(done),
                Err(Failed::Allowed) => {}
                Err(Failed::Lost) => return Err("the connection was lost".into()),
                Err(Failed::Wrong(what)) => return Err(what.into()),
            }
        }
        Err("it fails each time".into())
    }

    /// Looks at all names, so that the state of each is known.
    fn settle_all(&mut self) -> Result<()> {
        let names: Vec<_> = self.journal.names.keys().cloned().collect();
        names.iter().try_for_each(|name| self.stubbornly(|worker| worker.check(name)))
    }

    /// A name stands for what it may stand for.
    fn check(&mut self, name: &str) -> Done {
        let state = self.journal.names.get(name).cloned().unwrap_or_else(|| State::is(None));
        let longest = state.either.iter().flatten().map(|version| version.len).max().unwrap_or(0);
        let found = self.read_all(name, longest)?;
        let fits = |version: &&Option<Version>| version.map(content) == found;
        match state.either.iter().rfind(fits) {
            Some(version) if state.either.len() > 1 => Self::note(self.journal.settle(name, *version)),
            Some(_) => Ok(()),
            None => {
                let found = found.map_or("no file".to_owned(), |bytes| format!("{} bytes", bytes.len()));
                Err(Failed::Wrong(format!("{name} is {found}, and none of {state:?}")))
            }
        }
    }

    /// The content of a file, of which no more than `longest` bytes and one are of interest.
    fn read_all(&mut self, name: &str, longest: usize) -> Done<Option<Vec<u8>>> {
        let node = match self.client.walk(&self.dir, name_of(name)?.as_name()) {
            Err(Errno::ENOENT) => return Ok(None),
            walked => self.sort("walk", walked)?.0,
        };
        let opened = self.client.open(&node, OpenFlags::new(AccessMode::Read));
        let file = self.sort("open", opened)?;
        let mut bytes = Vec::new();
        while bytes.len() <= longest {
            let want = 1 + self.chance.below(256 << 10);
            let offset = bytes.len() as u64;
            let mut part = Vec::new();
            let read = self.client.read(&file, offset, want, &mut ReadInto::new(&mut part, want));
            if self.sort("read", read)? == 0 {
                break;
            }
            bytes.extend_from_slice(&part);
        }
        let attr = self.client.getattr(&node);
        let attr = self.sort("getattr", attr)?;
        if attr.kind != FileKind::Regular || (bytes.len() <= longest && attr.size != bytes.len() as u64) {
            return Err(Failed::Wrong(format!("{name}: {attr:?} of {} bytes", bytes.len())));
        }
        Ok(Some(bytes))
    }

    /// Writes a file beside, puts it on disk, and gives it the name.
    fn put(&mut self) -> Done {
        let name = self.any_name();
        let len =
            if self.chance.below(4) == 0 { self.chance.below(LONGEST) } else { self.chance.below(20_000) };
        let version = Version { seed: self.chance.next(), len };
        let part = name_of(&format!("{PART}{name}"))?;
        self.clear(&part)?;
        let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
        let made = self.client.create(&self.dir, part.as_name(), flags, 0o644, Owner::default());
        let (_, file, _) = self.sort("create", made)?;
        self.write_all(&file, 0, &content(version))?;
        self.sort("fsync", self.client.fsync(&file, false))?;
        drop(file);
        Self::note(self.journal.begin(&name, Some(version)))?;
        let to = name_of(&name)?;
        let renamed =
            self.client.rename(&self.dir, part.as_name(), &self.dir, to.as_name(), RenameFlags::Replace);
        self.sort("rename", renamed)?;
        Self::note(self.journal.settle(&name, Some(version)))
    }

    fn write_all(&mut self, file: &File, offset: u64, bytes: &[u8]) -> Done {
        let mut at = 0;
        while at < bytes.len() {
            let want = (1 + self.chance.below(200 << 10)).min(bytes.len() - at);
            let from = &bytes[at..at + want];
            let written = self.client.write(file, offset + at as u64, &mut WriteFrom(from));
            match self.sort("write", written)? {
                0 => return Err(Failed::Wrong("write: nothing was written".to_owned())),
                n => at += n,
            }
        }
        Ok(())
    }

    /// Removes what an operation that failed has left.
    fn clear(&self, name: &NameBuf) -> Done {
        match self.client.unlink(&self.dir, name.as_name(), Unlink::File) {
            Err(Errno::ENOENT) => Ok(()),
            Err(Errno::EISDIR) => {
                let (node, _) = self.sort("walk", self.client.walk(&self.dir, name.as_name()))?;
                match self.client.unlink(&node, name_of(INNER)?.as_name(), Unlink::Directory) {
                    Err(Errno::ENOENT) => {}
                    removed => self.sort("rmdir", removed)?,
                }
                self.sort("rmdir", self.client.unlink(&self.dir, name.as_name(), Unlink::Directory))
            }
            removed => self.sort("unlink", removed),
        }
    }

    fn remove(&mut self) -> Done {
        let name = self.any_name();
        let state = self.journal.names.get(&name).cloned().unwrap_or_else(|| State::is(None));
        Self::note(self.journal.begin(&name, None))?;
        let removed = self.client.unlink(&self.dir, name_of(&name)?.as_name(), Unlink::File);
        let may_be_gone = state.either.contains(&None);
        match removed {
            Err(Errno::ENOENT) if may_be_gone => {}
            removed => self.sort("unlink", removed)?,
        }
        Self::note(self.journal.settle(&name, None))
    }

    fn list(&self) -> Done<Vec<String>> {
        let (opened, mut names) = (self.client.open(&self.dir, OpenFlags::new(AccessMode::Read)), Vec::new());
        let file = self.sort("open", opened)?;
        let mut cookie = 0;
        loop {
            let before = cookie;
            let listed = self.client.readdir(&file, cookie, 4096, &mut |entry| {
                cookie = entry.cookie;
                if let EntryName::Child(name) = entry.name {
                    names.push(String::from_utf8_lossy(name.as_bytes()).into_owned());
                }
                true
            });
            self.sort("readdir", listed)?;
            if cookie == before {
                return Ok(names);
            }
        }
    }

    /// The listing has all files, each once, and nothing else.
    fn check_names(&mut self) -> Done {
        let listed = self.list()?;
        let files = listed.iter().filter(|name| !name.starts_with(PART) && !name.starts_with(SCRATCH));
        let (count, files) = (files.clone().count(), files.collect::<BTreeSet<_>>());
        if count != files.len() {
            return Err(Failed::Wrong("a name is listed twice".to_owned()));
        }
        for (name, state) in &self.journal.names {
            let may = |is: bool| state.either.iter().any(|version| version.is_some() == is);
            if !may(files.contains(name)) {
                return Err(Failed::Wrong(format!(
                    "{name} is listed: {}, and is {state:?}",
                    files.contains(name)
                )));
            }
        }
        match files.iter().find(|name| !self.journal.names.contains_key(**name)) {
            Some(name) => Err(Failed::Wrong(format!("{name} is nobody's"))),
            None => Ok(()),
        }
    }

    /// Writes, sizes and reads in a file that nobody else sees, against the same in memory.
    fn scratch(&mut self) -> Done {
        let name = name_of(SCRATCH)?;
        self.clear(&name)?;
        let flags = CreateFlags { open: OpenFlags::new(AccessMode::ReadWrite), exclusive: true };
        let made = self.client.create(&self.dir, name.as_name(), flags, 0o600, Owner::default());
        let (node, file, _) = self.sort("create", made)?;
        let lock = Lock { kind: LockKind::Exclusive, start: 0, length: 0 };
        let locked = self.client.lock(&file, lock);
        if !self.sort("lock", locked)? {
            return Err(Failed::Wrong("a lock is in the way that nobody can have".to_owned()));
        }
        // It lives on without a name.
        if self.chance.below(2) == 0 {
            self.clear(&name)?;
        }
        let mut model = Vec::new();
        for _ in 0..20 {
            let (offset, len) = (self.chance.below(100_000), self.chance.below(30_000));
            match self.chance.below(5) {
                0 => {
                    let set = SetAttr { size: Some(offset as u64), ..SetAttr::default() };
                    let set = self.client.setattr(&node, Some(&file), &set);
                    self.sort("setattr", set)?;
                    model.resize(offset, 0);
                }
                1 | 2 => {
                    if len == 0 {
                        // It would not make the file any longer.
                        continue;
                    }
                    let bytes = content(Version { seed: self.chance.next(), len });
                    if model.len() < offset + len {
                        model.resize(offset + len, 0);
                    }
                    model[offset..offset + len].copy_from_slice(&bytes);
                    self.write_all(&file, offset as u64, &bytes)?;
                }
                _ => {
                    let mut part = Vec::new();
                    let read =
                        self.client.read(&file, offset as u64, len, &mut ReadInto::new(&mut part, len));
                    self.sort("read", read)?;
                    let there = model.get(offset..).unwrap_or_default();
                    if let Some(why) = difference(&part, there).filter(|_| len > 0) {
                        return Err(Failed::Wrong(format!("{len} bytes at {offset}: {why}")));
                    }
                }
            }
        }
        drop(file);
        self.clear(&name)
    }

    /// Directories in each other, and none of them afterwards.
    fn directories(&mut self) -> Done {
        let name = name_of(SCRATCH)?;
        self.clear(&name)?;
        let made = self.client.mkdir(&self.dir, name.as_name(), 0o755, Owner::default());
        let (node, _) = self.sort("mkdir", made)?;
        let inner = name_of(INNER)?;
        let made = self.client.mkdir(&node, inner.as_name(), 0o755, Owner::default());
        self.sort("mkdir", made)?;
        match self.client.unlink(&self.dir, name.as_name(), Unlink::Directory) {
            Err(Errno::ENOTEMPTY) => {}
            removed => {
                self.sort("rmdir", removed)?;
                return Err(Failed::Wrong("a directory that is not empty was removed".to_owned()));
            }
        }
        let removed = self.client.unlink(&node, inner.as_name(), Unlink::Directory);
        self.sort("rmdir", removed)?;
        self.clear(&name)
    }

    /// A symbolic link says what it was given, and a second name is the same file.
    fn links(&mut self) -> Done {
        let name = name_of(SCRATCH)?;
        self.clear(&name)?;
        let target = b"../../../../etc/passwd";
        let made = self.client.symlink(&self.dir, name.as_name(), target, Owner::default());
        let (node, attr) = self.sort("symlink", made)?;
        let mut says = Vec::new();
        let read = self.client.readlink(&node, &mut says);
        self.sort("readlink", read)?;
        if says != target || attr.kind != FileKind::Symlink {
            return Err(Failed::Wrong(format!("the link says {:?}", String::from_utf8_lossy(&says))));
        }
        self.clear(&name)?;
        let of = self.any_name();
        let (node, attr) = match self.client.walk(&self.dir, name_of(&of)?.as_name()) {
            Err(Errno::ENOENT) => return Ok(()),
            walked => self.sort("walk", walked)?,
        };
        let linked = self.client.link(&node, &self.dir, name.as_name());
        self.sort("link", linked)?;
        let walked = self.client.walk(&self.dir, name.as_name());
        let (_, other) = self.sort("walk", walked)?;
        if other.id != attr.id || other.nlink != 2 {
            return Err(Failed::Wrong(format!("{of} has a second name: {attr:?}, {other:?}")));
        }
        self.clear(&name)
    }
}
