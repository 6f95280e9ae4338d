//! Step 5: no program that is started gains rights, and no process of the same user looks into the memory.

use gofer_sys::process;

use crate::{Error, Layer};

pub(crate) fn give_up() -> Result<(), Error> {
    process::forbid_new_privileges()
        .and_then(|()| process::hide_memory())
        .map_err(|errno| Error::new(Layer::Privileges, "prctl(2)", errno, "allow it"))
}
