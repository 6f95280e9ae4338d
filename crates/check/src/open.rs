//! lopen, lcreate, ucreate, and the descriptors that go to the client.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Command};

use gofer_server::Policy;
use gofer_vfs::{Errno, FileKind, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;

use crate::attr::{mode, size};
use crate::client::{Client, ROOT, name};
use crate::sample::HELLO;
use crate::verdict::{is_exact, note, skip};
use crate::{Checked, Lack, Site, demand_eq, family};

/// Bits of `open(2)` as procfs shows them.
const O_ACCMODE: u32 = 3;
const O_APPEND: u32 = 0o2000;
const O_DSYNC: u32 = 0o1_0000;
const O_SYNC: u32 = 0o401_0000;

/// The flags of a descriptor of this process, from procfs.
fn flags_of(number: impl std::fmt::Display) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

/// The flags of all descriptors of this process for a file, except for places (`O_PATH`).
fn descriptions(path: &Path) -> Vec<u32> {
    const O_PATH: u32 = 0o1000_0000;
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let of_path = entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path));
    let flags = of_path.filter_map(|entry| flags_of(entry.file_name().display()));
    flags.filter(|flags| flags & O_PATH == 0).collect()
}

fn an_open_file_is_used_as_it_was_opened(site: &Site) -> Checked {
    let mut c = site.client();
    for flags in [OpenBits::RDONLY, OpenBits::WRONLY, OpenBits::RDWR] {
        let fid = c.at("file")?;
        let answer = c.open(fid, flags)?;
        let opened = answer.lopen();
        demand_eq!(opened.qid.path, c.getattr(fid)?.qid.path);
        if is_exact() {
            demand_eq!(opened, Rlopen { qid: c.getattr(fid)?.qid, iounit: 0 });
        }
        let read = c.read(fid, 0, 100);
        let write = c.write(fid, 0, HELLO);
        let expected = if flags == OpenBits::WRONLY { Err(Errno::EPERM) } else { Ok(HELLO.to_vec()) };
        demand_eq!(read, expected, "{flags:?}");
        demand_eq!(write, if flags == OpenBits::RDONLY { Err(Errno::EPERM) } else { Ok(9) }, "{flags:?}");
    }
    Ok(())
}

fn an_access_mode_of_3_is_none(site: &Site) -> Checked {
    let mut c = site.client();
    let (fid, dir) = (c.at("file")?, c.at("")?);
    for more in [0, OpenBits::TRUNC.0, OpenBits::DIRECTORY.0] {
        demand_eq!(c.open(fid, OpenBits(3 | more)).err(), Some(Errno::EINVAL));
        demand_eq!(c.open(dir, OpenBits(3 | more)).err(), Some(Errno::EINVAL));
        demand_eq!(c.create(dir, "new", OpenBits(3 | more), 0o644).err(), Some(Errno::EINVAL));
    }
    demand_eq!(c.at("new"), Err(Errno::ENOENT));
    c.open(fid, OpenBits::RDONLY)?;
    demand_eq!(c.read(fid, 0, 100)?, HELLO, "nothing was truncated");
    Ok(())
}

fn a_fid_is_opened_once(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["file", "dir"] {
        let fid = c.open_at(path, OpenBits::RDONLY)?;
        demand_eq!(c.open(fid, OpenBits::RDONLY).err(), Some(Errno::EINVAL));
    }
    let fid = c.create_at("new")?;
    demand_eq!(c.open(fid, OpenBits::RDONLY).err(), Some(Errno::EINVAL));
    let fid = c.at("file")?;
    demand_eq!(c.open(fid, OpenBits(3)).err(), Some(Errno::EINVAL));
    c.open(fid, OpenBits::RDONLY)?;
    Ok(())
}

fn truncation_is_honoured(site: &Site) -> Checked {
    let mut c = site.client();
    for access in [OpenBits::RDONLY, OpenBits::WRONLY, OpenBits::RDWR] {
        let fid = c.at("file")?;
        c.setattr(fid, size(100))?;
        c.open(fid, access | OpenBits::TRUNC)?;
        demand_eq!(c.getattr(fid)?.attr.size, 0, "{access:?}");
    }
    Ok(())
}

