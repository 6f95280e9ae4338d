//! Signals, as events of one thread.
//!
//! `SIGPIPE` needs nothing: the language's runtime ignores it from the start.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Takes the signals from here on. They are kept until somebody [`watch`]es.
///
/// # Errors
/// Those of `sigaction(2)` and `socketpair(2)`.
pub(crate) fn take() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT, SIGHUP])
}

/// Becomes true at the first signal that ends a program which does not take it.
///
/// # Errors
/// Those of `sigaction(2)`.
pub(crate) fn noted() -> io::Result<Arc<AtomicBool>> {
    let noted = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        flag::register(signal, Arc::clone(&noted))?;
    }
    Ok(noted)
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
