//! Mount.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use gofer_vfs::{Attr, Errno, Result};
use gofer_wire::lisafs::{Inode, MountReq, MountResp};

use super::attr::attr;
use super::fds::Held;
use super::rpc::{Operations, Rpc};
use super::{Client, Error, Node, Options};
use crate::emulated::next_number;

/// What a message has to have room for: more than the longest name and what comes with it.
pub(super) const PAYLOAD_MIN: u32 = 4096;

/// Asks for the root, then for channels.
pub(super) fn open(mut rpc: Rpc, options: &Options) -> std::result::Result<Client, Error> {
    let (root, payload_max, operations) = mount(&rpc).map_err(|errno| match rpc.ended() {
        Some(Errno::EIO) => Error::Foreign,
        Some(errno) => Error::Lost(errno),
        None if errno == Errno::ETIMEDOUT => Error::Silent(options.timeout.unwrap_or_default()),
        None => Error::Mount(errno),
    })?;
    if payload_max < PAYLOAD_MIN {
        return Err(Error::Narrow(payload_max));
    }
    rpc.agree(payload_max, operations);
    rpc.open_channels(options.channels);
    let number = next_number();
    let attr = attr(number, &root.stat).map_err(|_| Error::Foreign)?;
    let rpc = Arc::new(rpc);
    let held = Arc::new(Held::new(&rpc, root.fd).map_err(|_| Error::Foreign)?);
    // 0 is the moment at which a file was last looked at that never was.
    let set_id_epoch = AtomicU64::new(1);
    Ok(Client {
        number,
        root: Node::new(held, attr.id, attr.kind),
        rpc,
        set_id_epoch,
        appending: Default::default(),
    })
}

fn mount(rpc: &Rpc) -> Result<(Inode, u32, Operations)> {
    let answer = rpc.call(&MountReq)?;
    let MountResp { root, payload_max, numbers } = answer.body()?;
    Ok((root, payload_max, Operations::new(numbers)))
}

impl Client {
    /// The root. Clones of a node are the same place, and of the root there is nothing more to know.
    pub(crate) fn attach(&self) -> Result<(Node, Attr)> {
        Ok((self.root.clone(), self.getattr(&self.root)?))
    }
}
