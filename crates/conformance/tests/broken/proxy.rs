//! Somebody between a client and a sound server, who alters what passes.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// What becomes of a message.
pub(crate) enum Do {
    /// It passes, and so does its reply.
    Pass,
    /// Its reply has this body, and the server never sees it.
    Answer(&'static [u8]),
    /// It is never answered.
    Nothing,
    /// It passes, and its reply gets another tag.
    Retag,
    /// It passes with zeros behind it, so that it has so many bytes.
    Pad(usize),
    /// It ends the server.
    Die,
}

/// Decides by a whole frame.
pub(crate) type Meddle = fn(&[u8]) -> Do;

/// Stops when it is dropped.
pub(crate) struct Proxy {
    socket: PathBuf,
    dead: Arc<AtomicBool>,
    accepts: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn start(socket: &Path, server: &Path, meddle: Meddle) -> Self {
        // The one before has left its name.
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("a socket");
        let dead = Arc::new(AtomicBool::new(false));
        let (server, ends) = (server.to_owned(), Arc::clone(&dead));
        let accepts = thread::spawn(move || {
            for client in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (client, server) =
                    (client.expect("a client"), UnixStream::connect(&server).expect("a server"));
                let ends = Arc::clone(&ends);
                thread::spawn(move || pass(client, server, meddle, &ends));
            }
        });
        Self { socket: socket.to_owned(), dead, accepts: Some(accepts) }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.dead.store(true, Ordering::Relaxed);
        // It looks when somebody comes.
        let _ = UnixStream::connect(&self.socket);
        if let Some(accepts) = self.accepts.take() {
            accepts.join().expect("it ended");
        }
    }
}

/// A whole frame; `None` at the end, or where there is none.
fn frame(from: &mut UnixStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).ok()?;
    let size = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    frame.resize((7..=1 << 20).contains(&size).then_some(size)?, 0);
    from.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

/// Passes messages and their replies, one after the other.
fn pass(mut client: UnixStream, mut server: UnixStream, meddle: Meddle, dead: &AtomicBool) {
    while let Some(mut request) = frame(&mut client) {
        let what = meddle(&request);
        match what {
            Do::Answer(body) => {
                let size = u32::try_from(7 + body.len()).expect("a short body").to_le_bytes();
                let reply = [&size[..], &[request[4] + 1], &request[5..7], body].concat();
                if client.write_all(&reply).is_err() {
                    break;
                }
                continue;
            }
            Do::Nothing => continue,
            Do::Die => {
                dead.store(true, Ordering::Relaxed);
                break;
            }
            Do::Pad(len) => {
                request.resize(len, 0);
                request[..4].copy_from_slice(&u32::try_from(len).expect("a short frame").to_le_bytes());
            }
            Do::Pass | Do::Retag => {}
        }
        if dead.load(Ordering::Relaxed) || server.write_all(&request).is_err() {
            break;
        }
        let Some(mut reply) = frame(&mut server) else { break };
        if matches!(what, Do::Retag) {
            reply[5] ^= 1;
        }
        if client.write_all(&reply).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}
