//! lisafs, the protocol between gVisor's sentry and its gofer, of December 2022 to August 2026: the headers, the
//! table of operations, and the messages, one module per family.
//!
//! A message on a socket is a [`Header`] and a payload. The reply has the request's number, or is [`Failure`]'s.
//! A datagram of a channel has [`DATAGRAM`] bytes in place of the header. Bytes behind the last field mean
//! nothing.
//!
//! There is no version. What was added since December 2022 is more operations, which a server lists in its reply
//! to [`MountReq`], and a client does not send what is not listed.
//!
//! In the layout lines a field's size in bytes stands in brackets, `s` marks a string, `n*(..)` a list, `_[n]`
//! padding. Numbers lie one behind the other wherever the layout does not show padding.

mod attr;
mod dir;
mod entry;
mod io;
mod open;
mod session;
mod socket;
mod walk;
mod xattr;

pub use attr::*;
pub use dir::*;
pub use entry::*;
pub use io::*;
pub use open::*;
pub use session::*;
pub use socket::*;
pub use walk::*;
pub use xattr::*;

use gofer_vfs::{PeerGid, PeerUid};

use crate::codec::{DecodeError, Reader, Wire, message, saturated, wire_as_field};

/// The bytes of a [`Header`].
pub const HEADER: usize = 8;

/// The bytes of `number[2] descriptors[1] _[1]`, with which a datagram of a channel begins.
pub const DATAGRAM: usize = 4;

/// The longest payload, request or reply, that our server agrees to. Like the reference's: what is left of a
/// channel's window of 2 MiB.
pub const PAYLOAD_MAX: u32 = (2 << 20) - 4096;

/// A client's number for what it holds: a place, an open file or a bound socket. The server chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdId(pub u64);

impl FdId {
    /// Never a number for anything.
    pub const NONE: Self = Self(0);
}

wire_as_field! { FdId }

/// `length[4] number[2] _[2]`: the start of a message on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload, as the peer says.
    pub length: u32,
    /// Which message it is.
    pub number: u16,
}

impl Header {
    /// Reads a header. Any bytes are one; the length is the caller's to check.
    pub const fn decode(bytes: &[u8; HEADER]) -> Self {
        let [a, b, c, d, e, f, _, _] = *bytes;
        Self { length: u32::from_le_bytes([a, b, c, d]), number: u16::from_le_bytes([e, f]) }
    }
}

/// Bytes without a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pad<const N: usize>;

impl<'a, const N: usize> Wire<'a> for Pad<N> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        from.bytes(N).map(|_| Self)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[0; N]);
    }
}

message! {
    /// `errno[4]`: number 0, the answer to any request that failed.
    pub struct Failure { errno: u32 }
}

impl Failure {
    /// The message's number.
    pub const NUMBER: u16 = 0;
}

message! {
    /// Empty: the answer to a request that has nothing to tell.
    pub struct Done;
}

message! {
    /// `dir[8] uid[4] gid[4] mode[2] _[6]`: where something is made, whose it shall be, and its `st_mode`. An id
    /// of all ones leaves the owner alone.
    pub struct Create { dir: FdId, uid: PeerUid, gid: PeerGid, mode: u16, pad: Pad<6> }
}

