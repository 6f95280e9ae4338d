//! lisafs byte for byte, and what holds for all bytes.

use gofer_vfs::{Name, PeerGid, PeerUid};
use gofer_wire::lisafs::*;
use gofer_wire::{DecodeError, List, ListBuf, Reader, Str, Wire, lisafs_operations};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn encoded<'a>(message: &impl Wire<'a>) -> Vec<u8> {
    let mut all = Vec::new();
    message.encode(&mut all);
    all.extend_from_slice(message.payload());
    all
}

/// A request's payload in both directions.
fn request<'a, M: Operation<'a> + PartialEq + std::fmt::Debug>(message: M, payload: &'a [u8]) {
    assert_eq!(encoded(&message), payload, "{}", M::NUMBER);
    assert_eq!(M::decode(&mut Reader::new(payload)), Ok(message));
}

/// A reply's payload in both directions.
fn reply<'a, M: Wire<'a> + PartialEq + std::fmt::Debug>(message: M, payload: &'a [u8]) {
    assert_eq!(encoded(&message), payload);
    assert_eq!(M::decode(&mut Reader::new(payload)), Ok(message));
}

fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).expect("a name")
}

fn s(text: &str) -> Str<'_> {
    Str::new(text.as_bytes()).expect("short")
}

fn list<'b, T: Wire<'b>>(buffer: &'b mut Vec<u8>, elements: impl IntoIterator<Item = T>) -> List<'b, T> {
    let mut list = ListBuf::new(buffer);
    for element in elements {
        assert!(list.push(&element));
    }
    list.finish()
}

fn create(uid: u32, gid: u32, mode: u16) -> Create {
    Create { dir: FdId(1), uid: PeerUid(uid), gid: PeerGid(gid), mode, pad: Pad }
}

const NOBODY: (PeerUid, PeerGid) = (PeerUid::NONE, PeerGid::NONE);

#[test]
fn bytes_may_begin_elsewhere() {
    let (mut whole, mut head) = (Vec::new(), Vec::new());
    frame(PReadReq::NUMBER, &PReadResp { data: Taken(&[1; 70_000]) }, &mut whole);
    frame(PReadReq::NUMBER, &PReadResp { data: Taken(&[1; 3]) }, &mut head);
    lengthen(&mut head, 69_997);
    assert_eq!(head, whole);
}

#[test]
fn frames_are_those_of_the_protocol() {
    let mut head = Vec::new();
    assert_eq!(frame(MountReq::NUMBER, &MountReq, &mut head), b"");
    assert_eq!(head, bytes("00000000 0100 0000"));
    frame(Failure::NUMBER, &Failure { errno: 2 }, &mut head);
    assert_eq!(head, bytes("04000000 0000 0000 02000000"));
    datagram(Failure::NUMBER, &Failure { errno: 2 }, &mut head);
    assert_eq!(head, bytes("0000 00 00 02000000"));
    datagram(FStatReq::NUMBER, &FStatReq { fd: FdId(1) }, &mut head);
    assert_eq!(head, bytes("0300 00 00 0100000000000000"));
    let read = PReadResp { data: Taken(b"abc") };
    assert_eq!(datagram(PReadReq::NUMBER, &read, &mut head), b"abc");
    assert_eq!(head, bytes("0c00 00 00 0300000000000000"));
    assert_eq!(frame(PReadReq::NUMBER, &read, &mut head), b"abc");
    assert_eq!(head, bytes("0b000000 0c00 0000 0300000000000000"));
    let header = bytes("d6000000 0100 ffff");
    assert_eq!(Header::decode(header.first_chunk().unwrap()), Header { length: 214, number: 1 });
}

#[test]
fn sessions_and_walks() {
    let mut room = Vec::new();
    let (names, fds) = (
        bytes("0100000000000000 0200 0300657463 0500 68656c6c6f"),
        bytes("0200 0300000000000000 0400000000000000"),
    );
    request(WalkReq { dir: FdId(1), names: list(&mut room, [s("etc"), s("hello")]) }, &names);
    let own = bytes("8877665544332211 0100 0000");
    let mut room = Vec::new();
    request(WalkStatReq { dir: FdId(0x1122_3344_5566_7788), names: list(&mut room, [s("")]) }, &own);
    let mut room = Vec::new();
    request(CloseReq { fds: list(&mut room, [FdId(3), FdId(4)]) }, &fds);
    reply(ChannelResp { offset: 2 << 20, length: 2 << 20 }, &bytes("0000200000000000 0000200000000000"));

    let time = |sec, nsec| Timestamp { sec, nsec, pad: Pad };
    let stat = Statx {
        mask: 0x7FF,
        blksize: 4096,
        attributes: 0,
        nlink: 1,
        uid: PeerUid(1000),
        gid: PeerGid(100),
        mode: 0o100_644,
        pad: Pad,
        ino: 0x1234,
        size: 6,
        blocks: 8,
        attributes_mask: 0,
        atime: time(1, 2),
        btime: time(0, 0),
        ctime: time(3, 4),
        mtime: time(5, 6),
        rdev_major: 0,
        rdev_minor: 0,
        dev_major: 254,
        dev_minor: 1,
    };
    assert_eq!(encoded(&stat).len(), Statx::LEN);
    let inode = Inode { fd: FdId(7), stat };
    assert_eq!(encoded(&inode).len(), Inode::LEN);
    let payload = bytes(
        "01 0100 0700000000000000 ff070000 00100000 0000000000000000 01000000 e8030000 64000000 a481 0000 \
         3412000000000000 0600000000000000 0800000000000000 0000000000000000 0100000000000000 02000000 00000000 \
         0000000000000000 00000000 00000000 0300000000000000 04000000 00000000 0500000000000000 06000000 00000000 \
         00000000 00000000 fe000000 01000000",
    );
    assert_eq!(payload.len(), WalkResp::encoded_len(1));
    let mut room = Vec::new();
    let inodes = list(&mut room, [inode]);
    reply(WalkResp { status: WalkStatus::DOES_NOT_EXIST, inodes }, &payload);
    let mut room = Vec::new();
    assert_eq!(
        encoded(&WalkStatResp { stats: list(&mut room, [stat, stat]) }).len(),
        WalkStatResp::encoded_len(2)
    );

    let mut room = Vec::new();
    let mount = MountResp { root: inode, payload_max: PAYLOAD_MAX, numbers: list(&mut room, 1..=28) };
    assert_eq!(encoded(&mount).len(), 214);
    assert!(encoded(&mount)[152..].starts_with(&bytes("00f01f00 1c00 0100 0200 0300")));
}

#[test]
fn files() {
    request(
        OpenAtReq { fd: FdId(7), flags: 2 | OpenAtReq::TRUNC, pad: Pad },
        &bytes("0700000000000000 02020000 00000000"),
    );
    request(
        OpenCreateAtReq { create: create(1000, 100, 0o640), flags: 2, name: name("new") },
        &bytes("0100000000000000 e8030000 64000000 a001 000000000000 02000000 0300 6e6577"),
    );
    request(
        PReadReq { offset: 4096, fd: FdId(8), count: 512, pad: Pad },
        &bytes("0010000000000000 0800000000000000 00020000 00000000"),
    );
    reply(PReadResp { data: Taken(b"abc") }, &bytes("0300000000000000 616263"));
    let write = bytes("0500000000000000 0800000000000000 03000000 78797a");
    request(PWriteReq { offset: 5, fd: FdId(8), data: Written(b"xyz") }, &write);
    let head = PWriteHead::decode(&mut Reader::new(&write[..PWriteHead::LEN]));
    assert_eq!(head, Ok(PWriteHead { offset: 5, fd: FdId(8), count: 3 }));
    request(
        Getdents64Req { fd: FdId(9), count: -4096, pad: Pad },
        &bytes("0900000000000000 00f0ffff 00000000"),
    );
    let entry = Dirent { ino: 0x1234, dev_minor: 1, dev_major: 254, offset: 99, kind: 8, name: s("f") };
    assert_eq!((encoded(&entry).len(), Dirent::record_len(1)), (Dirent::encoded_len(1), 24));
    // A `struct linux_dirent64`: 19 bytes, the name and its zero, rounded up to eight.
    for (name_len, record_len) in [(1, 24), (4, 24), (5, 32), (12, 32), (13, 40), (255, 280)] {
        assert_eq!(Dirent::record_len(name_len), record_len);
    }
    let mut room = Vec::new();
    let mut entries = ListBuf::new(&mut room);
    assert!(entries.push_dirent(&entry));
    let entries = Dirents(entries.finish());
    reply(
        Getdents64Resp { entries },
        &bytes("0100 3412000000000000 01000000 fe000000 6300000000000000 08 0100 66"),
    );
    let still = Timespec { sec: 0, nsec: 0 };
    let (uid, gid) = NOBODY;
    let mask = SetStatReq::MODE | SetStatReq::SIZE;
    let set = SetStatReq { fd: FdId(7), mask, mode: 0o600, uid, gid, size: 100, atime: still, mtime: still };
    let fields = "0700000000000000 02020000 80010000 ffffffff ffffffff 6400000000000000";
    request(set, &[bytes(fields), vec![0; 32]].concat());
    let all = SetStatReq { mask: SetStatReq::ALL, ..set };
    let fields = "0700000000000000 7a020000 80010000 ffffffff ffffffff 6400000000000000";
    request(all, &[bytes(fields), vec![0; 32]].concat());
}

#[test]
fn names() {
    request(
        RenameAtReq { old_dir: FdId(1), new_dir: FdId(2), old_name: name("a"), new_name: name("bc") },
        &bytes("0100000000000000 0200000000000000 0100 61 0200 6263"),
    );
    request(
        RenameAt2Req {
            old_dir: FdId(1),
            new_dir: FdId(2),
            old_name: name("a"),
            new_name: name("bc"),
            flags: 1,
        },
        &bytes("0100000000000000 0200000000000000 0100 61 0200 6263 01000000"),
    );
    request(
        SymlinkAtReq { dir: FdId(1), uid: PeerUid(0), gid: PeerGid(0), name: name("l"), target: s("/t") },
        &bytes("0100000000000000 00000000 00000000 0100 6c 0200 2f74"),
    );
    request(
        MknodAtReq { create: create(0, 0, 0o100_644), minor: 5, major: 6, name: name("n") },
        &bytes("0100000000000000 00000000 00000000 a481 000000000000 05000000 06000000 0100 6e"),
    );
    request(
        UnlinkAtReq { dir: FdId(1), flags: UnlinkAtReq::REMOVEDIR, name: name("d") },
        &bytes("0100000000000000 00020000 0100 64"),
    );
    request(
        LinkAtReq { dir: FdId(1), target: FdId(7), name: name("h") },
        &bytes("0100000000000000 0700000000000000 0100 68"),
    );
    request(
        FSetXattrReq { fd: FdId(7), flags: 1, name: s("user.a"), value: s("v") },
        &bytes("0700000000000000 01000000 0600 757365722e61 0100 76"),
    );
}

#[test]
fn sockets() {
    request(
        BindAtReq { create: create(0, 0, 0o755), kind: 1, name: name("s") },
        &bytes("0100000000000000 00000000 00000000 ed01 000000000000 01000000 0100 73"),
    );
    request(ListenReq { fd: FdId(11), backlog: 5, pad: Pad }, &bytes("0b00000000000000 05000000 00000000"));
    let connect = ConnectReq { fd: FdId(5), kind: 1, pad: Pad };
    request(
        ConnectWithCredsReq { connect, uid: PeerUid(1000), gid: PeerGid(100) },
        &bytes("0500000000000000 01000000 00000000 e8030000 64000000"),
    );
}

/// Number, name, whether it changes something, payload bytes with all strings and lists empty, and of those the
/// ones that names add at least.
const TABLE: &[(u16, &str, bool, usize, usize)] = &[
    (1, "Mount", false, 0, 0),
    (2, "Channel", false, 0, 0),
    (3, "FStat", false, 8, 0),
    (4, "SetStat", true, 64, 0),
    (5, "Walk", false, 10, 0),
    (6, "WalkStat", false, 10, 0),
    (7, "OpenAt", false, 16, 0),
    (8, "OpenCreateAt", true, 30, 1),
    (9, "Close", false, 2, 0),
    (10, "FSync", false, 2, 0),
    (11, "PWrite", true, 20, 0),
    (12, "PRead", false, 24, 0),
    (13, "MkdirAt", true, 26, 1),
    (14, "MknodAt", true, 34, 1),
    (15, "SymlinkAt", true, 20, 1),
    (16, "LinkAt", true, 18, 1),
    (17, "FStatFs", false, 8, 0),
    (18, "FAllocate", true, 32, 0),
    (19, "ReadLinkAt", false, 8, 0),
    (20, "Flush", false, 8, 0),
    (21, "Connect", false, 16, 0),
    (22, "UnlinkAt", true, 14, 1),
    (23, "RenameAt", true, 20, 2),
    (24, "Getdents64", false, 16, 0),
    (25, "FGetXattr", false, 14, 0),
    (26, "FSetXattr", true, 16, 0),
    (27, "FListXattr", false, 16, 0),
    (28, "FRemoveXattr", true, 10, 0),
    (29, "BindAt", true, 30, 1),
    (30, "Listen", false, 16, 0),
    (31, "Accept", false, 8, 0),
    (32, "ConnectWithCreds", false, 24, 0),
    (33, "RenameAt2", true, 24, 2),
];

#[test]
fn numbers_names_and_sizes_are_those_of_the_protocol() {
    assert!(TABLE.iter().map(|row| row.0).eq(NUMBERS.iter().copied()));
    for &(number, name, changes_something, size, names) in TABLE {
        assert_eq!(changes(number), changes_something, "{name}");
        // Every two bytes can be the length of a string of one byte, or a list of one element.
        let long = [1, 0].repeat(200);
        let empty = vec![0; size];
        let payload = if names == 0 { &empty } else { &long };
        let shortest = (0..=payload.len()).find(|len| Request::decode(number, &payload[..*len]).is_ok());
        let Some(shortest) = shortest else {
            assert!(names > 0, "{name} of {size} zeros");
            continue;
        };
        assert!(shortest >= size, "{name} has {shortest} bytes");
        assert!(names > 0 || shortest == size, "{name} has {shortest} bytes");
        assert_eq!(Request::decode(number, payload).unwrap().name(), name);
    }
    for number in [0, 34, 0xFFFF] {
        assert_eq!(Request::decode(number, &[0; 200]), Err(DecodeError::Unknown(number)));
    }
}

/// Calls the function for a type of a request and of its reply.
macro_rules! both_ways {
    ($payload:ident $($number:literal $effect:ident $variant:ident $name:ident: $request:ident $(<$a:lifetime>)? => $reply:ident $(<$b:lifetime>)?;)*) => { $(
        round_trip::<$request>($payload);
        round_trip::<$reply>($payload);
    )* };
}

/// Whatever is a message is written as it was read, padding aside, and what is cut short is none.
fn round_trip<'a, M: Wire<'a> + PartialEq + std::fmt::Debug>(payload: &'a [u8]) {
    let Ok(message) = M::decode(&mut Reader::new(payload)) else { return };
    let again = encoded(&message);
    // Padding is all that differs, and is zero.
    assert!(again.iter().zip(payload).all(|(written, read)| written == read || *written == 0));
    for cut in [0, again.len() / 2, again.len().saturating_sub(1)] {
        let result = M::decode(&mut Reader::new(&payload[..cut]));
        assert!(cut == again.len() || result.is_err(), "{message:?} cut to {cut}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_what_is_written(mut payload in vec(any::<u8>(), 0..400), zeros in any::<u32>()) {
        // Small numbers, so that there are strings and lists.
        for (at, byte) in payload.iter_mut().enumerate() {
            if zeros >> (at % 32) & 1 == 0 {
                *byte = 0;
            }
        }
        let payload = &payload;
        lisafs_operations!(both_ways payload);
    }
}
