//! Step 1: descriptors that came with the process. Whoever started it may have left some open by mistake, and a
//! directory among them would be a way out of everything that follows.

use gofer_sys::process;

use crate::{Error, Layer};

pub(crate) fn close() -> Result<usize, Error> {
    process::close_inherited().map_err(|errno| {
        Error::new(
            Layer::Descriptors,
            "looking for inherited descriptors in /proc/self/fd",
            errno,
            "mount procfs at /proc and have a /dev/null",
        )
    })
}
