//! lock, getlock.

use std::fs::File;
use std::os::fd::AsFd;

use gofer_sys::lock::set;
use gofer_vfs::{Errno, Lock, LockKind, Result};
use gofer_wire::p9::*;

use crate::client::{Client, text};
use crate::verdict::is_exact;
use crate::{Checked, Lack, Site, demand_eq, family};

const SHARED: u8 = Tlock::RDLCK;
const EXCLUSIVE: u8 = Tlock::WRLCK;
const NONE: u8 = Tlock::UNLCK;

/// The status that a lock comes to.
fn lock(c: &mut Client, fid: Fid, kind: u8, start: u64, length: u64) -> Result<u8> {
    let (flags, proc_id, client_id) = (Tlock::BLOCK, 77, text("node"));
    Ok(c.call(Tlock { fid, kind, flags, start, length, proc_id, client_id })?.lock().status)
}

/// The kind, start and length of the lock in the way, or of the request itself with [`NONE`].
fn getlock(c: &mut Client, fid: Fid, kind: u8, start: u64, length: u64) -> Result<(u8, u64, u64)> {
    let (proc_id, client_id) = (77, text("node"));
    let answer = c.call(Tgetlock { fid, kind, start, length, proc_id, client_id })?;
    let reply = answer.getlock();
    let holder = if reply.kind == NONE { (77, text("node")) } else { (0, text("")) };
    if is_exact() {
        demand_eq!((reply.proc_id, reply.client_id), holder, "whoever has it has no name");
    }
    Ok((reply.kind, reply.start, reply.length))
}

const SUCCESS: Result<u8> = Ok(Rlock::SUCCESS);
const BLOCKED: Result<u8> = Ok(Rlock::BLOCKED);

fn locks_exclude_each_other(site: &Site) -> Checked {
    let (mut a, mut b) = (site.able(Lack::Locks).client(), site.client());
    let (one, two) = (a.open_at("file", OpenBits::RDWR)?, a.open_at("file", OpenBits::RDWR)?);
    let three = b.open_at("file", OpenBits::RDWR)?;
    demand_eq!(lock(&mut a, one, EXCLUSIVE, 0, 10), SUCCESS);
    for kind in [SHARED, EXCLUSIVE] {
        demand_eq!(lock(&mut a, two, kind, 5, 1), BLOCKED, "another fid");
        demand_eq!(lock(&mut b, three, kind, 0, 0), BLOCKED, "another client");
        demand_eq!(getlock(&mut b, three, kind, 0, 0)?, (EXCLUSIVE, 0, 10));
        demand_eq!(getlock(&mut a, one, kind, 0, 0)?, (NONE, 0, 0), "one's own is not in the way");
    }
    demand_eq!(lock(&mut a, two, EXCLUSIVE, 10, 5), SUCCESS, "behind it");
    demand_eq!(lock(&mut a, one, SHARED, 0, 10), SUCCESS, "one's own is changed");
    demand_eq!(lock(&mut b, three, SHARED, 0, 10), SUCCESS);
    demand_eq!(lock(&mut b, three, EXCLUSIVE, 0, 10), BLOCKED);
    demand_eq!(getlock(&mut b, three, EXCLUSIVE, 2, 3)?, (SHARED, 0, 10));
    demand_eq!(getlock(&mut b, three, SHARED, 2, 3)?, (NONE, 2, 3));
    Ok(())
}

fn unlocking_frees_the_range_that_is_named(site: &Site) -> Checked {
    let mut c = site.able(Lack::Locks).client();
    let (one, two) = (c.open_at("file", OpenBits::RDWR)?, c.open_at("file", OpenBits::RDWR)?);
    demand_eq!(lock(&mut c, one, EXCLUSIVE, 0, 0), SUCCESS, "to the end, wherever that will be");
    demand_eq!(lock(&mut c, two, EXCLUSIVE, 1 << 40, 1), BLOCKED);
    demand_eq!(lock(&mut c, one, NONE, 10, 10), SUCCESS);
    demand_eq!(lock(&mut c, two, EXCLUSIVE, 10, 10), SUCCESS);
    demand_eq!(lock(&mut c, two, EXCLUSIVE, 9, 1), BLOCKED);
    demand_eq!(getlock(&mut c, two, SHARED, 0, 1)?, (EXCLUSIVE, 0, 10));
    demand_eq!(getlock(&mut c, two, SHARED, 50, 1)?, (EXCLUSIVE, 20, 0));
    demand_eq!(lock(&mut c, one, NONE, 0, 0), SUCCESS);
    demand_eq!(lock(&mut c, two, EXCLUSIVE, 0, 0), SUCCESS);
    demand_eq!(lock(&mut c, one, NONE, 0, 0), SUCCESS, "of nothing");
    Ok(())
}

