//! What programs do with files and directories.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use gofer_fuse::{Cache, Options};
use gofer_vfs::ReadOnly;
use rustix::fs::{CWD, FallocateFlags, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};

use crate::{Place, everywhere, local, place};

/// `O_TRUNC` of `open(2)`.
const O_TRUNC: i32 = OFlags::TRUNC.bits().cast_signed();

#[test]
fn files_are_read_and_written() {
    everywhere(|place, _| {
        let path = place.path("f");
        let mut file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path).unwrap();
        let big: Vec<u8> = (0..3_000_001u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        file.write_all(&big).unwrap();
        file.sync_all().unwrap();
        let mut back = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut back).unwrap();
        assert!(back == big, "what was written is read");
        assert!(fs::read(&path).unwrap() == big, "by another opening, too");
        assert_eq!(file.metadata().unwrap().len(), big.len() as u64);

        let mut end = OpenOptions::new().append(true).open(&path).unwrap();
        end.write_all(b"end").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), big.len() as u64 + 3);
        let mut tail = [0; 4];
        file.read_exact_at(&mut tail, big.len() as u64).unwrap_err();
        file.read_exact_at(&mut tail[..3], big.len() as u64).unwrap();
        assert_eq!(&tail[..3], b"end");

        file.set_len(5).unwrap();
        file.set_len(9).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [&big[..5], &[0; 4]].concat());
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 20).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 20);
        drop(OpenOptions::new().write(true).truncate(true).open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"");
    });
}

#[test]
fn a_program_that_runs_is_not_emptied() {
    everywhere(|place, _| {
        let path = place.path("program");
        fs::copy("/bin/sleep", &path).unwrap();
        let len = fs::metadata(&path).unwrap().len();
        // Another test's child can hold the copy open for writing until it executes what it is to be.
        let mut program = loop {
            match Command::new(&path).arg0("sleep").arg("60").spawn() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
                started => break started.unwrap(),
            }
        };
        let emptied = OpenOptions::new().read(true).custom_flags(O_TRUNC).open(&path);
        let left = fs::metadata(&path).unwrap().len();
        program.kill().unwrap();
        program.wait().unwrap();
        assert_eq!(emptied.unwrap_err().kind(), ErrorKind::ExecutableFileBusy);
        assert_eq!(left, len);
    });
}

#[test]
fn a_file_that_was_removed_lives_while_it_is_open() {
    everywhere(|place, _| {
        let path = place.path("f");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all(b"still here").unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(&path, "another").unwrap();
        let mut back = [0; 10];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(&back, b"still here");
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        assert_eq!(fs::read(&path).unwrap(), b"another");
    });
}

