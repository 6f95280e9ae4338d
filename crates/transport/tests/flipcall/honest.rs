//! Ends that keep to the rules.

use super::*;

#[test]
fn requests_and_replies_pass() {
    within(|| {
        for waiting in [Waiting::Adaptive, Waiting::Sleep] {
            let (channel, offer) = Channel::new(CAPACITY, ANNOUNCED, waiting).unwrap();
            let mut caller = Caller::new(offer, waiting).unwrap();
            let echo = Echo::start(channel);
            for n in 0..2000u32 {
                let payload = vec![n.to_le_bytes()[0]; n as usize * 17 % 3000];
                let mut reply = caller.call(&[7, 0], &payload).unwrap();
                let mut got = Vec::new();
                assert_eq!(reply.body().append_to(&mut got, usize::MAX), payload.len() + 2);
                assert_eq!(got[..2], [7, 0]);
                assert_eq!(got[2..], payload);
                assert!(reply.descriptor().unwrap().is_none());
            }
            drop(caller);
            assert_eq!(echo.end(), End::Closed);
        }
    });
}

#[test]
fn the_window_is_laid_out_as_on_the_wire() {
    within(|| {
        let (channel, offer) = channel();
        assert_eq!((offer.offset, offer.length), (0, 0x10_1000), "with pages of 4 KiB");
        assert_eq!(channel.capacity(), 0x10_1000 - 16);
        let raw = Raw::new(offer);
        let mut front = [1; 64];
        raw.window.copy_out(0, &mut front).unwrap();
        assert_eq!(front, [0; 64], "it is the client's turn first, and all is zero");
        let echo = Echo::start(channel);
        raw.window.copy_in(16, b"{}\n").unwrap();
        raw.window.copy_in(4, &3u32.to_ne_bytes()).unwrap();
        assert!(raw.word().compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        futex::wake(raw.word(), 1);
        assert_eq!(raw.wait(), CLIENT);
        raw.window.copy_out(0, &mut front).unwrap();
        let mut expected = [0; 64];
        expected[4..8].copy_from_slice(&3u32.to_ne_bytes());
        expected[16..19].copy_from_slice(b"{}\n");
        assert_eq!(front, expected);

        assert_eq!(raw.ask(&[0x78, 0, 2, 0, 0, 0]), CLIENT);
        assert_eq!(raw.datagram(), [0x78, 0, 2, 0, 0, 0]);
        raw.set_state(SHUT);
        assert_eq!(echo.end(), End::Closed);
        assert_eq!(raw.state(), SHUT);
    });
}

#[test]
fn payloads_go_between_window_and_file() {
    within(|| {
        let (mut channel, offer) = channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let bytes: Vec<u8> = (0..=254).cycle().take(1 << 20).collect();
        let (mut source, sunk) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        source.write_all(&bytes).unwrap();
        let file = sunk.try_clone().unwrap();
        let server = thread::spawn(move || {
            let mut request = channel.recv(2 + (1 << 20)).unwrap();
            assert_eq!(request.body().take(&mut [0; 2]), 2);
            assert_eq!(request.body().push(file.as_fd(), 0), Ok(1 << 20));
            request.reply(&mut [1, 9], Payload::Bytes(&[])).unwrap();
            let mut request = channel.recv(LIMIT).unwrap();
            let len = request.sink(6).pull(source.as_fd(), 0, 1 << 20).unwrap();
            request.reply(&mut [2, 9, 0, 0, 16, 0], Payload::InPlace(len)).unwrap();
            channel.recv(LIMIT).err()
        });
        let mut reply = caller.call(&[0, 0], &bytes).unwrap();
        let mut got = Vec::new();
        reply.body().append_to(&mut got, usize::MAX);
        assert_eq!(got, [1, 0], "the byte for descriptors tells the truth");
        assert_eq!(sunk.metadata().unwrap().len(), 1 << 20);
        let mut reply = caller.call(&[0, 0], &[]).unwrap();
        let (mut head, mut got) = ([0; 6], vec![0; 1 << 20]);
        assert_eq!(reply.body().take(&mut head), 6);
        assert_eq!(head, [2, 0, 0, 0, 16, 0]);
        assert_eq!(reply.body().take(&mut got), 1 << 20);
        assert!(got == bytes);
        assert_eq!(reply.body().left(), 0);
        drop(caller);
        assert_eq!(server.join().unwrap(), Some(End::Closed));
    });
}

#[test]
fn a_channel_begins_with_a_greeting() {
    let long = |len: usize| [b"{}".as_slice(), &vec![b' '; len - 2]].concat();
    let good: [&[u8]; 7] =
        [b"{}\n", b"{}", b"null", b" \t\r\n{}", b"{\"a\": {}}x", b"null and void", &long(4096)];
    let bad: [&[u8]; 8] = [b"[]", b"{", b"nul", b"\0{}", b" ", b"x{}", b"}{", &long(4097)];
    for (text, is_good) in good.map(|text| (text, true)).into_iter().chain(bad.map(|text| (text, false))) {
        let (channel, offer) = channel();
        let (raw, echo) = (Raw::new(offer), Echo::start(channel));
        let text = text.to_vec();
        let (answer, raw) = within(move || (raw.ask(&text), raw));
        if is_good {
            assert_eq!((answer, raw.datagram()), (CLIENT, b"{}\n".to_vec()));
            assert_eq!(echo.close(), End::Closed);
        } else {
            assert_eq!(answer, SHUT, "it is told, and does not wait in vain");
            assert!(matches!(echo.end(), End::Violation(_)));
        }
    }
}

#[test]
fn either_end_notices_that_the_other_is_gone() {
    within(|| {
        let (channel, offer) = channel();
        let echo = Echo::start(channel);
        drop(Caller::new(offer, Waiting::default()).unwrap());
        assert_eq!(echo.end(), End::Closed, "the caller was dropped");

        let (server, offer) = channel_of_one_request(|request| drop(request));
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "no reply");
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed));
        server.join().unwrap();

        let (server, offer) = channel_of_one_request(|_| panic!("on purpose"));
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "a panic");
        assert!(server.join().is_err());

        let (dropped, offer) = self::channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        drop(dropped);
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "the channel was dropped");
    });
}

