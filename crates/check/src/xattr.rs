//! xattrwalk, xattrcreate; getxattr, setxattr, listxattr, removexattr.

use gofer_server::Policy;
use gofer_vfs::{Errno, Result, XattrPolicy};
use gofer_wire::p9::*;
use gofer_wire::{Data, Str};

use crate::client::{Client, ROOT, text};
use crate::verdict::{is_exact, skip, skip_now};
use crate::{Checked, Lack, Site, body, demand_eq, family};

const ANY: u32 = 0;

fn get(c: &mut Client, fid: Fid, name: &str, size: u64) -> Result<Vec<u8>> {
    if !c.knows_google() {
        // The base protocol has no size to say, and no other way.
        return if size == 0 { value(c, fid, name) } else { skip_now("getxattr is Google's") };
    }
    Ok(c.call(Tgetxattr { fid, name: text(name), size })?.getxattr().value.as_bytes().to_vec())
}

fn set(c: &mut Client, fid: Fid, name: &str, value: &[u8], flags: u32) -> Result<()> {
    if !c.knows_google() {
        if value.is_empty() {
            // It would remove it.
            skip_now("the base protocol sets no empty value");
        }
        let newfid = c.fid();
        c.walk(fid, newfid, super::walk::NONE)?;
        create(c, newfid, name, value.len() as u64, flags)?;
        c.write(newfid, 0, value)?;
        return c.clunk(newfid);
    }
    let value = Str::new(value).expect("at most 65,535 bytes");
    c.call(Tsetxattr { fid, name: text(name), value, flags }).map(drop)
}

fn remove(c: &mut Client, fid: Fid, name: &str) -> Result<()> {
    if !c.knows_google() {
        let newfid = c.fid();
        c.walk(fid, newfid, super::walk::NONE)?;
        create(c, newfid, name, 0, XATTR_REPLACE)?;
        return c.clunk(newfid);
    }
    c.call(Tremovexattr { fid, name: text(name) }).map(drop)
}

/// The names, sorted.
fn list(c: &mut Client, fid: Fid, size: u64) -> Result<Vec<String>> {
    let mut all: Vec<String> = if c.knows_google() {
        let answer = c.call(Tlistxattr { fid, size })?;
        let names = answer.listxattr().names;
        names.iter().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect()
    } else {
        let names = if size == 0 { value(c, fid, "")? } else { skip_now("listxattr is Google's") };
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    };
    all.sort();
    Ok(all)
}

/// Makes a new fid for an attribute's value, and answers its size too.
fn walk(c: &mut Client, fid: Fid, name: &str) -> Result<(Fid, u64)> {
    let newfid = c.fid();
    let answer = c.call(Txattrwalk { fid, newfid, name: text(name) })?;
    Ok((newfid, answer.xattrwalk().size))
}

/// All of an attribute's value, by xattrwalk.
fn value(c: &mut Client, fid: Fid, name: &str) -> Result<Vec<u8>> {
    let (fid, size) = walk(c, fid, name)?;
    let mut all = Vec::new();
    while (all.len() as u64) < size {
        let more = c.read(fid, all.len() as u64, 5000)?;
        assert!(!more.is_empty());
        all.extend(more);
    }
    demand_eq!(c.read(fid, size, 10)?, b"");
    c.clunk(fid).map(|()| all)
}

/// Makes `fid` an attribute to be written.
fn create(c: &mut Client, fid: Fid, name: &str, size: u64, flags: u32) -> Result<()> {
    c.call(Txattrcreate { fid, name: text(name), size, flags }).map(drop)
}

/// A fid of `file`, where it can have attributes. The case ends where the host's file system has none.
fn start(site: &Site) -> Result<(Client, Fid)> {
    let mut c = site.client();
    let fid = c.at("file")?;
    match set(&mut c, fid, "user.probe", b"x", ANY) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) if site.is_host() => {
            skip_now("there are no extended attributes here")
        }
        other => {
            other?;
            remove(&mut c, fid, "user.probe")?;
            Ok((c, fid))
        }
    }
}

