//! lconnect.

use crate::codec::message;
use crate::p9::Fid;

message! {
    /// `fid[4] flags[4]`: connects to the unix socket. `flags` is the kind of socket.
    pub struct Tlconnect { fid: Fid, flags: u32 }
}

/// The values of `flags`.
impl Tlconnect {
    /// A stream.
    pub const STREAM: u32 = 0;
    /// Datagrams.
    pub const DATAGRAM: u32 = 1;
    /// Ordered datagrams.
    pub const SEQPACKET: u32 = 2;
    /// Whichever the socket is.
    pub const ANONYMOUS: u32 = 3;
}

message! {
    /// Empty, with the connected socket's descriptor.
    pub struct Rlconnect;
}
