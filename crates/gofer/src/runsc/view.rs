//! The container's tree while it is put together: where a path leads in it, without links, and what is made where
//! there is nothing.
//!
//! Every step is from a directory's descriptor to one name and follows no link, and `..` is a step back on the way that
//! was gone: whatever the root contains, and whoever changes it meanwhile, no path leads out of it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gofer_sys::{attr, entry, open, walk};
use gofer_vfs::{AccessMode, Errno, FileKind, Name, NameBuf, OpenFlags, Result};

/// The most links that a path leads through, as the sandbox has it.
const LINKS: u32 = 255;

/// A tree, and what was put into it.
#[derive(Debug)]
pub(crate) struct View {
    /// `None` where the sandbox has a root that is not of this host.
    root: Option<OwnedFd>,
    mounted: Vec<(Vec<NameBuf>, OwnedFd)>,
}

/// What is made where a path leads to nothing. What is above it is always directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Directories of this mode, which the umask applies to.
    Directory(u32),
    /// An empty file.
    File,
}

impl Missing {
    /// What something of this kind can be mounted at.
    pub(crate) fn for_mount_of(kind: FileKind) -> Self {
        if kind == FileKind::Directory { Self::Directory(0o777) } else { Self::File }
    }
}

/// A way that was gone down from the root.
type Way = Vec<(NameBuf, OwnedFd)>;

impl View {
    pub(crate) fn new(root: Option<OwnedFd>) -> Self {
        Self { root, mounted: Vec::new() }
    }

    /// Where a path leads: the same place without links, in the container's terms. What is not there is made.
    ///
    /// # Errors
    /// `ENOTDIR` or `EISDIR` for a place that is no directory, or is one; `ELOOP` for too many links; those of
    /// `mkdir(2)` and `open(2)`.
    pub(crate) fn resolve(&self, path: &str, missing: Missing) -> Result<Vec<NameBuf>> {
        let (_, names) = clean(path.as_bytes());
        if self.root.is_none() {
            return names.iter().map(|name| Name::new(name).map(NameBuf::from)).collect();
        }
        let mut ahead: Vec<Vec<u8>> = names.into_iter().rev().collect();
        let (mut way, mut links) = (Way::new(), 0);
        while let Some(name) = ahead.pop() {
            if name == b".." {
                way.pop();
                continue;
            }
            let name = Name::new(&name)?;
            let (place, kind) =
                self.step(&way, name, if ahead.is_empty() { missing } else { Self::above(missing) })?;
            if kind != FileKind::Symlink {
                way.push((name.into(), place));
                self.cross(&mut way)?;
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Errno::ELOOP);
            }
            let mut target = Vec::new();
            attr::read_link(place.as_fd(), &mut target)?;
            let (from_root, names) = clean(&target);
            if from_root {
                way.clear();
            }
            ahead.extend(names.into_iter().rev());
        }
        let is_directory = way.last().map_or(Ok(true), |(_, place)| is_directory(place.as_fd()))?;
        match (missing, is_directory) {
            (Missing::Directory(_), false) => Err(Errno::ENOTDIR),
            (Missing::File, true) => Err(Errno::EISDIR),
            _ => Ok(way.into_iter().map(|(name, _)| name).collect()),
        }
    }

    /// Puts a file or directory at a place that was [resolved](Self::resolve).
    pub(crate) fn mount(&mut self, at: Vec<NameBuf>, place: OwnedFd) {
        self.mounted.push((at, place));
    }

    fn above(missing: Missing) -> Missing {
        match missing {
            Missing::File => Missing::Directory(0o777),
            directory @ Missing::Directory(_) => directory,
        }
    }

    /// One step down, to something that is made if it is not there.
    fn step(&self, way: &Way, name: Name<'_>, missing: Missing) -> Result<(OwnedFd, FileKind)> {
        let dir = match (way.last(), &self.root) {
            (Some((_, place)), _) => place.as_fd(),
            (None, Some(root)) => root.as_fd(),
            (None, None) => return Err(Errno::ENOENT),
        };
        let place = match walk::open_child(dir, name) {
            Err(Errno::ENOENT) => {
                make(dir, name, missing)?;
                walk::open_child(dir, name)?
            }
            other => other?,
        };
        let kind = attr::stat(place.as_fd())?.kind;
        Ok((place, kind))
    }

    /// Goes to what was put where the way leads, the last if there are several.
    fn cross(&self, way: &mut Way) -> Result<()> {
        let is_here = |at: &[NameBuf]| {
            at.len() == way.len() && at.iter().zip(way.iter()).all(|(a, (b, _))| a.as_name() == b.as_name())
        };
        let Some((_, place)) = self.mounted.iter().rev().find(|(at, _)| is_here(at)) else { return Ok(()) };
        let place = walk::dup(place.as_fd())?;
        if let Some((_, last)) = way.last_mut() {
            *last = place;
        }
        Ok(())
    }
}

/// Names as a path from the root.
pub(crate) fn path(names: &[NameBuf]) -> Vec<u8> {
    let mut path = Vec::new();
    for name in names {
        path.push(b'/');
        path.extend_from_slice(name.as_name().as_bytes());
    }
    if path.is_empty() { b"/".to_vec() } else { path }
}