fn a_directory_opens_for_reading_only(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("dir")?;
    for flags in [
        OpenBits::WRONLY,
        OpenBits::RDWR,
        OpenBits::RDONLY | OpenBits::TRUNC,
        OpenBits::RDWR | OpenBits::DIRECTORY,
    ] {
        demand_eq!(c.open(fid, flags).err(), Some(Errno::EISDIR), "{flags:?}");
    }
    c.open(fid, OpenBits::RDONLY | OpenBits::DIRECTORY)?;
    demand_eq!(c.read(fid, 0, 10), Err(Errno::EISDIR));
    demand_eq!(c.write(fid, 0, b"x"), Err(Errno::EPERM));
    Ok(())
}

fn what_is_no_file_does_not_open(site: &Site) -> Checked {
    let mut c = site.client();
    for flags in [OpenBits::RDONLY, OpenBits::WRONLY, OpenBits::RDWR] {
        for path in ["link", "dirlink"] {
            let fid = c.at(path)?;
            demand_eq!(c.open(fid, flags).err(), Some(Errno::EINVAL), "{path}");
        }
        // Who opens a FIFO may wait for its other end.
        if !site.is_google() && is_exact() {
            let (socket, fifo) = (c.at("socket")?, c.at("fifo")?);
            demand_eq!(c.open(socket, flags).err(), Some(Errno::EINVAL));
            demand_eq!(c.open(fifo, flags).err(), Some(Errno::EPERM));
        }
    }
    if !is_exact() {
        return Ok(());
    }
    let devices = site.with_policy(Policy { devices: true, ..Policy::default() });
    let mut c = devices.client();
    // Null, if this process may make it.
    let device =
        Tmknod { dfid: ROOT, name: name("null"), mode: 0o20666, major: 1, minor: 3, gid: PeerGid::NONE };
    if !site.is_google() && c.call(device).is_ok() {
        let fid = c.at("null")?;
        demand_eq!(c.open(fid, OpenBits::RDONLY).err(), Some(Errno::EPERM));
    }
    Ok(())
}

fn a_fifo_opens_only_to_be_handed_over(site: &Site) -> Checked {
    if !site.is_host() {
        return skip("needs files that have descriptors");
    }
    let fifos = site.with_policy(Policy { fifos: true, ..Policy::default() });
    let mut c = fifos.client();
    let fid = c.at("fifo")?;
    if !(site.is_google() && site.passes_descriptors()) {
        demand_eq!(c.open(fid, OpenBits::RDONLY).err(), Some(Errno::EPERM));
        return Ok(());
    }
    if site.can(Lack::LonelyWriter) {
        demand_eq!(c.open(fid, OpenBits::WRONLY).err(), Some(Errno::ENXIO), "nobody reads");
    }
    let reader = c.open(fid, OpenBits::RDONLY)?.descriptor.expect("a FIFO is of no use without");
    let other = c.at("fifo")?;
    let writer = c.open(other, OpenBits::WRONLY)?.descriptor.expect("a FIFO is of no use without");
    File::from(writer).write_all(b"through").expect("a write");
    let mut got = [0; 7];
    File::from(reader).read_exact(&mut got).expect("a read");
    demand_eq!(&got, b"through");
    Ok(())
}

fn flags_beyond_access_and_truncation(site: &Site) -> Checked {
    let mut c = site.client();
    // Without a meaning between machines, or implied.
    let ignored = OpenBits::CREATE
        | OpenBits::EXCL
        | OpenBits::NOCTTY
        | OpenBits::NONBLOCK
        | OpenBits::FASYNC
        | OpenBits::DIRECT
        | OpenBits::LARGEFILE
        | OpenBits::NOFOLLOW
        | OpenBits::NOATIME
        | OpenBits::CLOEXEC;
    let fid = c.open_at("file", OpenBits::RDWR | ignored | OpenBits(0xffc0_0000))?;
    demand_eq!(c.write(fid, 3, b"x")?, 1);
    demand_eq!(c.read(fid, 0, 100)?, b"helxo, 9p");
    let appends = c.open_at("file", OpenBits::RDWR | OpenBits::APPEND)?;
    c.write(appends, 0, b"J")?;
    let expected = site.google_or(&b"Jelxo, 9p"[..], b"helxo, 9pJ");
    demand_eq!(c.read(appends, 0, 100)?, expected);
    let fid = c.at("file")?;
    let as_directory = c.open(fid, OpenBits::RDONLY | OpenBits::DIRECTORY).err();
    demand_eq!(as_directory, site.google_or(None, Some(Errno::ENOTDIR)));
    Ok(())
}

