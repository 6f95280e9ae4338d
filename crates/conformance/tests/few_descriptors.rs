//! The conformance suite over host files where places have hardly any descriptors: every place that is not in use
//! is found again by its name when it is. The limit is the process's: these tests have one of their own.
//!
//! A place whose file has lost its name is told to be stale or is the file still, which is a matter of chance
//! here. So a case may fail when `ESTALE` was answered in it; but few do.

use std::sync::Arc;

use gofer_conformance::{Dialect, FAMILIES, Family, Ground, Record, Transport, site};
use gofer_localfs::LocalFs;
use gofer_vfs::Errno;

/// Whether any request was answered `ESTALE`.
fn was_stale(record: &Record) -> bool {
    (0..=u8::MAX).any(|number| record.has(number, Some(Errno::ESTALE)))
}

fn check(dialect: Dialect) {
    LocalFs::limit_places(8);
    let (mut all, mut stale, mut wrong) = (0, Vec::new(), Vec::new());
    for family in FAMILIES {
        for case in family.cases {
            all += 1;
            let record = Arc::new(Record::default());
            let site =
                |setup| site(Ground::Host, Transport::Pair, dialect, setup).forgetting().recorded(&record);
            let failures = Family { cases: std::slice::from_ref(case), ..family }.failures(site);
            let into = if was_stale(&record) { &mut stale } else { &mut wrong };
            into.extend(failures);
        }
    }
    eprintln!("stale: {stale:?}");
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(stale.len() * 20 <= all, "{stale:?} of {all}");
}

#[test]
fn base() {
    check(Dialect::Base);
}

#[test]
fn google() {
    check(Dialect::Google);
}
