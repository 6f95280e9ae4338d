//! read, write, fsync, flushf, allocate.

use gofer_vfs::{Errno, Result};
use gofer_wire::p9::*;

use crate::attr::{mode, size};
use crate::client::{Client, ROOT, text};
use crate::sample::HELLO;
use crate::verdict::{is_exact, skip};
use crate::{Checked, Site, body, demand_eq, family};

/// The first offset that no file has.
const TOO_FAR: u64 = 1 << 63;

fn fsync(c: &mut Client, fid: Fid, datasync: u32) -> Result<()> {
    c.call(Tfsync { fid, datasync }).map(drop)
}

fn flushf(c: &mut Client, fid: Fid) -> Result<()> {
    c.call(Tflushf { fid }).map(drop)
}

fn allocate(c: &mut Client, fid: Fid, mode: u32, offset: u64, length: u64) -> Result<()> {
    c.call(Tallocate { fid, mode, offset, length }).map(drop)
}

fn reading_ends_where_the_file_does(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDONLY)?;
    demand_eq!(c.read(fid, 0, 9)?, HELLO);
    demand_eq!(c.read(fid, 0, 4)?, b"hell");
    demand_eq!(c.read(fid, 7, 100)?, b"9p");
    for (offset, count) in [(9, 10), (10, 1), (1 << 40, 100), (TOO_FAR - 1000, 10), (0, 0), (3, 0)] {
        demand_eq!(c.read(fid, offset, count)?, b"", "{offset} {count}");
    }
    Ok(())
}

fn a_reply_is_never_longer_than_the_msize(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    let len = 60_000;
    c.write(fid, 0, &vec![b'x'; len])?;
    c.clunk(fid)?;
    for msize in [4096, 5000, 65_536] {
        c.version(msize, site.dialect().version().0)?;
        c.attach(ROOT, "")?;
        let fid = c.open_at("new", OpenBits::RDONLY)?;
        let most = (msize as usize - 11).min(len);
        for count in [msize, msize - 10, MESSAGE_MAX, MESSAGE_MAX + 1, u32::MAX] {
            demand_eq!(c.read(fid, 0, count)?.len(), most, "a count of {count} with an msize of {msize}");
        }
        demand_eq!(c.read(fid, 0, msize - 11)?.len(), most);
        demand_eq!(c.read(fid, 0, msize - 12)?.len(), most.min(msize as usize - 12));
    }
    Ok(())
}

fn no_file_reaches_beyond_the_largest_offset(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDWR)?;
    for offset in [TOO_FAR, u64::MAX - 5, u64::MAX] {
        demand_eq!(c.read(fid, offset, 10), Err(Errno::EINVAL), "{offset}");
        demand_eq!(c.write(fid, offset, b"x"), Err(Errno::EINVAL), "{offset}");
    }
    let refused = c.write(fid, TOO_FAR - 10, b"x").err();
    assert!(matches!(refused, Some(Errno::EFBIG | Errno::EINVAL)), "{refused:?}");
    demand_eq!(c.read(fid, 0, 100)?, HELLO);
    Ok(())
}

fn what_is_not_open_is_not_read_or_written(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["file", "dir", "link", ""] {
        let fid = c.at(path)?;
        demand_eq!(c.read(fid, 0, 10), Err(Errno::EINVAL), "{path}");
        demand_eq!(c.read(fid, 0, u32::MAX), Err(Errno::EINVAL), "{path}");
        demand_eq!(c.write(fid, 0, b"x"), Err(Errno::EINVAL), "{path}");
        demand_eq!(fsync(&mut c, fid, 0), Err(Errno::EINVAL), "{path}");
        demand_eq!(allocate(&mut c, fid, 0, 0, 1), Err(Errno::EINVAL), "{path}");
    }
    Ok(())
}

fn writes_go_where_they_are_told(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    demand_eq!(c.write(fid, 0, b"")?, 0);
    demand_eq!(c.write(fid, 5, b"later")?, 5);
    demand_eq!(c.read(fid, 0, 100)?, b"\0\0\0\0\0later");
    demand_eq!(c.write(fid, 0, b"early")?, 5);
    demand_eq!(c.write(fid, 3, b"--")?, 2);
    demand_eq!(c.read(fid, 0, 100)?, b"ear--later");
    let far = 5_000_000_000;
    demand_eq!(c.write(fid, far, b"far")?, 3);
    demand_eq!(c.read(fid, far - 2, 100)?, b"\0\0far");
    let attr = c.getattr(fid)?.attr;
    demand_eq!(attr.size, far + 3);
    assert!(attr.blocks < 1000, "a hole takes no space");
    demand_eq!(c.content("new")?[..10], *b"ear--later", "all fids see it");
    Ok(())
}

