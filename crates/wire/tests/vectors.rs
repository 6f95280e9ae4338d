//! Frames byte for byte, decoded and encoded.

use gofer_vfs::{Name, PeerGid, PeerUid};
use gofer_wire::p9::*;
use gofer_wire::{Data, List, ListBuf, Str, Wire};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

/// The header and body of a frame in hexadecimal, which is as long as it says.
fn parts(frame: &[u8]) -> (Header, &[u8]) {
    let (header, body) = frame.split_first_chunk().expect("a header");
    let header = Header::decode(header);
    assert_eq!(usize::try_from(header.size), Ok(frame.len()));
    (header, body)
}

fn request<'a>(tag: u16, message: impl Into<Request<'a>>, hex: &str) {
    let (frame, message) = (bytes(hex), message.into());
    let (header, body) = parts(&frame);
    assert_eq!(header.tag, Tag(tag));
    assert_eq!(Request::decode(header.number, body), Ok(message));

    let mut encoded = Vec::new();
    let payload = message.encode(Tag(tag), &mut encoded);
    encoded.extend_from_slice(payload);
    assert_eq!(encoded, frame, "{message:?}");
}

fn reply<'a>(tag: u16, message: impl Into<Reply<'a>>, hex: &str) {
    let (frame, message) = (bytes(hex), message.into());
    let (header, body) = parts(&frame);
    assert_eq!(header.tag, Tag(tag));
    assert_eq!(Reply::decode(header.number, body), Ok(message));

    let mut encoded = Vec::new();
    let payload = message.encode(Tag(tag), &mut encoded);
    encoded.extend_from_slice(payload);
    assert_eq!(encoded, frame, "{message:?}");
}

fn s(text: &str) -> Str<'_> {
    Str::new(text.as_bytes()).expect("short")
}

fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).expect("a name")
}

