//! Frames that lie about their length, bodies that are none, numbers of no message: they cost whoever sends them the
//! answer, or the connection, and nobody else anything.

use gofer_vfs::{Errno, PeerGid, PeerUid, Result};
use gofer_wire::Data;
use gofer_wire::p9::*;

use crate::client::{Client, Heard, ROOT, text};
use crate::sample::HELLO;
use crate::verdict::{is_exact, note};
use crate::{Checked, Site, attr, body, demand_eq, family};

/// What a server answers when one of its requests has panicked.
const PANICKED: Errno = Errno::EREMOTEIO;

/// A frame with any length in front.
fn frame(size: u32, number: u8, body: &[u8]) -> Vec<u8> {
    [&size.to_le_bytes()[..], &[number], &7u16.to_le_bytes(), body].concat()
}

/// Clients beside the one that lies go on, and new ones come.
fn others_go_on(site: &Site, other: &mut Client) -> Result<()> {
    other.getattr(ROOT)?;
    site.client().getattr(ROOT).map(drop)
}

/// What was sent ended the connection without a word. That is what this server promises; others may answer with an
/// error, or wait for the rest of what was announced.
fn has_ended(c: &Client, about: impl std::fmt::Display) {
    if is_exact() {
        demand_eq!(c.recv_to_end(), b"", "{about}");
        return;
    }
    match c.hear() {
        Heard::End(bytes) | Heard::Quiet(bytes) if bytes.get(4).is_some_and(|number| *number != 7) => {
            panic!("{about} is answered as if it were a message: {bytes:02x?}");
        }
        Heard::End(_) => {}
        Heard::Quiet(_) => note(format_args!("goes on with the connection after {about}")),
    }
}

/// A client whose server may end the connection for what it is sent.
struct Liar<'s> {
    site: &'s Site,
    c: Client,
}

impl<'s> Liar<'s> {
    fn new(site: &'s Site) -> Self {
        Self { site, c: site.client() }
    }

    /// Sends a body that is none, and expects to be refused: by this server with an errno, by others perhaps with the end
    /// of the connection.
    fn is_refused(&mut self, number: u8, body: &[u8], errno: Errno) {
        if !self.c.may(number) {
            return;
        }
        let answer = self.c.call_raw(number, body).map(drop);
        if answer == Err(Errno::ECONNRESET) && !is_exact() {
            note("ends the connection for what it cannot understand");
            self.c = self.site.client();
            return;
        }
        let shown = &body[..body.len().min(32)];
        demand_eq!(answer, Err(errno), "message {number} with {} bytes: {shown:02x?}", body.len());
    }
}

fn a_size_that_cannot_be_ends_the_connection(site: &Site) -> Checked {
    let mut other = site.client();
    for size in [0, 1, 6, 0x7fff_ffff, 0x8000_0007, u32::MAX] {
        let c = site.client();
        // The server may have gone before all was sent.
        let _ = c.send_raw(&frame(size, 120, &[0; 100]));
        has_ended(&c, format_args!("a size of {size}"));
        others_go_on(site, &mut other)?;
        let _ = site.connect().send_raw(&frame(size, 120, &[0; 100]));
        others_go_on(site, &mut other)?;
    }
    let c = site.client();
    c.send_raw(&frame(c.msize() + 1, 120, &[]))?;
    has_ended(&c, "a size beyond the msize");
    let mut c = site.connect();
    let (least, _) = c.version(4096, site.dialect().version().0)?;
    let body = vec![0; 4 + least as usize - HEADER - 3];
    let _ = c.send_raw(&frame(least + 1, 120, &body));
    has_ended(&c, "a size beyond a small msize");
    Ok(others_go_on(site, &mut other)?)
}

fn a_frame_may_be_as_long_as_the_msize(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    // Others count with a header of 24 bytes, as the Linux client does.
    let header = if is_exact() { 23 } else { 24 };
    let data = vec![1; c.msize() as usize - header];
    // Some write less at a time.
    let written = c.write(fid, 0, &data)? as usize;
    if is_exact() {
        demand_eq!(written, data.len());
    } else if written != data.len() {
        note(format_args!("a write of {} bytes is answered with {written}", data.len()));
    }
    c.send(Tag(1), Twrite { fid, offset: 0, data: Data(&[&data[..], &[2; 2]].concat()) }).ok();
    has_ended(&c, "a frame that is longer");
    Ok(())
}

