//! Tags under every interleaving: a flush and the end of what it flushes, a version and all before it.
//!
//! A wait in the model has no end of its own: a lost wake is a deadlock, which is reported. Each model says what makes
//! it fail when it is taken away from the source.

use std::sync::Arc;

use loom::thread;

use super::*;

/// With so many tags in flight, from 1 on.
fn in_flight(tags: u16) -> Arc<Tags> {
    let all = Arc::new(Tags::default());
    for tag in 1..=tags {
        assert!(all.claim(Tag(tag)));
    }
    all
}

/// States: in flight, ended, with a flush that waits and without.
///
/// Fails where `flush` lets go of the list between finding the request and noting the flush: nobody answers it.
#[test]
fn a_flush_meets_the_end_of_what_it_flushes() {
    loom::model(|| {
        let tags = in_flight(2);
        let other = Arc::clone(&tags);
        let ending = thread::spawn(move || other.retire(Tag(1)));
        let flushed = tags.flush(Tag(1), Tag(2));
        let behind = ending.join().unwrap();
        match flushed {
            Flush::Waits => assert_eq!(behind, [Tag(2)]),
            Flush::Now => assert_eq!((behind, tags.retire(Tag(2))), (Vec::new(), Vec::new())),
            Flush::TooMany => unreachable!("there is one"),
        }
        assert!(tags.claim(Tag(1)) && tags.claim(Tag(2)), "nothing is left");
    });
}

/// States: free, claimed by one, refused to the other.
///
/// Fails where `claim` lets go of the list between its look and the claim.
#[test]
fn a_tag_is_claimed_once() {
    loom::model(|| {
        let tags = in_flight(0);
        let other = Arc::clone(&tags);
        let claiming = thread::spawn(move || other.claim(Tag(1)));
        assert!(tags.claim(Tag(1)) != claiming.join().unwrap());
    });
}

/// States: a version waits or not; what came before it has ended, or is a flush that waits for the version itself.
///
/// Fails (deadlock) without the wake in `retire`, without that in `flush`, and where who waits says so too late.
#[test]
fn a_version_waits_for_all_before_it_and_no_longer() {
    loom::model(|| {
        let tags = in_flight(3);
        let (ender, flusher) = (Arc::clone(&tags), Arc::clone(&tags));
        let ending = thread::spawn(move || ender.retire(Tag(1)));
        let flushing = thread::spawn(move || flusher.flush(Tag(3), Tag(2)));
        tags.wait_for_earlier(Tag(3));
        assert!(tags.claim(Tag(1)), "it has ended");
        assert_eq!(ending.join().unwrap(), []);
        assert_eq!(flushing.join().unwrap(), Flush::Waits);
        assert_eq!(tags.retire(Tag(3)), [Tag(2)]);
    });
}
