//! PRead, PWrite, FSync, FAllocate, Flush; Getdents64.

use super::*;

#[test]
fn reads_are_whole_and_writes_are_counted() {
    let mut talk = Talk::new();
    let (place, fd) = talk.create("f", 2);
    let wrote = talk.ask(&PWriteReq { offset: 5, fd, data: Written(b"xyz") }).unwrap();
    assert_eq!(wrote.reply::<PWriteResp>().count, 3);
    let read = |talk: &mut Talk, offset, count| {
        let asked = talk.ask(&PReadReq { offset, fd, count, pad: Pad })?;
        Ok::<_, Errno>(asked.reply::<PReadResp<'_>>().data.0.to_vec())
    };
    assert_eq!(read(&mut talk, 0, 100), Ok(b"\0\0\0\0\0xyz".to_vec()));
    assert_eq!(read(&mut talk, 8, 100), Ok(vec![]), "the end");
    assert_eq!(read(&mut talk, 0, PAYLOAD_MAX - 8).map(|data| data.len()), Ok(8));
    assert_eq!(read(&mut talk, 0, PAYLOAD_MAX - 7), Err(Errno::ENOBUFS));
    assert_eq!(read(&mut talk, 1 << 63, 1), Err(Errno::EINVAL));
    let at_a_place = PReadReq { offset: 0, fd: place, count: 1, pad: Pad };
    assert_eq!(refused(talk.ask(&at_a_place)), Errno::EINVAL);

    let (only_read, _) = talk.open(place, 0).unwrap();
    let write = PWriteReq { offset: 0, fd: only_read, data: Written(b"x") };
    assert_eq!(refused(talk.ask(&write)), Errno::EBADF);
    let (only_written, _) = talk.open(place, 1).unwrap();
    let read = PReadReq { offset: 0, fd: only_written, count: 1, pad: Pad };
    assert_eq!(refused(talk.ask(&read)), Errno::EBADF);
}

#[test]
fn a_write_has_the_bytes_it_counts() {
    let mut talk = Talk::new();
    let (_, fd) = talk.create("f", 2);
    let mut frame = Vec::new();
    let write = PWriteReq { offset: 0, fd, data: Written(b"kept") };
    let rest = super::frame(PWriteReq::NUMBER, &write, &mut frame);
    frame.extend_from_slice(rest);
    frame.extend_from_slice(b" and dropped");
    assert_eq!(talk.ask_bytes(11, &frame).unwrap().reply::<PWriteResp>().count, 4);
    assert_eq!(std::fs::read(talk.path().join("f")).unwrap(), b"kept");
    frame.truncate(HEADER + PWriteHead::LEN + 3);
    assert_eq!(refused(talk.ask_bytes(11, &frame)), Errno::EIO);
}

#[test]
fn files_are_put_on_disk_all_that_can_be() {
    let mut talk = Talk::new();
    let (place, open) = talk.create("f", 2);
    let mut room = Vec::new();
    for (fds, expected) in [
        (&[open][..], Ok(())),
        (&[], Ok(())),
        (&[open, place, FdId(99)], Err(Errno::EINVAL)),
        (&[FdId(99), open], Err(Errno::EBADF)),
    ] {
        let asked = talk.ask(&FSyncReq { fds: list(&mut room, fds) });
        assert_eq!(asked.map(drop), expected, "{fds:?}");
    }
    assert!(talk.ask(&FlushReq { fd: open }).is_ok());
    assert_eq!(refused(talk.ask(&FlushReq { fd: place })), Errno::EINVAL);
}

#[test]
fn space_is_reserved_and_given_back() {
    let mut talk = Talk::new();
    let (place, fd) = talk.create("f", 2);
    let ask =
        |talk: &mut Talk, fd, mode, length| talk.ask(&FAllocateReq { fd, mode, offset: 0, length }).map(drop);
    assert_eq!(ask(&mut talk, fd, 0, 8192), Ok(()));
    assert_eq!(std::fs::metadata(talk.path().join("f")).unwrap().len(), 8192);
    assert_eq!(ask(&mut talk, fd, 1, 16384), Ok(()), "without the size");
    assert_eq!(ask(&mut talk, fd, 3, 4096), Ok(()), "a hole");
    for mode in [4, 8, 0x20, 1 << 40] {
        assert_eq!(ask(&mut talk, fd, mode, 4096), Err(Errno::EOPNOTSUPP), "{mode:#x}");
    }
    let (only_read, _) = talk.open(place, 0).unwrap();
    assert_eq!(ask(&mut talk, only_read, 0, 1), Err(Errno::EBADF));
}

/// All names that are listed, with a count for each request, the first of which rewinds.
fn listed(talk: &mut Talk, fd: FdId, count: i32) -> Result<Vec<String>, Errno> {
    let (mut all, mut next) = (Vec::new(), -count);
    loop {
        let asked = talk.ask(&Getdents64Req { fd, count: next, pad: Pad })?;
        let entries = asked.reply::<Getdents64Resp<'_>>().entries.0;
        if entries.is_empty() {
            return Ok(all);
        }
        let records: usize =
            entries.iter().map(|entry| Dirent::record_len(entry.name.as_bytes().len())).sum();
        assert!(records <= count.unsigned_abs() as usize);
        all.extend(
            entries
                .iter()
                .map(|entry| String::from_utf8(entry.name.as_bytes().to_vec()).expect("it can be done")),
        );
        next = count;
    }
}

#[test]
fn a_directory_is_listed_in_parts_and_again() {
    let mut talk = Talk::new();
    let mut expected: Vec<_> = (0..300).map(|n| format!("file{n}")).collect();
    expected.iter().for_each(|name| std::fs::write(talk.path().join(name), "").unwrap());
    expected.sort();
    let root = talk.root;
    let (fd, _) = talk.open(root, 0).unwrap();
    for count in [32, 100, 4096, 65536, i32::MAX] {
        let mut names = listed(&mut talk, fd, count).unwrap();
        names.sort();
        assert!(names == expected, "{count}: {} names", names.len());
    }
    assert_eq!(listed(&mut talk, fd, 31), Err(Errno::EINVAL), "too little for one, and not the end");
    let (_, file) = talk.create("f", 0);
    assert_eq!(listed(&mut talk, file, 4096), Err(Errno::ENOTDIR));
    assert_eq!(listed(&mut talk, root, 4096), Err(Errno::EINVAL), "a place is not open");
}