fn large_pieces_arrive_whole(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    let msize = site.dialect().version().1;
    let pieces = u32::to_le_bytes;
    let all: Vec<u8> = (0..200_000u32).flat_map(pieces).collect();
    let mut at = 0;
    while at < all.len() {
        let piece = &all[at..all.len().min(at + msize as usize - 24)];
        demand_eq!(c.write(fid, at as u64, piece)? as usize, piece.len());
        at += piece.len();
    }
    let mut got = Vec::new();
    while got.len() < all.len() {
        let more = c.read(fid, got.len() as u64, msize - 24)?;
        assert!(!more.is_empty());
        got.extend(more);
    }
    assert!(got == all);
    Ok(())
}

fn a_removed_file_is_still_read_and_written(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDWR)?;
    c.unlink(ROOT, "file")?;
    demand_eq!(c.read(fid, 0, 100)?, HELLO);
    demand_eq!(c.write(fid, 0, b"J")?, 1);
    demand_eq!(c.read(fid, 0, 1)?, b"J");
    fsync(&mut c, fid, 0)?;
    flushf(&mut c, fid)?;
    c.setattr(fid, size(3))?;
    demand_eq!(c.read(fid, 0, 100)?, b"Jel");
    allocate(&mut c, fid, 0, 0, 100)?;
    demand_eq!(c.getattr(fid)?.attr.size, 100);
    Ok(())
}

/// The client of a base session does not clear the bits itself; one of Google's does, and sets them too.
fn who_writes_to_a_set_id_file_takes_the_bits(site: &Site) -> Checked {
    // Whoever has no right to keep the bits loses them by writing (`write(2)`), whatever the server does. A sealed
    // process does not have it to the host.
    if site.is_google() && !(site.is_root() && site.is_here()) {
        return skip("needs a server with the right to keep the bits");
    }
    let mut c = site.client();
    for (before, after) in [(0o6755, 0o755), (0o4711, 0o711), (0o2745, 0o2745), (0o1777, 0o1777)] {
        let after = 0o100_000 | site.google_or(before, after);
        let fid = c.open_at("file", OpenBits::RDWR)?;
        c.setattr(fid, mode(before))?;
        c.read(fid, 0, 10)?;
        demand_eq!(c.getattr(fid)?.attr.mode, 0o100_000 | before, "reading takes nothing");
        c.write(fid, 0, b"x")?;
        demand_eq!(c.getattr(fid)?.attr.mode, after, "{before:o}");
        c.setattr(fid, mode(before))?;
        c.write(fid, 0, b"x")?;
        demand_eq!(c.getattr(fid)?.attr.mode, after, "{before:o}, set again while it is open");
    }
    Ok(())
}

fn fsync_takes_whatever_is_open(site: &Site) -> Checked {
    let mut c = site.client();
    for flags in [OpenBits::RDONLY, OpenBits::WRONLY, OpenBits::RDWR] {
        let fid = c.open_at("file", flags)?;
        for datasync in [0, 1, u32::MAX] {
            fsync(&mut c, fid, datasync)?;
        }
        if is_exact() {
            // As older clients send it.
            c.call_raw(50, &body!(fid))?;
        }
    }
    if !is_exact() {
        return Ok(());
    }
    let dir = c.open_at("dir", OpenBits::RDONLY)?;
    fsync(&mut c, dir, 0)?;
    fsync(&mut c, dir, 1)?;
    Ok(())
}

fn flushf_always_succeeds(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["", "file", "link"] {
        let fid = c.at(path)?;
        flushf(&mut c, fid)?;
    }
    for flags in [OpenBits::RDONLY, OpenBits::WRONLY] {
        let fid = c.open_at("file", flags)?;
        flushf(&mut c, fid)?;
        flushf(&mut c, fid)?;
    }
    Ok(())
}

fn allocate_gives_room(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    allocate(&mut c, fid, 0, 0, 10_000)?;
    let attr = c.getattr(fid)?.attr;
    demand_eq!(attr.size, 10_000);
    assert!(attr.blocks >= 20, "{}", attr.blocks);
    allocate(&mut c, fid, 0, 100, 50)?;
    demand_eq!(c.getattr(fid)?.attr.size, 10_000);
    allocate(&mut c, fid, Tallocate::KEEP_SIZE, 10_000, 50_000)?;
    demand_eq!(c.getattr(fid)?.attr.size, 10_000);
    demand_eq!(c.read(fid, 0, 20_000)?, [0; 10_000]);
    Ok(())
}

