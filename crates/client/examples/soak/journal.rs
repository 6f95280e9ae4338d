//! What a client was told is done, kept where a `kill -9` of anybody does not reach it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::Result;

/// A whole file: all of its bytes follow from these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) seed: u64,
    pub(crate) len: usize,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// What it may be; `None` stands for no file. One, unless a change was begun and its end is unknown.
    pub(crate) either: Vec<Option<Version>>,
}

impl State {
    pub(crate) fn is(version: Option<Version>) -> Self {
        Self { either: vec![version] }
    }
}

/// The file in which changes are noted: before they are begun, and after they are done.
pub(crate) struct Journal {
    file: File,
    /// Every name that was ever changed.
    pub(crate) names: BTreeMap<String, State>,
}

impl Journal {
    /// Goes on with a journal. A line that was not written to its end was not acted on.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        let mut names = BTreeMap::new();
        for line in text[..whole].lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, name, seed, len] = words[..] else { return Err(format!("a line: {line}").into()) };
            let version = (len != "-")
                .then(|| -> Result<Version> { Ok(Version { seed: seed.parse()?, len: len.parse()? }) });
            let version = version.transpose()?;
            let state = names.entry(name.to_owned()).or_insert_with(|| State::is(None));
            match what {
                "begin" => state.either.push(version),
                _ => *state = State::is(version),
            }
        }
        Ok(Self { file, names })
    }

    /// A change to this version begins.
    pub(crate) fn begin(&mut self, name: &str, version: Option<Version>) -> Result<()> {
        self.write("begin", name, version)?;
        let state = self.names.entry(name.to_owned()).or_insert_with(|| State::is(None));
        state.either.push(version);
        Ok(())
    }

    /// The name is known to stand for this version.
    pub(crate) fn settle(&mut self, name: &str, version: Option<Version>) -> Result<()> {
        self.write("is", name, version)?;
        self.names.insert(name.to_owned(), State::is(version));
        Ok(())
    }

    fn write(&mut self, what: &str, name: &str, version: Option<Version>) -> Result<()> {
        let line = match version {
            Some(Version { seed, len }) => format!("{what} {name} {seed} {len}\n"),
            None => format!("{what} {name} 0 -\n"),
        };
        Ok(self.file.write_all(line.as_bytes())?)
    }
}
