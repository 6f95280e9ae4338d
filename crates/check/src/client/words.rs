//! What is asked most, in a word.

use gofer_vfs::{Errno, Name, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;
use gofer_wire::{Data, ListBuf, Str};

use super::{Answer, Base, Client, ROOT};
use crate::verdict::skip_now;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its identity.
    pub qid: Qid,
    /// Where to go on behind it.
    pub offset: u64,
    /// The type byte.
    pub kind: u8,
    /// Its name.
    pub name: Vec<u8>,
}

/// What is asked most, in a word. Errors are those of [`Client::call`].
#[expect(clippy::missing_errors_doc, reason = "said once for all")]
impl Client {
    /// Agrees on a version and an msize; answers both.
    pub fn version(&mut self, msize: u32, version: &str) -> Result<(u32, Vec<u8>)> {
        let answer = self.call(Tversion { msize, version: text(version) })?;
        let Rversion { msize, version } = answer.version();
        self.msize = msize;
        self.used.clear();
        Ok((msize, version.as_bytes().to_vec()))
    }

    /// Makes `fid` the root of the export, or what is at `aname`.
    pub fn attach(&mut self, fid: Fid, aname: &str) -> Result<Qid> {
        self.attach_as(self.user, fid, aname)
    }

    /// As [`attach`](Self::attach), as somebody.
    pub fn attach_as(&mut self, user: PeerUid, fid: Fid, aname: &str) -> Result<Qid> {
        let (aname, names) = match &self.base {
            Base::Attached(base) if base.is_empty() => (aname.to_owned(), Vec::new()),
            Base::Attached(base) => match aname {
                "" | "/" => (base.clone(), Vec::new()),
                aname if aname.starts_with('/') => (format!("{base}{aname}"), Vec::new()),
                aname => (format!("{base}/{aname}"), Vec::new()),
            },
            Base::Walked(base, names) if ["", "/"].contains(&aname) => (base.clone(), names.clone()),
            Base::Walked(..) => skip_now("the server attaches to its exports only"),
        };
        self.make_free(fid, Fid::NONE);
        let attach = Tattach { fid, afid: Fid::NONE, uname: text(""), aname: text(&aname), n_uname: user };
        let qid = self.call(attach)?.attach().qid;
        self.used.insert(fid);
        if names.is_empty() {
            return Ok(qid);
        }
        self.walk(fid, fid, &names)?.last().copied().ok_or(Errno::ENOENT)
    }

    /// Makes `fid` the root of the whole export, beyond what the cases have of it.
    pub fn attach_top(&mut self, fid: Fid) -> Result<Qid> {
        let top = self.top.clone();
        let base = std::mem::replace(&mut self.base, Base::Attached(top));
        let attached = self.attach(fid, "");
        self.base = base;
        attached
    }

    /// Goes down by any names from `fid` to `newfid`.
    pub fn walk(&mut self, fid: Fid, newfid: Fid, names: &[impl AsRef<[u8]>]) -> Result<Vec<Qid>> {
        let mut room = Vec::new();
        let mut list = ListBuf::new(&mut room);
        for name in names {
            list.push_str(Str::new(name.as_ref()).expect("at most 65,535 bytes"));
        }
        let names = list.finish();
        self.make_free(newfid, fid);
        let qids = self.call(Twalk { fid, newfid, names })?.walk().qids.iter().collect();
        self.used.insert(newfid);
        Ok(qids)
    }

    /// A new fid for the file at `path`, which is relative to [`ROOT`].
    pub fn at(&mut self, path: &str) -> Result<Fid> {
        let newfid = self.fid();
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        self.walk(ROOT, newfid, &names).map(|_| newfid)
    }

    /// Opens a fid.
    pub fn open(&mut self, fid: Fid, flags: OpenBits) -> Result<Answer> {
        self.call(Tlopen { fid, flags })
    }

