//! A peer on shared memory that keeps no rule: wrong lengths, words and bytes at any time, also while they are looked
//! at, and a socket for descriptors that is full or closed. As a client against our server's end, and as a server
//! against our client's.
//!
//! Every end ends, what is answered is a reply, and nothing else is expected of either.
#![no_main]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gofer_conformance::sample;
use gofer_fuzz::conversation::{How, checked};
use gofer_fuzz::{Conversation, Input};
use gofer_server::Buffers;
use gofer_server::p9::{CAPACITY, Session};
use gofer_sys::shm::{self, Window};
use gofer_sys::{futex, net};
use gofer_transport::flipcall::{Caller, Channel, Offer, Waiting};
use gofer_vfs::{Access, MemFs, PeerUid};
use gofer_wire::Str;
use gofer_wire::p9::*;
use libfuzzer_sys::fuzz_target;

const STATE: usize = 0;
const LENGTH: usize = 4;
const DATA: usize = 16;
const GREETING: &[u8] = b"{}\n";
/// The state of a window that was shut down.
const SHUT: u32 = 2;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let how = input.u8();
    if how & 1 == 0 { serve(how, input) } else { call(input) }
});

/// Our server, and a client that the input plays.
fn serve(how: u8, input: Input<'_>) {
    let tree = MemFs::new(1 << 20);
    sample::lay(&tree).expect("room for a sample");
    let mut conversation = Conversation::new(tree, How::OPEN);
    let text = |text: &'static str| Str::new(text.as_bytes()).expect("a short text");
    let mut ask = |request: Request<'_>| {
        let mut frame = Vec::new();
        request.encode(Tag(0), &mut frame);
        conversation.ask(&frame).expect("an answer")
    };
    ask(Tversion { msize: MESSAGE_MAX, version: text("9P2000.L.Google.13") }.into());
    let nobody = PeerUid::NONE;
    ask(Tattach { fid: Fid(0), afid: Fid::NONE, uname: text(""), aname: text(""), n_uname: nobody }.into());
    let memory = ask(Tchannel { id: 0, control: 0 }.into());
    let side = ask(Tchannel { id: 0, control: 1 }.into()).descriptor;
    let file = memory.descriptor.expect("the window's file");
    let channel = memory.channel.expect("a channel");
    let len = channel.capacity() + DATA;
    let window = Window::map(file.as_fd(), 0, len as u64).expect("the window");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let peer = Peer { window: &window, theirs: 1, side, done: &done, input };
        scope.spawn(|| peer.play(how & 2 == 0));
        work(&conversation.session, *channel);
        done.store(true, Ordering::Relaxed);
        futex::wake(window.word::<STATE>(), u32::MAX);
    });
}

/// What a connection's thread does for a channel.
fn work(session: &Session<Access<MemFs>>, mut channel: Channel) {
    let (mut frame, mut buffers) = (Vec::new(), Buffers::default());
    while let Ok(mut request) = channel.recv(CAPACITY) {
        let Some((head, payload)) = session.handle_datagram(&mut request, &mut frame, &mut buffers) else {
            return;
        };
        if request.reply(head, payload).is_err() {
            return;
        }
    }
}

/// Our client, and a server that the input plays.
fn call(mut input: Input<'_>) {
    let page = shm::page_size() as u64;
    let len = |input: &mut Input<'_>| match input.u8() {
        byte @ 0..=7 => u64::from(byte) * page,
        byte @ 8..=15 => u64::from(byte),
        _ => 4 * page,
    };
    let Ok(file) = shm::create("window", len(&mut input)) else { return };
    let (offset, length) = (if input.u8() & 7 == 7 { len(&mut input) } else { 0 }, len(&mut input));
    let Ok(window) = Window::map(file.as_fd(), offset, length) else {
        let side = net::packet_pair().expect("sockets").0;
        assert!(
            Caller::new(Offer { file, offset, length, side }, Waiting::Sleep).is_err(),
            "it is the same window"
        );
        return;
    };
    let (side, theirs) = net::packet_pair().expect("sockets");
    let mut caller = Caller::new(Offer { file, offset, length, side }, Waiting::default()).expect("a window");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let peer = Peer { window: &window, theirs: 0, side: Some(theirs), done: &done, input };
        scope.spawn(|| peer.play(true));
        for request in 0..20u8 {
            let head = [24, 0, request, 0, 0, 0, 0xff, 0x7, 0, 0, 0, 0, 0, 0];
            let Ok(mut reply) = caller.call(&head, &[0; 100]) else { break };
            let mut datagram = Vec::new();
            reply.body().append_to(&mut datagram, usize::MAX);
            assert!(datagram.len() <= window.len() - DATA);
            while let Ok(Some(descriptor)) = reply.descriptor() {
                drop(descriptor);
            }
        }
        drop(caller);
        done.store(true, Ordering::Relaxed);
        futex::wake(window.word::<STATE>(), u32::MAX);
    });
}

