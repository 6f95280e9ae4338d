//! `gofer ls`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use gofer_client::{Client, Node};
use gofer_sys::task::columns;
use gofer_vfs::{Attr, Backend, Errno, FileKind, Name, NameBuf};
use serde_json::{Value, json};

use super::{Complaints, PLACE_NOTES, Reach, Remote, Servers, attrs, entries, go_down, show};
use crate::report::{self, EXIT_CODES, Failure};

/// The options of `gofer ls`.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true, after_help = EXIT_CODES, after_long_help = format!("{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Ls {
    /// Files and directories.
    #[arg(value_name = "ADDR[/EXPORT]:PATH", required = true)]
    places: Vec<OsString>,

    /// Show mode, links, owner, size and time (UTC) of each.
    #[arg(short)]
    long: bool,

    /// Show one name on a line, on a terminal too.
    #[arg(short = '1')]
    one: bool,

    /// Show what begins with a dot, too.
    #[arg(short)]
    all: bool,

    /// Show a directory itself, not what is in it.
    #[arg(short)]
    directory: bool,

    /// Show what is in directories below, too.
    #[arg(short = 'R')]
    recursive: bool,

    /// Sizes in units of 1024, with a letter.
    #[arg(short = 'h', long = "human-readable")]
    human: bool,

    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// Print JSON: a list of files.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

/// A file, as it is shown.
struct Row {
    name: Vec<u8>,
    attr: Result<Attr, Errno>,
    target: Option<Vec<u8>>,
}

pub(crate) fn run(ls: &Ls) -> Result<(), Failure> {
    let places = places(&ls.places)?;
    let mut servers = Servers::new(&ls.reach);
    let complaints = Complaints::default();
    let mut listing = Listing { ls, complaints: &complaints, json: Vec::new(), begun: false };
    for remote in &places {
        let client = servers.client(remote)?;
        match client.find(&remote.path) {
            Ok((node, attr)) if attr.kind == FileKind::Directory && !ls.directory => {
                let titled = places.len() > 1 || ls.recursive;
                listing.directory(&client, remote, &node, Vec::new(), titled)?;
            }
            Ok((node, attr)) => {
                let target = target(&client, &node, &attr);
                let name = remote.path.clone();
                listing.rows(&[Row { name, attr: Ok(attr), target }], b"")?;
            }
            Err(errno) => complaints.add(format_args!("cannot list {remote}"), errno),
        }
    }
    if ls.json {
        print_json(&Value::Array(listing.json))?;
    }
    complaints.outcome()
}

/// The places that words name.
pub(super) fn places(words: &[OsString]) -> Result<Vec<Remote>, Failure> {
    let place = |word: &OsString| {
        Remote::parse(word).map_err(|why| Failure::usage(format!("{}: {why}", word.display())))
    };
    words.iter().map(place).collect()
}

pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    report::print(format!("{value:#}\n").as_bytes())
}

/// Where a symbolic link leads.
pub(super) fn target(client: &Client, node: &Node, attr: &Attr) -> Option<Vec<u8>> {
    let mut target = Vec::new();
    (attr.kind == FileKind::Symlink && Backend::readlink(client, node, &mut target).is_ok()).then_some(target)
}

/// What is listed, and what is to be printed at the end.
struct Listing<'l> {
    ls: &'l Ls,
    complaints: &'l Complaints,
    json: Vec<Value>,
    begun: bool,
}

