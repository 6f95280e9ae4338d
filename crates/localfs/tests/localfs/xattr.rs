use std::os::unix::fs::symlink;

use gofer_vfs::{Backend, Errno, Owner, Special, XattrFlags, XattrName, XattrPolicy};

use crate::{AccessMode, Export, name};

fn attribute(name: &str) -> XattrName<'_> {
    XattrPolicy::All.admit(name.as_bytes()).unwrap()
}

impl Export {
    fn value(&self, node: &gofer_localfs::Node, of: &str) -> gofer_vfs::Result<Vec<u8>> {
        let mut value = Vec::new();
        self.fs.getxattr(node, attribute(of), &mut value).map(|()| value)
    }

    fn attributes(&self, node: &gofer_localfs::Node) -> Vec<u8> {
        let mut list = Vec::new();
        self.fs.listxattr(node, &mut list).unwrap();
        // What a security module adds is not ours.
        XattrPolicy::User.filter(&mut list);
        list
    }
}

#[test]
fn values_come_back_as_they_were_set() {
    let export = Export::new();
    let dir = export.host_dir("d");
    // Neither has to be readable: nothing is opened.
    let (file, _, _) = export
        .try_create("f", gofer_vfs::OpenFlags::new(AccessMode::Write), 0o600, Owner::default())
        .unwrap();
    for node in [&file, &dir] {
        assert_eq!(export.value(node, "user.a"), Err(Errno::ENODATA));
        for value in [&b""[..], b"value", &[0xA5; 2000], b"short"] {
            export.fs.setxattr(node, attribute("user.a"), value, XattrFlags::Any).unwrap();
            assert_eq!(export.value(node, "user.a").unwrap(), value);
        }
        export.fs.setxattr(node, attribute("user.b"), b"", XattrFlags::Create).unwrap();
        assert_eq!(export.attributes(node).len(), b"user.a\0user.b\0".len());
        export.fs.removexattr(node, attribute("user.a")).unwrap();
        assert_eq!(export.attributes(node), b"user.b\0");
        assert_eq!(export.fs.removexattr(node, attribute("user.a")), Err(Errno::ENODATA));
    }
    assert_eq!(rustix::fs::getxattr(export.path("f"), "user.b", &mut [0; 9]), Ok(0));
}

#[test]
fn expectations_of_an_older_value_hold() {
    let export = Export::new();
    let file = export.host_file("f", "");
    let set = |flags| export.fs.setxattr(&file, attribute("user.a"), b"v", flags);
    assert_eq!(set(XattrFlags::Replace), Err(Errno::ENODATA));
    assert_eq!(set(XattrFlags::Create), Ok(()));
    assert_eq!(set(XattrFlags::Create), Err(Errno::EEXIST));
    assert_eq!(set(XattrFlags::Replace), Ok(()));
    let long = vec![0; XattrPolicy::SIZE_MAX + 1];
    assert_eq!(export.fs.setxattr(&file, attribute("user.a"), &long, XattrFlags::Any), Err(Errno::E2BIG));
    assert_eq!(
        export.fs.setxattr(&file, attribute("no-space"), b"", XattrFlags::Any),
        Err(Errno::EOPNOTSUPP)
    );
}

#[test]
fn answers_are_appended() {
    let export = Export::new();
    let file = export.host_file("f", "");
    export.fs.setxattr(&file, attribute("user.a"), b"value", XattrFlags::Any).unwrap();
    let mut into = b"head".to_vec();
    export.fs.getxattr(&file, attribute("user.a"), &mut into).unwrap();
    assert_eq!(into, b"headvalue");
    export.fs.getxattr(&file, attribute("user.none"), &mut into).unwrap_err();
    assert_eq!(into, b"headvalue");
}

#[test]
fn a_removed_file_keeps_its_attributes() {
    let export = Export::new();
    let file = export.host_file("f", "");
    std::fs::remove_file(export.path("f")).unwrap();
    export.fs.setxattr(&file, attribute("user.a"), b"v", XattrFlags::Any).unwrap();
    assert_eq!(export.value(&file, "user.a").unwrap(), b"v");
}

#[test]
fn a_links_attributes_are_not_its_targets() {
    let export = Export::new();
    let file = export.host_file("f", "");
    symlink("f", export.path("l")).unwrap();
    let link = export.node("l");
    export.fs.setxattr(&file, attribute("user.a"), b"v", XattrFlags::Any).unwrap();
    // Links have none of the user's, which is what makes them different from what they lead to (xattr(7)).
    assert_eq!(export.fs.setxattr(&link, attribute("user.b"), b"v", XattrFlags::Any), Err(Errno::EPERM));
    assert!(matches!(export.value(&link, "user.a"), Err(Errno::EPERM | Errno::ENODATA)));
    assert_eq!(export.attributes(&link), b"");
    match export.fs.setxattr(&link, attribute("trusted.a"), b"of the link", XattrFlags::Any) {
        Ok(()) => {
            assert_eq!(export.value(&link, "trusted.a").unwrap(), b"of the link");
            assert_eq!(export.value(&file, "trusted.a"), Err(Errno::ENODATA));
            export.fs.removexattr(&link, attribute("trusted.a")).unwrap();
        }
        Err(error) => {
            eprintln!("not tested: this user may not set trusted attributes ({error})");
            assert_eq!(error, Errno::EPERM);
        }
    }
}

#[test]
fn special_files_are_not_opened_for_it() {
    let export = Export::new();
    let (fifo, _) = export.fs.mknod(&export.root, name("p"), Special::Fifo, 0o600, Owner::default()).unwrap();
    assert_eq!(export.attributes(&fifo), b"");
    assert_eq!(export.fs.setxattr(&fifo, attribute("user.a"), b"v", XattrFlags::Any), Err(Errno::EPERM));
}
