//! A client that makes the server hold as much as it can.

use std::thread;
use std::time::{Duration, Instant};

use gofer_transport::{Address, Socket, Stream};
use gofer_wire::Str;
use gofer_wire::p9::*;

use crate::Result;
use crate::rude::{drain, send};

/// Connections at the same time, each with a message that does not end: so many MiB.
const CONNECTIONS: usize = 48;
const MSIZE: u32 = 1 << 20;

/// How long they are held.
const HOLD: Duration = Duration::from_millis(500);

/// Holds, lets go, and begins again.
pub(crate) fn run(address: &Address, length: Duration) -> Result<()> {
    let end = Instant::now() + length;
    let mut message = MSIZE.to_le_bytes().to_vec();
    message.resize(usize::try_from(MSIZE)? - 1, 0);
    let (mut rounds, mut most) = (0, 0);
    while Instant::now() < end {
        let held: Vec<_> = (0..CONNECTIONS).map_while(|_| hold(address, &message).ok()).collect();
        rounds += 1;
        most = most.max(held.len());
        thread::sleep(HOLD);
    }
    println!("{rounds} times, up to {most} MiB");
    Ok(())
}

fn hold(address: &Address, message: &[u8]) -> Result<Socket> {
    let socket = Socket::connect(address, Some(Duration::from_secs(5)))?;
    socket.tell_quiet(Some(Duration::from_secs(2)));
    let version = Str::new(b"9P2000.L").unwrap_or_default();
    send(&socket, Tag::NONE.0, Tversion { msize: MSIZE, version })?;
    drain(&socket, 1)?;
    socket.send(message, b"", &[])?;
    Ok(socket)
}
