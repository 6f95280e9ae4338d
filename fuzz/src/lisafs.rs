//! [`Conversation`]: a lisafs session that is asked, and whose every answer is checked.

use std::os::fd::OwnedFd;

use gofer_server::lisafs::{Session, Settings};
use gofer_server::{Buffers, Export, Extra, Outcome};
use gofer_vfs::{Access, Backend, ReadOnly};
use gofer_wire::lisafs::*;
use gofer_wire::{DecodeError, Reader, Wire};

use crate::conversation::How;

/// A session by itself.
pub struct Conversation<B: Backend> {
    /// The session.
    pub session: Session<Access<B>>,
    buffers: Buffers,
}

/// What a request comes to.
#[derive(Debug)]
pub struct Answer {
    /// The whole frame.
    pub frame: Vec<u8>,
    /// What goes with it.
    pub descriptors: Vec<OwnedFd>,
}

impl<B: Backend> Conversation<B> {
    /// A session over a tree. The root is not donated: it would be a way out.
    pub fn new(tree: B, how: How) -> Self {
        let backend =
            if how.is_read_only() { Access::ReadOnly(ReadOnly(tree)) } else { Access::ReadWrite(tree) };
        let export = Export { name: None, backend, policy: how.policy() };
        let session = Session::alone(export, &how.limits(), !how.has(7), Settings::default());
        Self { session, buffers: Buffers::default() }
    }

    /// Asks with a frame that is as long as it says, or cut short. `None` when the connection is over.
    pub fn ask(&mut self, frame: &[u8]) -> Option<Answer> {
        let (frame, extra) = match self.session.handle(frame, &mut self.buffers) {
            Outcome::Reply { head, payload, extra, .. } => ([head, payload].concat(), extra),
            Outcome::Later => panic!("nothing is in flight that could be waited for"),
            Outcome::Violation(_) => return None,
        };
        let descriptors = match extra {
            Extra::None => Vec::new(),
            Extra::Pages(_) => panic!("only a connection takes pages"),
            Extra::One(one) => vec![one],
            Extra::Kept(one) => vec![one.try_clone().expect("another descriptor")],
            Extra::Two(two) => two.into(),
        };
        Some(Answer { frame, descriptors })
    }

    /// As [`ask`](Self::ask), and checks the answer.
    pub fn ask_and_check(&mut self, asked: &[u8]) -> Option<Answer> {
        let answer = self.ask(asked)?;
        let header = Header::decode(answer.frame.first_chunk().expect("a reply has a header"));
        let payload = &answer.frame[HEADER..];
        assert_eq!(header.length as usize, payload.len());
        assert!(header.length <= PAYLOAD_MAX, "a reply of {} bytes", payload.len());
        if header.number == Failure::NUMBER {
            let Failure { errno } = whole(payload).expect("a failure is one to the byte");
            assert!(matches!(errno, 1..=40 | 42..=57 | 59..=133), "a failure with errno {errno}");
            assert!(answer.descriptors.is_empty());
            return Some(answer);
        }
        assert_eq!(header.number, Header::decode(asked.first_chunk().expect("it was answered")).number);
        assert!(is_reply(header.number, payload), "bytes that belong to no field: {}", header.number);
        Some(answer)
    }
}

/// Whether bytes are the reply to a request with this number, one to the byte.
pub fn is_reply(number: u16, payload: &[u8]) -> bool {
    macro_rules! replies {
        ($($number:literal $effect:ident $variant:ident $name:ident: $request:ident $(<$a:lifetime>)? => $reply:ident $(<$b:lifetime>)?;)*) => {
            match number {
                $($number => whole::<$reply>(payload).is_ok(),)*
                _ => false,
            }
        };
    }
    gofer_wire::lisafs_operations!(replies)
}

/// A message that has no byte more.
fn whole<'a, M: Wire<'a>>(bytes: &'a [u8]) -> Result<M, DecodeError> {
    let message = M::decode(&mut Reader::new(bytes))?;
    let mut again = Vec::new();
    message.encode(&mut again);
    again.extend_from_slice(message.payload());
    if again == bytes { Ok(message) } else { Err(DecodeError::Truncated) }
}
