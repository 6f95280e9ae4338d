//! `gofer runsc-install`: a runsc that starts this gofer.
//!
//! Three files in a directory: a copy of runsc that starts the second in place of itself ([`elf`](super::elf)), a copy of this
//! program, and a link to the original, to which this program passes on what is not for a gofer.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueHint;
use gofer_sys::process;
use gofer_vfs::Uid;

use super::{ORIGINAL, elf};
use crate::bench::{Own, Scratch};
use crate::report::{self, Failure};
use crate::signals;

/// The copy of runsc.
const RUNSC: &str = "runsc";
/// The copy of this program.
const GOFER: &str = "gofer";
/// How long a container may take that does nothing: the first on a slow machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the debug log of a gofer of ours says of itself first.
pub(crate) const BANNER: &str = "gofer, in place of runsc's own";

/// The options of `gofer runsc-install`.
#[derive(clap::Args, Debug)]
pub(crate) struct Install {
    /// The runsc to copy; it stays as it is, and is used for all but the gofer.
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/runsc", value_hint = ValueHint::FilePath)]
    runsc: PathBuf,

    /// Where to put the copies: a directory that everybody can reach, and only its owner can write to.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,

    /// Run a container, and say what served it.
    #[arg(long)]
    check: bool,
}

/// Installs, says how it is used, and tries it.
pub(crate) fn run(install: &Install) -> Result<(), Failure> {
    let original = install
        .runsc
        .canonicalize()
        .map_err(|error| cannot("copy", &install.runsc, &error, "check --runsc"))?;
    if !original.is_file() {
        return Err(Failure::start(format!("{original:?} is no regular file; check --runsc")));
    }
    let own = std::env::current_exe()
        .map_err(|error| cannot("find", Path::new("this program"), &error, "try again"))?;
    fs::create_dir_all(&install.out)
        .map_err(|error| cannot("make", &install.out, &error, "choose another --out"))?;
    let out =
        install.out.canonicalize().map_err(|error| cannot("find", &install.out, &error, "check --out"))?;
    for path in [&original, &out] {
        reachable(path)?;
    }
    owned(&out)?;
    if [RUNSC, GOFER, ORIGINAL].iter().any(|name| out.join(name) == original) {
        return Err(Failure::start(format!("{original:?} would be replaced; choose another --out")));
    }
    let gofer = out.join(GOFER);
    let mut program =
        fs::read(&original).map_err(|error| cannot("read", &original, &error, "check --runsc"))?;
    elf::redirect(&mut program, gofer.as_os_str().as_bytes()).map_err(|why| {
        Failure::start(format!(
            "cannot copy {original:?}: {why}; build runsc with another path (docs/runsc.md)"
        ))
    })?;
    let own = fs::read(&own).map_err(|error| cannot("read", &own, &error, "let this user read it"))?;
    write(&gofer, &own)?;
    link(&original, &out.join(ORIGINAL))?;
    // Last: what it starts is there.
    write(&out.join(RUNSC), &program)?;
    File::open(&out)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| cannot("write", &out, &error, "choose another --out"))?;
    report::print(usage(&out, &original).as_bytes())?;
    if !install.check {
        return Ok(());
    }
    let stop = signals::noted().map_err(|error| {
        Failure::start(format!("cannot take signals: {}; try again", report::errno(&error)))
    })?;
    check(&out, PATIENCE, &stop)
}

fn cannot(what: &str, path: &Path, error: &io::Error, fix: &str) -> Failure {
    Failure::start(format!("cannot {what} {path:?}: {}; {fix}", report::errno(error)))
}

/// The sandbox, which is started through these files, is nobody: it must be able to run them.
fn reachable(path: &Path) -> Result<(), Failure> {
    for part in path.ancestors() {
        let mode =
            fs::metadata(part).map_err(|error| cannot("look at", part, &error, "check the path"))?.mode();
        if mode & 0o001 == 0 {
            return Err(Failure::start(format!(
                "{part:?} is closed to others (mode {:o}), and a sandbox runs as nobody; choose another place, or open it: \
                 chmod o+x",
                mode & 0o7777
            )));
        }
    }
    Ok(())
}

/// Whoever may write to the directory, or put another in its place, has what is run as the user who starts containers.
fn owned(out: &Path) -> Result<(), Failure> {
    /// In such a directory others may write, but not move what is not theirs (`inode(7)`).
    const STICKY: u32 = 0o1000;
    let (user, _) = process::user();
    for part in out.ancestors() {
        let found = fs::metadata(part).map_err(|error| cannot("look at", part, &error, "check --out"))?;
        let is_shared = found.mode() & 0o022 != 0 && (part == out || found.mode() & STICKY == 0);
        if is_shared || (found.uid() != user.0 && found.uid() != 0) {
            return Err(Failure::start(format!(
                "others may write to {part:?}; choose a directory that is yours alone, or close it to them: chmod go-w"
            )));
        }
    }
    Ok(())
}

