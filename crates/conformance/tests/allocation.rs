//! In a steady state a walk of one name with its clunk, a getattr, a read and a write allocate nothing: neither
//! the thread that serves them nor any other of the server's. The counts are of a whole process: this test has
//! one of its own.

use gofer_conformance::{Client, Dialect, Ground, ROOT, Setup, Transport, site};
use gofer_server::Limits;
use gofer_sys::alloc::Counting;
use gofer_vfs::Result;
use gofer_wire::p9::{Fid, OpenBits};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const PAGE: [u8; 4096] = [7; 4096];

/// The fid of a directory, that of an open file, and one that is free.
const DIR: Fid = ROOT;
const FILE: Fid = Fid(1);
const FREE: Fid = Fid(2);

type Round = fn(&mut Client) -> Result<()>;

const ROUNDS: [(&str, Round); 4] = [
    ("walk and clunk", |c| {
        c.walk(DIR, FREE, &["file"])?;
        c.clunk(FREE)
    }),
    ("getattr", |c| c.getattr(FILE).map(drop)),
    ("read", |c| {
        assert_eq!(c.read(FILE, 0, 4096)?.len(), PAGE.len());
        Ok(())
    }),
    ("write", |c| {
        assert_eq!(c.write(FILE, 0, &PAGE)?, 4096);
        Ok(())
    }),
];

/// How often all threads but this one allocate in a thousand rounds.
fn allocations(client: &mut Client, round: Round) -> Result<u64> {
    let others = || ALLOCATOR.allocations() - Counting::allocations_here();
    let before = others();
    for _ in 0..1000 {
        round(client)?;
    }
    Ok(others() - before)
}

#[test]
fn a_steady_state_allocates_nothing() {
    // One thread for a connection, lest a machine that is slow today be a reason to start another.
    let setup = Setup { limits: Limits { threads: 1, ..Limits::default() }, ..Setup::default() };
    for (transport, dialect) in [
        (Transport::Unix, Dialect::Base),
        (Transport::Unix, Dialect::Google),
        (Transport::Tcp, Dialect::Base),
        (Transport::Memory, Dialect::Google),
    ] {
        let site = site(Ground::Host, transport, dialect, setup);
        let mut client = site.client();
        client.walk(DIR, FILE, &["file"]).expect("a file");
        client.open(FILE, OpenBits::RDWR).expect("an open file");
        client.write(FILE, 0, &PAGE).expect("a page");
        for (_, round) in ROUNDS {
            allocations(&mut client, round).expect("a warm-up");
        }
        for (what, round) in ROUNDS {
            let allocations = allocations(&mut client, round).expect("answers");
            assert_eq!(allocations, 0, "in 1,000 times {what} over {transport:?} in {dialect:?}");
        }
    }
}
