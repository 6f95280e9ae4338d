//! version, auth, attach, flush, clunk, channel, and the reply to what failed.

use std::fmt;

use gofer_vfs::PeerUid;

use crate::codec::{Str, message};
use crate::p9::{Fid, Qid, Tag};

/// A protocol version: 0 is plain `9P2000.L` (or `9P2000.L.Google.0`), N is `9P2000.L.Google.N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// Plain 9P2000.L.
    pub const BASE: Self = Self(0);

    /// The first with Tchannel.
    pub const CHANNELS: Self = Self(8);

    /// The highest version that was ever negotiated.
    pub const HIGHEST: Self = Self(13);

    /// The version a string names, exactly `9P2000.L` or `9P2000.L.Google.` with one or more decimal digits
    /// whose number fits 32 bits; `None` for any other.
    pub fn parse(string: &[u8]) -> Option<Self> {
        let extension = string.strip_prefix(b"9P2000.L")?;
        if extension.is_empty() {
            return Some(Self::BASE);
        }
        let digits = extension.strip_prefix(b".Google.")?;
        if digits.is_empty() {
            return None;
        }
        let number = digits.iter().try_fold(0u32, |number, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            number.checked_mul(10)?.checked_add(digit)
        })?;
        Some(Self(number))
    }

    /// Whether Google extensions were negotiated, so that the peer expects their conventions.
    pub const fn is_google(self) -> bool {
        self.0 >= 1
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("9P2000.L")?;
        if self.is_google() { write!(f, ".Google.{}", self.0) } else { Ok(()) }
    }
}

message! {
    /// `msize[4] version[s]`: offers a version and a largest message size.
    pub struct Tversion<'a> { msize: u32, version: Str<'a> }
}

message! {
    /// `msize[4] version[s]`: the version and size agreed on.
    pub struct Rversion<'a> { msize: u32, version: Str<'a> }
}

message! {
    /// `afid[4] uname[s] aname[s] n_uname[4]`: asks for an authentication file.
    pub struct Tauth<'a> { afid: Fid, uname: Str<'a>, aname: Str<'a>, n_uname: PeerUid }
}

message! {
    /// `aqid[13]`
    pub struct Rauth { aqid: Qid }
}

message! {
    /// `fid[4] afid[4] uname[s] aname[s] n_uname[4]`: makes `fid` the root of the tree `aname`, or a file in it.
    pub struct Tattach<'a> { fid: Fid, afid: Fid, uname: Str<'a>, aname: Str<'a>, n_uname: PeerUid }
}

message! {
    /// `qid[13]`
    pub struct Rattach { qid: Qid }
}

message! {
    /// `oldtag[2]`: the answer to that request is no longer wanted.
    pub struct Tflush { oldtag: Tag }
}

message! {
    /// Empty. No answer to the flushed request comes after it.
    pub struct Rflush;
}

message! {
    /// `fid[4]`: releases the fid.
    pub struct Tclunk { fid: Fid }
}

message! {
    /// Empty.
    pub struct Rclunk;
}

message! {
    /// `id[4] control[4]`: asks for a descriptor of shared-memory channel `id`: its memory, or with a
    /// non-zero `control` its control socket.
    pub struct Tchannel { id: u32, control: u32 }
}

message! {
    /// `offset[8] length[8]`, with a descriptor: where in the memory the channel lies.
    pub struct Rchannel { offset: u64, length: u64 }
}

message! {
    /// `ecode[4]`: the request failed with this Linux error number, never 0.
    pub struct Rlerror { ecode: u32 }
}

impl Rlerror {
    /// Its number. No request has the number before it.
    pub const NUMBER: u8 = 7;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_string_is_taken_exactly() {
        let good: [(&[u8], u32); 7] = [
            (b"9P2000.L", 0),
            (b"9P2000.L.Google.0", 0),
            (b"9P2000.L.Google.1", 1),
            (b"9P2000.L.Google.13", 13),
            (b"9P2000.L.Google.013", 13),
            (b"9P2000.L.Google.00000000000000000014", 14),
            (b"9P2000.L.Google.4294967295", u32::MAX),
        ];
        for (string, number) in good {
            assert_eq!(Version::parse(string), Some(Version(number)), "{}", string.escape_ascii());
        }
        let bad: [&[u8]; 22] = [
            b"",
            b"9P2000",
            b"9P2000.u",
            b"9P2000.L.",
            b"9P2000.L.foo",
            b"9P2000.L.Google",
            b"9P2000.L.Google.",
            b"9P2000.L.Google.-1",
            b"9P2000.L.Google.+1",
            b"9P2000.L.Google. 1",
            b"9P2000.L.Google.1 ",
            b"9P2000.L.Google.1.",
            b"9P2000.L.Google.1.2",
            b"9P2000.L.Google.0x1",
            b"9P2000.L.Google.4294967296",
            b"9P2000.L.Google.99999999999999999999999",
            b"9P2000.L.google.1",
            b"9p2000.l",
            b"9P2000.LX",
            b"9P2000..L",
            b" 9P2000.L",
            b"9P2000.L\0",
        ];
        for string in bad {
            assert_eq!(Version::parse(string), None, "{}", string.escape_ascii());
        }
    }

    #[test]
    fn a_version_prints_as_it_is_parsed() {
        for version in [Version::BASE, Version(1), Version::HIGHEST, Version(u32::MAX)] {
            assert_eq!(Version::parse(version.to_string().as_bytes()), Some(version));
            assert_eq!(version.is_google(), version != Version::BASE);
        }
    }
}
