//! channel: the same requests through shared memory.

use std::io::{Read, Seek};
use std::os::fd::OwnedFd;

use gofer_server::Limits;
use gofer_transport::flipcall::{Caller, End, Waiting};
use gofer_vfs::{Errno, Source};
use gofer_wire::p9::*;

use crate::client::{Client, text};
use crate::site::{Site, Transport};
use crate::verdict::{skip, skip_now};
use crate::window::*;
use crate::{Checked, ROOT, demand_eq, family};

/// A client on the stream. The case ends where it can have no channels.
pub(crate) fn streaming(site: &Site) -> Client {
    if !(site.is_google() && site.passes_descriptors()) {
        skip_now("needs a Google session on a unix socket");
    }
    let mut c = site.connect();
    let (version, msize) = site.dialect().version();
    c.version(msize, version).expect("a version");
    c.attach(ROOT, "/").expect("the root");
    c
}

fn refused(c: &mut Client, id: u32, control: u32) -> Option<Errno> {
    c.call(Tchannel { id, control }).err()
}

fn channels_are_for_those_who_take_descriptors(site: &Site) -> Checked {
    if !(site.is_google() && site.passes_descriptors()) {
        let mut c = site.client();
        demand_eq!(refused(&mut c, 0, 0), Some(Errno::ENOSYS));
        demand_eq!(refused(&mut c, 0, 1), Some(Errno::ENOSYS));
        return Ok(());
    }
    let mut c = site.connect();
    c.version(8192, "9P2000.L.Google.7")?;
    demand_eq!(refused(&mut c, 0, 0), Some(Errno::ENOSYS));
    c.version(8192, "9P2000.L.Google.8")?;
    c.channel(0)?;
    c.version(8192, "9P2000.L")?;
    demand_eq!(refused(&mut c, 1, 0), Some(Errno::ENOSYS));
    // The base protocol, for one who knows the extensions.
    c.version(8192, "9P2000.L.Google.0")?;
    c.channel(1)?;
    Ok(())
}

fn each_descriptor_of_a_channel_is_given_once(site: &Site) -> Checked {
    let mut c = streaming(site);
    demand_eq!(refused(&mut c, 0, 2), Some(Errno::EINVAL));
    let Rchannel { offset, length } = c.call(Tchannel { id: 1, control: 1 })?.channel();
    demand_eq!((offset, length), (0, 0x10_1000), "room for the longest message");
    demand_eq!(refused(&mut c, 1, 1), Some(Errno::EBUSY));
    demand_eq!(c.call(Tchannel { id: 1, control: 0 })?.channel(), Rchannel { offset, length });
    demand_eq!(refused(&mut c, 1, 0), Some(Errno::EBUSY));
    c.channel(0)?;
    demand_eq!(refused(&mut c, u32::MAX, 0), Some(Errno::ENOSYS));
    c.getattr(ROOT)?;
    Ok(())
}

fn there_are_as_many_channels_as_the_server_says(site: &Site) -> Checked {
    for channels in [0, 1, 3] {
        let site = site.with_limits(Limits { channels, ..Limits::default() });
        let mut c = streaming(&site);
        let ids = 0..u32::try_from(channels).expect("a few");
        for id in ids.clone() {
            c.channel(id)?;
        }
        demand_eq!(refused(&mut c, ids.end, 0), Some(Errno::ENOSYS));
    }
    Ok(())
}

/// Fids are the connection's, whichever way a request comes.
fn a_channel_and_its_stream_share_all(site: &Site) -> Checked {
    let mut c = streaming(site);
    let mut caller = Caller::new(c.channel(0)?, Waiting::default())?;
    c.walk(ROOT, Fid(5), &["file"])?;
    demand_eq!(ask(&mut caller, Tclunk { fid: Fid(5) }), [121, 0]);
    demand_eq!(c.clunk(Fid(5)), Err(Errno::EBADF));
    demand_eq!(ask(&mut caller, Tclunk { fid: Fid(5) }), error(Errno::EBADF));
    Ok(())
}

fn what_is_about_the_connection_goes_on_its_stream(site: &Site) -> Checked {
    let mut c = streaming(site);
    let mut caller = Caller::new(c.channel(0)?, Waiting::default())?;
    let version = Tversion { msize: 8192, version: text("9P2000.L") };
    demand_eq!(ask(&mut caller, version), error(Errno::EINVAL));
    demand_eq!(ask(&mut caller, Tchannel { id: 1, control: 0 }), error(Errno::EINVAL));
    demand_eq!(ask(&mut caller, Tflush { oldtag: Tag(0) }), [109, 0]);
    c.getattr(ROOT)?;
    Ok(())
}

/// A request that cannot be understood is answered, and the channel goes on.
fn a_malformed_request_costs_nothing_but_itself(site: &Site) -> Checked {
    let mut c = streaming(site);
    let mut caller = Caller::new(c.channel(0)?, Waiting::default())?;
    let write =
        |count: u32, data: &[u8]| [&[118, 0, 0, 0, 0, 0][..], &[0; 8], &count.to_le_bytes(), data].concat();
    let requests = [
        (vec![120], Errno::EIO),
        (vec![120, 0], Errno::EIO),
        (vec![120, 0, 1, 2, 3], Errno::EIO),
        (vec![118, 0], Errno::EIO),
        (vec![118, 0, 0, 0], Errno::EIO),
        (write(5, b"four"), Errno::EIO),
        (write(3, b"four"), Errno::EIO),
        (write(u32::MAX, b""), Errno::EIO),
        (vec![0, 0], Errno::EIO),
        (vec![6, 0], Errno::EIO),
        (vec![255, 1], Errno::EIO),
        (vec![7, 0, 1, 0, 0, 0], Errno::ENOSYS),
        (vec![121, 0], Errno::ENOSYS),
        (vec![110, 9, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 2, 0, b'.', b'.'], Errno::EINVAL),
    ];
    for (request, errno) in requests {
        demand_eq!(raw(&mut caller, &request), error(errno), "{request:?}");
        demand_eq!(ask(&mut caller, Tclunk { fid: Fid(77) }), error(Errno::EBADF));
    }
    Ok(())
}

