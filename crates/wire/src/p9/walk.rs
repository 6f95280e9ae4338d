//! walk, walkgetattr, multigetattr.

use crate::codec::{List, Str, message};
use crate::p9::{Fid, FullStat, GetattrMask, Qid, Stat};

message! {
    /// `fid[4] newfid[4] nwname[2] nwname*(wname[s])`: goes down from `fid`, name by name, to `newfid`. No
    /// names make a second fid for the same file.
    pub struct Twalk<'a> { fid: Fid, newfid: Fid, names: List<'a, Str<'a>> }
}

message! {
    /// `nwqid[2] nwqid*(wqid[13])`: one for every name.
    pub struct Rwalk<'a> { qids: List<'a, Qid> }
}

message! {
    /// `fid[4] newfid[4] nwname[2] nwname*(wname[s])`: as [`Twalk`], and asks for attributes.
    pub struct Twalkgetattr<'a> { fid: Fid, newfid: Fid, names: List<'a, Str<'a>> }
}

message! {
    /// `valid[8] attr[132] nwqid[2] nwqid*(wqid[13])`: the attributes of the last file, then one qid for every
    /// name.
    pub struct Rwalkgetattr<'a> { valid: GetattrMask, attr: Stat, qids: List<'a, Qid> }
}

message! {
    /// `fid[4] n[2] n*(name[s])`: asks for the attributes of every file on the way down. An empty first name
    /// stands for `fid` itself.
    pub struct Tmultigetattr<'a> { fid: Fid, names: List<'a, Str<'a>> }
}

message! {
    /// `n[2] n*(stat[153])`: as far as the walk came.
    pub struct Rmultigetattr<'a> { stats: List<'a, FullStat> }
}
