//! Frames, tags and what is in flight; flush.

use std::sync::mpsc;
use std::thread;

use gofer_vfs::{Errno, PeerGid};
use gofer_wire::Data;
use gofer_wire::p9::*;

use crate::client::{Client, PATIENCE, ROOT, text};
use crate::{Checked, Site, body, family};

fn a_size_that_cannot_be_ends_the_connection(site: &Site) -> Checked {
    let msize = site.dialect().version().1;
    for size in [0, 1, 6, msize + 1, 0x7fff_ffff, u32::MAX] {
        let c = site.client();
        c.send_raw(&[&size.to_le_bytes()[..], &[120, 1, 0]].concat())?;
        assert_eq!(c.recv_to_end(), b"", "{size}");
    }
    Ok(())
}

fn a_frame_may_be_as_long_as_the_msize(site: &Site) -> Checked {
    let mut c = site.client();
    let (version, msize) = site.dialect().version();
    let fid = c.create_at("new")?;
    let data = vec![1; msize as usize - 23];
    assert_eq!(c.write(fid, 0, &data)? as usize, data.len());
    c.send(Tag(1), Twrite { fid, offset: 0, data: Data(&[&data[..], &[2]].concat()) }).ok();
    assert_eq!(c.recv_to_end(), b"", "{version}");
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
    assert_eq!(c.recv()?.walk().qids.len(), 2);
    let many: Vec<u8> = (2..=40).flat_map(|tag| frame(tag, &["file"])).collect();
    let (first, second) = many.split_at(many.len() / 2 + 3);
    c.send_raw(first)?;
    c.send_raw(second)?;
    let mut tags: Vec<u16> = (2..=40).map(|_| c.recv().map(|a| a.tag().0)).collect::<Result<_, _>>()?;
    tags.sort_unstable();
    assert!(tags.into_iter().eq(2..=40));
    assert_eq!(c.getattr(Fid(140))?.attr.size, 9);
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
fn a_body_that_is_cut_short_is_eio(site: &Site) -> Checked {
    let mut c = site.client();
    for (number, least) in LEAST {
        for len in 0..least {
            // Nothing that counts is 0.
            let errno = c.call_raw(number, &vec![1; len]).err();
            assert_eq!(errno, Some(Errno::EIO), "{number} with {len} of {least} bytes");
        }
    }
    c.getattr(ROOT)?;
    Ok(())
}

fn a_length_beyond_the_body_is_eio(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    let (none, empty) = (0u32, text(""));
    for (number, body) in [
        (100, body!(8192u32, 9u16, 0u8)),
        (104, body!(Fid(9), Fid::NONE, 0xffffu16, 0u8)),
        (110, body!(ROOT, Fid(9), 2u16, text("dir"))),
        (110, body!(ROOT, Fid(9), 0xffffu16)),
        (126, body!(ROOT, Fid(9), 0xffffu16, empty)),
        (142, body!(ROOT, 3u16, empty, text("dir"))),
        (72, body!(ROOT, 200u16, 0u64, 0u64)),
        (36, body!(fid, text("user.a"), 60_000u16, none)),
        (118, body!(fid, 0u64, 5u32, 0u32)),
        (118, body!(fid, 0u64, 3u32, 0u32)),
        (118, body!(fid, 0u64, u32::MAX, 0u32)),
    ] {
        assert_eq!(c.call_raw(number, &body).err(), Some(Errno::EIO), "{number} {body:?}");
    }
    assert_eq!(c.getattr(fid)?.attr.size, 0);
    Ok(())
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
    assert_eq!(c.clunk(fid), Err(Errno::EBADF));
    Ok(())
}

fn unknown_numbers_are_eio_and_replies_enosys(site: &Site) -> Checked {
    let mut c = site.client();
    let is_request = |number: u8| LEAST.iter().any(|(known, _)| *known == number);
    for number in (0..=255u8).filter(|number| !is_request(*number)) {
        let is_reply = number == 7 || is_request(number.wrapping_sub(1));
        let errno = if is_reply { Errno::ENOSYS } else { Errno::EIO };
        for body in [&[][..], &[1; 300]] {
            c.send_frame(number, Tag(u16::from(number)), body)?;
            let answer = c.recv()?;
            assert_eq!((answer.tag(), answer.errno()), (Tag(u16::from(number)), Some(errno)), "{number}");
        }
    }
    c.getattr(ROOT)?;
    Ok(())
}

fn a_tag_can_be_used_again_at_once(site: &Site) -> Checked {
    let mut c = site.client();
    for tag in [Tag(0), Tag(7), Tag(7), Tag(7), Tag(0xfffe), Tag::NONE, Tag::NONE] {
        c.send(tag, Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
        let answer = c.recv()?;
        assert_eq!((answer.tag(), answer.errno()), (tag, None));
    }
    Ok(())
}

fn many_requests_may_be_in_flight(site: &Site) -> Checked {
    let mut c = site.client();
    for tag in 0..300 {
        c.send(Tag(tag), Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
    }
    let mut tags: Vec<u16> = (0..300).map(|_| c.recv().map(|a| a.tag().0)).collect::<Result<_, _>>()?;
    tags.sort_unstable();
    assert!(tags.into_iter().eq(0..300));
    Ok(())
}

/// A reply under way that is larger than what lies between the two ends: until it is received, whatever is
/// asked stays in flight.
const HELD: Tag = Tag(100);

fn hold(site: &Site) -> Result<Client, Errno> {
    let mut c = site.connect();
    c.version(MESSAGE_MAX, site.dialect().version().0)?;
    c.attach(ROOT, "")?;
    let fid = c.create_at("large")?;
    c.write(fid, 0, &vec![1; (MESSAGE_MAX - 23) as usize])?;
    c.send(HELD, Tread { fid, offset: 0, count: MESSAGE_MAX })?;
    assert_eq!(c.begin()?, HELD);
    Ok(c)
}

fn a_tag_in_flight_used_again_ends_the_connection(site: &Site) -> Checked {
    if !site.waits_for_readers() {
        return Ok(());
    }
    let c = hold(site)?;
    let (ended, end) = mpsc::channel();
    // Until the server hangs up: nothing is received that could free the tag.
    let sender = thread::spawn(move || {
        while c.send(Tag(1), Tgetattr { fid: ROOT, mask: GetattrMask::ALL }).is_ok() {}
        ended.send(c).ok();
    });
    let c = end.recv_timeout(PATIENCE).expect("the server hangs up");
    sender.join().expect("it has ended");
    let received = c.recv_to_end().len();
    assert!(received < (MESSAGE_MAX - 23) as usize, "{received} bytes: the reply that was under way is lost");
    site.client().getattr(ROOT)?;
    Ok(())
}

fn a_flush_is_answered_after_what_it_flushes(site: &Site) -> Checked {
    if !site.waits_for_readers() {
        return Ok(());
    }
    let mut c = hold(site)?;
    c.send(Tag(1), Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
    // The last is a flush of a flush.
    for (tag, oldtag) in [(2, 1), (3, 1), (4, 2), (5, HELD.0)] {
        c.send(Tag(tag), Tflush { oldtag: Tag(oldtag) })?;
    }
    let tags: Vec<u16> = (0..6).map(|_| c.recv().map(|a| a.tag().0)).collect::<Result<_, _>>()?;
    let at = |tag| tags.iter().position(|t| *t == tag).expect("every request is answered");
    assert_eq!(at(HELD.0), 0, "{tags:?}");
    assert!([2, 3, 4].into_iter().all(|flush| at(1) < at(flush)), "{tags:?}");
    Ok(())
}

fn a_flush_of_nothing_is_answered_at_once(site: &Site) -> Checked {
    let mut c = site.client();
    c.call(Tflush { oldtag: Tag(4711) })?;
    c.call(Tflush { oldtag: Tag::NONE })?;
    for _ in 0..2 {
        c.send(Tag(9), Tflush { oldtag: Tag(9) })?;
        let answer = c.recv()?;
        answer.flush();
        assert_eq!(answer.tag(), Tag(9), "a flush of itself");
    }
    Ok(())
}

fn a_version_waits_for_what_is_in_flight(site: &Site) -> Checked {
    if !site.waits_for_readers() {
        return Ok(());
    }
    let mut c = hold(site)?;
    let last = Tag(50);
    for tag in 1..8 {
        c.send(Tag(tag), Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
    }
    c.send(last, Tversion { msize: 4096, version: text("9P2000.L") })?;
    let tags: Vec<Tag> = (0..9).map(|_| c.recv().map(|a| a.tag())).collect::<Result<_, _>>()?;
    assert_eq!((tags[0], tags[8]), (HELD, last), "{tags:?}");
    Ok(())
}

family! {
    "frames";
    cases:
        a_size_that_cannot_be_ends_the_connection
        a_frame_may_be_as_long_as_the_msize
        frames_may_come_in_any_pieces
        a_body_that_is_cut_short_is_eio
        a_length_beyond_the_body_is_eio
        what_comes_behind_the_last_field_is_ignored
        unknown_numbers_are_eio_and_replies_enosys
        a_tag_can_be_used_again_at_once
        many_requests_may_be_in_flight
        a_tag_in_flight_used_again_ends_the_connection
        a_flush_is_answered_after_what_it_flushes
        a_flush_of_nothing_is_answered_at_once
        a_version_waits_for_what_is_in_flight;
    promises:
        flush: ;
}
