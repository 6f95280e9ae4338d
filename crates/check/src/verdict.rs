//! What a case comes to, and how much is demanded.
//!
//! A case says what this server promises, to the errno. Of another server less can be demanded: 9P2000.L says what has
//! to fail and leaves open with which errno. [`demand_eq`](crate::demand_eq) knows the difference: where only the
//! errno is another, that is a note and no failure.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind, resume_unwind};

use gofer_vfs::Errno;

use crate::record::Exchange;
use crate::{Case, Site};

/// How much is demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// What any server of 9P2000.L has to do.
    Protocol,
    /// All that `docs/semantics.md` promises, to the errno.
    #[default]
    Exact,
}

/// What a case came to.
#[derive(Debug)]
pub enum Outcome {
    /// It is so. Where the server took a freedom that the protocol leaves, a note says so.
    Pass {
        /// What was noted.
        notes: Vec<String>,
    },
    /// It could not be tried, and why.
    Skip {
        /// Why.
        why: String,
    },
    /// It is not so.
    Fail {
        /// What was seen.
        why: String,
        /// The last message and its answer.
        last: Exchange,
    },
}

/// Why a case ended before its end.
#[derive(Debug)]
pub enum Failure {
    /// An errno where there should be none.
    Errno(Errno, &'static Location<'static>),
    /// It cannot be tried here.
    Skip(String),
}

/// What a case comes to.
pub type Checked = Result<(), Failure>;

impl From<Errno> for Failure {
    #[track_caller]
    fn from(errno: Errno) -> Self {
        Self::Errno(errno, Location::caller())
    }
}

thread_local! {
    /// The notes of the case that runs on this thread, where the protocol is all that is demanded.
    static NOTES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
    /// Where this thread panicked last.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Ends the case: what it needs is not here.
///
/// # Errors
/// That is all it does.
pub(crate) fn skip(why: &str) -> Checked {
    Err(Failure::Skip(why.to_owned()))
}

/// As [`skip`], from wherever it is called.
pub(crate) fn skip_now(why: impl fmt::Display) -> ! {
    resume_unwind(Box::new(Failure::Skip(why.to_string())))
}

/// What only the promises of this server demand.
pub(crate) fn is_exact() -> bool {
    NOTES.with_borrow(Option::is_none)
}

/// Notes a freedom that the server takes.
pub(crate) fn note(what: impl fmt::Display) {
    NOTES.with_borrow_mut(|notes| {
        let Some(notes) = notes else { return };
        let what = what.to_string();
        if !notes.contains(&what) {
            notes.push(what);
        }
    });
}

/// For [`std::panic::set_hook`]: says nothing and remembers where it was.
pub fn remember_panic(info: &PanicHookInfo<'_>) {
    if let Some(at) = info.location() {
        PANICKED_AT.with_borrow_mut(|place| *place = format!("{}:{}: ", at.file(), at.line()));
    }
}

/// Runs a case, on this thread.
pub fn judge(case: &Case, demand: Demand, site: impl FnOnce() -> Site) -> Outcome {
    NOTES.set((demand == Demand::Protocol).then(Vec::new));
    let mut last = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let site = site();
        last = Some(site.record());
        (case.run)(&site)
    }));
    let notes = NOTES.take().unwrap_or_default();
    let fail = |why: String| {
        let last = last.map(|record| record.last()).unwrap_or_default();
        Outcome::Fail { why, last }
    };
    match outcome {
        Ok(Ok(())) => Outcome::Pass { notes },
        Ok(Err(Failure::Skip(why))) => Outcome::Skip { why },
        Ok(Err(Failure::Errno(errno @ (Errno::EOPNOTSUPP | Errno::ENOSYS), _)))
            if demand == Demand::Protocol =>
        {
            Outcome::Skip { why: format!("the server does not have it: {errno}") }
        }
        Ok(Err(Failure::Errno(errno, at))) => fail(format!("{}:{}: {errno}", at.file(), at.line())),
        Err(panic) => match panic.downcast::<Failure>() {
            Ok(skip) => match *skip {
                Failure::Skip(why) => Outcome::Skip { why },
                Failure::Errno(errno, at) => fail(format!("{}:{}: {errno}", at.file(), at.line())),
            },
            Err(panic) => fail(PANICKED_AT.take() + message(panic.as_ref())),
        },
    }
}