/// Writes a program, which is on disk before it has its name.
fn write(path: &Path, program: &[u8]) -> Result<(), Failure> {
    put(path, |new| {
        let mut file = File::create_new(new)?;
        file.write_all(program)?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        file.sync_all()
    })
}

fn link(original: &Path, at: &Path) -> Result<(), Failure> {
    put(at, |new| symlink(original, new))
}

/// Makes something, and then puts it at a path. What was there, and may be running, stays what it is; where nothing new
/// comes of it, it also stays there.
fn put(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Failure> {
    let new = path.with_extension("new");
    // Left over from an attempt that was ended.
    let _ = fs::remove_file(&new);
    make(&new).and_then(|()| fs::rename(&new, path)).map_err(|error| {
        // It may be what there was no more room for.
        let _ = fs::remove_file(&new);
        cannot("write", path, &error, "choose another --out")
    })
}

/// What is there, and how a container manager is told to use it.
fn usage(out: &Path, original: &Path) -> String {
    let runsc = out.join(RUNSC);
    format!(
        "{} starts {} as its gofer, and {} for all else.

Docker, in /etc/docker/daemon.json:
  {{\"runtimes\": {{\"runsc\": {{\"path\": {:?}}}}}}}

containerd, in /etc/containerd/config.toml:
  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runsc]
    runtime_type = \"io.containerd.runsc.v1\"
  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runsc.options]
    TypeUrl = \"io.containerd.runsc.v1.options\"
    ConfigPath = \"/etc/containerd/runsc.toml\"
and in /etc/containerd/runsc.toml:
  binary_name = {:?}

After an update of runsc or gofer, install again.
",
        runsc.display(),
        out.join(GOFER).display(),
        original.display(),
        runsc,
        runsc,
    )
}

/// Runs a container, and says what served it.
fn check(out: &Path, limit: Duration, stop: &AtomicBool) -> Result<(), Failure> {
    let runsc = out.join(RUNSC);
    let scratch = Scratch::new("runsc")?;
    let log = scratch.path().join("log");
    let start = Instant::now();
    let mut command = Command::new(&runsc);
    command.arg(with("--root=", &scratch.path().join("state"))).arg(with("--debug-log=", &log.join("")));
    command.args(["--network=none", "--ignore-cgroups"]);
    if process::user().0 != Uid(0) {
        command.arg("--rootless");
    }
    // What it makes for the container, and leaves when it is ended.
    command.env("TMPDIR", scratch.path());
    command.args(["do", "/bin/sh", "-c", "echo served"]);
    let said = output(&mut command, scratch.path(), limit, stop)?;
    if !said.status.success() || said.stdout != b"served\n" {
        let why = String::from_utf8_lossy(&said.stderr);
        return Err(no_container(why.trim().replace('\n', ", ")));
    }
    let took = start.elapsed().as_secs_f64();
    let log = ours(&log).ok_or_else(|| {
        Failure::running(format!("a container ran, and not by {:?}; is {runsc:?} the copy?", out.join(GOFER)))
    })?;
    let mut text = format!("\nA container ran, in {took:.2} s. Its gofer said:\n");
    for line in log.lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {line}");
    }
    report::print(text.as_bytes())
}

fn with(flag: &str, path: &Path) -> std::ffi::OsString {
    let mut word = std::ffi::OsString::from(flag);
    word.push(path);
    word
}

fn no_container(why: impl std::fmt::Display) -> Failure {
    Failure::running(format!(
        "no container runs: {why}; see whether one runs with the original: runsc do true"
    ))
}

/// Runs a command to its end, or ends it: what it started ends with it, as runsc has it. What it says is kept in files
/// of a directory, for whoever it leaves behind would keep a pipe open.
fn output(command: &mut Command, dir: &Path, limit: Duration, stop: &AtomicBool) -> Result<Output, Failure> {
    /// How often to look for its end.
    const LOOK: Duration = Duration::from_millis(10);
    let [out, err] = ["out", "err"].map(|name| dir.join(name));
    let file = |path: &Path| {
        let file = File::options().create_new(true).append(true).open(path);
        file.map_err(|error| cannot("write", path, &error, "set TMPDIR to another directory"))
    };
    command.stdin(Stdio::null()).stdout(file(&out)?).stderr(file(&err)?);
    let start = Instant::now();
    let child = command.spawn();
    let failed = |error| cannot("start", Path::new(command.get_program()), &error, "check --runsc");
    let mut own = Own(child.map_err(failed)?);
    let status = loop {
        match own.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if stop.load(Ordering::Relaxed) => return Err(no_container("it was interrupted")),
            Ok(None) if start.elapsed() > limit => {
                return Err(no_container(format_args!("it took more than {limit:?}")));
            }
            Ok(None) => thread::sleep(LOOK),
            Err(error) => return Err(no_container(report::errno(&error))),
        }
    };
    let said = |path: &Path| fs::read(path).unwrap_or_default();
    Ok(Output { status, stdout: said(&out), stderr: said(&err) })
}

