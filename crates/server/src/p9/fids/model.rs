//! The life of a fid under every interleaving: clunk, use, open and walk to the same number.
//!
//! The table and its locks are the ones that serve; the tree is one in memory. Each model says what makes it fail when
//! it is taken away from the source.

use std::sync::Arc;

use loom::thread;

use super::fixture::{FID, Held, OTHER};
use super::*;

/// States: open, in use, clunked, both, closed. A file is open for as long as somebody uses it, and is closed, and its
/// room given back, with the last of them.
///
/// Fails where the room is given back when the file is opened, or with the fid in place of the file.
#[test]
fn a_clunk_meets_a_use() {
    loom::model(|| {
        let held = Held::with_open();
        let user = Arc::clone(&held);
        let using = thread::spawn(move || {
            let Ok(fid) = user.fids.get(FID) else { return };
            assert!(fid.open().is_some(), "it was opened before");
            assert!(user.fids.room(1).is_err(), "what is used is not closed");
        });
        drop(held.fids.remove(FID).unwrap());
        assert_eq!(held.fids.get(FID).err(), Some(Errno::EBADF));
        using.join().unwrap();
        assert!(held.fids.room(1).is_ok(), "it is closed with its last use");
    });
}

/// States: walked, opening, open; opening and refused.
///
/// Fails where `claim` lets go of the table between its look and the entry that it puts there: both open.
#[test]
fn one_of_two_opens_a_fid() {
    loom::model(|| {
        let held = Held::new(10);
        held.fids.insert(FID, held.place(0)).unwrap();
        let open = |held: &Held| {
            let claim = held.fids.claim(FID).ok()?;
            let open = held.open(claim.place());
            claim.set_open(open);
            Some(())
        };
        let other = Arc::clone(&held);
        let opening = thread::spawn(move || open(&other));
        let (here, there) = (open(&held), opening.join().unwrap());
        assert!(here.is_some() != there.is_some());
        assert!(held.fids.get(FID).unwrap().open().is_some());
    });
}

/// States: walked, opening, walked again as the open fails; clunked, and another file's, before, between and after.
///
/// Fails without `is_opened` in `swap`: the number is the first file's again, which the client has clunked.
#[test]
fn an_open_that_fails_meets_the_next_life_of_its_number() {
    loom::model(|| {
        let held = Held::new(10);
        held.fids.insert(FID, held.place(0)).unwrap();
        let other = Arc::clone(&held);
        let opening = thread::spawn(move || drop(other.fids.claim(FID)));
        drop(held.fids.remove(FID).unwrap());
        held.fids.insert(FID, held.place(7)).unwrap();
        opening.join().unwrap();
        assert_eq!(held.fids.get(FID).unwrap().place.export, 7);
    });
}

/// States: walked, opening, replaced by what was created; clunked before that.
///
/// Fails where `swap` puts what was created under a number that is not in use any more: nobody counts it.
#[test]
fn a_create_meets_a_clunk() {
    loom::model(|| {
        let held = Held::new(1);
        held.fids.insert(FID, held.place(0)).unwrap();
        let other = Arc::clone(&held);
        let creating = thread::spawn(move || {
            let Ok(claim) = other.fids.claim(FID) else { return };
            let (place, open) = (other.place(7), other.open(claim.place()));
            let _ = claim.replace(place, open);
        });
        drop(held.fids.remove(FID).unwrap());
        creating.join().unwrap();
        assert_eq!(held.fids.get(FID).err(), Some(Errno::EBADF));
        assert!(held.fids.room(1).is_ok(), "what was created is closed");
        assert_eq!(held.fids.insert(OTHER, held.place(0)), Ok(()), "there is room for one");
    });
}

/// States: none, one, one and one refused; clunked once, and refused.
///
/// Fails where `put` looks at `held` and adds to it in two steps, where it does not take back what it added for a
/// fid that it refuses, and where `remove` subtracts before it knows that there was one.
#[test]
fn no_more_fids_than_there_may_be() {
    loom::model(|| {
        let held = Held::new(1);
        let other = Arc::clone(&held);
        let inserting = thread::spawn(move || other.fids.insert(OTHER, other.place(0)).is_ok());
        let here = held.fids.insert(FID, held.place(0)).is_ok();
        assert!(here != inserting.join().unwrap(), "one of two");
        let fid = if here { FID } else { OTHER };
        let other = Arc::clone(&held);
        let clunking = thread::spawn(move || other.fids.remove(fid).is_ok());
        let here = held.fids.remove(fid).is_ok();
        assert!(here != clunking.join().unwrap(), "one of two");
        assert_eq!(held.fids.insert(FID, held.place(0)), Ok(()));
        assert_eq!(held.fids.insert(OTHER, held.place(0)), Err(Errno::ENFILE));
    });
}
