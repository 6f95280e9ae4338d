//! [`Trace`]: the system calls that threads make, for tests that count them.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use gofer_vfs::{Errno, Result};
use rustix::event::{PollFd, PollFlags};

use crate::{call, errno, libc_call, raw};

/// The system calls of this module. No server makes them.
pub const SYSCALLS: &[&str] = &["ioctl", "poll", "ppoll", "prctl", "seccomp"];

/// What some threads of this process ask of the kernel, written down as they ask.
///
/// They run under a filter (`seccomp(2)`) by which every call waits until it was noted, and then goes on as if
/// nothing had been. Nobody is stopped otherwise, no other process is needed, and no right but to run under
/// `PR_SET_NO_NEW_PRIVS`.
///
/// ```
/// use gofer_sys::trace::Trace;
///
/// let (tell, told) = std::sync::mpsc::channel();
/// let trace = Trace::spawn(move || {
///     std::fs::metadata("/").ok();
///     tell.send(()).ok();
/// })?;
/// told.recv().ok();
/// assert!(trace.take().iter().any(|call| call.name() == "statx"));
/// # Ok::<(), gofer_vfs::Errno>(())
/// ```
#[derive(Debug)]
pub struct Trace {
    calls: Arc<Mutex<Vec<Call>>>,
}

/// A system call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who made it.
    pub thread: u32,
    number: i64,
}

/// The names of calls, from those of the constants.
macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// Those that file servers make.
#[rustfmt::skip]
const NAMES: &[(i64, &str)] = names! {
    SYS_accept4 SYS_brk SYS_clone3 SYS_close SYS_connect SYS_exit SYS_fallocate SYS_fchdir SYS_fchmodat
    SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex
    SYS_getdents64 SYS_getegid SYS_geteuid SYS_getrandom SYS_getsockname SYS_getsockopt SYS_ioctl SYS_linkat
    SYS_lseek SYS_madvise SYS_mkdirat SYS_mknodat SYS_mmap SYS_mprotect SYS_munmap SYS_openat SYS_pipe2
    SYS_ppoll SYS_pread64 SYS_prctl SYS_pwrite64 SYS_read SYS_readlinkat SYS_recvfrom SYS_recvmsg
    SYS_renameat2 SYS_rseq SYS_rt_sigprocmask SYS_sched_getaffinity SYS_sendmsg SYS_sendto SYS_setsockopt
    SYS_set_robust_list SYS_shutdown SYS_sigaltstack SYS_socket SYS_splice SYS_statx SYS_symlinkat SYS_unlinkat
    SYS_unshare SYS_utimensat SYS_write SYS_writev
};

/// Those that libc does not have for every architecture.
const MORE: &[(i64, &str)] =
    &[(if cfg!(target_arch = "x86_64") { 264 } else { 38 }, "SYS_renameat"), (452, "SYS_fchmodat2")];

impl Call {
    /// Its name, or `"?"` where that is not known here.
    pub fn name(&self) -> &'static str {
        let known = NAMES.iter().chain(MORE).find(|(number, _)| *number == self.number);
        known.and_then(|(_, name)| name.strip_prefix("SYS_")).unwrap_or("?")
    }
}

impl Trace {
    /// Does `work` on a thread of its own. All calls of that thread, and of all threads that come from it, are
    /// noted until the last of them ends.
    ///
    /// # Errors
    /// `EAGAIN` when no thread can be had; those of `seccomp(2)`.
    pub fn spawn(work: impl FnOnce() + Send + 'static) -> Result<Self> {
        let listener = Arc::new(OnceLock::new());
        let told = Arc::clone(&listener);
        let filtered = move || {
            // From here until the listener is told of, nothing may call the kernel: nobody would answer.
            // Nobody waits for the telling, so it does not.
            let is_filtered = told.get_or_init(filter_this_thread).is_ok();
            // From now on it is open for as long as calls are noted.
            drop(told);
            if is_filtered {
                work();
            }
        };
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let lacking = |error: std::io::Error| Errno::from_host(error.raw_os_error().unwrap_or(0));
        thread("traced").spawn(filtered).map_err(lacking)?;
        let is_filtered = loop {
            match listener.get() {
                None => thread::yield_now(),
                Some(told) => break told.as_ref().map(drop).map_err(|errno| *errno),
            }
        };
        is_filtered?;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&calls);
        let note = move || {
            if let Some(Ok(listener)) = listener.get() {
                // Where this fails the threads that are traced get errors, which their test will see.
                let _ = note_all(listener.as_fd(), &noted);
            }
        };
        thread("trace").spawn(note).map_err(lacking)?;
        Ok(Self { calls })
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls that were noted since this was last asked, in their order. A call is noted before it has any
    /// effect.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls())
    }
}

