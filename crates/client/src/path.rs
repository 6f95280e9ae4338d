//! Paths, and files to be read from the start to the end.

use std::io;

use gofer_transport::ReadInto;
use gofer_vfs::{AccessMode, Attr, Backend, Errno, Name, OpenFlags, Result};

use crate::{Client, Node, lisafs};

/// Names that one message carries.
const NAMES: usize = 16;

impl Client {
    /// What a path leads to. It is relative to what was attached; `/` at its start or end, and more than one
    /// between two names, mean nothing. No symbolic link is followed.
    ///
    /// # Errors
    /// Those of `stat(2)`; `EINVAL` for `.` and `..`.
    pub fn find(&self, path: impl AsRef<[u8]>) -> Result<(Node, Attr)> {
        find(self, &self.root, path.as_ref(), |node, names| self.follow(node, names))
    }

    /// A file to be read from the start.
    ///
    /// # Errors
    /// Those of `open(2)`.
    ///
    /// ```no_run
    /// # use std::io::Read;
    /// # use gofer_client::{Client, Options};
    /// # let client = Client::connect(&"unix:g".parse()?, &Options::default())?;
    /// let mut text = String::new();
    /// client.reader("etc/hostname")?.read_to_string(&mut text)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reader(&self, path: impl AsRef<[u8]>) -> Result<Reader<'_>> {
        Reader::new(self, &self.find(path)?.0)
    }
}

impl lisafs::Client {
    /// What a path leads to, as [`Client::find`] does.
    ///
    /// # Errors
    /// As there.
    pub fn find(&self, path: impl AsRef<[u8]>) -> Result<(lisafs::Node, Attr)> {
        find(self, &self.root, path.as_ref(), |node, names| self.follow(node, names))
    }

    /// A file to be read from the start.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn reader(&self, path: impl AsRef<[u8]>) -> Result<Reader<'_, Self>> {
        Reader::new(self, &self.find(path)?.0)
    }
}

/// What a path leads to, by `follow`, which takes one name at least and no more than a message carries.
fn find<B: Backend>(
    client: &B,
    root: &B::Node,
    path: &[u8],
    follow: impl Fn(&B::Node, &[Name<'_>]) -> Result<(B::Node, Attr)>,
) -> Result<(B::Node, Attr)> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let names = names.map(Name::new).collect::<Result<Vec<_>>>()?;
    let mut parts = names.chunks(NAMES);
    let Some(first) = parts.next() else { return client.attach() };
    let found = follow(root, first)?;
    parts.try_fold(found, |(node, _), part| follow(&node, part))
}

/// A file that is read from the start to the end.
#[derive(Debug)]
pub struct Reader<'c, C: Backend = Client> {
    client: &'c C,
    file: C::File,
    offset: u64,
}

impl<'c, C: Backend> Reader<'c, C> {
    fn new(client: &'c C, node: &C::Node) -> Result<Self> {
        let file = client.open(node, OpenFlags::new(AccessMode::Read))?;
        Ok(Self { client, file, offset: 0 })
    }
}

impl<C: Backend> io::Read for Reader<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut into = Vec::new();
        let mut sink = ReadInto::new(&mut into, buffer.len());
        let read = self.client.read(&self.file, self.offset, buffer.len(), &mut sink);
        let read = read.map_err(|errno: Errno| io::Error::from_raw_os_error(errno.number().into()))?;
        buffer[..read].copy_from_slice(&into[..read]);
        self.offset += read as u64;
        Ok(read)
    }
}
