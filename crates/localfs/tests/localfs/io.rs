use std::os::unix::fs::{FileExt, PermissionsExt};

use gofer_sys::io::ReadInto;
use gofer_vfs::{Allocate, AllocateKind, Backend, Errno, OpenFlags, Owner, SetAttr, Sink, Special};

use crate::{AccessMode, Export, name, refused};

#[test]
fn bytes_come_and_go_at_their_offset() {
    let export = Export::new();
    let (_, file) = export.create("f", AccessMode::ReadWrite);
    assert_eq!(export.write(&file, 3, b"content"), Ok(7));
    assert_eq!(export.read(&file, 0, 100).unwrap(), b"\0\0\0content");
    assert_eq!(export.read(&file, 5, 3).unwrap(), b"nte");
    assert_eq!(export.read(&file, 10, 1).unwrap(), b"");
    assert_eq!(export.read(&file, 0, 0).unwrap(), b"");
    assert_eq!(export.write(&file, 0, b""), Ok(0));
}

#[test]
fn offsets_that_no_file_has_are_refused() {
    let export = Export::new();
    let (_, file) = export.create("f", AccessMode::ReadWrite);
    for offset in [1 << 63, u64::MAX] {
        assert_eq!(export.read(&file, offset, 1), Err(Errno::EINVAL));
        assert_eq!(export.write(&file, offset, b"x"), Err(Errno::EINVAL));
    }
    assert!(matches!(export.write(&file, (1 << 63) - 1, b"xy"), Err(Errno::EFBIG | Errno::EINVAL)));
}

#[test]
fn a_read_stops_at_the_sinks_room_and_keeps_what_was_there() {
    let export = Export::new();
    let node = export.host_file("f", "0123456789");
    let file = export.fs.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
    let mut bytes = Vec::with_capacity(1000);
    bytes.extend_from_slice(b"head");
    let mut sink = ReadInto::new(&mut bytes, 5);
    assert_eq!(export.fs.read(&file, 2, 100, &mut sink), Ok(5));
    assert_eq!(sink.room(), 0);
    assert_eq!(export.fs.read(&file, 2, 100, &mut sink), Ok(0));
    assert_eq!(bytes, b"head23456");
    assert_eq!(bytes.capacity(), 1000);
}

#[test]
fn appending_goes_to_the_end() {
    let export = Export::new();
    let node = export.host_file("f", "0123");
    let flags = OpenFlags { append: true, ..OpenFlags::new(AccessMode::Write) };
    let file = export.fs.open(&node, flags).unwrap();
    assert_eq!(export.write(&file, 0, b"45"), Ok(2));
    assert_eq!(std::fs::read(export.path("f")).unwrap(), b"012345");
}

#[test]
fn directories_hold_no_bytes() {
    let export = Export::new();
    let dir = export.fs.open(&export.root, OpenFlags::new(AccessMode::Read)).unwrap();
    assert_eq!(export.read(&dir, 0, 1), Err(Errno::EISDIR));
    assert_eq!(export.write(&dir, 0, b"x"), Err(Errno::EBADF));
    export.fs.fsync(&dir, false).unwrap();
    export.fs.flush(&dir).unwrap();
}

#[test]
fn a_write_that_comes_to_a_limit_says_how_far_it_came() {
    let export = Export::new();
    let (node, file) = export.create("f", AccessMode::Write);
    // The largest size that the file system has: the sum of the powers of two that it takes.
    let takes =
        |size| export.fs.setattr(&node, None, &SetAttr { size: Some(size), ..SetAttr::default() }).is_ok();
    let max =
        (0..63).rev().map(|bit| 1 << bit).fold(0, |sum, bit| if takes(sum | bit) { sum | bit } else { sum });
    if max == i64::MAX.cast_unsigned() {
        eprintln!("not tested: files have no limit here");
        return;
    }
    assert!(takes(0));
    assert_eq!(export.write(&file, max - 10, &[1; 30]), Ok(10));
    assert_eq!(export.write(&file, max, b"x"), Err(Errno::EFBIG));
}

