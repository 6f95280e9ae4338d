//! Whole lisafs sessions on host files, beside a tree that no client may touch or see, as in the target `host`.
#![no_main]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;

use gofer_fuzz::Ground;
use gofer_fuzz::conversation::How;
use gofer_fuzz::frames::{self, Form};
use gofer_fuzz::lisafs::Conversation;
use gofer_wire::lisafs::{HEADER, Header, Request};
use libfuzzer_sys::{fuzz_crossover, fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| {
    let Some((how, stream)) = data.split_first() else { return };
    let (ground, how) = (Ground::get(), How(*how));
    ground.guard(how.is_read_only(), |tree| {
        let mut conversation = Conversation::new(tree, how);
        for frame in Form::LISAFS.cut(stream).into_iter().filter(|frame| !takes_space(frame)) {
            let Some(answer) = conversation.ask_and_check(frame) else { break };
            ground.check_bytes(&answer.frame);
            answer.descriptors.into_iter().filter(|one| !is_socket(one)).for_each(|one| ground.check(one));
        }
    });
});

/// Whether a request would fill the disk, which is its right.
fn takes_space(frame: &[u8]) -> bool {
    const MUCH: u64 = 1 << 20;
    let Some((header, payload)) = frame.split_first_chunk::<HEADER>() else { return false };
    match Request::decode(Header::decode(header).number, payload) {
        Ok(Request::FAllocate(t)) => t.offset.saturating_add(t.length) > MUCH,
        _ => false,
    }
}

/// A socket is no file of any tree.
fn is_socket(descriptor: &OwnedFd) -> bool {
    let copy = descriptor.try_clone().expect("another descriptor");
    File::from(copy).metadata().is_ok_and(|found| found.file_type().is_socket())
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    frames::mutate(Form::LISAFS, data, size, max_size, seed)
});

fuzz_crossover!(|one: &[u8], other: &[u8], into: &mut [u8], seed: u32| {
    frames::cross(Form::LISAFS, one, other, into, seed)
});
