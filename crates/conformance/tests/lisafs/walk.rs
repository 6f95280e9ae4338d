//! Walk, WalkStat.

use std::os::unix::fs::symlink;

use super::*;

/// `d/f`, `d/e/`, `l` that points to `d`, and a FIFO.
fn tree() -> Talk {
    let talk = Talk::new();
    std::fs::create_dir_all(talk.path().join("d/e")).expect("a file");
    std::fs::write(talk.path().join("d/f"), "content").expect("a file");
    symlink("d", talk.path().join("l")).expect("a file");
    talk
}

/// The status, and the modes of what was walked to.
fn came(talk: &mut Talk, path: &str) -> (WalkStatus, Vec<u16>) {
    let asked = talk.try_walk(path).expect("an answer");
    let walked: WalkResp<'_> = asked.reply();
    (walked.status, walked.inodes.iter().map(|inode| inode.stat.mode & 0o170_000).collect())
}

const DIR: u16 = 0o040_000;
const FILE: u16 = 0o100_000;
const LINK: u16 = 0o120_000;

#[test]
fn a_walk_says_how_far_it_came() {
    let mut talk = tree();
    assert_eq!(came(&mut talk, ""), (WalkStatus::SUCCESS, vec![]));
    assert_eq!(came(&mut talk, "d/f"), (WalkStatus::SUCCESS, vec![DIR, FILE]));
    assert_eq!(came(&mut talk, "d/e/none/more"), (WalkStatus::DOES_NOT_EXIST, vec![DIR, DIR]));
    assert_eq!(came(&mut talk, "l"), (WalkStatus::SUCCESS, vec![LINK]), "the last may be a link");
    assert_eq!(came(&mut talk, "l/f"), (WalkStatus::SYMLINK, vec![LINK]));
}

#[test]
fn a_walk_that_fails_leaves_nothing() {
    let mut talk = tree();
    for (path, errno) in [
        ("d/f/x", Errno::ENOTDIR),
        ("d/..", Errno::EINVAL),
        ("d/.", Errno::EINVAL),
        ("d//f", Errno::EINVAL),
        ("..", Errno::EINVAL),
    ] {
        assert_eq!(refused(talk.try_walk(path)), errno, "{path}");
    }
    assert_eq!(refused(talk.try_walk(&format!("d/{}", "n".repeat(256)))), Errno::ENAMETOOLONG);
    for number in 2..20 {
        assert_eq!(refused(talk.ask(&FStatReq { fd: FdId(number) })), Errno::EBADF, "{number}");
    }
    let file = talk.walk("d/f").fd;
    let mut room = Vec::new();
    for path in ["", "x", ".."] {
        let names = names(&mut room, path);
        assert_eq!(refused(talk.ask(&WalkReq { dir: file, names })), Errno::ENOTDIR, "{path}");
    }
}

#[test]
fn a_walk_whose_reply_would_be_too_long_is_not_begun() {
    let mut talk = tree();
    let (mut room, dir) = (Vec::new(), talk.root);
    let names: Vec<Str<'_>> = vec![Str::new(b"x").unwrap(); 14_536];
    assert_eq!(refused(talk.ask(&WalkStatReq { dir, names: list(&mut room, &names) })), Errno::EIO);
    assert_eq!(refused(talk.ask(&WalkReq { dir, names: list(&mut room, &names[..13_771]) })), Errno::EIO);
    assert!(talk.ask(&WalkReq { dir, names: list(&mut room, &names[..13_769]) }).is_ok());
}

#[test]
fn walking_stats_without_making_numbers() {
    let mut talk = tree();
    let (mut room, dir) = (Vec::new(), talk.root);
    let mut kinds = |talk: &mut Talk, dir: FdId, path: &str| {
        let asked = talk.ask(&WalkStatReq { dir, names: names(&mut room, path) })?;
        let stats = asked.reply::<WalkStatResp<'_>>().stats;
        Ok::<_, Errno>(stats.iter().map(|stat| stat.mode & 0o170_000).collect::<Vec<_>>())
    };
    assert_eq!(kinds(&mut talk, dir, "d/f"), Ok(vec![DIR, FILE]));
    assert_eq!(kinds(&mut talk, dir, "/d/e"), Ok(vec![DIR, DIR, DIR]), "itself first");
    assert_eq!(kinds(&mut talk, dir, "none"), Ok(vec![]));
    assert_eq!(kinds(&mut talk, dir, "l/f"), Ok(vec![LINK]), "a link ends it");
    assert_eq!(kinds(&mut talk, dir, "d/f/x"), Err(Errno::ENOTDIR));
    assert_eq!(kinds(&mut talk, dir, "none/.."), Err(Errno::EINVAL), "names come before files");
    assert_eq!(refused(talk.ask(&FStatReq { fd: FdId(2) })), Errno::EBADF);
    let link = talk.walk("l").fd;
    assert_eq!(kinds(&mut talk, link, "x"), Err(Errno::ENOTDIR));
    let mut room = Vec::new();
    let own = list(&mut room, &[Str::new(b"").unwrap()]);
    let asked = talk.ask(&WalkStatReq { dir: link, names: own }).unwrap();
    assert_eq!(asked.reply::<WalkStatResp<'_>>().stats.len(), 1, "of itself on any kind of file");
}

#[test]
fn a_removed_directory_has_nothing_below() {
    let mut talk = tree();
    let dir = talk.walk("d/e").fd;
    std::fs::remove_dir(talk.path().join("d/e")).unwrap();
    let mut room = Vec::new();
    let asked = talk.ask(&WalkReq { dir, names: names(&mut room, "x") }).unwrap();
    assert_eq!(asked.reply::<WalkResp<'_>>().status, WalkStatus::DOES_NOT_EXIST);
}