fn what_is_to_be_on_disk_is(site: &Site) -> Checked {
    // The descriptions of another process cannot be looked at.
    if !site.is_here() {
        return skip("needs the server's own descriptors");
    }
    let host = site.able(Lack::OpenFlags).hosted();
    let path = fs::canonicalize(host.join("file")).expect("a path");
    let mut c = site.client();
    for (flags, set) in [
        (OpenBits::WRONLY, 0),
        (OpenBits::WRONLY | OpenBits::DSYNC, O_DSYNC),
        (OpenBits::WRONLY | OpenBits::SYNC, O_SYNC),
        (OpenBits::WRONLY | OpenBits::SYNC | OpenBits::DSYNC, O_SYNC),
        (OpenBits::WRONLY | OpenBits::APPEND, O_APPEND),
    ] {
        let fid = c.at("file")?;
        drop(c.open(fid, flags)?);
        // What was sent to the client may not be closed here yet.
        let open = descriptions(&path);
        assert!(open.iter().all(|open| open & O_ACCMODE == 1));
        // Beside the one that is written may be one that a client in between was given.
        let expected = site.google_or(0, set);
        assert!(open.iter().any(|open| open & (O_SYNC | O_APPEND) == expected), "{flags:?}: {open:?}");
        c.clunk(fid)?;
    }
    Ok(())
}

fn a_removed_file_opens_for_some(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir) = (c.at("file")?, c.at("empty")?);
    c.unlink(ROOT, "file")?;
    c.rmdir(ROOT, "empty")?;
    let (opened, listed) = (c.open(file, OpenBits::RDWR).map(drop), c.open(dir, OpenBits::RDONLY).map(drop));
    if site.is_google() {
        demand_eq!(opened, Err(Errno::EINVAL));
        demand_eq!(listed, Err(Errno::EINVAL));
    } else {
        opened?;
        listed?;
        demand_eq!(c.read(file, 0, 100)?, HELLO);
        demand_eq!(c.write(file, 0, b"J")?, 1);
    }
    Ok(())
}

fn a_fid_opens_its_own_file(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("file")?;
    c.rename(ROOT, "file", ROOT, "old")?;
    let other = c.create_at("file")?;
    c.write(other, 0, b"another")?;
    c.open(fid, OpenBits::RDONLY)?;
    demand_eq!(c.read(fid, 0, 100)?, HELLO);
    Ok(())
}

fn the_hosts_refusals_are_passed_on(site: &Site) -> Checked {
    let host = site.hosted();
    let mut c = site.client();
    if !site.is_root() {
        let fid = c.at("file")?;
        c.setattr(fid, mode(0))?;
        demand_eq!(c.open(fid, OpenBits::RDONLY).err(), Some(Errno::EACCES));
        let dir = c.at("dir")?;
        c.setattr(dir, mode(0o555))?;
        demand_eq!(c.create(dir, "new", OpenBits::RDWR, 0o644).err(), Some(Errno::EACCES));
    }
    // A running program must not change. `cp` writes it, so that nobody here has it open for writing.
    let program = host.join("program");
    let copied = Command::new("cp").arg("/bin/sleep").arg(&program).status().expect("cp");
    assert!(copied.success());
    let fid = c.at("program")?;
    let running = Running(Command::new(&program).arg("1000").spawn().expect("a program"));
    demand_eq!(c.open(fid, OpenBits::WRONLY).err(), Some(Errno::ETXTBSY));
    drop(running);
    c.open(fid, OpenBits::WRONLY)?;
    Ok(())
}

