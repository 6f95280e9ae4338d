//! [`Frames`]: a stream cut into frames.

use std::mem;

use gofer_vfs::Errno;

use crate::Stream;

/// How to find the end of a frame: given by the protocol.
pub trait Framing {
    /// How many bytes at the front of a frame tell its length.
    const HEADER: usize;

    /// The length of the whole frame, header included, from a slice of exactly `HEADER` bytes; `None` when
    /// no frame starts so or it is longer than the peer was allowed to send.
    fn frame_len(&self, header: &[u8]) -> Option<usize>;

    /// How many bytes behind the frame, which is its header alone then, are received and dropped: the rest of a
    /// frame that is too long to be kept and yet gets an answer.
    fn dropped_len(&self, _header: &[u8]) -> usize {
        0
    }
}

/// How much is received at once in the beginning: a connection that says little is to hold little.
const LITTLE: usize = 1024;

/// How much at most when nothing is known of what comes. Where as much came as was asked for, eight times as much is
/// asked for the next time.
const CHUNK: usize = 32 * 1024;

/// How much memory the mere claim of a long frame gets before more of it came.
const STEP: usize = 64 * 1024;

/// The receiving half of a stream.
///
/// The bytes of a large frame are received into the buffer that leaves with it. Whatever is copied, a small frame or
/// what came behind a large one in the same call, is never more than a chunk.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that have left.
    taken: usize,
    /// How many more to drop before the next frame.
    dropping: usize,
    chunk: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { buffer: Vec::new(), taken: 0, dropping: 0, chunk: LITTLE }
    }
}

/// Why there is no next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed the stream between two frames.
    Closed,
    /// The stream ended within a frame, or failed.
    Lost(Errno),
    /// What came is no frame.
    Malformed,
    /// Nothing has come for as long as the stream was told to wait. Not the end: there may be a next frame.
    Quiet,
}

impl Frames {
    /// Waits for a frame and puts it into `frame`, whose old content is dropped and whose memory is used
    /// again.
    ///
    /// Memory grows with the bytes that came, not with the length they claim.
    ///
    /// # Errors
    /// [`End`], after which, except for [`End::Quiet`], there are no more frames.
    pub fn next<S: Stream + ?Sized, F: Framing>(
        &mut self,
        stream: &S,
        framing: &F,
        frame: &mut Vec<u8>,
    ) -> Result<(), End> {
        self.drop_rest(stream)?;
        let len = loop {
            match self.announced(framing)? {
                Some(len) if self.buffer.len() - self.taken >= len => break len,
                announced => self.receive(stream, announced)?,
            }
        };
        let end = self.taken + len;
        let behind = &self.buffer[end..];
        frame.clear();
        if self.taken == 0 && behind.len() < len {
            frame.extend_from_slice(behind);
            mem::swap(frame, &mut self.buffer);
            frame.truncate(len);
        } else {
            frame.extend_from_slice(&self.buffer[self.taken..end]);
            self.taken = end;
        }
        self.dropping = framing.dropped_len(&frame[..F::HEADER]);
        Ok(())
    }

    /// Whether [`next`](Self::next) has a frame without receiving anything.
    pub fn has_next(&self, framing: &impl Framing) -> bool {
        self.dropping == 0
            && matches!(self.announced(framing), Ok(Some(len)) if self.buffer.len() - self.taken >= len)
    }

    /// Drops what is left of the frame before.
    fn drop_rest<S: Stream + ?Sized>(&mut self, stream: &S) -> Result<(), End> {
        while self.dropping > 0 {
            if self.taken == self.buffer.len() {
                self.receive(stream, None)?;
            }
            let dropped = self.dropping.min(self.buffer.len() - self.taken);
            self.taken += dropped;
            self.dropping -= dropped;
        }
        Ok(())
    }

    /// Whether this holds more than `limit` bytes of memory.
    pub fn is_larger_than(&self, limit: usize) -> bool {
        self.buffer.capacity() > limit
    }

    /// Gives back the memory beyond `limit` bytes that holds nothing.
    pub fn shrink_to(&mut self, limit: usize) {
        self.buffer.shrink_to(limit);
    }

    /// The length that the frame at the front claims, once its header is here.
    fn announced<F: Framing>(&self, framing: &F) -> Result<Option<usize>, End> {
        match self.buffer[self.taken..].get(..F::HEADER) {
            None => Ok(None),
            Some(header) => {
                framing.frame_len(header).filter(|len| *len >= F::HEADER).map(Some).ok_or(End::Malformed)
            }
        }
    }

