//! Stream sockets: listening, connecting, and the bytes and descriptors that go over them.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use gofer_vfs::{Errno, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};

use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{call, errno, vsock};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(recvfrom),
    syscall!(sendmsg),
    syscall!(shutdown),
    syscall!(ppoll),
    syscall!(write),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_GETFL.cast_unsigned()))]),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_SETFL.cast_unsigned()))]),
    syscall!(getsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_TYPE.cast_unsigned()))]),
    syscall!(getsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_DOMAIN.cast_unsigned()))]),
    syscall!(getsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_ACCEPTCONN.cast_unsigned()))]),
    syscall!(getsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_RCVTIMEO_NEW.cast_unsigned()))]),
    syscall!(getsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_RCVTIMEO.cast_unsigned()))]),
    syscall!(getsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_SNDTIMEO_NEW.cast_unsigned()))]),
    syscall!(getsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_SNDTIMEO.cast_unsigned()))]),
    syscall!(setsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_KEEPALIVE.cast_unsigned()))]),
    syscall!(setsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_RCVTIMEO_NEW.cast_unsigned()))]),
    syscall!(setsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_RCVTIMEO.cast_unsigned()))]),
    syscall!(setsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_SNDTIMEO_NEW.cast_unsigned()))]),
    syscall!(setsockopt).only(&[Arg(1, SOCKET), Arg(2, Is::Equal(libc::SO_SNDTIMEO.cast_unsigned()))]),
    syscall!(setsockopt).only(&[
        Arg(1, Is::Equal(libc::IPPROTO_TCP.cast_unsigned())),
        Arg(2, Is::Equal(libc::TCP_NODELAY.cast_unsigned())),
    ]),
    syscall!(accept4).only(&[Arg(3, Is::Equal(SocketFlags::CLOEXEC.bits()))]).with(Need::Listen),
    syscall!(socketpair)
        .only(&[
            Arg(0, Is::Equal(libc::AF_UNIX.cast_unsigned())),
            Arg(1, Is::Equal(libc::SOCK_SEQPACKET.cast_unsigned() | SocketFlags::CLOEXEC.bits())),
            Arg(2, Is::Equal(0)),
        ])
        .with(Need::Channels),
    syscall!(bind).with(Need::Start),
    syscall!(connect).with(Need::Start),
    syscall!(eventfd2).with(Need::Start),
    syscall!(fchmod).with(Need::Start),
    syscall!(getsockname).with(Need::Start),
    syscall!(listen).with(Need::Start),
    syscall!(recvmsg).with(Need::Start),
    syscall!(socket).with(Need::Start),
];

const SOCKET: Is = Is::Equal(libc::SOL_SOCKET.cast_unsigned());

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: i32 = 128;

pub(crate) fn socket(family: AddressFamily) -> Result<OwnedFd> {
    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(errno)
}

fn unix_address(path: &Path) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new(path).map_err(errno)
}

/// A unix socket that listens at `path`, open to this user only (mode 0600 from its first moment).
///
/// # Errors
/// Those of `bind(2)`: `EADDRINUSE` when the path exists, `ENAMETOOLONG` above 107 bytes.
pub fn listen_unix(path: &Path) -> Result<OwnedFd> {
    let socket = socket(AddressFamily::UNIX)?;
    // The mode of the socket's own inode is what bind(2) gives to the name, less the umask.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(errno)?;
    rustix::net::bind(&socket, &unix_address(path)?).map_err(errno)?;
    rustix::net::listen(&socket, BACKLOG).map_err(errno)?;
    Ok(socket)
}

/// A connection to the unix socket at `path`.
pub fn connect_unix(path: &Path) -> Result<OwnedFd> {
    let socket = socket(AddressFamily::UNIX)?;
    let address = unix_address(path)?;
    call(|| rustix::net::connect(&socket, &address))?;
    Ok(socket)
}

/// Whether somebody listens at the unix socket `path`. It does not wait, also where more connections are to be
/// accepted than may wait.
///
/// # Errors
/// Those of `connect(2)`.
pub fn answers_unix(path: &Path) -> Result<bool> {
    let socket = socket(AddressFamily::UNIX)?;
    set_blocking(socket.as_fd(), false)?;
    let address = unix_address(path)?;
    match call(|| rustix::net::connect(&socket, &address)) {
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        Err(Errno::ECONNREFUSED) => Ok(false),
        Err(error) => Err(error),
    }
}

