//! Whole sessions on a tree in memory: a byte that says how it is served, then what a client sends.
#![no_main]

use gofer_conformance::sample;
use gofer_fuzz::Conversation;
use gofer_fuzz::conversation::How;
use gofer_fuzz::frames::{self, Form};
use gofer_vfs::MemFs;
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target};

/// Less than some inputs write.
const ROOM: u64 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let Some((how, stream)) = data.split_first() else { return };
    let tree = MemFs::new(ROOM);
    sample::lay(&tree).expect("room for a sample");
    let mut conversation = Conversation::new(tree, How(*how));
    for frame in Form::P9.cut(stream) {
        if conversation.ask(frame).is_none() {
            break;
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    frames::mutate(Form::P9, data, size, max_size, seed)
});

fuzz_crossover!(|one: &[u8], other: &[u8], into: &mut [u8], seed: u32| {
    frames::cross(Form::P9, one, other, into, seed)
});
