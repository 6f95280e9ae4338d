//! A peer that has the window and keeps to no rule.

use super::*;

#[test]
fn a_lie_about_the_length_ends_the_channel() {
    let capacity = channel().0.capacity().try_into().unwrap();
    let limit: u32 = LIMIT.try_into().unwrap();
    for len in [limit + 1, capacity, capacity + 1, u32::MAX - 15, u32::MAX] {
        let (raw, echo) = Raw::greeted();
        raw.length().store(len, Ordering::Relaxed);
        assert_eq!(within(move || raw.pass()), SHUT, "{len}");
        assert!(matches!(echo.end(), End::Violation(_)), "{len}");
    }
    // Every length that fits is a datagram; what is in it is not for the channel to say.
    let (raw, echo) = Raw::greeted();
    for len in [1, 2, 17, 4096, limit] {
        raw.length().store(len, Ordering::Relaxed);
        assert_eq!(raw.pass(), CLIENT);
        assert_eq!(raw.length().load(Ordering::Relaxed), len);
    }
    assert_eq!(echo.close(), End::Closed);
}

/// A client that waited for the reply to one waited until its connection ended.
#[test]
fn an_empty_request_ends_the_channel() {
    let (raw, echo) = Raw::greeted();
    raw.length().store(0, Ordering::Relaxed);
    assert_eq!(raw.pass(), SHUT);
    assert_eq!(echo.end(), End::Finished);
}

#[test]
fn a_state_that_cannot_be_ends_the_channel() {
    for state in [3, 4, 0x100, u32::MAX] {
        let (raw, echo) = Raw::greeted();
        raw.set_state(state);
        assert!(matches!(echo.end(), End::Violation(_)), "{state}");
        assert_eq!(raw.state(), SHUT);
    }
}

/// The state changes while the server has the window: to the client's, to nonsense, to the end.
#[test]
fn a_state_that_changes_during_a_request_ends_the_channel() {
    for (state, closed) in [(CLIENT, false), (3, false), (u32::MAX, false), (SHUT, true)] {
        within(move || {
            let (mut channel, offer) = channel();
            let raw = Raw::new(offer);
            raw.put(b"{}\n");
            raw.set_state(SERVER);
            let (raw, mut channel) = {
                let server = thread::spawn(move || {
                    let request = channel.recv(LIMIT).unwrap();
                    request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap();
                    channel
                });
                raw.wait();
                raw.ask(&[0, 0]);
                (raw, server.join().unwrap())
            };
            raw.word().store(SERVER, Ordering::Release);
            let request = channel.recv(LIMIT).unwrap();
            raw.set_state(state);
            let end = request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap_err();
            assert_eq!(end == End::Closed, closed, "{state}: {end:?}");
            assert_eq!(raw.state(), SHUT);
            raw.set_state(SERVER);
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed), "it does not come back");
            assert_eq!(raw.state(), SERVER, "and nobody cares");
        });
    }
}

#[test]
fn a_channel_that_was_shut_down_is_not_revived() {
    within(|| {
        let (mut channel, offer) = channel();
        let closer = channel.closer();
        let raw = Raw::new(offer);
        closer.close();
        for state in [SERVER, CLIENT, SERVER] {
            raw.put(b"{}\n");
            raw.set_state(state);
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));
        }
        closer.close();
        assert_eq!(raw.state(), SHUT);
    });
}

/// What was read stays as it was read, and nothing is read again.
#[test]
fn a_request_that_changes_is_read_once() {
    within(|| {
        let (mut channel, offer) = channel();
        let raw = Raw::new(offer);
        let greeter = thread::spawn(move || {
            raw.ask(b"{}\n");
            raw.put(b"aaaa");
            raw.word().store(SERVER, Ordering::Release);
            futex::wake(raw.word(), 1);
            raw
        });
        let mut request = channel.recv(LIMIT).unwrap();
        let raw = greeter.join().unwrap();
        let mut got = Vec::new();
        assert_eq!(request.body().append_to(&mut got, 2), 2);
        raw.put(b"bbbbbbbb");
        assert_eq!(request.body().append_to(&mut got, usize::MAX), 2, "the length is that of before");
        assert_eq!(got, b"aabb");
        request.reply(&mut got, Payload::Bytes(&[])).unwrap();
        assert_eq!(raw.datagram(), b"a\0bb");
    });
}

