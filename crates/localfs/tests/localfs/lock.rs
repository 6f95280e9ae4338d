use std::os::unix::fs::PermissionsExt;

use gofer_localfs::File;
use gofer_vfs::{Backend, Errno, Lock, LockHolder, LockKind, OpenFlags};
use rustix::fs::FlockOperation;

use crate::{AccessMode, Export, is_held_off};

fn shared(start: u64, length: u64) -> Lock {
    Lock { kind: LockKind::Shared, start, length }
}

fn exclusive(start: u64, length: u64) -> Lock {
    Lock { kind: LockKind::Exclusive, start, length }
}

fn unlock(start: u64, length: u64) -> Lock {
    Lock { kind: LockKind::Unlock, start, length }
}

/// Two descriptions of one file, opened for these.
fn two(access: [AccessMode; 2]) -> (Export, [File; 2]) {
    let export = Export::new();
    let node = export.host_file("f", "");
    let files = access.map(|access| export.fs.open(&node, OpenFlags::new(access)).unwrap());
    (export, files)
}

#[test]
fn ranges_conflict_between_files_and_not_within_one() {
    let (export, [a, b]) = two([AccessMode::ReadWrite; 2]);
    let fs = &export.fs;
    assert_eq!(fs.lock(&a, exclusive(10, 10)), Ok(true));
    assert_eq!(fs.lock(&b, exclusive(0, 10)), Ok(true));
    assert_eq!(fs.lock(&b, shared(19, 1)), Ok(false));
    assert_eq!(fs.lock(&b, exclusive(20, 0)), Ok(true));
    assert_eq!(fs.lock(&a, shared(10, 10)), Ok(true));
    assert_eq!(fs.lock(&b, shared(10, 10)), Ok(true));
    assert_eq!(fs.lock(&a, exclusive(10, 10)), Ok(false));
    assert_eq!(fs.lock(&b, unlock(0, 0)), Ok(true));
    assert_eq!(fs.lock(&a, exclusive(0, 0)), Ok(true));
}

#[test]
fn what_is_in_the_way_is_told() {
    let (export, [a, b]) = two([AccessMode::ReadWrite; 2]);
    let fs = &export.fs;
    assert_eq!(fs.getlock(&b, exclusive(0, 0)), Ok(None));
    fs.lock(&a, exclusive(5, 7)).unwrap();
    let holder = LockHolder { lock: exclusive(5, 7), pid: 0 };
    assert_eq!(fs.getlock(&b, shared(0, 0)), Ok(Some(holder)));
    assert_eq!(fs.getlock(&b, shared(0, 5)), Ok(None));
    assert_eq!(fs.getlock(&a, exclusive(0, 0)), Ok(None));
}

/// A file's own locks of the two kinds were told to be in its way.
#[test]
fn own_locks_are_never_in_the_way() {
    let (export, [a, b]) = two([AccessMode::Read, AccessMode::Write]);
    let fs = &export.fs;
    for file in [&a, &b] {
        for lock in [shared(0, 5), exclusive(10, 5), shared(20, 5), exclusive(30, 0)] {
            assert_eq!(fs.lock(file, lock), Ok(true));
        }
        assert_eq!(fs.getlock(file, exclusive(0, 0)), Ok(None));
        fs.lock(file, unlock(0, 0)).unwrap();
    }
    fs.lock(&a, shared(0, 5)).unwrap();
    fs.lock(&a, exclusive(10, 5)).unwrap();
    fs.lock(&b, shared(2, 1)).unwrap();
    let holder = LockHolder { lock: shared(2, 1), pid: 0 };
    assert_eq!(fs.getlock(&a, exclusive(0, 0)), Ok(Some(holder)));
}

#[test]
fn closing_releases() {
    let (export, [a, b]) = two([AccessMode::ReadWrite; 2]);
    export.fs.lock(&a, exclusive(0, 0)).unwrap();
    // A duplicate that is closed releases nothing.
    export.fs.flush(&a).unwrap();
    drop(export.fs.donate(&a).unwrap());
    assert_eq!(export.fs.lock(&b, shared(0, 1)), Ok(false));
    drop(a);
    assert_eq!(export.fs.lock(&b, shared(0, 1)), Ok(true));
}