/// The table of operations: calls `$callback` with the given tokens and then one row for each,
///
/// ```text
/// number effect Variant name: Request => Reply;
/// ```
///
/// where `effect` is `changes` for what is refused on a read-only connection before anything else of the request
/// is looked at, and `asks` otherwise. A callback takes the rows apart with
/// `$($number:literal $effect:ident $Variant:ident $name:ident: $request:ty => $reply:ty;)*`. One that writes the
/// types down needs them in scope (`use gofer_wire::lisafs::*`) as well as a lifetime `'a`.
///
/// ```
/// macro_rules! names {
///     ($($number:literal $effect:ident $Variant:ident $name:ident: $request:ty => $reply:ty;)*) => {
///         [$(stringify!($name)),*]
///     };
/// }
/// assert!(gofer_wire::lisafs_operations!(names).contains(&"walk"));
/// ```
#[macro_export]
macro_rules! lisafs_operations {
    ($callback:ident $($front:tt)*) => {
        $callback! {
            $($front)*
            1 asks Mount mount: MountReq => MountResp<'a>;
            2 asks Channel channel: ChannelReq => ChannelResp;
            3 asks FStat fstat: FStatReq => Statx;
            4 changes SetStat set_stat: SetStatReq => SetStatResp;
            5 asks Walk walk: WalkReq<'a> => WalkResp<'a>;
            6 asks WalkStat walk_stat: WalkStatReq<'a> => WalkStatResp<'a>;
            7 asks OpenAt open_at: OpenAtReq => OpenAtResp;
            8 changes OpenCreateAt open_create_at: OpenCreateAtReq<'a> => OpenCreateAtResp;
            9 asks Close close: CloseReq<'a> => Done;
            10 asks FSync fsync: FSyncReq<'a> => Done;
            11 changes PWrite pwrite: PWriteReq<'a> => PWriteResp;
            12 asks PRead pread: PReadReq => PReadResp<'a>;
            13 changes MkdirAt mkdir_at: MkdirAtReq<'a> => Inode;
            14 changes MknodAt mknod_at: MknodAtReq<'a> => Inode;
            15 changes SymlinkAt symlink_at: SymlinkAtReq<'a> => Inode;
            16 changes LinkAt link_at: LinkAtReq<'a> => Inode;
            17 asks FStatFs fstatfs: FStatFsReq => StatFs;
            18 changes FAllocate fallocate: FAllocateReq => Done;
            19 asks ReadLinkAt read_link_at: ReadLinkAtReq => ReadLinkAtResp<'a>;
            20 asks Flush flush: FlushReq => Done;
            21 asks Connect connect: ConnectReq => Done;
            22 changes UnlinkAt unlink_at: UnlinkAtReq<'a> => Done;
            23 changes RenameAt rename_at: RenameAtReq<'a> => Done;
            24 asks Getdents64 getdents64: Getdents64Req => Getdents64Resp<'a>;
            25 asks FGetXattr fget_xattr: FGetXattrReq<'a> => FGetXattrResp<'a>;
            26 changes FSetXattr fset_xattr: FSetXattrReq<'a> => Done;
            27 asks FListXattr flist_xattr: FListXattrReq => FListXattrResp<'a>;
            28 changes FRemoveXattr fremove_xattr: FRemoveXattrReq<'a> => Done;
            29 changes BindAt bind_at: BindAtReq<'a> => BindAtResp;
            30 asks Listen listen: ListenReq => Done;
            31 asks Accept accept: AcceptReq => AcceptResp<'a>;
            32 asks ConnectWithCreds connect_with_creds: ConnectWithCredsReq => Done;
            33 changes RenameAt2 rename_at2: RenameAt2Req<'a> => Done;
        }
    };
}

/// A request as a type: its number, and what answers it.
pub trait Operation<'a>: Wire<'a> {
    /// The message's number, and that of its reply.
    const NUMBER: u16;
    /// The reply.
    type Reply: Wire<'a>;
}

/// Writes a message for a socket into `head`, whose content is lost, except for its payload's end: that is
/// returned (else nothing) and belongs behind `head`; the length counts it.
pub fn frame<'a>(number: u16, message: &impl Wire<'a>, head: &mut Vec<u8>) -> &'a [u8] {
    let rest = message.payload();
    head.clear();
    head.extend_from_slice(&[0; HEADER]);
    message.encode(head);
    let length = saturated((head.len() - HEADER).saturating_add(rest.len()));
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..6].copy_from_slice(&number.to_le_bytes());
    rest
}

/// Lets the head of a message for a socket whose last field is the count of its bytes say that there are `more` of
/// them, which the message did not have.
pub fn lengthen(head: &mut [u8], more: usize) {
    if let Some((length, rest)) = head.split_first_chunk_mut()
        && let Some(count) = rest.last_chunk_mut()
    {
        *length = u32::from_le_bytes(*length).saturating_add(saturated(more)).to_le_bytes();
        *count = u64::from_le_bytes(*count).saturating_add(more as u64).to_le_bytes();
    }
}

/// As [`frame`], for a channel: a datagram that announces no descriptors.
pub fn datagram<'a>(number: u16, message: &impl Wire<'a>, head: &mut Vec<u8>) -> &'a [u8] {
    head.clear();
    number.encode(head);
    Pad::<2>.encode(head);
    message.encode(head);
    message.payload()
}

macro_rules! effect {
    (changes) => {
        true
    };
    (asks) => {
        false
    };
}

macro_rules! messages {
    ($($number:literal $effect:ident $variant:ident $name:ident: $request:ty => $reply:ty;)*) => {
        /// What a client asks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Request<'a> {
            $(#[doc = concat!("Number ", $number, ".")] $variant($request),)*
        }

        impl<'a> Request<'a> {
            /// The message with this number and payload. Bytes after its last field are ignored.
            ///
            /// # Errors
            /// Any [`DecodeError`].
            pub fn decode(number: u16, payload: &'a [u8]) -> Result<Self, DecodeError> {
                match number {
                    $($number => Wire::decode(&mut Reader::new(payload)).map(Self::$variant),)*
                    _ => Err(DecodeError::Unknown(number)),
                }
            }

            /// The message's number.
            pub const fn number(&self) -> u16 {
                match self { $(Self::$variant(_) => $number,)* }
            }

            /// The message's name, `"Walk"`.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant),)* }
            }
        }

        $(
            impl<'a> Operation<'a> for $request {
                const NUMBER: u16 = $number;
                type Reply = $reply;
            }
        )*

        /// Whether a request with this number is refused on a read-only connection, whatever else it says.
        pub const fn changes(number: u16) -> bool {
            match number {
                $($number => effect!($effect),)*
                _ => false,
            }
        }

        /// The numbers of all requests, ascending.
        pub const NUMBERS: &[u16] = &[$($number),*];
    };
}

lisafs_operations!(messages);
