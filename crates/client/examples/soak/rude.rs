//! A client that keeps to the protocol only as far as it likes.

use std::thread;
use std::time::{Duration, Instant};

use gofer_transport::{Address, Socket, Stream};
use gofer_vfs::{Errno, PeerUid};
use gofer_wire::p9::*;
use gofer_wire::{List, Str};

use crate::Result;
use crate::model::Chance;

/// Breaks off in another way each time.
pub(crate) fn run(address: &Address, export: &str, length: Duration) -> Result<()> {
    let end = Instant::now() + length;
    let mut chance = Chance::new(std::process::id().into());
    let (mut times, mut refused) = (0u64, 0u64);
    while Instant::now() < end {
        match Socket::connect(address, Some(Duration::from_secs(5))) {
            Ok(socket) => {
                // Whatever comes of it.
                let _ = bother(&socket, export, &mut chance);
                times += 1;
            }
            Err(_) => {
                refused += 1;
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    println!("{times} connections, {refused} refused");
    Ok(())
}

pub(crate) fn send<'a>(
    socket: &Socket,
    tag: u16,
    request: impl Into<Request<'a>>,
) -> std::result::Result<(), Errno> {
    let mut head = Vec::new();
    let request = request.into();
    let payload = request.encode(Tag(tag), &mut head);
    socket.send(&head, payload, &[])
}

fn bother(socket: &Socket, export: &str, chance: &mut Chance) -> std::result::Result<(), Errno> {
    const ROOT: Fid = Fid(0);
    let what = chance.below(9);
    if what == 0 {
        return Ok(());
    }
    socket.tell_quiet(Some(Duration::from_secs(2)));
    let version = Str::new(b"9P2000.L").unwrap_or_default();
    send(socket, Tag::NONE.0, Tversion { msize: 8192, version })?;
    let (uname, aname) = (Str::default(), Str::new(export.as_bytes()).unwrap_or_default());
    send(socket, 0, Tattach { fid: ROOT, afid: Fid::NONE, uname, aname, n_uname: PeerUid(0) })?;
    match what {
        // Fids that are never given back.
        1 | 2 => {
            for fid in 1..=u32::try_from(chance.below(2000)).unwrap_or(1) {
                send(socket, 1, Twalk { fid: ROOT, newfid: Fid(fid), names: List::EMPTY })?;
                drain(socket, 1)?;
            }
        }
        // A flood of flushes, whose answers nobody takes.
        3 => {
            for tag in 1..=1000 {
                send(socket, tag, Tflush { oldtag: Tag(tag - 1) })?;
            }
        }
        // A version after the other.
        4 => {
            for _ in 0..100 {
                send(socket, Tag::NONE.0, Tversion { msize: 8192, version })?;
            }
            drain(socket, 1)?;
        }
        // A frame that is promised and does not come.
        5 => {
            socket.send(&[0xff, 0x1f, 0, 0, 118, 1, 0, 9], b"", &[])?;
            thread::sleep(Duration::from_millis(50));
        }
        // No frame at all.
        6 => {
            let noise: Vec<u8> = (0..64).flat_map(|_| chance.next().to_le_bytes()).collect();
            socket.send(&noise, b"", &[])?;
            drain(socket, 1)?;
        }
        // Nothing more to say, and everything to hear.
        7 => {
            send(socket, 1, Tgetattr { fid: ROOT, mask: GetattrMask::ALL })?;
            socket.close_input();
        }
        // Half a request.
        _ => {
            let mut head = Vec::new();
            let names = List::EMPTY;
            Request::from(Twalk { fid: ROOT, newfid: Fid(1), names }).encode(Tag(1), &mut head);
            socket.send(&head[..chance.below(head.len())], b"", &[])?;
        }
    }
    Ok(())
}

/// Takes what is there, so often.
pub(crate) fn drain(socket: &Socket, times: u32) -> std::result::Result<(), Errno> {
    let mut input = Vec::with_capacity(64 * 1024);
    for _ in 0..times {
        input.clear();
        socket.recv(&mut input, 64 * 1024)?;
    }
    Ok(())
}