#[test]
fn names_are_made_linked_moved_and_removed() {
    everywhere(|place, _| {
        fs::create_dir(place.path("d")).unwrap();
        fs::write(place.path("d/a"), "a").unwrap();
        fs::hard_link(place.path("d/a"), place.path("b")).unwrap();
        let (a, b) = (fs::metadata(place.path("d/a")).unwrap(), fs::metadata(place.path("b")).unwrap());
        assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
        symlink("d/a", place.path("l")).unwrap();
        assert_eq!(fs::read_link(place.path("l")).unwrap().to_str(), Some("d/a"));
        assert_eq!(fs::read(place.path("l")).unwrap(), b"a");

        fs::write(place.path("c"), "c").unwrap();
        let rename = |from: &str, to: &str, flags| {
            rustix::fs::renameat_with(CWD, place.path(from), CWD, place.path(to), flags)
        };
        assert_eq!(rename("c", "b", RenameFlags::NOREPLACE), Err(rustix::io::Errno::EXIST));
        rename("c", "b", RenameFlags::EXCHANGE).unwrap();
        assert_eq!(fs::read(place.path("c")).unwrap(), b"a");
        rename("c", "b", RenameFlags::empty()).unwrap();
        assert_eq!(fs::read(place.path("b")).unwrap(), b"a");
        assert!(!place.path("c").exists());

        assert_eq!(fs::remove_dir(place.path("d")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        fs::rename(place.path("d"), place.path("e")).unwrap();
        fs::remove_file(place.path("e/a")).unwrap();
        fs::remove_dir(place.path("e")).unwrap();
        assert_eq!(fs::metadata(place.path("b")).unwrap().nlink(), 1);
        assert_eq!(File::create_new(place.path("b")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn attributes_are_set_and_told() {
    everywhere(|place, _| {
        let path = place.path("f");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o4751)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode(), 0o104_751);
        let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        // Before 1970 the nanoseconds count forwards, too.
        let times = Timestamps { last_access: at(-5, 250_000_000), last_modification: at(1_700_000_000, 7) };
        rustix::fs::utimensat(CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.atime(), found.atime_nsec()), (-5, 250_000_000));
        assert_eq!((found.mtime(), found.mtime_nsec()), (1_700_000_000, 7));
        assert!(rustix::fs::statfs(&place.at).unwrap().f_blocks > 0);
        rustix::fs::mknodat(CWD, place.path("p"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(fs::metadata(place.path("p")).unwrap().file_type().is_fifo());
        let device = rustix::fs::mknodat(
            CWD,
            place.path("c"),
            rustix::fs::FileType::CharacterDevice,
            0o600.into(),
            rustix::fs::makedev(1, 3),
        );
        assert_eq!(device, Err(rustix::io::Errno::PERM), "only where it is allowed");
    });
}

#[test]
fn a_directory_lists_each_name_once_with_its_inode() {
    const MANY: usize = 600;
    everywhere(|place, _| {
        fs::create_dir(place.path("d")).unwrap();
        for n in 0..MANY {
            File::create(place.path(&format!("d/a name of some length {n}"))).unwrap();
        }
        let mut inodes = HashSet::new();
        let mut names = HashSet::new();
        for entry in fs::read_dir(place.path("d")).unwrap() {
            let entry = entry.unwrap();
            use std::os::unix::fs::DirEntryExt;
            assert_eq!(entry.ino(), entry.metadata().unwrap().ino());
            assert!(entry.file_type().unwrap().is_file());
            inodes.insert(entry.ino());
            names.insert(entry.file_name());
        }
        assert_eq!((names.len(), inodes.len()), (MANY, MANY));
    });
}

#[test]
fn extended_attributes_follow_the_policy() {
    everywhere(|place, _| {
        let path = place.path("f");
        fs::write(&path, "").unwrap();
        rustix::fs::setxattr(&path, "user.k", b"value", XattrFlags::empty()).unwrap();
        let mut value = [0; 16];
        assert_eq!(rustix::fs::getxattr(&path, "user.k", &mut value[..]), Ok(5));
        assert_eq!(rustix::fs::getxattr(&path, "user.k", &mut value[..2]), Err(rustix::io::Errno::RANGE));
        let mut names = [0; 64];
        assert_eq!(rustix::fs::listxattr(&path, &mut names[..]), Ok(7));
        let refused = rustix::fs::setxattr(&path, "trusted.k", b"value", XattrFlags::empty());
        assert!(refused.is_err(), "outside the policy");
        rustix::fs::removexattr(&path, "user.k").unwrap();
        assert_eq!(rustix::fs::getxattr(&path, "user.k", &mut value[..]), Err(rustix::io::Errno::NODATA));
    });
}

#[test]
fn what_the_host_changes_is_seen_as_the_cache_promises() {
    let options = Options { cache: Cache::None, ..Options::default() };
    for passthrough in [true, false] {
        let Some(place) = place(local, &Options { passthrough, ..options.clone() }) else { return };
        let seen = |place: &Place| fs::read(place.path("f")).ok();
        assert_eq!(seen(&place), None);
        for text in [&b"one"[..], b"another", b"x"] {
            fs::write(place.host.join("f"), text).unwrap();
            assert_eq!(seen(&place).as_deref(), Some(text));
            assert_eq!(fs::metadata(place.path("f")).unwrap().len(), text.len() as u64);
        }
        fs::remove_file(place.host.join("f")).unwrap();
        assert_eq!(seen(&place), None);
    }
}

/// A set-id program that somebody else wrote to would run with its owner's rights. The kernel leaves it to the
/// server to take the bits away, and by passthrough writes with the rights of the process that mounted, which may
/// leave them.
#[test]
fn a_write_takes_set_id_bits_away() {
    for passthrough in [true, false] {
        let Some(place) = place(local, &Options { passthrough, ..Options::default() }) else { return };
        let path = place.path("f");
        fs::write(&path, "x").unwrap();
        for emptied in [false, true] {
            fs::set_permissions(&path, Permissions::from_mode(0o6777)).unwrap();
            OpenOptions::new().write(true).truncate(emptied).open(&path).unwrap().write_all(b"y").unwrap();
            let mode = fs::metadata(place.host.join("f")).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o777, "{passthrough} {emptied}");
        }
    }
}

#[test]
fn what_is_read_only_is_mounted_so() {
    let Some(place) = place(
        |host| {
            fs::write(host.join("f"), "x").unwrap();
            ReadOnly(local(host))
        },
        &Options::default(),
    ) else {
        return;
    };
    assert_eq!(fs::read(place.path("f")).unwrap(), b"x");
    for error in [
        fs::write(place.path("f"), "y").unwrap_err(),
        fs::create_dir(place.path("d")).unwrap_err(),
        fs::remove_file(place.path("f")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    }
}
