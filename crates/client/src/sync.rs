//! The locks and threads of what is modelled: the library's, or loom's where a model runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gofer-client --release --lib model` runs the model, `rpc/model.rs`.

#[cfg(not(all(test, loom)))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread,
};

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, loom))]
pub(crate) mod thread {
    use std::time::Duration;

    pub(crate) use loom::thread::{Thread, current, park};

    /// No time passes in a model.
    pub(crate) fn park_timeout(_: Duration) {
        park();
    }
}
