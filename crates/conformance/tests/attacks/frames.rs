//! Frames that lie: about their length, their strings, their lists and their counts.

use gofer_conformance::{Client, ROOT, Setup, body};
use gofer_vfs::{Errno, PeerGid, PeerUid};
use gofer_wire::Str;
use gofer_wire::p9::*;

use crate::{Arena, attack};

/// What a server answers when one of its requests has panicked.
const PANICKED: Errno = Errno::EREMOTEIO;

/// A frame with any length in front.
fn frame(size: u32, number: u8, body: &[u8]) -> Vec<u8> {
    [&size.to_le_bytes()[..], &[number], &7u16.to_le_bytes(), body].concat()
}

/// Clients beside the one that lies go on, and new ones come.
fn check_others(arena: &Arena, other: &mut Client) {
    assert_eq!(other.content("file").expect("a file"), gofer_conformance::sample::HELLO);
    arena.site.client().getattr(ROOT).expect("attributes");
}

/// What is sent ends the connection, and this one only, without a word.
fn ends_the_connection(bytes: &[u8]) {
    attack(Setup::default(), |arena| {
        let mut other = arena.site.client();
        let c = arena.site.client();
        // The server may have gone before all was sent.
        let _ = c.send_raw(bytes);
        assert_eq!(c.recv_to_end(), b"");
        check_others(arena, &mut other);
        let _ = arena.site.connect().send_raw(bytes);
        check_others(arena, &mut other);
    });
}

macro_rules! lengths {
    ($($row:ident: $size:expr;)*) => { $(
        #[test]
        fn $row() {
            ends_the_connection(&frame($size, 110, &[0; 100]));
        }
    )* };
}

lengths! {
    a_size_of_0: 0;
    a_size_of_1: 1;
    a_size_of_6: 6;
    a_size_above_the_largest_msize: MESSAGE_MAX + 1;
    a_size_with_the_sign_of_a_negative: 0x8000_0007;
    a_size_of_4_gib: u32::MAX;
}

#[test]
fn a_size_above_the_msize() {
    attack(Setup::default(), |arena| {
        let mut other = arena.site.client();
        let mut c = arena.site.connect();
        c.version(4096, arena.site.dialect().version().0).expect("a version");
        c.send_raw(&frame(4097, 120, &[0; 4090])).expect("a connection");
        assert_eq!(c.recv_to_end(), b"");
        check_others(arena, &mut other);
    });
}

/// A client that agreed on the largest msize, whatever it speaks, and has `file` open.
fn client(arena: &Arena) -> (Client, Fid) {
    let mut c = arena.site.connect();
    c.version(MESSAGE_MAX, arena.site.dialect().version().0).expect("a version");
    c.attach(ROOT, "/").expect("the root");
    let file = c.open_at("file", OpenBits::RDWR).expect("an open file");
    (c, file)
}

/// Calls with bodies that are none, and looks that the connection goes on and nothing changed.
fn are_refused(rows: impl Fn(Fid) -> Vec<(u8, Vec<u8>, Errno)>) {
    attack(Setup::default(), |arena| {
        let before = arena.tree();
        let mut other = arena.site.client();
        let (mut c, file) = client(arena);
        for (number, body, errno) in rows(file) {
            assert_eq!(c.call_raw(number, &body).err(), Some(errno), "{number}");
            c.getattr(file).expect("attributes");
        }
        check_others(arena, &mut other);
        drop((c, other));
        assert_eq!(arena.tree(), before);
    });
}

const WALK: u8 = 110;
const WRITE: u8 = 118;
const WALKGETATTR: u8 = 126;
const MULTIGETATTR: u8 = 142;

#[test]
fn lists_of_65_535_names() {
    are_refused(|_| {
        let (new, many) = (Fid(500), u16::MAX);
        let empty = vec![0; 2 * usize::from(many)];
        let long = [&3u16.to_le_bytes()[..], b"dir"].concat().repeat(usize::from(many));
        let with = |names: &[u8], cut: usize| {
            let walk = [body!(ROOT, new, many), names.to_vec()].concat();
            let multi = [body!(ROOT, many), names.to_vec()].concat();
            [(WALK, &walk), (WALKGETATTR, &walk), (MULTIGETATTR, &multi)]
                .map(|(number, body)| (number, body[..body.len() - cut].to_vec()))
        };
        let rows = |names: &[u8], cut, errno| with(names, cut).map(|(number, body)| (number, body, errno));
        let mut all = Vec::new();
        all.extend(rows(&empty, 0, Errno::EINVAL));
        all.extend(rows(&empty, 1, Errno::EIO));
        all.extend(rows(&[], 0, Errno::EIO));
        // Behind the first is not another, for a long way.
        all.extend(rows(&long, 0, Errno::ENOENT).into_iter().take(2));
        all.extend(rows(&long, 1, Errno::EIO));
        all
    });
}

