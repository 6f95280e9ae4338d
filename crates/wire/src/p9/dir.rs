//! readdir, and the entries packed in its reply.

use std::iter::FusedIterator;

use crate::codec::{Data, DecodeError, Reader, Str, Wire, message};
use crate::p9::{Fid, Qid};

message! {
    /// `fid[4] offset[8] count[4]`: asks for entries of at most `count` bytes, from the start with an `offset`
    /// of 0, else after the entry that carried it.
    pub struct Treaddir { fid: Fid, offset: u64, count: u32 }
}

message! {
    /// `count[4] data[count]`: whole [`Dirent`]s one after the other; none are the end.
    pub struct Rreaddir<'a> { data: Data<'a> }
}

message! {
    /// `qid[13] offset[8] kind[1] name[s]`: an entry of a directory.
    pub struct Dirent<'a> {
        qid: Qid,
        /// Where to continue after this entry; never 0.
        offset: u64,
        /// The `DT_*` value of `readdir(3)`, or to Google clients the qid's kind once more.
        kind: u8,
        name: Str<'a>,
    }
}

impl Dirent<'_> {
    /// The encoded bytes of an entry whose name has `name_len` bytes.
    pub const fn encoded_len(name_len: usize) -> usize {
        Qid::LEN + 8 + 1 + 2 + name_len
    }
}

/// The entries in the data of an [`Rreaddir`]. Ends after the first that is cut short, with an error.
#[derive(Clone, Debug)]
pub struct Dirents<'a>(Reader<'a>);

impl<'a> Dirents<'a> {
    /// The entries packed in `data`.
    pub const fn new(data: &'a [u8]) -> Self {
        Self(Reader::new(data))
    }
}

impl<'a> Iterator for Dirents<'a> {
    type Item = Result<Dirent<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = Dirent::decode(&mut self.0);
        if entry.is_err() {
            self.0.rest();
        }
        Some(entry)
    }
}

impl FusedIterator for Dirents<'_> {}
