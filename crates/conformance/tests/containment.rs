//! Containment where places have as many descriptors as there are and where they have hardly any, so that nearly every
//! fid is found again by its name when it is used. The limit is the process's: these tests have one of their own.

use gofer_conformance::{Dialect, FAMILIES, Ground, Transport, site};
use gofer_localfs::LocalFs;

fn check(dialect: Dialect) {
    LocalFs::limit_places(8);
    let family = FAMILIES.iter().find(|family| family.name == "containment").expect("a family");
    let failures = family.failures(|setup| site(Ground::Host, Transport::Pair, dialect, setup).forgetting());
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn base() {
    check(Dialect::Base);
}

#[test]
fn google() {
    check(Dialect::Google);
}
