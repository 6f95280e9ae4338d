//! [`Receiver`]: frames and the descriptors that come with them.

use std::mem;
use std::os::fd::OwnedFd;

use gofer_transport::frames::End;
use gofer_transport::{ClientStream, Frames, Framing};
use gofer_vfs::Errno;
use gofer_wire::p9::{HEADER, Header};

use super::slots::Frame;

/// How much memory the mere claim of a long frame gets before more of it came.
const STEP: usize = 64 * 1024;

/// The receiving half of a connection.
///
/// A descriptor belongs to the frame that begins with the byte it came with. The kernel may hand out the bytes of
/// one frame together with the start of the next and its descriptor, so where descriptors travel a header is
/// received by itself.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    frames: Frames,
    begun: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

/// Frames of 9P, as long as was agreed on.
struct Length {
    most: u32,
}

impl Framing for Length {
    const HEADER: usize = HEADER;

    fn frame_len(&self, header: &[u8]) -> Option<usize> {
        let size = Header::decode(header.first_chunk()?).size;
        (size <= self.most).then(|| usize::try_from(size).ok()).flatten().filter(|size| *size >= HEADER)
    }
}

impl Receiver {
    /// Waits for a frame of at most `most` bytes, in the memory of `spare`.
    ///
    /// # Errors
    /// [`End`]; after [`End::Quiet`] it goes on where it was.
    pub(super) fn next(
        &mut self,
        stream: &dyn ClientStream,
        most: u32,
        spare: Vec<u8>,
    ) -> Result<Frame, End> {
        let length = Length { most };
        if !stream.passes_descriptors() {
            let mut bytes = spare;
            self.frames.next(stream, &length, &mut bytes)?;
            return Ok(Frame { bytes, descriptor: None });
        }
        if self.begun.is_empty() {
            self.begun = spare;
            self.begun.clear();
        }
        while self.begun.len() < HEADER {
            self.begun.reserve(HEADER);
            let have = self.begun.len();
            let (received, descriptor) =
                stream.recv_with_descriptor(&mut self.begun, HEADER - have).map_err(lost)?;
            // Only the first byte's counts.
            if have == 0 {
                self.descriptor = descriptor;
            }
            ended(received, have)?;
        }
        let len = length.frame_len(&self.begun[..HEADER]).ok_or(End::Malformed)?;
        while self.begun.len() < len {
            let have = self.begun.len();
            let want = (len - have).min(have.max(STEP));
            self.begun.reserve_exact(want);
            let received = stream.recv(&mut self.begun, want).map_err(lost)?;
            ended(received, have)?;
        }
        Ok(Frame { bytes: mem::take(&mut self.begun), descriptor: self.descriptor.take() })
    }
}

fn lost(errno: Errno) -> End {
    if errno == Errno::EAGAIN { End::Quiet } else { End::Lost(errno) }
}

fn ended(received: usize, have: usize) -> Result<(), End> {
    match (received, have) {
        (0, 0) => Err(End::Closed),
        (0, _) => Err(End::Lost(Errno::ECONNRESET)),
        _ => Ok(()),
    }
}
