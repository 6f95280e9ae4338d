//! A 9P server made with the `p9` crate, as well as that crate allows: a thread for each connection, requests and
//! replies that come together in one system call.
//!
//! usage: p9-peer DIR SOCKET

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io, thread};

/// More than the largest message that the crate agrees to.
const BUFFER: usize = 256 * 1024;

fn main() -> ExitCode {
    let words: Vec<_> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [dir, socket] = words.as_slice() else {
        eprintln!("usage: p9-peer DIR SOCKET");
        return ExitCode::from(2);
    };
    match listen(dir.clone(), socket.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("p9-peer: cannot serve {dir:?} at {socket:?}: {error}; choose others");
            ExitCode::FAILURE
        }
    }
}

fn listen(dir: PathBuf, socket: PathBuf) -> io::Result<()> {
    for stream in UnixListener::bind(socket)?.incoming() {
        let (stream, dir) = (stream?, dir.clone());
        thread::Builder::new().spawn(move || {
            if let Err(error) = serve(stream, dir) {
                eprintln!("p9-peer: a connection ended: {error}");
            }
        })?;
    }
    Ok(())
}

fn serve(stream: UnixStream, dir: PathBuf) -> io::Result<()> {
    let mut server = p9::Server::new(dir, Default::default(), Default::default())?;
    let mut requests = BufReader::with_capacity(BUFFER, stream.try_clone()?);
    let mut replies = BufWriter::with_capacity(BUFFER, stream);
    while !requests.fill_buf()?.is_empty() {
        server.handle_message(&mut requests, &mut replies)?;
        if requests.buffer().is_empty() {
            replies.flush()?;
        }
    }
    Ok(())
}