fn locks_end_with_their_fid(site: &Site) -> Checked {
    let mut c = site.able(Lack::Locks).client();
    let waits = c.open_at("file", OpenBits::RDWR)?;
    let fid = c.open_at("file", OpenBits::RDWR)?;
    demand_eq!(lock(&mut c, fid, EXCLUSIVE, 0, 0), SUCCESS);
    let other = c.open_at("file", OpenBits::RDWR)?;
    c.clunk(other)?;
    demand_eq!(lock(&mut c, waits, EXCLUSIVE, 0, 0), BLOCKED, "another fid's end is not this one's");
    c.clunk(fid)?;
    demand_eq!(lock(&mut c, waits, EXCLUSIVE, 0, 0), SUCCESS);
    c.clunk(waits)?;

    let other = site.with(crate::Setup::default());
    let mut gone = other.client();
    let fid = gone.open_at("file", OpenBits::RDWR)?;
    demand_eq!(lock(&mut gone, fid, EXCLUSIVE, 0, 0), SUCCESS);
    let mut stays = other.client();
    let waits = stays.open_at("file", OpenBits::RDWR)?;
    demand_eq!(lock(&mut stays, waits, EXCLUSIVE, 0, 0), BLOCKED);
    drop(gone);
    // As the kernel's client does, which asks again; the server learns of an end only when it comes.
    while lock(&mut stays, waits, EXCLUSIVE, 0, 0)? == Rlock::BLOCKED {
        std::thread::yield_now();
    }
    Ok(())
}

fn a_lock_does_not_need_the_access_it_protects(site: &Site) -> Checked {
    let mut c = site.able(Lack::Locks).client();
    let (reader, writer) = (c.open_at("file", OpenBits::RDONLY)?, c.open_at("file", OpenBits::WRONLY)?);
    for (one, other) in [(reader, writer), (writer, reader)] {
        for kind in [EXCLUSIVE, SHARED] {
            demand_eq!(lock(&mut c, one, kind, 0, 10), SUCCESS);
            demand_eq!(lock(&mut c, other, EXCLUSIVE, 0, 10), BLOCKED);
            demand_eq!(getlock(&mut c, other, EXCLUSIVE, 0, 10)?, (kind, 0, 10));
        }
        demand_eq!(lock(&mut c, one, NONE, 0, 0), SUCCESS);
    }
    let dir = c.open_at("dir", OpenBits::RDONLY)?;
    demand_eq!(lock(&mut c, dir, EXCLUSIVE, 0, 0), Ok(Rlock::ERROR), "nobody can write a directory");
    Ok(())
}

fn locks_hold_against_the_host(site: &Site) -> Checked {
    let host = site.hosted();
    let mut c = site.able(Lack::Locks).client();
    let fid = c.open_at("file", OpenBits::RDWR)?;
    let own = File::options().read(true).write(true).open(host.join("file")).expect("a file");
    let exclusive = |start, length| Lock { kind: LockKind::Exclusive, start, length };
    demand_eq!(set(own.as_fd(), exclusive(3, 4)), Ok(true));
    demand_eq!(lock(&mut c, fid, SHARED, 0, 0), BLOCKED);
    demand_eq!(getlock(&mut c, fid, SHARED, 0, 0)?, (EXCLUSIVE, 3, 4));
    demand_eq!(lock(&mut c, fid, EXCLUSIVE, 0, 3), SUCCESS);
    demand_eq!(set(own.as_fd(), exclusive(0, 1)), Ok(false));
    drop(own);
    demand_eq!(lock(&mut c, fid, EXCLUSIVE, 0, 0), SUCCESS);
    Ok(())
}

fn what_is_no_lock_is_refused(site: &Site) -> Checked {
    let mut c = site.client();
    let (fid, unopened) = (c.open_at("file", OpenBits::RDWR)?, c.at("file")?);
    demand_eq!(lock(&mut c, unopened, SHARED, 0, 0), Err(Errno::EBADF));
    demand_eq!(getlock(&mut c, unopened, SHARED, 0, 0), Err(Errno::EBADF));
    for kind in [3, 4, 255] {
        demand_eq!(lock(&mut c, fid, kind, 0, 0), Err(Errno::EINVAL), "kind {kind}");
        demand_eq!(getlock(&mut c, fid, kind, 0, 0), Err(Errno::EINVAL), "kind {kind}");
    }
    site.able(Lack::Locks);
    let far = 1 << 63;
    for (start, length) in [(far, 1), (far - 1, 2), (1, far), (u64::MAX, u64::MAX), (0, far + 1)] {
        demand_eq!(lock(&mut c, fid, EXCLUSIVE, start, length), Err(Errno::EINVAL), "{start} {length}");
        demand_eq!(getlock(&mut c, fid, EXCLUSIVE, start, length), Err(Errno::EINVAL), "{start} {length}");
    }
    demand_eq!(lock(&mut c, fid, EXCLUSIVE, far - 1, 1), SUCCESS, "the last there is");
    let (start, length, proc_id, client_id) = (0, 0, 1, text(""));
    for (flags, expected) in [(0, Ok(0)), (1, Ok(0)), (2, Ok(0)), (3, Ok(0)), (4, Err(Errno::EINVAL))] {
        let request = Tlock { fid, kind: SHARED, flags, start, length, proc_id, client_id };
        demand_eq!(c.call(request).map(|answer| answer.lock().status), expected, "flags {flags}");
    }
    Ok(())
}

family! {
    "lock";
    cases:
        locks_exclude_each_other
        unlocking_frees_the_range_that_is_named
        locks_end_with_their_fid;
    ours:
        a_lock_does_not_need_the_access_it_protects
        locks_hold_against_the_host
        what_is_no_lock_is_refused;
    promises:
        lock: EBADF EINVAL EROFS;
        getlock: EBADF EINVAL;
}
