//! [`Errno`]: a Linux error number, the only failure that crosses the wire or leaves a backend.

use std::fmt;
use std::num::NonZeroU16;

/// What every backend operation returns.
pub type Result<T> = std::result::Result<T, Errno>;

/// A Linux error number, 1 to 4095, with the numbering of x86-64 and asm-generic (`errno(3)`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(NonZeroU16);

impl Errno {
    /// The errno of a number; `None` outside 1..=4095, the range a Linux system call can return.
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(n) if number <= 4095 => Some(Self(n)),
            _ => None,
        }
    }

    /// The errno of what a system call or library returned; `EIO` where it is no error number at all.
    pub fn from_host(number: i32) -> Self {
        u16::try_from(number).ok().and_then(Self::new).unwrap_or(Self::EIO)
    }

    /// The number, 1 to 4095.
    pub const fn number(self) -> u16 {
        self.0.get()
    }

    /// The number as it may be sent to a peer: numbers that user space does not know become `EIO`, and the
    /// kernel's internal "not supported" (524, seen from `fallocate` of some file systems) `EOPNOTSUPP`.
    pub fn on_wire(self) -> u32 {
        u32::from(match self.number() {
            524 => Self::EOPNOTSUPP.number(),
            1..=40 | 42..=57 | 59..=133 => self.number(),
            _ => Self::EIO.number(),
        })
    }
}

macro_rules! errnos {
    ($($number:literal $name:ident $text:literal)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Self = Self(NonZeroU16::new($number).expect("not zero"));)*

            /// The symbolic name, `"ENOENT"`; `None` for numbers this crate has no constant for.
            pub const fn name(self) -> Option<&'static str> {
                match self.0.get() { $($number => Some(stringify!($name)),)* _ => None }
            }

            /// What the number means, in a few words.
            pub const fn text(self) -> &'static str {
                match self.0.get() { $($number => $text,)* _ => "unknown error" }
            }
        }
    };
}

errnos! {
    1 EPERM "operation not permitted"
    2 ENOENT "no such file or directory"
    3 ESRCH "no such process"
    4 EINTR "interrupted system call"
    5 EIO "input/output error"
    6 ENXIO "no such device or address"
    7 E2BIG "argument list too long"
    8 ENOEXEC "exec format error"
    9 EBADF "bad file descriptor"
    10 ECHILD "no child processes"
    11 EAGAIN "resource temporarily unavailable"
    12 ENOMEM "cannot allocate memory"
    13 EACCES "permission denied"
    14 EFAULT "bad address"
    15 ENOTBLK "block device required"
    16 EBUSY "device or resource busy"
    17 EEXIST "file exists"
    18 EXDEV "invalid cross-device link"
    19 ENODEV "no such device"
    20 ENOTDIR "not a directory"
    21 EISDIR "is a directory"
    22 EINVAL "invalid argument"
    23 ENFILE "too many open files in system"
    24 EMFILE "too many open files"
    25 ENOTTY "inappropriate ioctl for device"
    26 ETXTBSY "text file busy"
    27 EFBIG "file too large"
    28 ENOSPC "no space left on device"
    29 ESPIPE "illegal seek"
    30 EROFS "read-only file system"
    31 EMLINK "too many links"
    32 EPIPE "broken pipe"
    33 EDOM "numerical argument out of domain"
    34 ERANGE "numerical result out of range"
    35 EDEADLK "resource deadlock avoided"
    36 ENAMETOOLONG "file name too long"
    37 ENOLCK "no locks available"
    38 ENOSYS "function not implemented"
    39 ENOTEMPTY "directory not empty"
    40 ELOOP "too many levels of symbolic links"
    61 ENODATA "no data available"
    62 ETIME "timer expired"
    71 EPROTO "protocol error"
    75 EOVERFLOW "value too large for defined data type"
    76 ENOTUNIQ "name not unique on network"
    84 EILSEQ "invalid multibyte character"
    87 EUSERS "too many users"
    88 ENOTSOCK "socket operation on non-socket"
    90 EMSGSIZE "message too long"
    91 EPROTOTYPE "protocol wrong type for socket"
    93 EPROTONOSUPPORT "protocol not supported"
    94 ESOCKTNOSUPPORT "socket type not supported"
    95 EOPNOTSUPP "operation not supported"
    97 EAFNOSUPPORT "address family not supported by protocol"
    98 EADDRINUSE "address already in use"
    99 EADDRNOTAVAIL "cannot assign requested address"
    101 ENETUNREACH "network is unreachable"
    103 ECONNABORTED "software caused connection abort"
    104 ECONNRESET "connection reset by peer"
    105 ENOBUFS "no buffer space available"
    106 EISCONN "transport endpoint is already connected"
    107 ENOTCONN "transport endpoint is not connected"
    109 ETOOMANYREFS "too many references: cannot splice"
    110 ETIMEDOUT "connection timed out"
    111 ECONNREFUSED "connection refused"
    113 EHOSTUNREACH "no route to host"
    114 EALREADY "operation already in progress"
    115 EINPROGRESS "operation now in progress"
    116 ESTALE "stale file handle"
    117 EUCLEAN "structure needs cleaning"
    121 EREMOTEIO "remote I/O error"
    122 EDQUOT "disk quota exceeded"
    123 ENOMEDIUM "no medium found"
    125 ECANCELED "operation canceled"
    129 EKEYREJECTED "key was rejected by service"
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.text()),
            None => write!(f, "error {}", self.number()),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.number()),
        }
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_user_space_knows_are_sent() {
        assert_eq!(Errno::ENOENT.on_wire(), 2);
        assert_eq!(Errno::from_host(133).on_wire(), 133);
        assert_eq!(Errno::from_host(524).on_wire(), 95);
        for odd in [0, -1, 41, 58, 134, 512, 4095, 4096, i32::MAX] {
            assert_eq!(Errno::from_host(odd).on_wire(), 5, "{odd}");
        }
    }

    #[test]
    fn an_errno_prints_its_text_and_name() {
        assert_eq!(Errno::EROFS.to_string(), "read-only file system (EROFS)");
        assert_eq!(Errno::from_host(777).to_string(), "error 777");
    }
}
