//! The 9P2000.L protocol with the Google extensions 0 to 13: the frame, the table of operations, and the
//! messages, one module per family.
//!
//! A frame is `size[4] number[1] tag[2]` and a body, `size` counting all of it. A request has an even number
//! and its reply the next one; any request may be answered by [`Rlerror`] instead. `T` begins the name of a
//! request and `R` that of a reply.
//!
//! In the layout lines a field's size in bytes stands in brackets, `s` marks a string, `n*(..)` a list.

mod attr;
mod dir;
mod entry;
mod io;
mod lock;
mod open;
mod session;
mod socket;
mod walk;
mod xattr;

pub use attr::*;
pub use dir::*;
pub use entry::*;
pub use io::*;
pub use lock::*;
pub use open::*;
pub use session::*;
pub use socket::*;
pub use walk::*;
pub use xattr::*;

use crate::codec::{DecodeError, Reader, Wire, message, saturated, wire_as_field};

/// The bytes of a [`Header`].
pub const HEADER: usize = 7;

/// The largest message, header included, and so the largest msize.
pub const MESSAGE_MAX: u32 = 1 << 20;

/// The smallest msize a server agrees to. Every reply of fixed size fits.
pub const MSIZE_MIN: u32 = 4096;

/// A client's number for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fid(pub u32);

impl Fid {
    /// No fid.
    pub const NONE: Self = Self(u32::MAX);
}

/// A client's number for a request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u16);

impl Tag {
    /// No tag; what some clients give Tversion.
    pub const NONE: Self = Self(u16::MAX);
}

wire_as_field! { Fid Tag }

