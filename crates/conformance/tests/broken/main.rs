//! Servers that are broken on purpose: each has to fail the case that looks for what is wrong with it, and the same
//! server without the fault has to pass. A check that cannot fail is worth nothing.

mod backend;
mod proxy;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gofer_check::at::{At, Options, Rights};
use gofer_check::run::{Plan, run};
use gofer_conformance::{Demand, Outcome};
use gofer_localfs::LocalFs;
use gofer_server::{Export, Limits, Policy, Server};
use gofer_sys::process::user;
use gofer_transport::{Address, Listener};
use gofer_vfs::{Access, ReadOnly};
use tempfile::TempDir;

use backend::{Broken, Fault};
use proxy::Proxy;

/// A server on a directory made for it, and where it listens.
struct Place {
    server: Arc<Server<Broken>>,
    dir: TempDir,
}

impl Place {
    fn new(fault: Option<Fault>, writable: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        std::fs::create_dir(dir.path().join("export")).expect("a directory");
        let tree = LocalFs::open(&dir.path().join("export")).expect("an export");
        let tree = if writable { Access::ReadWrite(tree) } else { Access::ReadOnly(ReadOnly(tree)) };
        let backend = Broken { inner: tree, fault };
        let export = Export { name: None, backend, policy: Policy::default() };
        let server = Server::new(vec![export], Limits::default()).expect("a server");
        let address = Address::Unix(dir.path().join("s"));
        server.listen(Listener::bind(&address).expect("a socket")).expect("a thread");
        Self { server, dir }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("s")
    }

    /// The cases that fail there, of those that are named, and what is said of them; and why others were skipped.
    fn check(&self, socket: &Path, rights: Rights, only: &str) -> (Vec<String>, Vec<String>) {
        let options = Options {
            address: Address::Unix(socket.to_owned()),
            aname: "/".to_owned(),
            export_dir: Some(self.dir.path().join("export")),
            rights,
            user: user().0.0,
            patience: Duration::from_secs(3),
        };
        let at = At::reach(options).expect("a server");
        let only = only.split(',').map(str::to_owned).collect();
        let plan = Plan { only, demand: Demand::Protocol, limit: Duration::from_secs(60) };
        assert_eq!(plan.unknown(), None);
        let (mut failed, mut skipped) = (Vec::new(), Vec::new());
        let counts = run(&at, &plan, &AtomicBool::new(false), |line| match &line.outcome {
            Outcome::Pass { .. } => {}
            Outcome::Fail { why, .. } => failed.push(format!("{}/{}: {why}", line.group, line.case)),
            Outcome::Skip { why } => skipped.push(why.clone()),
        });
        assert_eq!((counts.failed, counts.skipped), (failed.len(), skipped.len()));
        at.remove();
        let left = std::fs::read_dir(self.dir.path().join("export")).expect("the export").count();
        assert!(left == 0, "{left} files are left behind");
        (failed, skipped)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.drain(Duration::ZERO);
    }
}

/// That what is named fails at a server with the fault, and passes at one without.
fn is_found(fault: Fault, rights: Rights, case: &str) {
    let writable = rights == Rights::Change;
    let sound = Place::new(None, writable);
    let (failed, _) = sound.check(&sound.socket(), rights, case);
    assert!(failed.is_empty(), "without a fault: {failed:?}");
    let broken = Place::new(Some(fault), writable);
    let (failed, skipped) = broken.check(&broken.socket(), rights, case);
    assert!(!failed.is_empty(), "{fault:?} is not found by {case}; skipped: {skipped:?}");
}

#[test]
fn links_are_followed_to_directories() {
    is_found(Fault::Follows, Rights::Change, "containment/nothing_is_behind_a_link");
    is_found(Fault::Follows, Rights::Change, "containment/a_walk_ends_at_a_link");
    is_found(Fault::Follows, Rights::Change, "containment/links_of_a_clients_own_lead_nowhere");
}

#[test]
fn links_are_followed_when_they_come_at_the_right_time() {
    for who in ["the_host", "another_client"] {
        let case = format!("containment/a_link_swapped_for_a_directory_by_{who}");
        is_found(Fault::Follows, Rights::Change, &case);
    }
    is_found(Fault::Follows, Rights::Change, "containment/a_link_swapped_for_a_file");
}

#[test]
fn read_only_is_forgotten_once() {
    is_found(Fault::MakesDirectories, Rights::BeRefused, "readonly/every_change_is_refused");
}

