//! mkdir, mknod, symlink and their forms with an owner; link, rename, renameat, unlinkat, remove, bind.

use gofer_vfs::{Name, PeerGid, PeerUid};

use crate::codec::{Str, message};
use crate::p9::{Fid, GetattrMask, Qid, Stat};

message! {
    /// `dfid[4] name[s] mode[4] gid[4]`. Only 07777 of the mode counts.
    pub struct Tmkdir<'a> { dfid: Fid, name: Name<'a>, mode: u32, gid: PeerGid }
}

message! {
    /// `qid[13]`
    pub struct Rmkdir { qid: Qid }
}

message! {
    /// `dfid[4] name[s] mode[4] gid[4] uid[4]`: as [`Tmkdir`], with an owner.
    pub struct Tumkdir<'a> { dfid: Fid, name: Name<'a>, mode: u32, gid: PeerGid, uid: PeerUid }
}

message! {
    /// `qid[13]`
    pub struct Rumkdir { qid: Qid }
}

message! {
    /// `dfid[4] name[s] mode[4] major[4] minor[4] gid[4]`. The mode's type bits say what to make.
    pub struct Tmknod<'a> { dfid: Fid, name: Name<'a>, mode: u32, major: u32, minor: u32, gid: PeerGid }
}

message! {
    /// `qid[13]`
    pub struct Rmknod { qid: Qid }
}

message! {
    /// `dfid[4] name[s] mode[4] major[4] minor[4] gid[4] uid[4]`: as [`Tmknod`], with an owner.
    pub struct Tumknod<'a> {
        dfid: Fid,
        name: Name<'a>,
        mode: u32,
        major: u32,
        minor: u32,
        gid: PeerGid,
        uid: PeerUid,
    }
}

message! {
    /// `qid[13]`
    pub struct Rumknod { qid: Qid }
}

message! {
    /// `dfid[4] name[s] target[s] gid[4]`: makes `name` a symbolic link to `target`.
    pub struct Tsymlink<'a> { dfid: Fid, name: Name<'a>, target: Str<'a>, gid: PeerGid }
}

message! {
    /// `qid[13]`
    pub struct Rsymlink { qid: Qid }
}

message! {
    /// `dfid[4] name[s] target[s] gid[4] uid[4]`: as [`Tsymlink`], with an owner.
    pub struct Tusymlink<'a> { dfid: Fid, name: Name<'a>, target: Str<'a>, gid: PeerGid, uid: PeerUid }
}

message! {
    /// `qid[13]`
    pub struct Rusymlink { qid: Qid }
}

message! {
    /// `dfid[4] fid[4] name[s]`: gives the file `fid` another name, in `dfid`.
    pub struct Tlink<'a> { dfid: Fid, fid: Fid, name: Name<'a> }
}

message! {
    /// Empty.
    pub struct Rlink;
}

message! {
    /// `fid[4] dfid[4] name[s]`: moves the file `fid` into `dfid`.
    pub struct Trename<'a> { fid: Fid, dfid: Fid, name: Name<'a> }
}

message! {
    /// Empty.
    pub struct Rrename;
}

message! {
    /// `olddirfid[4] oldname[s] newdirfid[4] newname[s]`
    pub struct Trenameat<'a> { olddirfid: Fid, oldname: Name<'a>, newdirfid: Fid, newname: Name<'a> }
}

message! {
    /// Empty.
    pub struct Rrenameat;
}

message! {
    /// `dfid[4] name[s] flags[4]`
    pub struct Tunlinkat<'a> { dfid: Fid, name: Name<'a>, flags: u32 }
}

impl Tunlinkat<'_> {
    /// The only flag: `name` is a directory.
    pub const AT_REMOVEDIR: u32 = 0x200;
}

message! {
    /// Empty.
    pub struct Runlinkat;
}

message! {
    /// `fid[4]`: removes the file, and releases the fid whatever the outcome.
    pub struct Tremove { fid: Fid }
}

message! {
    /// Empty.
    pub struct Rremove;
}

message! {
    /// `dfid[4] kind[4] name[s] uid[4] gid[4] newfid[4]`: makes a socket, bound to `name`. `kind` is Linux's
    /// `SOCK_*` value.
    pub struct Tbind<'a> {
        dfid: Fid,
        kind: u32,
        name: Name<'a>,
        uid: PeerUid,
        gid: PeerGid,
        newfid: Fid,
    }
}

message! {
    /// `qid[13] valid[8] attr[132]`
    pub struct Rbind { qid: Qid, valid: GetattrMask, attr: Stat }
}