#[test]
fn locks_hold_against_other_programs() {
    let (export, [a, _]) = two([AccessMode::ReadWrite; 2]);
    let other = std::fs::File::options().read(true).write(true).open(export.path("f")).unwrap();
    // A lock that belongs to a process, this one's: to a description it is another's.
    rustix::fs::fcntl_lock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(export.fs.lock(&a, shared(3, 1)), Ok(false));
    let holder = LockHolder { lock: exclusive(0, 0), pid: std::process::id() };
    assert_eq!(export.fs.getlock(&a, shared(3, 1)), Ok(Some(holder)));
    rustix::fs::fcntl_lock(&other, FlockOperation::Unlock).unwrap();
    assert_eq!(export.fs.lock(&a, shared(3, 1)), Ok(true));
    let refused = rustix::fs::fcntl_lock(&other, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(refused, Err(rustix::io::Errno::AGAIN));
}

#[test]
fn the_files_access_does_not_limit_the_kind() {
    let (export, [reader, writer]) = two([AccessMode::Read, AccessMode::Write]);
    let fs = &export.fs;
    // From shared to exclusive and back, on one file.
    for (file, other) in [(&reader, &writer), (&writer, &reader)] {
        assert_eq!(fs.lock(file, shared(0, 0)), Ok(true));
        assert_eq!(fs.lock(file, exclusive(0, 0)), Ok(true));
        assert_eq!(fs.getlock(file, exclusive(0, 0)), Ok(None));
        assert_eq!(fs.lock(other, shared(0, 0)), Ok(false));
        assert_eq!(fs.getlock(other, shared(0, 0)).unwrap().map(|held| held.lock), Some(exclusive(0, 0)));
        assert_eq!(fs.lock(file, shared(0, 0)), Ok(true));
        assert_eq!(fs.lock(other, shared(0, 0)), Ok(true));
        assert_eq!(fs.lock(file, exclusive(0, 0)), Ok(false));
        assert_eq!(fs.lock(other, unlock(0, 0)), Ok(true));
        assert_eq!(fs.lock(file, exclusive(0, 0)), Ok(true));
        assert_eq!(fs.lock(file, unlock(0, 0)), Ok(true));
    }
    assert_eq!(fs.lock(&writer, exclusive(0, 0)), Ok(true));
    assert_eq!(fs.getlock(&reader, shared(0, 0)).unwrap().map(|held| held.lock), Some(exclusive(0, 0)));
}

/// Whether this process has the file open so that nobody can run it.
fn is_open_to_write(export: &Export) -> bool {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten().map(|entry| entry.path());
    entries.filter(|entry| std::fs::read_link(entry).is_ok_and(|target| target == export.path("f"))).any(
        |entry| {
            // The link itself tells what the descriptor is open for (proc_pid_fd(5)).
            std::fs::symlink_metadata(entry).is_ok_and(|link| link.permissions().mode() & 0o200 != 0)
        },
    )
}

#[test]
fn a_reader_that_shares_does_not_keep_others_from_running_the_file() {
    let (export, [reader, other]) = two([AccessMode::Read; 2]);
    assert_eq!(export.fs.lock(&reader, shared(0, 0)), Ok(true));
    assert_eq!(export.fs.lock(&other, shared(0, 0)), Ok(true));
    assert!(!is_open_to_write(&export));
    assert_eq!(export.fs.lock(&other, unlock(0, 0)), Ok(true));
    assert_eq!(export.fs.lock(&reader, exclusive(0, 0)), Ok(true));
    assert!(is_open_to_write(&export));
}

#[test]
fn without_the_right_to_write_an_exclusive_lock_cannot_be_had() {
    let (export, [reader, _]) = two([AccessMode::Read; 2]);
    std::fs::set_permissions(export.path("f"), PermissionsExt::from_mode(0o400)).unwrap();
    if is_held_off() {
        assert_eq!(export.fs.lock(&reader, exclusive(0, 0)), Err(Errno::EBADF));
    }
    assert_eq!(export.fs.lock(&reader, shared(0, 0)), Ok(true));
}

#[test]
fn ranges_beyond_the_last_offset_are_refused() {
    let (export, [a, b]) = two([AccessMode::ReadWrite; 2]);
    let fs = &export.fs;
    let end = 1 << 63;
    for lock in [exclusive(end, 1), exclusive(1, end), exclusive(u64::MAX, 1), exclusive(2, u64::MAX)] {
        assert_eq!(fs.lock(&a, lock), Err(Errno::EINVAL));
        assert_eq!(fs.getlock(&a, lock), Err(Errno::EINVAL));
    }
    assert_eq!(fs.lock(&a, exclusive(end - 2, 2)), Ok(true));
    assert_eq!(fs.lock(&b, shared(end - 1, 1)), Ok(false));
    assert_eq!(fs.lock(&b, shared(end - 3, 1)), Ok(true));
    assert_eq!(fs.lock(&b, exclusive(0, end)), Ok(false));
}
