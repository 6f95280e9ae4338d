//! Signals, as events of one thread.
//!
//! `SIGPIPE` needs nothing: the language's runtime ignores it from the start.

use std::io;
use std::process;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Takes the signals from here on. They are kept until somebody [`watch`]es.
///
/// # Errors
/// Those of `sigaction(2)` and `socketpair(2)`.
pub(crate) fn take() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT, SIGHUP])
}

/// Calls `stop` at the first `SIGTERM` or `SIGINT`; the second ends the process at once with exit code 1.
///
/// # Errors
/// Those of starting a thread.
pub(crate) fn watch(mut signals: Signals, stop: impl Fn() + Send + 'static) -> io::Result<()> {
    let watch = move || {
        let mut stopping = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => tracing::info!("SIGHUP ignored: configuration does not change after start"),
                _ if stopping => process::exit(1),
                _ => {
                    stopping = true;
                    stop();
                }
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map(drop)
}
