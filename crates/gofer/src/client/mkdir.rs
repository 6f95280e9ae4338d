//! `gofer mkdir`.

use std::ffi::OsString;

use gofer_client::Client;
use gofer_vfs::{Backend, Errno, FileKind, Name, Owner};

use super::ls::places;
use super::{Complaints, PLACE_NOTES, Reach, Servers, parent};
use crate::report::{EXIT_CODES, Failure};

/// The options of `gofer mkdir`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Mkdir {
    /// Directories to make.
    #[arg(value_name = "ADDR[/EXPORT]:PATH", required = true)]
    places: Vec<OsString>,

    /// Make those above, too; it is no failure that one is there.
    #[arg(short, long)]
    parents: bool,

    /// The mode of what is made, in octal.
    #[arg(short, long, default_value = "755", value_parser = octal)]
    mode: u32,

    #[command(flatten)]
    reach: Reach,
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err("write up to four octal digits, as 755".to_owned()),
    }
}

pub(crate) fn run(mkdir: &Mkdir) -> Result<(), Failure> {
    let mut servers = Servers::new(&mkdir.reach);
    let complaints = Complaints::default();
    for remote in &places(&mkdir.places)? {
        let client = servers.client(remote)?;
        let made = if mkdir.parents {
            make_all(&client, &remote.path, mkdir.mode)
        } else {
            parent(&client, &remote.path)
                .map_err(|errno| if errno == Errno::EBUSY { Errno::EEXIST } else { errno })
                .and_then(|(dir, name)| {
                    Backend::mkdir(&*client, &dir, name.as_name(), mkdir.mode, Owner::default()).map(drop)
                })
        };
        match made {
            Ok(()) => complaints.done(),
            Err(errno) => complaints.add(format_args!("cannot make {remote}"), errno),
        }
    }
    complaints.outcome()
}

fn make_all(client: &Client, path: &[u8], mode: u32) -> Result<(), Errno> {
    let mut dir = Backend::attach(client)?.0;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        let name = Name::new(name)?;
        let made = match Backend::mkdir(client, &dir, name, mode, Owner::default()) {
            Err(Errno::EEXIST | Errno::EROFS | Errno::EACCES) => Backend::walk(client, &dir, name),
            other => other,
        };
        let (node, attr) = made?;
        if attr.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        dir = node;
    }
    Ok(())
}