fn frames_may_come_in_any_pieces(site: &Site) -> Checked {
    let mut c = site.client();
    let frame = |tag: u8, names: &[&str]| {
        let mut body = body!(ROOT, Fid(100 + u32::from(tag)), u16::try_from(names.len()).unwrap_or(0));
        names.iter().for_each(|name| body.extend(body!(text(name))));
        let size = u32::try_from(HEADER + body.len()).unwrap_or(0);
        [&size.to_le_bytes()[..], &[110, tag, 0], &body].concat()
    };
    for byte in frame(1, &["dir", "sub"]) {
        c.send_raw(&[byte])?;
    }
    demand_eq!(c.recv()?.walk().qids.len(), 2);
    let many: Vec<u8> = (2..=40).flat_map(|tag| frame(tag, &["file"])).collect();
    let (first, second) = many.split_at(many.len() / 2 + 3);
    c.send_raw(first)?;
    c.send_raw(second)?;
    let mut tags: Vec<u16> = (2..=40).map(|_| c.recv().map(|a| a.tag().0)).collect::<Result<_>>()?;
    tags.sort_unstable();
    assert!(tags.into_iter().eq(2..=40));
    demand_eq!(c.getattr(Fid(140))?.attr.size, 9);
    Ok(())
}

/// The least body of each request: all strings and lists empty.
const LEAST: [(u8, usize); 44] = [
    (8, 4),
    (12, 8),
    (14, 18),
    (16, 12),
    (18, 22),
    (20, 10),
    (22, 4),
    (24, 12),
    (26, 60),
    (28, 12),
    (30, 10),
    (32, 18),
    (34, 14),
    (36, 12),
    (38, 6),
    (40, 16),
    (50, 4),
    (52, 31),
    (54, 27),
    (70, 10),
    (72, 14),
    (74, 12),
    (76, 10),
    (100, 6),
    (102, 12),
    (104, 16),
    (108, 2),
    (110, 10),
    (116, 16),
    (118, 16),
    (120, 4),
    (122, 4),
    (124, 4),
    (126, 10),
    (128, 22),
    (130, 18),
    (132, 26),
    (134, 16),
    (136, 8),
    (138, 24),
    (140, 60),
    (142, 6),
    (144, 22),
    (250, 8),
];

/// Where a body that is cut short names something empty, that may be what is wrong with it.
fn a_body_that_is_cut_short_is_refused(site: &Site) -> Checked {
    let mut liar = Liar::new(site);
    for (number, least) in LEAST {
        for len in 0..least {
            // Nothing that counts is 0.
            liar.is_refused(number, &vec![1; len], Errno::EIO);
        }
    }
    liar.c.getattr(ROOT)?;
    Ok(())
}

fn a_length_beyond_the_body_is_refused(site: &Site) -> Checked {
    let mut liar = Liar::new(site);
    let (none, empty, len, gid) = (0u32, text(""), u16::MAX, PeerGid::NONE);
    let opened = |c: &mut Client| -> Result<Fid> { c.open_at("file", OpenBits::RDONLY) };
    let fid = opened(&mut liar.c)?;
    for (number, body) in [
        (14, body!(ROOT, len)),
        (16, body!(ROOT, 1u16, b'n', len, b't', gid)),
        (20, body!(fid, ROOT, len)),
        (30, body!(fid, Fid(500), len, b'u')),
        (36, body!(fid, text("user.a"), 60_000u16, none)),
        (72, body!(ROOT, 200u16, 0u64, 0u64)),
        (74, body!(ROOT, 1u16, b'o', ROOT, len)),
        (100, body!(8192u32, 9u16, 0u8)),
        (104, body!(Fid(9), Fid::NONE, len, 0u8)),
        (104, body!(Fid(9), Fid::NONE, empty, len, PeerUid::NONE)),
        (110, body!(ROOT, Fid(9), 2u16, text("dir"))),
        (110, body!(ROOT, Fid(9), 1u16, len, b'd')),
        (110, body!(ROOT, Fid(9), len)),
        (126, body!(ROOT, Fid(9), len, empty)),
        (142, body!(ROOT, 3u16, empty, text("dir"))),
    ] {
        liar.is_refused(number, &body, Errno::EIO);
    }
    demand_eq!(liar.c.content("file")?, HELLO);
    Ok(())
}

