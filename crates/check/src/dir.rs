//! readdir.

use gofer_vfs::{Errno, Result};
use gofer_wire::p9::*;

use crate::client::{Client, DirEntry, ROOT};
use crate::verdict::is_exact;
use crate::{Checked, Site, demand_eq, family};

fn listed(c: &mut Client, path: &str) -> Result<Vec<DirEntry>> {
    let fid = c.open_at(path, OpenBits::RDONLY)?;
    c.list(fid)
}

fn is_child(entry: &&DirEntry) -> bool {
    entry.name != b"." && entry.name != b".."
}

/// Makes `count` files named `0`, `1` .. in `empty`.
fn fill(c: &mut Client, count: u32) -> Result<()> {
    let dir = c.at("empty")?;
    (0..count).try_for_each(|n| c.mknod(dir, &n.to_string(), 0o100_644).map(drop))
}

/// The numbers of the files that [`fill`] made.
fn numbers<'a>(entries: impl IntoIterator<Item = &'a DirEntry>) -> Vec<u32> {
    let number = |entry: &DirEntry| String::from_utf8_lossy(&entry.name).parse().expect("a number");
    let mut all: Vec<u32> = entries.into_iter().filter(is_child).map(number).collect();
    all.sort_unstable();
    all
}

fn every_name_is_listed_once(site: &Site) -> Checked {
    let mut c = site.client();
    let entries = listed(&mut c, "")?;
    for (name, kind) in site.entries() {
        let found: Vec<_> = entries.iter().filter(|entry| entry.name == name.as_bytes()).collect();
        let [entry] = found[..] else { panic!("{name}: {found:?}") };
        assert_ne!(entry.offset, 0);
        assert!(super::walk::qid_kinds(kind).contains(&entry.qid.kind), "{name}");
        let expected = site.google_or(entry.qid.kind.0, kind.dirent_type());
        demand_eq!(entry.kind, expected, "the type of {name}");
        // Some are listed that Google's clients cannot walk to.
        if let Ok(fid) = c.at(name) {
            demand_eq!(c.getattr(fid)?.qid, entry.qid, "{name}");
        }
    }
    demand_eq!(entries.iter().filter(is_child).count(), site.names().len());
    Ok(())
}

fn what_is_above_a_root_is_not_shown(site: &Site) -> Checked {
    let mut c = site.client();
    c.attach(Fid(40), "dir")?;
    let root = c.getattr(ROOT)?.qid;
    let (dir, sub) = (c.getattr(Fid(40))?.qid, c.at("dir/sub")?);
    let sub = c.getattr(sub)?.qid;
    c.walk(Fid(40), Fid(41), &["sub"])?;
    let walked = c.open_at("dir", OpenBits::RDONLY)?;
    let below = c.open_at("dir/sub", OpenBits::RDONLY)?;
    for fid in [ROOT, Fid(40), Fid(41)] {
        c.open(fid, OpenBits::RDONLY)?;
    }
    for (fid, itself, parent) in
        [(ROOT, root, root), (Fid(40), dir, dir), (Fid(41), sub, dir), (walked, dir, root), (below, sub, dir)]
    {
        let entries = c.list(fid)?;
        let of = |name: &[u8]| entries.iter().find(|e| e.name == name).map(|e| (e.qid, e.kind));
        // DT_DIR is 4.
        demand_eq!(of(b"."), site.google_or(None, Some((itself, 4))));
        demand_eq!(of(b".."), site.google_or(None, Some((parent, 4))));
    }
    Ok(())
}

fn an_empty_directory_has_no_entries(site: &Site) -> Checked {
    let mut c = site.client();
    let entries = listed(&mut c, "empty")?;
    demand_eq!(entries.iter().filter(is_child).count(), 0);
    demand_eq!(entries.len(), site.google_or(0, 2));
    Ok(())
}

fn many_entries_come_in_parts(site: &Site) -> Checked {
    let mut c = site.client();
    fill(&mut c, 1500)?;
    for count in [40, 100, 1000, 4096, 50_000, MESSAGE_MAX, u32::MAX] {
        if count > c.msize() - 24 && !is_exact() {
            continue;
        }
        let fid = c.open_at("empty", OpenBits::RDONLY)?;
        let mut all: Vec<DirEntry> = Vec::new();
        loop {
            let more = c.readdir(fid, all.last().map_or(0, |last| last.offset), count)?;
            if more.is_empty() {
                break;
            }
            all.extend(more);
        }
        assert!(numbers(&all).into_iter().eq(0..1500), "a count of {count}");
        assert!(c.readdir(fid, all.last().map_or(0, |last| last.offset), count)?.is_empty(), "still the end");
        c.clunk(fid)?;
    }
    Ok(())
}

fn a_listing_goes_on_behind_any_entry(site: &Site) -> Checked {
    let mut c = site.client();
    fill(&mut c, 200)?;
    let fid = c.open_at("empty", OpenBits::RDONLY)?;
    let all = c.list(fid)?;
    for at in [100, 3, 150, 0, all.len() - 1, 77, 76] {
        let rest = c.readdir(fid, all[at].offset, 60_000)?;
        demand_eq!(rest, all[at + 1..], "behind entry {at}");
    }
    demand_eq!(c.readdir(fid, 0, 60_000)?, all);
    Ok(())
}

