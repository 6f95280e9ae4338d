//! A 9P server inside another program: serves a directory, read-only, at a unix socket until its input ends.
//! `cargo run -p gofer-server --example embed -- DIR SOCKET`
//!
//! What is served need not be files of the host: anything that implements `gofer_vfs::Backend` will do.

use std::io::Read;
use std::time::Duration;

use gofer_localfs::LocalFs;
use gofer_server::{Export, Limits, Policy, Server};
use gofer_transport::{Address, Listener};
use gofer_vfs::ReadOnly;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1);
    let (dir, socket) = words.next().zip(words.next()).ok_or("usage: embed DIR SOCKET")?;

    // An export without a name is what a client gets that attaches to "/".
    let backend = ReadOnly(LocalFs::open(dir.as_ref())?);
    let exports = vec![Export { name: None, backend, policy: Policy::default() }];

    // Every number has a default; a program that serves a few small clients wants less. Descriptors are this process's, 1024
    // as a rule: clients get a half of them for open files, and a quarter for what they only walked to.
    LocalFs::limit_places(256);
    let limits = Limits { connections: 16, fids: 10_000, descriptors: 512, ..Limits::default() };
    let server = Server::new(exports, limits)?;

    // The socket is for this user only. Connections that were made elsewhere, one end of a socket pair for
    // instance, go to `server.connect`.
    server.listen(Listener::bind(&Address::Unix(socket.into()))?)?;
    std::io::stdin().read_to_end(&mut Vec::new())?;

    // Clients get the answers to what they have asked for.
    let cut = server.drain(Duration::from_secs(5));
    println!("{cut} connections were cut off");
    Ok(())
}
