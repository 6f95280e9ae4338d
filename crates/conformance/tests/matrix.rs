//! The conformance suite over every backend, transport and dialect; and whether the suite is complete.

use std::sync::Arc;

use gofer_conformance::{Dialect, FAMILIES, Ground, Record, Transport, site};
use gofer_sys::process::user;
use gofer_vfs::{Errno, Uid};

/// Runs the cases of a family.
fn check(name: &str, ground: Ground, transport: Transport, dialect: Dialect) {
    let family = FAMILIES.iter().find(|family| family.name == name).expect("a family");
    let failures = family.failures(|setup| site(ground, transport, dialect, setup));
    assert!(failures.is_empty(), "{name} on {ground:?} over {transport:?} in {dialect:?}: {failures:?}");
}

/// A test for each family.
macro_rules! families {
    ($ground:ident $transport:ident $dialect:ident: $($family:ident)*) => {
        use super::*;
        $(
            #[test]
            fn $family() {
                check(stringify!($family), Ground::$ground, Transport::$transport, Dialect::$dialect);
            }
        )*
    };
}

macro_rules! matrix {
    ($($ground:ident $ground_name:ident)*) => { $(
        mod $ground_name {
            use super::*;
            matrix!(@transports $ground: Pair pair, Unix unix, Tcp tcp, Memory in_memory);
            mod channel {
                matrix!(@families $ground Channel Google);
                mod whole {
                    matrix!(@whole $ground Channel Google);
                }
            }
            // What holds for all operations is a matter of server and backend more than of the transport.
            mod whole {
                use super::*;
                mod base {
                    matrix!(@whole $ground Pair Base);
                }
                mod google {
                    matrix!(@whole $ground Unix Google);
                }
                mod tcp {
                    matrix!(@whole $ground Tcp Base);
                }
            }
        }
    )* };
    (@transports $ground:ident: $($transport:ident $name:ident),*) => { $(
        mod $name {
            use super::*;
            mod base {
                matrix!(@families $ground $transport Base);
            }
            mod google {
                matrix!(@families $ground $transport Google);
            }
        }
    )* };
    (@families $($of:ident)*) => {
        families!($($of)*: session walk open io attr entry dir xattr lock socket readonly);
    };
    (@whole $($of:ident)*) => {
        families!($($of)*: containment malformed concurrency limits durability channel);
    };
}

matrix!(Memory memory Host host Remote remote RemoteHost remote_host Lisafs lisafs LisafsHost lisafs_host);

/// Everything that [`matrix`] has tests for is all there is.
#[test]
fn all_families_are_in_the_matrix() {
    let names = FAMILIES.map(|family| family.name);
    let tested = "session walk open io attr entry dir xattr lock socket readonly containment malformed concurrency \
                  limits durability channel";
    assert_eq!(names.join(" "), tested);
}

/// Every operation of the table has cases for its success and for each errno that it is promised to answer.
#[test]
fn every_promise_has_a_case() {
    macro_rules! numbers {
        ($($number:literal $variant:ident $name:ident: $request:ty => $reply:ty;)*) => {
            [$(($number as u8, stringify!($name))),*]
        };
    }
    let record = Arc::new(Record::default());
    for dialect in [Dialect::Base, Dialect::Google] {
        for family in FAMILIES {
            let on_host = |setup| site(Ground::Host, Transport::Pair, dialect, setup).recorded(&record);
            assert_eq!(family.failures(on_host), [""; 0]);
            let in_memory = |setup| site(Ground::Memory, Transport::Memory, dialect, setup).recorded(&record);
            assert_eq!(family.failures(in_memory), [""; 0]);
        }
    }
    let mut missing = Vec::new();
    for (number, name) in gofer_wire::p9_operations!(numbers) {
        let promises: Vec<_> =
            FAMILIES.iter().flat_map(|f| f.promises).filter(|p| p.operation == name).collect();
        let [promise] = promises[..] else { panic!("{name} is promised {} times", promises.len()) };
        if promise.succeeds != record.has(number, None) {
            missing.push(format!("{name}: success is promised: {}", promise.succeeds));
        }
        for errno in promise.errnos {
            // Nothing is closed to root.
            let is_for_others = matches!((name, *errno), (_, Errno::EACCES) | ("setattr", Errno::EPERM));
            let cannot_be = is_for_others && user().0 == Uid(0);
            if !cannot_be && !record.has(number, Some(*errno)) {
                missing.push(format!("{name}: {errno}"));
            }
        }
    }
    assert!(missing.is_empty(), "no case for {missing:#?}");
}
