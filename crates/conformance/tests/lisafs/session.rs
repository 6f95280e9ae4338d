//! Mount, Channel, Close.

use gofer_vfs::XattrPolicy;

use super::*;

#[test]
fn numbers_begin_with_1_and_are_never_used_again() {
    let mut talk = Talk::new();
    std::fs::write(talk.path().join("f"), "").unwrap();
    assert_eq!(talk.root, FdId(1));
    assert_eq!(talk.walk("f").fd, FdId(2));
    talk.close(&[FdId(2)]);
    assert_eq!(talk.walk("f").fd, FdId(3));
    assert_eq!(talk.create("g", 2), (FdId(4), FdId(5)));
    let again = talk.ask(&MountReq).unwrap();
    assert_eq!(again.reply::<MountResp<'_>>().root.fd, FdId(6), "another number for the same root");
}

#[test]
fn mount_tells_what_there_is() {
    let mut talk = Talk::new();
    let asked = talk.ask(&MountReq).unwrap();
    let mount: MountResp<'_> = asked.reply();
    assert_eq!(mount.payload_max, 2_093_056);
    let all: Vec<u16> = mount.numbers.iter().collect();
    assert_eq!(all, (1..=33).filter(|number| *number != 20).collect::<Vec<u16>>());
    assert!(asked.descriptors.is_empty());
    assert_eq!(mount.root.stat.mode & 0o170_000, 0o040_000);

    let policy = Policy { xattr: XattrPolicy::None, ..everything() };
    let mut talk = Talk::with(TempDir::new().unwrap(), false, policy, Settings::default());
    let asked = talk.ask(&MountReq).unwrap();
    let numbers = asked.reply::<MountResp<'_>>().numbers;
    assert!(!numbers.iter().any(|number| (25..=28).contains(&number)), "what is refused is not offered");
}

#[test]
fn the_root_is_donated_where_it_is_asked_for() {
    let settings = Settings { donates_root: true };
    let mut talk = Talk::with(TempDir::new().unwrap(), false, everything(), settings);
    std::fs::create_dir(talk.path().join("d")).unwrap();
    let asked = talk.ask(&MountReq).unwrap();
    assert_eq!(asked.descriptors.len(), 1);
    let (_, donated) = talk.open(asked.reply::<MountResp<'_>>().root.fd, 0).unwrap();
    assert_eq!(donated.len(), 1);
    let below = talk.walk("d").fd;
    assert!(talk.open(below, 0).unwrap().1.is_empty(), "no other directory");
}

#[test]
fn close_passes_over_what_is_not_there() {
    let mut talk = Talk::new();
    let (place, open) = talk.create("f", 2);
    talk.close(&[FdId(99), place, FdId::NONE, place]);
    assert_eq!(refused(talk.ask(&FStatReq { fd: place })), Errno::EBADF);
    assert!(talk.ask(&FStatReq { fd: open }).is_ok(), "an open file outlives its place");
    talk.close(&[open]);
    assert_eq!(refused(talk.ask(&FStatReq { fd: open })), Errno::EBADF);
}

#[test]
fn what_is_no_request_is_refused_and_nothing_else_happens() {
    let mut talk = Talk::new();
    let number = |number: u16, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap();
        [&length.to_le_bytes()[..], &number.to_le_bytes(), &[0xff; 2], payload].concat()
    };
    let mut ask = |n: u16, payload: &[u8]| talk.ask_bytes(n, &number(n, payload)).err();
    for unknown in [34, 0xFFFF] {
        assert_eq!(ask(unknown, &[0; 64]), Some(Errno::EOPNOTSUPP), "{unknown}");
    }
    assert_eq!(ask(Failure::NUMBER, &[0; 4]), Some(Errno::EINVAL), "it is known, and no request");
    for known in NUMBERS.iter().copied().filter(|number| !matches!(number, 1 | 2)) {
        assert_eq!(ask(known, &[]), Some(Errno::EIO), "{known} without its fields");
    }
    let behind = [&FdId(1).0.to_le_bytes()[..], b"more than that"].concat();
    assert_eq!(ask(FStatReq::NUMBER, &behind), None, "what is behind the last field means nothing");
    let too_long = [&(PAYLOAD_MAX + 1).to_le_bytes()[..], &[12, 0, 0, 0]].concat();
    assert_eq!(refused(talk.ask_bytes(12, &too_long)), Errno::EIO);
}

#[test]
fn a_client_holds_no_more_than_it_may() {
    let tree = LocalFs::open(Path::new("/")).unwrap();
    let export = Export { name: None, backend: Access::ReadOnly(ReadOnly(tree)), policy: everything() };
    let limits = Limits { fids: 2, ..Limits::default() };
    let session = Session::alone(export, &limits, true, Settings::default());
    let mut talk = Talk { session, buffers: Buffers::default(), dir: TempDir::new().unwrap(), root: FdId(1) };
    assert!(talk.ask(&MountReq).is_ok() && talk.ask(&MountReq).is_ok());
    assert_eq!(refused(talk.ask(&MountReq)), Errno::ENFILE);
    talk.close(&[FdId(1)]);
    assert!(talk.ask(&MountReq).is_ok());
}

#[test]
fn what_would_get_no_number_is_not_made() {
    let dir = TempDir::new().unwrap();
    let backend = Access::ReadWrite(LocalFs::open(dir.path()).unwrap());
    let export = Export { name: None, backend, policy: everything() };
    let session = Session::alone(export, &Limits { fids: 3, ..Limits::default() }, true, Settings::default());
    let mut talk = Talk { session, buffers: Buffers::default(), dir, root: FdId(1) };
    assert!(talk.ask(&MountReq).is_ok() && talk.ask(&MountReq).is_ok());
    let new = create(FdId(1), 0o644);
    let file = OpenCreateAtReq { create: new, flags: 2, name: named("f") };
    assert_eq!(refused(talk.ask(&file)), Errno::ENFILE, "it takes two");
    assert_eq!(refused(talk.ask(&BindAtReq { create: new, kind: 1, name: named("s") })), Errno::ENFILE);
    assert!(talk.ask(&MountReq).is_ok());
    assert_eq!(refused(talk.ask(&MkdirAtReq { create: new, name: named("d") })), Errno::ENFILE);
    assert_eq!(std::fs::read_dir(talk.path()).unwrap().count(), 0);
    talk.close(&[FdId(2), FdId(3)]);
    let made: OpenCreateAtResp = talk.ask(&file).unwrap().reply();
    assert_eq!((made.child.fd, made.fd), (FdId(4), FdId(5)), "none is lost by what is refused");
}

#[test]
fn a_channel_that_has_ended_leaves_its_place_to_another() {
    let mut talk = Talk::new();
    let mut channels: Vec<_> = (0..4).map(|_| talk.ask(&ChannelReq).expect("an answer")).collect();
    assert_eq!(refused(talk.ask(&ChannelReq)), Errno::ENOMEM);
    channels.pop();
    channels.push(talk.ask(&ChannelReq).expect("an answer"));
    assert_eq!(refused(talk.ask(&ChannelReq)), Errno::ENOMEM);
}

#[test]
fn everything_that_changes_something_is_refused_where_it_is_read_only_before_it_is_looked_at() {
    let mut talk = Talk::with(TempDir::new().unwrap(), true, everything(), Settings::default());
    for number in NUMBERS.iter().copied().filter(|number| changes(*number)) {
        let frame = [&[0; 4][..], &number.to_le_bytes(), &[0; 2]].concat();
        assert_eq!(refused(talk.ask_bytes(number, &frame)), Errno::EROFS, "{number}");
    }
    std::fs::write(talk.path().join("f"), "content").unwrap();
    let fd = talk.walk("f").fd;
    for flags in [1, 2, 3, OpenAtReq::TRUNC] {
        assert_eq!(talk.open(fd, flags).err(), Some(Errno::EROFS), "{flags:o}");
        assert_eq!(talk.open(FdId(99), flags).err(), Some(Errno::EROFS), "before the number is looked at");
    }
    assert!(talk.open(fd, 0).is_ok());
}
