//! The servers: one that is started here, or those that run.

use std::fmt;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use gofer_transport::Address;
use gofer_wire::p9::Version;

use super::client::{Client, Failed};
use super::process::Process;
use crate::report::{Failure, errno};

/// Fids that a connection to a server of ours may hold: more than are ever walked here.
const MAX_FIDS: &str = "1100000";

/// How long a server of ours may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a server is, and what is said about it: `ADDR[,aname=NAME][,name=LABEL][,pid=N]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    address: Address,
    aname: Option<String>,
    label: Option<String>,
    pid: Option<u32>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut rest, mut aname, mut label, mut pid) = (text, None, None, None);
        while let Some((before, option)) = rest.rsplit_once(',') {
            match option.split_once('=') {
                Some(("aname", value)) => aname = Some(value.to_owned()),
                Some(("name", value)) if !value.is_empty() => label = Some(value.to_owned()),
                Some(("pid", value)) => {
                    pid = Some(value.parse().map_err(|_| format!("pid={value} is no number"))?);
                }
                _ => return Err(format!("{option:?} is none of aname=NAME, name=LABEL and pid=N")),
            }
            rest = before;
        }
        match rest.parse().map_err(|error: gofer_transport::Error| error.to_string())? {
            address @ (Address::Unix(_) | Address::Tcp(_)) => Ok(Self { address, aname, label, pid }),
            _ => Err("only unix:PATH and tcp:HOST:PORT can be measured".to_owned()),
        }
    }
}

/// What a server of ours lets its clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Read.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// Whether a server of ours gives up its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// As it does by default.
    Yes,
    /// Not at all.
    No,
}

impl Sealed {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Yes => "gofer",
            Self::No => "unsealed",
        }
    }
}

/// A server that is measured.
#[derive(Debug)]
pub(crate) struct Server {
    pub(super) label: String,
    pub(crate) address: Address,
    aname: String,
    pub(crate) process: Option<Process>,
    /// Where it is ours: it ends with this.
    _own: Option<Own>,
}

impl Server {
    /// A server that runs.
    pub(super) fn at(place: &Place, aname: &str) -> Self {
        let Place { address, label, pid, .. } = place;
        Self {
            label: label.clone().unwrap_or_else(|| address.to_string()),
            address: address.clone(),
            aname: place.aname.clone().unwrap_or_else(|| aname.to_owned()),
            process: pid.map(Process),
            _own: None,
        }
    }