/// Not all file systems have all modes.
fn allocate_cuts_and_inserts(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    let unit = 4096;
    let fill = |c: &mut Client| -> Result<()> {
        c.setattr(fid, size(0))?;
        for page in 0..4u64 {
            c.write(fid, page * unit, &[b'0' + u8::try_from(page).unwrap_or(0); 4096])?;
        }
        Ok(())
    };
    let (keep, punch, zero) = (Tallocate::KEEP_SIZE, Tallocate::PUNCH_HOLE, Tallocate::ZERO_RANGE);
    let (collapse, insert) = (Tallocate::COLLAPSE_RANGE, Tallocate::INSERT_RANGE);
    for (mode, pages) in [
        (punch | keep, &b"0\x0023"[..]),
        (zero, b"0\x0023"),
        (zero | keep, b"0\x0023"),
        (collapse, b"023"),
        (insert, b"0\x00123"),
    ] {
        fill(&mut c)?;
        match allocate(&mut c, fid, mode, unit, unit) {
            Err(Errno::EOPNOTSUPP) if site.is_host() || mode & (collapse | insert) != 0 => {}
            other => {
                other?;
                let content = c.read(fid, 0, 60_000)?;
                let first: Vec<u8> = content.chunks(4096).map(|page| page[0]).collect();
                demand_eq!(first, pages, "mode {mode:#x}");
            }
        }
    }
    Ok(())
}

fn what_cannot_be_allocated(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDWR)?;
    for (mode, offset, length, errno) in [
        (0, 0, 0, Errno::EINVAL),
        (0, TOO_FAR, 1, Errno::EINVAL),
        (0, 1, TOO_FAR, Errno::EINVAL),
        (0, u64::MAX, u64::MAX, Errno::EINVAL),
        (Tallocate::NO_HIDE_STALE, 0, 1, Errno::EOPNOTSUPP),
        (Tallocate::NO_HIDE_STALE | Tallocate::KEEP_SIZE, 0, 1, Errno::EOPNOTSUPP),
        (0x80, 0, 1, Errno::EOPNOTSUPP),
        (0x8000_0000, 0, 1, Errno::EOPNOTSUPP),
        (Tallocate::PUNCH_HOLE | Tallocate::ZERO_RANGE, 0, 1, Errno::EOPNOTSUPP),
    ] {
        demand_eq!(allocate(&mut c, fid, mode, offset, length), Err(errno), "{mode:#x} {offset} {length}");
    }
    let reader = c.open_at("file", OpenBits::RDONLY)?;
    demand_eq!(allocate(&mut c, reader, 0, 0, 100), Err(Errno::EBADF));
    let dir = c.open_at("dir", OpenBits::RDONLY)?;
    demand_eq!(allocate(&mut c, dir, 0, 0, 100), Err(Errno::EBADF));
    demand_eq!(c.read(fid, 0, 100)?, HELLO);
    Ok(())
}

fn files_of_extended_attributes_are_no_files(site: &Site) -> Checked {
    let mut c = site.client();
    let (fid, newfid) = (c.at("file")?, c.fid());
    c.call(Txattrcreate { fid, name: text("user.a"), size: 3, flags: 0 })?;
    let (file, name) = (c.at("file")?, text(""));
    c.call(Txattrwalk { fid: file, newfid, name })?;
    demand_eq!(c.read(fid, 0, 3), Err(Errno::EINVAL), "what is being written is not read");
    demand_eq!(c.write(newfid, 0, b"x"), Err(Errno::EINVAL), "what is being read is not written");
    for fid in [fid, newfid] {
        for refused in [
            fsync(&mut c, fid, 0),
            flushf(&mut c, fid),
            allocate(&mut c, fid, 0, 0, 1),
            c.open(fid, OpenBits::RDONLY).map(drop),
            c.walk(fid, Fid(800), super::walk::NONE).map(drop),
            c.getattr(fid).map(drop),
            c.setattr(fid, size(0)),
        ] {
            assert!(matches!(refused, Err(Errno::EBADF | Errno::EINVAL)), "{refused:?}");
        }
    }
    Ok(())
}

family! {
    "io";
    cases:
        reading_ends_where_the_file_does
        what_is_not_open_is_not_read_or_written
        writes_go_where_they_are_told
        large_pieces_arrive_whole
        a_removed_file_is_still_read_and_written
        fsync_takes_whatever_is_open
        allocate_gives_room
        allocate_cuts_and_inserts
        files_of_extended_attributes_are_no_files;
    ours:
        a_reply_is_never_longer_than_the_msize
        no_file_reaches_beyond_the_largest_offset
        who_writes_to_a_set_id_file_takes_the_bits
        flushf_always_succeeds
        what_cannot_be_allocated;
    promises:
        read: EBADF EINVAL EPERM EISDIR;
        write: EBADF EINVAL EPERM;
        fsync: EBADF EINVAL;
        flushf: EBADF;
        allocate: EBADF EINVAL EOPNOTSUPP;
}
