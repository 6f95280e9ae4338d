//! What a process does that has no descriptors left. The limit is one for all its threads: this test has a
//! process of its own.

use std::os::fd::{AsFd, OwnedFd};

use gofer_localfs::{LocalFs, Node};
use gofer_vfs::{AccessMode, Backend, CreateFlags, Errno, Name, OpenFlags, Owner, Special, Unlink};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes every descriptor there is.
fn take_all(of: impl AsFd) -> Vec<OwnedFd> {
    std::iter::from_fn(|| of.as_fd().try_clone_to_owned().ok()).collect()
}

/// Makes one of everything, and says what that failed with.
fn make_all(fs: &LocalFs, root: &Node) -> Vec<Option<Errno>> {
    let name = Name::new(b"new").expect("it is a name");
    let owner = Owner::default();
    let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
    vec![
        fs.create(root, name, flags, 0o644, owner).err(),
        fs.mkdir(root, name, 0o755, owner).err(),
        fs.symlink(root, name, b"target", owner).err(),
        fs.mknod(root, name, Special::Regular, 0o644, owner).err(),
        fs.mknod(root, name, Special::Fifo, 0o644, owner).err(),
        fs.walk(root, name).err(),
    ]
}

#[test]
fn what_no_descriptor_can_be_had_for_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let fs = LocalFs::open(dir.path()).unwrap();
    let (root, _) = fs.attach().unwrap();
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum: hard }).unwrap();
    let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
    let written = Name::new(b"written").unwrap();
    let (_, file, _) = fs.create(&root, written, flags, 0o644, Owner::default()).unwrap();
    fs.unlink(&root, written, Unlink::File).unwrap();
    let any = std::fs::File::open(dir.path()).unwrap();
    let mut taken = take_all(&any);
    assert_eq!(fs.flush(&file), Ok(()), "it says nothing about the file");
    // Each is undone: the next finds the name free.
    assert_eq!(make_all(&fs, &root), [Some(Errno::EMFILE); 6]);
    // With one descriptor a file can be created, but not held as a place too.
    drop(taken.pop());
    let name = Name::new(b"new").unwrap();
    let created = fs.create(&root, name, flags, 0o644, Owner::default());
    assert_eq!(created.err(), Some(Errno::EMFILE));
    assert_eq!(fs.lookup(&root, name).err(), Some(Errno::ENOENT));
    drop(taken);
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    fs.create(&root, name, flags, 0o644, Owner::default()).unwrap();
}