fn a_write_of_other_than_its_count_writes_nothing(site: &Site) -> Checked {
    let mut liar = Liar { site, c: site.client() };
    for (count, len) in [(9u32, 10usize), (0, 1), (11, 10), (1, 0), (5, 4), (u32::MAX, 10), (u32::MAX, 0)] {
        let fid = liar.c.open_at("file", OpenBits::RDWR)?;
        let body = [body!(fid, 0u64, count), vec![b'x'; len]].concat();
        if count as usize > len || is_exact() {
            liar.is_refused(118, &body, Errno::EIO);
        } else {
            // Bytes behind the last field mean nothing to some.
            let _ = liar.c.call_raw(118, &body);
            continue;
        }
        demand_eq!(site.client().content("file")?.len(), HELLO.len(), "{count} {len}");
    }
    Ok(())
}

fn lists_of_65_535_names_are_refused(site: &Site) -> Checked {
    let mut liar = Liar::new(site);
    let (new, many) = (Fid(500), u16::MAX);
    let empty = vec![0; 2 * usize::from(many)];
    let long = [&3u16.to_le_bytes()[..], b"dir"].concat().repeat(usize::from(many));
    for (names, cut, errno) in [
        (&empty, 0, Errno::EINVAL),
        (&empty, 1, Errno::EIO),
        (&vec![], 0, Errno::EIO),
        (&long, 0, Errno::ENOENT),
    ] {
        for (number, mut body) in [
            (110, [body!(ROOT, new, many), names.clone()].concat()),
            (126, [body!(ROOT, new, many), names.clone()].concat()),
            (142, [body!(ROOT, many), names.clone()].concat()),
        ] {
            body.truncate(body.len() - cut);
            // Attributes are told as far as it leads.
            let is_list = number == 142 && errno == Errno::ENOENT;
            if body.len() + HEADER <= liar.c.msize() as usize && !is_list {
                liar.is_refused(number, &body, errno);
            }
        }
    }
    liar.c.getattr(ROOT)?;
    Ok(())
}

fn numbers_beyond_any_file_are_refused(site: &Site) -> Checked {
    let mut liar = Liar::new(site);
    let (huge, name, empty) = (u64::MAX, text("user.a"), text(""));
    let size = SetattrBody { size: huge, ..attr::size(0) };
    let flags = if liar.c.may(118) { OpenBits::RDWR } else { OpenBits::RDONLY };
    for (number, errno, body) in [
        (26, Errno::EINVAL, &(|fid| body!(fid, size)) as &dyn Fn(Fid) -> Vec<u8>),
        (32, Errno::E2BIG, &|fid| body!(fid, name, huge, 0u32)),
        (52, Errno::EINVAL, &|fid| body!(fid, 1u8, 0u32, huge, huge, 1u32, empty)),
        (54, Errno::EINVAL, &|fid| body!(fid, 1u8, huge, huge, 1u32, empty)),
        (118, Errno::EINVAL, &|fid| [body!(fid, huge, 1u32), vec![0]].concat()),
    ] {
        let fid = if number == 32 { liar.c.at("file")? } else { liar.c.open_at("file", flags)? };
        if number == 52 || number == 54 {
            // Whether such a range is none, or reaches to the end, is not said. Nothing may come of it but an answer.
            let _ = liar.c.may(number) && liar.c.call_raw(number, &body(fid)).is_ok();
            continue;
        }
        liar.is_refused(number, &body(fid), errno);
    }
    demand_eq!(site.client().content("file")?, HELLO);
    Ok(())
}

