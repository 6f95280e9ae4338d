//! System calls as a list, and the list as a filter of the kernel's (`seccomp(2)`).
//!
//! Every module of this crate says in `SYSCALLS` which calls it makes, how, and what for. A filter is composed of
//! what a process needs of them; whatever is not in it ends the process, or fails.

use std::collections::BTreeMap;
use std::ffi::c_long;
use std::os::fd::{AsFd, AsRawFd};

use gofer_vfs::{Errno, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

use crate::open::ProcFd;

/// One form of a system call. Several entries for a call allow each of their forms.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name, as in `syscalls(2)`.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: c_long,
    /// What it is made for.
    pub need: Need,
    /// What its arguments must be, all of them.
    pub when: &'static [Arg],
}

/// What a system call is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Any server makes it.
    Always,
    /// Only before the process gives up its rights, by clients, or by nobody yet: never in a filter.
    Start,
    /// Connections are accepted.
    Listen,
    /// An export can be changed.
    Write,
    /// Clients may make device files.
    Devices,
    /// Extended attributes are read, with the calls of Linux 6.13.
    Xattr,
    /// They are changed, with the same.
    XattrWrite,
    /// They are read on an older kernel.
    OldXattr,
    /// They are changed on an older kernel.
    OldXattrWrite,
    /// Modes are changed on a kernel before Linux 6.6.
    OldChmod,
    /// A path is looked up below `/proc/self/fd`.
    Within,
    /// Clients may connect to unix sockets.
    HostSockets,
    /// Clients may make unix sockets.
    NewSockets,
    /// Clients connect to them as the users that they name.
    Credentials,
    /// An export can be changed by a protocol that exchanges names, or renames only to what is free.
    RenameFlags,
    /// Clients may have memory in common with the server.
    Channels,
    /// They may, and an export can be changed.
    ChannelsWrite,
}

/// What an argument, counted from 0, must be.
#[derive(Clone, Copy, Debug)]
pub struct Arg(pub u8, pub Is);

/// A test of an argument; of its lower 32 bits, which is all that the kernel looks at.
#[derive(Clone, Copy, Debug)]
pub enum Is {
    /// This value.
    Equal(u32),
    /// These bits of the first are those of the second.
    Bits(u32, u32),
    /// A descriptor, but not `AT_FDCWD`.
    Descriptor,
    /// The kept descriptor of `/proc/self/fd`.
    ProcFd,
    /// This process.
    ThisProcess,
    /// No address.
    Null,
}

impl Call {
    /// A call that is always allowed, with any arguments.
    pub(crate) const fn new(name: &'static str, number: c_long) -> Self {
        Self { name, number, need: Need::Always, when: &[] }
    }

    pub(crate) const fn only(self, when: &'static [Arg]) -> Self {
        Self { when, ..self }
    }

    pub(crate) const fn with(self, need: Need) -> Self {
        Self { need, ..self }
    }
}

/// A call of a table, by the name that libc gives its number.
macro_rules! syscall {
    ($name:ident) => {
        $crate::seccomp::Call::new(stringify!($name), $crate::seccomp::number::$name)
    };
}
pub(crate) use syscall;

