//! What the process has given up when it serves, and what becomes of it where it cannot.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::peer::Peer;
use crate::process::{Server, failure, place, run, run_in};

/// A field of a process's status.
fn field(status: &str, name: &str) -> String {
    let line =
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {status}"));
    line.trim().to_owned()
}

#[test]
fn a_sealed_process_looks_it_from_outside() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let server = Server::start(&[&tree, "--listen", &listen]);
    let mut peer = Peer::at(&socket);
    peer.attach("/").unwrap();
    let sealed = server.sealed();
    for task in fs::read_dir(sealed.join("task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert_eq!(field(&status, "Seccomp:"), "2");
        assert_eq!(field(&status, "NoNewPrivs:"), "1");
        assert_eq!(field(&status, "Umask:"), "0000");
        for none in ["CapInh:", "CapAmb:", "CapBnd:"] {
            assert_eq!(field(&status, none), "0000000000000000", "{none}");
        }
        let kept = u64::from_str_radix(&field(&status, "CapEff:"), 16).unwrap();
        // CAP_DAC_READ_SEARCH is number 2.
        assert_eq!(kept & !(1 << 2), 0, "more than reading needs");
    }
    // The keeper makes no socket either, from the moment at which it has heard that the other is sealed.
    let filtered = || {
        let status = fs::read_to_string(server.keeper().join("status")).unwrap();
        field(&status, "Seccomp:") == "2"
    };
    let patience = Instant::now() + Duration::from_secs(10);
    while !filtered() {
        assert!(Instant::now() < patience, "the keeper has no filter");
        thread::sleep(Duration::from_millis(1));
    }
    let limits = fs::read_to_string(sealed.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"));
}

#[test]
fn what_cannot_be_sealed_is_refused_by_name() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let users = "unshare -r sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; \
                 exec setpriv --bounding-set -all --inh-caps -all \"$@\"' sh \"$@\"";
    let mounts = "unshare -r sh -c 'echo 0 >/proc/sys/user/max_mnt_namespaces; exec \"$@\"' sh \"$@\"";
    let procfs = "unshare -rm sh -c 'mount -t tmpfs none /proc; exec \"$@\"' sh \"$@\"";
    for (surroundings, strength, why) in [
        (users, "full", "user.max_user_namespaces"),
        (mounts, "full", "--sandbox landlock"),
        (procfs, "full", "mount procfs at /proc"),
        (procfs, "auto", "mount procfs at /proc"),
        (procfs, "landlock", "mount procfs at /proc"),
    ] {
        // Where it is not refused the program ends, too.
        let words = ["serve", &tree, "--listen", &listen, "--print-sandbox", "--sandbox", strength];
        let output = run_in(surroundings, &words);
        let (code, said) = failure(&output);
        assert!(code == 3 && said.contains(why) && said.contains("; "), "{surroundings}: {code}: {said}");
        assert!(!socket.exists(), "nothing is left");
    }
    let auto = run_in(mounts, &["serve", &tree, "--sandbox", "auto", "--print-sandbox", "--listen", &listen]);
    let said = String::from_utf8(auto.stdout).unwrap();
    assert!(auto.status.success() && said.contains("weaker") && said.contains("Landlock"), "{said}");
}

#[test]
fn nothing_is_given_up_only_for_who_says_so_twice() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let (code, said) = failure(&run(&["serve", &tree, "--sandbox", "none", "--listen", &listen]));
    assert!(code == 2 && said.contains("--i-trust-the-clients"), "{said}");
    let mut server =
        Server::start(&[&tree, "--sandbox", "none", "--i-trust-the-clients", "--listen", &listen]);
    Peer::at(&socket).attach("/").unwrap();
    server.signal("TERM");
    let (code, said) = server.end();
    assert!(code == 0 && said.contains("warning no sandbox"), "{said}");
    assert!(!socket.exists());
}

