//! `gofer mount`: from a directory or a server, by its backend, to a mount point, and back.
//!
//! Either way what is mounted is a client of a server: of a directory, of one that is started for it and sealed
//! ([`Own`]).

mod server;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use clap::{ValueEnum, ValueHint};
use gofer_fuse::Options;
use gofer_server::Limits;
use gofer_sys::{process, task};
use gofer_vfs::{Backend, Errno, IdMap, XattrPolicy};

use crate::args::{LogFormat, LogLevel, Sandbox, Xattr};
use crate::export::Export;
use crate::report::{self, EXIT_CODES, Failure};
use crate::{client, log, signals};

use server::Own;

/// What is said below the options.
const NOTES: &str = "\
Permissions are checked by the kernel with the owners, modes and access control lists of the directory's files. \
Only the user who mounts may use the mount, unless --allow-other is given (an ordinary user needs user_allow_other \
in /etc/fuse.conf for it). Set-id programs and devices have no effect on it.

Ordinary users mount by fusermount3, of Debian's package fuse3. For root the kernel reads and writes regular files \
by itself, without asking this program (Linux 6.9 and later).

TERM and INT unmount. Programs that still use the mount go on, until the last has closed its files or a second \
signal comes.";

/// The options of `gofer mount`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Mount {
    /// Directory to mount, read-only unless :rw (options are rw, ro and devices), or a place on a server.
    ///
    /// A place is ADDR[/EXPORT][:PATH], with unix:SOCKET, tcp:HOST:PORT, vsock:CID:PORT or fd:N for ADDR. What may be
    /// changed there is the server's to say.
    #[arg(value_name = "DIR[:OPTION,..] or ADDR[/EXPORT][:PATH]", value_hint = ValueHint::AnyPath)]
    source: OsString,

    /// Where to mount it: an empty directory.
    #[arg(value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    at: PathBuf,

    /// What the kernel may remember.
    #[arg(long, value_name = "POLICY", default_value = "revalidate")]
    cache: Cache,

    /// Let other users use it, too.
    #[arg(long)]
    allow_other: bool,

    /// Extended attributes that programs reach.
    #[arg(long, value_name = "POLICY", default_value = "user")]
    xattr: Xattr,

    /// Answer every read and write here, instead of handing files to the kernel.
    #[arg(long)]
    no_passthrough: bool,

    /// What the server of a directory, which is started for the mount, gives up before it takes a request.
    #[arg(long, value_name = "STRENGTH", default_value = "auto")]
    sandbox: Sandbox,

    /// Shared-memory channels to the server, where it has them; 0 for none.
    #[arg(long, value_name = "N", default_value = "2")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=64))]
    channels: u8,

    /// Requests to answer at the same time.
    #[arg(long, value_name = "N", default_value = "8")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// Return when it is mounted, and go on in the background. The log is lost, unless it goes to a file.
    #[arg(long)]
    daemon: bool,

    /// Once it is mounted, write one line with the mount point to descriptor N and close it.
    #[arg(long, value_name = "N")]
    ready_fd: Option<u32>,

    /// What is logged.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,

    /// How it is logged, on standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// This is the background: say "ready" on standard output, then leave the terminal.
    #[arg(long, hide = true)]
    background: bool,
}

/// What the kernel may remember of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cache {
    /// Nothing: what others change is seen at once.
    None,
    /// Names and attributes for a second; content unless it changed.
    Revalidate,
    /// Everything: nobody else changes the directory meanwhile.
    Exclusive,
}

/// Descriptors that are enough for any tree: each file the kernel knows is one of the server's, as long as it has some
/// left. The kernel has no more by default.
const DESCRIPTORS: u64 = 1 << 20;

/// Files of a directory that the kernel may know. Of those beyond its descriptors the server knows the name.
const KNOWN: usize = 1 << 18;

/// What the process in the background says when the mount is there.
const READY: &str = "ready";

/// Mounts what was asked for and serves it until it is unmounted.
pub(crate) fn run(mount: &Mount) -> Result<(), Failure> {
    let ready = mount.ready_fd.map(ready).transpose()?;
    if mount.daemon {
        return daemon(mount, ready);
    }
    task::raise_nofile_to(DESCRIPTORS).map_err(|errno| {
        Failure::start(format!("cannot raise the limit of open files: {errno}; see ulimit -Hn"))
    })?;
    log::start(mount.log_level, mount.log_format);
    process::clear_umask();
    if let Some(remote) = client::tree(&mount.source, mount.channels.into()) {
        let source = Source {
            name: mount.source.display().to_string(),
            // What may be changed is the server's to say.
            writable: true,
            devices: true,
            // Each is a fid. The rest are for files that are open.
            known: Limits::default().fids / 4 * 3,
        };
        let options = options(mount, source);
        return serve(remote?, mount, &options, ready);
    }
    let export = source(&mount.source)?;
    let real = directory(&export, &mount.at)?;
    let source = Source {
        name: export.path.display().to_string(),
        writable: export.writable,
        devices: export.devices,
        known: KNOWN,
    };
    let options = options(mount, source);
    let (own, client) = Own::start(&export, &real, mount, options.known)?;
    let served = serve(client, mount, &options, ready);
    own.end();
    served
}

/// What is mounted, whatever it is.
struct Source {
    /// As it was written.
    name: String,
    writable: bool,
    devices: bool,
    /// Files that the kernel may know.
    known: usize,
}

