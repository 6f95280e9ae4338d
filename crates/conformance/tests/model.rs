//! Random operations: the model against itself, the model against host files, and against what may not
//! change. `PROPTEST_CASES` sets how many sequences are tried.

use std::os::unix::fs::PermissionsExt;

use gofer_client::{Client, Dialect, Options, lisafs};
use gofer_conformance::model::{self, Answer, EntryOp, Op, Scope, Side, Tree};
use gofer_localfs::LocalFs;
use gofer_server::lisafs::Settings;
use gofer_server::{Export, Limits, Policy, Server};
use gofer_transport::Socket;
use gofer_vfs::{Access, Backend, Errno, MemFs, Name, Owner, ReadOnly, XattrPolicy};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

/// More than any sequence of operations takes.
const ROOMY: u64 = 1 << 26;

/// The fewest cases that find a slip with a good chance; `PROPTEST_CASES` overrides them.
fn cases(usual: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { usual };
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..default }
}

fn same<A: Backend, B: Backend>(a: &A, b: &B, ops: &[Op]) -> Result<(), TestCaseError> {
    model::run(a, b, ops).map_err(|difference| TestCaseError::fail(difference.to_string()))
}

/// An empty host directory, with the mode that the root of a tree in memory has.
fn host() -> (TempDir, LocalFs) {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let fs = LocalFs::open(dir.path()).expect("an export");
    (dir, fs)
}

/// What Linux answers is the truth that the model has to tell.
#[test]
fn the_model_agrees_with_host_files() {
    let (_dir, fs) = host();
    let scope = Scope::probe(&fs).expect("a writable directory");
    let outcome = TestRunner::new(cases(300)).run(&model::ops(scope, 120), |ops| {
        let (_dir, fs) = host();
        same(&MemFs::new(ROOMY), &fs, &ops)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// A tree behind a server, as its client sees it.
fn far<B: Backend>(backend: B) -> Client {
    let policy = Policy { xattr: XattrPolicy::All, devices: true, ..Policy::default() };
    let server =
        Server::new(vec![Export { name: None, backend, policy }], Limits::default()).expect("a server");
    let (ours, theirs) = Socket::pair().expect("two sockets");
    server.connect(theirs).expect("a connection");
    let options = Options { dialect: Some(Dialect::Base), ..Options::default() };
    Client::over(ours, &options).expect("a client")
}

/// Through a client and a server the model is still the model.
#[test]
fn the_model_agrees_with_itself_from_afar() {
    let outcome = TestRunner::new(cases(150)).run(&model::ops(Scope::ALL, 120), |ops| {
        let ops: Vec<_> = ops.into_iter().filter_map(Op::said).collect();
        same(&MemFs::new(ROOMY), &far(MemFs::new(ROOMY)), &ops)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Through a client and a server host files are still what the model says.
#[test]
fn the_model_agrees_with_host_files_from_afar() {
    let (_dir, fs) = host();
    let scope = Scope::probe(&fs).expect("a writable directory");
    let outcome = TestRunner::new(cases(100)).run(&model::ops(scope, 120), |ops| {
        let ops: Vec<_> = ops.into_iter().filter_map(Op::said).collect();
        let (_dir, fs) = host();
        same(&MemFs::new(ROOMY), &far(fs), &ops)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// A tree behind a server, as its client sees it that speaks lisafs.
fn far_in_lisafs<B: Backend>(backend: B, channels: usize) -> lisafs::Client {
    let exports = vec![Export { name: None, backend, policy: Policy::default() }];
    let server = Server::new(exports, Limits::default()).expect("a server");
    let (ours, theirs) = Socket::pair().expect("two sockets");
    server.connect_lisafs(theirs, 0, Settings::default()).expect("a connection");
    lisafs::Client::over(ours, &lisafs::Options { channels, ..lisafs::Options::default() }).expect("a client")
}

/// Through lisafs the model is still the model, on a socket and on channels.
#[test]
fn the_model_agrees_with_itself_through_lisafs() {
    for channels in [0, 1] {
        let outcome = TestRunner::new(cases(100)).run(&model::ops(Scope::ALL, 120), |ops| {
            let ops: Vec<_> = ops.into_iter().filter_map(Op::said_in_lisafs).collect();
            same(&MemFs::new(ROOMY), &far_in_lisafs(MemFs::new(ROOMY), channels), &ops)
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
    }
}

/// Through lisafs host files are still what the model says.
#[test]
fn the_model_agrees_with_host_files_through_lisafs() {
    let (_dir, fs) = host();
    let scope = Scope::probe(&fs).expect("a writable directory");
    let outcome = TestRunner::new(cases(100)).run(&model::ops(scope, 120), |ops| {
        let ops: Vec<_> = ops.into_iter().filter_map(Op::said_in_lisafs).collect();
        let (_dir, fs) = host();
        same(&MemFs::new(ROOMY), &far_in_lisafs(fs, 1), &ops)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn a_difference_is_found() {
    let name = Name::new(b"d").expect("a name");
    let mkdir = Op::Entry(EntryOp::Mkdir { dir: 0, name, perm: 0o755, owner: Owner::default() });
    let difference = model::run(&MemFs::new(ROOMY), &MemFs::new(0), &[mkdir]).expect_err("one is full");
    assert_eq!((difference.step, &difference.right[..]), (0, "Err(ENOSPC)"));
}

proptest! {
    #![proptest_config(cases(300))]

    /// Two trees in memory, one behind a wrapper.
    #[test]
    fn the_model_agrees_with_itself(ops in model::ops(Scope::ALL, 120)) {
        same(&MemFs::new(ROOMY), &Access::ReadWrite(MemFs::new(ROOMY)), &ops)?;
    }

    /// Whatever is asked of a read-only tree, it is afterwards what it was before.
    #[test]
    fn nothing_changes_what_is_read_only(
        before in model::ops(Scope::ALL, 60),
        ops in model::ops(Scope::ALL, 60),
    ) {
        let fs = ReadOnly(MemFs::new(ROOMY));
        let mut side = Side::new(&fs.0).expect("attach");
        for op in &before {
            // Failures are as good a start as successes.
            side.apply(op).ok();
        }
        drop(side);
        let tree = Tree::read(&fs).expect("a tree in memory");
        let mut side = Side::new(&fs).expect("attach");
        for op in &ops {
            match side.apply(op) {
                Err(errno) if op.changes() => prop_assert_eq!(errno, Errno::EROFS, "{:?}", op),
                Ok(answer) if op.changes() => prop_assert_eq!(answer, Answer::LeftOut, "{:?}", op),
                _ => {}
            }
        }
        drop(side);
        prop_assert_eq!(Tree::read(&fs).expect("a tree in memory"), tree);
    }
}
