//! Whole connections: order, what travels with which byte, and what is too long.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use gofer_server::Server;
use gofer_transport::flipcall::{Caller, End, Offer, Waiting};
use gofer_transport::{ClientStream, Socket, Stream};

use super::*;

/// A server of a directory, and a client's end of a connection.
fn serve(dir: &TempDir) -> UnixStream {
    let backend = Access::ReadWrite(LocalFs::open(dir.path()).expect("an export"));
    let export = Export { name: None, backend, policy: everything() };
    let server = Server::new(vec![export], Limits::default()).expect("a server");
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    server
        .connect_lisafs(Socket::from_fd(theirs.into()).expect("a socket"), 0, Settings::default())
        .expect("it can be done");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("it can be done");
    ours
}

fn request<'a, M: Operation<'a>>(message: &M) -> Vec<u8> {
    let mut head = Vec::new();
    let rest = frame(M::NUMBER, message, &mut head);
    [&head, rest].concat()
}

/// The number and payload of the next reply.
fn reply(stream: &mut UnixStream) -> (u16, Vec<u8>) {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).expect("as much as is announced");
    let header = Header::decode(&header);
    let mut payload = vec![0; header.length as usize];
    stream.read_exact(&mut payload).expect("as much as is announced");
    (header.number, payload)
}

fn failure(errno: Errno) -> (u16, Vec<u8>) {
    (0, errno.on_wire().to_le_bytes().to_vec())
}

#[test]
fn requests_are_answered_in_their_order_however_they_come() {
    let dir = TempDir::new().unwrap();
    let mut stream = serve(&dir);
    let (mut room, mut all) = (Vec::new(), request(&MountReq));
    for name in ["one", "two"] {
        let create = create(FdId(1), 0o755);
        all.extend(request(&MkdirAtReq { create, name: named(name) }));
    }
    all.extend(request(&WalkReq { dir: FdId(1), names: names(&mut room, "two") }));
    all.extend(request(&FStatReq { fd: FdId(9) }));
    for part in all.chunks(7) {
        stream.write_all(part).unwrap();
    }
    let numbers: Vec<_> = (0..5).map(|_| reply(&mut stream).0).collect();
    assert_eq!(numbers, [1, 13, 13, 5, 0]);
}

#[test]
fn what_is_too_long_is_dropped_and_refused() {
    let dir = TempDir::new().unwrap();
    let mut stream = serve(&dir);
    for length in [PAYLOAD_MAX + 1, 8 << 20] {
        stream.write_all(&[&length.to_le_bytes()[..], &[11, 0, 0, 0]].concat()).unwrap();
        stream.write_all(&vec![0; length as usize]).unwrap();
        assert_eq!(reply(&mut stream), failure(Errno::EIO));
    }
    stream.write_all(&request(&MountReq)).unwrap();
    assert_eq!(reply(&mut stream).0, 1, "it goes on");
    stream.write_all(&[1, 0, 0, 4, 11, 0, 0, 0]).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more than anybody drops");
}

#[test]
fn a_descriptor_comes_with_the_first_byte_of_its_reply() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("f"), "content").unwrap();
    let stream = serve(&dir);
    let socket = Socket::from_fd(stream.into()).unwrap();
    let mut room = Vec::new();
    let walk = WalkReq { dir: FdId(1), names: names(&mut room, "f") };
    let open = OpenAtReq { fd: FdId(2), flags: 0, pad: Pad };
    let mut received = Vec::with_capacity(4096);
    for bytes in [request(&MountReq), request(&walk)] {
        socket.send(&bytes, b"", &[]).unwrap();
        received.clear();
        let (_, [descriptor, _]) = socket.recv_with_descriptors(&mut received, 4096).unwrap();
        assert!(descriptor.is_none());
    }
    socket.send(&request(&open), b"", &[]).unwrap();
    received.clear();
    let (_, [descriptor, _]) = socket.recv_with_descriptors(&mut received, HEADER).unwrap();
    let mut content = String::new();
    std::fs::File::from(descriptor.unwrap()).read_to_string(&mut content).unwrap();
    assert_eq!((content.as_str(), &received[4..6]), ("content", &[7, 0][..]));
}

