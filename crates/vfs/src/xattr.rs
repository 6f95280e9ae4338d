//! Extended attributes: names, and the policy that is the only way to one.

use crate::{Errno, Result};

/// The name of an extended attribute that a policy admitted: 1 to 255 bytes, no NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XattrName<'a>(&'a [u8]);

impl<'a> XattrName<'a> {
    /// The longest name Linux has (`XATTR_NAME_MAX`).
    pub const MAX: usize = 255;

    /// The bytes of the name.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Which extended attributes a client may see and set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrPolicy {
    /// None; the operations answer `EOPNOTSUPP`.
    None,
    /// The four that a gVisor sandbox keeps its Merkle tree in.
    Verity,
    /// Those of the `user.` namespace.
    #[default]
    User,
    /// Whatever the server's own rights reach.
    All,
}

impl XattrPolicy {
    /// The largest value, and the largest list of names, in bytes (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
    pub const SIZE_MAX: usize = 65_536;

    const VERITY: [&'static [u8]; 4] = [
        b"user.merkle.offset",
        b"user.merkle.size",
        b"user.merkle.childrenOffset",
        b"user.merkle.childrenSize",
    ];

    /// The name, if this policy admits it.
    ///
    /// # Errors
    /// `EINVAL` with a NUL inside and `ERANGE` for lengths that no name has (`xattr(7)`); `EOPNOTSUPP` for a
    /// name outside the policy.
    pub fn admit(self, name: &[u8]) -> Result<XattrName<'_>> {
        if name.is_empty() || name.len() > XattrName::MAX {
            return Err(Errno::ERANGE);
        }
        if name.contains(&0) {
            return Err(Errno::EINVAL);
        }
        self.admits(name).then_some(XattrName(name)).ok_or(Errno::EOPNOTSUPP)
    }

    /// Whether the name is within the policy.
    pub fn admits(self, name: &[u8]) -> bool {
        match self {
            Self::None => false,
            Self::Verity => Self::VERITY.contains(&name),
            Self::User => name.strip_prefix(b"user.").is_some_and(|rest| !rest.is_empty()),
            Self::All => true,
        }
    }

    /// Removes the names outside the policy from a NUL-terminated list of names, in place.
    pub fn filter(self, names: &mut Vec<u8>) {
        let mut kept = 0;
        let mut at = 0;
        while at < names.len() {
            let end = names[at..].iter().position(|b| *b == 0).map_or(names.len(), |n| at + n);
            let next = (end + 1).min(names.len());
            if end > at && self.admits(&names[at..end]) {
                names.copy_within(at..next, kept);
                kept += next - at;
            }
            at = next;
        }
        names.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_admits_its_names_only() {
        let names: [&[u8]; 5] =
            [b"user.a", b"user.merkle.size", b"security.selinux", b"system.posix_acl_access", b"user."];
        let admitted = |p: XattrPolicy| names.map(|n| p.admits(n));
        assert_eq!(admitted(XattrPolicy::None), [false; 5]);
        assert_eq!(admitted(XattrPolicy::Verity), [false, true, false, false, false]);
        assert_eq!(admitted(XattrPolicy::User), [true, true, false, false, false]);
        assert_eq!(admitted(XattrPolicy::All), [true; 5]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(XattrPolicy::All.admit(b""), Err(Errno::ERANGE));
        assert_eq!(XattrPolicy::All.admit(&[b'a'; 256]), Err(Errno::ERANGE));
        assert!(XattrPolicy::All.admit(&[b'a'; 255]).is_ok());
        assert_eq!(XattrPolicy::All.admit(b"user.a\0b"), Err(Errno::EINVAL));
        assert_eq!(XattrPolicy::User.admit(b"trusted.a"), Err(Errno::EOPNOTSUPP));
    }

    #[test]
    fn a_list_keeps_what_is_admitted() {
        let mut list = b"security.x\0user.a\0trusted.b\0user.bc\0".to_vec();
        XattrPolicy::User.filter(&mut list);
        assert_eq!(list, b"user.a\0user.bc\0");
        XattrPolicy::None.filter(&mut list);
        assert_eq!(list, b"");
        let mut list = b"\0user.a\0\0".to_vec();
        XattrPolicy::All.filter(&mut list);
        assert_eq!(list, b"user.a\0", "what is empty is no name");
    }
}