fn list<'b, T: Wire<'b>>(buffer: &'b mut Vec<u8>, elements: impl IntoIterator<Item = T>) -> List<'b, T> {
    let mut list = ListBuf::new(buffer);
    for element in elements {
        assert!(list.push(&element));
    }
    list.finish()
}

const DIRECTORY: Qid = Qid { kind: QidKind::DIR, version: 0, path: 0x12_3456 };
const FILE: Qid = Qid { kind: QidKind::FILE, version: 0, path: 0x0100_0000_00ab_cdef };
const VALID: GetattrMask = GetattrMask(0x6FF);
const STAT: Stat = Stat {
    mode: 0o100_644,
    uid: PeerUid(1000),
    gid: PeerGid(100),
    nlink: 1,
    rdev: 0,
    size: 5,
    blksize: 4096,
    blocks: 8,
    atime_sec: 1,
    atime_nsec: 2,
    mtime_sec: 3,
    mtime_nsec: 4,
    ctime_sec: 5,
    ctime_nsec: 6,
    btime_sec: 0,
    btime_nsec: 0,
    generation: 0,
    data_version: 0,
};

#[test]
fn session() {
    request(
        0xFFFF,
        Tversion { msize: 65_536, version: s("9P2000.L") },
        "15000000 64 ffff 00000100 0800 3950323030302e4c",
    );
    request(
        1,
        Tversion { msize: MESSAGE_MAX, version: s("9P2000.L.Google.13") },
        "1f000000 64 0100 00001000 1200 3950323030302e4c2e476f6f676c652e3133",
    );
    reply(
        0xFFFF,
        Rversion { msize: 65_536, version: s("9P2000.L") },
        "15000000 65 ffff 00000100 0800 3950323030302e4c",
    );
    reply(2, Rlerror { ecode: 2 }, "0b000000 07 0200 02000000");
    request(
        1,
        Tattach { fid: Fid(1), afid: Fid::NONE, uname: s(""), aname: s("/"), n_uname: PeerUid::NONE },
        "18000000 68 0100 01000000 ffffffff 0000 0100 2f ffffffff",
    );
    reply(1, Rattach { qid: DIRECTORY }, "14000000 69 0100 80 00000000 5634120000000000");
    request(20, Tflush { oldtag: Tag(6) }, "09000000 6c 1400 0600");
    request(19, Tchannel { id: 0, control: 1 }, "0f000000 fa 1300 00000000 01000000");
    reply(
        19,
        Rchannel { offset: 0x10_1000, length: 0x10_1000 },
        "17000000 fb 1300 0010100000000000 0010100000000000",
    );
}

#[test]
fn walk() {
    let mut buffer = Vec::new();
    let names = list(&mut buffer, [s("etc"), s("hosts")]);
    request(
        3,
        Twalk { fid: Fid(1), newfid: Fid(2), names },
        "1d000000 6e 0300 01000000 02000000 0200 0300 657463 0500 686f737473",
    );
    let mut buffer = Vec::new();
    let qids = list(&mut buffer, [DIRECTORY, FILE]);
    reply(
        3,
        Rwalk { qids },
        "23000000 6f 0300 0200 80 00000000 5634120000000000 00 00000000 efcdab0000000001",
    );
    request(
        3,
        Twalk { fid: Fid(1), newfid: Fid(2), names: List::EMPTY },
        "11000000 6e 0300 01000000 02000000 0000",
    );
    let mut buffer = Vec::new();
    let qids = list(&mut buffer, [FILE]);
    reply(
        16,
        Rwalkgetattr { valid: VALID, attr: STAT, qids },
        "a2000000 7f 1000 ff06000000000000 a4810000 e8030000 64000000 0100000000000000 0000000000000000
         0500000000000000 0010000000000000 0800000000000000 0100000000000000 0200000000000000
         0300000000000000 0400000000000000 0500000000000000 0600000000000000 0000000000000000
         0000000000000000 0000000000000000 0000000000000000 0100 00 00000000 efcdab0000000001",
    );
    let mut buffer = Vec::new();
    let names = list(&mut buffer, [s(""), s("etc")]);
    request(17, Tmultigetattr { fid: Fid(1), names }, "14000000 8e 1100 01000000 0200 0000 0300 657463");
    let mut buffer = Vec::new();
    let stats = list(&mut buffer, [FullStat { qid: FILE, valid: VALID, attr: STAT }]);
    reply(
        17,
        Rmultigetattr { stats },
        "a2000000 8f 1100 0100 00 00000000 efcdab0000000001 ff06000000000000 a4810000 e8030000 64000000
         0100000000000000 0000000000000000 0500000000000000 0010000000000000 0800000000000000
         0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000
         0600000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000",
    );
}

#[test]
fn open() {
    request(
        4,
        Tlopen { fid: Fid(2), flags: OpenBits::RDWR | OpenBits::TRUNC },
        "0f000000 0c 0400 02000000 02020000",
    );
    reply(4, Rlopen { qid: FILE, iounit: 0 }, "18000000 0d 0400 00 00000000 efcdab0000000001 00000000");
    let (fid, name, flags, mode, gid) = (Fid(3), name("new"), OpenBits::RDWR, 0o644, PeerGid(100));
    request(
        5,
        Tlcreate { fid, name, flags, mode, gid },
        "1c000000 0e 0500 03000000 0300 6e6577 02000000 a4010000 64000000",
    );
    request(
        5,
        Tucreate { fid, name, flags, mode, gid, uid: PeerUid(1000) },
        "20000000 80 0500 03000000 0300 6e6577 02000000 a4010000 64000000 e8030000",
    );
}

#[test]
fn io() {
    request(
        6,
        Tread { fid: Fid(2), offset: 0x1000, count: 512 },
        "17000000 74 0600 02000000 0010000000000000 00020000",
    );
    reply(6, Rread { data: Data(b"hello") }, "10000000 75 0600 05000000 68656c6c6f");
    request(
        7,
        Twrite { fid: Fid(2), offset: 1, data: Data(b"hi!") },
        "1a000000 76 0700 02000000 0100000000000000 03000000 686921",
    );
    reply(7, Rwrite { count: 3 }, "0b000000 77 0700 03000000");
    request(26, Tfsync { fid: Fid(2), datasync: 1 }, "0f000000 32 1a00 02000000 01000000");
    request(
        13,
        Tallocate {
            fid: Fid(2),
            mode: Tallocate::KEEP_SIZE | Tallocate::PUNCH_HOLE,
            offset: 4096,
            length: 8192,
        },
        "1f000000 8a 0d00 02000000 03000000 0010000000000000 0020000000000000",
    );
}

#[test]
fn data_may_begin_elsewhere() {
    let (mut whole, mut head) = (Vec::new(), Vec::new());
    Reply::from(Rread { data: Data(&[1; 70_000]) }).encode(Tag(6), &mut whole);
    Reply::from(Rread { data: Data(&[1; 3]) }).encode(Tag(6), &mut head);
    lengthen(&mut head, 69_997);
    assert_eq!(head, whole);
}

#[test]
fn attr() {
    request(
        8,
        Tgetattr { fid: Fid(2), mask: GetattrMask::ALL },
        "13000000 18 0800 02000000 ff3f000000000000",
    );
    reply(
        8,
        Rgetattr { valid: VALID, qid: FILE, attr: STAT },
        "a0000000 19 0800 ff06000000000000 00 00000000 efcdab0000000001 a4810000 e8030000 64000000
         0100000000000000 0000000000000000 0500000000000000 0010000000000000 0800000000000000
         0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000
         0600000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000",
    );
    let setattr = SetattrBody {
        valid: SetattrMask::MODE | SetattrMask::SIZE | SetattrMask::MTIME | SetattrMask::MTIME_SET,
        mode: 0o600,
        uid: PeerUid::NONE,
        gid: PeerGid::NONE,
        size: 10,
        atime_sec: 7,
        atime_nsec: 8,
        mtime_sec: 9,
        mtime_nsec: 10,
    };
    request(
        9,
        Tsetattr { fid: Fid(2), setattr },
        "43000000 1a 0900 02000000 29010000 80010000 ffffffff ffffffff 0a00000000000000 0700000000000000
         0800000000000000 0900000000000000 0a00000000000000",
    );
    let stat = Fsstat {
        kind: 0xEF53,
        bsize: 4096,
        blocks: 100,
        bfree: 50,
        bavail: 40,
        files: 1000,
        ffree: 900,
        fsid: 0,
        namelen: 255,
    };
    reply(
        21,
        Rstatfs { stat },
        "43000000 09 1500 53ef0000 00100000 6400000000000000 3200000000000000 2800000000000000
         e803000000000000 8403000000000000 0000000000000000 ff000000",
    );
}

#[test]
fn entry() {
    request(
        11,
        Trenameat { olddirfid: Fid(1), oldname: name("a"), newdirfid: Fid(4), newname: name("b") },
        "15000000 4a 0b00 01000000 0100 61 04000000 0100 62",
    );
    request(
        12,
        Tunlinkat { dfid: Fid(1), name: name("d"), flags: Tunlinkat::AT_REMOVEDIR },
        "12000000 4c 0c00 01000000 0100 64 00020000",
    );
    request(
        22,
        Tmknod { dfid: Fid(1), name: name("n"), mode: 0o100_644, major: 0, minor: 0, gid: PeerGid(100) },
        "1e000000 12 1600 01000000 0100 6e a4810000 00000000 00000000 64000000",
    );
    request(
        23,
        Tusymlink { dfid: Fid(1), name: name("l"), target: s("t"), gid: PeerGid(100), uid: PeerUid(1000) },
        "19000000 86 1700 01000000 0100 6c 0100 74 64000000 e8030000",
    );
    request(
        24,
        Tlink { dfid: Fid(1), fid: Fid(2), name: name("h") },
        "12000000 46 1800 01000000 02000000 0100 68",
    );
    request(
        25,
        Trename { fid: Fid(2), dfid: Fid(1), name: name("z") },
        "12000000 14 1900 02000000 01000000 0100 7a",
    );
}

#[test]
fn dir() {
    request(
        10,
        Treaddir { fid: Fid(4), offset: 0, count: 4096 },
        "17000000 28 0a00 04000000 0000000000000000 00100000",
    );
    let entries = [
        Dirent { qid: DIRECTORY, offset: 1, kind: QidKind::DIR.0, name: s("d") },
        Dirent { qid: FILE, offset: 2, kind: QidKind::FILE.0, name: s("file") },
    ];
    let mut packed = Vec::new();
    entries.iter().for_each(|entry| entry.encode(&mut packed));
    assert!(Dirents::new(&packed).eq(entries.map(Ok)));
    reply(
        10,
        Rreaddir { data: Data(&packed) },
        "40000000 29 0a00 35000000 80 00000000 5634120000000000 0100000000000000 80 0100 64 00 00000000
         efcdab0000000001 0200000000000000 00 0400 66696c65",
    );
}

#[test]
fn xattr() {
    request(
        14,
        Tsetxattr { fid: Fid(2), name: s("user.merkle.size"), value: s("1"), flags: 0 },
        "24000000 24 0e00 02000000 1000 757365722e6d65726b6c652e73697a65 0100 31 00000000",
    );
    let mut buffer = Vec::new();
    let names = list(&mut buffer, [s("user.a"), s("user.bc")]);
    reply(15, Rlistxattr { names }, "1a000000 1d 0f00 0200 0600 757365722e61 0700 757365722e6263");
    reply(15, Rgetxattr { value: s("val") }, "0c000000 23 0f00 0300 76616c");
    request(
        28,
        Txattrwalk { fid: Fid(2), newfid: Fid(9), name: s("user.a") },
        "17000000 1e 1c00 02000000 09000000 0600 757365722e61",
    );
    reply(28, Rxattrwalk { size: 5 }, "0f000000 1f 1c00 0500000000000000");
    request(
        29,
        Txattrcreate { fid: Fid(9), name: s("user.a"), size: 3, flags: XATTR_CREATE },
        "1f000000 20 1d00 09000000 0600 757365722e61 0300000000000000 01000000",
    );
}

#[test]
fn lock() {
    request(
        27,
        Tlock {
            fid: Fid(2),
            kind: Tlock::WRLCK,
            flags: Tlock::BLOCK,
            start: 0,
            length: 0,
            proc_id: 77,
            client_id: s("n"),
        },
        "27000000 34 1b00 02000000 01 01000000 0000000000000000 0000000000000000 4d000000 0100 6e",
    );
    reply(27, Rlock { status: Rlock::SUCCESS }, "08000000 35 1b00 00");
}

#[test]
fn socket() {
    request(18, Tlconnect { fid: Fid(2), flags: Tlconnect::STREAM }, "0f000000 88 1200 02000000 00000000");
    reply(18, Rlconnect, "07000000 89 1200");
}