/// They go to the socket without a copy, as much of them as a pipe holds.
#[test]
fn large_reads_arrive_whole() {
    let dir = TempDir::new().unwrap();
    let content: Vec<u8> = (0..=250).cycle().take((2 << 20) + 100).collect();
    std::fs::write(dir.path().join("f"), &content).unwrap();
    let mut stream = serve(&dir);
    let mut room = Vec::new();
    let walk = WalkReq { dir: FdId(1), names: names(&mut room, "f") };
    let open = OpenAtReq { fd: FdId(2), flags: 0, pad: Pad };
    stream.write_all(&[request(&MountReq), request(&walk), request(&open)].concat()).unwrap();
    let opened = (0..3).map(|_| reply(&mut stream)).last().unwrap();
    let OpenAtResp { fd } = OpenAtResp::decode(&mut Reader::new(&opened.1)).unwrap();
    for (offset, count) in [(0, 32_768), (5, 40_000), (7, 3 << 19), (content.len() - 33_000, 50_000)] {
        let pread = PReadReq { offset: offset as u64, fd, count: u32::try_from(count).unwrap(), pad: Pad };
        stream.write_all(&request(&pread)).unwrap();
        let (number, payload) = reply(&mut stream);
        let expected = &content[offset..content.len().min(offset + count)];
        assert_eq!((number, &payload[..8]), (PReadReq::NUMBER, &(expected.len() as u64).to_le_bytes()[..]));
        assert!(payload[8..] == *expected, "{offset} {count}");
    }
}

/// A channel of a connection.
fn channel(stream: &mut UnixStream) -> Caller {
    stream.write_all(&request(&ChannelReq)).expect("it can be done");
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 64];
    let flags = rustix::net::RecvFlags::CMSG_CLOEXEC;
    let parts = &mut [std::io::IoSliceMut::new(&mut bytes)];
    let got = rustix::net::recvmsg(&*stream, parts, &mut control, flags).expect("a reply");
    let mut descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            rustix::net::RecvAncillaryMessage::ScmRights(all) => Some(all),
            _ => None,
        })
        .flatten()
        .collect();
    let (side, file) = (descriptors.pop().expect("a descriptor"), descriptors.pop().expect("a descriptor"));
    let ChannelResp { length, .. } =
        ChannelResp::decode(&mut Reader::new(&bytes[HEADER..got.bytes])).expect("a reply");
    Caller::new(Offer { file, offset: 0, length, side }, Waiting::Sleep).expect("it can be done")
}

#[test]
fn a_datagram_without_a_head_ends_its_channel() {
    let dir = TempDir::new().unwrap();
    let mut stream = serve(&dir);
    for short in [&b"\x03"[..], b"\x03\0\0"] {
        let mut caller = channel(&mut stream);
        assert_eq!(caller.call(short, b"").err(), Some(End::Closed), "{short:?}");
    }
    stream.write_all(&request(&MountReq)).unwrap();
    assert_eq!(reply(&mut stream).0, 1, "the connection goes on");
}

#[test]
fn channels_end_with_their_connection_and_not_the_other_way_round() {
    let dir = TempDir::new().unwrap();
    let mut stream = serve(&dir);
    let (mut one, mut other) = (channel(&mut stream), channel(&mut stream));
    let mut head = Vec::new();
    datagram(99, &Done, &mut head);
    assert!(one.call(&head, b"").is_ok());
    drop(one);
    assert!(other.call(&head, b"").is_ok());
    stream.write_all(&request(&MountReq)).unwrap();
    assert_eq!(reply(&mut stream).0, 1);
    drop(stream);
    let end = loop {
        // The server may not have seen yet that the connection is gone.
        if let Err(end) = other.call(&head, b"").map(drop) {
            break end;
        }
    };
    assert_eq!(end, End::Closed);
}
