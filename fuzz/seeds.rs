//! Writes the first inputs, one directory for each target: what the conformance suite's clients say, case by case.
//!
//! ```text
//! seeds DIRECTORY
//! ```

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

#[path = "seeds/lisafs.rs"]
mod lisafs;

use gofer_conformance::{Dialect, FAMILIES, Ground, Record, Setup, Transport, site};
use gofer_fuzz::conversation::How;
use gofer_fuzz::frames::Form;
use gofer_vfs::{Name, PeerGid, PeerUid};
use gofer_wire::p9::*;
use gofer_wire::{ListBuf, Str};

/// The longest input.
const LONGEST: usize = 4096;
/// The longest frame in one.
const FRAME: usize = 600;

fn main() -> io::Result<()> {
    let Some(to) = std::env::args_os().nth(1) else { return Err(io::Error::other("usage: seeds DIRECTORY")) };
    let to = Path::new(&to);
    for target in [
        "decode",
        "session",
        "host",
        "channel",
        "client",
        "client_lisafs",
        "lisafs",
        "lisafs_decode",
        "lisafs_host",
    ] {
        fs::create_dir_all(to.join(target))?;
    }
    // What fails, because a tree in memory is not what the case is for, was said all the same.
    std::panic::set_hook(Box::new(|_| {}));
    for (dialect, name) in [(Dialect::Base, "base"), (Dialect::Google, "google")] {
        for family in FAMILIES {
            for case in family.cases {
                let record = Arc::new(Record::of_bytes());
                let setup = Setup { read_only: family.read_only, ..Setup::default() };
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    let site = site(Ground::Memory, Transport::Memory, dialect, setup).recorded(&record);
                    (case.run)(&site)
                }));
                let how = if family.read_only { How(How::OPEN.0 | 1) } else { How::OPEN };
                write(to, &format!("{name}-{}-{}", family.name, case.name), how, &record.bytes())?;
            }
        }
    }
    for (number, path) in WAYS_OUT.into_iter().enumerate() {
        fs::write(
            to.join("host").join(format!("out-{number}")),
            [&[How::OPEN.0], &leave(path)[..]].concat(),
        )?;
    }
    // The client's server is honest where it has no lies.
    for operation in 0..40u8 {
        let steps = [1, 0, 7, 2, operation, 0, operation, 1, operation, 2];
        for how in [0, 1, 4, 8, 9, 16] {
            fs::write(to.join("client").join(format!("{operation}-{how}")), [&[how][..], &steps].concat())?;
        }
        for how in [0, 1, 2] {
            fs::write(
                to.join("client_lisafs").join(format!("{operation}-{how}")),
                [&[how][..], &steps].concat(),
            )?;
        }
    }
    lisafs::write(to)
}

/// What would lead out of the export of the target `host`.
const WAYS_OUT: [&[&str]; 9] = [
    &["out"],
    &["abs"],
    &["up", "outside"],
    &["root"],
    &["dir", "out"],
    &["dir", "sub", "out"],
    &["..", "outside"],
    &["dir", "..", "..", "outside"],
    &["../outside"],
];

/// A client that goes there, looks round, and leaves something.
fn leave(path: &[&str]) -> Vec<u8> {
    let text = |text| Str::new(text).expect("a short text");
    let name = |name| Name::new(name).expect("a name");
    let (mut room, gid) = (Vec::new(), PeerGid::NONE);
    let mut names = ListBuf::new(&mut room);
    assert!(path.iter().all(|name| names.push_str(text(name.as_bytes()))));
    let names = names.finish();
    let walk = |newfid| Request::from(Twalk { fid: Fid(0), newfid: Fid(newfid), names });
    let (uname, n_uname) = (text(b""), PeerUid::NONE);
    let requests = [
        Tversion { msize: 65_536, version: text(b"9P2000.L") }.into(),
        Tattach { fid: Fid(0), afid: Fid::NONE, uname, aname: text(b""), n_uname }.into(),
        walk(1),
        Tlopen { fid: Fid(1), flags: OpenBits::RDONLY }.into(),
        Treaddir { fid: Fid(1), offset: 0, count: 4096 }.into(),
        walk(2),
        Tgetattr { fid: Fid(2), mask: GetattrMask::ALL }.into(),
        Treadlink { fid: Fid(2) }.into(),
        Tmkdir { dfid: Fid(2), name: name(b"new"), mode: 0o755, gid }.into(),
        Tsymlink { dfid: Fid(2), name: name(b"new"), target: text(b"target"), gid }.into(),
        Tunlinkat { dfid: Fid(2), name: name(b"link"), flags: 0 }.into(),
        Trenameat { olddirfid: Fid(2), oldname: name(b"sub"), newdirfid: Fid(0), newname: name(b"new") }
            .into(),
        Tlcreate { fid: Fid(2), name: name(b"new"), flags: OpenBits::RDWR, mode: 0o644, gid }.into(),
    ];
    let (mut stream, mut head) = (Vec::new(), Vec::new());
    for request in requests {
        request.encode(Tag(1), &mut head);
        stream.extend_from_slice(&head);
    }
    stream
}

/// The inputs that are made of what a case's clients sent.
fn write(to: &Path, name: &str, how: How, stream: &[u8]) -> io::Result<()> {
    let (mut session, mut channel) = (vec![how.0], vec![0]);
    for (number, frame) in Form::P9.cut(stream).into_iter().filter(|frame| frame.len() <= FRAME).enumerate() {
        if session.len() + frame.len() > LONGEST {
            break;
        }
        session.extend_from_slice(frame);
        let Some((header, body)) = frame.split_first_chunk::<HEADER>() else { continue };
        fs::write(to.join("decode").join(format!("{name}-{number}")), [&header[4..5], body].concat())?;
        // Version and attach went before.
        if ![100, 104].contains(&header[4]) {
            let datagram = [&[header[4], 0], body].concat();
            let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX).to_le_bytes();
            channel.extend([&[0][..], &length, &datagram].concat());
        }
    }
    fs::write(to.join("session").join(name), &session)?;
    fs::write(to.join("host").join(name), &session)?;
    fs::write(to.join("channel").join(name), &channel)
}