#[test]
fn files_are_put_on_disk() {
    let export = Export::new();
    let (_, file) = export.create("f", AccessMode::Write);
    export.write(&file, 0, b"x").unwrap();
    export.fs.fsync(&file, false).unwrap();
    export.fs.fsync(&file, true).unwrap();
    export.fs.flush(&file).unwrap();
    // It is still open.
    export.write(&file, 1, b"y").unwrap();
    let fifo = export.fs.mknod(&export.root, name("p"), Special::Fifo, 0o600, Owner::default());
    let fifo = export.fs.open(&fifo.unwrap().0, OpenFlags::new(AccessMode::Read)).unwrap();
    assert_eq!(export.fs.fsync(&fifo, false), Err(Errno::EINVAL));
}

#[test]
fn space_is_reserved_and_given_back() {
    let export = Export::new();
    let (node, file) = export.create("f", AccessMode::ReadWrite);
    let allocate = |kind, keep_size, offset, length| {
        export.fs.allocate(&file, Allocate { kind, keep_size, offset, length })
    };
    allocate(AllocateKind::Reserve, false, 0, 8192).unwrap();
    assert_eq!(export.attr(&node).size, 8192);
    allocate(AllocateKind::Reserve, true, 0, 16384).unwrap();
    assert_eq!(export.attr(&node).size, 8192);
    export.write(&file, 0, &[7; 8192]).unwrap();
    allocate(AllocateKind::PunchHole, false, 0, 4096).unwrap();
    assert_eq!(export.read(&file, 4095, 2).unwrap(), [0, 7]);
    assert_eq!(export.attr(&node).size, 8192);
    assert_eq!(allocate(AllocateKind::Reserve, false, 0, 0), Err(Errno::EINVAL));
    assert_eq!(allocate(AllocateKind::Reserve, false, 1 << 63, 1), Err(Errno::EINVAL));
    let reader = export.fs.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
    let what = Allocate { kind: AllocateKind::Reserve, keep_size: false, offset: 0, length: 1 };
    assert_eq!(export.fs.allocate(&reader, what), Err(Errno::EBADF));
}

#[test]
fn writing_clears_set_id_bits_where_the_client_does_not() {
    let export = Export::new();
    let node = export.host_file("f", "");
    let set = |perm| SetAttr { perm: Some(perm), ..SetAttr::default() };
    let flags = OpenFlags { clears_set_id: true, ..OpenFlags::new(AccessMode::Write) };
    let file = export.fs.open(&node, flags).unwrap();
    for (before, after) in [(0o6777, 0o777), (0o4755, 0o755), (0o2766, 0o2766), (0o1777, 0o1777)] {
        // Also when the file was written to before: the server itself has set them since.
        export.fs.setattr(&node, None, &set(before)).unwrap();
        export.write(&file, 0, b"x").unwrap();
        assert_eq!(export.attr(&node).perm, after);
    }
    let what = Allocate { kind: AllocateKind::Reserve, keep_size: false, offset: 0, length: 1 };
    export.fs.setattr(&node, None, &set(0o4755)).unwrap();
    export.fs.allocate(&file, what).unwrap();
    assert_eq!(export.attr(&node).perm, 0o755);
}

#[test]
fn a_client_that_clears_set_id_bits_itself_is_left_to_it() {
    let export = Export::new();
    let node = export.host_file("f", "");
    let host = std::fs::File::options().write(true).open(export.path("f")).unwrap();
    let perm_after = |write: &dyn Fn() -> usize| {
        std::fs::set_permissions(export.path("f"), PermissionsExt::from_mode(0o4755)).unwrap();
        assert_eq!(write(), 1);
        export.attr(&node).perm
    };
    let file = export.fs.open(&node, OpenFlags::new(AccessMode::Write)).unwrap();
    // Then what happens is what happens to this process without a server.
    let by_host = perm_after(&|| host.write_at(b"x", 0).unwrap());
    assert_eq!(perm_after(&|| export.write(&file, 0, b"x").unwrap()), by_host);
}

#[test]
fn a_file_that_was_not_opened_to_write_keeps_its_bits() {
    let export = Export::new();
    let node = export.host_file("f", "");
    std::fs::set_permissions(export.path("f"), PermissionsExt::from_mode(0o4755)).unwrap();
    let flags = OpenFlags { clears_set_id: true, ..OpenFlags::new(AccessMode::Read) };
    let file = export.fs.open(&node, flags).unwrap();
    assert_eq!(refused(export.write(&file, 0, b"x")), Errno::EBADF);
    assert_eq!(export.attr(&node).perm, 0o4755);
}
