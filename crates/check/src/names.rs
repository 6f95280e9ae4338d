//! Every message that carries a file name, with any bytes in its place.

use gofer_vfs::{PeerGid, PeerUid};
use gofer_wire::Str;
use gofer_wire::p9::Fid;

use crate::body;

/// A request that names something.
#[derive(Clone, Debug)]
pub struct Named {
    /// What it is and where the name stands.
    pub what: &'static str,
    /// Its number.
    pub number: u8,
    /// Its body.
    pub body: Vec<u8>,
}

/// The fids that [`named`] uses.
#[derive(Clone, Copy, Debug)]
pub struct Fids {
    /// Of a directory.
    pub dir: Fid,
    /// Of a file in it.
    pub file: Fid,
    /// Of nothing.
    pub unused: Fid,
}

/// All requests that carry a name, and in each place where they do. `dir` is the name of a directory in the
/// directory `fids.dir`, for names that stand behind another.
pub fn named<'a>(fids: Fids, dir: Str<'a>, name: Str<'a>) -> Vec<Named> {
    let Fids { dir: dfid, file, unused } = fids;
    let (uid, gid, mode, none) = (PeerUid::NONE, PeerGid::NONE, 0o644u32, 0u32);
    let other = Str::new(b"other").expect("a short string");
    let empty = Str::default();
    let below = [dir.as_bytes(), b"/", name.as_bytes()].concat();
    let mut all = vec![
        ("lcreate", 14, body!(dfid, name, none, mode, gid)),
        ("symlink", 16, body!(dfid, name, other, gid)),
        ("mknod", 18, body!(dfid, name, 0o100_644u32, none, none, gid)),
        ("rename", 20, body!(file, dfid, name)),
        ("link", 70, body!(dfid, file, name)),
        ("mkdir", 72, body!(dfid, name, mode, gid)),
        ("renameat, the old name", 74, body!(dfid, name, dfid, other)),
        ("renameat, the new name", 74, body!(dfid, other, dfid, name)),
        ("unlinkat", 76, body!(dfid, name, none)),
        ("walk", 110, body!(dfid, unused, 1u16, name)),
        ("walk, the second name", 110, body!(dfid, unused, 2u16, dir, name)),
        ("walk, the first of two names", 110, body!(dfid, unused, 2u16, name, dir)),
        ("walkgetattr", 126, body!(dfid, unused, 1u16, name)),
        ("walkgetattr, the second name", 126, body!(dfid, unused, 2u16, dir, name)),
        ("ucreate", 128, body!(dfid, name, none, mode, gid, uid)),
        ("umkdir", 130, body!(dfid, name, mode, gid, uid)),
        ("umknod", 132, body!(dfid, name, 0o100_644u32, none, none, gid, uid)),
        ("usymlink", 134, body!(dfid, name, other, gid, uid)),
        ("multigetattr, the second name", 142, body!(dfid, 2u16, empty, name)),
        ("multigetattr, the third name", 142, body!(dfid, 3u16, empty, dir, name)),
        ("bind", 144, body!(dfid, 1u32, name, uid, gid, unused)),
    ];
    // Beyond these an empty name has another meaning.
    if !name.as_bytes().is_empty() {
        all.push(("multigetattr", 142, body!(dfid, 1u16, name)));
    }
    // In an attach name a slash stands between names.
    if let Some(aname) = Str::new(&below).filter(|_| !name.as_bytes().contains(&b'/')) {
        all.push(("attach, below a directory", 104, body!(unused, Fid::NONE, empty, aname, uid)));
    }
    all.into_iter().map(|(what, number, body)| Named { what, number, body }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ROOT, text};

    /// Requests that borrow from their frame carry strings. Whichever do are in [`named`], or here because their
    /// strings name no file.
    #[test]
    fn no_message_with_a_name_is_forgotten() {
        const OTHER: [&str; 10] = [
            "version",
            "auth",
            "write",
            "lock",
            "getlock",
            "xattrwalk",
            "xattrcreate",
            "getxattr",
            "setxattr",
            "removexattr",
        ];
        macro_rules! borrowing {
            ($($number:literal $variant:ident $name:ident:
               $t:ident $(<$borrows:lifetime>)? => $r:ident $(<$life:lifetime>)?;)*) => {
                [$(($number, stringify!($name), !stringify!($($borrows)?).is_empty())),*]
            };
        }
        let fids = Fids { dir: ROOT, file: Fid(1), unused: Fid(2) };
        let named = named(fids, text("dir"), text("name"));
        for (number, operation, borrows) in gofer_wire::p9_operations!(borrowing) {
            let is_named = named.iter().any(|request| request.number == number);
            assert_eq!(borrows, is_named || OTHER.contains(&operation), "{operation}");
            assert!(!(is_named && OTHER.contains(&operation)), "{operation}");
        }
    }
}