/// A program that ends with the case, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and is waited for in any case.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Checks a descriptor that came with an open file: what for it is good, and that nobody shares it.
fn check_donated(site: &Site, at: &str, donated: Option<OwnedFd>, access: OpenBits) {
    if !(site.is_host() && site.is_google() && site.passes_descriptors()) {
        return assert!(donated.is_none(), "a descriptor for nobody");
    }
    let donated = File::from(donated.expect("a descriptor"));
    if let Some(host) = site.host() {
        let (given, own) = (donated.metadata().expect("fstat"), fs::metadata(host.join(at)).expect("stat"));
        // A sealed server has mounts of its own.
        demand_eq!(given.ino(), own.ino());
    }
    let flags = flags_of(donated.as_raw_fd()).expect("procfs");
    demand_eq!(flags & O_ACCMODE, access.0, "{access:?}");
    demand_eq!(flags & O_APPEND, 0);
    demand_eq!(donated.read_at(&mut [0], 0).is_ok(), access != OpenBits::WRONLY);
    demand_eq!(donated.write_at(b"J", 0).is_ok(), access != OpenBits::RDONLY);
}

fn regular_files_come_with_a_descriptor(site: &Site) -> Checked {
    let mut c = site.client();
    for access in [OpenBits::RDONLY, OpenBits::WRONLY, OpenBits::RDWR] {
        let fid = c.at("dir/inner")?;
        let donated = c.open(fid, access)?.descriptor;
        check_donated(site, "dir/inner", donated, access);
        let at = format!("new {}", access.0);
        let fid = c.at("")?;
        let donated = c.create(fid, &at, access, 0o600)?.descriptor;
        check_donated(site, &at, donated, access);
        let (fid, made) = (c.at("")?, format!("newer {}", access.0));
        let (mode, gid, uid) = (0o600, PeerGid::NONE, PeerUid::NONE);
        let donated = c.call(Tucreate { fid, name: name(&made), flags: access, mode, gid, uid })?.descriptor;
        check_donated(site, &made, donated, access);
    }
    let dir = c.at("dir")?;
    assert!(c.open(dir, OpenBits::RDONLY)?.descriptor.is_none(), "never of a directory");
    Ok(())
}

/// The meanings are those of the base protocol.
fn whoever_names_the_extensions_gets_descriptors(site: &Site) -> Checked {
    let mut c = site.connect();
    c.version(8192, "9P2000.L.Google.0")?;
    c.attach(ROOT, "/")?;
    let fid = c.at("file")?;
    let donated = c.open(fid, OpenBits::RDONLY)?.descriptor;
    demand_eq!(donated.is_some(), site.host().is_some() && site.passes_descriptors());
    let fifo = c.at("fifo").map(drop);
    demand_eq!(fifo, Ok(()), "it is only a place");
    Ok(())
}

fn a_donated_descriptor_is_not_the_servers(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("file")?;
    let Some(donated) = c.open(fid, OpenBits::RDWR)?.descriptor else { return skip("no descriptor came") };
    let mut donated = File::from(donated);
    donated.set_len(4).expect("ftruncate");
    let mut content = String::new();
    donated.read_to_string(&mut content).expect("a read");
    demand_eq!(content, "hell");
    demand_eq!(c.read(fid, 0, 100)?, b"hell", "its position is its own");
    c.clunk(fid)?;
    c.unlink(ROOT, "file")?;
    demand_eq!(donated.write_at(b"J", 0).expect("a write"), 1, "it stays");
    Ok(())
}

fn create_makes_and_opens(site: &Site) -> Checked {
    let mut c = site.client();
    for (access, at) in [(OpenBits::RDONLY, "r"), (OpenBits::WRONLY, "w"), (OpenBits::RDWR, "rw")] {
        let fid = c.at("dir")?;
        let created = c.create(fid, at, access, 0o100_604)?.lcreate();
        let attr = c.getattr(fid)?;
        // A version is of the content.
        demand_eq!((created.qid.kind, created.qid.path), (attr.qid.kind, attr.qid.path));
        if is_exact() {
            demand_eq!(created, Rlcreate { qid: attr.qid, iounit: 0 });
        }
        demand_eq!((attr.attr.mode, attr.attr.size, attr.attr.nlink), (0o100_604, 0, 1));
        demand_eq!(c.write(fid, 0, b"x"), if at == "r" { Err(Errno::EPERM) } else { Ok(1) });
        demand_eq!(c.read(fid, 0, 1).is_err(), at == "w");
        demand_eq!(c.mkdir(fid, "x"), Err(Errno::EINVAL), "the fid is the file now");
        let again = c.at(&format!("dir/{at}"))?;
        demand_eq!(c.getattr(again)?.qid, attr.qid);
    }
    let fid = c.at("")?;
    c.create(fid, "closed", OpenBits::RDWR, 0)?;
    demand_eq!(c.write(fid, 0, b"x")?, 1, "whatever the mode");
    Ok(())
}