/// A set of bits of the wire, kept as it came: bits without a name are neither refused nor lost.
macro_rules! bits {
    ($(#[$doc:meta])* pub struct $name:ident($int:ty) { $($(#[$about:meta])* $bit:ident = $value:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub $int);

        impl $name {
            $($(#[$about])* pub const $bit: Self = Self($value);)+

            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        $crate::codec::wire_as_field! { $name }
    };
}
use bits;

bits! {
    /// What kind of file a [`Qid`] stands for. No bit at all is a regular file.
    pub struct QidKind(u8) {
        /// A directory.
        DIR = 0x80;
        /// Append only. Sockets, FIFOs and character devices are shown like this to Google clients.
        APPEND = 0x40;
        /// Exclusive use.
        EXCL = 0x20;
        /// A mounted channel.
        MOUNT = 0x10;
        /// An authentication file.
        AUTH = 0x08;
        /// Not backed up.
        TMP = 0x04;
        /// A symbolic link.
        SYMLINK = 0x02;
        /// A hard link.
        LINK = 0x01;
        /// Anything else.
        FILE = 0x00;
    }
}

message! {
    /// `kind[1] version[4] path[8]`: a file's identity, the same for the same file.
    pub struct Qid {
        kind: QidKind,
        /// Changes with the content; 0 where the server does not say.
        version: u32,
        /// Unique while the session lives.
        path: u64,
    }
}

impl Qid {
    /// Encoded bytes.
    pub const LEN: usize = 13;
}

/// `size[4] number[1] tag[2]`: the start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole frame as the peer says; below [`HEADER`] it is no frame.
    pub size: u32,
    /// Which message follows.
    pub number: u8,
    /// Which request this is, or answers.
    pub tag: Tag,
}

impl Header {
    /// Reads a header. Any bytes are one; the size is the caller's to check.
    pub const fn decode(bytes: &[u8; HEADER]) -> Self {
        let [a, b, c, d, number, e, f] = *bytes;
        Self { size: u32::from_le_bytes([a, b, c, d]), number, tag: Tag(u16::from_le_bytes([e, f])) }
    }
}

/// The table of operations. Whatever has to be said once per operation is made from it.
///
/// `p9_operations!(callback)` expands to `callback! { rows }`, and tokens after the callback's name are put in
/// front of the rows. A row is
///
/// ```text
/// 110 Walk walk: Twalk<'a> => Rwalk<'a>;
/// ```
///
/// the request's number (the reply's is one more), the variant in [`Request`](crate::p9::Request) and
/// [`Reply`](crate::p9::Reply), the name in lower case, and the two types, with a lifetime `'a` where they
/// borrow. A callback takes the rows apart with
/// `$($number:literal $Variant:ident $name:ident: $request:ty => $reply:ty;)*`, and in place of a type
/// `$T:ident $(<$life:lifetime>)?` matches too. A callback that writes the types down needs them in scope
/// (`use gofer_wire::p9::*`) as well as a lifetime `'a`.
///
/// ```
/// macro_rules! names {
///     ($($number:literal $Variant:ident $name:ident: $request:ty => $reply:ty;)*) => {
///         [$(stringify!($name)),*]
///     };
/// }
/// assert!(gofer_wire::p9_operations!(names).contains(&"walk"));
/// ```
#[macro_export]
macro_rules! p9_operations {
    ($callback:ident $($front:tt)*) => {
        $callback! {
            $($front)*
            8 Statfs statfs: Tstatfs => Rstatfs;
            12 Lopen lopen: Tlopen => Rlopen;
            14 Lcreate lcreate: Tlcreate<'a> => Rlcreate;
            16 Symlink symlink: Tsymlink<'a> => Rsymlink;
            18 Mknod mknod: Tmknod<'a> => Rmknod;
            20 Rename rename: Trename<'a> => Rrename;
            22 Readlink readlink: Treadlink => Rreadlink<'a>;
            24 Getattr getattr: Tgetattr => Rgetattr;
            26 Setattr setattr: Tsetattr => Rsetattr;
            28 Listxattr listxattr: Tlistxattr => Rlistxattr<'a>;
            30 Xattrwalk xattrwalk: Txattrwalk<'a> => Rxattrwalk;
            32 Xattrcreate xattrcreate: Txattrcreate<'a> => Rxattrcreate;
            34 Getxattr getxattr: Tgetxattr<'a> => Rgetxattr<'a>;
            36 Setxattr setxattr: Tsetxattr<'a> => Rsetxattr;
            38 Removexattr removexattr: Tremovexattr<'a> => Rremovexattr;
            40 Readdir readdir: Treaddir => Rreaddir<'a>;
            50 Fsync fsync: Tfsync => Rfsync;
            52 Lock lock: Tlock<'a> => Rlock;
            54 Getlock getlock: Tgetlock<'a> => Rgetlock<'a>;
            70 Link link: Tlink<'a> => Rlink;
            72 Mkdir mkdir: Tmkdir<'a> => Rmkdir;
            74 Renameat renameat: Trenameat<'a> => Rrenameat;
            76 Unlinkat unlinkat: Tunlinkat<'a> => Runlinkat;
            100 Version version: Tversion<'a> => Rversion<'a>;
            102 Auth auth: Tauth<'a> => Rauth;
            104 Attach attach: Tattach<'a> => Rattach;
            108 Flush flush: Tflush => Rflush;
            110 Walk walk: Twalk<'a> => Rwalk<'a>;
            116 Read read: Tread => Rread<'a>;
            118 Write write: Twrite<'a> => Rwrite;
            120 Clunk clunk: Tclunk => Rclunk;
            122 Remove remove: Tremove => Rremove;
            124 Flushf flushf: Tflushf => Rflushf;
            126 Walkgetattr walkgetattr: Twalkgetattr<'a> => Rwalkgetattr<'a>;
            128 Ucreate ucreate: Tucreate<'a> => Rucreate;
            130 Umkdir umkdir: Tumkdir<'a> => Rumkdir;
            132 Umknod umknod: Tumknod<'a> => Rumknod;
            134 Usymlink usymlink: Tusymlink<'a> => Rusymlink;
            136 Lconnect lconnect: Tlconnect => Rlconnect;
            138 Allocate allocate: Tallocate => Rallocate;
            140 Setattrclunk setattrclunk: Tsetattrclunk => Rsetattrclunk;
            142 Multigetattr multigetattr: Tmultigetattr<'a> => Rmultigetattr<'a>;
            144 Bind bind: Tbind<'a> => Rbind;
            250 Channel channel: Tchannel => Rchannel;
        }
    };
}

/// Writes a frame into `head` except for its payload, and returns that.
fn frame<'a>(number: u8, tag: Tag, body: &impl Wire<'a>, head: &mut Vec<u8>) -> &'a [u8] {
    let payload = body.payload();
    head.clear();
    head.extend_from_slice(&[0; 4]);
    number.encode(head);
    tag.encode(head);
    body.encode(head);
    let size = saturated(head.len().saturating_add(payload.len()));
    head[..4].copy_from_slice(&size.to_le_bytes());
    payload
}

/// Lets the head of a frame whose last field is the count of its data say that there are `more` of them, which the
/// message did not have.
pub fn lengthen(head: &mut [u8], more: usize) {
    if let Some((size, rest)) = head.split_first_chunk_mut()
        && let Some(count) = rest.last_chunk_mut()
    {
        for number in [size, count] {
            *number = u32::from_le_bytes(*number).saturating_add(saturated(more)).to_le_bytes();
        }
    }
}

/// The bytes of `number[1] descriptors[1]`, with which a datagram of a channel begins in place of a [`Header`].
pub const DATAGRAM: usize = 2;

/// Writes a datagram into `head` except for its payload, and returns that.
fn datagram<'a>(number: u8, body: &impl Wire<'a>, head: &mut Vec<u8>) -> &'a [u8] {
    head.clear();
    head.extend_from_slice(&[number, 0]);
    body.encode(head);
    body.payload()
}