fn values_are_kept_to_the_byte(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    let dir = c.at("dir")?;
    for fid in [fid, dir] {
        for bytes in [&b"1"[..], b"", b"\0\0", b"value", &[0xff; 1000]] {
            if bytes.is_empty() && !c.knows_google() {
                continue;
            }
            set(&mut c, fid, "user.a", bytes, ANY)?;
            demand_eq!(get(&mut c, fid, "user.a", 0)?, bytes);
            demand_eq!(value(&mut c, fid, "user.a")?, bytes);
        }
        set(&mut c, fid, "user.b\u{fe}", b"x", ANY)?;
        demand_eq!(list(&mut c, fid, 0)?, ["user.a", "user.b\u{fe}"]);
        remove(&mut c, fid, "user.a")?;
        demand_eq!(get(&mut c, fid, "user.a", 0), Err(Errno::ENODATA));
        demand_eq!(list(&mut c, fid, 0)?, ["user.b\u{fe}"]);
    }
    Ok(())
}

fn a_size_is_the_room_there_is(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    set(&mut c, fid, "user.a", b"12345", ANY)?;
    set(&mut c, fid, "user.b", b"", ANY)?;
    for size in [5, 6, 100_000, u64::MAX, 0] {
        demand_eq!(get(&mut c, fid, "user.a", size)?, b"12345", "exactly, for {size}");
    }
    for size in [1, 4] {
        demand_eq!(get(&mut c, fid, "user.a", size), Err(Errno::ERANGE));
    }
    for size in [14, 15, u64::MAX, 0] {
        demand_eq!(list(&mut c, fid, size)?, ["user.a", "user.b"]);
    }
    for size in [1, 13] {
        demand_eq!(list(&mut c, fid, size), Err(Errno::ERANGE), "NULs count");
    }
    Ok(())
}

fn flags_say_what_is_expected(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    demand_eq!(set(&mut c, fid, "user.a", b"x", XATTR_REPLACE), Err(Errno::ENODATA));
    set(&mut c, fid, "user.a", b"x", XATTR_CREATE)?;
    demand_eq!(set(&mut c, fid, "user.a", b"y", XATTR_CREATE), Err(Errno::EEXIST));
    set(&mut c, fid, "user.a", b"z", XATTR_REPLACE)?;
    for flags in [3, 4, u32::MAX] {
        demand_eq!(set(&mut c, fid, "user.a", b"x", flags), Err(Errno::EINVAL), "{flags}");
    }
    demand_eq!(get(&mut c, fid, "user.a", 0)?, b"z");
    demand_eq!(remove(&mut c, fid, "user.missing"), Err(Errno::ENODATA));
    Ok(())
}

fn what_is_no_attributes_name(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    let (longest, long) = (format!("user.{}", "n".repeat(250)), format!("user.{}", "n".repeat(251)));
    set(&mut c, fid, &longest, b"x", ANY)?;
    demand_eq!(get(&mut c, fid, &longest, 0)?, b"x");
    for (name, errno) in [
        ("", Errno::ERANGE),
        (&long[..], Errno::ERANGE),
        ("user.a\0b", Errno::EINVAL),
        ("user.", Errno::EOPNOTSUPP),
        ("user", Errno::EOPNOTSUPP),
        ("nospace", Errno::EOPNOTSUPP),
        ("security.selinux", Errno::EOPNOTSUPP),
        ("system.posix_acl_access", Errno::EOPNOTSUPP),
        ("trusted.a", Errno::EOPNOTSUPP),
    ] {
        demand_eq!(get(&mut c, fid, name, 0), Err(errno), "{name:?}");
        demand_eq!(set(&mut c, fid, name, b"x", ANY), Err(errno), "{name:?}");
        demand_eq!(remove(&mut c, fid, name), Err(errno), "{name:?}");
        let expected = if name.is_empty() { Errno::EINVAL } else { errno };
        demand_eq!(create(&mut c, fid, name, 1, ANY), Err(expected), "{name:?}");
        if !name.is_empty() {
            demand_eq!(walk(&mut c, fid, name).err(), Some(errno), "{name:?}");
        }
    }
    c.getattr(fid)?;
    Ok(())
}