/// What comes of talking to a server; what is wrong with it where it breaks the protocol or is silent, at which a
/// [`Client`](crate::Client) panics.
pub(crate) fn caught<T>(talk: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(talk)).map_err(|panic| message(panic.as_ref()).to_owned())
}

/// What was said in a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let skip = panic.downcast_ref::<Failure>().and_then(|failure| match failure {
        Failure::Skip(why) => Some(why.as_str()),
        Failure::Errno(..) => None,
    });
    let text = skip.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

/// Two things that should be equal.
#[derive(Debug)]
pub struct Both<'a, A: ?Sized, B: ?Sized>(pub &'a A, pub &'a B);

/// Whether two things that are not equal are two errnos.
pub trait Errnos {
    /// The errno that came, and the one that this server would have answered.
    fn errnos(&self) -> Option<(Errno, Errno)>;
}

impl<A, B> Errnos for Both<'_, Result<A, Errno>, Result<B, Errno>> {
    fn errnos(&self) -> Option<(Errno, Errno)> {
        match (self.0, self.1) {
            (Err(came), Err(ours)) => Some((*came, *ours)),
            _ => None,
        }
    }
}

impl Errnos for Both<'_, Option<Errno>, Option<Errno>> {
    fn errnos(&self) -> Option<(Errno, Errno)> {
        self.0.zip(*self.1)
    }
}

impl Errnos for Both<'_, Errno, Errno> {
    fn errnos(&self) -> Option<(Errno, Errno)> {
        Some((*self.0, *self.1))
    }
}

/// The same of anything else: they are not.
pub trait NoErrnos {
    /// `None`.
    fn errnos(&self) -> Option<(Errno, Errno)>;
}

impl<A: ?Sized, B: ?Sized> NoErrnos for &Both<'_, A, B> {
    fn errnos(&self) -> Option<(Errno, Errno)> {
        None
    }
}

/// Two things that should be equal are not.
///
/// # Panics
/// Unless it is the errno alone, which nobody but this server promises.
#[track_caller]
pub fn differ(
    errnos: Option<(Errno, Errno)>,
    came: &dyn fmt::Debug,
    expected: &dyn fmt::Debug,
    about: Option<fmt::Arguments<'_>>,
) {
    match errnos {
        // The end of the connection is no errno that a server chose.
        Some((came, ours)) if !is_exact() && came != Errno::ECONNRESET && ours != Errno::ECONNRESET => {
            note(format_args!("{came:?} where gofer answers {ours:?}"));
        }
        _ => {
            let about = about.map_or_else(String::new, |about| format!(" ({about})"));
            panic!("{} where {} is demanded{about}", short(came), short(expected));
        }
    }
}

/// So much of it as can be read.
fn short(what: &dyn fmt::Debug) -> String {
    let text = format!("{what:?}");
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// Demands that two things are equal, as `assert_eq!` does; but where both are failures, only this server has to fail
/// with the same errno.
#[macro_export]
macro_rules! demand_eq {
    ($came:expr, $expected:expr $(,)?) => {
        $crate::demand_eq!(@ $came, $expected, None)
    };
    ($came:expr, $expected:expr, $($about:tt)+) => {
        $crate::demand_eq!(@ $came, $expected, Some(format_args!($($about)+)))
    };
    (@ $came:expr, $expected:expr, $about:expr) => {
        match (&$came, &$expected) {
            (came, expected) => {
                if *came != *expected {
                    #[allow(unused_imports, reason = "one of them decides")]
                    use $crate::verdict::{Errnos as _, NoErrnos as _};
                    let errnos = (&$crate::verdict::Both(came, expected)).errnos();
                    $crate::verdict::differ(errnos, &came, &expected, $about);
                }
            }
        }
    };
}
