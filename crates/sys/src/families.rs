//! Families of sockets, and a filter of the kernel's (`seccomp(2)`) that refuses to make any of another.
//!
//! It is written out, instruction by instruction, and knows nothing of the list of [`seccomp`](crate::seccomp): what
//! is wrong there is not wrong here.

use std::ffi::c_long;
use std::mem::offset_of;

use gofer_vfs::{Errno, Result};
use seccompiler::sock_filter;

use crate::seccomp::{Call, Need, Violation, install_program, syscall};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[syscall!(seccomp).with(Need::Start), syscall!(prctl).with(Need::Start)];

/// The families of which sockets can still be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// None. What was made before works, and connections are accepted.
    None,
    /// `AF_UNIX`.
    Unix,
}

impl Families {
    /// Their names, as in `address_families(7)`.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Unix => &["unix"],
        }
    }

    fn number(self) -> u32 {
        /// What is no family: the kernel knows them by small numbers.
        const NO_FAMILY: u32 = u32::MAX;
        match self {
            Self::None => NO_FAMILY,
            Self::Unix => libc::AF_UNIX.cast_unsigned(),
        }
    }
}

/// Lets this thread, and all that it starts, make sockets of these families only, for good. Nor can it make a ring of
/// requests (`io_uring(7)`), which makes sockets where no filter sees it, or a call in another way than this program
/// makes them. `PR_SET_NO_NEW_PRIVS` is set.
///
/// # Errors
/// `ENOSYS` when the kernel has no filters, `EINVAL` on an architecture whose calls are not known here.
pub fn restrict(families: Families, violation: Violation) -> Result<()> {
    let refuse = match violation {
        Violation::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Violation::Errno => libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned(),
    };
    install_program(&program(families, refuse).ok_or(Errno::EINVAL)?)
}

/// `AUDIT_ARCH_*`: 64 bits, little-endian, and the number of the machine in `elf(5)`.
const ARCH: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xC000_003E)
} else if cfg!(target_arch = "aarch64") {
    Some(0xC000_00B7)
} else {
    None
};

/// Calls of x86-64 have this bit where they are made with pointers of 32 bits (x32). No other architecture has it.
const X32: u32 = 1 << 30;

/// The program; `None` on an architecture whose calls are not known.
fn program(families: Families, refuse: u32) -> Option<[sock_filter; 11]> {
    let call = |number: c_long| u32::try_from(number).ok();
    // A test says how many instructions to pass over where what was loaded passes it, and where not.
    Some([
        load(offset_of!(libc::seccomp_data, arch))?,
        test(libc::BPF_JEQ, ARCH?, 0, 8),
        load(offset_of!(libc::seccomp_data, nr))?,
        test(libc::BPF_JGE, X32, 6, 0),
        test(libc::BPF_JEQ, call(libc::SYS_io_uring_setup)?, 5, 0),
        test(libc::BPF_JEQ, call(libc::SYS_socket)?, 1, 0),
        test(libc::BPF_JEQ, call(libc::SYS_socketpair)?, 0, 2),
        // Of the first argument its lower 32 bits, which come first and are all that the kernel looks at.
        load(offset_of!(libc::seccomp_data, args))?,
        test(libc::BPF_JEQ, families.number(), 0, 1),
        instruction(libc::BPF_RET, libc::SECCOMP_RET_ALLOW, 0, 0),
        instruction(libc::BPF_RET, refuse, 0, 0),
    ])
}

fn load(offset: usize) -> Option<sock_filter> {
    Some(instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, u32::try_from(offset).ok()?, 0, 0))
}

fn test(how: u32, value: u32, passed: u8, failed: u8) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_K | how, value, passed, failed)
}

#[expect(clippy::cast_possible_truncation, reason = "codes of instructions have 16 bits, their constants 32")]
fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, socketpair};

    use super::*;

    /// What making a socket and a pair of each family comes to, and a ring, in a thread that may make `families` only.
    fn made(families: Families) -> Vec<Result<()>> {
        std::thread::spawn(move || {
            restrict(families, Violation::Errno).unwrap();
            let mut made = Vec::new();
            for family in [AddressFamily::UNIX, AddressFamily::INET, AddressFamily::from_raw(40)] {
                let (stream, flags) = (SocketType::STREAM, SocketFlags::CLOEXEC);
                made.push(crate::call(|| socket_with(family, stream, flags, None)).map(drop));
                made.push(crate::call(|| socketpair(family, stream, flags, None)).map(drop));
            }
            made.push(crate::attempt::ring::open(c"/"));
            made
        })
        .join()
        .unwrap()
    }

    #[test]
    fn sockets_of_other_families_are_refused() {
        let refused = Err(Errno::EPERM);
        assert_eq!(made(Families::None), [refused; 7]);
        let unix = made(Families::Unix);
        assert_eq!(unix[..2], [Ok(()), Ok(())]);
        assert_eq!(unix[2..], [refused; 5]);
    }

    #[test]
    fn what_a_list_allows_is_refused_all_the_same() {
        let socket = std::thread::spawn(|| {
            restrict(Families::None, Violation::Errno).unwrap();
            let procfd = crate::open::ProcFd::open().unwrap();
            let all = crate::SYSCALLS.iter().flat_map(|(_, calls)| calls.iter());
            crate::seccomp::install(all, &procfd, Violation::Errno).unwrap();
            crate::net::pair().err()
        });
        assert_eq!(socket.join().unwrap(), Some(Errno::EPERM));
    }
}