fn family(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// A TCP socket that listens at `address`.
pub fn listen_tcp(address: &SocketAddr) -> Result<OwnedFd> {
    let socket = socket(family(address))?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(errno)?;
    rustix::net::bind(&socket, address).map_err(errno)?;
    rustix::net::listen(&socket, BACKLOG).map_err(errno)?;
    Ok(socket)
}

/// A TCP connection to `address`.
pub fn connect_tcp(address: &SocketAddr) -> Result<OwnedFd> {
    let socket = socket(family(address))?;
    call(|| rustix::net::connect(&socket, address))?;
    Ok(socket)
}

/// The IP address a socket is bound to; `None` for another family.
pub fn local_ip(socket: BorrowedFd<'_>) -> Result<Option<SocketAddr>> {
    Ok(rustix::net::getsockname(socket).map_err(errno)?.try_into().ok())
}

/// The path a unix socket is bound to; `None` for another family and for sockets without a path.
pub fn local_path(socket: BorrowedFd<'_>) -> Result<Option<Vec<u8>>> {
    let address = rustix::net::getsockname(socket).map_err(errno)?;
    let unix: Option<SocketAddrUnix> = address.try_into().ok();
    Ok(unix.as_ref().and_then(SocketAddrUnix::path_bytes).map(<[u8]>::to_vec))
}

/// Two connected unix stream sockets.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(errno)
}

/// Two connected unix sockets that keep packets apart (`SOCK_SEQPACKET`), for descriptors alone.
pub fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(errno)
}

/// Sends a descriptor and no byte, as a packet, without ever waiting.
///
/// # Errors
/// Those of `sendmsg(2)`: `EAGAIN` when the peer does not take what was sent before, `ETOOMANYREFS` when this
/// user has too many descriptors under way, `EPIPE` when the peer is gone.
pub fn send_descriptor(socket: BorrowedFd<'_>, descriptor: BorrowedFd<'_>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&rights));
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    call(|| rustix::net::sendmsg(socket, &[], &mut control, flags)).map(drop)
}

