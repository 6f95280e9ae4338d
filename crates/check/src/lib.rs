//! The contract as cases, against a server at any address.
//!
//! A [`Case`] is a function over a [`Site`]. There is one file of cases for each family of operations, and one for each
//! thing that holds for all of them; each ends in its [`Family`], which also names the errnos that the contract
//! promises, so that the suite can be checked against it. `gofer check` runs them against a server that somebody else
//! started ([`at`]), and the test suite against servers of its own.
//!
//! | module | holds |
//! |---|---|
//! | [`client`] | [`Client`], which believes nothing |
//! | [`site`] | [`Site`]: a server, a tree and a transport |
//! | [`at`] | sites at an address, and the directory that they are made in |
//! | [`run`] | running cases one by one, within a time |
//! | [`verdict`] | [`Outcome`], and what is demanded of whom |
//! | [`sample`] | the tree that every case begins with |
//! | [`names`] | every message with a name in it, to be filled with any bytes |
//! | [`record`] | [`Record`]: what was asked and answered |

pub mod at;
mod attr;
mod channel;
pub mod client;
mod concurrency;
mod containment;
mod dir;
mod durability;
mod entry;
mod io;
mod limits;
mod lock;
mod malformed;
pub mod names;
mod open;
mod readonly;
pub mod record;
pub mod run;
pub mod sample;
mod session;
pub mod site;
mod socket;
pub mod verdict;
mod walk;
mod window;
mod xattr;

use gofer_vfs::Errno;

pub use client::{Client, ROOT};
pub use containment::remove_outside;
pub use record::Record;
pub use site::{Dialect, Facts, Lack, Serving, Setup, Site, Transport};
pub use verdict::{Checked, Demand, Outcome, judge};

/// All families: those of operations, then those of what holds for all of them.
pub const FAMILIES: [Family; 17] = [
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
    containment::FAMILY,
    malformed::FAMILY,
    concurrency::FAMILY,
    limits::FAMILY,
    durability::FAMILY,
    channel::FAMILY,
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
    /// Whether any server of 9P2000.L has to do it, or this one alone promises it.
    pub demand: Demand,
    /// Whether any tree will do, and nothing in it is changed.
    pub is_bare: bool,
    /// Checks it. It may also panic.
    pub run: fn(&Site) -> Checked,
}

impl Family {
    /// Runs every case at a site of its own. The names of those that failed; why is printed.
    pub fn failures(&self, site: impl Fn(Setup) -> Site) -> Vec<&'static str> {
        let setup = Setup { read_only: self.read_only, ..Setup::default() };
        let failed = |case: &&Case| match judge(case, Demand::Exact, || site(setup)) {
            Outcome::Pass { .. } | Outcome::Skip { .. } => false,
            Outcome::Fail { why, last } => {
                eprintln!("{}/{} failed: {why}", self.name, case.name);
                eprintln!("  sent    {}\n  answer  {}", last.sent, last.answer);
                true
            }
        };
        self.cases.iter().filter(failed).map(|case| case.name).collect()
    }
}

/// The family that a file of cases is. `ours` are cases that this server alone has to pass; what is `bare` needs no
/// files of its own.
macro_rules! family {
    (
        $name:literal $($read_only:ident)?;
        cases: $($case:ident $(($bare:ident))?)*;
        $(ours: $($ours:ident)*;)?
        promises: $($operation:ident $(($never:ident))?: $($errno:ident)*;)*
    ) => {
        pub(crate) const FAMILY: $crate::Family = $crate::Family {
            name: $name,
            read_only: !stringify!($($read_only)?).is_empty(),
            cases: &[
                $($crate::Case {
                    name: stringify!($case),
                    demand: $crate::Demand::Protocol,
                    is_bare: !stringify!($($bare)?).is_empty(),
                    run: $case,
                },)*
                $($($crate::Case {
                    name: stringify!($ours),
                    demand: $crate::Demand::Exact,
                    is_bare: false,
                    run: $ours,
                },)*)?
            ],
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
