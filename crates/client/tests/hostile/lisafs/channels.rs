//! Servers of lisafs that lie through shared memory.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread;

use gofer_client::lisafs::Client;
use gofer_transport::flipcall::{Announced, Channel, Offer, Payload, Waiting};
use gofer_transport::{Socket, Stream};
use gofer_vfs::Errno;
use gofer_wire::lisafs::*;

use super::{honest, options, read, read_bytes, serve, to};

/// What a server says to a request through a channel.
enum Told {
    This(Vec<u8>),
    Nothing,
    End,
}

/// A client of a server with one channel. What comes through that the script answers, where it says something.
fn with_channel(script: impl Fn(&Request<'_>) -> Option<Told> + Send + 'static) -> Client {
    let (ours, theirs) = Socket::pair().unwrap();
    let announced = Announced { at: 2, most: u8::MAX };
    let capacity = DATAGRAM + PAYLOAD_MAX as usize;
    let (mut channel, offer) = Channel::new(capacity as u64, announced, Waiting::Sleep).unwrap();
    offering(theirs, offer);
    thread::spawn(move || {
        loop {
            let Ok(mut datagram) = channel.recv(capacity) else { return };
            let mut bytes = Vec::new();
            datagram.body().append_to(&mut bytes, usize::MAX);
            let request = Request::decode(u16::from(bytes[0]), &bytes[DATAGRAM..]).unwrap();
            let mut told = match script(&request) {
                Some(Told::This(told)) => told,
                Some(Told::Nothing) => loop {
                    thread::park();
                },
                Some(Told::End) => return,
                None => {
                    let frame = honest(&request).remove(0);
                    [&[frame[4], frame[5], 0, 0], &frame[HEADER..]].concat()
                }
            };
            if datagram.reply(&mut told, Payload::Bytes(&[])).is_err() {
                return;
            }
        }
    });
    Client::over(ours, &options()).unwrap()
}

/// Serves a stream and offers a channel, once.
fn offering(stream: Socket, offer: Offer) {
    let sender = Socket::from_fd(stream.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let offer = Mutex::new(Some(offer));
    serve(stream, move |request| match request {
        Request::Channel(_) => {
            let Offer { file, offset, length, side } = offer.lock().unwrap().take()?;
            let reply = ChannelResp { offset: offset.cast_signed(), length };
            let reply = to::<ChannelReq>(&reply).remove(0);
            sender.send(&reply, &[], &[file.as_fd(), side.as_fd()]).unwrap();
            Some(vec![])
        }
        // It is there to see whether the channel is used.
        Request::PRead(_) => Some(read_bytes(b"socket")),
        _ => None,
    });
}

#[test]
fn calls_go_through_the_channel_while_it_is_free() {
    let client = with_channel(|_| None);
    assert_eq!(client.channels(), 1);
    assert_eq!(read(&client, 100).unwrap(), b"hello");
    let client = Arc::new(client);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || {
                for _ in 0..100 {
                    let bytes = read(&client, 100).unwrap();
                    assert!(bytes == b"hello" || bytes == b"socket");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_lie_on_a_channel_ends_the_connection() {
    let much: Vec<u8> = [&[12, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0][..], &[1; 200]].concat();
    let lies: [(&str, Vec<u8>); 6] = [
        ("more bytes than were asked for", much),
        ("a count without the bytes", vec![12, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("a count of all there is", [&[12, 0, 0, 0][..], &[255; 8]].concat()),
        ("another operation's reply", vec![11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("half a head", vec![12, 0, 0]),
        ("half an errno", vec![0, 0, 0, 0, 5, 0]),
    ];
    for (lie, told) in lies {
        let client = with_channel(move |request| {
            matches!(request, Request::PRead(_)).then(|| Told::This(told.clone()))
        });
        assert_eq!(read(&client, 100), Err(Errno::EIO), "{lie}");
        assert_eq!(client.ended(), Some(Errno::EIO), "{lie}");
    }
    let client = with_channel(|request| matches!(request, Request::PRead(_)).then(|| Told::End));
    assert_eq!(read(&client, 100), Err(Errno::ECONNRESET));
    assert_eq!(client.ended(), Some(Errno::ECONNRESET));
}

#[test]
fn silence_on_a_channel_is_etimedout_and_the_end_of_that_channel() {
    let client = with_channel(|request| matches!(request, Request::PRead(_)).then(|| Told::Nothing));
    assert_eq!(read(&client, 100), Err(Errno::ETIMEDOUT));
    assert_eq!(client.ended(), None, "only that request is lost");
    assert_eq!(read(&client, 100).unwrap(), b"socket");
}

/// A channel that cannot be one is done without.
#[test]
fn what_is_no_channel_is_not_used() {
    type Lie = (&'static str, fn(Offer) -> Offer);
    let lies: [Lie; 3] = [
        ("memory that could be taken away", |offer| Offer {
            file: File::open("/proc/self/exe").unwrap().into(),
            ..offer
        }),
        ("a place before the beginning", |offer| Offer { offset: u64::MAX, ..offer }),
        ("a length of all there is", |offer| Offer { length: u64::MAX, ..offer }),
    ];
    for (lie, tell) in lies {
        let announced = Announced { at: 2, most: u8::MAX };
        let capacity = u64::from(PAYLOAD_MAX) + DATAGRAM as u64;
        let (_channel, offer) = Channel::new(capacity, announced, Waiting::Sleep).unwrap();
        let (ours, theirs) = Socket::pair().unwrap();
        offering(theirs, tell(offer));
        let client = Client::over(ours, &options()).unwrap();
        assert_eq!(client.channels(), 0, "{lie}");
        assert_eq!(read(&client, 100).unwrap(), b"socket", "{lie}");
    }
    let announced = Announced { at: 2, most: u8::MAX };
    let (_channel, offer) = Channel::new(8192, announced, Waiting::Sleep).unwrap();
    let (ours, theirs) = Socket::pair().unwrap();
    offering(theirs, offer);
    assert_eq!(Client::over(ours, &options()).unwrap().channels(), 0, "too short for some messages");
}
