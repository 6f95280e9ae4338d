//! A client of a few bytes.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(crate) const TVERSION: u8 = 100;
pub(crate) const TATTACH: u8 = 104;
pub(crate) const TGETATTR: u8 = 24;
pub(crate) const TMKDIR: u8 = 72;

const RLERROR: u8 = 7;
const NOFID: u32 = u32::MAX;

/// A 9P connection.
pub(crate) struct Peer<S>(pub(crate) S);

impl Peer<UnixStream> {
    /// Connects to a unix socket and agrees on a version.
    pub(crate) fn at(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).unwrap())
    }
}

impl<S: Read + Write> Peer<S> {
    /// Agrees on a version over a connected stream.
    pub(crate) fn over(stream: S) -> Self {
        let mut peer = Self(stream);
        peer.version().unwrap();
        peer
    }

    /// Asks for the version; an error where there is no server.
    pub(crate) fn version(&mut self) -> io::Result<()> {
        let mut body = 8192_u32.to_le_bytes().to_vec();
        body.extend(string(b"9P2000.L"));
        let answer = self.call(TVERSION, &body)?.unwrap();
        assert!(answer.ends_with(b"9P2000.L"), "{answer:?}");
        Ok(())
    }

    /// Attaches fid 0; the errno where that fails.
    pub(crate) fn attach(&mut self, aname: &str) -> Result<(), u32> {
        let mut body = [0_u32.to_le_bytes(), NOFID.to_le_bytes()].concat();
        body.extend(string(b"me"));
        body.extend(string(aname.as_bytes()));
        body.extend(0_u32.to_le_bytes());
        self.call(TATTACH, &body).unwrap().map(drop)
    }

    /// Makes a directory below fid 0; the errno where that fails.
    pub(crate) fn mkdir(&mut self, name: &str) -> Result<(), u32> {
        let mut body = 0_u32.to_le_bytes().to_vec();
        body.extend(string(name.as_bytes()));
        body.extend([0o755_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat());
        self.call(TMKDIR, &body).unwrap().map(drop)
    }

    /// Sends a request and waits for its answer: its body, or the errno.
    fn call(&mut self, kind: u8, body: &[u8]) -> io::Result<Result<Vec<u8>, u32>> {
        self.0.write_all(&message(kind, body))?;
        let mut head = [0; 7];
        self.0.read_exact(&mut head)?;
        let size = u32::from_le_bytes(head[..4].try_into().unwrap());
        let mut answer = vec![0; usize::try_from(size).unwrap() - head.len()];
        self.0.read_exact(&mut answer)?;
        Ok(match head[4] {
            RLERROR => Err(u32::from_le_bytes(answer[..].try_into().unwrap())),
            answered => {
                assert_eq!(answered, kind + 1);
                Ok(answer)
            }
        })
    }
}

/// A message: size, type, tag 0 and body.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(7 + body.len()).unwrap();
    let tag: u16 = if kind == TVERSION { u16::MAX } else { 0 };
    [&size.to_le_bytes()[..], &[kind], &tag.to_le_bytes(), body].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    [&len.to_le_bytes()[..], bytes].concat()
}
