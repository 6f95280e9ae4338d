//! Large reads over unix sockets, which no server copies: their bytes, and what clients can do with the pipes that they
//! go through. Those are the process's: this test has one of its own.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gofer_conformance::{Client, Dialect, ROOT};
use gofer_localfs::LocalFs;
use gofer_server::{Export, Limits, Policy, Server};
use gofer_transport::{Socket, pages};
use gofer_vfs::Result;
use gofer_wire::p9::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

/// Bytes of the file, which end in the middle of a page.
const LEN: usize = (3 << 20) + 100;

/// The most that a reply carries.
const MOST: u32 = MESSAGE_MAX - 24;

/// The pipes that the process may have.
const PIPES: usize = 16;

struct Site {
    dir: TempDir,
    content: Vec<u8>,
    server: Arc<Server<LocalFs>>,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory for temporary files");
        let content: Vec<u8> = (0..=250).cycle().take(LEN).collect();
        let backend = LocalFs::open(dir.path()).expect("an export");
        let export = Export { name: None, backend, policy: Policy::default() };
        let server = Server::new(vec![export], Limits::default()).expect("a server");
        let site = Self { dir, content, server };
        site.restore();
        site
    }

    /// Where the file is.
    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("file")
    }

    fn restore(&self) {
        fs::write(self.file(), &self.content).expect("a file");
    }

    /// A client that has the file open.
    fn client(&self) -> (Client, Fid) {
        let (ours, theirs) = Socket::pair().expect("two sockets");
        self.server.connect(theirs).expect("a connection");
        let mut client = Client::new(ours);
        client.version(MESSAGE_MAX, Dialect::Base.version().0).expect("a version");
        client.attach(ROOT, "").expect("the root");
        let fid = client.open_at("file", OpenBits::RDONLY).expect("the file");
        (client, fid)
    }

    /// Clients who ask for much and take nothing, each of which has begun to be answered.
    fn silent(&self, count: usize) -> Vec<Client> {
        let ask = |_| {
            let (mut client, fid) = self.client();
            client.send(Tag(1), Tread { fid, offset: 0, count: MOST }).expect("a request");
            assert_eq!(client.begin(), Ok(Tag(1)));
            client
        };
        (0..count).map(ask).collect()
    }

    fn reads(&self, (client, fid): &mut (Client, Fid), offset: usize, count: u32) -> Result<()> {
        let start = offset.min(LEN);
        let end = LEN.min(start + count.min(MESSAGE_MAX - 11) as usize);
        let read = client.read(*fid, offset as u64, count)?;
        assert!(read == self.content[start..end], "{offset} {count}: {} bytes", read.len());
        Ok(())
    }
}

/// Ends of pipes that this process has.
fn pipe_ends() -> usize {
    let is_pipe = |path: &Path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"));
    let all = fs::read_dir("/proc/self/fd").expect("a directory of procfs");
    all.flatten().filter(|fd| is_pipe(&fd.path())).count()
}

fn await_pipe_ends(count: usize) {
    let begin = Instant::now();
    while pipe_ends() != count {
        assert!(begin.elapsed() < Duration::from_secs(20), "{} where {count} are to be", pipe_ends());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn pages_go_to_whoever_asked_for_them() {
    let site = Site::new();
    let before = pipe_ends();
    let quiet = every_byte(&site).expect("answers");
    assert!(pipe_ends() > before, "they did not go through a pipe");
    await_pipe_ends(before);
    drop(quiet);
    clients_that_take_nothing(&site, before).expect("answers");
    clients_that_go(&site, before).expect("answers");
    no_descriptors(&site).expect("answers");
}

fn every_byte(site: &Site) -> Result<(Client, Fid)> {
    let mut client = site.client();
    for offset in [0, 1, 4095, 4096, 1 << 20, LEN - (1 << 20), LEN - 40_000, LEN - 5, LEN, LEN + 4096] {
        for count in [5, 32_767, 32_768, 65_512, 1 << 19, MOST, MESSAGE_MAX - 11, u32::MAX] {
            site.reads(&mut client, offset, count)?;
        }
    }
    Ok(client)
}

/// They get what there was when they asked, as far as it is still there, and as many bytes as were promised.
fn clients_that_take_nothing(site: &Site, before: usize) -> Result<()> {
    let mut silent = site.silent(PIPES + 4);
    assert_eq!(pipe_ends(), before + 2 * PIPES);
    let mut other = every_byte(site)?;
    fs::File::options()
        .write(true)
        .open(site.file())
        .and_then(|file| file.set_len(10))
        .expect("a shorter file");
    for client in &mut silent {
        let answer = client.recv()?;
        let data = answer.read().data.0;
        assert_eq!(data.len(), MOST as usize);
        assert_eq!(data[..10], site.content[..10]);
    }
    site.restore();
    site.reads(&mut other, 7, MOST)?;
    drop((silent, other));
    await_pipe_ends(before);
    Ok(())
}

fn clients_that_go(site: &Site, before: usize) -> Result<()> {
    drop(site.silent(PIPES));
    await_pipe_ends(before);
    site.reads(&mut site.client(), 3, MOST)
}

/// Whoever has no descriptor left for a pipe copies.
fn no_descriptors(site: &Site) -> Result<()> {
    let mut client = site.client();
    // The first reopens what was closed.
    site.reads(&mut client, 0, 5)?;
    pages::close();
    let before = pipe_ends();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).expect("a lower limit");
    let read = site.reads(&mut client, 1, MOST);
    setrlimit(Resource::Nofile, limit).expect("the limit that was");
    read?;
    assert_eq!(pipe_ends(), before);
    site.reads(&mut client, 1, MOST)?;
    assert!(pipe_ends() > before);
    Ok(())
}
