//! A version of Landlock's interface without all rights is told of, or refused by name. The example seals a process with it.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::process::Command;

/// The exit code and what is said.
fn seal(strength: &str, abi: &str, rights: &str) -> (Option<i32>, String) {
    seal_in("exec \"$@\"", strength, abi, rights)
}

/// The same in what a shell script makes of the surroundings.
fn seal_in(surroundings: &str, strength: &str, abi: &str, rights: &str) -> (Option<i32>, String) {
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().with_file_name("examples").join("weaker");
    assert!(example.exists(), "cargo build -p gofer-jail --example weaker");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", surroundings, "sh"]).arg(example).args([strength, abi, rights]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

#[test]
fn what_is_not_restricted_is_said_by_name() {
    let all = ["shortening files", "TCP ports", "requests to devices", "abstract sockets and signals"];
    for (abi, missing) in [("2", &all[..]), ("3", &all[1..]), ("4", &all[2..]), ("5", &all[3..])] {
        for strength in ["full", "landlock"] {
            let (code, said) = seal(strength, abi, "rw");
            assert_eq!(code, Some(3), "{strength} {abi}: {said}");
            assert!(said.contains("say --sandbox auto"), "{said}");
            // Whatever this system lacks before it comes to Landlock is as good a reason for `full`.
            assert!(!said.contains("(landlock)") || missing.iter().all(|part| said.contains(part)), "{said}");
        }
        let (code, said) = seal("auto", abi, "rw");
        assert_eq!(code, Some(0), "{said}");
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("weaker: ")).collect();
        assert!(lines.iter().any(|line| missing.iter().all(|part| line.contains(part))), "{said}");
        assert!(all.iter().all(|part| missing.contains(part) || !said.contains(part)), "{said}");
        assert!(said.contains(&format!("landlock Some({abi})")), "{said}");
        assert!(!said.contains("--sandbox auto"), "that is what was said: {said}");
    }
}

/// Who had said `auto`, or nothing, was told to say `auto`.
#[test]
fn where_neither_namespaces_nor_landlock_can_be_had_it_is_said_of_both() {
    let without = "unshare -r sh -c 'echo 0 >/proc/sys/user/max_user_namespaces; \
                   exec setpriv --bounding-set -all --inh-caps -all \"$@\"' sh \"$@\"";
    let (code, said) = seal_in(without, "auto", "1", "rw");
    assert!(code == Some(3) && said.contains("Linux 5.19") && said.contains("of namespaces"), "{said}");
    assert!(!said.contains("--sandbox auto"), "{said}");
}

#[test]
fn an_export_that_can_be_changed_needs_the_right_to_move_files() {
    let (code, said) = seal("landlock", "1", "rw");
    assert!(code == Some(3) && said.contains("Linux 5.19"), "{said}");
    let (code, said) = seal("auto", "1", "ro");
    assert!(code == Some(0) && said.contains("landlock Some(1)"), "{said}");
}
