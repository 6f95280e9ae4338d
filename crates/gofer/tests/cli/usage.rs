//! Wrong input, and what is generated from the definition of the command line.

use std::fs;

use crate::process::{failure, gofer, run};

#[test]
fn a_wrong_command_line_is_one_line_and_exit_code_2() {
    for (args, why) in [
        (&[][..], "no command"),
        (&["frob"], "'frob'"),
        (&["serve"], "nothing to serve"),
        (&["serve", "/", "--lsten", "x"], "'--listen'"),
        (&["serve", "/", "--listen", "udp:1:1"], "unix:PATH"),
        (&["serve", "/", "--listen", "tcp:0.0.0.0:0"], "--allow-remote"),
        (&["serve", "/", "--listen", "systemd"], "socket unit"),
        (&["frob", "--x"], "see 'gofer --help'"),
        (&["serve", "/", "--max-fids", "many"], "--max-fids"),
        (&["serve", "/", "--max-fids", "many"], "see 'gofer serve --help'"),
        (&["serve", "/", "--xattr", "some"], "verity"),
        (&["serve", "/:rw,ro"], "contradict"),
        (&["serve", "/srv/a", "/mnt/a"], "two exports"),
        (&["serve", "/", "--config", "/nope/gofer.toml"], "ENOENT"),
        (&["man", "a", "b"], "'b'"),
        (&["check"], "provided: <ADDR>; "),
    ] {
        let (code, said) = failure(&run(args));
        assert_eq!(code, 2, "{args:?}: {said}");
        assert!(said.contains(why) && said.contains("; "), "{args:?}: {said}");
    }
}

#[test]
fn the_environment_is_checked_and_comes_after_the_command_line() {
    let wrong = |args: &[&str]| {
        let vars = [("GOFER_LISTEN", "unix:/tmp/x udp:1:1"), ("GOFER_EXPORT", "/a:rw,ro /b")];
        failure(&gofer(args).envs(vars).output().unwrap())
    };
    assert!(wrong(&["serve"]).1.contains("\"/a:rw,ro\""));
    let (code, said) = wrong(&["serve", "/nope"]);
    assert!(code == 2 && said.contains("\"udp:1:1\""), "{said}");
    let (code, said) = wrong(&["serve", "/nope", "--listen", "unix:/nope/s"]);
    assert!(code == 3 && said.contains("/nope"), "{said}");
    let output = gofer(&["serve", "/"]).env("GOFER_ONCE", "perhaps").output().unwrap();
    let (code, said) = failure(&output);
    assert!(code == 2 && said.contains("--once"), "{said}");
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("g.toml");
    fs::write(&path, "once = true\nmax-fid = 5\n").unwrap();
    let (code, said) = failure(&run(&["serve", "/", "--config", path.to_str().unwrap()]));
    assert_eq!(code, 2);
    assert!(said.contains("line 2") && said.contains("`max-fid`"), "{said}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (args, what) in [
        (&["--version"][..], concat!("gofer ", env!("CARGO_PKG_VERSION"))),
        (&["--help"], "Exit codes:"),
        (&["serve", "--help"], "Exit codes:"),
        (&["serve", "-h"], "--host-sockets"),
    ] {
        let output = run(args);
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(String::from_utf8(output.stdout).unwrap().contains(what), "{args:?}");
    }
}

#[test]
fn completions_and_manual_pages_are_written() {
    let output = run(&["completions", "bash"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("--drain-seconds"));

    let output = run(&["man"]);
    assert!(output.status.success());
    assert!(output.stdout.windows(8).any(|bytes| bytes == b".TH gofe"));

    let dir = tempfile::tempdir().unwrap();
    assert!(run(&["man", dir.path().to_str().unwrap()]).status.success());
    for page in ["gofer.1", "gofer-serve.1", "gofer-completions.1", "gofer-man.1"] {
        assert!(dir.path().join(page).exists(), "{page}");
    }
    let (code, said) = failure(&run(&["man", "/nope"]));
    assert!(code == 1 && said.contains("ENOENT"), "{said}");
}
