//! What is said to the person who started the program when it cannot go on, and the exit code for it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use gofer_vfs::Errno;

/// The exit codes, for the help and the man page.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  ended as asked
  1  failed while running, or was told twice to end
  2  wrong command line or configuration
  3  could not start: an export cannot be opened, an address is in use, nobody
      answers there, the process cannot be sealed, ..
  5  a server does not pass a check
  6  some of what was asked for failed, and it was said what";

/// How far the program came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It was serving.
    Running = 1,
    /// It did not understand what was asked for.
    Usage = 2,
    /// It understood, and could not do it.
    Start = 3,
    /// It checked a server, which did not pass.
    Check = 5,
    /// It did a part of it.
    Partial = 6,
}

/// One line for a person: what failed, why, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    stage: Stage,
    message: String,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { stage: Stage::Usage, message: message.to_string() }
    }

    /// Something that was asked for cannot be had.
    pub(crate) fn start(message: impl fmt::Display) -> Self {
        Self { stage: Stage::Start, message: message.to_string() }
    }

    /// Something failed while serving.
    pub(crate) fn running(message: impl fmt::Display) -> Self {
        Self { stage: Stage::Running, message: message.to_string() }
    }

    /// All of what was asked for failed, or a part; each was told when it happened.
    pub(crate) fn told(partly: bool) -> Self {
        Self { stage: if partly { Stage::Partial } else { Stage::Running }, message: String::new() }
    }

    /// A server did not pass; what it failed was told when it happened.
    pub(crate) fn check() -> Self {
        Self { stage: Stage::Check, message: String::new() }
    }

    /// The parser's words on one line, without its usage summary. `program` is what explains itself with `--help`.
    pub(crate) fn misread(error: &clap::Error, program: &str) -> Self {
        let text = error.render().to_string();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let said = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
        let said = said.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
        let said = match error.kind() {
            // The parser shows its whole help here.
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "no command was given",
            _ => said.strip_prefix("error: ").unwrap_or(&said),
        };
        Self::usage(format!("{said}; see '{program} --help'"))
    }

    /// Whether there is anything left to say.
    pub(crate) fn is_told(&self) -> bool {
        self.message.is_empty()
    }

    /// The code to exit with.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.stage as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The errno of a failed library call.
pub(crate) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_host)
}

/// Writes to standard output. A reader that has seen enough is no failure.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::running(format!("cannot write to standard output: {}; redirect it", errno(&error))))
        }
        _ => Ok(()),
    }
}

/// Whether what goes to standard error may be coloured: a terminal shows it and <https://no-color.org> does
/// not forbid it.
pub(crate) fn colour() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !forbidden && io::stderr().is_terminal()
}
