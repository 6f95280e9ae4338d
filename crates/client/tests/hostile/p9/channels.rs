//! Servers of 9P that lie through shared memory.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use gofer_client::{Client, Dialect, Options};
use gofer_transport::flipcall::{Announced, Channel, Payload, Waiting};
use gofer_transport::{Socket, Stream};
use gofer_vfs::Errno;
use gofer_wire::Data;
use gofer_wire::p9::*;

use super::{frame, honest, options, read, serve};

/// A client of a server with one channel. What comes through that the script answers, where it says something: with a
/// datagram, with silence, or with the end.
fn with_channel(script: impl Fn(&Request<'_>) -> Option<Told> + Send + 'static) -> Client {
    let (ours, theirs) = Socket::pair().unwrap();
    let announced = Announced { at: 1, most: 1 };
    let (mut channel, offer) = Channel::new(1 << 20, announced, Waiting::Sleep).unwrap();
    let sender = Socket::from_fd(theirs.as_fd().try_clone_to_owned().unwrap()).unwrap();
    serve(theirs, move |tag, request| match request {
        Request::Channel(Tchannel { id: 0, control }) => {
            let place = Rchannel { offset: offer.offset, length: offer.length };
            let descriptor = if *control == 0 { &offer.file } else { &offer.side };
            sender.send(&frame(tag, place), &[], &[descriptor.as_fd()]).unwrap();
            Some(vec![])
        }
        // It is there to see whether the channel is used.
        Request::Read(_) => Some(vec![frame(tag, Rread { data: Data(b"socket") })]),
        _ => None,
    });
    thread::spawn(move || {
        loop {
            let Ok(mut datagram) = channel.recv(1 << 20) else { return };
            let mut bytes = Vec::new();
            datagram.body().append_to(&mut bytes, usize::MAX);
            let request = Request::decode(bytes[0], &bytes[DATAGRAM..]).unwrap();
            let mut told = match script(&request) {
                Some(Told::This(told)) => told,
                Some(Told::Nothing) => loop {
                    thread::park();
                },
                Some(Told::End) => return,
                None => {
                    let frame = honest(Tag(0), &request).remove(0);
                    [&[frame[4], 0], &frame[HEADER..]].concat()
                }
            };
            if datagram.reply(&mut told, Payload::Bytes(&[])).is_err() {
                return;
            }
        }
    });
    Client::over(ours, &Options { dialect: Some(Dialect::Google), ..options() }).unwrap()
}

/// What a server says to a request through a channel.
enum Told {
    This(Vec<u8>),
    Nothing,
    End,
}

#[test]
fn short_calls_go_through_the_channel_and_long_ones_do_not() {
    let client = with_channel(|_| None);
    assert_eq!(read(&client, 100).unwrap(), b"hello");
    assert_eq!(read(&client, 100_000).unwrap(), b"socket");
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
    let much: Vec<u8> = [&[117, 0, 200, 0, 0, 0][..], &[1; 200]].concat();
    let lies: [(&str, Vec<u8>); 7] = [
        ("more bytes than were asked for", much),
        ("a count without the bytes", vec![117, 0, 100, 0, 0, 0, 1]),
        ("a count of all there is", vec![117, 0, 255, 255, 255, 255]),
        ("another operation's reply", vec![121, 0]),
        ("a request", vec![116, 0]),
        ("half a head", vec![117]),
        ("half an error", vec![7, 0, 5, 0]),
    ];
    for (lie, told) in lies {
        let client = with_channel(move |request| {
            matches!(request, Request::Read(_)).then(|| Told::This(told.clone()))
        });
        assert_eq!(read(&client, 100), Err(Errno::EIO), "{lie}");
        assert_eq!(client.ended(), Some(Errno::EIO), "{lie}");
    }
    let client = with_channel(|request| matches!(request, Request::Read(_)).then(|| Told::End));
    assert_eq!(read(&client, 100), Err(Errno::ECONNRESET));
    assert_eq!(client.ended(), Some(Errno::ECONNRESET));
}

#[test]
fn silence_on_a_channel_is_etimedout_and_the_end_of_that_channel() {
    let client = with_channel(|request| matches!(request, Request::Read(_)).then(|| Told::Nothing));
    assert_eq!(read(&client, 100), Err(Errno::ETIMEDOUT));
    assert_eq!(client.ended(), None, "only that request is lost");
    assert_eq!(read(&client, 100).unwrap(), b"socket");
}

#[test]
fn memory_that_could_be_taken_away_is_no_channel() {
    let (ours, theirs) = Socket::pair().unwrap();
    let sender = Socket::from_fd(theirs.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let file: OwnedFd = File::open("/proc/self/exe").unwrap().into();
    serve(theirs, move |tag, request| match request {
        Request::Channel(_) => {
            let place = Rchannel { offset: 0, length: 1 << 20 };
            sender.send(&frame(tag, place), &[], &[file.as_fd()]).unwrap();
            Some(vec![])
        }
        _ => None,
    });
    let client = Client::over(ours, &Options { dialect: Some(Dialect::Google), ..options() }).unwrap();
    assert_eq!(read(&client, 100).unwrap(), b"hello", "through the socket");
}
