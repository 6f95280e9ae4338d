//! Mount, Close. What remains of the family, Channel, is in `channels.rs`.

use gofer_vfs::{Attr, Backend, Result, XattrPolicy};
use gofer_wire::codec::ListBuf;
use gofer_wire::lisafs::{
    ChannelReq, CloseReq, Done, FGetXattrReq, FListXattrReq, FRemoveXattrReq, FSetXattrReq, FlushReq, Inode,
    MountReq, MountResp, NUMBERS, Operation, PAYLOAD_MAX,
};

use super::attr::statx;
use super::fds::{Entry, Place};
use super::{Answer, Cx, Session};

impl<B: Backend> Session<B> {
    pub(super) fn mount<'b>(&self, _: MountReq, cx: Cx<'b>) -> Result<Answer<MountResp<'b>>> {
        let (node, attr) = self.backend().attach()?;
        let descriptor = if self.settings.donates_root && self.donates {
            Some(self.backend().donate_root()?)
        } else {
            None
        };
        let root = self.hold(Place { node, kind: attr.kind, is_root: true }, &attr)?;
        let mut numbers = ListBuf::new(cx.scratch);
        for number in NUMBERS.iter().filter(|number| self.offers(**number)) {
            numbers.push(number);
        }
        let reply = MountResp { root, payload_max: PAYLOAD_MAX, numbers: numbers.finish() };
        Ok(Answer::with(reply, descriptor))
    }

    /// Whether an operation is listed. What is not, a client does without asking for it.
    fn offers(&self, number: u16) -> bool {
        match number {
            // A round trip for each close, which finds out something on few file systems.
            FlushReq::NUMBER => false,
            ChannelReq::NUMBER => self.donates,
            FGetXattrReq::NUMBER | FSetXattrReq::NUMBER | FListXattrReq::NUMBER | FRemoveXattrReq::NUMBER => {
                self.policy().xattr != XattrPolicy::None
            }
            _ => true,
        }
    }

    /// Gives a place a number.
    pub(super) fn hold(&self, place: Place<B>, attr: &Attr) -> Result<Inode> {
        let [fd] = self.fds.numbers()?.give([Entry::Place(place)]);
        Ok(Inode { fd, stat: statx(attr, self.policy().ids) })
    }

    /// Takes numbers out of use. None that is in use is kept because of one that is not.
    pub(super) fn close(&self, t: CloseReq<'_>, _: Cx<'_>) -> Result<Done> {
        for fd in t.fds {
            if let Err(errno) = self.fds.remove(fd) {
                tracing::debug!(fd = fd.0, %errno, "nothing to close");
            }
        }
        Ok(Done)
    }
}
