//! [`Remote`]: a file of a server, as it is written on the command line.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use gofer_transport::Address;

use super::show;

/// How remote files are written, for the help.
pub(crate) const PLACE_NOTES: &str = "\
Remote files:
A remote file is ADDR[/EXPORT]:PATH. ADDR is unix:SOCKET, tcp:HOST:PORT, vsock:CID:PORT or fd:N; EXPORT is \
the name of an export, where the server has several; PATH is relative to the export's root, and no symbolic \
link in it is followed. Without :PATH it is the root itself.
  tcp:127.0.0.1:5640:src/main.rs      a file of the only export
  tcp:[::1]:5640/out:                 the root of the export 'out'
  unix:/run/gofer.sock:               the root, over a unix socket
  unix:/run/gofer.sock/out:a/b        a/b in the export 'out' of the same server
The path of a unix socket ends at the first ':'. Anything that does not begin with one of the four words is a \
local file; so is './tcp:x'.";

/// A place on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(super) address: Address,
    /// What to attach.
    pub(super) export: String,
    pub(super) path: Vec<u8>,
    text: OsString,
}

impl Remote {
    /// Whether a word is written as a remote place.
    pub(super) fn is(word: &OsStr) -> bool {
        ["unix:", "tcp:", "vsock:", "fd:"].iter().any(|kind| word.as_bytes().starts_with(kind.as_bytes()))
    }

    /// The place that a word names.
    pub(crate) fn parse(word: &OsStr) -> Result<Self, String> {
        let bytes = word.as_bytes();
        let (kind, rest) = split(bytes).ok_or("write ADDR[/EXPORT]:PATH, for example tcp:HOST:PORT:PATH")?;
        // How many ':' an address has behind its kind; those in brackets are an IPv6 address.
        let (address, path) = match kind {
            b"unix" | b"fd" => cut(rest, 0),
            b"tcp" | b"vsock" => cut(rest, rest.iter().position(|byte| *byte == b']').unwrap_or(0)),
            _ => return Err("a remote file begins with unix:, tcp:, vsock: or fd:".to_owned()),
        };
        let (address, path) = match (kind, path) {
            (b"tcp" | b"vsock", Some(behind)) => {
                let (port, path) = cut(behind, 0);
                (&rest[..address.len() + 1 + port.len()], path)
            }
            (b"tcp" | b"vsock", None) => {
                return Err(format!(
                    "the port is missing; write {}",
                    if kind == b"tcp" { "tcp:HOST:PORT" } else { "vsock:CID:PORT" }
                ));
            }
            (_, path) => (address, path),
        };
        let (address, export) = match kind {
            b"unix" => export_of_socket(address),
            _ => cut_at(address, b'/'),
        };
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "an address is UTF-8".to_owned());
        let address = format!("{}:{}", text(kind)?, text(address)?);
        Ok(Self {
            address: address.parse().map_err(|error: gofer_transport::Error| error.to_string())?,
            export: export.map_or_else(|| Ok("/".to_owned()), text)?,
            path: path.unwrap_or_default().to_vec(),
            text: word.to_owned(),
        })
    }

    /// The place with a name behind its path, as it would be written.
    pub(super) fn join(&self, names: &[u8]) -> String {
        let mut text = self.text.as_bytes().to_vec();
        if !names.is_empty() {
            if !text.ends_with(b":") && !text.ends_with(b"/") {
                text.push(if self.path.is_empty() { b':' } else { b'/' });
            }
            text.extend_from_slice(names);
        }
        show::quoted(&OsString::from_vec(text).into_vec())
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.join(b""))
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b':')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// What is before and behind the first ':' from `from` on.
fn cut(bytes: &[u8], from: usize) -> (&[u8], Option<&[u8]>) {
    match bytes[from..].iter().position(|byte| *byte == b':') {
        Some(at) => (&bytes[..from + at], Some(&bytes[from + at + 1..])),
        None => (bytes, None),
    }
}

fn cut_at(bytes: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|b| *b == byte) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..]).filter(|export| !export.is_empty())),
        None => (bytes, None),
    }
}

/// A socket has nothing below it: a name behind one is that of an export.
fn export_of_socket(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    let is_socket = |path: &[u8]| {
        fs::symlink_metadata(Path::new(OsStr::from_bytes(path)))
            .is_ok_and(|found| found.file_type().is_socket())
    };
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) if is_socket(&path[..at]) => {
            (&path[..at], Some(&path[at + 1..]).filter(|export| !export.is_empty()))
        }
        _ => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(word: &str) -> (String, String, String) {
        let remote = Remote::parse(OsStr::new(word)).unwrap();
        (remote.address.to_string(), remote.export, String::from_utf8(remote.path).unwrap())
    }

    #[test]
    fn a_place_is_an_address_an_export_and_a_path() {
        for (word, address, export, path) in [
            ("tcp:127.0.0.1:5640:a/b:c", "tcp:127.0.0.1:5640", "/", "a/b:c"),
            ("tcp:127.0.0.1:5640/out:a", "tcp:127.0.0.1:5640", "out", "a"),
            ("tcp:127.0.0.1:5640/out/sub:", "tcp:127.0.0.1:5640", "out/sub", ""),
            ("tcp:127.0.0.1:5640", "tcp:127.0.0.1:5640", "/", ""),
            ("tcp:[::1]:5640/out:/x", "tcp:[::1]:5640", "out", "/x"),
            ("vsock:2:5640:x", "vsock:2:5640", "/", "x"),
            ("vsock:2:5640/y:x", "vsock:2:5640", "y", "x"),
            ("fd:3:x/y", "fd:3", "/", "x/y"),
            ("fd:3/n", "fd:3", "n", ""),
            ("unix:/nope/s:x:y", "unix:/nope/s", "/", "x:y"),
            ("unix:/nope/s", "unix:/nope/s", "/", ""),
        ] {
            assert_eq!(parsed(word), (address.to_owned(), export.to_owned(), path.to_owned()), "{word}");
        }
    }

    #[test]
    fn a_name_behind_a_socket_is_an_export() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let socket = format!("unix:{}", socket.display());
        assert_eq!(parsed(&format!("{socket}:a")), (socket.clone(), "/".to_owned(), "a".to_owned()));
        assert_eq!(parsed(&format!("{socket}/out:a")), (socket.clone(), "out".to_owned(), "a".to_owned()));
        assert_eq!(parsed(&format!("{socket}/out")), (socket, "out".to_owned(), String::new()));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for word in ["", "x", "udp:1:2", "tcp:1", "tcp:127.0.0.1:x:y", "vsock:1", "unix:", "fd:x:y"] {
            assert!(Remote::parse(OsStr::new(word)).is_err(), "{word}");
        }
        assert!(Remote::is(OsStr::new("unix:a")) && !Remote::is(OsStr::new("./unix:a")));
    }
}