/// The descriptor of the next packet, without waiting; `None` when there is no packet.
///
/// # Errors
/// `EPROTO` for a packet that holds anything else than one descriptor; what it holds is closed.
pub fn recv_descriptor(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = match call(|| rustix::net::recvmsg(socket, &mut [], &mut control, flags)) {
        Err(Errno::EAGAIN) => return Ok(None),
        other => other?,
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    let cut = message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    match descriptors.pop() {
        _ if cut || !descriptors.is_empty() => Err(Errno::EPROTO),
        last => Ok(last),
    }
}

/// Whether the peer of a connected unix socket has closed it, or has ended.
pub fn is_peer_gone(socket: BorrowedFd<'_>) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    // It fails only for lack of memory, and then is asked again.
    let polled = call(|| poll(&mut fds, Some(&now)));
    polled.is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

/// What kind of stream a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_UNIX`: descriptors can travel on it.
    Unix,
    /// `AF_INET` or `AF_INET6`.
    Ip,
    /// `AF_VSOCK`.
    Vsock,
}

/// The family of a connected or listening stream socket.
///
/// # Errors
/// `ENOTSOCK` for a descriptor that is no socket, `EPROTONOSUPPORT` for a socket that is no stream or of
/// another family.
pub fn family_of(socket: BorrowedFd<'_>) -> Result<Family> {
    if sockopt::socket_type(socket).map_err(errno)? != SocketType::STREAM {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match sockopt::socket_domain(socket).map_err(errno)? {
        AddressFamily::UNIX => Ok(Family::Unix),
        AddressFamily::INET | AddressFamily::INET6 => Ok(Family::Ip),
        vsock if vsock.as_raw() == vsock::FAMILY => Ok(Family::Vsock),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}

/// Whether a socket listens (`SO_ACCEPTCONN`).
pub fn is_listening(socket: BorrowedFd<'_>) -> Result<bool> {
    sockopt::socket_acceptconn(socket).map_err(errno)
}

/// Makes calls on the socket wait or not, whatever whoever opened it had set. All who share the open file
/// description share that too.
pub fn set_blocking(socket: BorrowedFd<'_>, blocks: bool) -> Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(socket).map_err(errno)?;
    flags.set(OFlags::NONBLOCK, !blocks);
    rustix::fs::fcntl_setfl(socket, flags).map_err(errno)
}

/// Sends small messages at once (`TCP_NODELAY`).
pub fn set_nodelay(socket: BorrowedFd<'_>) -> Result<()> {
    sockopt::set_tcp_nodelay(socket, true).map_err(errno)
}

/// Finds out, sooner or later, that a peer has vanished without a word (`SO_KEEPALIVE`, `tcp(7)`).
pub fn set_keepalive(socket: BorrowedFd<'_>) -> Result<()> {
    sockopt::set_socket_keepalive(socket, true).map_err(errno)
}

/// A flag that can be raised once and that [`accept`] watches.
#[derive(Debug)]
pub struct Latch(OwnedFd);

impl Latch {
    /// A latch that is down.
    pub fn new() -> Result<Self> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self).map_err(errno)
    }

    /// Raises it for good.
    pub fn raise(&self) {
        // An eventfd refuses a write only when its counter is full, and then it is raised already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// The next connection to a listening socket; `None` once the latch is up. The listener must not block: whoever
/// shares it may take a connection first, and the latch would not be seen until the next.
///
/// # Errors
/// Those of `accept(2)`. `EMFILE` and its like are worth another try later; connections that ended before
/// they were accepted are passed over.
pub fn accept(listener: BorrowedFd<'_>, until: &Latch) -> Result<Option<OwnedFd>> {
    loop {
        let mut fds =
            [PollFd::new(&until.0, PollFlags::IN), PollFd::from_borrowed_fd(listener, PollFlags::IN)];
        call(|| poll(&mut fds, None))?;
        if !fds[0].revents().is_empty() {
            return Ok(None);
        }
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(socket) => return Ok(Some(socket)),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(errno(error)),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Recv,
    Send,
}

/// Makes a call until it neither is interrupted nor would block. Others may share the socket's open file
/// description and make it non-blocking at any time; it then is waited for here, as long as its timeout says.
pub(crate) fn patiently<T>(
    socket: BorrowedFd<'_>,
    direction: Direction,
    mut f: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T> {
    loop {
        match call(&mut f) {
            Err(Errno::EAGAIN) => wait(socket, direction)?,
            done => return done,
        }
    }
}

/// Waits after `EAGAIN`, and answers that itself when the socket's timeout is over.
fn wait(socket: BorrowedFd<'_>, direction: Direction) -> Result<()> {
    let (events, timeout) = match direction {
        Direction::Recv => (PollFlags::IN, sockopt::Timeout::Recv),
        Direction::Send => (PollFlags::OUT, sockopt::Timeout::Send),
    };
    let limit = sockopt::socket_timeout(socket, timeout).map_err(errno)?;
    let blocks = !rustix::fs::fcntl_getfl(socket).map_err(errno)?.contains(OFlags::NONBLOCK);
    if blocks && limit.is_some() {
        return Err(Errno::EAGAIN);
    }
    let limit = limit.map(Timespec::try_from).transpose().map_err(|_| Errno::EINVAL)?;
    let mut fds = [PollFd::from_borrowed_fd(socket, events)];
    let ready = call(|| poll(&mut fds, limit.as_ref()))?;
    if ready == 0 { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// Waits for bytes and appends them to `into`, at most `limit` and at most as many as it has spare capacity
/// for. 0 is the end of the stream. Descriptors that the peer attached are discarded by the kernel: there is
/// no room for them.
pub fn recv(socket: BorrowedFd<'_>, into: &mut Vec<u8>, limit: usize) -> Result<usize> {
    let filled = into.len();
    let room = limit.min(into.capacity() - filled);
    let spare = &mut into.spare_capacity_mut()[..room];
    let received = patiently(socket, Direction::Recv, || {
        rustix::net::recv(socket, &mut *spare, RecvFlags::empty()).map(|((filled, _), _)| filled.len())
    })?;
    // SAFETY: the kernel initialised the first `received` bytes of the spare capacity, which lies right
    // behind the `filled` bytes and holds at least that many.
    unsafe { into.set_len(filled + received) };
    Ok(received)
}

/// The descriptors that came with some bytes, in their order: no message brings more than two.
pub type Descriptors = [Option<OwnedFd>; 2];

/// As [`recv`], together with the descriptors that came with the bytes: the first two, if there were more. The
/// others are closed.
pub fn recv_with_descriptors(
    socket: BorrowedFd<'_>,
    into: &mut Vec<u8>,
    limit: usize,
) -> Result<(usize, Descriptors)> {
    let filled = into.len();
    let room = limit.min(into.capacity() - filled);
    into.resize(filled + room, 0);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = patiently(socket, Direction::Recv, || {
        let parts = &mut [IoSliceMut::new(&mut into[filled..])];
        rustix::net::recvmsg(socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC)
            .map(|message| message.bytes)
    });
    into.truncate(filled + received.unwrap_or(0));
    let mut came = Descriptors::default();
    let mut room = came.iter_mut();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                if let Some(place) = room.next() {
                    *place = Some(descriptor);
                }
            }
        }
    }
    received.map(|received| (received, came))
}

/// Sends all of `head` and then all of `payload`. Descriptors, two at most, travel with the first byte, and the
/// same call carries nothing that was sent before.
pub fn send(
    socket: BorrowedFd<'_>,
    mut head: &[u8],
    mut payload: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::EINVAL);
    }
    while !head.is_empty() || !payload.is_empty() {
        let parts = [IoSlice::new(head), IoSlice::new(payload)];
        let sent = patiently(socket, Direction::Send, || {
            rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL)
        })?;
        control.clear();
        let of_head = sent.min(head.len());
        head = &head[of_head..];
        payload = &payload[sent - of_head..];
    }
    Ok(())
}

/// Makes [`recv`] answer `EAGAIN` after `limit` without a byte; `None` waits for ever.
pub fn set_recv_timeout(socket: BorrowedFd<'_>, limit: Option<Duration>) {
    // It fails only for a limit that is no time, and the wait is then as long as before.
    let _ = sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, limit);
}

