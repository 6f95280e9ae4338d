//! What is no name, in every message that carries one.

use gofer_conformance::client::text;
use gofer_conformance::names::{Fids, named};
use gofer_conformance::{ROOT, Setup};
use gofer_vfs::Errno;
use gofer_wire::Str;
use gofer_wire::p9::Fid;

use crate::attack;

/// Puts a name into every message, and looks whether it did anything.
fn is_refused(name: &[u8], errno: Errno) {
    attack(Setup::default(), |arena| {
        let mut c = arena.site.client();
        let fids = Fids { dir: ROOT, file: c.at("file").expect("a file"), unused: c.fid() };
        let before = arena.tree();
        for request in named(fids, text("dir"), Str::new(name).expect("a string")) {
            let answer = c.call_raw(request.number, &request.body);
            assert_eq!(answer.err(), Some(errno), "{}", request.what);
        }
        assert_eq!(c.clunk(fids.unused), Err(Errno::EBADF));
        for fid in [fids.dir, fids.file] {
            c.getattr(fid).expect("it stands for what it stood for");
        }
        assert_eq!(arena.tree(), before);
    });
}

macro_rules! rows {
    ($($row:ident: $name:expr => $errno:ident;)*) => { $(
        #[test]
        fn $row() {
            is_refused($name, Errno::$errno);
        }
    )* };
}

rows! {
    empty: b"" => EINVAL;
    dot: b"." => EINVAL;
    dot_dot: b".." => EINVAL;
    slash: b"/" => EINVAL;
    slash_before: b"/dir" => EINVAL;
    slash_behind: b"dir/" => EINVAL;
    slash_inside: b"dir/inner" => EINVAL;
    slashes_only: b"///" => EINVAL;
    absolute: b"/etc/passwd" => EINVAL;
    up: b"../" => EINVAL;
    up_and_beyond: b"../../etc/passwd" => EINVAL;
    down_and_up: b"dir/../.." => EINVAL;
    itself: b"./file" => EINVAL;
    nul: b"\0" => EINVAL;
    nul_before: b"\0file" => EINVAL;
    nul_inside: b"fi\0le" => EINVAL;
    nul_behind: b"file\0" => EINVAL;
    nul_behind_dots: b"..\0" => EINVAL;
    nul_behind_a_path: b"/etc/passwd\0" => EINVAL;
    of_256_bytes: &[b'n'; 256] => ENAMETOOLONG;
    of_60_000_bytes: &[b'n'; 60_000] => ENAMETOOLONG;
    dots_of_256_bytes: &[b'.'; 256] => ENAMETOOLONG;
    a_path_of_256_bytes: &[b'/'; 256] => EINVAL;
    nuls_of_256_bytes: &[0; 256] => EINVAL;
}

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
