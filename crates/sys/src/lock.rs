//! Byte-range locks that belong to an open file description (`fcntl(2)`, "Open file description locks").

use std::ffi::c_int;
use std::os::fd::BorrowedFd;

use gofer_vfs::{Errno, Lock, LockHolder, LockKind, Result};

use crate::seccomp::{Arg, Call, Is, syscall};
use crate::{libc_call, raw};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_OFD_SETLK.cast_unsigned()))]),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_OFD_GETLK.cast_unsigned()))]),
];

/// The number of file offsets that Linux has.
const OFFSETS: u64 = 1 << 63;

/// Takes or releases a lock, without waiting: `false` says that another's is in the way.
///
/// # Errors
/// Those of `fcntl(2)`: `EBADF` when the description does not have the access that the lock needs; `EINVAL`
/// for a range that reaches beyond 2⁶³.
pub fn set(file: BorrowedFd<'_>, lock: Lock) -> Result<bool> {
    match control(file, libc::F_OFD_SETLK, &mut raw_lock(lock)?) {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A lock of another description that would be in the way.
///
/// # Errors
/// As for [`set`]; `EINVAL` when asked about an unlock.
pub fn get(file: BorrowedFd<'_>, lock: Lock) -> Result<Option<LockHolder>> {
    let mut found = raw_lock(lock)?;
    control(file, libc::F_OFD_GETLK, &mut found)?;
    let kind = match c_int::from(found.l_type) {
        libc::F_RDLCK => LockKind::Shared,
        libc::F_WRLCK => LockKind::Exclusive,
        _ => return Ok(None),
    };
    let word = |word: i64| u64::try_from(word).map_err(|_| Errno::EIO);
    let lock = Lock { kind, start: word(found.l_start)?, length: word(found.l_len)? };
    // -1 stands for a description, which has no process.
    Ok(Some(LockHolder { lock, pid: u32::try_from(found.l_pid).unwrap_or(0) }))
}

fn raw_lock(lock: Lock) -> Result<libc::flock64> {
    let end = lock.start.checked_add(lock.length).filter(|end| *end <= OFFSETS).ok_or(Errno::EINVAL)?;
    // What ends at the last offset there is goes "to the end of the file".
    let length = if end == OFFSETS { 0 } else { lock.length };
    let kind = match lock.kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
        LockKind::Unlock => libc::F_UNLCK,
    };
    let word = |word: u64| i64::try_from(word).map_err(|_| Errno::EINVAL);
    // SAFETY: all fields are integers, for which zeros are a value.
    let mut raw: libc::flock64 = unsafe { std::mem::zeroed() };
    raw.l_type = i16::try_from(kind).map_err(|_| Errno::EINVAL)?;
    raw.l_whence = 0;
    raw.l_start = word(lock.start)?;
    raw.l_len = word(length)?;
    Ok(raw)
}

fn control(file: BorrowedFd<'_>, command: c_int, lock: &mut libc::flock64) -> Result<()> {
    libc_call(|| {
        // SAFETY: both commands take a pointer to a `flock64`, which is borrowed for writing.
        let answer = unsafe { libc::fcntl(raw(&file), command, std::ptr::from_mut(lock)) };
        answer.into()
    })
    .map(drop)
}