    /// A new fid, open, for the file at `path`.
    pub fn open_at(&mut self, path: &str, flags: OpenBits) -> Result<Fid> {
        let fid = self.at(path)?;
        self.open(fid, flags).map(|_| fid)
    }

    /// A new fid, open to read and write, for a new file with mode 0644 in [`ROOT`].
    pub fn create_at(&mut self, name: &str) -> Result<Fid> {
        let fid = self.at("")?;
        self.create(fid, name, OpenBits::RDWR, 0o644).map(|_| fid)
    }

    /// Makes a file in the directory `fid`, which then is the file.
    pub fn create(&mut self, fid: Fid, at: &str, flags: OpenBits, mode: u32) -> Result<Answer> {
        self.call(Tlcreate { fid, name: name(at), flags, mode, gid: PeerGid::NONE })
    }

    /// Whether an errno tells that another server than this one does not have an operation.
    fn is_lacking(&self, errno: Errno) -> bool {
        matches!(errno, Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EACCES) && !self.manners.exact
    }

    /// Makes a directory.
    pub fn mkdir(&mut self, dfid: Fid, at: &str) -> Result<Qid> {
        let mkdir = Tmkdir { dfid, name: name(at), mode: 0o755, gid: PeerGid::NONE };
        Ok(self.call(mkdir)?.mkdir().qid)
    }

    /// Makes a file of the kind in the type bits of `mode`.
    pub fn mknod(&mut self, dfid: Fid, at: &str, mode: u32) -> Result<Qid> {
        let mknod = Tmknod { dfid, name: name(at), mode, major: 0, minor: 0, gid: PeerGid::NONE };
        match self.call(mknod) {
            // Some make files in another way only.
            Err(errno) if mode & 0o170_000 == 0o100_000 && self.is_lacking(errno) => {
                let fid = self.fid();
                self.walk(dfid, fid, &[""; 0])?;
                let qid =
                    self.create(fid, at, OpenBits::WRONLY | OpenBits::EXCL, mode & 0o7777)?.lcreate().qid;
                self.clunk(fid).map(|()| qid)
            }
            made => Ok(made?.mknod().qid),
        }
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, dfid: Fid, at: &str, target: &str) -> Result<Qid> {
        let symlink = Tsymlink { dfid, name: name(at), target: text(target), gid: PeerGid::NONE };
        match self.call(symlink) {
            Err(errno) if self.is_lacking(errno) => {
                skip_now(format_args!("the server makes no links: {errno}"))
            }
            made => Ok(made?.symlink().qid),
        }
    }

    /// Where a symbolic link leads.
    pub fn readlink(&mut self, fid: Fid) -> Result<Vec<u8>> {
        Ok(self.call(Treadlink { fid })?.readlink().target.as_bytes().to_vec())
    }

    /// Gives a file another name.
    pub fn link(&mut self, fid: Fid, dfid: Fid, at: &str) -> Result<()> {
        self.call(Tlink { dfid, fid, name: name(at) }).map(drop)
    }

    /// Moves a name.
    pub fn rename(&mut self, olddirfid: Fid, old: &str, newdirfid: Fid, new: &str) -> Result<()> {
        match self.call(Trenameat { olddirfid, oldname: name(old), newdirfid, newname: name(new) }) {
            Err(errno @ (Errno::EOPNOTSUPP | Errno::ENOSYS)) if self.is_lacking(errno) => {
                let fid = self.fid();
                self.walk(olddirfid, fid, &[old])?;
                let renamed = self.call(Trename { fid, dfid: newdirfid, name: name(new) }).map(drop);
                self.clunk(fid).and(renamed)
            }
            renamed => renamed.map(drop),
        }
    }

    /// Removes the name of anything but a directory.
    pub fn unlink(&mut self, dfid: Fid, at: &str) -> Result<()> {
        self.call(Tunlinkat { dfid, name: name(at), flags: 0 }).map(drop)
    }