fn a_policy_decides_which_there_are(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    demand_eq!(list(&mut c, fid, 0)?, [""; 0]);
    let with = |xattr| site.with_policy(Policy { xattr, ..Policy::default() });

    let none = with(XattrPolicy::None);
    let mut c = none.client();
    let fid = c.at("file")?;
    for refused in [
        get(&mut c, fid, "user.a", 0).map(drop),
        set(&mut c, fid, "user.a", b"x", ANY),
        list(&mut c, fid, 0).map(drop),
        remove(&mut c, fid, "user.a"),
        walk(&mut c, fid, "user.a").map(drop),
        walk(&mut c, fid, "").map(drop),
        create(&mut c, fid, "user.a", 1, ANY),
    ] {
        demand_eq!(refused, Err(Errno::EOPNOTSUPP));
    }
    c.getattr(fid)?;

    let verity = with(XattrPolicy::Verity);
    let mut c = verity.client();
    let fid = c.at("file")?;
    let names = ["offset", "size", "childrenOffset", "childrenSize"].map(|n| format!("user.merkle.{n}"));
    for name in &names {
        set(&mut c, fid, name, b"1", ANY)?;
        demand_eq!(get(&mut c, fid, name, 0)?, b"1");
    }
    demand_eq!(list(&mut c, fid, 0)?.len(), 4);
    for name in ["user.a", "user.merkle", "user.merkle.other"] {
        demand_eq!(set(&mut c, fid, name, b"1", ANY), Err(Errno::EOPNOTSUPP), "{name}");
    }

    let all = with(XattrPolicy::All);
    let mut c = all.client();
    let (fid, link) = (c.at("file")?, c.at("link")?);
    set(&mut c, fid, "user.a", b"1", ANY)?;
    // Only who administers the host has these.
    match set(&mut c, fid, "trusted.a", b"2", ANY) {
        Err(Errno::EPERM) if site.is_host() => {}
        other => {
            other?;
            demand_eq!(get(&mut c, fid, "trusted.a", 0)?, b"2");
            let names = list(&mut c, fid, 0)?;
            assert!(names.iter().any(|n| n == "trusted.a") && names.iter().any(|n| n == "user.a"));
            set(&mut c, link, "trusted.a", b"of the link", ANY)?;
            demand_eq!(get(&mut c, fid, "trusted.a", 0)?, b"2", "a link has its own");
        }
    }
    demand_eq!(set(&mut c, link, "user.a", b"x", ANY), Err(Errno::EPERM));
    Ok(())
}

fn a_walk_takes_a_snapshot(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    set(&mut c, fid, "user.a", b"before", ANY)?;
    let (old, size) = walk(&mut c, fid, "user.a")?;
    set(&mut c, fid, "user.a", b"after all", ANY)?;
    demand_eq!((c.read(old, 0, 100)?, size), (b"before".to_vec(), 6));
    demand_eq!(c.read(old, 3, 2)?, b"or");
    demand_eq!(c.read(old, 6, 10)?, b"");
    for offset in [7, 1 << 40, u64::MAX] {
        match c.read(old, offset, 10) {
            // Some say that this is the end.
            Ok(beyond) if beyond.is_empty() && !is_exact() => {}
            beyond => demand_eq!(beyond, Err(Errno::EINVAL), "{offset}"),
        }
    }
    remove(&mut c, fid, "user.a")?;
    demand_eq!(c.read(old, 0, 100)?, b"before");
    c.clunk(old)?;
    demand_eq!(walk(&mut c, fid, "user.a").err(), Some(Errno::ENODATA));
    Ok(())
}

fn no_name_is_the_list_of_names(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    demand_eq!(value(&mut c, fid, "")?, b"");
    set(&mut c, fid, "user.a", b"x", ANY)?;
    demand_eq!(value(&mut c, fid, "")?, b"user.a\0");
    set(&mut c, fid, "user.bc", b"y", ANY)?;
    let list = value(&mut c, fid, "")?;
    assert!(list == b"user.a\0user.bc\0" || list == b"user.bc\0user.a\0", "{}", list.escape_ascii());
    Ok(())
}

fn a_walk_needs_a_fid_that_is_free(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    set(&mut c, fid, "user.a", b"x", ANY)?;
    let walk = |c: &mut Client, newfid| c.call(Txattrwalk { fid, newfid, name: text("user.a") }).err();
    demand_eq!(walk(&mut c, fid), Some(Errno::EINVAL));
    demand_eq!(walk(&mut c, ROOT), Some(Errno::EBADF));
    demand_eq!(walk(&mut c, Fid::NONE), Some(Errno::EINVAL));
    let open = c.open_at("file", OpenBits::RDONLY)?;
    demand_eq!(value(&mut c, open, "user.a")?, b"x", "an open fid will do");
    c.getattr(fid)?;
    c.getattr(ROOT)?;
    Ok(())
}

fn a_value_is_set_when_its_fid_is_clunked(site: &Site) -> Checked {
    let (mut c, watch) = start(site)?;
    let fid = c.at("file")?;
    create(&mut c, fid, "user.a", 10, ANY)?;
    demand_eq!(c.write(fid, 0, b"01234")?, 5);
    demand_eq!(c.write(fid, 5, b"56789")?, 5);
    demand_eq!(c.write(fid, 3, b"--")?, 2, "what was written can be written again");
    demand_eq!(get(&mut c, watch, "user.a", 0), Err(Errno::ENODATA), "not yet");
    c.clunk(fid)?;
    demand_eq!(get(&mut c, watch, "user.a", 0)?, b"012--56789");
    demand_eq!(c.clunk(fid), Err(Errno::EBADF));
    Ok(())
}