fn two_fids_are_at_two_places(site: &Site) -> Checked {
    let mut c = site.client();
    fill(&mut c, 50)?;
    let (a, b) = (c.open_at("empty", OpenBits::RDONLY)?, c.open_at("empty", OpenBits::RDONLY)?);
    let (mut from_a, mut from_b): (Vec<DirEntry>, Vec<DirEntry>) = (Vec::new(), Vec::new());
    while from_a.len() < 50 {
        for (fid, all, count) in [(a, &mut from_a, 100), (b, &mut from_b, 150)] {
            let more = c.readdir(fid, all.last().map_or(0, |last| last.offset), count)?;
            all.extend(more);
        }
    }
    from_b.truncate(from_a.len());
    demand_eq!(from_a, from_b);
    Ok(())
}

fn what_stays_is_listed_whatever_comes_and_goes(site: &Site) -> Checked {
    let mut c = site.client();
    fill(&mut c, 300)?;
    let dir = c.at("empty")?;
    let fid = c.open_at("empty", OpenBits::RDONLY)?;
    let (mut all, mut next): (Vec<DirEntry>, u32) = (Vec::new(), 0);
    loop {
        let more = c.readdir(fid, all.last().map_or(0, |last| last.offset), 500)?;
        if more.is_empty() {
            break;
        }
        all.extend(more);
        if next < 100 {
            // Odd numbers go, larger ones come.
            c.unlink(dir, &(2 * next + 1).to_string())?;
            c.mknod(dir, &(1000 + next).to_string(), 0o100_644)?;
            next += 1;
        }
    }
    let mut seen = numbers(&all);
    seen.retain(|n| *n < 1000 && (n % 2 == 0 || *n > 2 * next));
    let stayed = (0..300).filter(|n| n % 2 == 0 || *n > 2 * next);
    assert!(seen.into_iter().eq(stayed));
    let now = c.list(fid)?;
    demand_eq!(numbers(&now).len(), 300, "from the start all changes are seen");
    Ok(())
}

fn an_entry_that_does_not_fit_is_einval(site: &Site) -> Checked {
    let mut c = site.client();
    let (dir, long) = (c.at("empty")?, "n".repeat(255));
    c.mkdir(dir, &long)?;
    let fid = c.open_at("empty", OpenBits::RDONLY)?;
    let behind_dots = c.list(fid)?.iter().take_while(|e| !is_child(e)).last().map_or(0, |e| e.offset);
    for count in [0, 1, 23, 24, 278] {
        demand_eq!(c.readdir(fid, behind_dots, count), Err(Errno::EINVAL), "{count}");
    }
    let entries = c.readdir(fid, behind_dots, 279)?;
    demand_eq!(entries.iter().filter(is_child).count(), 1);
    let end = entries.last().map_or(0, |last| last.offset);
    let rest = c.readdir(fid, end, 100)?;
    demand_eq!(rest.iter().filter(is_child).count(), 0);
    Ok(())
}

fn only_an_open_directory_is_listed(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["", "dir", "file", "link"] {
        let fid = c.at(path)?;
        demand_eq!(c.readdir(fid, 0, 1000), Err(Errno::EINVAL), "{path}");
    }
    let file = c.open_at("file", OpenBits::RDONLY)?;
    demand_eq!(c.readdir(file, 0, 1000), Err(Errno::EINVAL));
    Ok(())
}

fn a_removed_directory_has_nothing_to_list(site: &Site) -> Checked {
    let mut c = site.client();
    let fresh = c.open_at("empty", OpenBits::RDONLY)?;
    let used = c.open_at("empty", OpenBits::RDONLY)?;
    c.list(used)?;
    c.rmdir(ROOT, "empty")?;
    for fid in [fresh, used] {
        let expected = site.google_or(Err(Errno::EINVAL), Ok(vec![]));
        demand_eq!(c.readdir(fid, 0, 1000), expected);
    }
    Ok(())
}

fn an_offset_that_was_never_given_does_no_harm(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("", OpenBits::RDONLY)?;
    let all = c.list(fid)?;
    for offset in [1, 12_345, (1 << 63) - 1, 1 << 63, u64::MAX] {
        match c.readdir(fid, offset, 60_000) {
            Ok(entries) => assert!(entries.iter().all(|entry| all.contains(entry)), "{offset}"),
            Err(errno) => demand_eq!(errno, Errno::EINVAL, "{offset}"),
        }
    }
    demand_eq!(c.list(fid)?, all);
    Ok(())
}

family! {
    "dir";
    cases:
        every_name_is_listed_once
        an_empty_directory_has_no_entries
        many_entries_come_in_parts
        a_listing_goes_on_behind_any_entry
        two_fids_are_at_two_places
        what_stays_is_listed_whatever_comes_and_goes
        only_an_open_directory_is_listed
        a_removed_directory_has_nothing_to_list;
    ours:
        what_is_above_a_root_is_not_shown
        an_entry_that_does_not_fit_is_einval
        an_offset_that_was_never_given_does_no_harm;
    promises:
        readdir: EBADF EINVAL;
}
