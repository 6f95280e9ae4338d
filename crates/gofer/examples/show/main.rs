//! Serves a directory, read-only, and shows it as a client sees it through 9P, both in this process:
//! `cargo run --example show -- DIR`.

mod client;

use std::process::ExitCode;
use std::time::Duration;

use client::Client;
use gofer_localfs::LocalFs;
use gofer_server::{Export, Limits, Policy, Server};
use gofer_transport::memory;
use gofer_vfs::{Errno, FileKind, Name, ReadOnly, Result};
use gofer_wire::p9::{Fid, Stat};

/// How many entries of a directory are shown, and how many levels.
const ENTRIES: usize = 12;
const LEVELS: usize = 2;

fn main() -> ExitCode {
    let dir = std::env::args_os().nth(1).unwrap_or(".".into());
    match serve(&dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => {
            eprintln!("show: cannot show {dir:?}: {errno}; usage: show DIR");
            ExitCode::FAILURE
        }
    }
}

/// Serves a directory over a stream in memory and looks at it from the other end.
fn serve(dir: &std::ffi::OsStr) -> Result<()> {
    let backend = ReadOnly(LocalFs::open(dir.as_ref())?);
    let export = Export { name: None, backend, policy: Policy::default() };
    let server = Server::new(vec![export], Limits::default())?;
    let (ours, theirs) = memory::pair();
    server.connect(theirs).map_err(|_| Errno::ECONNREFUSED)?;
    let (mut client, root) = Client::attach(ours)?;

    println!("{} through 9P2000.L, read-only:", dir.display());
    let mut text = None;
    show(&mut client, root, "", &mut text)?;
    if let Some((path, line)) = text {
        println!("\n{path} begins with {line:?}");
    }
    if let Err(errno) = client.mkdir(root, Name::new(b"made-by-a-client")?) {
        println!("refused: making a directory: {errno}");
    }
    if let Err(errno) = client.walk(root, b"..") {
        println!("refused: walking to \"..\": {errno}");
    }
    drop(client);
    server.drain(Duration::from_secs(1));
    Ok(())
}

/// Prints what is in the directory at `path`, which is empty or ends in `/`. `text` becomes the path and the
/// first line of the first text file.
fn show(client: &mut Client, dir: Fid, path: &str, text: &mut Option<(String, String)>) -> Result<()> {
    let names = client.names(dir)?;
    let level = 1 + path.matches('/').count();
    let indent = "    ".repeat(level);
    for name in names.iter().take(ENTRIES) {
        let shown = String::from_utf8_lossy(name).escape_debug().to_string();
        let fid = match client.walk(dir, name) {
            Ok(fid) => fid,
            Err(errno) => {
                println!("{indent}refused    {:>10}  {shown}: {errno}", "");
                continue;
            }
        };
        let stat = client.getattr(fid)?;
        let (kind, behind) = describe(client, fid, &stat)?;
        println!("{indent}{kind:<10} {:>10}  {shown}{behind}", stat.size);
        if kind == "directory" && level < LEVELS {
            // One that may not be read is shown as it is.
            let _ = show(client, fid, &format!("{path}{shown}/"), text);
        }
        if kind == "file" && text.is_none() {
            *text = first_line(client, fid).map(|line| (format!("{path}{shown}"), line));
        }
        client.clunk(fid)?;
    }
    if names.len() > ENTRIES {
        println!("{indent}.. and {} more", names.len() - ENTRIES);
    }
    Ok(())
}

/// What a file is, in a word, and what stands behind its name.
fn describe(client: &mut Client, fid: Fid, stat: &Stat) -> Result<(&'static str, String)> {
    Ok(match FileKind::of_mode(stat.mode).ok_or(Errno::EPROTO)? {
        FileKind::Directory => ("directory", "/".to_owned()),
        FileKind::Regular => ("file", String::new()),
        FileKind::Symlink => {
            let target = client.readlink(fid)?;
            ("symlink", format!(" -> {} (not followed)", String::from_utf8_lossy(&target).escape_debug()))
        }
        FileKind::Socket => ("socket", String::new()),
        FileKind::Fifo => ("fifo", String::new()),
        FileKind::CharDevice | FileKind::BlockDevice => ("device", String::new()),
    })
}

/// The first line of a file, if it is text and may be read.
fn first_line(client: &mut Client, fid: Fid) -> Option<String> {
    let start = client.read(fid, 4096).ok()?;
    let line = std::str::from_utf8(start.split(|byte| *byte == b'\n').next()?).ok()?;
    let text = !line.is_empty() && !line.chars().any(char::is_control);
    text.then(|| line.chars().take(80).collect())
}
