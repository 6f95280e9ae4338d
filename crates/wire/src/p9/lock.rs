//! lock, getlock.

use crate::codec::{Str, message};
use crate::p9::Fid;

message! {
    /// `fid[4] kind[1] flags[4] start[8] length[8] proc_id[4] client_id[s]`: takes or releases a lock on a range
    /// of bytes. A `length` of 0 reaches to the end of the file, wherever that will be.
    pub struct Tlock<'a> {
        fid: Fid,
        kind: u8,
        flags: u32,
        start: u64,
        length: u64,
        proc_id: u32,
        client_id: Str<'a>,
    }
}

/// The values of `kind`, and the bits of `flags`.
impl Tlock<'_> {
    /// A lock shared with other readers.
    pub const RDLCK: u8 = 0;
    /// A lock shared with nobody.
    pub const WRLCK: u8 = 1;
    /// No lock.
    pub const UNLCK: u8 = 2;

    /// The caller wants to wait.
    pub const BLOCK: u32 = 1;
    /// The caller had the lock before the server restarted.
    pub const RECLAIM: u32 = 2;
}

message! {
    /// `status[1]`
    pub struct Rlock { status: u8 }
}

/// The values of `status`.
impl Rlock {
    /// It is done.
    pub const SUCCESS: u8 = 0;
    /// Somebody else has the lock.
    pub const BLOCKED: u8 = 1;
    /// It cannot be done.
    pub const ERROR: u8 = 2;
    /// The server has restarted and waits for locks to be reclaimed.
    pub const GRACE: u8 = 3;
}

message! {
    /// `fid[4] kind[1] start[8] length[8] proc_id[4] client_id[s]`: asks who stands in the way of this lock.
    pub struct Tgetlock<'a> {
        fid: Fid,
        kind: u8,
        start: u64,
        length: u64,
        proc_id: u32,
        client_id: Str<'a>,
    }
}

message! {
    /// `kind[1] start[8] length[8] proc_id[4] client_id[s]`: the lock in the way, or the request's own fields
    /// with [`Tlock::UNLCK`].
    pub struct Rgetlock<'a> { kind: u8, start: u64, length: u64, proc_id: u32, client_id: Str<'a> }
}
