//! Tags and what is in flight; flush; clients that do things at the same time.

use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;

use gofer_vfs::{Errno, Result};
use gofer_wire::p9::*;

use crate::client::{Client, PATIENCE, ROOT, text};
use crate::verdict::{skip, skip_now};
use crate::{Checked, Site, demand_eq, family};

fn a_tag_can_be_used_again_at_once(site: &Site) -> Checked {
    let mut c = site.client();
    for tag in [Tag(0), Tag(7), Tag(7), Tag(7), Tag(0xfffe), Tag::NONE, Tag::NONE] {
        c.send(tag, Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
        let answer = c.recv()?;
        demand_eq!((answer.tag(), answer.errno()), (tag, None));
    }
    Ok(())
}

fn many_requests_may_be_in_flight(site: &Site) -> Checked {
    let mut c = site.client();
    for tag in 0..300 {
        c.send(Tag(tag), Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
    }
    let mut tags: Vec<u16> = (0..300).map(|_| c.recv().map(|a| a.tag().0)).collect::<Result<_>>()?;
    tags.sort_unstable();
    assert!(tags.into_iter().eq(0..300));
    Ok(())
}

/// A reply under way that is larger than what lies between the two ends: until it is received, whatever is
/// asked stays in flight.
const HELD: Tag = Tag(100);

fn hold(site: &Site) -> Result<Client> {
    let mut c = site.connect();
    c.version(MESSAGE_MAX, site.dialect().version().0)?;
    c.attach(ROOT, "")?;
    let fid = c.create_at("large")?;
    let mut held = 0;
    let room = c.msize() - 24;
    while held < room {
        held += c.write(fid, held.into(), &vec![1; (room - held) as usize])?;
    }
    if room < 300_000 {
        skip_now("needs replies that do not fit into a socket");
    }
    c.send(HELD, Tread { fid, offset: 0, count: room })?;
    demand_eq!(c.begin()?, HELD);
    Ok(c)
}

fn a_tag_in_flight_used_again_ends_the_connection(site: &Site) -> Checked {
    if !site.waits_for_readers() {
        return skip("needs a stream that holds little");
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
        return skip("needs a stream that holds little");
    }
    let mut c = hold(site)?;
    c.send(Tag(1), Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
    // The last is a flush of a flush.
    for (tag, oldtag) in [(2, 1), (3, 1), (4, 2), (5, HELD.0)] {
        c.send(Tag(tag), Tflush { oldtag: Tag(oldtag) })?;
    }
    let tags: Vec<u16> = (0..6).map(|_| c.recv().map(|a| a.tag().0)).collect::<Result<_>>()?;
    let at = |tag| tags.iter().position(|t| *t == tag).expect("every request is answered");
    demand_eq!(at(HELD.0), 0, "{tags:?}");
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
        demand_eq!(answer.tag(), Tag(9), "a flush of itself");
    }
    Ok(())
}

fn a_version_waits_for_what_is_in_flight(site: &Site) -> Checked {
    if !site.waits_for_readers() {
        return skip("needs a stream that holds little");
    }
    let mut c = hold(site)?;
    let last = Tag(50);
    for tag in 1..8 {
        c.send(Tag(tag), Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
    }
    c.send(last, Tversion { msize: 4096, version: text("9P2000.L") })?;
    let tags: Vec<Tag> = (0..9).map(|_| c.recv().map(|a| a.tag())).collect::<Result<_>>()?;
    demand_eq!((tags[0], tags[8]), (HELD, last), "{tags:?}");
    Ok(())
}

/// What clients do at the same time, each on a thread of its own.
fn together<T: Send>(clients: &mut [Client], work: impl Fn(usize, &mut Client) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let each = |(n, client)| scope.spawn(move || work(n, client));
        let all: Vec<_> = clients.iter_mut().enumerate().map(each).collect();
        all.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn clients(site: &Site, n: usize) -> Vec<Client> {
    (0..n).map(|_| site.client()).collect()
}

/// Of many that make the same name exclusively, one makes it.
fn a_name_is_made_once(site: &Site) -> Checked {
    let mut clients = clients(site.changed(), 6);
    for round in 0..20 {
        let (dir, file) = (&format!("dir {round}"), &format!("file {round}"));
        let made = together(&mut clients, |_, c| c.mkdir(ROOT, dir).map(drop));
        demand_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
        let made = together(&mut clients, |_, c| {
            let fid = c.at("")?;
            c.create(fid, file, OpenBits::RDWR | OpenBits::EXCL, 0o644).map(drop)
        });
        demand_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
    }
    Ok(())
}

/// Who looks while a file takes the place of another finds the one or the other, whole.
fn a_name_that_is_replaced_is_always_there(site: &Site) -> Checked {
    let mut clients = clients(site.changed(), 3);
    let contents = [&[b'a'; 3000][..], &[b'b'; 2000]];
    let fid = clients[0].create_at("target")?;
    clients[0].write(fid, 0, contents[0])?;
    let done = together(&mut clients, |n, c| -> Result<()> {
        for round in 0..100 {
            if n == 0 {
                let fid = c.create_at("fresh")?;
                c.write(fid, 0, contents[round % 2])?;
                c.clunk(fid)?;
                c.rename(ROOT, "fresh", ROOT, "target")?;
            } else {
                let seen = match c.content("target") {
                    // Google's sessions open nothing that was replaced since it was walked to.
                    Err(Errno::EINVAL) if site.is_google() => continue,
                    seen => seen?,
                };
                assert!(contents.contains(&&seen[..]), "{} bytes were seen", seen.len());
            }
        }
        Ok(())
    });
    done.into_iter().collect::<Result<()>>()?;
    demand_eq!(clients[0].at("fresh"), Err(Errno::ENOENT));
    Ok(())
}

/// Names that everybody moves about are neither lost nor more than they were.
fn a_storm_of_renames_loses_nothing(site: &Site) -> Checked {
    let mut clients = clients(site.changed(), 4);
    for n in 0..8 {
        clients[0].mkdir(ROOT, &format!("place {n}"))?;
        let place = clients[0].at(&format!("place {n}"))?;
        clients[0].mknod(place, "file", 0o100_644)?;
    }
    let moved = together(&mut clients, |n, c| {
        let mut moved = 0;
        for round in 0..150 {
            let (from, to) = ((round * 3 + n) % 8, (round * 5 + 2 * n + 1) % 8);
            let dirs = (c.at(&format!("place {from}")), c.at(&format!("place {to}")));
            if let (Ok(from), Ok(to)) = dirs {
                // What is there at that moment is chance.
                moved += usize::from(c.rename(from, "file", to, &format!("moved {n} {round}")).is_ok());
                moved += usize::from(c.rename(to, &format!("moved {n} {round}"), from, "file").is_ok());
                for fid in [from, to] {
                    c.clunk(fid).expect("a fid");
                }
            }
        }
        moved
    });
    assert!(moved.iter().sum::<usize>() > 0, "nothing was moved");
    let mut left = 0;
    for n in 0..8 {
        left += clients[0].names(&format!("place {n}"))?.len();
    }
    assert!((1..=8).contains(&left), "{left} files where there were 8");
    Ok(())
}

/// What two append is all there, in pieces that are whole.
fn appended_pieces_are_whole(site: &Site) -> Checked {
    if site.is_google() {
        return skip("Google's sessions have no O_APPEND");
    }
    let mut clients = clients(site.changed(), 2);
    clients[0].mknod(ROOT, "log", 0o100_644)?;
    let wrote = together(&mut clients, |n, c| -> Result<()> {
        let fid = c.open_at("log", OpenBits::WRONLY | OpenBits::APPEND)?;
        let piece = [b'0' + u8::try_from(n).unwrap_or(0); 50];
        (0..100).try_for_each(|_| c.write(fid, 0, &piece).map(drop))
    });
    wrote.into_iter().collect::<Result<()>>()?;
    let content = clients[0].content("log")?;
    demand_eq!(content.len(), 2 * 100 * 50);
    assert!(content.chunks(50).all(|piece| piece.iter().all(|byte| *byte == piece[0])), "pieces are mixed");
    Ok(())
}

family! {
    "concurrency";
    cases:
        a_tag_can_be_used_again_at_once(bare)
        many_requests_may_be_in_flight(bare)
        a_flush_is_answered_after_what_it_flushes
        a_flush_of_nothing_is_answered_at_once(bare)
        a_name_is_made_once
        a_name_that_is_replaced_is_always_there
        a_storm_of_renames_loses_nothing
        appended_pieces_are_whole;
    ours:
        a_tag_in_flight_used_again_ends_the_connection
        a_version_waits_for_what_is_in_flight;
    promises:
        flush: ;
}