/// Makes [`send`] answer `EAGAIN` when the peer has taken nothing for `limit`; `None` waits for ever.
pub fn set_send_timeout(socket: BorrowedFd<'_>, limit: Option<Duration>) {
    // As above.
    let _ = sockopt::set_socket_timeout(socket, sockopt::Timeout::Send, limit);
}

/// The process at the other end of a unix socket (`SO_PEERCRED`): the one that listened, or that made the pair.
///
/// # Errors
/// `ENOTCONN` or `EOPNOTSUPP` for a socket of another family.
pub fn peer_process(socket: BorrowedFd<'_>) -> Result<u32> {
    let peer = sockopt::socket_peercred(socket).map_err(errno)?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).map_err(|_| Errno::ESRCH)
}

/// Ends both directions: whoever waits on the socket returns, and the peer sees the end.
pub fn shutdown(socket: BorrowedFd<'_>) {
    // It fails only for a socket that is not connected any more.
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
}

/// Takes no more input; what was received already can still be read and answered.
pub fn shutdown_input(socket: BorrowedFd<'_>) {
    // As above.
    let _ = rustix::net::shutdown(socket, Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_another_made_non_blocking_is_waited_for() {
        let (a, b) = pair().unwrap();
        set_blocking(a.as_fd(), false).unwrap();
        let mut got = Vec::with_capacity(1);
        set_recv_timeout(a.as_fd(), Some(Duration::from_millis(1)));
        assert_eq!(recv(a.as_fd(), &mut got, 1), Err(Errno::EAGAIN));
        assert_eq!(recv_with_descriptors(a.as_fd(), &mut got, 1).err(), Some(Errno::EAGAIN));
        set_recv_timeout(a.as_fd(), None);
        // More than the buffers hold.
        let much = vec![7; 8 << 20];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut taken = Vec::with_capacity(much.len());
                while taken.len() < much.len() {
                    let limit = much.len() - taken.len();
                    assert_ne!(recv(b.as_fd(), &mut taken, limit), Ok(0));
                }
                send(b.as_fd(), b"x", b"", &[]).unwrap();
            });
            send(a.as_fd(), b"", &much, &[]).unwrap();
            assert_eq!(recv(a.as_fd(), &mut got, 1), Ok(1));
        });
    }

    #[test]
    fn bytes_and_a_descriptor_arrive_together() {
        let (a, b) = pair().unwrap();
        send(a.as_fd(), b"head", b"payload", &[b.as_fd()]).unwrap();
        let mut got = Vec::with_capacity(64);
        recv(b.as_fd(), &mut got, 64).unwrap();
        assert_eq!(got, b"headpayload");
        got.clear();
        send(a.as_fd(), b"one", b"", &[b.as_fd()]).unwrap();
        send(a.as_fd(), b"two", b"", &[]).unwrap();
        let (n, [descriptor, _]) = recv_with_descriptors(b.as_fd(), &mut got, 64).unwrap();
        let descriptor = descriptor.unwrap();
        assert_eq!((n, &got[..]), (3, &b"one"[..]), "bytes behind a descriptor do not come with it");
        let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let (n, [descriptor, _]) = recv_with_descriptors(b.as_fd(), &mut got, 2).unwrap();
        assert_eq!((n, &got[..], descriptor.is_none()), (2, &b"onetw"[..], true));
        recv(b.as_fd(), &mut got, 1).unwrap();
        shutdown(a.as_fd());
        assert_eq!(recv(b.as_fd(), &mut got, 64), Ok(0));
        assert_eq!(family_of(a.as_fd()), Ok(Family::Unix));
    }

    #[test]
    fn what_is_more_than_two_descriptors_is_closed() {
        let (a, b) = pair().unwrap();
        let mut given: Vec<_> = (0..3).map(|_| pair().unwrap()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let rights: Vec<_> = given.iter().map(|(theirs, _)| theirs.as_fd()).collect();
        control.push(SendAncillaryMessage::ScmRights(&rights));
        rustix::net::sendmsg(&a, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        let kept: Vec<_> = given.drain(..).map(|(_, ours)| ours).collect();
        let (n, came) = recv_with_descriptors(b.as_fd(), &mut Vec::with_capacity(8), 8).unwrap();
        assert_eq!((n, came.iter().flatten().count()), (1, 2));
        let is_open = |socket: &OwnedFd| !is_peer_gone(socket.as_fd());
        assert_eq!(kept.iter().map(is_open).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn packets_carry_one_descriptor_each_and_never_wait() {
        let (ours, theirs) = packet_pair().unwrap();
        shutdown_input(ours.as_fd());
        assert!(matches!(recv_descriptor(theirs.as_fd()), Ok(None)), "nothing is there");
        assert!(!is_peer_gone(theirs.as_fd()));
        let mut sent = 0;
        let refused = loop {
            match send_descriptor(ours.as_fd(), ours.as_fd()) {
                Ok(()) => sent += 1,
                Err(errno) => break errno,
            }
        };
        assert_eq!(refused, Errno::EAGAIN, "nobody takes them");
        for _ in 0..sent {
            assert!(recv_descriptor(theirs.as_fd()).unwrap().is_some());
        }
        assert!(matches!(recv_descriptor(theirs.as_fd()), Ok(None)), "one for each that was sent");
        assert_eq!(send_descriptor(theirs.as_fd(), ours.as_fd()), Err(Errno::EPIPE), "not taken here");

        let (ours, theirs) = packet_pair().unwrap();
        send(ours.as_fd(), b"x", b"", &[ours.as_fd()]).unwrap();
        assert!(matches!(recv_descriptor(theirs.as_fd()), Err(Errno::EPROTO)), "it carries bytes");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let rights = [ours.as_fd(), theirs.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&rights));
        rustix::net::sendmsg(&ours, &[], &mut control, SendFlags::empty()).unwrap();
        assert!(matches!(recv_descriptor(theirs.as_fd()), Err(Errno::EPROTO)), "it carries two");
        drop(ours);
        assert!(is_peer_gone(theirs.as_fd()));
        assert!(matches!(recv_descriptor(theirs.as_fd()), Ok(None)), "the other end is gone");
        assert_eq!(send_descriptor(theirs.as_fd(), theirs.as_fd()), Err(Errno::EPIPE));
    }

    #[test]
    fn a_raised_latch_ends_accept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = listen_unix(&path).unwrap();
        assert_eq!(listen_unix(&path).err(), Some(Errno::EADDRINUSE));
        assert!(is_listening(listener.as_fd()).unwrap());
        let latch = Latch::new().unwrap();
        let _client = connect_unix(&path).unwrap();
        assert!(accept(listener.as_fd(), &latch).unwrap().is_some());
        latch.raise();
        assert!(accept(listener.as_fd(), &latch).unwrap().is_none());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