#[test]
fn strings_longer_than_their_frame() {
    are_refused(|file| {
        let (gid, mode, len) = (PeerGid::NONE, 0o644u32, u16::MAX);
        let name = Str::default();
        vec![
            (14, body!(ROOT, len), Errno::EIO),
            (16, body!(ROOT, 1u16, b'n', len, b't', gid), Errno::EIO),
            (20, body!(file, ROOT, len), Errno::EIO),
            (30, body!(file, Fid(500), len, b'u'), Errno::EIO),
            (36, body!(file, 1u16, b'u', len, 0u32), Errno::EIO),
            (72, body!(ROOT, len, mode, gid), Errno::EIO),
            (74, body!(ROOT, 1u16, b'o', ROOT, len), Errno::EIO),
            (100, body!(8192u32, len), Errno::EIO),
            (104, body!(Fid(500), Fid::NONE, name, len, PeerUid::NONE), Errno::EIO),
            (WALK, body!(ROOT, Fid(500), 1u16, len, b'd'), Errno::EIO),
        ]
    });
}

#[test]
fn a_write_of_other_than_its_count() {
    are_refused(|file| {
        let data = [b'x'; 10];
        let write = |count: u32, n: usize| {
            let body = [body!(file, 0u64, count), data[..n].to_vec()].concat();
            (WRITE, body, Errno::EIO)
        };
        vec![write(0, 1), write(9, 10), write(11, 10), write(1, 0), write(u32::MAX, 10), write(u32::MAX, 0)]
    });
}

#[test]
fn numbers_beyond_any_file() {
    are_refused(|file| {
        let huge = u64::MAX;
        let size = SetattrBody { size: huge, ..crate::links::only(SetattrMask::SIZE) };
        let name = Str::new(b"user.a").expect("a string");
        let client = Str::default();
        vec![
            (26, body!(file, size), Errno::EINVAL),
            (32, body!(file, name, huge, 0u32), Errno::E2BIG),
            (32, body!(file, name, 65_537u64, 0u32), Errno::E2BIG),
            (52, body!(file, 1u8, 0u32, huge, huge, 1u32, client), Errno::EINVAL),
            (54, body!(file, 1u8, huge, huge, 1u32, client), Errno::EINVAL),
            (116, body!(file, huge, 1u32), Errno::EINVAL),
            (116, body!(file, 1u64 << 63, u32::MAX), Errno::EINVAL),
            (WRITE, [body!(file, huge, 1u32), vec![0]].concat(), Errno::EINVAL),
        ]
    });
}

#[test]
fn counts_beyond_any_message() {
    attack(Setup::default(), |arena| {
        let mut other = arena.site.client();
        let (mut c, file) = client(arena);
        assert_eq!(c.read(file, 0, u32::MAX), Ok(gofer_conformance::sample::HELLO.to_vec()));
        assert_eq!(c.read(file, 9, u32::MAX), Ok(Vec::new()));
        let dir = c.open_at("", OpenBits::RDONLY).expect("an open directory");
        assert!(c.readdir(dir, 0, u32::MAX).expect("a listing").len() >= 7);
        // A place that was never given; the file system may see an end there.
        assert!(
            c.readdir(dir, u64::MAX, u32::MAX).is_ok_and(|listed| listed.len() < 100)
                || c.readdir(dir, u64::MAX, u32::MAX).is_err()
        );
        let name = Str::new(b"user.a").expect("a string");
        for size in [1 << 20, 1 << 40, u64::MAX] {
            let listed = c.call(Tlistxattr { fid: file, size });
            assert!(matches!(listed, Ok(_) | Err(Errno::EOPNOTSUPP)), "{listed:?}");
            let got = c.call(Tgetxattr { fid: file, name, size }).err();
            assert!(matches!(got, Some(Errno::ENODATA | Errno::EOPNOTSUPP)), "{got:?}");
        }
        // A reply takes the place of many a request: fifty times as long as that.
        let names = [&1u16.to_le_bytes()[..], b"n"].concat().repeat(60_000);
        let answer = c.call_raw(MULTIGETATTR, &[body!(ROOT, 60_000u16), names].concat());
        assert!(answer.expect("a list").frame_len() < 4096);
        check_others(arena, &mut other);
    });
}

/// Numbers that are the same in every run.
struct Chance(u64);

impl Chance {
    /// The next number below `end` (Knuth's MMIX).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// A body of few values, so that some are fids, lengths and flags that make sense.
    fn body(&mut self) -> Vec<u8> {
        let len = self.below(80);
        (0..len)
            .map(|_| match self.below(8) {
                0..5 => 0,
                5 => 1,
                6 => self.below(12).to_le_bytes()[0],
                _ => self.below(256).to_le_bytes()[0],
            })
            .collect()
    }
}

#[test]
fn any_bytes_in_any_message() {
    attack(Setup::default(), |arena| {
        let mut other = arena.site.client();
        let mut chance = Chance(9);
        let mut answered = 0;
        for number in 0..=255 {
            let mut c = arena.site.client();
            // What is asked may remove any file of the sample.
            c.create_at(&format!("fresh {number}")).expect("an open file");
            for _ in 0..60 {
                let body = chance.body();
                let answer = c.call_raw(number, &body);
                assert_ne!(answer.as_ref().err(), Some(&PANICKED), "{number}: {body:02x?}");
                // No frame is so bad that the connection could not go on.
                assert_ne!(answer.as_ref().err(), Some(&Errno::ECONNRESET), "{number}: {body:02x?}");
                answered += usize::from(answer.is_ok());
            }
        }
        assert!(answered > 100, "only {answered} made sense");
        check_others(arena, &mut other);
    });
}