#[test]
fn read_only_is_forgotten() {
    let place = Place::new(None, true);
    let (failed, _) = place.check(&place.socket(), Rights::BeRefused, "readonly");
    assert!(failed.iter().any(|failed| failed.starts_with("readonly/every_change_is_refused")), "{failed:?}");
}

#[test]
fn what_is_created_takes_the_place_of_what_is_there() {
    is_found(Fault::CreatesOverAll, Rights::Change, "concurrency/a_name_is_made_once");
}

#[test]
fn data_are_lost() {
    is_found(Fault::DropsWrites, Rights::Change, "durability/what_was_synced_outlives_its_connection");
    is_found(Fault::DropsWrites, Rights::Change, "io/writes_go_where_they_are_told");
}

/// That what is named fails where messages are altered on their way to a sound server.
fn is_found_on_the_way(meddle: proxy::Meddle, case: &str) -> (Vec<String>, Vec<String>) {
    let place = Place::new(None, true);
    let through = |meddle| {
        let proxy = Proxy::start(&place.dir.path().join("p"), &place.socket(), meddle);
        place.check(proxy.socket(), Rights::Change, case)
    };
    let (failed, _) = through(|_| proxy::Do::Pass);
    assert!(failed.is_empty(), "without a fault: {failed:?}");
    let (failed, skipped) = through(meddle);
    assert!(!failed.is_empty(), "{case} finds nothing; skipped: {skipped:?}");
    (failed, skipped)
}

const TFLUSH: u8 = 108;
const TWALK: u8 = 110;
const TREAD: u8 = 116;

/// An Rwalk of one directory, which is none of the server's.
const LED_OUT: &[u8] = &[1, 0, 0x80, 0, 0, 0, 0, 0xad, 0xde, 0, 0, 0, 0, 0, 0];

#[test]
fn two_dots_lead_out() {
    is_found_on_the_way(
        |frame| match frame {
            [_, _, _, _, TWALK, ..] if frame.ends_with(b"\x02\0..") => proxy::Do::Answer(LED_OUT),
            _ => proxy::Do::Pass,
        },
        "containment/nothing_is_above_the_root",
    );
}

#[test]
fn a_slash_is_taken_for_a_path() {
    is_found_on_the_way(
        |frame| match frame {
            [_, _, _, _, TWALK, ..] if frame.ends_with(b"dir/inner") => proxy::Do::Answer(LED_OUT),
            _ => proxy::Do::Pass,
        },
        "containment/slashes_are_no_names",
    );
}

#[test]
fn a_flush_is_never_answered() {
    let (failed, _) = is_found_on_the_way(
        |frame| if frame[4] == TFLUSH { proxy::Do::Nothing } else { proxy::Do::Pass },
        "concurrency/a_flush_of_nothing_is_answered_at_once",
    );
    assert!(failed[0].contains("silent"), "{failed:?}");
}

#[test]
fn a_reply_has_another_tag() {
    is_found_on_the_way(
        |frame| if frame[4] == TREAD { proxy::Do::Retag } else { proxy::Do::Pass },
        "io/reading_ends_where_the_file_does",
    );
}

#[test]
fn a_reply_has_more_bytes_than_fields() {
    is_found_on_the_way(
        |frame| if frame[4] == TFLUSH { proxy::Do::Answer(b"more") } else { proxy::Do::Pass },
        "limits/a_flood_of_flushes_is_answered",
    );
}

#[test]
fn what_is_cut_short_is_taken_for_whole() {
    is_found_on_the_way(
        |frame| if frame[4] == 24 && frame.len() < 19 { proxy::Do::Pad(19) } else { proxy::Do::Pass },
        "malformed/a_body_that_is_cut_short_is_refused",
    );
}

/// The server that dies is told of, and what comes behind is not tried.
#[test]
fn an_unknown_message_ends_the_server() {
    let (failed, skipped) = is_found_on_the_way(
        |frame| if frame[4] == 200 { proxy::Do::Die } else { proxy::Do::Pass },
        "malformed/unknown_numbers_are_refused,malformed/any_bytes_in_any_message_are_answered,durability",
    );
    assert!(failed.len() == 1 && failed[0].contains("does not answer any more"), "{failed:?}");
    assert!(skipped.iter().filter(|why| *why == "the server is gone").count() >= 5, "{skipped:?}");
}