/// What the gofer wrote to a directory of logs, if it was ours.
fn ours(logs: &Path) -> Option<String> {
    let files = fs::read_dir(logs).ok()?.flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    texts.into_iter().find(|text| text.contains(BANNER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let message = reachable(dir.path()).unwrap_err().to_string();
        assert!(message.contains("closed to others") && message.contains("chmod o+x"), "{message}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let message = owned(dir.path()).unwrap_err().to_string();
        assert!(message.contains("others may write"), "{message}");
        // Whoever may write above it may put another in its place.
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        fs::set_permissions(&below, fs::Permissions::from_mode(0o755)).unwrap();
        let message = owned(&below).unwrap_err().to_string();
        assert!(message.contains("others may write") && message.contains("chmod"), "{message}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(owned(&below).is_ok(), "as in /tmp nobody else may move it");
    }

    #[test]
    fn the_original_is_not_written_over() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in [RUNSC, GOFER, ORIGINAL] {
            let at = dir.path().join(name);
            fs::write(&at, "the original").unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
            let install = Install { runsc: at, out: dir.path().to_owned(), check: false };
            let message = run(&install).unwrap_err().to_string();
            assert!(message.contains("would be replaced"), "{message}");
        }
    }

    #[test]
    fn what_is_installed_replaces_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("runsc");
        for program in [b"one", b"two"] {
            write(&at, program).unwrap();
            assert_eq!(fs::read(&at).unwrap(), program);
            assert_eq!(fs::metadata(&at).unwrap().mode() & 0o7777, 0o755);
        }
        let original = dir.path().join(ORIGINAL);
        for target in ["/usr/bin/runsc", "/usr/local/bin/runsc"] {
            link(Path::new(target), &original).unwrap();
            assert_eq!(fs::read_link(&original).unwrap(), Path::new(target));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left over");
    }

    /// As on a disk that is full.
    #[test]
    fn what_cannot_be_written_leaves_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("runsc");
        write(&at, b"one").unwrap();
        let full = put(&at, |new| {
            fs::write(new, "t")?;
            Err(io::Error::from_raw_os_error(gofer_vfs::Errno::ENOSPC.number().into()))
        });
        let message = full.unwrap_err().to_string();
        assert!(message.contains("ENOSPC") && message.contains("--out"), "{message}");
        assert_eq!(fs::read(&at).unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    }

    /// A container that hung was waited for without end.
    #[test]
    fn a_container_that_hangs_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (runsc, pid) = (dir.path().join(RUNSC), dir.path().join("pid"));
        let script = format!("#!/bin/sh\necho $$ >{}\nexec sleep 1000\n", pid.display());
        // Not from here: what another thread starts meanwhile would have it open to write, and it could not be run.
        let written = Command::new("/bin/sh")
            .args(["-c", "echo \"$1\" >\"$2\" && chmod +x \"$2\"", "sh", &script])
            .arg(&runsc)
            .status();
        assert!(written.unwrap().success());
        for (limit, stop, why) in
            [(PATIENCE, true, "interrupted"), (Duration::from_secs(1), false, "more than 1s")]
        {
            let message = check(dir.path(), limit, &AtomicBool::new(stop)).unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("runsc do true"), "{message}");
        }
        let process = Path::new("/proc").join(fs::read_to_string(&pid).unwrap().trim());
        assert!(!process.exists(), "{process:?}");
        let scratch = std::env::temp_dir().join(format!("gofer-runsc-{}", std::process::id()));
        assert!(!scratch.exists(), "nothing is left over");
    }

    #[test]
    fn what_cannot_be_copied_is_told() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let out = dir.path().join("out");
        let install = |runsc: &str| run(&Install { runsc: runsc.into(), out: out.clone(), check: false });
        let message = install("/bin/sh").unwrap_err().to_string();
        assert!(message.contains("sh\": it is ") && message.contains("; "), "{message}");
        let message = install("/nowhere").unwrap_err().to_string();
        assert!(message.contains("ENOENT"), "{message}");
        // There may be no end of it, or nobody who writes to it.
        let message = install("/dev/null").unwrap_err().to_string();
        assert!(message.contains("no regular file"), "{message}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "nothing is written before all is known");
    }
}
