//! What a file is: kind, identity, attributes, and changes to them.

use crate::{Errno, Gid, Result, Uid};

/// The kind of a file, from the type bits of `st_mode` (`inode(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A unix socket.
    Socket,
    /// A FIFO.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// The kind in the type bits of a mode; `None` where they name no kind.
    pub const fn of_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o040_000 => Self::Directory,
            0o100_000 => Self::Regular,
            0o120_000 => Self::Symlink,
            0o140_000 => Self::Socket,
            0o010_000 => Self::Fifo,
            0o020_000 => Self::CharDevice,
            0o060_000 => Self::BlockDevice,
            _ => return None,
        })
    }

    /// The type bits of `st_mode`.
    pub const fn mode(self) -> u32 {
        match self {
            Self::Directory => 0o040_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
        }
    }

    /// The `DT_*` value of directory entries (`readdir(3)`).
    pub fn dirent_type(self) -> u8 {
        match self {
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
        }
    }

    /// The kind of a `DT_*` value; `None` for `DT_UNKNOWN` and numbers without meaning.
    pub const fn of_dirent_type(value: u8) -> Option<Self> {
        Self::of_mode((value as u32) << 12)
    }
}

/// What makes a file this file: equal for two descriptors exactly when they lead to one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device, `st_dev`.
    pub dev: u64,
    /// The inode number, `st_ino`.
    pub ino: u64,
}

/// A moment: seconds since 1970 (negative before) and nanoseconds below one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    sec: i64,
    nsec: u32,
}

impl Time {
    /// A moment.
    ///
    /// # Errors
    /// `EINVAL` for a billion nanoseconds and more, so that the special values of `utimensat(2)` cannot pass.
    pub const fn new(sec: i64, nsec: u32) -> Result<Self> {
        if nsec > 999_999_999 { Err(Errno::EINVAL) } else { Ok(Self { sec, nsec }) }
    }

    /// Seconds since 1970.
    pub const fn sec(self) -> i64 {
        self.sec
    }

    /// Nanoseconds, 0 to 999,999,999.
    pub const fn nsec(self) -> u32 {
        self.nsec
    }
}

/// The attributes of a file, all from one system call (`statx(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Identity.
    pub id: FileId,
    /// The kind, consistent with the type bits of `mode`.
    pub kind: FileKind,
    /// Permission and set-id bits (07777), without the kind.
    pub perm: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Number of names; 0 when the file has been removed.
    pub nlink: u64,
    /// Device number of a device file, in the kernel's user-space encoding (`makedev(3)`).
    pub rdev: u64,
    /// Size in bytes.
    pub size: u64,
    /// Preferred I/O size in bytes.
    pub blksize: u64,
    /// Space used, in units of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub atime: Time,
    /// Last change of content.
    pub mtime: Time,
    /// Last change of content or attributes.
    pub ctime: Time,
    /// Creation, where the file system knows it.
    pub btime: Option<Time>,
}

impl Attr {
    /// `st_mode`: kind and permission bits.
    pub fn mode(&self) -> u32 {
        self.kind.mode() | self.perm
    }

    /// Whether the file has lost its last name.
    pub fn is_removed(&self) -> bool {
        self.nlink == 0
    }
}

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The server's current time.
    Now,
    /// This moment.
    At(Time),
}

/// Attributes to change; what is `None` or `false` stays.
///
/// A backend applies them in the order owner, size, mode, times, so that each keeps what was asked
/// although changing the owner or the size clears set-id bits and changing the size moves mtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission and set-id bits (07777).
    pub perm: Option<u32>,
    /// Owner.
    pub uid: Option<Uid>,
    /// Group.
    pub gid: Option<Gid>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Last read.
    pub atime: Option<SetTime>,
    /// Last change of content.
    pub mtime: Option<SetTime>,
    /// Move ctime to now, as any other change does by itself.
    pub ctime: bool,
}

impl SetAttr {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What `mknod` can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// An empty regular file.
    Regular,
    /// A FIFO.
    Fifo,
    /// A unix socket's name, without a listener.
    Socket,
    /// A character device with this major and minor number.
    CharDevice(u32, u32),
    /// A block device with this major and minor number.
    BlockDevice(u32, u32),
}

impl Special {
    /// The kind of file this makes.
    pub fn kind(self) -> FileKind {
        match self {
            Self::Regular => FileKind::Regular,
            Self::Fifo => FileKind::Fifo,
            Self::Socket => FileKind::Socket,
            Self::CharDevice(..) => FileKind::CharDevice,
            Self::BlockDevice(..) => FileKind::BlockDevice,
        }
    }
}

/// A file system's size and use (`statfs(2)`). Sizes are in units of `block_size` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatFs {
    /// The file system's magic number.
    pub magic: u32,
    /// Bytes per block.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Blocks free to ordinary users.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// The file system's id, the first word in the low half.
    pub id: u64,
    /// The longest name.
    pub name_max: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_both_encodings() {
        use FileKind::*;
        for kind in [Directory, Regular, Symlink, Socket, Fifo, CharDevice, BlockDevice] {
            assert_eq!(FileKind::of_mode(kind.mode() | 0o7777), Some(kind));
            assert_eq!(FileKind::of_dirent_type(kind.dirent_type()), Some(kind));
        }
        assert_eq!(FileKind::of_mode(0o644), None);
        assert_eq!(FileKind::of_dirent_type(0), None);
        assert_eq!(FileKind::of_dirent_type(0x80), None);
    }

    #[test]
    fn special_nanoseconds_are_no_time() {
        assert!(Time::new(-1, 999_999_999).is_ok());
        for nsec in [1_000_000_000, 0x3FFF_FFFF, 0x3FFF_FFFE] {
            assert_eq!(Time::new(0, nsec), Err(Errno::EINVAL));
        }
    }
}
