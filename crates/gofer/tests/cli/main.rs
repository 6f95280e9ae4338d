//! The program as it is used: command lines, exit codes, sockets and signals.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod commands;
mod demo;
mod hostile;
mod peer;
mod process;
mod runsc;
mod sandbox;
mod serving;
mod start;
mod usage;
