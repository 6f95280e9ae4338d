//! The unix sockets in a tree: connecting to them, and making new ones.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gofer_vfs::{Credentials, Errno, Name, Result, SocketKind};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Gid, Uid};

use crate::open::ProcFd;
use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{call, capability, errno, net};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(connect).with(Need::HostSockets),
    syscall!(socket).only(&KINDS).with(Need::HostSockets),
    syscall!(socket).only(&KINDS).with(Need::NewSockets),
    syscall!(bind).with(Need::NewSockets),
    syscall!(fchmod).with(Need::NewSockets),
    syscall!(listen).with(Need::NewSockets),
    syscall!(accept4).only(&[Arg(3, Is::Equal(FLAGS))]).with(Need::NewSockets),
    syscall!(setresgid).with(Need::Credentials),
    syscall!(setresuid).with(Need::Credentials),
];

/// A stream, datagram or packet socket that does not wait: the kinds are 1, 2 and 5.
const KINDS: [Arg; 3] = [Arg(0, Is::Equal(UNIX)), Arg(1, Is::Bits(!7, FLAGS)), Arg(2, Is::Equal(0))];
const UNIX: u32 = libc::AF_UNIX.cast_unsigned();
const FLAGS: u32 = NEW.bits();
/// How all sockets are made here: they do not wait.
const NEW: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

fn socket(kind: SocketKind) -> Result<OwnedFd> {
    let kind = match kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
        SocketKind::SeqPacket => SocketType::SEQPACKET,
    };
    call(|| rustix::net::socket_with(AddressFamily::UNIX, kind, NEW, None))
}

/// Connects to the socket that `node` is, without waiting; as another user where one is named and this process may be
/// that user. The connection does not wait either. It is the file that is connected to, whatever the length of its
/// path and whatever its name stands for now.
///
/// # Errors
/// Those of `connect(2)`: `EAGAIN` when the queue is full, `EPROTOTYPE` for another kind of socket,
/// `ECONNREFUSED` when nobody listens and for a file that is no socket.
pub fn connect(
    procfd: &ProcFd,
    node: BorrowedFd<'_>,
    kind: SocketKind,
    user: Option<Credentials>,
) -> Result<OwnedFd> {
    let socket = socket(kind)?;
    let address = SocketAddrUnix::new(procfd.number(node)).map_err(errno)?;
    procfd.within(|| {
        if let Some(user) = user {
            become_user(user)?;
        }
        call(|| rustix::net::connect(&socket, &address))
    })?;
    Ok(socket)
}

/// Makes the calling thread act as another user, as far as it may (`setresuid(2)`), and with that user's rights. To be
/// called on a thread that does nothing else afterwards.
fn become_user(user: Credentials) -> Result<()> {
    // Who may not be another stays who he is: that is what the peer of the connection then sees.
    let (uid, gid) = (Uid::from_raw(user.uid.0), Gid::from_raw(user.gid.0));
    let is_other = rustix::thread::set_thread_res_gid(gid, gid, gid).is_ok()
        && rustix::thread::set_thread_res_uid(uid, uid, uid).is_ok();
    // They do not go with the user where root is not special any more (`capability::keep`).
    if is_other && !uid.is_root() { capability::give_up() } else { Ok(()) }
}

/// Makes a socket and gives it a name in a directory. It neither listens nor waits. The process's umask applies to
/// `perm` (07777).
///
/// # Errors
/// Those of `bind(2)`: `EADDRINUSE` when the name is taken; `EINVAL` when it is too long for an address.
pub fn bind(
    procfd: &ProcFd,
    dir: BorrowedFd<'_>,
    name: Name<'_>,
    kind: SocketKind,
    perm: u32,
) -> Result<OwnedFd> {
    let socket = socket(kind)?;
    // The mode of the socket's own inode is what bind(2) gives to the name, less the umask.
    call(|| rustix::fs::fchmod(&socket, Mode::from_raw_mode(perm & 0o7777)))?;
    let path = [procfd.number(dir).as_bytes(), b"/", name.as_bytes()].concat();
    let address = SocketAddrUnix::new(path).map_err(|_| Errno::EINVAL)?;
    procfd.within(|| call(|| rustix::net::bind(&socket, &address)))?;
    Ok(socket)
}

/// Makes a bound socket listen (`listen(2)`).
///
/// # Errors
/// Those of `listen(2)`.
pub fn listen(socket: BorrowedFd<'_>, backlog: i32) -> Result<()> {
    call(|| rustix::net::listen(socket, backlog))
}

/// Takes a connection that waits on a socket that listens. Neither does it wait for one, nor the connection later:
/// whoever shares the socket's open file description may have made that wait.
///
/// # Errors
/// Those of `accept(2)`: `EAGAIN` when there is none, `EINVAL` when the socket does not listen.
pub fn accept(socket: BorrowedFd<'_>) -> Result<OwnedFd> {
    net::set_blocking(socket, false)?;
    call(|| rustix::net::accept_with(socket.as_fd(), NEW))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use gofer_vfs::{Gid, Uid};

    use super::*;
    use crate::capability::Capability;

    /// What keeps its capabilities when it becomes another user would be let in as root is.
    #[test]
    fn another_user_has_the_rights_of_that_user_only() {
        if crate::process::user().0 != Uid(0) {
            return eprintln!("SKIP: only root can act as another user");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let (procfd, node) = (ProcFd::open().unwrap(), crate::walk::open_root(&path).unwrap());
        let connect = |mode, id| {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let user = Credentials { uid: Uid(id), gid: Gid(id) };
            connect(&procfd, node.as_fd(), SocketKind::Stream, Some(user)).map(drop)
        };
        let connected = std::thread::scope(|scope| {
            let sealed = || {
                let kept = [Capability::DacOverride, Capability::Setuid, Capability::Setgid];
                assert_eq!(capability::keep(&kept), Ok(true));
                [connect(0o600, 1), connect(0o606, 1), connect(0o000, 0)]
            };
            scope.spawn(sealed).join().unwrap()
        });
        assert_eq!(connected, [Err(Errno::EACCES), Ok(()), Ok(())]);
    }
}
