//! A read-only export, and everything that would change it.

use gofer_conformance::client::{name, text};
use gofer_conformance::{Client, ROOT, Setup};
use gofer_vfs::{Errno, PeerGid, PeerUid};
use gofer_wire::Data;
use gofer_wire::p9::*;

use crate::attack;
use crate::links::only;

/// The operations that change nothing.
const READING: [&str; 26] = [
    "statfs",
    "readlink",
    "getattr",
    "listxattr",
    "xattrwalk",
    "getxattr",
    "readdir",
    "fsync",
    "lock",
    "getlock",
    "version",
    "auth",
    "attach",
    "flush",
    "walk",
    "read",
    "clunk",
    "flushf",
    "walkgetattr",
    "lconnect",
    "multigetattr",
    "channel",
    // These need a file that was opened to be written, which there is none of.
    "write",
    "allocate",
    // This one is never done.
    "bind",
    // Not a change with all flags; with those that are, it is among the changes.
    "lopen",
];

/// Every other operation, and how it would change something.
fn changes<'a>(c: &mut Client) -> Vec<Request<'a>> {
    let mut at = |path| c.at(path).expect("a file");
    let (dir, file, removed, emptied) = (at("dir"), at("file"), at("dir/inner"), at("empty"));
    let (new, xattr, target, gid, uid) =
        (name("new"), text("user.a"), text("target"), PeerGid::NONE, PeerUid::NONE);
    let (flags, mode, major, minor) = (OpenBits::RDWR, 0o644, 0, 0);
    let setattr =
        SetattrBody { mode: 0o777, ..only(SetattrMask::MODE | SetattrMask::SIZE | SetattrMask::MTIME) };
    vec![
        Tlopen { fid: file, flags: OpenBits::RDONLY | OpenBits::TRUNC }.into(),
        Tlopen { fid: file, flags: OpenBits::WRONLY }.into(),
        Tlopen { fid: file, flags: OpenBits::RDWR | OpenBits::TRUNC }.into(),
        Tlcreate { fid: dir, name: new, flags, mode, gid }.into(),
        Tlcreate { fid: dir, name: name("inner"), flags: OpenBits::RDONLY, mode, gid }.into(),
        Tucreate { fid: dir, name: new, flags, mode, gid, uid }.into(),
        Tsymlink { dfid: dir, name: new, target, gid }.into(),
        Tusymlink { dfid: dir, name: new, target, gid, uid }.into(),
        Tmknod { dfid: dir, name: new, mode, major, minor, gid }.into(),
        Tumknod { dfid: dir, name: new, mode, major, minor, gid, uid }.into(),
        Tmkdir { dfid: dir, name: new, mode, gid }.into(),
        Tumkdir { dfid: dir, name: new, mode, gid, uid }.into(),
        Tlink { dfid: dir, fid: file, name: new }.into(),
        Trename { fid: file, dfid: dir, name: new }.into(),
        Trenameat { olddirfid: ROOT, oldname: name("file"), newdirfid: dir, newname: new }.into(),
        Tunlinkat { dfid: ROOT, name: name("file"), flags: 0 }.into(),
        Tunlinkat { dfid: ROOT, name: name("empty"), flags: Tunlinkat::AT_REMOVEDIR }.into(),
        Tsetattr { fid: file, setattr }.into(),
        Tsetattr { fid: dir, setattr: only(SetattrMask::CTIME) }.into(),
        Tsetxattr { fid: file, name: xattr, value: target, flags: 0 }.into(),
        Tremovexattr { fid: file, name: xattr }.into(),
        Txattrcreate { fid: file, name: xattr, size: 1, flags: 0 }.into(),
        Tremove { fid: emptied }.into(),
        Tsetattrclunk { fid: removed, setattr }.into(),
    ]
}

#[test]
fn every_change_is_refused() {
    attack(Setup { read_only: true, ..Setup::default() }, |arena| {
        let mut c = arena.site.client();
        let before = arena.tree();
        for request in changes(&mut c) {
            assert_eq!(c.call(request).err(), Some(Errno::EROFS), "{request:?}");
        }
        let fid = c.open_at("dir/sub/deep", OpenBits::RDONLY).expect("an open file");
        assert_eq!(c.write(fid, 0, b"x"), Err(Errno::EPERM));
        let allocate = Tallocate { fid, mode: 0, offset: 0, length: 100 };
        assert_eq!(c.call(allocate).err(), Some(Errno::EBADF));
        assert_eq!(arena.tree(), before);
    });
}

/// An open that was refused leaves nothing that could be written to.
#[test]
fn a_refused_open_is_none() {
    attack(Setup { read_only: true, ..Setup::default() }, |arena| {
        let mut c = arena.site.client();
        let before = arena.tree();
        let fid = c.at("file").expect("a file");
        for flags in [OpenBits::WRONLY, OpenBits::RDWR, OpenBits::RDONLY | OpenBits::TRUNC] {
            assert_eq!(c.open(fid, flags).err(), Some(Errno::EROFS));
        }
        assert_eq!(c.open(fid, OpenBits(3)).err(), Some(Errno::EINVAL));
        assert_eq!(c.call(Twrite { fid, offset: 0, data: Data(b"x") }).err(), Some(Errno::EINVAL));
        assert_eq!(arena.tree(), before);
    });
}

#[test]
fn no_operation_is_forgotten() {
    macro_rules! operations {
        ($($number:literal $variant:ident $name:ident: $request:ty => $reply:ty;)*) => {
            [$(($number, stringify!($name))),*]
        };
    }
    attack(Setup { read_only: true, ..Setup::default() }, |arena| {
        let changes: Vec<u8> = changes(&mut arena.site.client()).iter().map(Request::number).collect();
        for (number, operation) in gofer_wire::p9_operations!(operations) {
            assert!(changes.contains(&number) || READING.contains(&operation), "{operation}");
        }
    });
}
