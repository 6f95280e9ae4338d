//! Whole sessions on host files, with a tree beside the export that no client may touch or see: its bytes, times and
//! listing never change, its names and bytes never come in a reply, and no descriptor is of it. Links inside the
//! export lead to it.
//!
//! A byte says how it is served, then comes what a client sends.
#![no_main]

use gofer_fuzz::conversation::How;
use gofer_fuzz::frames::{self, Form};
use gofer_fuzz::{Conversation, Ground};
use gofer_wire::p9::{HEADER, Request};
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| {
    let Some((how, stream)) = data.split_first() else { return };
    let (ground, how) = (Ground::get(), How(*how));
    ground.guard(how.is_read_only(), |tree| {
        let mut conversation = Conversation::new(tree, how);
        for frame in Form::P9.cut(stream).into_iter().filter(|frame| !takes_space(frame)) {
            let Some(answer) = conversation.ask(frame) else { break };
            ground.check_bytes(&answer.frame);
            if let Some(descriptor) = answer.descriptor {
                ground.check(descriptor);
            }
        }
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    frames::mutate(Form::P9, data, size, max_size, seed)
});

fuzz_crossover!(|one: &[u8], other: &[u8], into: &mut [u8], seed: u32| {
    frames::cross(Form::P9, one, other, into, seed)
});

/// Whether a request would fill the disk, which is its right.
fn takes_space(frame: &[u8]) -> bool {
    const MUCH: u64 = 1 << 20;
    match frame.get(HEADER..).map(|body| Request::decode(frame[4], body)) {
        Some(Ok(Request::Allocate(t))) => t.offset.saturating_add(t.length) > MUCH,
        _ => false,
    }
}