    fn receive<S: Stream + ?Sized>(&mut self, stream: &S, announced: Option<usize>) -> Result<(), End> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let have = self.buffer.len();
        let ahead = self.chunk.saturating_sub(have);
        // Beyond the first chunk only what belongs to this frame is received; at most a step or as much
        // again as is here, unless the memory for more is there anyway.
        let want = announced.map_or(ahead, |len| {
            let spare = self.buffer.capacity() - have;
            (len - have).min(spare.max(have).max(STEP)).max(ahead)
        });
        self.buffer.reserve_exact(want);
        match stream.recv(&mut self.buffer, want) {
            Ok(0) if have == 0 => Err(End::Closed),
            Ok(0) => Err(End::Lost(Errno::ECONNRESET)),
            Ok(n) => {
                if n == want {
                    self.chunk = (self.chunk * 8).min(CHUNK);
                }
                Ok(())
            }
            Err(Errno::EAGAIN) => Err(End::Quiet),
            Err(errno) => Err(End::Lost(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;

    /// Two bytes of length, big endian, counting themselves.
    struct Short;

    impl Framing for Short {
        const HEADER: usize = 2;

        fn frame_len(&self, header: &[u8]) -> Option<usize> {
            Some(usize::from(header[0]) << 8 | usize::from(header[1])).filter(|len| *len <= 60_000)
        }
    }

    fn frame(len: u16) -> Vec<u8> {
        let mut frame = len.to_be_bytes().to_vec();
        frame.resize(len.into(), len.to_le_bytes()[0]);
        frame
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_split() {
        for split in [1, 2, 3, 100, 8192, 70_000] {
            let (a, b) = memory::pair();
            let lens = [2, 3, 500, 8191, 8192, 8193, 2, 60_000, 7, 20_000];
            let bytes: Vec<u8> = lens.into_iter().flat_map(frame).collect();
            let sender = std::thread::spawn(move || {
                for part in bytes.chunks(split) {
                    a.send(part, b"", &[]).unwrap();
                }
            });
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for len in lens {
                let here = |frames: &Frames| frames.buffer.len() - frames.taken;
                let was_there = frames.has_next(&Short).then_some(here(&frames));
                frames.next(&b, &Short, &mut got).unwrap();
                assert!(got == frame(len), "{len} in parts of {split}");
                let left = was_there.map(|had| had - usize::from(len));
                assert!(left.is_none_or(|left| left == here(&frames)), "nothing more was received");
            }
            sender.join().unwrap();
            assert_eq!(frames.next(&b, &Short, &mut got), Err(End::Closed));
        }
    }

    /// As [`Short`], but of a frame of more than 100 bytes the header alone is kept.
    struct Curt;

    impl Framing for Curt {
        const HEADER: usize = 2;

        fn frame_len(&self, header: &[u8]) -> Option<usize> {
            Short.frame_len(header).map(|len| if len > 100 { 2 } else { len })
        }

        fn dropped_len(&self, header: &[u8]) -> usize {
            Short.frame_len(header).filter(|len| *len > 100).map_or(0, |len| len - 2)
        }
    }

    #[test]
    fn the_rest_of_a_frame_that_is_too_long_is_dropped() {
        for split in [1, 3, 100, 70_000] {
            let (a, b) = memory::pair();
            let lens = [5, 101, 100, 60_000, 60_000, 2];
            let bytes: Vec<u8> = lens.into_iter().flat_map(frame).collect();
            let sender = std::thread::spawn(move || {
                for part in bytes.chunks(split) {
                    a.send(part, b"", &[]).unwrap();
                }
            });
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for len in lens {
                frames.next(&b, &Curt, &mut got).unwrap();
                let kept = if len > 100 { 2 } else { usize::from(len) };
                assert!(got == frame(len)[..kept], "{len} in parts of {split}");
                assert!(frames.buffer.capacity() <= CHUNK, "{len} in parts of {split}");
            }
            sender.join().unwrap();
            assert_eq!(frames.next(&b, &Curt, &mut got), Err(End::Closed));
        }
    }

    #[test]
    fn a_lie_costs_the_connection_and_no_memory() {
        for (bytes, end) in [
            (&[0, 0][..], End::Malformed),
            (&[0, 1], End::Malformed),
            (&[0xff, 0xff], End::Malformed),
            (&[0xea, 0x60, 1], End::Lost(Errno::ECONNRESET)),
            (&[1], End::Lost(Errno::ECONNRESET)),
        ] {
            let (a, b) = memory::pair();
            a.send(bytes, b"", &[]).unwrap();
            drop(a);
            let mut frames = Frames::default();
            assert_eq!(frames.next(&b, &Short, &mut Vec::new()), Err(end), "{bytes:?}");
            assert!(frames.buffer.capacity() <= LITTLE + STEP);
        }
    }
}
