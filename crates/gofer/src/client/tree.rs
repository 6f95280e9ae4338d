//! `gofer tree`.

use std::ffi::OsString;

use gofer_client::{Client, Node};
use gofer_vfs::{Attr, Backend, Errno, FileKind, Name, NameBuf};
use serde_json::{Value, json};

use super::ls::{joined, places, print_json, target};
use super::{Complaints, PLACE_NOTES, Reach, Remote, Servers, attrs, entries, show};
use crate::report::{self, EXIT_CODES, Failure};

/// The options of `gofer tree`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Tree {
    /// Directories.
    #[arg(value_name = "ADDR[/EXPORT]:PATH", required = true)]
    places: Vec<OsString>,

    /// Show what begins with a dot, too.
    #[arg(short)]
    all: bool,

    /// Go down this far.
    #[arg(short = 'L', value_name = "LEVELS")]
    levels: Option<u32>,

    /// Print JSON: files with what is in them.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

/// The deepest directory that is shown: deeper ones would not fit a screen, and each takes a part of the stack.
const DEEPEST: u32 = 256;

/// How a tree is drawn.
struct Drawing<'t> {
    tree: &'t Tree,
    client: &'t Client,
    remote: &'t Remote,
    complaints: &'t Complaints,
    colour: bool,
    directories: u64,
    files: u64,
}

pub(crate) fn run(tree: &Tree) -> Result<(), Failure> {
    let mut servers = Servers::new(&tree.reach);
    let complaints = Complaints::default();
    let mut all = Vec::new();
    for remote in &places(&tree.places)? {
        let client = servers.client(remote)?;
        let (node, attr) = match client.find(&remote.path) {
            Ok(found) => found,
            Err(errno) => {
                complaints.add(format_args!("cannot list {remote}"), errno);
                continue;
            }
        };
        let mut drawing = Drawing::new(tree, &client, remote, &complaints);
        if tree.json {
            all.push(drawing.value(&node, &attr, &remote.path, b"", 0));
            continue;
        }
        report::print(format!("{remote}\n").as_bytes())?;
        drawing.below(&node, b"", "", 0)?;
        let Drawing { directories, files, .. } = drawing;
        report::print(format!("\n{directories} directories, {files} files\n").as_bytes())?;
    }
    if tree.json {
        print_json(&Value::Array(all))?;
    }
    complaints.outcome()
}

/// Draws all that a client sees at a place, every line behind `indent`.
///
/// # Errors
/// [`Failure`], as for `gofer tree`.
pub(crate) fn draw(place: &str, indent: &str) -> Result<(), Failure> {
    let reach = Reach { timeout: 10, user: None };
    let tree = Tree { places: vec![place.into()], all: false, levels: None, json: false, reach };
    let mut servers = Servers::new(&tree.reach);
    let complaints = Complaints::default();
    for remote in &places(&tree.places)? {
        let client = servers.client(remote)?;
        let (node, _) = client
            .find(&remote.path)
            .map_err(|errno| Failure::running(format!("cannot list {remote}: {errno}; try again")))?;
        Drawing::new(&tree, &client, remote, &complaints).below(&node, b"", indent, 0)?;
    }
    complaints.outcome()
}

/// A name and what it stands for.
type Child = (Vec<u8>, Option<(Node, Attr)>);

impl<'t> Drawing<'t> {
    fn new(tree: &'t Tree, client: &'t Client, remote: &'t Remote, complaints: &'t Complaints) -> Self {
        Self { tree, client, remote, complaints, colour: show::coloured(), directories: 0, files: 0 }
    }

    /// What is in a directory.
    fn children(&self, dir: &Node, below: &[u8], level: u32) -> Vec<Child> {
        if level >= self.tree.levels.unwrap_or(DEEPEST).min(DEEPEST) {
            return Vec::new();
        }
        let names = match entries(self.client, dir) {
            Ok(names) => names,
            Err(errno) => {
                self.complaints.add(format_args!("cannot list {}", self.remote.join(below)), errno);
                return Vec::new();
            }
        };
        self.complaints.done();
        let shown =
            names.into_iter().filter(|name| self.tree.all || !name.as_name().as_bytes().starts_with(b"."));
        let shown: Vec<_> = shown.collect();
        let found = attrs(self.client, dir, &shown);
        let child = |(name, attr): (&NameBuf, Result<Attr, Errno>)| {
            let name: Name<'_> = name.as_name();
            let node = attr.and_then(|attr| match attr.kind {
                FileKind::Directory | FileKind::Symlink => Backend::walk(self.client, dir, name).map(Some),
                _ => Ok(None),
            });
            if let Err(errno) = node {
                let path = joined(below, name.as_bytes());
                self.complaints.add(format_args!("cannot look at {}", self.remote.join(&path)), errno);
            }
            (name.as_bytes().to_vec(), attr.ok(), node.ok().flatten())
        };
        let children = shown.iter().zip(found).map(child);
        children.map(|(name, _, node)| (name, node)).collect()
    }

    fn below(&mut self, dir: &Node, below: &[u8], indent: &str, level: u32) -> Result<(), Failure> {
        let children = self.children(dir, below, level);
        let last = children.len().saturating_sub(1);
        for (number, (name, found)) in children.iter().enumerate() {
            let (branch, bar) =
                if number == last { ("└── ", "    ") } else { ("├── ", "│   ") };
            let attr = found.as_ref().map(|(_, attr)| attr);
            let mut line =
                format!("{indent}{branch}{}", show::name(name, attr, self.colour && attr.is_some()));
            let is_dir = attr.is_some_and(|attr| attr.kind == FileKind::Directory);
            if let Some((node, attr)) = found
                && let Some(target) = target(self.client, node, attr)
            {
                line = format!("{line} -> {}", show::quoted(&target));
            }
            report::print(format!("{line}\n").as_bytes())?;
            match found {
                Some((node, _)) if is_dir => {
                    self.directories += 1;
                    self.below(node, &joined(below, name), &format!("{indent}{bar}"), level + 1)?;
                }
                _ => self.files += 1,
            }
        }
        Ok(())
    }

    /// A file with what is in it.
    fn value(&mut self, node: &Node, attr: &Attr, name: &[u8], below: &[u8], level: u32) -> Value {
        let mut value = show::json(name, attr, target(self.client, node, attr).as_deref());
        if attr.kind == FileKind::Directory {
            let children = self.children(node, below, level);
            let contents = children.iter().map(|(name, found)| match found {
                Some((node, attr)) => self.value(node, attr, name, &joined(below, name), level + 1),
                None => json!({ "name": String::from_utf8_lossy(name) }),
            });
            value["contents"] = contents.collect();
        }
        value
    }
}
