//! [`Receiver`]: frames and the descriptors that come with them.

use std::mem;

use gofer_transport::frames::End;
use gofer_transport::{ClientStream, Descriptors, Frames, Framing};
use gofer_vfs::Errno;

use super::Frame;

/// How much memory the mere claim of a long frame gets before more of it came.
const STEP: usize = 64 * 1024;

/// The receiving half of a connection.
///
/// Descriptors belong to the frame that begins with the byte they came with. The kernel may hand out the bytes of
/// one frame together with the start of the next and its descriptors, so where descriptors travel a header is
/// received by itself.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    frames: Frames,
    begun: Vec<u8>,
    descriptors: Descriptors,
}

impl Receiver {
    /// Waits for a frame, in the memory of `spare`.
    ///
    /// # Errors
    /// [`End`]; after [`End::Quiet`] it goes on where it was.
    pub(crate) fn next<F: Framing>(
        &mut self,
        stream: &dyn ClientStream,
        framing: &F,
        spare: Vec<u8>,
    ) -> Result<Frame, End> {
        if !stream.passes_descriptors() {
            let mut bytes = spare;
            self.frames.next(stream, framing, &mut bytes)?;
            return Ok(Frame { bytes, descriptors: Descriptors::default() });
        }
        if self.begun.is_empty() {
            self.begun = spare;
            self.begun.clear();
        }
        while self.begun.len() < F::HEADER {
            self.begun.reserve(F::HEADER);
            let have = self.begun.len();
            let (received, descriptors) =
                stream.recv_with_descriptors(&mut self.begun, F::HEADER - have).map_err(lost)?;
            // Only the first byte's count.
            if have == 0 {
                self.descriptors = descriptors;
            }
            ended(received, have)?;
        }
        let len = framing.frame_len(&self.begun[..F::HEADER]).ok_or(End::Malformed)?;
        while self.begun.len() < len {
            let have = self.begun.len();
            let want = (len - have).min(have.max(STEP));
            self.begun.reserve_exact(want);
            let received = stream.recv(&mut self.begun, want).map_err(lost)?;
            ended(received, have)?;
        }
        Ok(Frame { bytes: mem::take(&mut self.begun), descriptors: mem::take(&mut self.descriptors) })
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
