//! Our client against a server that is honest until the input has it lie: about bytes, sizes, tags, errnos, and the
//! descriptors that come with them. Whatever it says, every call ends, and no more comes than was asked for.
#![no_main]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gofer_client::{Client, Dialect, Options};
use gofer_conformance::sample;
use gofer_fuzz::conversation::How;
use gofer_fuzz::frames::Form;
use gofer_fuzz::liar::{Honest, Left, Liar};
use gofer_fuzz::{Conversation, Input, User};
use gofer_vfs::MemFs;
use gofer_wire::p9::{HEADER, Header, Reply, Rlerror};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let how = Input(data).u8();
    let tree = MemFs::new(1 << 20);
    sample::lay(&tree).expect("room for a sample");
    // The bytes that are left are shared: an operation takes some, then each reply to it.
    let input = Arc::new(Mutex::new(Left::from(data.get(1..).unwrap_or_default().to_vec())));
    let waits = how & 0xe2 == 2;
    let liar = Liar::new(Server(Conversation::new(tree, How::OPEN)), Arc::clone(&input), how & 1 != 0, waits);
    let options = Options {
        dialect: [None, Some(Dialect::Base), Some(Dialect::Google), None][usize::from(how >> 2 & 3)],
        msize: if how & 16 == 0 { 4096 } else { 1 << 20 },
        timeout: waits.then_some(Duration::from_millis(2)),
        ..Options::default()
    };
    let Ok(client) = Client::over(liar, &options) else { return };
    User::new(&client, input).run();
});

struct Server(Conversation<MemFs>);

impl Honest for Server {
    const HEADER: usize = HEADER;

    fn size(begun: &[u8]) -> Option<usize> {
        begun.first_chunk().map(|size| u32::from_le_bytes(*size) as usize)
    }

    fn fix(frame: &mut [u8]) {
        Form::P9.fix(frame);
    }

    fn ask(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        self.0.ask(frame).map(|answer| answer.frame)
    }

    fn fail(answer: &mut Vec<u8>, errno: u32) {
        let tag = Header::decode(answer.first_chunk().expect("a whole frame")).tag;
        Reply::from(Rlerror { ecode: errno }).encode(tag, answer);
    }
}
