//! `gofer stat`.

use std::ffi::OsString;

use gofer_vfs::Attr;
use serde_json::Value;

use super::ls::{places, print_json, target};
use super::{Complaints, PLACE_NOTES, Reach, Remote, Servers, show};
use crate::report::{self, EXIT_CODES, Failure};

/// The options of `gofer stat`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Stat {
    /// Files.
    #[arg(value_name = "ADDR[/EXPORT]:PATH", required = true)]
    places: Vec<OsString>,

    /// Print JSON: a list of files.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run(stat: &Stat) -> Result<(), Failure> {
    let mut servers = Servers::new(&stat.reach);
    let complaints = Complaints::default();
    let mut all = Vec::new();
    for remote in &places(&stat.places)? {
        let client = servers.client(remote)?;
        match client.find(&remote.path) {
            Ok((node, attr)) => {
                complaints.done();
                let target = target(&client, &node, &attr);
                if stat.json {
                    all.push(show::json(&remote.path, &attr, target.as_deref()));
                } else {
                    report::print(text(remote, &attr, target.as_deref()).as_bytes())?;
                }
            }
            Err(errno) => complaints.add(format_args!("cannot look at {remote}"), errno),
        }
    }
    if stat.json {
        print_json(&Value::Array(all))?;
    }
    complaints.outcome()
}

/// As stat(1) has it.
fn text(remote: &Remote, attr: &Attr, target: Option<&[u8]>) -> String {
    let arrow = target.map_or_else(String::new, |target| format!(" -> {}", show::quoted(target)));
    let device = if show::is_device(attr) {
        format!("  Device type: {}, {}", show::major(attr.rdev), show::minor(attr.rdev))
    } else {
        String::new()
    };
    format!(
        "  File: {remote}{arrow}\n  Size: {:<12} Blocks: {:<10} IO Block: {:<6} {}\n Inode: {:<12} Links: {}{device}\n\
         Access: ({:04o}/{})  Uid: {}  Gid: {}\nAccess: {}\nModify: {}\nChange: {}\n Birth: {}\n",
        attr.size,
        attr.blocks,
        attr.blksize,
        show::kind(attr.kind),
        attr.id.ino,
        attr.nlink,
        attr.perm,
        show::mode(attr),
        attr.uid.0,
        attr.gid.0,
        show::moment(attr.atime),
        show::moment(attr.mtime),
        show::moment(attr.ctime),
        attr.btime.map_or_else(|| "-".to_owned(), show::moment),
    )
}
