//! As `client`, our client that speaks lisafs.
#![no_main]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gofer_client::lisafs::{Client, Options};
use gofer_conformance::sample;
use gofer_fuzz::liar::{Honest, Left, Liar};
use gofer_fuzz::{Input, User};
use gofer_server::lisafs::{Session, Settings};
use gofer_server::{Buffers, Export, HostSockets, Limits, Outcome, Policy};
use gofer_vfs::{MemFs, XattrPolicy};
use gofer_wire::lisafs::{Failure, HEADER, Header, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let how = Input(data).u8();
    let tree = MemFs::new(1 << 20);
    sample::lay(&tree).expect("room for a sample");
    let policy = Policy {
        xattr: XattrPolicy::All,
        sockets: HostSockets::All,
        fifos: true,
        devices: true,
        ..Policy::default()
    };
    let export = Export { name: None, backend: tree, policy };
    let session = Session::alone(export, &Limits::default(), how & 1 != 0, Settings::default());
    // The bytes that are left are shared: an operation takes some, then each reply to it.
    let input = Arc::new(Mutex::new(Left::from(data.get(1..).unwrap_or_default().to_vec())));
    let waits = how & 0xe2 == 2;
    let server = Server { session, buffers: Buffers::default() };
    let liar = Liar::new(server, Arc::clone(&input), how & 1 != 0, waits);
    let options = Options { timeout: waits.then_some(Duration::from_millis(2)), channels: 1 };
    let Ok(client) = Client::over(liar, &options) else { return };
    User::new(&client, input).run();
});

struct Server {
    session: Session<MemFs>,
    buffers: Buffers,
}

impl Honest for Server {
    const HEADER: usize = HEADER;

    fn size(begun: &[u8]) -> Option<usize> {
        begun.first_chunk().map(|header| HEADER + Header::decode(header).length as usize)
    }

    fn fix(frame: &mut [u8]) {
        let length = u32::try_from(frame.len().saturating_sub(HEADER)).unwrap_or(u32::MAX);
        if let Some(field) = frame.first_chunk_mut() {
            *field = length.to_le_bytes();
        }
    }

    fn ask(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        match self.session.handle(frame, &mut self.buffers) {
            Outcome::Reply { head, payload, .. } => Some([head, payload].concat()),
            Outcome::Later => panic!("there is nothing that could be waited for"),
            Outcome::Violation(why) => panic!("our client broke the protocol: {why}"),
        }
    }

    fn fail(answer: &mut Vec<u8>, errno: u32) {
        frame(Failure::NUMBER, &Failure { errno }, answer);
    }
}