/// A directory as it was written. What is said of an export there, and means nothing for a mount, was not meant.
fn source(typed: &OsStr) -> Result<Export, Failure> {
    let export = Export::parse(typed)?;
    let refuse = |why: &str, fix: &str| Err(Failure::usage(format!("cannot mount {typed:?}: {why}; {fix}")));
    if export.name.is_some() {
        return refuse("what stands before its '=' is no part of a path", "write ./ before it if it is one");
    }
    if export.fifos || export.strict {
        return refuse("fifos and strict mean nothing here", "the options of a mount are rw, ro and devices");
    }
    Ok(export)
}

/// The directory, without symbolic links.
fn directory(export: &Export, at: &Path) -> Result<PathBuf, Failure> {
    let cannot = |why: &str| Failure::start(format!("cannot mount {:?}: {why}", export.path));
    let real = export.path.canonicalize().map_err(|error| {
        cannot(&format!(
            "{}; check the path (options behind the last ':' are rw, ro and devices)",
            report::errno(&error)
        ))
    })?;
    // Serving the mount point would be asking oneself, and waiting for the answer.
    if at.canonicalize().is_ok_and(|at| at.starts_with(&real)) {
        return Err(cannot("the mount point is inside it; mount it elsewhere"));
    }
    // The server follows no link on its way to what it serves.
    if real.is_dir() { Ok(real) } else { Err(Failure::start(gofer_fuse::Error::Tree(Errno::ENOTDIR))) }
}

fn options(mount: &Mount, source: Source) -> Options {
    let (user, group) = process::user();
    Options {
        source: source.name,
        cache: match mount.cache {
            Cache::None => gofer_fuse::Cache::None,
            Cache::Revalidate => gofer_fuse::Cache::Revalidate,
            Cache::Exclusive => gofer_fuse::Cache::Exclusive,
        },
        read_only: !source.writable,
        others: mount.allow_other,
        xattr: match mount.xattr {
            Xattr::None => XattrPolicy::None,
            Xattr::Verity => XattrPolicy::Verity,
            Xattr::User => XattrPolicy::User,
            Xattr::All => XattrPolicy::All,
        },
        ids: if process::has_cap_chown() { IdMap::Identity } else { IdMap::Squash(user, group) },
        devices: source.devices,
        passthrough: !mount.no_passthrough,
        threads: usize::from(mount.threads),
        known: source.known.min(Options::default().known),
    }
}

/// Mounts any backend, and waits for the end.
fn serve<B: Backend>(
    backend: B,
    mount: &Mount,
    options: &Options,
    ready: Option<File>,
) -> Result<(), Failure> {
    let mounted = Arc::new(gofer_fuse::mount(backend, &mount.at, options).map_err(Failure::start)?);
    let unmount = {
        let mounted = mounted.clone();
        move || match mounted.unmount() {
            Ok(false) => {}
            Ok(true) => tracing::info!(
                "{:?} is unmounted but still used; a second signal ends its users' files at once",
                mounted.at()
            ),
            Err(error) => tracing::error!("{error}"),
        }
    };
    signals::take().and_then(|signals| signals::watch(signals, unmount)).map_err(|error| {
        Failure::start(format!("cannot take signals: {}; try again", report::errno(&error)))
    })?;
    tracing::info!("{} is mounted at {:?}", options.source, mounted.at());
    if let Some(ready) = ready {
        tell(ready, mounted.at())?;
    }
    if mount.background {
        report::print(format!("{READY}\n").as_bytes())?;
        task::detach()
            .map_err(|errno| Failure::running(format!("cannot leave the terminal: {errno}; try again")))?;
    }
    mounted.wait();
    tracing::info!("{:?} is unmounted", mounted.at());
    Ok(())
}

fn ready(number: u32) -> Result<File, Failure> {
    let refused = |errno| {
        format!("--ready-fd {number}: {errno}; the process that mounts must be started with that descriptor")
    };
    process::inherited(number).map(File::from).map_err(|errno| Failure::start(refused(errno)))
}

/// Writes the line that somebody waits for.
fn tell(mut ready: File, at: &Path) -> Result<(), Failure> {
    ready.write_all(format!("{}\n", at.display()).as_bytes()).map_err(|error| {
        let errno = report::errno(&error);
        Failure::start(format!("--ready-fd: cannot write to it: {errno}; keep its other end open"))
    })
}

/// Starts this program again, in the background, and returns when that has mounted.
fn daemon(mount: &Mount, ready: Option<File>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::start(format!("cannot start the background process: {}; try again", report::errno(&error)))
    };
    let words = std::env::args_os().skip(1).filter(|word| word != "--daemon");
    let mut given = Vec::new();
    let mut is_number = false;
    for word in words {
        // The descriptor stays with this process, which tells when the other is ready.
        let text = word.to_string_lossy();
        if std::mem::take(&mut is_number) || text.starts_with("--ready-fd=") {
            continue;
        }
        is_number = text == "--ready-fd";
        if !is_number {
            given.push(word);
        }
    }
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg(given.remove(0))
        .arg("--background")
        .args(given)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    let said =
        child.stdout.take().map(BufReader::new).is_some_and(|mut said| said.read_line(&mut line).is_ok());
    if said && line.trim_end() == READY {
        let at = mount.at.canonicalize().unwrap_or_else(|_| mount.at.clone());
        return ready.map_or(Ok(()), |ready| tell(ready, &at));
    }
    // It has said why, and its code is ours.
    let status = child.wait().map_err(failed)?;
    std::process::exit(status.code().unwrap_or(1));
}
