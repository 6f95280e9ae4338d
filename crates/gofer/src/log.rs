//! The log: lines of text or JSON on standard error.

use std::io;

use tracing::level_filters::LevelFilter;

use crate::args::{LogFormat, LogLevel};
use crate::report;

/// Sends what is logged from here on to standard error. Called once.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(level)
        .with_target(level >= LevelFilter::DEBUG)
        // A reader of the log that went away must not end a request: the default would panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.with_ansi(report::colour()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
