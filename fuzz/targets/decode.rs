//! Any bytes as a message of either direction: what can be decoded can be printed, and is the same after it was
//! encoded again.
#![no_main]

use gofer_wire::DecodeError;
use gofer_wire::p9::{DATAGRAM, Dirents, HEADER, Reply, Request, Tag, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((number, body)) = data.split_first() else { return };
    match Request::decode(*number, body) {
        Ok(message) => {
            is_printable(&message, message.name());
            // The last field of a Tfsync may be missing.
            let is_whole = number_of(&message) != 50 || body.len() >= 8;
            is_the_same(body, is_whole, |frame| message.encode(Tag(1), frame), HEADER);
            is_the_same(body, is_whole, |datagram| message.encode_datagram(datagram), DATAGRAM);
            if let Request::Version(t) = message {
                let _ = Version::parse(t.version.as_bytes());
            }
        }
        Err(error) => is_an_error(error),
    }
    match Reply::decode(*number, body) {
        Ok(message) => {
            is_printable(&message, message.name());
            is_the_same(body, true, |frame| message.encode(Tag(1), frame), HEADER);
            is_the_same(body, true, |datagram| message.encode_datagram(datagram), DATAGRAM);
        }
        Err(error) => is_an_error(error),
    }
    let entries = Dirents::new(body);
    assert!(entries.clone().filter(Result::is_err).count() <= 1, "only the last");
    let packed = entries.flatten().fold(Vec::new(), |mut packed, entry| {
        gofer_wire::Wire::encode(&entry, &mut packed);
        packed
    });
    assert!(body.starts_with(&packed));
});

fn number_of(message: &Request<'_>) -> u8 {
    message.number()
}

fn is_printable(message: &impl std::fmt::Debug, name: &str) {
    assert!(format!("{message:?}").contains(name));
}

fn is_an_error(error: DecodeError) {
    assert!(!error.to_string().is_empty());
    let _ = error.errno();
}

/// Bytes behind the last field are ignored; all others come back.
fn is_the_same<'a>(body: &[u8], is_whole: bool, encode: impl FnOnce(&mut Vec<u8>) -> &'a [u8], head: usize) {
    let mut again = b"left over".to_vec();
    let payload = encode(&mut again);
    again.extend_from_slice(payload);
    let again = &again[head..];
    assert!(body.starts_with(again) || !is_whole && again.starts_with(&body[..4]), "{body:?} {again:?}");
}
