//! How something is to be done: the flags of the operations, decoded once by the front-end.

/// What an open file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// Whether reading is allowed.
    pub fn reads(self) -> bool {
        self != Self::Write
    }

    /// Whether writing is allowed.
    pub fn writes(self) -> bool {
        self != Self::Read
    }
}

/// When a write counts as done (`open(2)`: `O_DSYNC`, `O_SYNC`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// When the host's cache has it.
    #[default]
    None,
    /// When the data is on disk.
    Data,
    /// When data and attributes are on disk.
    Full,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags {
    /// For what.
    pub access: Access,
    /// Cut the file to nothing first. Counts as a write.
    pub truncate: bool,
    /// Every write goes to the end.
    pub append: bool,
    /// When a write counts as done.
    pub sync: Sync,
    /// Leave the access time alone where the server has the right to; otherwise ignored.
    pub no_atime: bool,
    /// Fail with `ENOTDIR` for anything but a directory.
    pub directory: bool,
    /// Writing clears the set-id bits even when the server's rights would keep them, because the client
    /// does not do it itself.
    pub clears_set_id: bool,
}

impl OpenFlags {
    /// To be used for `access`, everything else off.
    pub const fn new(access: Access) -> Self {
        Self {
            access,
            truncate: false,
            append: false,
            sync: Sync::None,
            no_atime: false,
            directory: false,
            clears_set_id: false,
        }
    }

    /// Whether the open itself or what it allows changes the file.
    pub fn changes(&self) -> bool {
        self.access.writes() || self.truncate
    }
}

/// How to create a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateFlags {
    /// How the new file is opened.
    pub open: OpenFlags,
    /// Fail with `EEXIST` when the name is taken. Otherwise a regular file of that name is opened as it is,
    /// owner and mode unchanged.
    pub exclusive: bool,
}

/// What `unlink` removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlink {
    /// Anything but a directory (`EISDIR`).
    File,
    /// An empty directory only (`ENOTDIR`, `ENOTEMPTY`).
    Directory,
}

/// What `rename` does with a target that exists (`renameat2(2)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenameFlags {
    /// Replaces it.
    #[default]
    Replace,
    /// Fails with `EEXIST`.
    NoReplace,
    /// Swaps the two.
    Exchange,
}

/// What happens to a range of a file (`fallocate(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateKind {
    /// Space is reserved.
    Reserve,
    /// Space is given back; the range reads as zeros. Always keeps the size.
    PunchHole,
    /// The range reads as zeros.
    Zero,
    /// The range is cut out and what follows moves down.
    Collapse,
    /// Zeros are put in and what follows moves up.
    Insert,
    /// Shared blocks become the file's own.
    Unshare,
}

/// A change of a file's space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocate {
    /// What to do.
    pub kind: AllocateKind,
    /// Whether the size stays when the range goes beyond it.
    pub keep_size: bool,
    /// First byte of the range.
    pub offset: u64,
    /// Length of the range in bytes.
    pub length: u64,
}

/// The kinds of byte-range lock (`fcntl(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// May be held by many.
    Shared,
    /// May be held by one.
    Exclusive,
    /// None: the range is released.
    Unlock,
}

/// A byte-range lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The kind.
    pub kind: LockKind,
    /// First byte.
    pub start: u64,
    /// Length in bytes; 0 is "to the end of the file, wherever that will be".
    pub length: u64,
}

/// A lock that is in the way of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The lock.
    pub lock: Lock,
    /// The host process that holds it; 0 where no process is known (`F_OFD_GETLK` says −1).
    pub pid: u32,
}

/// The kinds of unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`.
    SeqPacket,
}

/// What setting an extended attribute expects of an older value (`setxattr(2)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrFlags {
    /// Nothing.
    #[default]
    Any,
    /// That there is none (`EEXIST`).
    Create,
    /// That there is one (`ENODATA`).
    Replace,
}