/// A server that is killed leaves the word as it is. Its callers slept for ever.
#[test]
fn a_caller_waits_for_nobody_who_is_gone_or_late() {
    within(|| {
        let (mut channel, offer) = channel();
        let (file, length) = (offer.file.try_clone().unwrap(), offer.length);
        // The word of a channel whose socket is closed: nobody changes it.
        let (other, forlorn) = super::channel();
        drop(other);
        let mut caller =
            Caller::new(Offer { file, length, side: forlorn.side, ..offer }, Waiting::Sleep).unwrap();
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "its socket says so");
        drop(caller);
        assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));

        let (channel, offer) = super::channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        assert_eq!(caller.call_before(deadline, &[1, 0], &[]).err(), Some(End::Late), "nobody serves");
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "a late reply is nobody's");
        drop(channel);
    });
}

fn channel_of_one_request(
    serve: impl FnOnce(gofer_transport::flipcall::Request<'_>) + Send + 'static,
) -> (thread::JoinHandle<()>, Offer) {
    let (mut channel, offer) = channel();
    let server = thread::spawn(move || serve(channel.recv(LIMIT).unwrap()));
    (server, offer)
}

#[test]
fn many_may_close_at_once_and_more_than_once() {
    for _ in 0..50 {
        let (raw, echo) = Raw::greeted();
        let closer = echo.closer.clone();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    closer.close();
                    closer.close();
                });
            }
            scope.spawn(|| {
                raw.put(&[1, 0]);
                // As an honest client passes it.
                if raw.word().compare_exchange(CLIENT, SERVER, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    futex::wake(raw.word(), 1);
                    raw.wait();
                }
            });
        });
        assert_eq!(echo.end(), End::Closed);
        assert_eq!(raw.state(), SHUT);
    }
}

/// A server that takes the request and does not answer.
#[test]
fn a_caller_that_waits_in_vain_can_be_told_to_stop() {
    let (channel, offer) = channel();
    let mut caller = Caller::new(offer, Waiting::default()).unwrap();
    let closer = caller.closer();
    let caller = thread::spawn(move || caller.call(&[1, 0], &[]).err());
    closer.close();
    assert_eq!(within(move || caller.join().unwrap()), Some(End::Closed));
    drop(channel);
}

#[test]
fn a_message_that_does_not_fit_is_not_sent() {
    within(|| {
        let (channel, offer) = channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let capacity = channel.capacity();
        let echo = Echo::start(channel);
        let long = vec![0; capacity];
        assert_eq!(caller.call(&[1], &long).err(), Some(End::Unfit));
        assert_eq!(caller.call(&[], &long[..3]).err(), Some(End::Unfit), "it would end the service");
        assert!(caller.call(&[1, 0], &long[..3]).is_ok(), "the channel is as before");
        drop(caller);
        assert_eq!(echo.end(), End::Closed);

        for payload in [Payload::Bytes(&long), Payload::InPlace(capacity), Payload::InPlace(usize::MAX)] {
            let (mut channel, offer) = Channel::new(CAPACITY, ANNOUNCED, Waiting::Sleep).unwrap();
            let caller = thread::spawn(|| {
                let mut caller = Caller::new(offer, Waiting::Sleep).unwrap();
                caller.call(&[1, 0], &[]).err()
            });
            let request = channel.recv(LIMIT).unwrap();
            assert_eq!(request.reply(&mut [1, 0], payload), Err(End::Unfit));
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));
            assert_eq!(caller.join().unwrap(), Some(End::Closed));
        }
    });
}

#[test]
fn the_sink_ends_with_the_window() {
    let (mut channel, offer) = channel();
    let capacity = channel.capacity();
    let raw = Raw::new(offer);
    let client = thread::spawn(move || (raw.ask(b"{}\n"), raw.ask(&[1, 0])));
    let mut request = channel.recv(LIMIT).unwrap();
    assert_eq!(request.sink(capacity - 3).put(b"abcd"), 3);
    assert_eq!(request.sink(capacity).room(), 0);
    assert_eq!(request.sink(usize::MAX).put(b"a"), 0);
    request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap();
    assert_eq!(client.join().unwrap(), (CLIENT, CLIENT));
}

#[test]
fn a_capacity_is_rounded_up_to_pages_and_has_a_limit() {
    let new = |capacity| Channel::new(capacity, ANNOUNCED, Waiting::Sleep);
    assert_eq!(new(0).unwrap().1.length, shm::page_size() as u64);
    for capacity in [u64::from(u32::MAX) - 14, u64::MAX - 16, u64::MAX] {
        assert_eq!(new(capacity).err(), Some(Errno::EINVAL), "{capacity}");
    }
}
