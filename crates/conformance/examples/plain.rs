//! Random operations against any 9P2000.L server, through our client, and against host files beside it: whatever
//! the server is, the two have to agree.
//!
//! usage: plain ADDR DIR: the server at ADDR exports DIR, which is a writable directory of this host

use std::path::Path;

use gofer_client::{Client, Dialect, Options};
use gofer_conformance::model::{self, AttrOp, EntryOp, IoOp, Op, Scope};
use gofer_localfs::LocalFs;
use gofer_transport::Address;
use gofer_vfs::SetAttr;
use proptest::test_runner::{Config, TestRunner};

/// The operation, unless servers answer it differently: what was removed or moved is out of reach for those that
/// remember paths.
fn plain(op: Op) -> Option<Op> {
    match op.said()? {
        // Of a symbolic link, where paths are followed.
        Op::Attr(AttrOp::Statfs { .. }) => None,
        // Where the size cannot be set, some change nothing else either.
        Op::Attr(AttrOp::Setattr { set, .. })
            if set.size.is_some() && set != (SetAttr { size: set.size, ..SetAttr::default() }) =>
        {
            None
        }
        // Some lock whole files only.
        Op::Lock(_) => None,
        // Not in plain 9P2000.L.
        Op::Io(IoOp::Allocate { .. }) => None,
        Op::Entry(EntryOp::Unlink { .. } | EntryOp::Rename { .. }) => None,
        op => Some(op),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (address, dir) = words.next().zip(words.next()).ok_or("usage: plain ADDR DIR")?;
    let (address, dir) = (address.parse::<Address>()?, Path::new(&dir));
    gofer_sys::process::clear_umask();
    let options = |below: &Path| Options {
        export: below.to_string_lossy().into_owned(),
        user: Some(gofer_sys::process::user().0.0),
        dialect: Some(Dialect::Base),
        ..Options::default()
    };
    // What neither all servers nor the protocol can say is left out.
    let scope = Scope { privileged: false, devices: false, zero_range: false, xattrs: false };
    let config = Config { failure_persistence: None, ..Config::default() };
    let cases = config.cases;
    let outcome = TestRunner::new(config).run(&model::ops(scope, 60), |ops| {
        let fail =
            |error: &dyn std::fmt::Display| proptest::test_runner::TestCaseError::fail(error.to_string());
        let (there, here) = (tempfile::tempdir_in(dir), tempfile::tempdir());
        let (there, here) = (there.map_err(|e| fail(&e))?, here.map_err(|e| fail(&e))?);
        let client = Client::connect(&address, &options(there.path())).map_err(|e| fail(&e))?;
        let host = LocalFs::open(here.path()).map_err(|e| fail(&e))?;
        let ops: Vec<Op> = ops.into_iter().filter_map(plain).collect();
        model::run(&host, &client, &ops).map_err(|difference| fail(&difference))
    });
    match outcome {
        Ok(()) => println!("{cases} passed, 0 failed, 0 skipped"),
        Err(failure) => {
            println!("{failure}\n0 passed, 1 failed, 0 skipped");
            std::process::exit(1);
        }
    }
    Ok(())
}
