//! [`Own`]: the sealed server of a directory that is mounted.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use clap::ValueEnum;
use gofer_client::{Client, Dialect, Options};
use gofer_sys::net;
use gofer_transport::Socket;

use super::Mount;
use crate::args::{LogLevel, Sandbox};
use crate::export::Export;
use crate::report::{Failure, errno};

/// Fids beside those of the files that the kernel knows: of open files, and of those that are looked up once more.
const MORE_FIDS: usize = 1 << 18;

/// A process of this program that serves a directory to this one alone, over a pair of sockets. It ends when this
/// process does, however that ends: nobody else holds the other end.
pub(super) struct Own {
    child: Child,
    connection: OwnedFd,
    log: JoinHandle<()>,
}

impl Own {
    /// Starts a server of `real`, for an export that was asked for, and attaches to it.
    pub(super) fn start(
        export: &Export,
        real: &Path,
        mount: &Mount,
        known: usize,
    ) -> Result<(Self, Client), Failure> {
        let failed = |errno| Failure::start(format!("cannot start a server of {real:?}: {errno}; try again"));
        let (ours, theirs) = Socket::pair().map_err(failed)?;
        let connection = ours.as_fd().try_clone_to_owned().map_err(|error| failed(errno(&error)))?;
        let mut command = command(export, real, mount, known).map_err(|error| failed(errno(&error)))?;
        let number = gofer_sys::process::pass_on(&mut command, theirs.into());
        command.args(["--listen", &format!("fd:{number}")]);
        let mut child = command.spawn().map_err(|error| failed(errno(&error)))?;
        // The server's end is the server's alone.
        drop(command);
        let said = child.stderr.take();
        let pass_on = move || {
            if let Some(mut said) = said {
                // When nobody can be told any more, the server writes to nobody.
                let _ = io::copy(&mut said, &mut io::stderr());
            }
        };
        let log = thread::Builder::new().name("server-log".into()).spawn(pass_on);
        let log = log.map_err(|error| failed(errno(&error)))?;
        let own = Self { child, connection, log };
        let options = Options {
            // It sees everything a tree can hold.
            dialect: Some(Dialect::Base),
            // It is as slow as the disk.
            timeout: None,
            channels: mount.channels.into(),
            ..Options::default()
        };
        match Client::over(ours, &options) {
            Ok(client) => Ok((own, client)),
            // It has said why, and its code is ours.
            Err(error) => match own.end() {
                Some(code @ 1..) => process::exit(code),
                _ => Err(Failure::start(format!("cannot use the server of {real:?}: {error}"))),
            },
        }
    }

    /// Ends the server and waits for that; says with which code, if it ended by itself.
    pub(super) fn end(self) -> Option<i32> {
        let Self { mut child, connection, log } = self;
        net::shutdown(connection.as_fd());
        let status = child.wait();
        // It cannot panic, and has nothing to say.
        let _ = log.join();
        status.ok()?.code()
    }
}

/// The server, but for the descriptor that it is to be reached by.
fn command(export: &Export, real: &Path, mount: &Mount, known: usize) -> io::Result<Command> {
    let mut word = OsString::from(real);
    word.push(match (export.writable, export.devices) {
        (true, true) => ":rw,devices",
        (true, false) => ":rw",
        (false, _) => ":ro",
    });
    // Of its connections, and of what their number and rights ask for, there is nothing to be said.
    let level = match mount.log_level {
        LogLevel::Warn | LogLevel::Info => LogLevel::Error,
        level => level,
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").arg(word).args(["--once", "--quiet", "--max-connections", "1"]);
    // The kernel asks for access control lists whatever programs may reach; what they may is decided here.
    command.args(["--xattr", "all"]);
    command.args(["--max-fids", &known.saturating_add(MORE_FIDS).to_string()]);
    command.args(["--max-channels", &mount.channels.to_string()]);
    command.args(["--sandbox", &name(&mount.sandbox)]);
    if mount.sandbox == Sandbox::None {
        // The only client is this program, which has said so.
        command.arg("--i-trust-the-clients");
    }
    command.args(["--log-level", &name(&level), "--log-format", &name(&mount.log_format)]);
    // What the surroundings say of servers is not meant for this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GOFER_")) {
        command.env_remove(name);
    }
    // A terminal's signals are for the mount, which may be in use for longer.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

/// A value of an option as it is typed.
fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
