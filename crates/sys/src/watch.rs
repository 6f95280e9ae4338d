//! [`Watch`]: what happens in directories (`inotify(7)`), for who looks whether somebody reached them.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use gofer_vfs::Result;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use crate::call;

/// The system calls of this module. No server makes them.
pub const SYSCALLS: &[&str] = &["inotify_init1", "inotify_add_watch", "read"];

/// Directories that are watched. What is below the directories in them is not.
#[derive(Debug)]
pub struct Watch(OwnedFd);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// It was opened.
    pub is_open: bool,
    /// To what in the directory; nothing for the directory itself.
    pub name: String,
    /// What it was, for people.
    pub what: String,
}

impl Watch {
    /// Begins to watch: for everything that happens but closing, which may be of what was opened before, by a process
    /// that was forked meanwhile.
    ///
    /// # Errors
    /// Those of `inotify_add_watch(2)`; `EMFILE` and `ENOSPC` are limits of the user's.
    pub fn new(dirs: &[&Path]) -> Result<Self> {
        let watch = call(|| inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC))?;
        let what = WatchFlags::ALL_EVENTS.difference(WatchFlags::CLOSE);
        for dir in dirs {
            call(|| inotify::add_watch(&watch, *dir, what))?;
        }
        Ok(Self(watch))
    }

    /// What happened since it was asked last.
    pub fn events(&self) -> Vec<Event> {
        let mut room = [const { MaybeUninit::uninit() }; 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut room);
        let mut events = Vec::new();
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
            events.push(Event {
                is_open: event.events().contains(ReadFlags::OPEN),
                name: name.unwrap_or_default(),
                what: format!("{:?}", event.events()),
            });
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_seen_once() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(&[dir.path()]).unwrap();
        assert_eq!(watch.events(), []);
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let events = watch.events();
        assert!(events.iter().any(|event| event.is_open && event.name == "file"), "{events:?}");
        assert_eq!(watch.events(), []);
    }
}
