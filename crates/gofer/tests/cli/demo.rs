//! `gofer demo`: what it says holds, and nothing is left of it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::process::{GOFER, failure, gofer, run_in};

/// What lies in the file that no client is to get (`demo/sample.rs`).
const SECRET: &str = "nobody outside is to read this";

/// The demonstration, with a directory of its own for temporary files.
fn demo(tmp: &Path) -> Command {
    let mut command = gofer(&["demo"]);
    command.env("TMPDIR", tmp);
    command
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

/// What it said, which is made for a terminal of 80 columns.
fn said(output: &Output) -> String {
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    for line in said.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!said.contains(SECRET) && !said.contains('\x1b'), "{said}");
    said
}

/// The lines of a part, by the start of its heading.
fn part<'s>(said: &'s str, heading: &str) -> Vec<&'s str> {
    let lines = said.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let lines: Vec<_> = lines.take_while(|line| line.starts_with("   ")).collect();
    assert!(!lines.is_empty(), "{heading}: {said}");
    lines
}

#[test]
fn every_attack_is_blocked_and_nothing_is_left() {
    let tmp = tempfile::tempdir().unwrap();
    let said = said(&demo(tmp.path()).output().unwrap());
    assert!(is_empty(tmp.path()));
    let attacks = part(&said, "What a hostile client gets");
    let rows: Vec<_> = attacks.iter().filter(|line| line.contains('✓') || line.contains('✗')).collect();
    assert!(rows.len() >= 15, "{said}");
    for row in rows {
        let (_, answer) = row.split_once(" blocked  ").unwrap_or_else(|| panic!("{row}"));
        assert!(row.contains('✓') && (answer.starts_with('E') || answer == "cut off"), "{row}");
    }
    let tree = part(&said, "What a client sees").join("\n");
    assert!(tree.contains("stolen -> ../secret.txt") && tree.contains("README.txt"), "{tree}");
    let speed = part(&said, "How fast").join("\n");
    for way in ["socket", "shared memory", "donated descriptor", "no server"] {
        assert_eq!(speed.matches(way).count(), 2, "{way}: {speed}");
    }
    assert!(!speed.contains("refused"), "{speed}");
    assert!(said.trim_end().lines().rev().any(|line| line.ends_with(&format!("{GOFER} serve ."))), "{said}");
}

/// What does not hold is said, and what holds is all there is to rely on.
#[test]
fn a_weaker_sandbox_is_called_that() {
    let tmp = tempfile::tempdir().unwrap();
    let no_mounts = format!(
        "export TMPDIR={}; unshare -r sh -c 'echo 0 >/proc/sys/user/max_mnt_namespaces; exec \"$@\"' sh \"$@\"",
        tmp.path().display()
    );
    let said = said(&run_in(&no_mounts, &["demo"]));
    let layers = part(&said, "A server of that directory").join("\n");
    assert!(layers.contains("✗ namespaces") && layers.contains("Not here: "), "{layers}");
    assert!(layers.contains("✓ Landlock") && !layers.contains("All layers hold"), "{layers}");
}

#[test]
fn a_signal_ends_it_without_a_trace() {
    for signal in ["INT", "TERM", "HUP"] {
        let tmp = tempfile::tempdir().unwrap();
        let child = demo(tmp.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while is_empty(tmp.path()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let pid = child.id().to_string();
        let script = "kill -s \"$1\" \"$2\"";
        assert!(Command::new("/bin/sh").args(["-c", script, "sh", signal, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), None);
        let (code, said) = failure(&output);
        assert!(code == 1 && said.contains("; nothing is left"), "{said}");
        assert!(is_empty(tmp.path()), "{signal}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let (code, said) = failure(&demo(Path::new("/nope")).output().unwrap());
    assert!(code == 3 && said.contains("/nope") && said.contains("TMPDIR"), "{said}");
}
