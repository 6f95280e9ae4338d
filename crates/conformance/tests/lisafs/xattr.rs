//! FGetXattr, FSetXattr, FListXattr, FRemoveXattr.

use super::*;

#[test]
fn attributes_are_set_read_listed_and_removed() {
    let mut talk = Talk::new();
    let (fd, _) = talk.create("f", 2);
    let (name, value) = (Str::new(b"user.a").unwrap(), Str::new(b"value").unwrap());
    assert!(talk.ask(&FSetXattrReq { fd, flags: 1, name, value }).is_ok());
    assert_eq!(refused(talk.ask(&FSetXattrReq { fd, flags: 1, name, value })), Errno::EEXIST);
    assert_eq!(refused(talk.ask(&FSetXattrReq { fd, flags: 4, name, value })), Errno::EINVAL);
    let asked = talk.ask(&FGetXattrReq { fd, size: 0, name }).unwrap();
    assert_eq!(asked.reply::<FGetXattrResp<'_>>().value, value, "0 is all of it");
    assert_eq!(refused(talk.ask(&FGetXattrReq { fd, size: 4, name })), Errno::ERANGE);
    let asked = talk.ask(&FListXattrReq { fd, size: 0 }).unwrap();
    assert!(asked.reply::<FListXattrResp<'_>>().names.iter().any(|listed| listed == name));
    assert_eq!(refused(talk.ask(&FListXattrReq { fd, size: 1 })), Errno::ERANGE);
    assert!(talk.ask(&FRemoveXattrReq { fd, name }).is_ok());
    assert_eq!(refused(talk.ask(&FRemoveXattrReq { fd, name })), Errno::ENODATA);
    std::fs::remove_file(talk.path().join("f")).unwrap();
    assert_eq!(refused(talk.ask(&FGetXattrReq { fd, size: 0, name })), Errno::EINVAL);
    assert_eq!(refused(talk.ask(&FListXattrReq { fd, size: 0 })), Errno::EINVAL);
}

#[test]
fn a_policy_without_attributes_has_none() {
    let policy = Policy { xattr: XattrPolicy::None, ..everything() };
    let mut talk = Talk::with(TempDir::new().unwrap(), false, policy, Settings::default());
    let (fd, _) = talk.create("f", 2);
    let name = Str::new(b"user.a").unwrap();
    assert_eq!(refused(talk.ask(&FGetXattrReq { fd, size: 0, name })), Errno::EOPNOTSUPP);
    assert_eq!(refused(talk.ask(&FListXattrReq { fd, size: 0 })), Errno::EOPNOTSUPP);
}