/// From now on each call of this thread, and of those that it starts, waits for an answer by what is returned.
fn filter_this_thread() -> Result<OwnedFd> {
    rustix::thread::set_no_new_privs(true).map_err(errno)?;
    // One instruction, for every call.
    let code = u16::try_from(libc::BPF_RET | libc::BPF_K).map_err(|_| Errno::EINVAL)?;
    let mut filter = libc::sock_filter { code, jt: 0, jf: 0, k: libc::SECCOMP_RET_USER_NOTIF };
    let program = libc::sock_fprog { len: 1, filter: &raw mut filter };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    let number = libc_call(|| {
        // SAFETY: the program is one valid instruction that `filter` keeps alive during the call, and the kernel
        // copies it. A filter that lets every call go on takes no promise away from other code.
        unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) }
    })?;
    let number = c_int::try_from(number).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call succeeded, and with this flag it returns a new descriptor (`seccomp(2)`), which nobody
    // else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Notes calls and lets them go on, until no thread is left that could make any.
fn note_all(listener: BorrowedFd<'_>, calls: &Mutex<Vec<Call>>) -> Result<()> {
    loop {
        let mut polled = [PollFd::new(&listener, PollFlags::IN)];
        call(|| rustix::event::poll(&mut polled, None))?;
        if !polled[0].revents().contains(PollFlags::IN) {
            return Ok(());
        }
        match receive(listener) {
            Ok((id, call)) => {
                calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
                go_on(listener, id)?;
            }
            // The thread was killed meanwhile.
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The next call that waits, and its number among those that do.
fn receive(listener: BorrowedFd<'_>) -> Result<(u64, Call)> {
    let mut notification = MaybeUninit::<libc::seccomp_notif>::zeroed();
    libc_call(|| {
        let into = notification.as_mut_ptr();
        // SAFETY: the request reads and writes one structure of this type, whose size is part of the request's
        // number; `into` points to one that is zero, as the kernel demands.
        unsafe { libc::ioctl(raw(&listener), libc::SECCOMP_IOCTL_NOTIF_RECV, into) }.into()
    })?;
    // SAFETY: it is made of integers, all of which were set to zero.
    let notification = unsafe { notification.assume_init() };
    Ok((notification.id, Call { thread: notification.pid, number: notification.data.nr.into() }))
}

/// Lets a call happen that waits.
fn go_on(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(|_| Errno::EINVAL)?;
    let answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    let answered = libc_call(|| {
        // SAFETY: the request reads one structure of this type, which outlives the call.
        unsafe { libc::ioctl(raw(&listener), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) }.into()
    });
    match answered {
        // The thread was killed meanwhile.
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn calls_of_a_thread_and_its_children_are_noted_and_no_others() {
        let root = Arc::new(std::fs::File::open("/").unwrap());
        let (to_thread, work) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let file = Arc::clone(&root);
        let child = move || {
            while work.recv().is_ok() {
                crate::attr::stat(file.as_fd()).unwrap();
                done.send(()).unwrap();
            }
        };
        let trace = Trace::spawn(move || thread::spawn(child).join().unwrap()).unwrap();
        let mut noted = Vec::new();
        for _ in 0..3 {
            to_thread.send(()).unwrap();
            crate::attr::stat(root.as_fd()).unwrap();
            is_done.recv().unwrap();
            noted.extend(trace.take().into_iter().filter(|call| call.name() == "statx"));
        }
        assert_eq!(noted.len(), 3);
        assert!(noted.iter().all(|call| call == &noted[0]), "{noted:?}");
    }
}
