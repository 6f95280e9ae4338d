//! Extended attributes, of files of every kind.
//!
//! None of the calls takes a place (`O_PATH`) by its descriptor. They find it by its entry in
//! `/proc/self/fd`, relative to the kept descriptor where the kernel has the `*xattrat` calls (Linux 6.13),
//! else from a thread that is there. An entry is followed to the file itself: what it leads to may be a
//! symbolic link, and then it is the link's attributes that are meant.

use std::ffi::{CStr, c_int, c_long};
use std::os::fd::{AsFd, BorrowedFd};

use gofer_vfs::{Errno, Result, XattrFlags, XattrName, XattrPolicy};
use rustix::path::DecInt;

use crate::open::ProcFd;
use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{call, libc_call, raw};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(getxattrat).only(&[Arg(0, Is::ProcFd), Arg(2, Is::Equal(0))]).with(Need::Xattr),
    syscall!(listxattrat).only(&[Arg(0, Is::ProcFd), Arg(2, Is::Equal(0))]).with(Need::Xattr),
    syscall!(setxattrat).only(&[Arg(0, Is::ProcFd), Arg(2, Is::Equal(0))]).with(Need::XattrWrite),
    syscall!(removexattrat).only(&[Arg(0, Is::ProcFd), Arg(2, Is::Equal(0))]).with(Need::XattrWrite),
    syscall!(getxattr).with(Need::OldXattr),
    syscall!(listxattr).with(Need::OldXattr),
    syscall!(setxattr).with(Need::OldXattrWrite),
    syscall!(removexattr).with(Need::OldXattrWrite),
];

// The same numbers on every architecture (`syscalls(2)`).
const SYS_SETXATTRAT: c_long = 463;
const SYS_GETXATTRAT: c_long = 464;
const SYS_LISTXATTRAT: c_long = 465;
const SYS_REMOVEXATTRAT: c_long = 466;

/// Appends the value of an attribute.
///
/// # Errors
/// Those of `getxattr(2)`.
pub fn get(procfd: &ProcFd, file: BorrowedFd<'_>, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
    let name = Terminated::new(name);
    found(procfd, file, |file| append(into, |value| file.get(name.as_c_str(), value)))
}

/// Sets an attribute.
///
/// # Errors
/// Those of `setxattr(2)`; `E2BIG` above 65,536 bytes.
pub fn set(
    procfd: &ProcFd,
    file: BorrowedFd<'_>,
    name: XattrName<'_>,
    value: &[u8],
    flags: XattrFlags,
) -> Result<()> {
    let name = Terminated::new(name);
    found(procfd, file, |file| file.set(name.as_c_str(), value, flags))
}

/// Appends the names of all attributes, each with a NUL behind it.
///
/// # Errors
/// Those of `listxattr(2)`.
pub fn list(procfd: &ProcFd, file: BorrowedFd<'_>, into: &mut Vec<u8>) -> Result<()> {
    found(procfd, file, |file| append(into, |names| file.list(names)))
}

/// Removes an attribute.
///
/// # Errors
/// Those of `removexattr(2)`.
pub fn remove(procfd: &ProcFd, file: BorrowedFd<'_>, name: XattrName<'_>) -> Result<()> {
    let name = Terminated::new(name);
    found(procfd, file, |file| file.remove(name.as_c_str()))
}

/// Whether the kernel has the `*xattrat` calls and nothing forbids them: only then no descriptor is a bad
/// one.
pub(crate) fn probe() -> bool {
    getxattrat(-1, c"", libc::AT_EMPTY_PATH, c"user.probe", &mut []) == Err(Errno::EBADF)
}

/// Asks for a size, then for as much, and once more with all the room there can be when it grew meanwhile.
/// A call with no room answers the size.
fn append(into: &mut Vec<u8>, read: impl Fn(&mut [u8]) -> Result<usize>) -> Result<()> {
    let before = into.len();
    for room in [read(&mut [])?, XattrPolicy::SIZE_MAX] {
        into.resize(before + room, 0);
        // With no room the call would answer a size again.
        let answer = if room == 0 { Ok(0) } else { read(&mut into[before..]) };
        into.truncate(before + *answer.as_ref().unwrap_or(&0));
        if answer != Err(Errno::ERANGE) {
            return answer.map(drop);
        }
    }
    Err(Errno::E2BIG)
}

