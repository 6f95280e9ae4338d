//! Paths, and files to be read from the start to the end.

use std::io;

use gofer_transport::ReadInto;
use gofer_vfs::{AccessMode, Attr, Errno, Name, OpenFlags, Result};

use crate::{Client, File, Node};

/// Names that one message carries.
const NAMES: usize = 16;

impl Client {
    /// What a path leads to. It is relative to what was attached; `/` at its start or end, and more than one
    /// between two names, mean nothing. No symbolic link is followed.
    ///
    /// # Errors
    /// Those of `stat(2)`; `EINVAL` for `.` and `..`.
    pub fn find(&self, path: impl AsRef<[u8]>) -> Result<(Node, Attr)> {
        let names = path.as_ref().split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let names = names.map(Name::new).collect::<Result<Vec<_>>>()?;
        let mut parts = names.chunks(NAMES);
        let Some(first) = parts.next() else { return self.attach() };
        let found = self.follow(&self.root, first)?;
        parts.try_fold(found, |(node, _), part| self.follow(&node, part))
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
        let (node, _) = self.find(path)?;
        let file = self.open(&node, OpenFlags::new(AccessMode::Read))?;
        Ok(Reader { client: self, file, offset: 0 })
    }
}

/// A file that is read from the start to the end.
#[derive(Debug)]
pub struct Reader<'c> {
    client: &'c Client,
    file: File,
    offset: u64,
}

impl io::Read for Reader<'_> {
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
