//! The commands that use a server: what they do, say and exit with.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::process::{Server, failure, gofer, place, run};

/// A tree to be served, and one that can be written; `unix:SOCKET`.
struct Far {
    server: Server,
    dir: tempfile::TempDir,
    address: String,
}

fn far() -> Far {
    let (dir, tree, socket) = place();
    let tree_path = Path::new(&tree);
    fs::create_dir_all(tree_path.join("sub/deep")).unwrap();
    fs::write(tree_path.join("a.txt"), "hello\n").unwrap();
    fs::write(tree_path.join("sub/deep/z"), "z").unwrap();
    fs::write(tree_path.join(std::ffi::OsStr::from_bytes(b"odd\n\xff")), "odd").unwrap();
    fs::write(tree_path.join(".hidden"), "").unwrap();
    symlink("../outside", tree_path.join("link")).unwrap();
    fs::set_permissions(tree_path.join("a.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(981_173_106, 789);
    fs::File::options().write(true).open(tree_path.join("a.txt")).unwrap().set_modified(old).unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    let address = format!("unix:{}", socket.display());
    let (tree, out) = (format!("tree={tree}"), format!("out={}:rw", dir.path().join("out").display()));
    let server =
        Server::start(&["--quiet", "--listen", &address, "--listen", "tcp:127.0.0.1:0", &tree, &out]);
    Far { server, dir, address }
}

impl Far {
    /// `ADDR/EXPORT:PATH`
    fn at(&self, export: &str, path: &str) -> String {
        format!("{}/{export}:{path}", self.address)
    }

    /// The same over TCP, where no descriptors travel.
    fn tcp(&self, export: &str, path: &str) -> String {
        let tcp = self.server.ready.split_whitespace().find(|address| address.starts_with("tcp:")).unwrap();
        format!("{tcp}/{export}:{path}")
    }

    fn here(&self, path: &str) -> String {
        self.dir.path().join(path).to_str().unwrap().to_owned()
    }
}

/// Runs a command that succeeds without a word of complaint.
fn said(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn files_are_listed_shown_and_printed() {
    let far = far();
    let root = far.at("tree", "");
    assert_eq!(said(&["ls", &root]), "a.txt\nlink\n$'odd\\n\\377'\nsub\n");
    assert!(said(&["ls", "-a", &root]).starts_with(".hidden\n"));
    let long = said(&["ls", "-l", &root]);
    assert!(long.starts_with("-rw-r-----") && long.contains("2001-02-03 04:05 a.txt"), "{long}");
    assert!(long.contains("link -> ../outside"), "{long}");
    assert!(said(&["ls", "-R", &root]).contains("/tree:sub/deep:\nz\n"));
    let json = said(&["ls", "--json", &root]);
    assert!(json.contains("\"target\": \"../outside\"") && json.contains("\"name_bytes\""), "{json}");
    let tree = said(&["tree", &root]);
    assert!(tree.contains("└── sub\n    └── deep\n        └── z\n"), "{tree}");
    assert!(said(&["stat", &far.at("tree", "a.txt")]).contains("2001-02-03T04:05:06.000000789Z"));
    assert_eq!(said(&["cat", &far.at("tree", "a.txt"), &far.at("tree", "sub/deep/z")]), "hello\nz");
    assert!(said(&["df", "-h", &root]).starts_with("Place"));
    assert!(!said(&["ls", "-l", &root]).contains('\x1b'), "no colours but on a terminal");
}

#[test]
fn a_tree_goes_there_and_back_unchanged() {
    let far = far();
    said(&["cp", "-r", &far.at("tree", ""), &far.here("copy")]);
    said(&["cp", "-r", &far.here("copy"), &far.at("out", "")]);
    said(&["cp", "-r", &far.at("out", "copy/sub"), &far.at("out", "again")]);
    let same = |a: &str, b: &str| {
        let (a, b) = (Path::new(a), Path::new(b));
        let found = |path: &Path| fs::symlink_metadata(path).unwrap();
        assert_eq!(found(a).mode(), found(b).mode(), "{}", b.display());
        assert_eq!((found(a).mtime(), found(a).mtime_nsec()), (found(b).mtime(), found(b).mtime_nsec()));
        if found(a).is_file() {
            assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap());
        }
    };
    for name in ["", "a.txt", "sub", "sub/deep", "sub/deep/z", "link"] {
        let tree = far.here(&format!("tree/{name}"));
        same(&tree, &far.here(&format!("copy/{name}")));
        same(&tree, &far.here(&format!("out/copy/{name}")));
    }
    same(&far.here("tree/sub/deep/z"), &far.here("out/again/deep/z"));
    let names = |dir: &str| fs::read_dir(far.here(dir)).unwrap().count();
    assert_eq!(names("copy"), names("tree"), "no part is left");
}

#[test]
fn holes_stay_holes() {
    let far = far();
    let file = fs::File::create(far.here("tree/sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", 20 << 20).unwrap();
    said(&["cp", &far.at("tree", "sparse"), &far.here("near")]);
    said(&["cp", &far.here("near"), &far.at("out", "far")]);
    for copy in ["near", "out/far"] {
        let found = fs::metadata(far.here(copy)).unwrap();
        assert_eq!(found.len(), (20 << 20) + 3);
        assert!(found.blocks() < 2048, "{copy} takes {} blocks", found.blocks());
    }
}

#[test]
fn what_was_begun_is_continued_only_with_the_same_source() {
    let far = far();
    let content: Vec<u8> = (0..30u32 << 18).flat_map(u32::to_le_bytes).collect();
    fs::write(far.here("tree/big"), &content).unwrap();
    let found = fs::metadata(far.here("tree/big")).unwrap();
    let version = format!("{:x}-{:x}-{:x}", found.len(), found.mtime(), found.mtime_nsec());
    // As an interrupted copy leaves it, with a mark that shows what was not copied again.
    let mut begun = content[..20 << 20].to_vec();
    begun[0] = !begun[0];
    fs::write(far.here(&format!("out/.big.{version}.part")), &begun).unwrap();
    said(&["cp", "--continue", &far.at("tree", "big"), &far.at("out", "")]);
    let copied = fs::read(far.here("out/big")).unwrap();
    assert!(copied[0] == begun[0] && copied[1..] == content[1..]);
    assert!(!Path::new(&far.here(&format!("out/.big.{version}.part"))).exists());

    fs::write(far.here("out/.big.1-2-3.part"), &begun).unwrap();
    said(&["cp", "--continue", &far.at("tree", "big"), &far.at("out", "")]);
    assert!(fs::read(far.here("out/big")).unwrap() == content, "another version's part is not used");
}

/// The server goes away in the middle: the copy ends with an error, and what it leaves says what it is.
#[test]
fn a_server_that_dies_ends_a_copy() {
    let far = far();
    // A little to write, and then a hole that takes long to read over a socket.
    fs::write(far.here("tree/big"), [1; 4096]).unwrap();
    fs::File::options().write(true).open(far.here("tree/big")).unwrap().set_len(64 << 30).unwrap();
    let parts = || {
        let entries = fs::read_dir(far.here("")).unwrap().map(Result::unwrap);
        let mut parts = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
        parts.next().map(|entry| entry.metadata().unwrap().len())
    };
    let mut copy = gofer(&["cp", &far.tcp("tree", "big"), &far.here("copy")]);
    let copy = copy.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while parts().unwrap_or(0) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    far.server.signal("KILL");
    let output = copy.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ECONNRESET") && said.contains("is the server still running?"), "{said}");
    assert!(said.contains("--continue") && parts().is_some(), "{said}");
    assert!(!Path::new(&far.here("copy")).exists(), "there is no half of it under its name");
}

#[test]
fn directories_are_made_and_removed() {
    let far = far();
    said(&["mkdir", "-p", &far.at("out", "a/b/c")]);
    said(&["mkdir", "-p", &far.at("out", "a/b/c")]);
    let (code, line) = failure(&run(&["mkdir", &far.at("out", "a")]));
    assert!(code == 1 && line.contains("EEXIST"), "{line}");
    fs::write(far.here("out/a/b/f"), "").unwrap();
    let (code, line) = failure(&run(&["rm", &far.at("out", "a")]));
    assert!(code == 1 && line.contains("-r"), "{line}");
    said(&["rm", "-r", &far.at("out", "a")]);
    assert!(!Path::new(&far.here("out/a")).exists());
    said(&["rm", "-f", &far.at("out", "a")]);
}

#[test]
fn what_fails_is_told_with_a_code_of_its_own() {
    let far = far();
    let (code, line) = failure(&run(&["ls", &far.at("tree", "a.txt"), &far.at("tree", "nope")]));
    assert!(code == 6 && line.contains("tree:nope") && line.contains("ENOENT"), "{line}");
    let (code, line) = failure(&run(&["rm", &far.at("tree", "a.txt")]));
    assert!(code == 1 && line.contains("EROFS") && line.contains(":rw"), "{line}");
    let (code, line) = failure(&run(&["cp", &far.here("tree/a.txt"), &far.at("tree", "b")]));
    assert!(code == 1 && line.contains("EROFS"), "{line}");
    let (code, line) = failure(&run(&["ls", &far.at("nope", "")]));
    assert!(code == 3 && line.contains("nope") && line.contains("ENOENT"), "{line}");
    let (code, line) = failure(&run(&["ls", "unix:/nope/sock:"]));
    assert!(code == 3 && line.contains("start the server"), "{line}");
    let (code, line) = failure(&run(&["bench", "unix:/nope/sock", "--only", "getattr"]));
    assert!(code == 3 && line.contains("ENOENT") && line.matches("/nope").count() == 1, "{line}");
    for word in ["nope", "tcp:1", "udp:1:2:x"] {
        let (code, line) = failure(&run(&["ls", word]));
        assert!(code == 2 && line.contains(word), "{line}");
    }
    let (code, line) = failure(&run(&["cp", &far.at("tree", ""), &far.here("x")]));
    assert!(code == 1 && line.contains("-r"), "{line}");
}

/// A directory that is not the one that is exported was found out by what stayed in the one that is.
#[test]
fn a_check_that_does_not_begin_leaves_nothing() {
    let far = far();
    let other = far.here("tree");
    let words =
        ["check", &far.address, "--aname", "out", "--rw", "--export-dir", &other, "--only", "session"];
    let (code, line) = failure(&run(&words));
    assert!(code == 3 && line.contains("check --export-dir"), "{line}");
    assert_eq!(fs::read_dir(far.here("out")).unwrap().count(), 0);
}

#[test]
fn what_is_no_9p_server_is_told_from_one() {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}:", listener.local_addr().unwrap());
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").unwrap();
        // Until it is hung up.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let (code, line) = failure(&run(&["ls", &address]));
    assert!(code == 3 && line.contains("does not speak 9P"), "{line}");
    other.join().unwrap();
}