impl Listing<'_> {
    fn directory(
        &mut self,
        client: &Client,
        remote: &Remote,
        dir: &Node,
        below: Vec<u8>,
        titled: bool,
    ) -> Result<(), Failure> {
        // Directories in the order in which they are shown, the next at the end.
        let mut waiting = vec![(below, None::<Node>)];
        while let Some((below, node)) = waiting.pop() {
            let node = node.as_ref().unwrap_or(dir);
            let names = match entries(client, node) {
                Ok(names) => names,
                Err(errno) => {
                    self.complaints.add(format_args!("cannot list {}", remote.join(&below)), errno);
                    continue;
                }
            };
            let is_shown = |name: &NameBuf| self.ls.all || !name.as_name().as_bytes().starts_with(b".");
            let names: Vec<_> = names.into_iter().filter(is_shown).collect();
            let rows = self.look(client, node, &names, &below, remote);
            if titled && !self.ls.json {
                let gap = if self.begun { "\n" } else { "" };
                report::print(format!("{gap}{}:\n", remote.join(&below)).as_bytes())?;
            }
            self.rows(&rows, &below)?;
            if self.ls.recursive {
                let dirs = rows
                    .iter()
                    .rev()
                    .filter(|row| row.attr.as_ref().is_ok_and(|attr| attr.kind == FileKind::Directory));
                for row in dirs {
                    let path = joined(&below, &row.name);
                    let depth = path.iter().filter(|byte| **byte == b'/').count() + 1;
                    let name = go_down(depth).and_then(|()| Name::new(&row.name));
                    match name.and_then(|name| Backend::walk(client, node, name)) {
                        Ok((child, _)) => waiting.push((path, Some(child))),
                        Err(errno) => {
                            self.complaints.add(format_args!("cannot list {}", remote.join(&path)), errno);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The files of a directory.
    fn look(
        &self,
        client: &Client,
        dir: &Node,
        names: &[NameBuf],
        below: &[u8],
        remote: &Remote,
    ) -> Vec<Row> {
        let found = attrs(client, dir, names);
        let rows = names.iter().zip(found).filter_map(|(name, attr)| {
            let name = name.as_name();
            if let Err(errno) = attr {
                let path = joined(below, name.as_bytes());
                self.complaints.add(format_args!("cannot look at {}", remote.join(&path)), errno);
                return None;
            }
            let is_link = attr.is_ok_and(|attr| attr.kind == FileKind::Symlink);
            let node =
                (is_link && (self.ls.long || self.ls.json)).then(|| Backend::walk(client, dir, name).ok());
            let target = node.flatten().and_then(|(node, attr)| target(client, &node, &attr));
            Some(Row { name: name.as_bytes().to_vec(), attr, target })
        });
        rows.collect()
    }

    fn rows(&mut self, rows: &[Row], below: &[u8]) -> Result<(), Failure> {
        self.begun = true;
        rows.iter().for_each(|_| self.complaints.done());
        if rows.is_empty() {
            // An empty directory was listed, too.
            self.complaints.done();
        }
        if self.ls.json {
            for row in rows {
                let Ok(attr) = &row.attr else { continue };
                let mut value = show::json(&row.name, attr, row.target.as_deref());
                value["path"] = json!(String::from_utf8_lossy(&joined(below, &row.name)));
                self.json.push(value);
            }
            return Ok(());
        }
        let text = if self.ls.long { long(rows, self.ls.human) } else { short(rows, self.ls.one) };
        report::print(text.as_bytes())
    }
}

/// A path with a name behind it.
pub(super) fn joined(below: &[u8], name: &[u8]) -> Vec<u8> {
    if below.is_empty() { name.to_vec() } else { [below, b"/", name].concat() }
}

/// Names, in columns on a terminal.
fn short(rows: &[Row], one: bool) -> String {
    let colour = show::coloured();
    let cell = |row: &Row| {
        let width = show::quoted(&row.name).chars().count();
        (show::name(&row.name, row.attr.as_ref().ok(), colour), width)
    };
    let cells: Vec<_> = rows.iter().map(cell).collect();
    let stdout = std::io::stdout();
    let room = if !one && stdout.is_terminal() { columns(stdout.as_fd()).unwrap_or(80) } else { 0 };
    show::columns(&cells, room.into())
}

/// Columns as wide as their widest.
fn long(rows: &[Row], human: bool) -> String {
    let colour = show::coloured();
    let cells = |row: &Row| {
        let attr = row.attr.as_ref().ok()?;
        let size = if show::is_device(attr) {
            format!("{}, {}", show::major(attr.rdev), show::minor(attr.rdev))
        } else {
            show::bytes(attr.size, human)
        };
        Some([attr.nlink.to_string(), attr.uid.0.to_string(), attr.gid.0.to_string(), size])
    };
    let all: Vec<_> = rows.iter().map(cells).collect();
    let width = |column: usize| all.iter().flatten().map(|cells| cells[column].len()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for (row, cells) in rows.iter().zip(&all) {
        let (Ok(attr), Some(cells)) = (&row.attr, cells) else { continue };
        text.push_str(&show::mode(attr));
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, " {cell:>width$}");
        }
        let _ = write!(text, " {} {}", show::minute(attr.mtime), show::name(&row.name, Some(attr), colour));
        if let Some(target) = &row.target {
            let _ = write!(text, " -> {}", show::quoted(target));
        }
        text.push('\n');
    }
    text
}
