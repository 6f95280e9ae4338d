//! Clients for `tests/soak`: some that check all they get, one that measures, one that is rude, one that is greedy.
//!
//! ```text
//! soak work ADDR EXPORT DIR JOURNAL SECONDS ERRNO,..   random operations in a directory of its own, checked
//! soak verify ADDR EXPORT DIR JOURNAL ERRNO,..         what was acknowledged is there; removes it, and nothing is left
//! soak meter ADDR EXPORT SECONDS                       how long a getattr takes, one at a time
//! soak rude ADDR EXPORT SECONDS                        connections that break off anywhere, and floods
//! soak greedy ADDR SECONDS                             messages that do not end, as many as it can
//! ```
//!
//! An ERRNO is one that operations may fail with: what the file system below or a limit is made to answer.

mod greedy;
mod journal;
mod meter;
mod model;
mod rude;
mod work;

use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Duration;

use gofer_client::{Client, Error, Options};
use gofer_transport::Address;
use gofer_vfs::Errno;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak {}: {error}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        ["work", address, export, dir, journal, seconds, errnos] => {
            let place = work::Place::new(address, export, dir, allowed(errnos)?)?;
            work::run(&place, journal.as_ref(), Duration::from_secs(seconds.parse()?))
        }
        ["verify", address, export, dir, journal, errnos] => {
            work::verify(&work::Place::new(address, export, dir, allowed(errnos)?)?, journal.as_ref())
        }
        ["meter", address, export, seconds] => {
            meter::run(&address.parse()?, export, Duration::from_secs(seconds.parse()?))
        }
        ["rude", address, export, seconds] => {
            rude::run(&address.parse()?, export, Duration::from_secs(seconds.parse()?))
        }
        ["greedy", address, seconds] => greedy::run(&address.parse()?, Duration::from_secs(seconds.parse()?)),
        _ => Err("usage: see the first lines of the source".into()),
    }
}

fn allowed(names: &str) -> Result<Vec<Errno>> {
    let errno = |name: &str| match name {
        "ENOSPC" => Ok(Errno::ENOSPC),
        "EIO" => Ok(Errno::EIO),
        "EMFILE" => Ok(Errno::EMFILE),
        "ENFILE" => Ok(Errno::ENFILE),
        "ENOMEM" => Ok(Errno::ENOMEM),
        _ => Err(format!("{name} is none of the errors that can be allowed").into()),
    };
    names.split(',').filter(|name| !name.is_empty()).map(errno).collect()
}

fn connect(address: &Address, export: &str) -> std::result::Result<Client, Error> {
    let options = Options {
        export: export.to_owned(),
        user: std::fs::metadata("/proc/self").ok().map(|process| process.uid()),
        timeout: Some(Duration::from_secs(20)),
        ..Options::default()
    };
    Client::connect(address, &options)
}
