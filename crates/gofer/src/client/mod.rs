//! The commands that use a server: `ls`, `tree`, `stat`, `cat`, `cp`, `mkdir`, `rm`, `df`.
//!
//! | file | holds |
//! |---|---|
//! | `place.rs` | what a remote file is called |
//! | `show.rs` | how names, modes, sizes and times look |
//! | `copy.rs` | copying between any two trees |
//! | the others | one command each |

mod cat;
mod copy;
mod cp;
mod df;
mod ls;
mod mkdir;
mod place;
mod rm;
mod show;
mod stat;
mod tree;

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use gofer_client::{Client, Dialect, Error, Node, Options};
use gofer_transport::Address;
use gofer_vfs::{AccessMode, Attr, Backend, EntryName, Errno, Name, NameBuf, OpenFlags};
use indicatif::ProgressBar;

use crate::report::Failure;

use place::{PLACE_NOTES, Remote};
pub(crate) use show::coloured;
pub(crate) use tree::draw;

/// A command that uses a server.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// List files on a server.
    Ls(ls::Ls),
    /// Show directories on a server, and all below them, as a tree.
    Tree(tree::Tree),
    /// Show all that is known of files on a server.
    Stat(stat::Stat),
    /// Print files on a server.
    Cat(cat::Cat),
    /// Copy files to, from and between servers.
    Cp(cp::Cp),
    /// Make directories on a server.
    Mkdir(mkdir::Mkdir),
    /// Remove files on a server.
    Rm(rm::Rm),
    /// Show how much room there is on a server.
    Df(df::Df),
}

/// Does what a command says.
///
/// # Errors
/// [`Failure`], whose code says whether all of it failed or some.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Ls(ls) => ls::run(ls),
        Command::Tree(tree) => tree::run(tree),
        Command::Stat(stat) => stat::run(stat),
        Command::Cat(cat) => cat::run(cat),
        Command::Cp(cp) => cp::run(cp),
        Command::Mkdir(mkdir) => mkdir::run(mkdir),
        Command::Rm(rm) => rm::run(rm),
        Command::Df(df) => df::run(df),
    }
}

/// The most entries of a directory that are believed.
const ENTRIES: usize = 1 << 22;

/// How many directories are gone down at most: as deep as paths lead on Linux (4096 bytes). A server that has a
/// directory in every directory has no end of them.
const DEEPEST: usize = 2048;

/// Requests that a command has in flight at a time.
const AT_ONCE: usize = 16;

/// How servers are spoken to; the same for all commands.
#[derive(clap::Args, Debug)]
pub(crate) struct Reach {
    /// Give up on a server that has not answered for this long; 0 waits for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    /// The user to act as, for servers that check [default: the one who runs this].
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
}

impl Reach {
    fn options(&self, export: &str, dialect: Option<Dialect>) -> Options {
        let user = self.user.unwrap_or_else(|| gofer_sys::process::user().0.0);
        let timeout = (self.timeout > 0).then(|| Duration::from_secs(self.timeout));
        Options {
            export: export.to_owned(),
            user: Some(user),
            dialect,
            timeout,
            // Commands are over soon, and have many requests in flight.
            channels: 0,
            ..Options::default()
        }
    }
}

/// The tree of a server at the end of a word, to be served in turn, by a client with so many channels; `None` for a
/// word that is a local file.
///
/// # Errors
/// [`Failure`] for a word that is no place, and those of connecting.
pub(crate) fn tree(word: &OsStr, channels: usize) -> Option<Result<Client, Failure>> {
    Remote::is(word).then(|| {
        let remote = Remote::parse(word).map_err(|why| Failure::usage(format!("{word:?}: {why}")))?;
        let path = String::from_utf8(remote.path.clone());
        let path = path.map_err(|_| Failure::usage(format!("{word:?}: a path to mount is UTF-8")))?;
        let export = match path.trim_matches('/') {
            "" => remote.export.clone(),
            path => format!("{}/{path}", remote.export.trim_end_matches('/')),
        };
        let reach = Reach { timeout: 60, user: None };
        // Everything that a tree can hold is to be seen.
        let options = reach.options(&export, Some(Dialect::Base));
        connect(&remote, &Options { channels, ..options })
    })
}

fn connect(remote: &Remote, options: &Options) -> Result<Client, Failure> {
    Client::connect(&remote.address, options).map_err(|error| match error {
        Error::Transport(error) => Failure::start(error),
        error => Failure::start(format!("{}: {error}", remote.address)),
    })
}

/// Servers that were connected to, once each.
struct Servers<'r> {
    reach: &'r Reach,
    /// `None` is the client's choice.
    dialect: Option<Dialect>,
    clients: Vec<(Address, String, Arc<Client>)>,
}

impl<'r> Servers<'r> {
    /// Everything that a tree can hold is to be seen.
    fn new(reach: &'r Reach) -> Self {
        Self { reach, dialect: Some(Dialect::Base), clients: Vec::new() }
    }

    /// Regular files are to be read and written at their best.
    fn for_data(reach: &'r Reach) -> Self {
        Self { dialect: None, ..Self::new(reach) }
    }