    /// Starts this program as a server of a directory, and says how long it took to the first attach.
    pub(crate) fn start(dir: &Path, rights: Rights, sealed: Sealed) -> Result<(Self, Duration), Failure> {
        let address = address(dir);
        let mut command = command(dir, rights, sealed)?;
        command.stdout(Stdio::null());
        let start = Instant::now();
        let mut own = Own(command.spawn().map_err(|error| failed(format_args!("{}", errno(&error))))?);
        loop {
            match Client::attach(&address, "/", Version::BASE) {
                Ok(_) => {
                    let took = start.elapsed();
                    let (label, aname) = (sealed.label().to_owned(), "/".to_owned());
                    let process = Some(Process(own.0.id()).serving());
                    return Ok((Self { label, address, aname, process, _own: Some(own) }, took));
                }
                Err(_) if start.elapsed() < PATIENCE => {}
                Err(why) => return Err(failed(format_args!("{why}"))),
            }
            if let Ok(Some(status)) = own.0.try_wait() {
                return Err(failed(format_args!("it ended with {status}")));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    /// A new connection with the root attached.
    pub(crate) fn attach(&self, version: Version) -> Result<Client, Failed> {
        Client::attach(&self.address, &self.aname, version)
    }

    /// Learns which process it is, where that can be known.
    pub(super) fn find_process(&mut self, client: &Client) {
        self.process = self
            .process
            .or_else(|| client.peer().map(Process))
            .map(Process::serving)
            .filter(Process::is_known);
    }

    /// What is said when it cannot be used any further.
    pub(crate) fn failure(&self, failed: &Failed) -> Failure {
        Failure::running(self.complaint(failed))
    }

    /// What is said when it cannot be used at all.
    pub(super) fn unusable(&self, failed: &Failed) -> Failure {
        Failure::start(self.complaint(failed))
    }

    fn complaint(&self, failed: &Failed) -> String {
        let hint = match failed {
            Failed::Refused(..) => "give it a directory that can be written (aname=)",
            Failed::Lost(_) => "see whether the server runs and what it said",
        };
        let (label, address) = (&self.label, self.address.to_string());
        if *label == address {
            return format!("{address}: {failed}; {hint}");
        }
        format!("{label} at {address}: {failed}; {hint}")
    }
}

/// What a server that is started in the same way gives up, as its report in JSON.
pub(crate) fn sandbox_report(dir: &Path, rights: Rights) -> Result<Vec<u8>, Failure> {
    let said = command(dir, rights, Sealed::Yes)?.arg("--print-sandbox=json").output();
    let said = said.map_err(|error| failed(format_args!("{}", errno(&error))))?;
    if said.status.success() {
        Ok(said.stdout)
    } else {
        Err(failed(format_args!("it ended with {}", said.status)))
    }
}

fn address(dir: &Path) -> Address {
    Address::Unix(dir.join("socket"))
}

/// This program as a server of a directory's `tree`.
fn command(dir: &Path, rights: Rights, sealed: Sealed) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(|error| failed(format_args!("{}", errno(&error))))?;
    let mut export = dir.join("tree").into_os_string();
    export.push(if rights == Rights::ReadWrite { ":rw" } else { ":ro" });
    let mut command = Command::new(program);
    command.arg("serve").arg(export).args(["--quiet", "--log-level", "error", "--max-fids", MAX_FIDS]);
    command.arg("--listen").arg(address(dir).to_string()).stdin(Stdio::null());
    if sealed == Sealed::No {
        command.args(["--sandbox", "none", "--i-trust-the-clients"]);
    }
    // What the surroundings say of servers is not meant for this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GOFER_")) {
        command.env_remove(name);
    }
    Ok(command)
}

fn failed(why: fmt::Arguments<'_>) -> Failure {
    Failure::start(format!("cannot start a server of our own: {why}; see what it said"))
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(request, errno) => write!(f, "{request} was refused: {errno}"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

/// A process that was started here; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Own(pub(crate) Child);

impl Drop for Own {
    fn drop(&mut self) {
        // Both fail when it has ended, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory of our own; removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A directory below the one for temporary files, with an empty `tree` in it.
    pub(crate) fn new(what: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("gofer-{what}-{}", std::process::id()));
        let made =
            fs::DirBuilder::new().mode(0o700).create(&path).and_then(|()| fs::create_dir(path.join("tree")));
        made.map_err(|error| {
            Failure::start(format!(
                "cannot make {path:?}: {}; set TMPDIR to another directory",
                errno(&error)
            ))
        })?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The directory in it.
    pub(crate) fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about what cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_with_options() {
        let place: Place = "unix:/run/s.sock,aname=/srv/x=y,name=diod,pid=7".parse().unwrap();
        assert_eq!(place.address, Address::Unix("/run/s.sock".into()));
        assert_eq!(
            (place.aname.as_deref(), place.label.as_deref(), place.pid),
            (Some("/srv/x=y"), Some("diod"), Some(7))
        );
        let server = Server::at(&"tcp:127.0.0.1:564".parse().unwrap(), "/export");
        assert_eq!((server.label.as_str(), server.aname.as_str()), ("tcp:127.0.0.1:564", "/export"));
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_reason() {
        for (text, why) in [
            ("unix:/a,nme=x", "aname=NAME"),
            ("unix:/a,name=", "name=LABEL"),
            ("unix:/a,pid=x", "no number"),
            ("vsock:3:5", "only unix"),
            ("udp:x", "unix:PATH"),
        ] {
            let error = text.parse::<Place>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
