//! Descriptors on the side socket.

use super::*;

fn inode(file: &File) -> u64 {
    file.metadata().unwrap().ino()
}

/// Every request gets another file, and each descriptor that comes is the one of its reply.
#[test]
fn descriptors_stay_with_their_replies() {
    within(|| {
        let (mut channel, offer) = channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let server = thread::spawn(move || {
            loop {
                let mut request = match channel.recv(LIMIT) {
                    Ok(request) => request,
                    Err(end) => return end,
                };
                let mut asked = [0; 2];
                request.body().take(&mut asked);
                let file = tempfile::tempfile().unwrap();
                if asked[0] == 1 {
                    assert_eq!(request.donate(file.as_fd()), Ok(()));
                    assert_eq!(
                        request.donate(file.as_fd()),
                        Err(Errno::EINVAL),
                        "one is what can be announced"
                    );
                }
                request.reply(&mut [asked[0], 77], Payload::Bytes(&inode(&file).to_le_bytes())).unwrap();
            }
        });
        for n in 0..300u32 {
            let donates = n % 3 != 0;
            let mut reply = caller.call(&[donates.into(), 0], &[]).unwrap();
            let (mut head, mut expected) = ([0; 2], [0; 8]);
            reply.body().take(&mut head);
            reply.body().take(&mut expected);
            assert_eq!(head, [donates.into(); 2], "the transport says whether there is one");
            let got = reply.descriptor().unwrap();
            assert_eq!(got.is_some(), donates);
            if let Some(fd) = got {
                assert_eq!(inode(&fd.into()), u64::from_le_bytes(expected));
            }
            assert!(reply.descriptor().unwrap().is_none());
        }
        drop(caller);
        assert_eq!(server.join().unwrap(), End::Closed);
    });
}

/// A client that never takes its descriptors: nobody waits for it, replies go on without, and what was sent
/// is still right when it is taken in the end.
#[test]
fn descriptors_that_are_not_taken_keep_nobody() {
    within(|| {
        let (mut channel, offer) = channel();
        let raw = Raw::new(offer);
        let server = thread::spawn(move || {
            let file = File::open("/dev/null").unwrap();
            let mut outcomes = Vec::new();
            while let Ok(mut request) = channel.recv(LIMIT) {
                let donated = request.donate(file.as_fd());
                outcomes.push(donated);
                request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap();
            }
            outcomes
        });
        raw.ask(b"{}\n");
        let mut announced = 0;
        for _ in 0..2000 {
            assert_eq!(raw.ask(&[1, 0]), CLIENT);
            announced += usize::from(raw.datagram()[1]);
        }
        let mut taken = 0;
        while let Some(fd) = net::recv_descriptor(raw.side.as_fd()).unwrap() {
            assert_eq!(File::from(fd).metadata().unwrap().rdev(), 0x103, "/dev/null");
            taken += 1;
        }
        assert!(taken == announced && (1..2000).contains(&taken), "{taken} of {announced}");
        assert_eq!(raw.ask(&[1, 0]), CLIENT);
        assert_eq!(raw.datagram(), [1, 1], "there is room again");
        assert_eq!(net::send_descriptor(raw.side.as_fd(), raw.side.as_fd()), Err(Errno::EPIPE));
        let side = raw.side;
        drop(side);
        raw_ask_without_side(&raw.window);
        raw.window.word::<0>().store(SHUT, Ordering::Release);
        futex::wake(raw.window.word::<0>(), 1);
        let outcomes = server.join().unwrap();
        let count = |outcome| outcomes.iter().filter(|one| **one == outcome).count();
        assert_eq!(count(Ok(())), taken + 1);
        assert_eq!(count(Err(Errno::EAGAIN)), 2000 - taken);
        assert_eq!(count(Err(Errno::EPIPE)), 1, "the client has closed its end");
        assert_eq!(outcomes.len(), 2002);
    });
}

fn raw_ask_without_side(window: &Window) {
    let word = window.word::<0>();
    word.store(SERVER, Ordering::Release);
    futex::wake(word, 1);
    while word.load(Ordering::Acquire) == SERVER {
        futex::wait(word, SERVER, Duration::from_secs(60)).unwrap();
    }
    let mut head = [0; 2];
    window.copy_out(16, &mut head).unwrap();
    assert_eq!((word.load(Ordering::Acquire), head), (CLIENT, [1, 0]));
}

/// A descriptor is queued, and the reply that announces it does not go out: the next reply must not either.
#[test]
fn a_descriptor_without_its_reply_ends_the_channel() {
    for fails in 0..4 {
        within(move || {
            let (mut channel, offer) = channel();
            let raw = Raw::new(offer);
            let client = thread::spawn(move || {
                raw.ask(b"{}\n");
                raw.put(&[1, 0]);
                raw.set_state(SERVER);
                raw
            });
            let mut request = channel.recv(LIMIT).unwrap();
            let raw = client.join().unwrap();
            request.donate(raw.side.as_fd()).unwrap();
            match fails {
                0 => drop(request),
                1 => assert!(request.reply(&mut [1, 0], Payload::InPlace(usize::MAX)).is_err()),
                2 => assert!(request.reply(&mut [1], Payload::Bytes(&[])).is_err(), "no byte announces it"),
                _ => {
                    raw.set_state(CLIENT);
                    assert!(request.reply(&mut [1, 0], Payload::Bytes(&[])).is_err());
                }
            }
            assert_eq!(raw.state(), SHUT);
            raw.set_state(SERVER);
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));
        });
    }
}

#[test]
fn several_descriptors_are_counted_where_a_protocol_counts_them() {
    within(|| {
        let announced = Announced { at: 2, most: 3 };
        let (mut channel, offer) = Channel::new(100, announced, Waiting::default()).unwrap();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let server = thread::spawn(move || {
            let mut request = channel.recv(100).unwrap();
            let files = [(); 4].map(|()| tempfile::tempfile().unwrap());
            let donated = files.each_ref().map(|file| request.donate(file.as_fd()));
            assert_eq!(donated, [Ok(()), Ok(()), Ok(()), Err(Errno::EINVAL)]);
            request.reply(&mut [1, 0, 0, 0], Payload::Bytes(&[])).unwrap();
            // It must not go before the reply is read.
            drop(channel.recv(100));
            files.map(|file| inode(&file))
        });
        let mut reply = caller.call(&[1, 0, 0, 0], &[]).unwrap();
        let mut head = [0; 4];
        reply.body().take(&mut head);
        assert_eq!(head, [1, 0, 3, 0]);
        let got = [(); 4].map(|()| reply.descriptor().unwrap().map(|fd| inode(&fd.into())));
        drop(caller);
        let [a, b, c, _] = server.join().unwrap();
        assert_eq!(got, [Some(a), Some(b), Some(c), None]);
    });
}
