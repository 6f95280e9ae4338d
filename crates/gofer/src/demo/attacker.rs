//! [`Attacker`]: a client that says what it is not to say, and keeps what became of it.

use gofer_vfs::{Errno, Name};
use gofer_wire::p9::*;
use gofer_wire::{Str, Wire};

use super::sample::{SECRET, Sample};
use crate::bench::{Client, Failed, Names, ROOT, Server};

/// What became of something that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was refused.
    Refused(Errno),
    /// A walk of several names ended before the last.
    Short,
    /// The connection was ended.
    CutOff,
    /// It was done.
    Through(&'static str),
}

/// A hostile client on a connection of its own.
pub(super) struct Attacker<'a> {
    server: &'a Server,
    version: Version,
    client: Client,
    secret_inode: Option<u64>,
    fids: u32,
    pub(super) tried: Vec<Outcome>,
}

impl<'a> Attacker<'a> {
    pub(super) fn new(server: &'a Server, version: Version, sample: &Sample) -> Result<Self, Failed> {
        let client = server.attach(version)?;
        let secret_inode = sample.secret_inode();
        Ok(Self { server, version, client, secret_inode, fids: ROOT.0, tried: Vec::new() })
    }

    /// A new connection in place of one that was cut off.
    pub(super) fn reconnect(&mut self) -> Result<(), Failed> {
        self.client = self.server.attach(self.version)?;
        Ok(())
    }

    /// A fid that stands for nothing.
    pub(super) fn fid(&mut self) -> Fid {
        self.fids += 1;
        Fid(self.fids)
    }

    /// A fid for a file that may be walked to.
    pub(super) fn at(&mut self, path: &[&str]) -> Result<Fid, Failed> {
        let fid = self.fid();
        self.client.walk(ROOT, fid, &Names::new(path)).map(|()| fid)
    }

    /// A file that may be opened.
    pub(super) fn open(&mut self, path: &[&str]) -> Result<Fid, Failed> {
        let fid = self.at(path)?;
        self.client.ask(Tlopen { fid, flags: OpenBits::RDONLY }.into()).map(|_| fid)
    }

    /// The bytes of a small file that may be read.
    pub(super) fn content(&mut self, path: &[&str]) -> Result<Vec<u8>, Failed> {
        let fid = self.open(path)?;
        let content = match self.client.ask(Tread { fid, offset: 0, count: 4096 }.into())? {
            Reply::Read(Rread { data }) => data.0.to_vec(),
            _ => Vec::new(),
        };
        self.client.ask(Tclunk { fid }.into()).map(|_| content)
    }

    /// The connection as it is.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Notes what became of something.
    pub(super) fn note(&mut self, outcome: Outcome) {
        self.tried.push(outcome);
    }

    /// Tries to walk to a file that not everybody may walk to. With a fid of it there is more to try.
    pub(super) fn try_at(&mut self, path: &[&str]) -> Result<Option<Fid>, Failed> {
        match self.at(path) {
            Ok(fid) => Ok(Some(fid)),
            Err(Failed::Refused(_, errno)) => {
                self.note(Outcome::Refused(errno));
                Ok(None)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Tries a request.
    pub(super) fn ask<'r>(&mut self, request: impl Into<Request<'r>>) {
        let request = request.into();
        let answer = self.client.ask(request);
        let outcome = match (&request, answer) {
            (Request::Walk(t), Ok(Reply::Walk(r)))
                if r.qids.len() < t.names.len()
                    && !r.qids.iter().any(|qid| self.secret_inode == Some(qid.path)) =>
            {
                Outcome::Short
            }
            (_, answer) => outcome(request.name(), &answer),
        };
        self.conclude(outcome);
    }

    /// Tries the request with this name in place of the one it has, whatever the name.
    pub(super) fn ask_with_name(&mut self, request: &Request<'_>, name: &[u8]) {
        self.send(request.name(), &forged(request, name));
    }

    /// Tries a frame as it is.
    pub(super) fn send(&mut self, what: &'static str, frame: &[u8]) {
        let answer = self.client.ask_raw(frame);
        let outcome = outcome(what, &answer);
        self.conclude(outcome);
    }

    /// Whatever the answer is called, the secret is not to be in it.
    fn conclude(&mut self, outcome: Outcome) {
        let frame = if outcome == Outcome::CutOff { &[][..] } else { self.client.frame() };
        let told = frame.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes());
        self.note(if told { Outcome::Through("the secret") } else { outcome });
    }

    /// Whether the server still answers here.
    pub(super) fn is_connected(&mut self) -> bool {
        self.client.ask(Tgetattr { fid: ROOT, mask: GetattrMask::BASIC }.into()).is_ok()
    }
}

fn outcome(what: &'static str, answer: &Result<Reply<'_>, Failed>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Through(what),
        Err(Failed::Refused(_, errno)) => Outcome::Refused(*errno),
        Err(Failed::Lost(_)) => Outcome::CutOff,
    }
}

/// Stands in a request for a name that no [`Name`] can be made of.
const STAND_IN: &str = "@stand-in@";

/// The name to be replaced by [`forged`], as a walk has it.
pub(super) fn stand_in_names(before: &[&str]) -> Names {
    Names::new(&[before, &[STAND_IN]].concat())
}

/// The name to be replaced by [`forged`].
pub(super) fn stand_in() -> Name<'static> {
    Name::new(STAND_IN.as_bytes()).expect("a short name without a slash")
}

/// The frame of a request, with another name where it has the one that stands in.
fn forged(request: &Request<'_>, name: &[u8]) -> Vec<u8> {
    let string = |text: &[u8]| {
        let mut bytes = Vec::new();
        Str::new(text).unwrap_or_default().encode(&mut bytes);
        bytes
    };
    let mut frame = Vec::new();
    request.encode(Tag(0), &mut frame);
    let old = string(STAND_IN.as_bytes());
    if let Some(at) = frame.windows(old.len()).position(|bytes| bytes == old) {
        frame.splice(at..at + old.len(), string(name));
    }
    let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&size.to_le_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_request_differs_in_its_name_alone() {
        let unlink = |name| Tunlinkat { dfid: Fid(7), name, flags: 3 }.into();
        let mut real = Vec::new();
        Request::encode(&unlink(Name::new(b"x").unwrap()), Tag(0), &mut real);
        assert_eq!(forged(&unlink(stand_in()), b"x"), real);
        let up = forged(&unlink(stand_in()), b"..");
        assert_eq!(up[0], real[0] + 1);
        assert!(up.windows(4).any(|bytes| bytes == b"\x02\0.."));
    }
}
