//! Extended attributes by name, which both protocols have alike.

use gofer_vfs::{Backend, Errno, Result, XattrFlags, XattrPolicy};
use gofer_wire::codec::{List, ListBuf, Str};

/// The flags of `setxattr(2)`.
const CREATE: u32 = 1;
const REPLACE: u32 = 2;

/// What is expected of an older value.
///
/// # Errors
/// `EINVAL` for flags without a meaning.
pub(crate) fn flags(bits: u32) -> Result<XattrFlags> {
    match bits {
        0 => Ok(XattrFlags::Any),
        CREATE => Ok(XattrFlags::Create),
        REPLACE => Ok(XattrFlags::Replace),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether `len` bytes fit what the client has room for, where it says so.
///
/// # Errors
/// `ERANGE` where they do not.
pub(crate) fn within(len: usize, size: u64) -> Result<()> {
    if size != 0 && len as u64 > size { Err(Errno::ERANGE) } else { Ok(()) }
}

/// Appends the names that the policy admits, each with a NUL behind it.
///
/// # Errors
/// `EOPNOTSUPP` where it admits none; the backend's.
pub(crate) fn names<B: Backend>(
    backend: &B,
    node: &B::Node,
    policy: XattrPolicy,
    into: &mut Vec<u8>,
) -> Result<()> {
    if policy == XattrPolicy::None {
        return Err(Errno::EOPNOTSUPP);
    }
    backend.listxattr(node, into)?;
    policy.filter(into);
    Ok(())
}

/// The same as a list of strings in `scratch`, at most `size` bytes of names.
///
/// # Errors
/// As [`names`]; `ERANGE` where there is more.
pub(crate) fn list<'b, B: Backend>(
    backend: &B,
    node: &B::Node,
    policy: XattrPolicy,
    size: u64,
    scratch: &'b mut Vec<u8>,
) -> Result<List<'b, Str<'b>>> {
    let mut all = Vec::new();
    names(backend, node, policy, &mut all)?;
    within(all.len(), size)?;
    let mut list = ListBuf::new(scratch);
    for name in all.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        if !Str::new(name).is_some_and(|name| list.push_str(name)) {
            return Err(Errno::ERANGE);
        }
    }
    Ok(list.finish())
}