fn counts_beyond_any_message_are_answered(site: &Site) -> Checked {
    let mut other = site.client();
    let mut c = site.client();
    let file = c.open_at("file", OpenBits::RDONLY)?;
    let most = c.msize();
    for count in [most, most * 2, u32::MAX - 23, u32::MAX] {
        match c.read(file, 0, count) {
            Ok(content) => demand_eq!(content, HELLO),
            Err(errno) if is_exact() => panic!("{errno}"),
            Err(errno) => note(format_args!("a read of {count} bytes is refused: {errno:?}")),
        }
        let dir = c.open_at("", OpenBits::RDONLY)?;
        match c.readdir(dir, 0, count) {
            Ok(entries) => assert!(!entries.is_empty(), "nothing is listed for a count of {count}"),
            Err(errno) if is_exact() => panic!("{errno}"),
            Err(errno) => note(format_args!("a listing of {count} bytes is refused: {errno:?}")),
        }
        // A place that was never given.
        let _ = c.readdir(dir, u64::MAX, count);
    }
    if site.knows_google() {
        let name = text("user.a");
        for size in [1 << 20, 1 << 40, u64::MAX] {
            let listed = c.call(Tlistxattr { fid: file, size });
            assert!(matches!(listed, Ok(_) | Err(Errno::EOPNOTSUPP)), "{listed:?}");
            let got = c.call(Tgetxattr { fid: file, name, size }).err();
            assert!(matches!(got, Some(Errno::ENODATA | Errno::EOPNOTSUPP)), "{got:?}");
        }
    }
    Ok(others_go_on(site, &mut other)?)
}

fn what_comes_behind_the_last_field_is_ignored(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDONLY)?;
    let tail = 0xdead_beef_u64;
    c.call_raw(24, &body!(fid, 0x7ffu64, tail))?;
    c.call_raw(50, &body!(fid, 1u32, tail))?;
    c.call_raw(110, &body!(ROOT, Fid(99), 1u16, text("dir"), tail))?;
    c.call_raw(72, &body!(ROOT, text("new"), 0o755u32, PeerGid::NONE, tail))?;
    c.call_raw(120, &body!(fid, tail))?;
    demand_eq!(c.clunk(fid), Err(Errno::EBADF));
    Ok(())
}

fn unknown_numbers_are_refused(site: &Site) -> Checked {
    let mut liar = Liar::new(site);
    let is_request = |number: u8| LEAST.iter().any(|(known, _)| *known == number);
    // Those of the messages of 9P2000 that 9P2000.L has none of may mean something.
    let is_old = |number: u8| matches!(number, 112 | 114 | 124 | 126);
    for number in (0..=255u8).filter(|number| !is_request(*number) && !is_old(*number)) {
        let is_reply = number == 7 || is_request(number.wrapping_sub(1));
        let errno = if is_reply { Errno::ENOSYS } else { Errno::EIO };
        for body in [&[][..], &[1; 300]] {
            liar.is_refused(number, body, errno);
        }
    }
    liar.c.getattr(ROOT)?;
    Ok(())
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

fn any_bytes_in_any_message_are_answered(site: &Site) -> Checked {
    let mut other = site.client();
    let mut chance = Chance(9);
    let mut answered = 0;
    for number in 0..=255 {
        let mut c = site.client();
        if !c.may(number) {
            continue;
        }
        if c.may(14) {
            // What is asked may remove any file of the sample.
            c.create_at(&format!("fresh {number}"))?;
        }
        for _ in 0..60 {
            let body = chance.body();
            let answer = c.call_raw(number, &body);
            assert_ne!(answer.as_ref().err(), Some(&PANICKED), "{number}: {body:02x?}");
            // For this server no frame is so bad that the connection could not go on.
            let has_ended = answer.as_ref().err() == Some(&Errno::ECONNRESET);
            assert!(!(has_ended && is_exact()), "{number}: {body:02x?}");
            if has_ended {
                note("ends the connection for what it cannot understand");
                c = site.client();
            }
            answered += usize::from(answer.is_ok());
        }
    }
    assert!(answered > 100 || !site.facts().may_change, "only {answered} made sense");
    Ok(others_go_on(site, &mut other)?)
}

family! {
    "malformed";
    cases:
        a_size_that_cannot_be_ends_the_connection(bare)
        a_frame_may_be_as_long_as_the_msize
        frames_may_come_in_any_pieces
        a_body_that_is_cut_short_is_refused(bare)
        a_length_beyond_the_body_is_refused
        a_write_of_other_than_its_count_writes_nothing
        lists_of_65_535_names_are_refused(bare)
        numbers_beyond_any_file_are_refused
        counts_beyond_any_message_are_answered
        unknown_numbers_are_refused(bare)
        any_bytes_in_any_message_are_answered(bare);
    ours:
        what_comes_behind_the_last_field_is_ignored;
    promises:
}