fn a_value_has_the_size_that_was_announced(site: &Site) -> Checked {
    let (mut c, watch) = start(site)?;
    let fid = c.at("file")?;
    create(&mut c, fid, "user.a", 5, ANY)?;
    for (offset, data) in [
        (0, &b"123456"[..]),
        (1, b"2"),
        (5, b"x"),
        (6, b""),
        (2_684_469_248, b"x"),
        (1 << 63, b"x"),
        (u64::MAX, b"xx"),
    ] {
        demand_eq!(c.write(fid, offset, data), Err(Errno::EINVAL), "{offset} {data:?}");
    }
    demand_eq!(c.write(fid, 0, b"123")?, 3);
    demand_eq!(c.write(fid, 3, b"456"), Err(Errno::EINVAL));
    demand_eq!(c.clunk(fid), Err(Errno::EINVAL), "it is not complete");
    demand_eq!(c.clunk(fid), Err(Errno::EBADF), "but gone");
    demand_eq!(get(&mut c, watch, "user.a", 0), Err(Errno::ENODATA));
    Ok(())
}

fn an_empty_value_removes(site: &Site) -> Checked {
    let (mut c, watch) = start(site)?;
    let empty = |c: &mut Client, flags| -> Result<()> {
        let fid = c.at("file")?;
        create(c, fid, "user.a", 0, flags)?;
        let clunked = c.clunk(fid);
        demand_eq!(c.clunk(fid), Err(Errno::EBADF));
        clunked
    };
    for flags in [ANY, XATTR_REPLACE] {
        demand_eq!(empty(&mut c, flags), Err(Errno::ENODATA), "there is none");
        set(&mut c, watch, "user.a", b"x", ANY)?;
        empty(&mut c, flags)?;
        demand_eq!(get(&mut c, watch, "user.a", 0), Err(Errno::ENODATA));
    }
    empty(&mut c, XATTR_CREATE)?;
    demand_eq!(get(&mut c, watch, "user.a", 0)?, b"", "which cannot mean to remove it");
    demand_eq!(empty(&mut c, XATTR_CREATE), Err(Errno::EEXIST));
    Ok(())
}

fn the_clunk_tells_what_became_of_it(site: &Site) -> Checked {
    let (mut c, watch) = start(site)?;
    let one = |c: &mut Client, flags| -> Result<()> {
        let fid = c.at("file")?;
        create(c, fid, "user.a", 1, flags)?;
        c.write(fid, 0, b"1")?;
        c.clunk(fid)
    };
    demand_eq!(one(&mut c, XATTR_REPLACE), Err(Errno::ENODATA));
    one(&mut c, XATTR_CREATE)?;
    demand_eq!(one(&mut c, XATTR_CREATE), Err(Errno::EEXIST));
    one(&mut c, XATTR_REPLACE)?;
    demand_eq!(get(&mut c, watch, "user.a", 0)?, b"1");
    Ok(())
}

fn create_is_refused_before_anything_is_kept(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    for size in [65_537, 1 << 32, u64::MAX] {
        demand_eq!(create(&mut c, fid, "user.a", size, ANY), Err(Errno::E2BIG), "{size}");
    }
    for flags in [3, 4, u32::MAX] {
        demand_eq!(create(&mut c, fid, "user.a", 1, flags), Err(Errno::EINVAL), "{flags}");
    }
    demand_eq!(create(&mut c, fid, "", 1, ANY), Err(Errno::EINVAL));
    c.getattr(fid)?;
    for path in ["file", "dir"] {
        let open = c.open_at(path, OpenBits::RDONLY)?;
        demand_eq!(create(&mut c, open, "user.a", 1, ANY), Err(Errno::EINVAL), "an open fid");
        c.getattr(open)?;
    }
    Ok(())
}

