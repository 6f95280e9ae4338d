//! Any bytes as a lisafs message: what can be decoded can be printed, and is the same after it was encoded again, but
//! for what is padding or lies behind its last field.
#![no_main]

use std::fmt::Debug;

use gofer_wire::lisafs::*;
use gofer_wire::{Reader, Wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((number, payload)) = data.split_first() else { return };
    match Request::decode(u16::from(*number), payload) {
        Ok(message) => assert!(format!("{message:?}").contains(message.name())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    macro_rules! both {
        ($($number:literal $effect:ident $variant:ident $name:ident: $request:ident $(<$a:lifetime>)? => $reply:ident $(<$b:lifetime>)?;)*) => {
            match *number {
                $($number => {
                    is_the_same::<$request>(payload);
                    is_the_same::<$reply>(payload);
                })*
                _ => is_the_same::<Failure>(payload),
            }
        };
    }
    gofer_wire::lisafs_operations!(both)
});

fn is_the_same<'a, M: Wire<'a> + Debug + PartialEq>(bytes: &'a [u8]) {
    let Ok(message) = M::decode(&mut Reader::new(bytes)) else { return };
    let mut again = Vec::new();
    message.encode(&mut again);
    again.extend_from_slice(message.payload());
    assert!(again.len() <= bytes.len());
    assert!(again.iter().zip(bytes).all(|(again, byte)| again == byte || *again == 0), "{message:?}");
    assert!(format!("{message:?}").len() > 2);
}
