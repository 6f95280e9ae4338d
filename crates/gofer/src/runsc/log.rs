//! What is told, and where: errors as runsc's own programs tell them, one JSON object each, which container managers
//! show; and everything, where runsc was asked for that.
//!
//! The standard descriptors are `/dev/null`. Each line is one write, for the process is ended without a word.

use std::fs::File;
use std::io::Write;

use gofer_sys::process;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::args::LogArgs;

/// Sends what is logged from here on to where runsc wants it. Called once.
pub(crate) fn start(log: &LogArgs) {
    // A log that is not there is nothing that could be told.
    let file =
        |number: Option<u32>| number.and_then(|number| process::inherited(number).ok()).map(File::from);
    let errors = file(log.errors).map(|file| {
        tracing_subscriber::fmt::layer().with_writer(file).event_format(Json).with_filter(LevelFilter::ERROR)
    });
    let level = if log.verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let debug = file(log.debug).map(|file| {
        let layer =
            tracing_subscriber::fmt::layer().with_writer(file).with_ansi(false).log_internal_errors(false);
        let layer: Box<dyn Layer<_> + Send + Sync> =
            if log.debug_is_json { layer.event_format(Json).boxed() } else { layer.boxed() };
        layer.with_filter(level)
    });
    tracing_subscriber::registry().with(errors).with(debug).init();
}

/// One object a line: `msg`, `level` and `time`, and the fields of the event.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut into: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Line(Map::new());
        event.record(&mut line);
        line.0.insert("level".to_owned(), level(*event.metadata().level()).into());
        line.0.insert("time".to_owned(), time.into());
        writeln!(into, "{}", Value::Object(line.0))
    }
}

/// As the reference calls them.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// Tells of what ends the gofer before it serves.
pub(crate) fn fatal(what: &dyn std::fmt::Display) {
    tracing::error!("{what}");
    // Somebody may have started it by hand. There is nobody to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "gofer runsc-gofer: {what}");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_error_is_one_object() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).event_format(Json);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!("a \"thing\"\nfailed");
            tracing::info!(connection = 7_u64, "opened");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&objects[0]["msg"], &objects[0]["level"]),
            (&"a \"thing\"\nfailed".into(), &"error".into())
        );
        assert!(objects[0]["time"].as_str().unwrap().ends_with('Z'), "{text}");
        assert_eq!((&objects[1]["msg"], &objects[1]["connection"]), (&"opened".into(), &7.into()));
    }
}
