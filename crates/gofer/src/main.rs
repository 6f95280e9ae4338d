//! `gofer`: serves directories of this host to untrusted clients over 9P2000.L, uses such servers, checks and measures
//! them.

mod args;
mod banner;
mod bench;
mod check;
mod client;
mod config;
mod demo;
mod events;
mod export;
mod generate;
mod log;
mod mount;
mod report;
mod runsc;
mod sandbox;
mod serve;
mod signals;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use args::{Args, Command};
use report::Failure;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = runsc::main(&words) {
        return code;
    }
    match args::parse(words).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                // There is nobody to tell when standard error is closed.
                let _ = writeln!(std::io::stderr(), "gofer: {failure}");
            }
            failure.code()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Serve(settings) => serve::run(*settings),
        Command::Client(command) => client::run(&command),
        Command::Bench(bench) => bench::run(&bench),
        Command::Check(check) => check::run(&check),
        Command::Mount(mount) => mount::run(&mount),
        Command::Demo => demo::run(),
        Command::RunscInstall(install) => runsc::install(&install),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(dir.as_deref()),
    }
}
