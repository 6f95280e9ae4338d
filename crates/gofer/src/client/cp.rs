//! `gofer cp`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueHint;
use gofer_client::Client;
use gofer_localfs::LocalFs;
use gofer_vfs::{Backend, Errno, FileKind, Name, NameBuf};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::copy::{Copy, Source, stop_at_signals};
use super::{Complaints, PLACE_NOTES, Reach, Remote, Servers, parent, show};
use crate::report::{self, EXIT_CODES, Failure};

/// What is said below the options.
const NOTES: &str = "\
Copying:
Modes and times are kept, holes stay holes, symbolic links are copied as links. A file is written beside its \
target and renamed when it is whole; what an interrupted copy leaves says so in its name, and --continue goes on \
with it if the source is still the same. FIFOs, sockets and devices are not copied.";

/// The options of `gofer cp`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{NOTES}\n\n{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cp {
    /// What to copy, and last where to; local or remote, at either end.
    #[arg(value_name = "SOURCE.. TARGET", required = true, num_args = 2.., value_hint = ValueHint::AnyPath)]
    places: Vec<OsString>,

    /// Copy directories and what is in them.
    #[arg(short, long)]
    recursive: bool,

    /// Go on with what an interrupted copy left.
    #[arg(long = "continue")]
    resume: bool,

    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    reach: Reach,
}

/// A word of the command line.
enum Place {
    Remote(Remote),
    Local(PathBuf),
}

/// A directory, and what something is to be called in it if it is not to keep its name.
struct Target<B: Backend> {
    dir: Arc<B::Node>,
    name: Option<NameBuf>,
}

pub(crate) fn run(cp: &Cp) -> Result<(), Failure> {
    let mut places = cp.places.iter().map(|word| place(word)).collect::<Result<Vec<_>, _>>()?;
    let Some(target) = places.pop() else { return Err(Failure::usage("nothing to copy")) };
    let stop = stop_at_signals().map_err(|error| {
        Failure::start(format!("cannot take signals: {}; try again", report::errno(&error)))
    })?;
    let local = LocalFs::open(Path::new("/"))
        .map_err(|errno| Failure::start(format!("cannot use local files: {errno}; is /proc mounted?")))?;
    let bar = bar(cp.quiet);
    let complaints = Complaints::beside(bar.clone());
    let mut servers = Servers::for_data(&cp.reach);
    let job = Job { cp, local: &local, complaints: &complaints, bar: &bar, stop: &stop };
    match target {
        Place::Local(path) => {
            let target = local_target(&local, &path, places.len());
            let target =
                target.map_err(|errno| no_target(&show::quoted(path.as_os_str().as_bytes()), errno))?;
            job.copy_all(places, &mut servers, &local, &target)?;
        }
        Place::Remote(remote) => {
            let client = servers.client(&remote)?;
            let target = remote_target(&client, &remote, places.len());
            let target = target.map_err(|errno| no_target(&remote.to_string(), errno))?;
            job.copy_all(places, &mut servers, &*client, &target)?;
        }
    }
    bar.finish_and_clear();
    complaints.outcome()
}

fn no_target(shown: &str, errno: Errno) -> Failure {
    let hint = match errno {
        Errno::ENOTDIR => "several sources, and the contents of a tree, need a directory to go to",
        Errno::ENOENT => "make the directory first",
        _ => "choose another target",
    };
    Failure::start(format!("cannot copy to {shown}: {errno}; {hint}"))
}

fn place(word: &OsStr) -> Result<Place, Failure> {
    if Remote::is(word) {
        let parsed = Remote::parse(word);
        return parsed.map(Place::Remote).map_err(|why| Failure::usage(format!("{}: {why}", word.display())));
    }
    Ok(Place::Local(PathBuf::from(word)))
}

fn bar(quiet: bool) -> ProgressBar {
    const TEMPLATE: &str = "{bytes:>10} of {total_bytes} [{bar:30}] {bytes_per_sec}, {eta} left";
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// What a path leads to; symbolic links above its last name are followed, as everywhere on this machine.
fn local_find(fs: &LocalFs, path: &Path) -> Result<Source<LocalFs>, Errno> {
    let errno = |error: io::Error| report::errno(&error);
    let (dir, name) = match path.file_name() {
        Some(name) => {
            let above = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            (fs::canonicalize(above.unwrap_or(Path::new("."))).map_err(errno)?, Some(name))
        }
        // "/", "." or "..".
        None => (fs::canonicalize(path).map_err(errno)?, None),
    };
    let mut found = fs.attach()?;
    for step in dir.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|step| !step.is_empty()) {
        found = Backend::walk(fs, &found.0, Name::new(step)?)?;
    }
    let shown = show::quoted(path.as_os_str().as_bytes());
    let (node, attr) = found;
    let Some(name) = name else { return Ok(Source { node, attr, at: None, shown }) };
    let name = Name::new(name.as_bytes())?;
    let dir = Arc::new(node);
    let (node, attr) = Backend::walk(fs, &dir, name)?;
    Ok(Source { node, attr, at: Some((dir, name.into())), shown })
}

