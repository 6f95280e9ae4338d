//! The contract as tests: what every backend has to do, behind every transport, for both dialects.
//!
//! A [`Case`] is a function over a [`Site`]. There is one file of cases for each family of operations, one for
//! frames and tags and one for exports that are read-only; each ends in its [`Family`], which also names the errnos that the contract
//! promises, so that the suite can be checked against it (`tests/matrix.rs`).
//!
//! | module | holds |
//! |---|---|
//! | [`client`] | [`Client`], which believes nothing |
//! | [`site`] | [`Site`]: a server, a tree and a transport |
//! | [`sample`] | the tree that every case begins with |
//! | [`names`] | every message with a name in it, to be filled with any bytes |
//! | [`record`] | [`Record`]: what was asked and answered |
//! | [`model`] | random operations against two backends at once |

mod attr;
mod channel;
pub mod client;
mod dir;
mod entry;
mod frames;
mod io;
mod lock;
pub mod model;
pub mod names;
mod open;
mod readonly;
pub mod record;
pub mod sample;
mod session;
pub mod site;
mod socket;
mod walk;
mod xattr;

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use gofer_vfs::Errno;

pub use client::{Client, ROOT};
pub use record::Record;
pub use site::{Dialect, Ground, Launch, Serving, Setup, Site, Transport};

/// All families. The last is for read-only exports, the others for those that can be written.
pub const FAMILIES: [Family; 12] = [
    frames::FAMILY,
    session::FAMILY,
    walk::FAMILY,
    open::FAMILY,
    io::FAMILY,
    attr::FAMILY,
    entry::FAMILY,
    dir::FAMILY,
    xattr::FAMILY,
    lock::FAMILY,
    socket::FAMILY,
    readonly::FAMILY,
];

/// The cases of a family of operations.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Whether its exports are read-only.
    pub read_only: bool,
    /// Its cases.
    pub cases: &'static [Case],
    /// What its operations are promised to do: for each of them, whether it can succeed, and its errnos.
    pub promises: &'static [Promise],
}

/// What can come of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Its name in the table of operations.
    pub operation: &'static str,
    /// Whether it can succeed.
    pub succeeds: bool,
    /// The errnos that have a meaning of their own.
    pub errnos: &'static [Errno],
}

/// One thing that is to be so.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is to be so.
    pub name: &'static str,
    /// Checks it. It may also panic.
    pub run: fn(&Site) -> Checked,
}

/// A case that failed because of an errno that was not expected.
#[derive(Debug)]
pub struct Failure {
    errno: Errno,
    at: &'static Location<'static>,
}

/// What a case comes to.
pub type Checked = Result<(), Failure>;

impl From<Errno> for Failure {
    #[track_caller]
    fn from(errno: Errno) -> Self {
        Self { errno, at: Location::caller() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.errno)
    }
}

impl Family {
    /// Runs every case at a site of its own. The names of those that failed; why is printed.
    pub fn failures(&self, site: impl Fn(Setup) -> Site) -> Vec<&'static str> {
        let setup = Setup { read_only: self.read_only, ..Setup::default() };
        let failed = |case: &&Case| {
            let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&site(setup))));
            match outcome {
                Ok(Ok(())) => false,
                Ok(Err(failure)) => {
                    eprintln!("{}::{} failed at {failure}", self.name, case.name);
                    true
                }
                // The message of a panic was printed already.
                Err(_) => {
                    eprintln!("{}::{} panicked", self.name, case.name);
                    true
                }
            }
        };
        self.cases.iter().filter(failed).map(|case| case.name).collect()
    }
}

/// The family that a file of cases is.
macro_rules! family {
    (
        $name:literal $($read_only:ident)?;
        cases: $($case:ident)*;
        promises: $($operation:ident $(($never:ident))?: $($errno:ident)*;)*
    ) => {
        pub(crate) const FAMILY: $crate::Family = $crate::Family {
            name: $name,
            read_only: !stringify!($($read_only)?).is_empty(),
            cases: &[$($crate::Case { name: stringify!($case), run: $case }),*],
            promises: &[$($crate::Promise {
                operation: stringify!($operation),
                succeeds: stringify!($($never)?).is_empty(),
                errnos: &[$(gofer_vfs::Errno::$errno),*],
            }),*],
        };
    };
}
pub(crate) use family;

/// A body written by hand, field by field: for what no client would send.
#[macro_export]
macro_rules! body {
    ($($field:expr),* $(,)?) => {{
        let mut body = Vec::new();
        $(gofer_wire::Wire::encode(&$field, &mut body);)*
        body
    }};
}