/// A second thread of the client writes everywhere but to the state, for as long as there are requests.
#[test]
fn bytes_that_change_all_the_time_do_no_harm() {
    let (raw, echo) = Raw::greeted();
    let done = Done(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..=255).cycle() {
                raw.window.copy_in(8, &[n; 500]).unwrap();
                if n % 16 != 0 {
                    // Mostly what is allowed, and never nothing.
                    raw.length().store(u32::from(n) * 2 + 1, Ordering::Relaxed);
                } else if done.is_so() {
                    return;
                }
            }
        });
        let _after = done.after();
        for _ in 0..20_000 {
            assert_eq!(raw.pass(), CLIENT);
        }
    });
    assert_eq!(echo.close(), End::Closed);
}

/// Two threads of the client write to everything, the state included.
#[test]
fn a_window_of_noise_ends_in_time() {
    for seed in 1..=8u32 {
        let (raw, echo) = Raw::greeted();
        let done = Done(AtomicBool::new(false));
        thread::scope(|scope| {
            for thread in 0..2 {
                let (raw, done) = (&raw, &done);
                scope.spawn(move || {
                    let mut noise = seed * 2 + thread;
                    while !done.is_so() {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let word = noise.to_ne_bytes();
                        raw.window.copy_in((noise >> 20) as usize * 4, &word).unwrap();
                        raw.length().store(noise >> 8 & 0x3fff, Ordering::Relaxed);
                        raw.word().store(noise >> 24 & 3, Ordering::Relaxed);
                        futex::wake(raw.word(), 1);
                    }
                });
            }
            let _after = done.after();
            let end = echo.close();
            assert!(matches!(end, End::Closed | End::Violation(_) | End::Finished), "{end:?}");
        });
    }
}

/// The state goes to and fro as fast as can be, and nobody waits for an answer.
#[test]
fn a_state_that_flickers_keeps_nobody_from_ending() {
    let (raw, echo) = Raw::greeted();
    let closer = echo.closer.clone();
    let done = Done(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.is_so() {
                raw.word().store(SERVER, Ordering::Relaxed);
                raw.word().store(CLIENT, Ordering::Relaxed);
            }
        });
        let _after = done.after();
        closer.close();
        assert!(matches!(echo.end(), End::Closed | End::Violation(_)));
    });
}

/// Threads of the client sleep on the word, so that wakes meant for the server go to them.
#[test]
fn parked_threads_do_not_keep_the_server() {
    let (channel, offer) = channel();
    let raw = Raw::new(offer);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| futex::wait(raw.word(), CLIENT, Duration::from_secs(60)));
        }
        let echo = Echo::start(channel);
        assert_eq!(echo.close(), End::Closed);
    });
}

/// The client goes as far as a step of the hand-over and is never seen again; the connection notices.
#[test]
fn a_client_that_dies_at_any_step_keeps_no_thread() {
    let steps: [&(dyn Fn(&Raw) + Sync); 7] = [
        &|_| (),
        &|raw| raw.window.copy_in(16, b"{}").unwrap(),
        &|raw| raw.put(b"{}\n"),
        &|raw| {
            raw.put(b"{}\n");
            raw.word().store(SERVER, Ordering::Release);
        },
        &|raw| {
            raw.put(b"{}\n");
            raw.set_state(SERVER);
        },
        &|raw| assert_eq!(raw.ask(b"{}\n"), CLIENT),
        &|raw| {
            raw.ask(b"{}\n");
            raw.put(&[1, 0]);
            raw.word().store(SERVER, Ordering::Release);
        },
    ];
    for (n, step) in steps.iter().enumerate() {
        let (channel, offer) = channel();
        let echo = Echo::start(channel);
        let raw = Raw::new(offer);
        step(&raw);
        drop(raw);
        assert_eq!(echo.close(), End::Closed, "step {n}");
    }
}

