//! What was acknowledged is there: for others, after the connection is gone, and for the host.

use std::fs;

use gofer_vfs::Errno;
use gofer_wire::p9::*;

use crate::client::{Client, ROOT};
use crate::sample::HELLO;
use crate::{Checked, Site, demand_eq, family};

/// Bytes that are their own offset.
fn pattern(len: u32) -> Vec<u8> {
    (0..len).flat_map(u32::to_le_bytes).collect()
}

/// Writes all of it, however little is written at a time.
fn write_all(c: &mut Client, fid: Fid, bytes: &[u8]) -> Result<(), Errno> {
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + c.msize() as usize - 24);
        let written = c.write(fid, at as u64, &bytes[at..end])? as usize;
        assert!((1..=end - at).contains(&written), "{written} of {} bytes were written", end - at);
        at += written;
    }
    Ok(())
}

/// All of a file.
fn read_all(c: &mut Client, path: &str) -> Result<Vec<u8>, Errno> {
    let fid = c.open_at(path, OpenBits::RDONLY)?;
    let mut all = Vec::new();
    loop {
        let more = c.read(fid, all.len() as u64, c.msize() - 24)?;
        if more.is_empty() {
            return c.clunk(fid).map(|()| all);
        }
        all.extend(more);
    }
}

fn what_was_synced_outlives_its_connection(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    let bytes = pattern(200_000);
    write_all(&mut c, fid, &bytes)?;
    c.call(Tfsync { fid, datasync: 0 })?;
    // Without a clunk.
    drop(c);
    assert!(read_all(&mut site.client(), "new")? == bytes, "another client reads something else");
    if let Some(host) = site.host() {
        assert!(fs::read(host.join("new")).expect("the file") == bytes, "the host reads something else");
    }
    Ok(())
}

fn what_was_written_is_seen_by_others_at_once(site: &Site) -> Checked {
    let (mut a, mut b) = (site.client(), site.client());
    let fid = a.create_at("new")?;
    let other = b.open_at("new", OpenBits::RDONLY)?;
    for n in 0..100u32 {
        let bytes = n.to_le_bytes();
        a.write(fid, 0, &bytes)?;
        demand_eq!(b.read(other, 0, 4)?, bytes);
        if let Some(host) = site.host() {
            demand_eq!(fs::read(host.join("new")).expect("the file"), bytes);
        }
    }
    Ok(())
}

fn a_write_that_did_not_arrive_whole_is_none(site: &Site) -> Checked {
    for cut in [1, 8, 22, 23, 24, 500, 1022] {
        let mut c = site.client();
        let fid = c.open_at("file", OpenBits::RDWR)?;
        let mut frame = Vec::new();
        let data = [b'x'; 1000];
        let payload = Request::from(Twrite { fid, offset: 0, data: gofer_wire::Data(&data) })
            .encode(Tag(1), &mut frame);
        frame.extend_from_slice(payload);
        c.send_raw(&frame[..cut])?;
        drop(c);
        demand_eq!(site.client().content("file")?, HELLO, "{cut} bytes of a write");
    }
    Ok(())
}

fn names_that_were_made_are_there_for_all(site: &Site) -> Checked {
    let mut c = site.client();
    c.mkdir(ROOT, "made")?;
    let dir = c.at("made")?;
    c.mknod(dir, "file", 0o100_644)?;
    c.symlink(dir, "link", "file")?;
    c.rename(ROOT, "file", dir, "moved")?;
    drop(c);
    let mut c = site.client();
    demand_eq!(c.names("made")?, ["file", "link", "moved"]);
    demand_eq!(c.content("made/moved")?, HELLO);
    if let Some(host) = site.host() {
        demand_eq!(fs::read(host.join("made/moved")).expect("the file"), HELLO);
        assert!(!host.join("file").exists(), "it still has its old name");
    }
    Ok(())
}

/// As editors and databases do it.
fn a_file_written_beside_takes_the_place_of_the_old_one(site: &Site) -> Checked {
    let mut c = site.client();
    let bytes = pattern(30_000);
    let fid = c.create_at("fresh")?;
    write_all(&mut c, fid, &bytes)?;
    c.call(Tfsync { fid, datasync: 0 })?;
    c.clunk(fid)?;
    c.rename(ROOT, "fresh", ROOT, "file")?;
    let dir = c.open_at("", OpenBits::RDONLY)?;
    // Not every server can put a directory on disk.
    let _ = c.call(Tfsync { fid: dir, datasync: 0 });
    drop(c);
    assert!(read_all(&mut site.client(), "file")? == bytes, "the file is another");
    Ok(())
}

family! {
    "durability";
    cases:
        what_was_synced_outlives_its_connection
        what_was_written_is_seen_by_others_at_once
        a_write_that_did_not_arrive_whole_is_none
        names_that_were_made_are_there_for_all
        a_file_written_beside_takes_the_place_of_the_old_one;
    promises:
}