    /// Removes an empty directory.
    pub fn rmdir(&mut self, dfid: Fid, at: &str) -> Result<()> {
        self.call(Tunlinkat { dfid, name: name(at), flags: Tunlinkat::AT_REMOVEDIR }).map(drop)
    }

    /// Removes the file that a fid stands for, and the fid.
    pub fn remove(&mut self, fid: Fid) -> Result<()> {
        self.used.remove(&fid);
        self.call(Tremove { fid }).map(drop)
    }

    /// Lets go of a fid.
    pub fn clunk(&mut self, fid: Fid) -> Result<()> {
        self.used.remove(&fid);
        self.call(Tclunk { fid }).map(drop)
    }

    /// The attributes of a file.
    pub fn getattr(&mut self, fid: Fid) -> Result<Rgetattr> {
        Ok(self.call(Tgetattr { fid, mask: GetattrMask::ALL })?.getattr())
    }

    /// Changes attributes.
    pub fn setattr(&mut self, fid: Fid, setattr: SetattrBody) -> Result<()> {
        self.call(Tsetattr { fid, setattr }).map(drop)
    }

    /// At most `count` bytes of an open file.
    pub fn read(&mut self, fid: Fid, offset: u64, count: u32) -> Result<Vec<u8>> {
        Ok(self.call(Tread { fid, offset, count })?.read().data.0.to_vec())
    }

    /// Writes to an open file; answers how many bytes.
    pub fn write(&mut self, fid: Fid, offset: u64, data: &[u8]) -> Result<u32> {
        Ok(self.call(Twrite { fid, offset, data: Data(data) })?.write().count)
    }

    /// Entries of an open directory from `offset` on, as many as `count` bytes hold.
    pub fn readdir(&mut self, fid: Fid, offset: u64, count: u32) -> Result<Vec<DirEntry>> {
        let answer = self.call(Treaddir { fid, offset, count })?;
        let data = answer.readdir().data.0;
        assert!(data.len() <= count as usize, "{} bytes of entries where {count} were asked for", data.len());
        let entry = |entry: std::result::Result<Dirent<'_>, _>| {
            let Dirent { qid, offset, kind, name } = entry.expect("whole entries only");
            DirEntry { qid, offset, kind, name: name.as_bytes().to_vec() }
        };
        Ok(Dirents::new(data).map(entry).collect())
    }

    /// All entries of an open directory.
    pub fn list(&mut self, fid: Fid) -> Result<Vec<DirEntry>> {
        let mut all: Vec<DirEntry> = Vec::new();
        loop {
            let most = self.msize() - 24;
            let more = self.readdir(fid, all.last().map_or(0, |last| last.offset), most)?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    /// The names in the directory at `path`, sorted, without `.` and `..`.
    pub fn names(&mut self, path: &str) -> Result<Vec<String>> {
        let fid = self.open_at(path, OpenBits::RDONLY)?;
        let listed = self.list(fid)?.into_iter().map(|entry| entry.name);
        let mut names: Vec<String> = listed
            .filter(|name| name != b"." && name != b"..")
            .map(|name| String::from_utf8_lossy(&name).into_owned())
            .collect();
        names.sort();
        self.clunk(fid).map(|()| names)
    }

    /// The content of the file at `path`, at most a message's worth.
    pub fn content(&mut self, path: &str) -> Result<Vec<u8>> {
        let fid = self.open_at(path, OpenBits::RDONLY)?;
        let content = self.read(fid, 0, self.msize() - 24)?;
        self.clunk(fid).map(|()| content)
    }
}

/// A test's own name for something.
///
/// # Panics
/// When it is none.
pub fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).expect("a name")
}

/// A test's own string.
///
/// # Panics
/// When it is too long for the wire.
pub fn text(text: &str) -> Str<'_> {
    Str::new(text.as_bytes()).expect("at most 65,535 bytes")
}