/// Runs `f` with the way to a file that this kernel has.
fn found<T: Send>(
    procfd: &ProcFd,
    file: BorrowedFd<'_>,
    f: impl FnOnce(&Found<'_>) -> Result<T> + Send,
) -> Result<T> {
    let number = procfd.number(file);
    if procfd.has_xattrat() {
        f(&Found::Below(procfd.as_fd(), number))
    } else {
        procfd.within(|| f(&Found::Here(number)))
    }
}

/// The way to a file.
enum Found<'a> {
    /// An entry of the kept `/proc/self/fd`.
    Below(BorrowedFd<'a>, DecInt),
    /// An entry of the thread's working directory.
    Here(DecInt),
}

impl Found<'_> {
    /// With no room for the value, its size.
    fn get(&self, name: &CStr, value: &mut [u8]) -> Result<usize> {
        match self {
            Self::Below(dir, number) => getxattrat(raw(dir), number.as_c_str(), 0, name, value),
            Self::Here(number) if value.is_empty() => {
                call(|| rustix::fs::getxattr_query(number.as_c_str(), name))
            }
            Self::Here(number) => call(|| rustix::fs::getxattr(number.as_c_str(), name, &mut *value)),
        }
    }

    fn set(&self, name: &CStr, value: &[u8], flags: XattrFlags) -> Result<()> {
        let flags = match flags {
            XattrFlags::Any => rustix::fs::XattrFlags::empty(),
            XattrFlags::Create => rustix::fs::XattrFlags::CREATE,
            XattrFlags::Replace => rustix::fs::XattrFlags::REPLACE,
        };
        match self {
            Self::Below(dir, number) => setxattrat(raw(dir), number.as_c_str(), name, value, flags.bits()),
            Self::Here(number) => call(|| rustix::fs::setxattr(number.as_c_str(), name, value, flags)),
        }
    }

    /// With no room for the names, their size.
    fn list(&self, names: &mut [u8]) -> Result<usize> {
        match self {
            Self::Below(dir, number) => listxattrat(raw(dir), number.as_c_str(), names),
            Self::Here(number) if names.is_empty() => call(|| rustix::fs::listxattr_query(number.as_c_str())),
            Self::Here(number) => call(|| rustix::fs::listxattr(number.as_c_str(), &mut *names)),
        }
    }

    fn remove(&self, name: &CStr) -> Result<()> {
        match self {
            Self::Below(dir, number) => removexattrat(raw(dir), number.as_c_str(), name),
            Self::Here(number) => call(|| rustix::fs::removexattr(number.as_c_str(), name)),
        }
    }
}

/// A name with a NUL behind it.
struct Terminated([u8; XattrName::MAX + 1]);

impl Terminated {
    fn new(name: XattrName<'_>) -> Self {
        let mut bytes = [0; XattrName::MAX + 1];
        bytes[..name.as_bytes().len()].copy_from_slice(name.as_bytes());
        Self(bytes)
    }