fn a_new_file_has_the_mode_that_was_asked_for(site: &Site) -> Checked {
    let mut c = site.client();
    for perm in [0, 0o644, 0o777, 0o666, 0o1777, 0o4755, 0o2755, 0o6777, 0o7777] {
        let (fid, at) = (c.at("empty")?, format!("l{perm:o}"));
        // The type bits are not the client's to choose.
        c.create(fid, &at, OpenBits::RDWR, perm | 0o040_000)?;
        demand_eq!(c.getattr(fid)?.attr.mode, 0o100_000 | perm, "{perm:o}");
        let (fid, at) = (c.at("empty")?, format!("u{perm:o}"));
        let (flags, gid, uid) = (OpenBits::RDWR, PeerGid::NONE, PeerUid::NONE);
        c.call(Tucreate { fid, name: name(&at), flags, mode: perm, gid, uid })?;
        demand_eq!(c.getattr(fid)?.attr.mode, 0o100_000 | perm, "{perm:o}");
    }
    Ok(())
}

/// The gid of something in a directory that gives its own to all that is in it.
fn a_new_file_has_the_owner_that_was_asked_for(site: &Site) -> Checked {
    if !site.may_chown() {
        return skip("needs a server that may give files away");
    }
    let mut c = site.client();
    let dir = c.at("empty")?;
    let owner = SetattrBody {
        valid: SetattrMask::UID | SetattrMask::GID,
        uid: PeerUid(70),
        gid: PeerGid(80),
        ..super::attr::nothing()
    };
    c.setattr(dir, owner)?;
    c.setattr(dir, mode(0o2775))?;
    let owner = |c: &mut Client, fid| c.getattr(fid).map(|a| (a.attr.uid, a.attr.gid, a.attr.mode));
    let flags = OpenBits::RDWR;
    let (given, mode) = ((PeerUid(71), PeerGid(81)), 0o6755);
    let fid = c.at("empty")?;
    c.call(Tucreate { fid, name: name("u"), flags, mode, gid: given.1, uid: given.0 })?;
    demand_eq!(owner(&mut c, fid)?, (given.0, given.1, 0o106_755));
    let fid = c.at("empty")?;
    c.call(Tlcreate { fid, name: name("l"), flags, mode, gid: given.1 })?;
    demand_eq!(owner(&mut c, fid)?.1, given.1);
    let fid = c.at("empty")?;
    c.call(Tlcreate { fid, name: name("none"), flags, mode: 0o644, gid: PeerGid::NONE })?;
    demand_eq!(owner(&mut c, fid)?.1, PeerGid(80), "the directory's");
    Ok(())
}