#[test]
fn the_report_is_text_or_json() {
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let report = |words: &[&str]| {
        let output = run(&[&["serve", &tree, "--listen", &listen], words].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(report(&["--print-sandbox"]).contains("namespaces    "));
    let json: serde_json::Value = serde_json::from_str(&report(&["--print-sandbox=json"])).unwrap();
    let calls = |json: &serde_json::Value| json["seccomp"].to_string();
    assert!(calls(&json).contains("pread64") && !calls(&json).contains("pwrite64"), "{json}");
    assert!(!socket.exists(), "nothing listens");
    assert!(!calls(&json).contains("connect"), "{json}");
    assert_eq!(json["socket_families"], serde_json::json!(["unix"]), "of the channels");
    assert!(report(&["--print-sandbox", "--max-channels=0"]).contains("sockets       none are made"));
    let hosts = report(&["--print-sandbox=json", "--host-sockets=connect"]);
    assert!(hosts.contains("\"connect\""), "{hosts}");
    let bare = report(&["--print-sandbox=json", "--capabilities=none"]);
    let bare: serde_json::Value = serde_json::from_str(&bare).unwrap();
    assert_eq!(bare["capabilities"]["kept"].as_array().map(Vec::len), Some(0));
}

/// A server that may give files to everybody must not come to know one user only, for then it could not.
#[test]
fn root_of_fewer_users_is_refused_or_does_without_the_namespace() {
    if gofer_sys::process::user().0.0 != 0 {
        return eprintln!("SKIP: this is about root");
    }
    let (_dir, tree, socket) = place();
    let listen = format!("unix:{}", socket.display());
    let bound = "exec setpriv --bounding-set -setfcap \"$@\"";
    let words = ["serve", &tree, "--listen", &listen, "--print-sandbox=json", "--sandbox"];
    let (code, said) = failure(&run_in(bound, &[&words[..], &["full"]].concat()));
    assert!(code == 3 && said.contains("all users and groups") && said.contains("CAP_SETFCAP"), "{said}");
    let auto = run_in(bound, &[&words[..], &["auto"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&auto.stdout).unwrap();
    assert_eq!(report["namespaces"][0], "mnt", "{report}");
    assert!(report["weaker_because"][0].to_string().contains("all users and groups"), "{report}");
}

/// Why an ordinary user with subordinate users cannot be acted here.
fn no_subordinates() -> Option<&'static str> {
    if gofer_sys::process::user().0.0 != 0 {
        return Some("only root can act as another user");
    }
    let files = ["/etc/subuid", "/etc/subgid", "/usr/bin/newuidmap", "/usr/bin/newgidmap"];
    files
        .iter()
        .any(|file| !Path::new(file).exists())
        .then_some("newuidmap is missing: apt-get install uidmap")
}

/// `gofer` as nobody, to whom 100000 and more belong, for `start_with` and `run_in`.
const NOBODY: &str = "unshare -m sh -c 'mount --bind /tmp/SUB /etc/subuid && mount --bind /tmp/SUB /etc/subgid && \
                      exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"' sh \"$@\"";

#[test]
fn files_of_subordinate_users_are_served_where_they_are_mapped() {
    if let Some(why) = no_subordinates() {
        return eprintln!("SKIP: {why}");
    }
    let (dir, tree, socket) = place();
    let subordinates = dir.path().join("subordinates");
    fs::write(&subordinates, "65534:100000:65536\n").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&tree, Permissions::from_mode(0o700)).unwrap();
    chown(&tree, Some(100_001), Some(100_001)).unwrap();
    let nobody = NOBODY.replace("/tmp/SUB", subordinates.to_str().unwrap());
    let (export, listen) = (format!("{tree}:rw"), format!("unix:{}", socket.display()));

    let start = |words: &[&str]| {
        let words = [&[&export, "--listen", &listen], words].concat();
        let server = Server::start_with(&words, None, &format!("set -- {nobody};"), &[]);
        let mut peer = Peer::at(&socket);
        peer.attach("/").unwrap();
        (server, peer.mkdir("new"))
    };
    let (mut server, made) = start(&["--map-users", "100000:65536"]);
    assert_eq!(made, Ok(()));
    let map = fs::read_to_string(server.sealed().join("uid_map")).unwrap();
    let map: Vec<_> = map.split_ascii_whitespace().collect();
    assert_eq!(map, ["65534", "65534", "1", "100000", "100000", "65536"]);
    server.signal("TERM");
    assert_eq!(server.end().0, 0);
    let (_server, made) = start(&[]);
    assert_eq!(made, Err(13), "EACCES: without them it is a stranger's directory");

    let words = ["serve", &export, "--listen", "unix:/nowhere", "--print-sandbox", "--map-users"];
    let refused =
        |surroundings: &str, range| failure(&run_in(surroundings, &[&words[..], &[range]].concat()));
    let (code, said) = refused(&nobody, "1:10");
    assert!(
        code == 3 && said.contains("10 users and groups from 1 on") && said.contains("/etc/subuid"),
        "{said}"
    );
    let (code, said) = refused(&nobody.replace("\"$@\"'", "env PATH=/nowhere \"$@\"'"), "100000:10");
    assert!(code == 3 && said.contains("package uidmap"), "{said}");
}