fn large_data_goes_through_a_channel(site: &Site) -> Checked {
    if site.transport() != Transport::Channel {
        return skip("is about requests through a channel");
    }
    let mut c = site.client();
    let fid = c.create_at("large")?;
    let payload = MESSAGE_MAX - 23;
    let bytes: Vec<u8> = (0..payload).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    demand_eq!(c.write(fid, 3, &bytes), Ok(payload));
    demand_eq!(c.read(fid, 0, 5)?, [&[0; 3], &bytes[..2]].concat());
    assert!(c.read(fid, 3, u32::MAX)? == bytes, "what was written");
    demand_eq!(c.read(fid, u64::from(payload) + 3, 10)?, b"");
    assert!(c.read(fid, u64::MAX, 10).is_err_and(|errno| errno == Errno::EINVAL));
    Ok(())
}

fn descriptors_come_through_a_channel(site: &Site) -> Checked {
    if site.transport() != Transport::Channel || !site.is_host() {
        return skip("is about descriptors through a channel");
    }
    let mut c = site.client();
    for path in ["file", "dir/sub/deep", "file"] {
        let fid = c.at(path)?;
        let opened = c.open(fid, OpenBits::RDONLY)?;
        demand_eq!(read_all(opened.descriptor.expect("a descriptor")).into_bytes(), c.content(path)?);
    }
    Ok(())
}

/// A client that never takes them loses nothing but the descriptors.
fn descriptors_that_are_not_taken_fail_no_open(site: &Site) -> Checked {
    let mut c = streaming(site);
    if !site.is_host() {
        return skip("needs files that have descriptors");
    }
    let mut caller = Caller::new(c.channel(0)?, Waiting::default())?;
    let mut announced = Vec::new();
    for n in 0..1000 {
        let fid = Fid(1000 + n);
        c.walk(ROOT, fid, &["file"])?;
        let opened = ask(&mut caller, Tlopen { fid, flags: OpenBits::RDONLY });
        demand_eq!((opened[0], opened.len()), (13, 19), "{opened:?}");
        announced.push(opened[1]);
        c.clunk(fid)?;
    }
    demand_eq!((announced[0], announced[999]), (1, 0), "as many as wait for being taken");
    Ok(())
}

/// With its stream the channel ends, whoever ends that.
fn a_channel_ends_with_its_connection(site: &Site) -> Checked {
    let mut c = streaming(site);
    let [mut idle, mut used] = [0, 1].map(|id| {
        let offer = match c.channel(id) {
            Err(Errno::ENOSYS) => skip_now("needs a server with two channels"),
            offer => offer.expect("a channel"),
        };
        Caller::new(offer, Waiting::default()).expect("a window")
    });
    demand_eq!(ask(&mut used, Tclunk { fid: Fid(5) }), error(Errno::EBADF));
    drop(c);
    // Until the server has noticed it answers.
    let end = loop {
        match used.call(&[120, 0, 5, 0, 0, 0], &[]) {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    demand_eq!(end, End::Closed);
    demand_eq!(idle.call(&[120, 0, 5, 0, 0, 0], &[]).err(), Some(End::Closed));
    Ok(())
}

/// An error as it comes through a channel.
fn error(errno: Errno) -> Vec<u8> {
    [&[7, 0][..], &errno.on_wire().to_le_bytes()].concat()
}

fn ask<'a>(caller: &mut Caller, request: impl Into<Request<'a>>) -> Vec<u8> {
    let mut head = Vec::new();
    let payload = request.into().encode_datagram(&mut head);
    head.extend_from_slice(payload);
    raw(caller, &head)
}

fn raw(caller: &mut Caller, request: &[u8]) -> Vec<u8> {
    let mut reply = caller.call(request, &[]).expect("a reply");
    let mut bytes = vec![0; reply.body().left()];
    reply.body().take(&mut bytes);
    bytes
}

fn read_all(descriptor: OwnedFd) -> String {
    let mut file = std::fs::File::from(descriptor);
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("content");
    text
}

family! {
    "channel";
    cases:
        a_channel_and_its_stream_share_all
        a_malformed_request_costs_nothing_but_itself
        large_data_goes_through_a_channel
        descriptors_come_through_a_channel
        descriptors_that_are_not_taken_fail_no_open
        a_channel_ends_with_its_connection
        a_lie_about_the_length_ends_the_channel_alone
        a_state_that_cannot_be_ends_the_channel_alone
        a_request_that_changes_is_read_once
        data_that_change_during_a_write_do_no_harm
        a_window_of_noise_ends_the_channel_alone
        parked_threads_keep_nobody
        a_flood_of_descriptors_is_bounded;
    ours:
        channels_are_for_those_who_take_descriptors
        each_descriptor_of_a_channel_is_given_once
        there_are_as_many_channels_as_the_server_says
        what_is_about_the_connection_goes_on_its_stream;
    promises:
        channel: EINVAL ENOSYS EBUSY;
}
