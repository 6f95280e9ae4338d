//! The floor below every server: replies that were recorded, sent by somebody who does nothing for them.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::thread;

use gofer_sys::net;
use gofer_transport::Socket;
use gofer_transport::flipcall::{Announced, Caller, Channel, End, Payload, Waiting};
use gofer_vfs::Errno;
use gofer_wire::p9::{DATAGRAM, HEADER, Header, MESSAGE_MAX};

use super::client::Client;

/// Where a header has the tag.
const TAG: std::ops::Range<usize> = 5..7;

/// A connection to a thread that answers the requests of every tag with the replies of `script`, over and over. It
/// ends with the connection.
pub(super) fn serve(script: &[Vec<u8>], in_flight: u16) -> Result<Client, Errno> {
    let (ours, theirs) = net::pair()?;
    let (ours, theirs) = (Socket::from_fd(ours)?, File::from(theirs));
    let tagged = |tag: u16| {
        let with_tag = |reply: &Vec<u8>| {
            let mut reply = reply.clone();
            reply[TAG].copy_from_slice(&tag.to_le_bytes());
            reply
        };
        Replies { script: script.iter().map(with_tag).collect(), next: 0 }
    };
    let mut replies: Vec<_> = (0..in_flight).map(tagged).collect();
    let answer = move || {
        // The other side sees the end of the connection, whatever it is.
        let _ = answer_all(theirs, &mut replies);
    };
    thread::Builder::new().name("null".to_owned()).spawn(answer).map_err(|_| Errno::EAGAIN)?;
    Ok(Client::over(ours))
}

/// The same through shared memory, one request at a time: the replies are copied to the window, and no more.
pub(super) fn serve_channel(script: Vec<Vec<u8>>) -> Result<Client, Errno> {
    let announced = Announced { at: 1, most: 0 };
    let (channel, offer) = Channel::new(MESSAGE_MAX.into(), announced, Waiting::default())?;
    let (ours, _) = net::pair()?;
    let client = Client::over(Socket::from_fd(ours)?).through(Caller::new(offer, Waiting::default())?);
    let replies = Replies { script, next: 0 };
    let answer = move || {
        // The other side sees the end of the channel, whatever it is.
        let _ = answer_channel(channel, replies);
    };
    thread::Builder::new().name("null".to_owned()).spawn(answer).map_err(|_| Errno::EAGAIN)?;
    Ok(client)
}

fn answer_channel(mut channel: Channel, mut replies: Replies) -> Result<(), End> {
    loop {
        let request = channel.recv(usize::MAX)?;
        let reply = replies.next().unwrap_or_default();
        let Some((header, body)) = reply.split_first_chunk().map(|(head, body)| (Header::decode(head), body))
        else {
            return Ok(());
        };
        let mut head = [0; DATAGRAM];
        head[0] = header.number;
        request.reply(&mut head, Payload::Bytes(body))?;
    }
}

/// The replies to the requests of a tag, and which comes next.
struct Replies {
    script: Vec<Vec<u8>>,
    next: usize,
}

impl Replies {
    fn next(&mut self) -> Option<&[u8]> {
        let reply = self.script.get(self.next)?;
        self.next = (self.next + 1) % self.script.len();
        Some(reply)
    }
}

/// Answers what is received, small replies to what came together in one call.
fn answer_all(mut socket: File, replies: &mut [Replies]) -> io::Result<()> {
    const INPUT: usize = 256 * 1024;
    const SMALL: usize = 16 * 1024;
    let (mut input, mut out) = (Vec::with_capacity(INPUT), Vec::new());
    loop {
        let received = net::recv(socket.as_fd(), &mut input, INPUT);
        if received.map_err(|errno| io::Error::from_raw_os_error(errno.number().into()))? == 0 {
            return Ok(());
        }
        let mut taken = 0;
        while let Some(header) = input[taken..].first_chunk::<HEADER>().map(Header::decode) {
            let size = header.size as usize;
            if input.len() - taken < size {
                break;
            }
            taken += size;
            let reply = replies.get_mut(usize::from(header.tag.0)).and_then(Replies::next);
            let reply = reply.ok_or(io::ErrorKind::InvalidData)?;
            if reply.len() > SMALL {
                socket.write_all(&out)?;
                out.clear();
                socket.write_all(reply)?;
            } else {
                out.extend_from_slice(reply);
            }
        }
        input.drain(..taken);
        socket.write_all(&out)?;
        out.clear();
    }
}
