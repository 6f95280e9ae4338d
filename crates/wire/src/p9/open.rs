//! lopen, lcreate, ucreate.

use gofer_vfs::{AccessMode, Name, PeerGid, PeerUid};

use crate::codec::message;
use crate::p9::{Fid, Qid, bits};

bits! {
    /// How to open: the flags of `open(2)` with the numbers of x86-64, whatever the host's are. The low two
    /// bits are the access mode.
    pub struct OpenBits(u32) {
        /// Access mode: to read.
        RDONLY = 0;
        /// Access mode: to write.
        WRONLY = 1;
        /// Access mode: both.
        RDWR = 2;
        /// Make it where it does not exist.
        CREATE = 0o100;
        /// Fail where it exists.
        EXCL = 0o200;
        /// Not to become the controlling terminal.
        NOCTTY = 0o400;
        /// Cut to nothing.
        TRUNC = 0o1000;
        /// Write at the end.
        APPEND = 0o2000;
        /// Do not wait.
        NONBLOCK = 0o4000;
        /// Data is on disk when a write returns.
        DSYNC = 0o1_0000;
        /// Signal-driven I/O.
        FASYNC = 0o2_0000;
        /// Bypass the page cache.
        DIRECT = 0o4_0000;
        /// Large files.
        LARGEFILE = 0o10_0000;
        /// Fail for anything but a directory.
        DIRECTORY = 0o20_0000;
        /// Fail for a symbolic link.
        NOFOLLOW = 0o40_0000;
        /// Leave the access time alone.
        NOATIME = 0o100_0000;
        /// Close on `execve(2)`.
        CLOEXEC = 0o200_0000;
        /// Data and attributes are on disk when a write returns. Linux's `O_SYNC` is this and `DSYNC`.
        SYNC = 0o400_0000;
    }
}

impl OpenBits {
    /// The access mode; `None` for the fourth value, which has no meaning.
    pub const fn access(self) -> Option<AccessMode> {
        match self.0 & 3 {
            0 => Some(AccessMode::Read),
            1 => Some(AccessMode::Write),
            2 => Some(AccessMode::ReadWrite),
            _ => None,
        }
    }
}

message! {
    /// `fid[4] flags[4]`: opens the file.
    pub struct Tlopen { fid: Fid, flags: OpenBits }
}

message! {
    /// `qid[13] iounit[4]`, perhaps with a descriptor. An `iounit` of 0 leaves the size of reads and writes to
    /// the msize.
    pub struct Rlopen { qid: Qid, iounit: u32 }
}

message! {
    /// `fid[4] name[s] flags[4] mode[4] gid[4]`: makes a regular file in the directory `fid`, opens it, and
    /// makes `fid` the new file. Only 07777 of the mode counts.
    pub struct Tlcreate<'a> { fid: Fid, name: Name<'a>, flags: OpenBits, mode: u32, gid: PeerGid }
}

message! {
    /// `qid[13] iounit[4]`, perhaps with a descriptor, as [`Rlopen`].
    pub struct Rlcreate { qid: Qid, iounit: u32 }
}

message! {
    /// `fid[4] name[s] flags[4] mode[4] gid[4] uid[4]`: as [`Tlcreate`], with an owner.
    pub struct Tucreate<'a> {
        fid: Fid,
        name: Name<'a>,
        flags: OpenBits,
        mode: u32,
        gid: PeerGid,
        uid: PeerUid,
    }
}

message! {
    /// `qid[13] iounit[4]`, perhaps with a descriptor, as [`Rlopen`].
    pub struct Rucreate { qid: Qid, iounit: u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_two_bits_are_the_access() {
        let flags = OpenBits::TRUNC | OpenBits::APPEND;
        assert_eq!((flags | OpenBits::RDONLY).access(), Some(AccessMode::Read));
        assert_eq!((flags | OpenBits::WRONLY).access(), Some(AccessMode::Write));
        assert_eq!((flags | OpenBits::RDWR).access(), Some(AccessMode::ReadWrite));
        assert_eq!((flags | OpenBits(3)).access(), None);
    }

    #[test]
    fn flags_have_the_numbers_of_x86_64() {
        assert_eq!(OpenBits::CREATE.0, 0x40);
        assert_eq!(OpenBits::TRUNC.0, 0x200);
        assert_eq!(OpenBits::DSYNC.0, 0x1000);
        assert_eq!(OpenBits::DIRECT.0, 0x4000);
        assert_eq!(OpenBits::LARGEFILE.0, 0x8000);
        assert_eq!(OpenBits::DIRECTORY.0, 0x10000);
        assert_eq!(OpenBits::NOFOLLOW.0, 0x20000);
        assert_eq!(OpenBits::CLOEXEC.0, 0x80000);
        assert_eq!(OpenBits::SYNC.0, 0x10_0000);
    }
}