fn create_on_what_exists(site: &Site) -> Checked {
    let mut c = site.client();
    let before = c.at("file")?;
    let before = c.getattr(before)?;
    for (at, errno) in [("dir", Errno::EISDIR), ("link", Errno::EEXIST), ("fifo", Errno::EEXIST)] {
        // Who opens a FIFO may wait for its other end.
        if at == "fifo" && !is_exact() {
            continue;
        }
        let fid = c.at("")?;
        let errno = site.google_or(Errno::EEXIST, errno);
        demand_eq!(c.create(fid, at, OpenBits::RDWR | OpenBits::TRUNC, 0o600).err(), Some(errno), "{at}");
        for access in [OpenBits::RDONLY, OpenBits::RDWR] {
            let exclusive = c.create(fid, at, access | OpenBits::EXCL, 0o600).err();
            demand_eq!(exclusive, Some(Errno::EEXIST), "{at}");
        }
        c.walk(fid, Fid(300), &["file"])?;
    }
    let fid = c.at("")?;
    demand_eq!(c.create(fid, "file", OpenBits::RDWR | OpenBits::EXCL, 0o600).err(), Some(Errno::EEXIST));
    let opened = c.create(fid, "file", OpenBits::RDWR, 0o600).map(|answer| answer.lcreate());
    if opened.is_err() && !is_exact() {
        note("Tlcreate of a file that exists is refused");
        return Ok(());
    }
    if site.is_google() {
        demand_eq!(opened, Err(Errno::EEXIST));
        return Ok(());
    }
    demand_eq!(opened?.qid, before.qid);
    demand_eq!((c.getattr(fid)?.attr.mode, c.read(fid, 0, 100)?), (before.attr.mode, HELLO.to_vec()));
    let fid = c.at("")?;
    c.create(fid, "file", OpenBits::RDWR | OpenBits::TRUNC, 0o600)?;
    demand_eq!((c.getattr(fid)?.attr.mode, c.getattr(fid)?.attr.size), (before.attr.mode, 0));
    demand_eq!(c.content("file")?, b"");
    Ok(())
}

fn create_needs_a_directory_that_is_there(site: &Site) -> Checked {
    let mut c = site.client();
    let (mode, gid, uid) = (0o644, PeerGid::NONE, PeerUid::NONE);
    let create = |c: &mut Client, fid| {
        let flags = OpenBits::RDWR;
        let made = c.call(Tucreate { fid, name: name("new"), flags, mode, gid, uid }).map(drop);
        demand_eq!(c.create(fid, "new", flags, mode).map(drop), made);
        made
    };
    for path in ["file", "link", "dirlink"] {
        let fid = c.at(path)?;
        demand_eq!(create(&mut c, fid), Err(Errno::EINVAL), "{path}");
    }
    let open = c.open_at("dir", OpenBits::RDONLY)?;
    demand_eq!(create(&mut c, open), Err(Errno::EINVAL), "an open fid cannot become another");
    let gone = c.at("empty")?;
    c.rmdir(ROOT, "empty")?;
    demand_eq!(create(&mut c, gone), Err(site.google_or(Errno::EINVAL, Errno::ENOENT)));
    demand_eq!(FileKind::of_mode(c.getattr(gone)?.attr.mode), Some(FileKind::Directory));
    Ok(())
}

fn new_files_are_the_hosts(site: &Site) -> Checked {
    let host = site.hosted();
    let mut c = site.client();
    let content = |path: &str| -> Result<Vec<u8>> { fs::read(host.join(path)).map_err(|_| Errno::EIO) };
    let fid = c.create_at("new")?;
    c.write(fid, 0, b"from a client")?;
    demand_eq!(content("new")?, b"from a client");
    fs::write(host.join("hosts"), "from the host").expect("a write");
    demand_eq!(c.content("hosts")?, b"from the host");
    Ok(())
}

family! {
    "open";
    cases:
        an_open_file_is_used_as_it_was_opened
        a_fid_is_opened_once
        truncation_is_honoured
        a_directory_opens_for_reading_only
        what_is_no_file_does_not_open
        a_fid_opens_its_own_file
        regular_files_come_with_a_descriptor
        a_donated_descriptor_is_not_the_servers
        create_makes_and_opens
        create_on_what_exists
        create_needs_a_directory_that_is_there
        new_files_are_the_hosts;
    ours:
        an_access_mode_of_3_is_none
        a_fifo_opens_only_to_be_handed_over
        flags_beyond_access_and_truncation
        what_is_to_be_on_disk_is
        a_removed_file_opens_for_some
        the_hosts_refusals_are_passed_on
        whoever_names_the_extensions_gets_descriptors
        a_new_file_has_the_mode_that_was_asked_for
        a_new_file_has_the_owner_that_was_asked_for;
    promises:
        lopen: EBADF EINVAL EISDIR EPERM ENOTDIR ENXIO EACCES ETXTBSY EROFS;
        lcreate: EBADF EINVAL EEXIST EISDIR ENOENT EACCES EROFS;
        ucreate: EBADF EINVAL ENOENT EROFS;
}
