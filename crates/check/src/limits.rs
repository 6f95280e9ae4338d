//! What a client may hold and how it may behave. However much it takes it gets an answer or an errno, and others go on.
//! How much that is is for the server to say; what is tried here is bounded.

use std::thread;
use std::time::Duration;

use gofer_vfs::{Errno, Result};
use gofer_wire::p9::*;

use crate::client::{Client, ROOT, text};
use crate::verdict::{note, skip};
use crate::{Checked, Site, family};

/// A walk of no names.
const NONE: &[&str] = &[];

/// How often `hold` succeeds before it answers an errno that means a limit, at most `most` times.
fn until_full(what: &str, most: usize, mut hold: impl FnMut() -> Result<()>) -> Result<usize> {
    for held in 0..most {
        match hold() {
            Ok(()) => {}
            Err(Errno::ECONNRESET) => panic!("the connection ended after {held} {what}"),
            Err(errno) => {
                note(format_args!("{held} {what} are the limit: {errno:?}"));
                return Ok(held);
            }
        }
    }
    Ok(most)
}

/// Somebody else goes on, and somebody new comes.
fn others_go_on(site: &Site, other: &mut Client) -> Result<()> {
    other.walk(ROOT, Fid(9000), NONE)?;
    other.clunk(Fid(9000))?;
    site.client().getattr(ROOT).map(drop)
}

fn many_fids(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    let held = until_full("fids", 20_000, || c.at("").map(drop))?;
    assert!(held >= 50, "only {held} fids");
    others_go_on(site, &mut other)?;
    c.getattr(ROOT)?;
    // What is let go of can be had again.
    c.clunk(Fid(1))?;
    c.walk(ROOT, Fid(1), NONE)?;
    let (version, msize) = site.dialect().version();
    c.version(msize, version)?;
    c.attach(ROOT, "")?;
    c.at("")?;
    Ok(others_go_on(site, &mut other)?)
}

fn many_open_files(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    let mut opened = Vec::new();
    let held = until_full("open files", 3000, || {
        let fid = c.at("file")?;
        c.open(fid, OpenBits::RDONLY)?;
        opened.push(fid);
        Ok(())
    })?;
    assert!(held >= 50, "only {held} open files");
    c.read(opened[held - 1], 0, 9)?;
    others_go_on(site, &mut other)?;
    let others = other.open_at("file", OpenBits::RDONLY);
    assert!(others.is_ok(), "nobody else can open a file: {others:?}");
    // What is let go of can be had again.
    for fid in opened.into_iter().rev().take(20) {
        c.clunk(fid)?;
    }
    let fid = c.at("file")?;
    c.open(fid, OpenBits::RDONLY)?;
    drop(c);
    Ok(others_go_on(site, &mut other)?)
}

fn many_connections(site: &Site) -> Checked {
    let mut other = site.client();
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(site.connect());
    }
    other.getattr(ROOT)?;
    drop(held);
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(site.client());
    }
    other.getattr(ROOT)?;
    for c in &mut held {
        c.getattr(ROOT)?;
    }
    drop(held);
    Ok(others_go_on(site, &mut other)?)
}

fn an_announced_size_is_not_believed(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    let name = text("user.a");
    let held = until_full("announced attributes of 64 KiB", 2000, || {
        let fid = c.at("file")?;
        c.call(Txattrcreate { fid, name, size: 65_536, flags: 0 }).map(drop)
    })?;
    if held == 0 {
        return skip("there are no extended attributes here");
    }
    for size in [1 << 32, 1 << 40, u64::MAX] {
        let fid = c.at("file");
        // At its limit the server has no fid for it either.
        if let Ok(fid) = fid
            && c.call(Txattrcreate { fid, name, size, flags: 0 }).is_ok()
        {
            note(format_args!("takes the announcement of an attribute of {size} bytes"));
        }
    }
    Ok(others_go_on(site, &mut other)?)
}

fn a_client_that_reads_no_replies_holds_up_nobody(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    let dir = c.open_at("", OpenBits::RDONLY)?;
    // It sends until nobody takes anything any more, or enough was taken.
    let sender = thread::spawn(move || {
        let c = c.patient_for(Duration::from_millis(500));
        let sent = (0..20_000u16).take_while(|tag| {
            c.send(Tag(*tag), Treaddir { fid: dir, offset: 0, count: c.msize() - 24 }).is_ok()
        });
        (sent.count(), c)
    });
    for _ in 0..200 {
        other.getattr(ROOT)?;
    }
    let (sent, c) = sender.join().expect("it ends");
    others_go_on(site, &mut other)?;
    assert!(sent > 0, "nothing was sent");
    drop(c);
    Ok(others_go_on(site, &mut other)?)
}

