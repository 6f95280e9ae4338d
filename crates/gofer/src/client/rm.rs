//! `gofer rm`.

use std::ffi::OsString;

use gofer_client::{Client, Node};
use gofer_vfs::{Backend, Errno, FileKind, Name, NameBuf, Unlink};

use super::ls::{joined, places};
use super::{Complaints, PLACE_NOTES, Reach, Remote, Servers, each, entries, go_down, parent};
use crate::report::{EXIT_CODES, Failure};

/// The options of `gofer rm`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Rm {
    /// What to remove.
    #[arg(value_name = "ADDR[/EXPORT]:PATH", required = true)]
    places: Vec<OsString>,

    /// Remove directories and what is in them.
    #[arg(short, long)]
    recursive: bool,

    /// It is no failure that something is not there.
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    reach: Reach,
}

/// A directory that is being emptied.
struct Level {
    dir: Node,
    below: Vec<u8>,
    name: NameBuf,
    /// Directories in it that are still there.
    left: Vec<NameBuf>,
}

pub(crate) fn run(rm: &Rm) -> Result<(), Failure> {
    let mut servers = Servers::new(&rm.reach);
    let complaints = Complaints::default();
    for remote in &places(&rm.places)? {
        let client = servers.client(remote)?;
        let removed = parent(&client, &remote.path).and_then(|(dir, name)| {
            match Backend::unlink(&*client, &dir, name.as_name(), Unlink::File) {
                Err(Errno::EISDIR) if rm.recursive => {
                    remove_dir(&client, remote, &dir, name.as_name(), &complaints);
                    Ok(())
                }
                removed => removed.map(|()| complaints.done()),
            }
        });
        match removed {
            Ok(()) => {}
            Err(Errno::ENOENT) if rm.force => complaints.done(),
            Err(Errno::EISDIR) => complaints.say(format_args!(
                "cannot remove {remote}: {}; remove it and all that is in it with -r",
                Errno::EISDIR
            )),
            Err(errno) => complaints.add(format_args!("cannot remove {remote}"), errno),
        }
    }
    complaints.outcome()
}

/// Removes a directory and what is in it, files of a directory many at a time, without recursion.
fn remove_dir(client: &Client, remote: &Remote, top: &Node, name: Name<'_>, complaints: &Complaints) {
    let complain =
        |below: &[u8], errno| complaints.add(format_args!("cannot remove {}", remote.join(below)), errno);
    let enter = |parent: &Node, name: Name<'_>, below: Vec<u8>| match empty(
        client, parent, name, &below, &complain,
    ) {
        Ok((dir, left)) => Some(Level { dir, below, name: name.into(), left }),
        Err(errno) => {
            complain(&below, errno);
            None
        }
    };
    let mut levels: Vec<Level> = enter(top, name, Vec::new()).into_iter().collect();
    while let (depth, Some(level)) = (levels.len(), levels.last_mut()) {
        if let Some(next) = level.left.pop() {
            let below = joined(&level.below, next.as_name().as_bytes());
            if let Err(errno) = go_down(depth) {
                complain(&below, errno);
                continue;
            }
            let entered = enter(&level.dir, next.as_name(), below);
            levels.extend(entered);
            continue;
        }
        let Some(Level { below, name, .. }) = levels.pop() else { return };
        let parent = levels.last().map_or(top, |level| &level.dir);
        match Backend::unlink(client, parent, name.as_name(), Unlink::Directory) {
            Ok(()) => complaints.done(),
            Err(errno) => complain(&below, errno),
        }
    }
}

/// Removes all but the directories in a directory, and says which those are.
fn empty(
    client: &Client,
    parent: &Node,
    name: Name<'_>,
    below: &[u8],
    complain: &(impl Fn(&[u8], Errno) + Sync),
) -> Result<(Node, Vec<NameBuf>), Errno> {
    let (dir, attr) = Backend::walk(client, parent, name)?;
    if attr.kind != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    let names = entries(client, &dir)?;
    let removed = each(&names, |name| Backend::unlink(client, &dir, name.as_name(), Unlink::File));
    let mut left = Vec::new();
    for (name, removed) in names.into_iter().zip(removed) {
        match removed {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EISDIR) => left.push(name),
            Err(errno) => complain(&joined(below, name.as_name().as_bytes()), errno),
        }
    }
    Ok((dir, left))
}
