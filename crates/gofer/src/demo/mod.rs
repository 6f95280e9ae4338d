//! `gofer demo`: what it is for, in ten seconds and as any user.
//!
//! A sealed server of a directory with a secret beside it is shown, attacked and measured; all of it lies in a
//! directory for temporary files that is removed at the end, whatever the end is.
//!
//! | file | holds |
//! |---|---|
//! | `sample.rs` | the directory, and the secret beside it |
//! | `layers.rs` | what the server has given up |
//! | `attacks.rs` | the table of attacks |
//! | `attacker.rs` | the client that makes them, and what became of each |
//! | `speed.rs` | latency and throughput |
//! | `page.rs` | how it looks: 80 columns, and colours on a terminal |

mod attacker;
mod attacks;
mod layers;
mod page;
mod sample;
mod speed;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::{Rights, Sealed, Server};
use crate::report::{Failure, errno};
use crate::{client, signals};
use attacks::Table;
use page::Page;
use sample::Sample;

/// Shows everything.
///
/// # Errors
/// [`Failure`], if only because an attack was not blocked.
pub(crate) fn run() -> Result<(), Failure> {
    let stop = signals::noted()
        .map_err(|error| Failure::start(format!("cannot take signals: {}; try again", errno(&error))))?;
    match show(&Stop(Arc::clone(&stop))) {
        // Whatever failed, it was because of this.
        Err(_) if stop.load(Ordering::Relaxed) => {
            Err(Failure::running("stopped by a signal; nothing is left of the demonstration"))
        }
        shown => shown,
    }
}

/// Whether a signal asked for the end.
struct Stop(Arc<AtomicBool>);

impl Stop {
    /// # Errors
    /// [`Failure`] when it did.
    fn go_on(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) { Err(Failure::running("stopped")) } else { Ok(()) }
    }
}

fn show(stop: &Stop) -> Result<(), Failure> {
    let page = Page::new();
    page.title(&format!("gofer {}: files for programs that nobody trusts", env!("CARGO_PKG_VERSION")))?;

    page.heading("A directory, and a secret beside it")?;
    let sample = Sample::new()?;
    page.line(&format!("{}/", sample.path().display()))?;
    page.line("├── secret.txt   is not exported; it belongs to the same user as the rest")?;
    page.line("└── tree/        is exported, read-only")?;
    stop.go_on()?;

    page.heading("A server of that directory")?;
    let (server, took) = Server::start(sample.path(), Rights::ReadOnly, Sealed::Yes)?;
    page.line(&format!(
        "It answered {} ms after its start, and had given up before that:",
        took.as_millis().max(1)
    ))?;
    layers::show(&page, &sample, &server)?;
    stop.go_on()?;

    page.heading("What a client sees")?;
    let place = format!("{}:", server.address);
    page.command(&format!("gofer tree {place}"))?;
    client::draw(&place, page::INDENT)?;
    stop.go_on()?;

    page.heading("What a hostile client gets")?;
    let through = Table::new(&server, &sample, &page, stop).run()?;
    stop.go_on()?;

    page.heading("How fast a client reads")?;
    speed::show(&page, &sample, &server, stop)?;

    page.heading("Now with a directory of yours")?;
    let program = std::env::args_os().next().unwrap_or_else(|| OsString::from("gofer"));
    page.command(&format!("{} serve .", program.display()))?;
    page.line("It says how to reach it, how to mount it, and how it is sealed.")?;
    match through {
        0 => Ok(()),
        n => Err(Failure::running(format!(
            "{n} attacks were not blocked; please report it as SECURITY.md says"
        ))),
    }
}