fn half_open_clients_hold_up_nobody(site: &Site) -> Checked {
    let walk = [&[27, 0, 0, 0, 110, 1, 0][..], &[0; 4], &[9, 0, 0, 0], &[1, 0, 8, 0], b"whatever"].concat();
    let mut other = site.client();
    // Some have not said all, and stay.
    let mut slow = Vec::new();
    for len in 1..walk.len() {
        let c = site.client();
        c.send_raw(&walk[..len])?;
        slow.push(c);
    }
    others_go_on(site, &mut other)?;
    // Some go in the middle of a message, or before its answer.
    drop(slow);
    for _ in 0..20 {
        let c = site.client();
        for tag in 0..50 {
            c.send(Tag(tag), Tgetattr { fid: ROOT, mask: GetattrMask::BASIC })?;
        }
    }
    for _ in 0..20 {
        let c = site.client();
        c.send(Tag(2), Twalk { fid: ROOT, newfid: Fid(3), names: gofer_wire::List::EMPTY })?;
    }
    // And one says a byte at a time.
    let mut c = site.client();
    for byte in &walk {
        c.send_raw(&[*byte])?;
        other.getattr(ROOT)?;
    }
    assert!(c.recv()?.errno().is_some(), "there is no such name");
    Ok(others_go_on(site, &mut other)?)
}

fn a_flood_of_flushes_is_answered(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    for round in 0..50 {
        for tag in 0..100 {
            c.send(Tag(tag), Tflush { oldtag: Tag(tag ^ round) })?;
        }
        for _ in 0..100 {
            c.recv()?.flush();
        }
    }
    for tag in 0..200 {
        c.send(Tag(1000 + tag), Tgetattr { fid: ROOT, mask: GetattrMask::BASIC })?;
        c.send(Tag(2000 + tag), Tflush { oldtag: Tag(1000 + tag) })?;
    }
    // A request that was flushed need not be answered, but each flush is.
    let (mut flushes, mut answers) = (0, 0);
    while flushes < 200 {
        match c.recv()?.reply() {
            Reply::Flush(_) => flushes += 1,
            _ => answers += 1,
        }
    }
    if answers < 200 {
        note(format_args!("{} flushed requests were not answered", 200 - answers));
    }
    c.getattr(ROOT)?;
    Ok(others_go_on(site, &mut other)?)
}

fn a_flood_of_versions_is_answered(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    let version = text(site.dialect().version().0);
    for _ in 0..50 {
        for _ in 0..10 {
            c.send(Tag::NONE, Tversion { msize: 8192, version })?;
        }
        for _ in 0..10 {
            c.recv()?.version();
        }
    }
    let (version, msize) = site.dialect().version();
    c.version(msize, version)?;
    c.attach(ROOT, "")?;
    c.getattr(ROOT)?;
    Ok(others_go_on(site, &mut other)?)
}

/// More tags in flight than anybody has threads for.
fn all_tags_in_flight_are_answered(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    for round in 0..20u16 {
        for tag in 0..200 {
            c.send(Tag(round * 200 + tag), Tgetattr { fid: ROOT, mask: GetattrMask::BASIC })?;
        }
        for _ in 0..200 {
            c.recv()?.getattr();
        }
    }
    Ok(others_go_on(site, &mut other)?)
}

/// A new file in a directory with many, walked to by a client that goes away in between.
fn clients_that_vanish_leave_nothing(site: &Site) -> Checked {
    let mut other = site.client();
    for _ in 0..100 {
        let mut c = site.client();
        for _ in 0..10 {
            c.open_at("file", OpenBits::RDONLY)?;
        }
    }
    let fid = other.open_at("file", OpenBits::RDONLY)?;
    other.read(fid, 0, 9)?;
    Ok(others_go_on(site, &mut other)?)
}

family! {
    "limits";
    cases:
        many_fids(bare)
        many_open_files
        many_connections(bare)
        an_announced_size_is_not_believed
        a_client_that_reads_no_replies_holds_up_nobody(bare)
        half_open_clients_hold_up_nobody(bare)
        a_flood_of_flushes_is_answered(bare)
        a_flood_of_versions_is_answered(bare)
        all_tags_in_flight_are_answered(bare)
        clients_that_vanish_leave_nothing;
    promises:
}
