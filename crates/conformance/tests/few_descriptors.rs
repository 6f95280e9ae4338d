//! The conformance suite over host files where places have hardly any descriptors: every place that is not in use
//! is found again by its name when it is. The limit is the process's: these tests have one of their own.
//!
//! A place whose file has lost its name is told to be stale or is the file still, which is a matter of chance
//! here. So a case may fail when `ESTALE` was answered in it; but few do.

use std::sync::Arc;

use gofer_conformance::{Dialect, FAMILIES, Family, Ground, Record, Transport, site};
use gofer_localfs::LocalFs;
use gofer_server::lisafs::{Session, Settings};
use gofer_server::{Buffers, Export, Limits, Outcome, Policy};
use gofer_vfs::{Errno, Name};
use gofer_wire::lisafs::{
    FStatReq, FdId, HEADER, Inode, LinkAtReq, MountReq, Operation, WalkReq, WalkResp, frame,
};
use gofer_wire::{ListBuf, Reader, Str, Wire};

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

/// A name that a file gets over lisafs has a place of its own, which is found by that name.
#[test]
fn a_second_name_of_a_file_is_found_when_the_first_is_gone() {
    LocalFs::limit_places(8);
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    for name in ["first", "other"] {
        std::fs::write(dir.path().join(name), name).expect("a file");
    }
    let backend = LocalFs::open(dir.path()).expect("an export");
    let export = Export { name: None, backend, policy: Policy::default() };
    let session = Session::alone(export, &Limits::default(), false, Settings::default());
    let root = FdId(1);
    ask(&session, &MountReq).expect("an answer");
    let walk = |name: &str| {
        let mut room = Vec::new();
        let mut names = ListBuf::new(&mut room);
        names.push_str(Str::new(name.as_bytes()).expect("short"));
        let reply = ask(&session, &WalkReq { dir: root, names: names.finish() }).expect("an answer");
        let walked = WalkResp::decode(&mut Reader::new(&reply)).expect("the reply of this request");
        walked.inodes.iter().next().expect("it is there").fd
    };
    let name = Name::new(b"second").expect("a name");
    let reply = ask(&session, &LinkAtReq { dir: root, target: walk("first"), name }).expect("an answer");
    let second = Inode::decode(&mut Reader::new(&reply)).expect("the reply of this request").fd;
    std::fs::remove_file(dir.path().join("first")).expect("it is there");
    for _ in 0..200 {
        walk("other");
    }
    assert_eq!(ask(&session, &FStatReq { fd: second }).err(), None);
}

/// The payload of a reply, or the errno.
fn ask<'a, M: Operation<'a>>(session: &Session<LocalFs>, message: &M) -> Result<Vec<u8>, Errno> {
    let (mut request, mut buffers) = (Vec::new(), Buffers::default());
    let rest = frame(M::NUMBER, message, &mut request);
    request.extend_from_slice(rest);
    let Outcome::Reply { head, payload, .. } = session.handle(&request, &mut buffers) else {
        panic!("no reply to {}", M::NUMBER);
    };
    let reply = [&head[HEADER..], payload].concat();
    match reply.first_chunk() {
        Some(errno) if head[4..6] == [0, 0] => Err(Errno::from_host(i32::from_le_bytes(*errno))),
        _ => Ok(reply),
    }
}