/// The other end of a window.
struct Peer<'a> {
    window: &'a Window,
    /// The state in which it is not ours.
    theirs: u32,
    side: Option<OwnedFd>,
    /// The end that is tried has ended.
    done: &'a AtomicBool,
    input: Input<'a>,
}

impl Peer<'_> {
    fn play(mut self, greets: bool) {
        self.wait();
        if greets {
            self.write(DATA, GREETING);
            self.pass(GREETING.len() as u32);
            self.wait();
        }
        while !self.input.is_empty() && !self.done.load(Ordering::Relaxed) {
            self.act();
        }
        self.set(SHUT);
    }

    fn act(&mut self) {
        match self.input.u8() % 16 {
            0..=6 => {
                self.datagram();
                self.wait();
                self.check();
            }
            7 => {
                let length = self.input.u32();
                self.pass(length);
                self.wait();
            }
            8 => {
                let state = self.input.u8();
                self.set(state.into());
            }
            9 => {
                let at = self.input.u16();
                let bytes = self.input.short();
                self.write(at.into(), bytes);
            }
            10 => {
                let at = self.input.u32() as usize % self.window.len();
                let bytes = self.input.short();
                self.write(at, bytes);
            }
            11 => self.use_side(),
            12 => self.side = None,
            13 => {
                self.pass(0);
                self.wait();
            }
            // Changed while it is looked at.
            _ => {
                let (at, bytes, times) = (self.input.u8(), self.input.short(), self.input.u8());
                self.datagram();
                for _ in 0..times {
                    self.write(DATA + usize::from(at), bytes);
                }
                self.wait();
            }
        }
    }

    fn datagram(&mut self) {
        let len = self.input.u16();
        let bytes = self.input.bytes(len.into());
        self.write(DATA, bytes);
        self.pass(bytes.len() as u32);
    }

    /// As much as fits.
    fn write(&self, at: usize, bytes: &[u8]) {
        let room = self.window.len().saturating_sub(at);
        if room > 0 {
            self.window.copy_in(at, &bytes[..bytes.len().min(room)]).expect("it is in the window");
        }
    }

    fn set(&self, state: u32) {
        self.window.word::<STATE>().store(state, Ordering::SeqCst);
        futex::wake(self.window.word::<STATE>(), u32::MAX);
    }

    fn pass(&self, length: u32) {
        self.window.word::<LENGTH>().store(length, Ordering::Relaxed);
        self.set(self.theirs);
    }

    /// Until it is our turn, or the other has ended.
    fn wait(&self) {
        let state = self.window.word::<STATE>();
        while state.load(Ordering::Acquire) == self.theirs && !self.done.load(Ordering::Relaxed) {
            futex::wait(state, self.theirs, Duration::from_millis(2)).expect("a wait");
        }
    }

    /// What our server says is a reply, or its greeting. Nobody else writes now.
    fn check(&self) {
        let is_ours = self.theirs == 1 && self.window.word::<STATE>().load(Ordering::Acquire) == 0;
        if !is_ours || self.done.load(Ordering::Relaxed) {
            return;
        }
        let mut datagram = vec![0; self.window.word::<LENGTH>().load(Ordering::Relaxed) as usize];
        self.window.copy_out(DATA, &mut datagram).expect("it fits");
        if datagram == GREETING {
            return;
        }
        let (&[number, announced], body) = datagram.split_first_chunk::<DATAGRAM>().expect("a reply's head");
        assert!(announced <= 1);
        checked(number, body, |reply, again| {
            let payload = reply.encode_datagram(again);
            again.extend_from_slice(payload);
            again.drain(..DATAGRAM);
        });
    }

    fn use_side(&mut self) {
        let Some(side) = &self.side else { return };
        if self.theirs == 1 {
            let _ = net::recv_descriptor(side.as_fd());
        } else {
            let _ = net::send_descriptor(side.as_fd(), side.as_fd());
        }
    }
}