/// What a remote place is.
fn remote_find(client: &Client, remote: &Remote) -> Result<Source<Client>, Errno> {
    let (node, attr) = client.find(&remote.path)?;
    let at = match parent(client, &remote.path) {
        Ok((dir, name)) => Some((Arc::new(dir), name)),
        Err(Errno::EBUSY) => None,
        Err(errno) => return Err(errno),
    };
    Ok(Source { node, attr, at, shown: remote.to_string() })
}

/// Where a number of sources go on a server.
fn remote_target(client: &Client, remote: &Remote, sources: usize) -> Result<Target<Client>, Errno> {
    match client.find(&remote.path) {
        Ok((node, attr)) if attr.kind == FileKind::Directory => {
            Ok(Target { dir: Arc::new(node), name: None })
        }
        Ok(_) | Err(Errno::ENOENT) if sources > 1 || remote.path.ends_with(b"/") => Err(Errno::ENOTDIR),
        Ok(_) | Err(Errno::ENOENT) => {
            let (dir, name) = parent(client, &remote.path)?;
            Ok(Target { dir: Arc::new(dir), name: Some(name) })
        }
        Err(errno) => Err(errno),
    }
}

/// Where a number of sources go on this machine.
fn local_target(fs: &LocalFs, path: &Path, sources: usize) -> Result<Target<LocalFs>, Errno> {
    let canonical = |path: &Path| fs::canonicalize(path).map_err(|error| report::errno(&error));
    let ends_with_slash = path.as_os_str().as_bytes().ends_with(b"/");
    if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
        return Ok(Target { dir: Arc::new(local_find(fs, &canonical(path)?)?.node), name: None });
    }
    let name = path.file_name().filter(|_| sources == 1 && !ends_with_slash).ok_or(Errno::ENOTDIR)?;
    let above = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = local_find(fs, &canonical(above)?)?;
    if found.attr.kind != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    Ok(Target { dir: Arc::new(found.node), name: Some(Name::new(name.as_bytes())?.into()) })
}

/// What all copies of a command share.
struct Job<'j> {
    cp: &'j Cp,
    local: &'j LocalFs,
    complaints: &'j Complaints,
    bar: &'j ProgressBar,
    stop: &'j AtomicBool,
}

impl Job<'_> {
    /// Copies from everywhere to one tree: what comes from the same tree in one go.
    fn copy_all<B: Backend>(
        &self,
        places: Vec<Place>,
        servers: &mut Servers<'_>,
        to: &B,
        target: &Target<B>,
    ) -> Result<(), Failure> {
        let mut locals = Vec::new();
        let mut remotes: Vec<(Arc<Client>, Vec<Source<Client>>)> = Vec::new();
        let missing = |shown: &str, errno| self.complaints.add(format_args!("cannot copy {shown}"), errno);
        for place in places {
            match place {
                Place::Local(path) => match local_find(self.local, &path) {
                    Ok(source) => locals.push(source),
                    Err(errno) => missing(&show::quoted(path.as_os_str().as_bytes()), errno),
                },
                Place::Remote(remote) => {
                    let client = servers.client(&remote)?;
                    match remote_find(&client, &remote) {
                        Ok(source) => match remotes.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &client))
                        {
                            Some((_, sources)) => sources.push(source),
                            None => remotes.push((client, vec![source])),
                        },
                        Err(errno) => missing(&remote.to_string(), errno),
                    }
                }
            }
        }
        self.copy(self.local, to, locals, target);
        for (client, sources) in remotes {
            self.copy(&*client, to, sources, target);
        }
        Ok(())
    }

    fn copy<A: Backend, B: Backend>(&self, from: &A, to: &B, sources: Vec<Source<A>>, target: &Target<B>) {
        let flags = (self.cp.recursive, self.cp.resume);
        let mut copy = Copy::new((from, to), flags, self.complaints, self.bar, self.stop);
        for source in sources {
            let own = source.at.as_ref().map(|(_, name)| name.clone());
            let name = target.name.clone().or(own);
            copy.plan(source, &target.dir, name.as_ref());
        }
        copy.run();
    }
}