/// A request as a type: its number, and what answers it.
pub trait Operation<'a>: Wire<'a> + Into<Request<'a>> {
    /// The message's number, even. The reply's is one more.
    const NUMBER: u8;
    /// The reply.
    type Reply: Wire<'a> + Into<Reply<'a>>;
}

macro_rules! messages {
    ($($number:literal $variant:ident $name:ident: $request:ty => $reply:ty;)*) => {
        /// What a client asks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Request<'a> {
            $(#[doc = concat!("Number ", $number, ".")] $variant($request),)*
        }

        /// What a server answers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reply<'a> {
            /// Number 7, the answer to any request that failed.
            Lerror(Rlerror),
            $(#[doc = concat!("Number ", $number, " + 1.")] $variant($reply),)*
        }

        impl<'a> Request<'a> {
            /// The message with this number and body. Bytes after its last field are ignored, but data has
            /// to end with the body.
            ///
            /// # Errors
            /// Any [`DecodeError`].
            pub fn decode(number: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
                match number {
                    $($number => Wire::decode(&mut Reader::new(body)).map(Self::$variant),)*
                    Rlerror::NUMBER => Err(DecodeError::IsReply(number.into())),
                    _ if is_operation(number.wrapping_sub(1)) => Err(DecodeError::IsReply(number.into())),
                    _ => Err(DecodeError::Unknown(number.into())),
                }
            }

            /// The message's number, even.
            pub const fn number(&self) -> u8 {
                match self { $(Self::$variant(_) => $number,)* }
            }

            /// The message's name, `"Twalk"`.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => concat!("T", stringify!($name)),)* }
            }

            /// Writes the whole frame into `head`, whose content is lost, except for the data of a Twrite.
            /// That is returned (else nothing) and belongs behind `head`; the frame's size counts it.
            pub fn encode(&self, tag: Tag, head: &mut Vec<u8>) -> &'a [u8] {
                match self { $(Self::$variant(body) => frame($number, tag, body, head),)* }
            }

            /// As [`encode`](Self::encode), for a channel: a datagram without descriptors.
            pub fn encode_datagram(&self, head: &mut Vec<u8>) -> &'a [u8] {
                match self { $(Self::$variant(body) => datagram($number, body, head),)* }
            }
        }

        impl<'a> Reply<'a> {
            /// The message with this number and body. Bytes after its last field are ignored, but data has
            /// to end with the body.
            ///
            /// # Errors
            /// Any [`DecodeError`].
            pub fn decode(number: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
                if number == Rlerror::NUMBER {
                    return Wire::decode(&mut Reader::new(body)).map(Self::Lerror);
                }
                match number.wrapping_sub(1) {
                    $($number => Wire::decode(&mut Reader::new(body)).map(Self::$variant),)*
                    _ if is_operation(number) => Err(DecodeError::IsReply(number.into())),
                    _ => Err(DecodeError::Unknown(number.into())),
                }
            }

            /// The message's number, odd.
            pub const fn number(&self) -> u8 {
                match self {
                    Self::Lerror(_) => Rlerror::NUMBER,
                    $(Self::$variant(_) => $number + 1,)*
                }
            }

            /// The message's name, `"Rwalk"`.
            pub const fn name(&self) -> &'static str {
                match self {
                    Self::Lerror(_) => "Rlerror",
                    $(Self::$variant(_) => concat!("R", stringify!($name)),)*
                }
            }

            /// Writes the whole frame into `head`, whose content is lost, except for the data of an Rread or
            /// Rreaddir. That is returned (else nothing) and belongs behind `head`; the frame's size counts it.
            pub fn encode(&self, tag: Tag, head: &mut Vec<u8>) -> &'a [u8] {
                match self {
                    Self::Lerror(body) => frame(Rlerror::NUMBER, tag, body, head),
                    $(Self::$variant(body) => frame($number + 1, tag, body, head),)*
                }
            }

            /// As [`encode`](Self::encode), for a channel: a datagram without descriptors.
            pub fn encode_datagram(&self, head: &mut Vec<u8>) -> &'a [u8] {
                match self {
                    Self::Lerror(body) => datagram(Rlerror::NUMBER, body, head),
                    $(Self::$variant(body) => datagram($number + 1, body, head),)*
                }
            }
        }

        $(
            impl<'a> Operation<'a> for $request {
                const NUMBER: u8 = $number;
                type Reply = $reply;
            }

            impl<'a> From<$request> for Request<'a> {
                fn from(message: $request) -> Self {
                    Self::$variant(message)
                }
            }

            impl<'a> From<$reply> for Reply<'a> {
                fn from(message: $reply) -> Self {
                    Self::$variant(message)
                }
            }
        )*

        impl From<Rlerror> for Reply<'_> {
            fn from(message: Rlerror) -> Self {
                Self::Lerror(message)
            }
        }

        /// Whether a request has this number.
        const fn is_operation(number: u8) -> bool {
            matches!(number, $($number)|*)
        }
    };
}

p9_operations!(messages);