/// The numbers of the calls that the tables name.
macro_rules! numbers {
    ($($name:ident $libc:ident)*) => {
        #[expect(non_upper_case_globals, reason = "named as the calls are")]
        pub(crate) mod number {
            use std::ffi::c_long;
            $(pub(crate) const $name: c_long = libc::$libc;)*
            // The same on every architecture, and not in libc for all of them.
            pub(crate) const fchmodat2: c_long = 452;
            pub(crate) const setxattrat: c_long = 463;
            pub(crate) const getxattrat: c_long = 464;
            pub(crate) const listxattrat: c_long = 465;
            pub(crate) const removexattrat: c_long = 466;
        }
    };
}
numbers! {
    accept4 SYS_accept4 bind SYS_bind brk SYS_brk capget SYS_capget capset SYS_capset
    clock_gettime SYS_clock_gettime clock_nanosleep SYS_clock_nanosleep clone SYS_clone clone3 SYS_clone3
    close SYS_close connect SYS_connect dup3 SYS_dup3 eventfd2 SYS_eventfd2 exit SYS_exit exit_group SYS_exit_group
    fallocate SYS_fallocate fchdir SYS_fchdir fchmod SYS_fchmod fchmodat SYS_fchmodat fchownat SYS_fchownat
    fcntl SYS_fcntl fdatasync SYS_fdatasync fsync SYS_fsync fstat SYS_fstat fstatfs SYS_fstatfs
    ftruncate SYS_ftruncate futex SYS_futex getdents64 SYS_getdents64 getegid SYS_getegid
    geteuid SYS_geteuid getpid SYS_getpid getrandom SYS_getrandom getsockname SYS_getsockname
    getsockopt SYS_getsockopt gettid SYS_gettid getxattr SYS_getxattr ioctl SYS_ioctl keyctl SYS_keyctl
    kill SYS_kill
    landlock_create_ruleset SYS_landlock_create_ruleset landlock_add_rule SYS_landlock_add_rule
    landlock_restrict_self SYS_landlock_restrict_self linkat SYS_linkat listen SYS_listen
    listxattr SYS_listxattr lseek SYS_lseek madvise SYS_madvise memfd_create SYS_memfd_create
    mkdirat SYS_mkdirat mknodat SYS_mknodat mmap SYS_mmap mount SYS_mount move_mount SYS_move_mount
    mount_setattr SYS_mount_setattr mprotect SYS_mprotect mremap SYS_mremap munmap SYS_munmap
    open_tree SYS_open_tree openat SYS_openat pipe2 SYS_pipe2 pivot_root SYS_pivot_root ppoll SYS_ppoll prctl SYS_prctl
    pread64 SYS_pread64 prlimit64 SYS_prlimit64 pwrite64 SYS_pwrite64 read SYS_read
    readlinkat SYS_readlinkat recvfrom SYS_recvfrom recvmsg SYS_recvmsg removexattr SYS_removexattr
    renameat SYS_renameat renameat2 SYS_renameat2 restart_syscall SYS_restart_syscall rseq SYS_rseq
    rt_sigaction SYS_rt_sigaction rt_sigprocmask SYS_rt_sigprocmask rt_sigreturn SYS_rt_sigreturn
    rt_sigtimedwait SYS_rt_sigtimedwait sched_getaffinity SYS_sched_getaffinity
    sched_yield SYS_sched_yield seccomp SYS_seccomp sendmsg SYS_sendmsg sendto SYS_sendto
    set_robust_list SYS_set_robust_list setresgid SYS_setresgid setresuid SYS_setresuid setsockopt SYS_setsockopt setxattr SYS_setxattr
    shutdown SYS_shutdown splice SYS_splice sigaltstack SYS_sigaltstack socket SYS_socket socketpair SYS_socketpair
    setgid SYS_setgid setsid SYS_setsid setuid SYS_setuid statx SYS_statx symlinkat SYS_symlinkat tgkill SYS_tgkill umask SYS_umask umount2 SYS_umount2
    unlinkat SYS_unlinkat unshare SYS_unshare utimensat SYS_utimensat wait4 SYS_wait4 write SYS_write
    fsopen SYS_fsopen fsconfig SYS_fsconfig fsmount SYS_fsmount
}

/// What becomes of a call that is not in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It ends the process (`SIGSYS`).
    Kill,
    /// It fails with `EPERM`.
    Errno,
}

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[syscall!(seccomp).with(Need::Start), syscall!(prctl).with(Need::Start)];

/// `AT_FDCWD` and all other numbers that are no descriptor have this bit.
const NO_DESCRIPTOR: u32 = 1 << 31;

/// Calls that fail with `ENOSYS`, as on a kernel that does not have them, for the C library makes them and does
/// without: `clone3(2)`, whose flags a filter cannot see, so that it uses `clone(2)`; and opening by path, to look for
/// the number of processors and how memory is committed.
pub const ABSENT: &[Call] =
    &[syscall!(clone3), syscall!(openat).only(&[Arg(0, Is::Equal(libc::AT_FDCWD.cast_unsigned()))])];

