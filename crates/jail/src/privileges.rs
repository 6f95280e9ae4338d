//! Step 5: no program that is started gains rights, and no process of the same user looks into the memory; what was
//! data does not become code; and the keys of the session that the process was started in, which may open what the
//! user keeps secret, are out of reach.

use gofer_sys::process;
use gofer_vfs::Errno;

use crate::{Error, Layer, Strength};

pub(crate) fn give_up() -> Result<(), Error> {
    process::forbid_new_privileges()
        .and_then(|()| process::hide_memory())
        .map_err(|errno| Error::new(Layer::Privileges, "prctl(2)", errno, "allow it"))?;
    process::leave_keyring().map(drop).map_err(|errno| {
        Error::new(
            Layer::Privileges,
            "leaving the session's keyring (keyctl)",
            errno,
            "let this user have one more key (kernel.keys.maxkeys)",
        )
    })
}

pub(crate) fn refuse_new_code() -> Result<(), Error> {
    process::refuse_new_code().map_err(|errno: Errno| {
        Error::new(
            Layer::Privileges,
            "letting no data become code (PR_SET_MDWE)",
            errno,
            "use Linux 6.3 or later",
        )
        .or(Strength::Auto)
    })
}
