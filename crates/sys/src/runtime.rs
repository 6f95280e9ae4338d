//! What the language's runtime and the C library do by themselves, and why.

use crate::seccomp::{Arg, Call, Is, syscall};

/// The system calls that no function of this crate makes.
pub const SYSCALLS: &[Call] = &[
    // Memory: the allocator and the stacks of threads. Nothing that could be run.
    syscall!(brk),
    syscall!(mmap).only(&[Arg(2, NOT_EXECUTABLE), Arg(3, Is::Bits(KIND, PRIVATE))]),
    // The state of getrandom(3) in newer C libraries (MAP_DROPPABLE).
    syscall!(mmap).only(&[Arg(2, NOT_EXECUTABLE), Arg(3, Is::Bits(KIND, DROPPABLE))]),
    syscall!(mprotect).only(&[Arg(2, NOT_EXECUTABLE)]),
    syscall!(mremap),
    syscall!(munmap),
    syscall!(madvise),
    // Threads, and no other kind of process. A thread also says its name, where its robust mutexes and its
    // restartable sequences are, and where its signals are to be handled.
    syscall!(clone).only(&[Arg(0, Is::Bits(!libc::CLONE_DETACHED.cast_unsigned(), THREAD))]),
    syscall!(prctl).only(&[Arg(0, Is::Equal(libc::PR_SET_NAME.cast_unsigned()))]),
    syscall!(prctl).only(&[Arg(0, Is::Equal(libc::PR_SET_VMA.cast_unsigned()))]),
    syscall!(set_robust_list),
    syscall!(rseq),
    syscall!(sigaltstack),
    syscall!(sched_getaffinity),
    syscall!(sched_yield),
    syscall!(gettid),
    syscall!(getpid),
    // Mutexes, condition variables, joining.
    syscall!(futex).only(&[Arg(1, Is::Bits(COMMAND, libc::FUTEX_WAIT.cast_unsigned()))]),
    syscall!(futex).only(&[Arg(1, Is::Bits(COMMAND, libc::FUTEX_WAKE.cast_unsigned()))]),
    syscall!(futex).only(&[Arg(1, Is::Bits(COMMAND, libc::FUTEX_WAIT_BITSET.cast_unsigned()))]),
    syscall!(futex).only(&[Arg(1, Is::Bits(COMMAND, libc::FUTEX_CMP_REQUEUE.cast_unsigned()))]),
    // Builds with debug assertions look whether what they close is open.
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_GETFD.cast_unsigned()))]),
    // Time, where the vDSO does not tell it, and sleeping.
    syscall!(clock_gettime),
    syscall!(clock_nanosleep),
    syscall!(restart_syscall),
    // Random keys of hash tables.
    syscall!(getrandom),
    // Signals: their handlers, the byte by which one is noted, and abort(3), which is for this process only.
    syscall!(rt_sigaction),
    syscall!(rt_sigprocmask),
    syscall!(rt_sigreturn),
    syscall!(sendto).only(&[Arg(4, Is::Null)]),
    syscall!(tgkill).only(&[Arg(0, Is::ThisProcess)]),
    syscall!(exit),
    syscall!(exit_group),
];

const NOT_EXECUTABLE: Is = Is::Bits(libc::PROT_EXEC.cast_unsigned(), 0);
/// The bits of the flags of `mmap(2)` that say what is mapped.
const KIND: u32 = libc::MAP_TYPE.cast_unsigned() | ANONYMOUS;
const ANONYMOUS: u32 = libc::MAP_ANONYMOUS.cast_unsigned();
const PRIVATE: u32 = libc::MAP_PRIVATE.cast_unsigned() | ANONYMOUS;
const DROPPABLE: u32 = 0x08 | ANONYMOUS;
/// The bits of a futex operation that are not flags.
const COMMAND: u32 = 0x7f;
/// What a thread has in common with its process, as the C library asks for it.
const THREAD: u32 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID)
    .cast_unsigned();