    fn client(&mut self, remote: &Remote) -> Result<Arc<Client>, Failure> {
        let known = |(address, export, _): &&(Address, String, Arc<Client>)| {
            *address == remote.address && *export == remote.export
        };
        if let Some((_, _, client)) = self.clients.iter().find(known) {
            return Ok(Arc::clone(client));
        }
        let options = self.reach.options(&remote.export, self.dialect);
        let client = Arc::new(connect(remote, &options)?);
        self.clients.push((remote.address.clone(), remote.export.clone(), Arc::clone(&client)));
        Ok(client)
    }
}

/// What of a command failed, told as it happens.
#[derive(Default)]
struct Complaints {
    failed: AtomicUsize,
    done: AtomicUsize,
    /// What is on the screen, and has to make room.
    bar: Option<ProgressBar>,
}

impl Complaints {
    fn beside(bar: ProgressBar) -> Self {
        Self { bar: Some(bar), ..Self::default() }
    }

    /// Something was done.
    fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Something could not be done.
    fn add(&self, what: impl Display, errno: Errno) {
        self.say(format_args!("{what}: {errno}{}", hint(errno)));
    }

    fn say(&self, message: impl Display) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.note(message);
    }

    /// Says something that is no failure by itself.
    fn note(&self, message: impl Display) {
        // There is nobody to tell when standard error is closed.
        let write = || drop(writeln!(std::io::stderr(), "gofer: {message}"));
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// What the command comes to.
    fn outcome(&self) -> Result<(), Failure> {
        match (self.failed.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed)) {
            (0, _) => Ok(()),
            (_, done) => Err(Failure::told(done > 0)),
        }
    }
}

/// What to do about an errno, where that can be said.
fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EROFS => "; the export is read-only: the server has to serve it with :rw",
        Errno::ECONNRESET | Errno::EPIPE => "; the connection is gone: is the server still running?",
        Errno::ENOSPC | Errno::EDQUOT => "; make room where it goes to",
        Errno::ETIMEDOUT => "; the server does not answer: try again, or with a longer --timeout",
        Errno::EOVERFLOW => "; it lists more entries than any directory has that was meant to be listed",
        Errno::ENAMETOOLONG => "; the name is too long, or the directories too deep",
        Errno::EIO => "; the server's disk, or what it says, is not to be trusted: see its log",
        _ => "",
    }
}

/// The entries of a directory but `.` and `..`, by name. A server may list without end, which is to have one here.
///
/// # Errors
/// Those of reading; `EOVERFLOW` for more than [`ENTRIES`], `EIO` when the listing comes to a place where it was before.
fn entries<B: Backend>(backend: &B, dir: &B::Node) -> Result<Vec<NameBuf>, Errno> {
    let file = backend.open(dir, OpenFlags { directory: true, ..OpenFlags::new(AccessMode::Read) })?;
    let (mut names, mut cookie) = (Vec::new(), 0);
    // Brent's: a place is remembered twice as long each time, and so the circle is shorter than that some time.
    let (mut been, mut since, mut until) = (0, 0u32, 1u32);
    loop {
        let before = cookie;
        backend.readdir(&file, cookie, usize::MAX, &mut |entry| {
            cookie = entry.cookie;
            if let EntryName::Child(name) = entry.name {
                names.push(NameBuf::from(name));
            }
            names.len() <= ENTRIES
        })?;
        if names.len() > ENTRIES {
            return Err(Errno::EOVERFLOW);
        }
        if cookie == before {
            names.sort_by(|a, b| a.as_name().cmp(&b.as_name()));
            return Ok(names);
        }
        if cookie == been {
            return Err(Errno::EIO);
        }
        since += 1;
        if since == until {
            (been, since, until) = (cookie, 0, until.saturating_mul(2));
        }
    }
}

/// That a directory is not too far down to go into.
///
/// # Errors
/// `ENAMETOOLONG` at [`DEEPEST`].
fn go_down(depth: usize) -> Result<(), Errno> {
    if depth < DEEPEST { Ok(()) } else { Err(Errno::ENAMETOOLONG) }
}

/// The same for each of them, many at a time, answers in their order.
fn each<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = all.len().min(AT_ONCE);
    if threads <= 1 {
        return all.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut mine = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(number) else { return mine };
            mine.push((number, work(one)));
        }
    };
    let mut answers: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let mut answers = take();
        for other in others {
            answers.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        answers
    });
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// The attributes of names in a directory.
fn attrs<B: Backend>(backend: &B, dir: &B::Node, names: &[NameBuf]) -> Vec<Result<Attr, Errno>> {
    each(names, |name| backend.lookup(dir, name.as_name()))
}

/// The directory that the last name of a path is in, and that name.
///
/// # Errors
/// `EBUSY` for the root, which has no name.
fn parent(client: &Client, path: &[u8]) -> Result<(Node, NameBuf), Errno> {
    let path = without_slashes(path);
    let (dir, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&path[..0], path),
    };
    if name.is_empty() {
        return Err(Errno::EBUSY);
    }
    let name = Name::new(name)?;
    Ok((client.find(dir)?.0, name.into()))
}

/// A path without the slashes at its end.
fn without_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    &path[..end]
}
