//! The same requests through a channel.

use std::fs::File;
use std::io::Read;
use std::thread;

use gofer_server::lisafs::CAPACITY;
use gofer_transport::flipcall::{Caller, Offer, Waiting};

use super::*;

/// Runs a client of a channel while another thread serves it.
fn with_channel(mut talk: Talk, client: impl FnOnce(&mut Caller, FdId) + Send) {
    let mut asked = talk.ask(&ChannelReq).expect("an answer");
    let ChannelResp { offset, length } = asked.reply();
    assert_eq!((offset, length), (0, 2 << 20));
    let side = asked.descriptors.pop().expect("a descriptor");
    let file = asked.descriptors.pop().expect("a descriptor");
    let offer = Offer { file, offset: 0, length, side };
    let mut channel = asked.channel.expect("a channel");
    thread::scope(|scope| {
        let root = talk.root;
        scope.spawn(move || {
            let mut caller = Caller::new(offer, Waiting::Sleep).expect("it can be done");
            client(&mut caller, root);
        });
        let (mut frame, mut buffers) = (Vec::new(), Buffers::default());
        while let Ok(mut request) = channel.recv(CAPACITY) {
            let Some((head, payload)) = talk.session.handle_datagram(&mut request, &mut frame, &mut buffers)
            else {
                break;
            };
            request.reply(head, payload).expect("the channel goes on");
        }
    });
}

/// The payload of the reply and its descriptors, or the errno.
fn ask<'a, M: Operation<'a>>(caller: &mut Caller, message: &M) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut head = Vec::new();
    let rest = datagram(M::NUMBER, message, &mut head);
    ask_bytes(caller, &[&head, rest].concat())
}

fn ask_bytes(caller: &mut Caller, bytes: &[u8]) -> Result<(Vec<u8>, Vec<OwnedFd>), Errno> {
    let mut reply = caller.call(bytes, &[]).expect("the channel goes on");
    let mut all = Vec::new();
    reply.body().append_to(&mut all, usize::MAX);
    let (head, payload) = all.split_at(DATAGRAM);
    let descriptors: Vec<_> =
        (0..head[2]).map(|_| reply.descriptor().expect("a descriptor").expect("a descriptor")).collect();
    if head[..2] == [0, 0] {
        assert!(descriptors.is_empty());
        return Err(Errno::from_host(i32::from_le_bytes(*payload.first_chunk().expect("an errno"))));
    }
    assert_eq!(head[..2], bytes[..2]);
    Ok((payload.to_vec(), descriptors))
}

fn decode<'p, R: Wire<'p>>(payload: &'p [u8]) -> R {
    R::decode(&mut Reader::new(payload)).expect("a reply")
}

#[test]
fn files_are_made_written_and_read() {
    with_channel(Talk::new(), |caller, root| {
        let new = OpenCreateAtReq { create: create(root, 0o644), flags: 2, name: named("f") };
        let (payload, descriptors) = ask(caller, &new).unwrap();
        let fd = decode::<OpenCreateAtResp>(&payload).fd;
        let [donated] = <[OwnedFd; 1]>::try_from(descriptors).unwrap();
        let data = vec![7; PAYLOAD_MAX as usize - PWriteHead::LEN];
        let (payload, _) = ask(caller, &PWriteReq { offset: 1, fd, data: Written(&data) }).unwrap();
        assert_eq!(decode::<PWriteResp>(&payload).count, data.len() as u64);
        let mut content = Vec::new();
        File::from(donated).read_to_end(&mut content).unwrap();
        assert!(content[0] == 0 && content[1..] == data);
        let read = PReadReq { offset: 0, fd, count: PAYLOAD_MAX - 8, pad: Pad };
        let (payload, _) = ask(caller, &read).unwrap();
        assert!(decode::<PReadResp<'_>>(&payload).data.0 == content);
        let too_much = PReadReq { count: PAYLOAD_MAX - 7, ..read };
        assert_eq!(ask(caller, &too_much).err(), Some(Errno::ENOBUFS));
        // The bytes that are counted are written and no others.
        let mut head = Vec::new();
        let rest = datagram(PWriteReq::NUMBER, &PWriteReq { offset: 0, fd, data: Written(b"x") }, &mut head);
        let (payload, _) = ask_bytes(caller, &[&head, rest, b"yz"].concat()).unwrap();
        assert_eq!(decode::<PWriteResp>(&payload).count, 1);
        let end = ask(caller, &PReadReq { offset: content.len() as u64, fd, count: 9, pad: Pad }).unwrap();
        assert_eq!(decode::<PReadResp<'_>>(&end.0).data.0, b"");
    });
}

#[test]
fn what_is_wrong_is_refused_and_the_channel_goes_on() {
    with_channel(Talk::new(), |caller, root| {
        assert_eq!(ask(caller, &MountReq).err(), Some(Errno::EINVAL), "of the connection, not of a channel");
        assert_eq!(ask(caller, &ChannelReq).err(), Some(Errno::EINVAL));
        let number = |number: u16| [&number.to_le_bytes()[..], &[0, 0]].concat();
        assert_eq!(ask_bytes(caller, &number(99)).err(), Some(Errno::EOPNOTSUPP));
        for known in NUMBERS.iter().copied().filter(|known| *known > 2) {
            assert_eq!(ask_bytes(caller, &number(known)).err(), Some(Errno::EIO), "{known}");
        }
        // Descriptors are never taken, whatever is announced.
        let mut announced = Vec::new();
        datagram(FStatReq::NUMBER, &FStatReq { fd: root }, &mut announced);
        announced[2] = 200;
        assert!(ask_bytes(caller, &announced).unwrap().1.is_empty());
        let names: Vec<Str<'_>> = vec![Str::new(b"").unwrap(); 14_600];
        let mut room = Vec::new();
        let walk = WalkReq { dir: root, names: list(&mut room, &names) };
        assert_eq!(ask(caller, &walk).err(), Some(Errno::EIO), "its reply would not fit");
        assert!(ask(caller, &FStatReq { fd: root }).is_ok());
    });
}

#[test]
fn nothing_is_written_where_it_is_read_only() {
    let talk = Talk::with(TempDir::new().unwrap(), true, everything(), Settings::default());
    with_channel(talk, |caller, _| {
        let write = PWriteReq { offset: 0, fd: FdId(99), data: Written(b"x") };
        assert_eq!(ask(caller, &write).err(), Some(Errno::EROFS));
    });
}

#[test]
fn there_are_as_many_channels_as_there_may_be() {
    let mut talk = Talk::new();
    let channels: Vec<_> = (0..4).map(|_| talk.ask(&ChannelReq).unwrap()).collect();
    assert_eq!(refused(talk.ask(&ChannelReq)), Errno::ENOMEM);
    drop(channels);
}
