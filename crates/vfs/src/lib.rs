//! The words and the contract of a file server.
//!
//! Everything that a front-end (9P, lisafs, FUSE) and a backend (host files, memory, a remote server) say to each
//! other is said in the types of this crate, and [`Backend`] is the whole conversation. The crate does no I/O.
//!
//! | module | holds |
//! |---|---|
//! | [`errno`] | [`Errno`], the only failure a backend returns |
//! | [`name`] | [`Name`], one checked path component |
//! | [`id`] | ids as a peer names them and as the host does, and the map between |
//! | [`attr`] | what a file is: [`Attr`], [`SetAttr`], [`StatFs`], [`FileId`] |
//! | [`flags`] | how something is to be done: [`OpenFlags`], [`Allocate`], [`Lock`] .. |
//! | [`xattr`] | [`XattrName`] and the policy that is the only way to one |
//! | [`sink`] | [`Sink`] and [`Source`]: who owns the bytes of a read or a write |
//! | [`backend`] | [`Backend`] itself |
//! | [`readonly`] | [`ReadOnly`], and [`Access`] which is read-only or not |
//! | [`numbers`] | [`Numbers`], which file is which in 64 bits |
//! | [`ranges`] | [`Ranges`], byte-range locks as they are kept |
//! | [`memory`] | [`MemFs`], the smallest backend |

pub mod attr;
pub mod backend;
pub mod errno;
pub mod flags;
pub mod id;
pub mod memory;
pub mod name;
pub mod numbers;
pub mod ranges;
pub mod readonly;
pub mod sink;
pub mod xattr;

pub use attr::{Attr, FileId, FileKind, SetAttr, SetTime, Special, StatFs, Time};
pub use backend::{Backend, Entry, EntryName};
pub use errno::{Errno, Result};
pub use flags::{
    Access as AccessMode, Allocate, AllocateKind, CreateFlags, Lock, LockHolder, LockKind, OpenFlags,
    RenameFlags, SocketKind, Sync, Unlink, XattrFlags,
};
pub use id::{Credentials, Gid, IdMap, Owner, PeerGid, PeerUid, Uid};
pub use memory::MemFs;
pub use name::{Name, NameBuf};
pub use numbers::Numbers;
pub use ranges::Ranges;
pub use readonly::{Access, ReadOnly};
pub use sink::{Sink, Source};
pub use xattr::{XattrName, XattrPolicy};