/// Lets this thread, and all that it starts, make the calls in `list` only, for good; [`ABSENT`] ones fail.
/// `PR_SET_NO_NEW_PRIVS` is set.
///
/// # Errors
/// `ENOSYS` when the kernel has no filters, `EINVAL` on an architecture without a list.
pub fn install<'a>(
    list: impl IntoIterator<Item = &'a Call>,
    procfd: &ProcFd,
    violation: Violation,
) -> Result<()> {
    let refuse = match violation {
        Violation::Kill => SeccompAction::KillProcess,
        Violation::Errno => SeccompAction::Errno(libc::EPERM.cast_unsigned()),
    };
    // Of two filters the stricter answer counts. The second must be the one that forbids to install any.
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    apply(rules(ABSENT, procfd)?, &SeccompAction::Allow, &absent)?;
    apply(rules(list.into_iter().chain(ABSENT), procfd)?, &refuse, &SeccompAction::Allow)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules<'a>(list: impl IntoIterator<Item = &'a Call>, procfd: &ProcFd) -> Result<Rules> {
    let (mut rules, mut whole) = (Rules::new(), Vec::new());
    for call in list {
        match call.when {
            [] => whole.push(call.number),
            when => {
                let conditions = when.iter().map(|arg| condition(*arg, procfd)).collect::<Result<_>>()?;
                let rule = SeccompRule::new(conditions).map_err(|_| Errno::EINVAL)?;
                rules.entry(call.number).or_default().push(rule);
            }
        }
    }
    // No rule means any arguments.
    rules.extend(whole.into_iter().map(|number| (number, Vec::new())));
    Ok(rules)
}

fn condition(Arg(at, is): Arg, procfd: &ProcFd) -> Result<SeccompCondition> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let own = |number: i64| u64::try_from(number).map_err(|_| Errno::EINVAL);
    let (length, op, value) = match is {
        Is::Equal(value) => (SeccompCmpArgLen::Dword, Eq, value.into()),
        Is::Bits(mask, value) => (SeccompCmpArgLen::Dword, MaskedEq(mask.into()), value.into()),
        Is::Descriptor => (SeccompCmpArgLen::Dword, MaskedEq(NO_DESCRIPTOR.into()), 0),
        Is::ProcFd => (SeccompCmpArgLen::Dword, Eq, own(procfd.as_fd().as_raw_fd().into())?),
        Is::ThisProcess => (SeccompCmpArgLen::Dword, Eq, std::process::id().into()),
        Is::Null => (SeccompCmpArgLen::Qword, Eq, 0),
    };
    SeccompCondition::new(at, length, op, value).map_err(|_| Errno::EINVAL)
}

/// Installs the rules, looked at in this order: first the calls that are made most and have rules about their
/// arguments. Those without are last, for the kernel remembers that they are allowed and does not look.
fn apply(mut rules: Rules, other: &SeccompAction, matched: &SeccompAction) -> Result<()> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(|_| Errno::EINVAL)?;
    let often = [number::statx, number::openat].map(|number| rules.remove_entry(&number));
    let (whole, some): (Rules, Rules) = rules.into_iter().partition(|(_, rules)| rules.is_empty());
    let parts = often.into_iter().flatten().map(|entry| Rules::from([entry])).chain([some, whole]);
    let mut program = BpfProgram::new();
    for part in parts.filter(|part| !part.is_empty()) {
        let filter = SeccompFilter::new(part, other.clone(), matched.clone(), arch);
        let part: BpfProgram = filter.and_then(SeccompFilter::try_into).map_err(|_| Errno::EINVAL)?;
        // The last instruction of a program answers for the calls that it has no rules for: the next part does.
        program.pop();
        program.extend(part);
    }
    install_program(&program)
}

/// Installs a program, and sets `PR_SET_NO_NEW_PRIVS`.
pub(crate) fn install_program(program: &[sock_filter]) -> Result<()> {
    seccompiler::apply_filter(program).map_err(|error| match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
            Errno::from_host(error.raw_os_error().unwrap_or(0))
        }
        _ => Errno::EINVAL,
    })
}
