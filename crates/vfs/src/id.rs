//! User and group ids: as a peer names them, as the host does, and the only way from one to the other.

/// The number that means "none" in every protocol and system call (`chown(2)`: −1, leave unchanged).
const NONE: u32 = u32::MAX;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(pub u32);
    )* };
}

ids! {
    /// A user id as the peer speaks of it.
    PeerUid
    /// A group id as the peer speaks of it.
    PeerGid
    /// A user id of the host.
    Uid
    /// A group id of the host.
    Gid
}

impl PeerUid {
    /// "Do not set", "unknown".
    pub const NONE: Self = Self(NONE);
}

impl PeerGid {
    /// "Do not set", "unknown".
    pub const NONE: Self = Self(NONE);
}

/// A user and a group of the host that something is done as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: Uid,
    /// The group.
    pub gid: Gid,
}

/// Who shall own something, in host ids. `None` leaves it to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: Option<Uid>,
    /// The group.
    pub gid: Option<Gid>,
}

/// How a peer's ids become the host's and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdMap {
    /// The same numbers on both sides: for a server with the right to give files away.
    #[default]
    Identity,
    /// Whoever asks, the host sees one user and group: for a server without that right.
    Squash(Uid, Gid),
}

impl IdMap {
    /// The host's user for a peer's; `None` where the peer named none.
    pub fn uid(self, peer: PeerUid) -> Option<Uid> {
        (peer != PeerUid::NONE).then_some(match self {
            Self::Identity => Uid(peer.0),
            Self::Squash(uid, _) => uid,
        })
    }

    /// The host's group for a peer's; `None` where the peer named none.
    pub fn gid(self, peer: PeerGid) -> Option<Gid> {
        (peer != PeerGid::NONE).then_some(match self {
            Self::Identity => Gid(peer.0),
            Self::Squash(_, gid) => gid,
        })
    }

    /// The owner of something new, from the ids a peer sent.
    pub fn owner(self, uid: PeerUid, gid: PeerGid) -> Owner {
        Owner { uid: self.uid(uid), gid: self.gid(gid) }
    }

    /// A host user as the peer shall see it. Both maps show the host's numbers.
    pub fn peer_uid(self, host: Uid) -> PeerUid {
        PeerUid(host.0)
    }

    /// A host group as the peer shall see it. Both maps show the host's numbers.
    pub fn peer_gid(self, host: Gid) -> PeerGid {
        PeerGid(host.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_maps_to_no_id() {
        for map in [IdMap::Identity, IdMap::Squash(Uid(7), Gid(8))] {
            assert_eq!(map.owner(PeerUid::NONE, PeerGid::NONE), Owner::default());
        }
        assert_eq!(IdMap::Identity.uid(PeerUid(0)), Some(Uid(0)));
        assert_eq!(IdMap::Squash(Uid(7), Gid(8)).gid(PeerGid(0)), Some(Gid(8)));
        let owner = IdMap::Identity.owner(PeerUid(1), PeerGid(2));
        assert_eq!(owner, Owner { uid: Some(Uid(1)), gid: Some(Gid(2)) });
    }
}
