//! lconnect.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

use gofer_server::{HostSockets, Policy};
use gofer_vfs::{Errno, Result};
use gofer_wire::p9::*;

use crate::client::{Client, ROOT};
use crate::verdict::skip;
use crate::{Checked, Site, demand_eq, family};

fn connect(c: &mut Client, fid: Fid, flags: u32) -> Result<File> {
    let answer = c.call(Tlconnect { fid, flags })?;
    answer.lconnect();
    Ok(File::from(answer.descriptor.expect("an Rlconnect always has a descriptor")))
}

/// The same site, with clients that may connect.
fn open(site: &Site) -> Site {
    site.with_policy(Policy { sockets: HostSockets::Connect, ..Policy::default() })
}

/// Whether a connection can get to the client at all.
fn reaches(site: &Site) -> bool {
    site.is_google() && site.passes_descriptors()
}

fn a_connection_leads_to_the_listener(site: &Site) -> Checked {
    let site = open(site);
    let host = site.hosted();
    // Deeper than any address of a socket is long.
    let deep: PathBuf = std::iter::repeat_n("a-directory-with-a-long-name", 6).collect();
    let moved = host.join(&deep).join("live");
    std::fs::create_dir_all(host.join(&deep)).expect("directories");
    let listener = UnixListener::bind(host.join("live")).expect("a listener");
    std::fs::rename(host.join("live"), &moved).expect("a rename");
    assert!(moved.as_os_str().len() > 108);
    let mut c = site.client();
    let fid = c.at(deep.join("live").to_str().expect("a path"))?;
    if !reaches(&site) {
        demand_eq!(connect(&mut c, fid, Tlconnect::STREAM).err(), Some(Errno::EOPNOTSUPP));
        return Ok(());
    }
    let mut ours = connect(&mut c, fid, Tlconnect::STREAM)?;
    let (mut theirs, _) = listener.accept().expect("a connection");
    ours.write_all(b"hello").expect("a write");
    let mut got = [0; 5];
    theirs.read_exact(&mut got).expect("a read");
    demand_eq!(&got, b"hello");
    let nothing = ours.read(&mut got).map_err(|error| error.kind());
    demand_eq!(nothing, Err(ErrorKind::WouldBlock), "it does not wait");
    c.clunk(fid)?;
    theirs.write_all(b"later").expect("a write");
    ours.read_exact(&mut got).expect("a read");
    Ok(())
}

fn the_kind_of_socket_has_to_match(site: &Site) -> Checked {
    let site = open(site);
    let host = site.hosted().to_owned();
    let _stream = UnixListener::bind(host.join("stream")).expect("a listener");
    let datagram = UnixDatagram::bind(host.join("datagram")).expect("a socket");
    let mut c = site.client();
    let (stream, dgram) = (c.at("stream")?, c.at("datagram")?);
    if !reaches(&site) {
        return skip("needs a Google session on a unix socket");
    }
    connect(&mut c, dgram, Tlconnect::DATAGRAM)?.write_all(b"packet").expect("a packet");
    let mut got = [0; 10];
    demand_eq!(datagram.recv(&mut got).expect("a packet"), 6);
    demand_eq!(connect(&mut c, stream, Tlconnect::DATAGRAM).err(), Some(Errno::EPROTOTYPE));
    demand_eq!(connect(&mut c, stream, Tlconnect::SEQPACKET).err(), Some(Errno::EPROTOTYPE));
    for flags in [Tlconnect::ANONYMOUS, 4, u32::MAX] {
        demand_eq!(connect(&mut c, stream, flags).err(), Some(Errno::ENXIO), "{flags}");
    }
    std::fs::remove_file(host.join("stream")).expect("unlink");
    demand_eq!(connect(&mut c, stream, Tlconnect::STREAM).err(), Some(Errno::EINVAL), "it was removed");
    Ok(())
}

fn nobody_listens_behind_a_mere_name(site: &Site) -> Checked {
    let site = open(site);
    let mut c = site.client();
    let fid = c.at("socket")?;
    let errno = if reaches(&site) { Errno::ECONNREFUSED } else { Errno::EOPNOTSUPP };
    demand_eq!(connect(&mut c, fid, Tlconnect::STREAM).err(), Some(errno));
    Ok(())
}

fn only_a_socket_is_connected_to(site: &Site) -> Checked {
    let site = open(site);
    let mut c = site.client();
    for path in ["", "file", "dir", "link"] {
        let fid = c.at(path)?;
        demand_eq!(connect(&mut c, fid, Tlconnect::STREAM).err(), Some(Errno::EINVAL), "{path}");
    }
    let fid = c.at("socket")?;
    c.unlink(ROOT, "socket")?;
    demand_eq!(connect(&mut c, fid, Tlconnect::STREAM).err(), Some(Errno::EINVAL));
    Ok(())
}

fn sockets_are_off_unless_the_operator_says_so(site: &Site) -> Checked {
    let mut c = site.client();
    let walked = c.at("socket");
    if site.is_google() {
        demand_eq!(walked, Err(Errno::EPERM));
        return Ok(());
    }
    let fid = walked?;
    for flags in [Tlconnect::STREAM, Tlconnect::ANONYMOUS] {
        demand_eq!(connect(&mut c, fid, flags).err(), Some(Errno::ECONNREFUSED));
    }
    Ok(())
}

family! {
    "socket";
    cases:
        only_a_socket_is_connected_to;
    ours:
        a_connection_leads_to_the_listener
        the_kind_of_socket_has_to_match
        nobody_listens_behind_a_mere_name
        sockets_are_off_unless_the_operator_says_so;
    promises:
        lconnect: EBADF EINVAL ECONNREFUSED ENXIO EPROTOTYPE EOPNOTSUPP;
}
