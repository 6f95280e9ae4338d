//! `gofer cat`.

use std::ffi::OsString;

use gofer_client::Client;
use gofer_transport::ReadInto;
use gofer_vfs::{AccessMode, Backend, Errno, FileKind, OpenFlags};

use super::ls::places;
use super::{Complaints, PLACE_NOTES, Reach, Servers};
use crate::report::{self, EXIT_CODES, Failure};

/// The options of `gofer cat`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Cat {
    /// Regular files.
    #[arg(value_name = "ADDR[/EXPORT]:PATH", required = true)]
    places: Vec<OsString>,

    #[command(flatten)]
    reach: Reach,
}

/// Bytes that are asked for at once.
const CHUNK: usize = 8 << 20;

pub(crate) fn run(cat: &Cat) -> Result<(), Failure> {
    let mut servers = Servers::for_data(&cat.reach);
    let complaints = Complaints::default();
    for remote in &places(&cat.places)? {
        let client = servers.client(remote)?;
        match print(&client, &remote.path) {
            Ok(printed) => {
                printed?;
                complaints.done();
            }
            Err(errno) => complaints.add(format_args!("cannot read {remote}"), errno),
        }
    }
    complaints.outcome()
}

fn print(client: &Client, path: &[u8]) -> Result<Result<(), Failure>, Errno> {
    let (node, attr) = client.find(path)?;
    match attr.kind {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR),
        FileKind::Symlink => return Err(Errno::ELOOP),
        _ => return Err(Errno::ENXIO),
    }
    let file = Backend::open(client, &node, OpenFlags::new(AccessMode::Read))?;
    let (mut offset, mut bytes) = (0, Vec::new());
    loop {
        bytes.clear();
        let read = Backend::read(client, &file, offset, CHUNK, &mut ReadInto::new(&mut bytes, CHUNK))?;
        if read == 0 {
            return Ok(Ok(()));
        }
        offset += read as u64;
        if let Err(failure) = report::print(&bytes) {
            return Ok(Err(failure));
        }
    }
}
