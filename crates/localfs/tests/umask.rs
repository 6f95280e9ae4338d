//! The umask of a process is one for all its threads: this test has a process of its own.

use gofer_localfs::LocalFs;
use gofer_vfs::{AccessMode, Backend, CreateFlags, Name, OpenFlags, Owner, Special};

#[test]
fn modes_are_those_asked_for_whatever_the_umask() {
    let places = [0o022, 0o777, 0].map(|umask| (umask, tempfile::tempdir().unwrap()));
    for (umask, dir) in &places {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(*umask));
        let fs = LocalFs::open(dir.path()).unwrap();
        let (root, _) = fs.attach().unwrap();
        let name = |name: &'static str| Name::new(name.as_bytes()).unwrap();
        let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
        let made = [
            fs.create(&root, name("file"), flags, 0o4766, Owner::default()).unwrap().2,
            fs.mkdir(&root, name("dir"), 0o4766, Owner::default()).unwrap().1,
            fs.mknod(&root, name("fifo"), Special::Fifo, 0o4766, Owner::default()).unwrap().1,
            fs.mknod(&root, name("node"), Special::Regular, 0o4766, Owner::default()).unwrap().1,
        ];
        for attr in made {
            assert_eq!(attr.perm, 0o4766, "{:?} under {umask:o}", attr.kind);
        }
    }
}