fn large_values_are_whole_or_nothing(site: &Site) -> Checked {
    // Few file systems of the host have room for these.
    if site.is_host() {
        return skip("few file systems have room for these");
    }
    let (mut c, watch) = start(site)?;
    let largest: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    let fid = c.at("file")?;
    if site.can(Lack::LargestXattr) {
        create(&mut c, fid, "user.a", 65_536, ANY)?;
        for (at, part) in largest.chunks(10_000).enumerate() {
            c.call(Twrite { fid, offset: at as u64 * 10_000, data: Data(part) })?;
        }
        c.clunk(fid)?;
        assert!(value(&mut c, watch, "user.a")? == largest);
        demand_eq!(get(&mut c, watch, "user.a", 0), Err(Errno::ERANGE), "more than a string holds");
    }
    c.version(MESSAGE_MAX, site.dialect().version().0)?;
    c.attach(ROOT, "file")?;
    set(&mut c, ROOT, "user.a", &largest[1..], ANY)?;
    assert!(get(&mut c, ROOT, "user.a", 0)? == largest[1..]);
    c.version(4096, site.dialect().version().0)?;
    c.attach(ROOT, "file")?;
    demand_eq!(get(&mut c, ROOT, "user.a", 0), Err(Errno::ERANGE), "more than a message holds");
    let name = |n: u32| format!("user.{n:0>200}");
    for n in 0..25 {
        set(&mut c, ROOT, &name(n), b"", ANY)?;
    }
    demand_eq!(list(&mut c, ROOT, 0), Err(Errno::ERANGE));
    demand_eq!(value(&mut c, ROOT, "")?.len(), 7 + 25 * 206);
    Ok(())
}

/// By the base protocol, but not by Google's messages.
fn a_removed_file_has_attributes_for_some(site: &Site) -> Checked {
    let (mut c, fid) = start(site)?;
    set(&mut c, fid, "user.a", b"x", ANY)?;
    c.unlink(ROOT, "file")?;
    if site.is_google() {
        demand_eq!(get(&mut c, fid, "user.a", 0), Err(Errno::EINVAL));
        demand_eq!(set(&mut c, fid, "user.b", b"", ANY), Err(Errno::EINVAL));
        demand_eq!(list(&mut c, fid, 0), Err(Errno::EINVAL));
        demand_eq!(remove(&mut c, fid, "user.b"), Err(Errno::EINVAL));
    }
    site.able(Lack::RemovedXattr);
    demand_eq!(value(&mut c, fid, "user.a")?, b"x");
    create(&mut c, fid, "user.c", 1, ANY)?;
    c.write(fid, 0, b"x")?;
    c.clunk(fid)?;
    Ok(())
}

fn a_value_that_is_not_clunked_is_not_set(site: &Site) -> Checked {
    let (mut c, watch) = start(site)?;
    let pending = |c: &mut Client| -> Result<Fid> {
        let fid = c.at("file")?;
        create(c, fid, "user.a", 1, ANY)?;
        c.write(fid, 0, b"x").map(|_| fid)
    };
    let fid = pending(&mut c)?;
    assert!(c.remove(fid).is_err());
    let fid = pending(&mut c)?;
    c.walk(ROOT, fid, &["dir"])?;
    demand_eq!(get(&mut c, watch, "user.a", 0), Err(Errno::ENODATA));
    pending(&mut c)?;
    drop(c);
    let mut other = site.client();
    let fid = other.at("file")?;
    demand_eq!(other.call_raw(34, &body!(fid, text("user.a"), 0u64)).err(), Some(Errno::ENODATA));
    Ok(())
}

family! {
    "xattr";
    cases:
        values_are_kept_to_the_byte
        a_size_is_the_room_there_is
        flags_say_what_is_expected
        a_walk_takes_a_snapshot
        no_name_is_the_list_of_names
        a_value_is_set_when_its_fid_is_clunked
        the_clunk_tells_what_became_of_it;
    ours:
        a_value_has_the_size_that_was_announced
        an_empty_value_removes
        a_value_that_is_not_clunked_is_not_set
        what_is_no_attributes_name
        a_policy_decides_which_there_are
        a_walk_needs_a_fid_that_is_free
        create_is_refused_before_anything_is_kept
        large_values_are_whole_or_nothing
        a_removed_file_has_attributes_for_some;
    promises:
        xattrwalk: EBADF EINVAL ENODATA EOPNOTSUPP ERANGE;
        xattrcreate: EBADF EINVAL E2BIG ERANGE EOPNOTSUPP EROFS;
        getxattr: EBADF EINVAL ENODATA ERANGE EOPNOTSUPP;
        setxattr: EBADF EINVAL ENODATA EEXIST ERANGE EOPNOTSUPP EPERM EROFS;
        listxattr: EBADF EINVAL ERANGE EOPNOTSUPP;
        removexattr: EBADF EINVAL ENODATA ERANGE EOPNOTSUPP EROFS;
}