    fn as_c_str(&self) -> &CStr {
        // The last byte is one that no name reaches.
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// `struct xattr_args` of `linux/xattr.h`.
#[repr(C, align(8))]
struct Args {
    value: u64,
    size: u32,
    flags: u32,
}

impl Args {
    /// `E2BIG` for a size that no attribute has.
    fn new(value: *const u8, size: usize, flags: u32) -> Result<Self> {
        let size = u32::try_from(size).map_err(|_| Errno::E2BIG)?;
        Ok(Self { value: value.expose_provenance() as u64, size, flags })
    }
}

fn getxattrat(dir: c_int, path: &CStr, at: c_int, name: &CStr, value: &mut [u8]) -> Result<usize> {
    let args = Args::new(value.as_mut_ptr(), value.len(), 0)?;
    libc_call(|| {
        // SAFETY: `path` and `name` are C strings and `args` is what the kernel expects there, of the size
        // given; it writes at most `args.size` bytes to `args.value`, which are those of `value`, borrowed
        // for writing.
        unsafe {
            let (path, name) = (path.as_ptr(), name.as_ptr());
            libc::syscall(SYS_GETXATTRAT, dir, path, at, name, &raw const args, size_of::<Args>())
        }
    })
}

fn setxattrat(dir: c_int, path: &CStr, name: &CStr, value: &[u8], flags: u32) -> Result<()> {
    let args = Args::new(value.as_ptr(), value.len(), flags)?;
    libc_call(|| {
        // SAFETY: `path` and `name` are C strings and `args` is what the kernel expects there, of the size
        // given; it reads `args.size` bytes at `args.value`, which are those of `value`.
        unsafe {
            let (path, name) = (path.as_ptr(), name.as_ptr());
            libc::syscall(SYS_SETXATTRAT, dir, path, 0, name, &raw const args, size_of::<Args>())
        }
    })
    .map(drop)
}

fn listxattrat(dir: c_int, path: &CStr, names: &mut [u8]) -> Result<usize> {
    libc_call(|| {
        // SAFETY: `path` is a C string, and the kernel writes at most `names.len()` bytes to `names`, which
        // is borrowed for writing.
        unsafe { libc::syscall(SYS_LISTXATTRAT, dir, path.as_ptr(), 0, names.as_mut_ptr(), names.len()) }
    })
}

fn removexattrat(dir: c_int, path: &CStr, name: &CStr) -> Result<()> {
    libc_call(|| {
        // SAFETY: `path` and `name` are C strings, and the kernel writes nothing.
        unsafe { libc::syscall(SYS_REMOVEXATTRAT, dir, path.as_ptr(), 0, name.as_ptr()) }
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use gofer_vfs::Name;

    use super::*;

    /// Every operation, on an old and on a new kernel.
    #[test]
    fn old_and_new_calls_do_the_same() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "").unwrap();
        let root = File::open(dir.path()).unwrap();
        let file = crate::walk::open_child(root.as_fd(), Name::new(b"f").unwrap()).unwrap();
        let file = file.as_fd();
        let name = XattrPolicy::User.admit(b"user.a").unwrap();
        let new = ProcFd::open().unwrap();
        let old = ProcFd::open().unwrap().without_new_calls();
        for procfd in [new, old] {
            let mut into = b"before".to_vec();
            assert_eq!(get(&procfd, file, name, &mut into), Err(Errno::ENODATA));
            assert_eq!(set(&procfd, file, name, b"v", XattrFlags::Replace), Err(Errno::ENODATA));
            set(&procfd, file, name, b"", XattrFlags::Create).unwrap();
            get(&procfd, file, name, &mut into).unwrap();
            assert_eq!(into, b"before");
            assert_eq!(set(&procfd, file, name, b"v", XattrFlags::Create), Err(Errno::EEXIST));
            set(&procfd, file, name, b"value", XattrFlags::Any).unwrap();
            get(&procfd, file, name, &mut into).unwrap();
            assert_eq!(into, b"beforevalue");
            into.clear();
            list(&procfd, file, &mut into).unwrap();
            assert!(into.split(|b| *b == 0).any(|n| n == b"user.a"), "{}", into.escape_ascii());
            remove(&procfd, file, name).unwrap();
            assert_eq!(remove(&procfd, file, name), Err(Errno::ENODATA));
            let long = vec![0; XattrPolicy::SIZE_MAX + 1];
            assert_eq!(set(&procfd, file, name, &long, XattrFlags::Any), Err(Errno::E2BIG));
        }
    }

    #[test]
    fn a_value_that_grows_meanwhile_is_read_whole() {
        let sizes = std::cell::Cell::new(2);
        let grow = |room: &mut [u8]| {
            let size = sizes.replace(sizes.get() + 2);
            match room.len() {
                0 => Ok(size),
                room if room < size => Err(Errno::ERANGE),
                _ => Ok(size),
            }
        };
        let mut into = vec![1];
        append(&mut into, grow).unwrap();
        assert_eq!(into, [1, 0, 0, 0, 0, 0, 0]);
    }
}