/// How a caller's call ends.
#[derive(Debug, PartialEq)]
enum Called {
    Closed,
    Violated,
    /// With a reply of so many bytes.
    Replied(usize),
}

#[test]
fn a_hostile_server_costs_the_caller_nothing_but_the_channel() {
    use Called::{Closed, Replied, Violated};
    fn answer(window: &Window, text: &[u8], length: u32) {
        window.copy_in(16, text).unwrap();
        window.word::<4>().store(length, Ordering::Relaxed);
        window.word::<0>().store(CLIENT, Ordering::Release);
    }
    /// What the server does, how a call ends to which it is the greeting, and how one to which it is the reply.
    /// What a reply means is not for the channel to say.
    type Play = (fn(&Window), Called, Called);
    let plays: [Play; 6] = [
        (|window| answer(window, b"no!", 3), Violated, Replied(3)),
        (|window| answer(window, b"", 0), Violated, Replied(0)),
        (|window| answer(window, b"{}", 4097), Violated, Replied(4097)),
        (|window| answer(window, b"{}", 0x10_1000 - 15), Violated, Violated),
        (|window| window.word::<0>().store(3, Ordering::Release), Violated, Violated),
        (|window| window.word::<0>().store(SHUT, Ordering::Release), Closed, Closed),
    ];
    for (at, (play, as_greeting, as_reply)) in plays.into_iter().enumerate() {
        for (fair, expected) in [(0, as_greeting), (1, as_reply)] {
            within(move || {
                let (channel, offer) = channel();
                let file = offer.file.try_clone().unwrap();
                let window = Window::map(file.as_fd(), 0, offer.length).unwrap();
                let mut caller = Caller::new(offer, Waiting::default()).unwrap();
                let server = thread::spawn(move || {
                    for n in 0..=fair {
                        while window.word::<0>().load(Ordering::Acquire) == CLIENT {
                            futex::wait(window.word::<0>(), CLIENT, Duration::from_secs(60)).unwrap();
                        }
                        if n < fair {
                            answer(&window, b"{}\n", 3);
                        } else {
                            play(&window);
                        }
                        futex::wake(window.word::<0>(), 1);
                    }
                });
                let called = match caller.call(&[1, 0], &[]) {
                    Ok(mut reply) => Replied(reply.body().left()),
                    Err(End::Closed) => Closed,
                    Err(End::Violation(_)) => Violated,
                    Err(other) => panic!("{at} {fair}: {other}"),
                };
                assert_eq!(called, expected, "{at} {fair}");
                if !matches!(called, Replied(_)) {
                    assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "{at} {fair}");
                }
                server.join().unwrap();
                drop(channel);
            });
        }
    }
}

#[test]
fn the_client_cannot_take_the_memory_away() {
    let (_channel, offer) = channel();
    let file = File::from(offer.file);
    for len in [0, 4096, offer.length - 1, offer.length + 1] {
        assert_eq!(file.set_len(len).unwrap_err().raw_os_error(), Some(1), "EPERM: {len}");
    }
}

#[test]
fn the_caller_takes_no_memory_that_can_be_taken_away() {
    let refused = |file: OwnedFd, length| {
        let side = net::packet_pair().unwrap().1;
        Caller::new(Offer { file, offset: 0, length, side }, Waiting::default()).err()
    };
    let plain = tempfile::tempfile().unwrap();
    plain.set_len(1 << 20).unwrap();
    assert_eq!(refused(plain.into(), 1 << 20), Some(Errno::EINVAL));
    let memory = || shm::create("peer", 1 << 16).unwrap();
    for length in [0, 1, 4095, (1 << 16) + 1, 1 << 32, u64::MAX] {
        assert_eq!(refused(memory(), length), Some(Errno::EINVAL), "{length}");
    }
    assert_eq!(refused(memory(), 1 << 16), None);
}