fn is_directory(place: BorrowedFd<'_>) -> Result<bool> {
    Ok(attr::stat(place)?.kind == FileKind::Directory)
}

/// Makes what is missing; somebody else may have made it just now.
fn make(dir: BorrowedFd<'_>, name: Name<'_>, missing: Missing) -> Result<()> {
    let made = match missing {
        Missing::Directory(perm) => entry::mkdir(dir, name, perm),
        Missing::File => open::create(dir, name, OpenFlags::new(AccessMode::Read), 0o777).map(drop),
    };
    match made {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// The names of a path, without `.` and what `..` takes back; and whether it starts at the root, above which there is
/// nothing. (Go's `filepath.Clean`.)
fn clean(path: &[u8]) -> (bool, Vec<Vec<u8>>) {
    let from_root = path.starts_with(b"/");
    let mut names: Vec<Vec<u8>> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match (name, names.last().map(Vec::as_slice)) {
            (b"" | b".", _) => {}
            (b"..", None) if from_root => {}
            (b"..", None | Some(b"..")) => names.push(name.to_vec()),
            (b"..", Some(_)) => drop(names.pop()),
            _ => names.push(name.to_vec()),
        }
    }
    (from_root, names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn view(root: &Path) -> View {
        View::new(Some(walk::open_root(root).unwrap()))
    }

    fn resolve(view: &View, at: &str, missing: Missing) -> Result<String> {
        view.resolve(at, missing).map(|names| String::from_utf8(path(&names)).unwrap())
    }

    const DIRECTORY: Missing = Missing::Directory(0o777);

    #[test]
    fn no_path_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        fs::create_dir_all(root.join("data/link")).unwrap();
        for (name, target) in [
            ("lnk", "data/link"),
            ("abs", "/data"),
            ("up", "../../../../outside"),
            ("etc", "/../../etc/passwd"),
            ("data/back", ".."),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        let view = view(&root);
        for (at, leads) in [
            ("/", "/"),
            ("/..", "/"),
            ("/data", "/data"),
            ("/lnk/sub", "/data/link/sub"),
            ("//abs/./x/", "/data/x"),
            ("/up", "/outside"),
            ("/up/in", "/outside/in"),
            ("/etc/deep", "/etc/passwd/deep"),
            ("/data/back/new", "/new"),
            // As it is written, and not as it is gone.
            ("/lnk/../y", "/y"),
        ] {
            if at.starts_with("/etc") {
                // It leads to what it leads through.
                assert_eq!(resolve(&view, at, DIRECTORY), Err(Errno::ELOOP), "{at}");
                continue;
            }
            assert_eq!(resolve(&view, at, DIRECTORY).as_deref(), Ok(leads), "{at}");
            assert!(root.join(leads.trim_start_matches('/')).is_dir(), "{at}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was made outside");
    }

    #[test]
    fn what_is_missing_is_made_in_its_kind() {
        let root = tempfile::tempdir().unwrap();
        let view = view(root.path());
        assert_eq!(resolve(&view, "/a/b/file", Missing::File).as_deref(), Ok("/a/b/file"));
        assert_eq!(fs::read(root.path().join("a/b/file")).unwrap(), b"");
        assert_eq!(resolve(&view, "/w/d", Missing::Directory(0o700)).as_deref(), Ok("/w/d"));
        assert_eq!(fs::metadata(root.path().join("w/d")).unwrap().permissions().mode() & 0o777, 0o700);
        // What is there stays, and must be of the kind.
        assert_eq!(resolve(&view, "/a/b", Missing::File), Err(Errno::EISDIR));
        assert_eq!(resolve(&view, "/a/b/file", DIRECTORY), Err(Errno::ENOTDIR));
        assert_eq!(resolve(&view, "/a/b/file/c", DIRECTORY), Err(Errno::ENOTDIR));
        assert_eq!(resolve(&view, "/a/b/file", Missing::File).as_deref(), Ok("/a/b/file"));
    }

    #[test]
    fn links_come_to_an_end() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("/a", root.path().join("b")).unwrap();
        assert_eq!(resolve(&view(root.path()), "/a", DIRECTORY), Err(Errno::ELOOP));
        let long = format!("/{}", "n".repeat(256));
        assert_eq!(resolve(&view(root.path()), &long, DIRECTORY), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn a_mount_below_another_is_made_in_that() {
        let (root, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut view = view(root.path());
        let at = view.resolve("/data", DIRECTORY).unwrap();
        view.mount(at, walk::open_root(source.path()).unwrap());
        assert_eq!(resolve(&view, "/data/sub/x", Missing::File).as_deref(), Ok("/data/sub/x"));
        assert!(source.path().join("sub/x").is_file());
        assert_eq!(fs::read_dir(root.path().join("data")).unwrap().count(), 0);
    }

    #[test]
    fn without_a_root_of_this_host_a_path_is_what_it_says() {
        assert_eq!(resolve(&View::new(None), "/a/../b//c/.", Missing::File).as_deref(), Ok("/b/c"));
    }
}
