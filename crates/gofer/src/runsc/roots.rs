//! What is served to the sandbox: the container's root, and what is mounted in it of the host. All of it is opened
//! before the process gives up the way there.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use gofer_jail::Tree;
use gofer_sys::{attr, walk};
use gofer_vfs::Errno;

use super::args::{Args, MountConf, MountPlan, Overlay};
use super::spec::{Mount, Spec};
use super::view::{self, Missing, View};
use crate::report::{self, Failure};

/// Magic numbers of file systems that the sandbox has to know about (`statfs(2)`).
const OVERLAYFS: u32 = 0x794c_7630;
const NFS: u32 = 0x6969;
const FUSE: u32 = 0x6573_5546;

/// What is served, and what the sandbox is told of its mounts.
#[derive(Debug)]
pub(crate) struct Roots {
    /// One for each connection.
    pub(crate) trees: Vec<Tree>,
    /// All mounts of the specification, with destinations as they are without links.
    pub(crate) mounts: Vec<Mount>,
}

impl Roots {
    /// Opens them, and makes what is missing to mount them at.
    ///
    /// # Errors
    /// What cannot be served.
    pub(crate) fn open(spec: Spec, args: &Args) -> Result<Self, Failure> {
        let mut confs = Confs::new(&args.plan);
        let (path, read_only) = spec.root();
        let conf = confs.root()?;
        let mut trees = Vec::new();
        if conf.served {
            trees.push(tree(path, read_only || conf.overlaid, "root filesystem")?);
        }
        let root = trees.first().map(|tree: &Tree| again(&tree.place)).transpose()?;
        let mut view = View::new(root);
        let cwd = spec.cwd().map(str::to_owned);
        let mut mounts = spec.into_mounts();
        for mount in &mut mounts {
            let Some(conf) = confs.of(mount)? else { continue };
            let Some(source) = mount.bound().filter(|_| conf.served) else { continue };
            let tree = tree(source, mount.is_read_only() || conf.overlaid, "mount source")?;
            place(&mut view, mount, &tree, args)?;
            trees.push(tree);
        }
        confs.end()?;
        if let (MountPlan::All(_), Some(cwd)) = (&args.plan, cwd) {
            view.resolve(&cwd, Missing::Directory(0o755)).map_err(|errno| {
                Failure::start(format!(
                    "creating working directory {cwd:?}: {errno}; choose another process.cwd"
                ))
            })?;
        }
        let (wanted, given) = (trees.len(), args.connections.len());
        if wanted != given {
            return Err(Failure::usage(format!(
                "{given} connections (--io-fds) for {wanted} roots; use a gofer that is as new as runsc"
            )));
        }
        Ok(Self { trees, mounts })
    }

    /// The list for the sandbox, which uses it in place of the specification's.
    ///
    /// # Errors
    /// None that could be thought of.
    pub(crate) fn list(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec(&self.mounts).map_err(|error| Failure::start(format!("writing mounts: {error}")))
    }
}

/// Which mounts are served, taken in the order of the specification.
struct Confs<'a> {
    plan: &'a MountPlan,
    taken: usize,
}

impl<'a> Confs<'a> {
    fn new(plan: &'a MountPlan) -> Self {
        Self { plan, taken: 0 }
    }

    fn next(&mut self, by_default: MountConf) -> Result<MountConf, Failure> {
        let MountPlan::Each(confs) = self.plan else { return Ok(by_default) };
        let conf = confs.get(self.taken).copied().ok_or_else(uneven)?;
        self.taken += 1;
        Ok(conf)
    }

    fn root(&mut self) -> Result<MountConf, Failure> {
        self.next(MountConf { served: true, overlaid: *self.plan != MountPlan::All(Overlay::None) })
    }

    /// That of a mount, if it may be served at all.
    fn of(&mut self, mount: &Mount) -> Result<Option<MountConf>, Failure> {
        let image = mount.is_image() && matches!(self.plan, MountPlan::Each(_));
        if mount.bound().is_none() && !image {
            return Ok(None);
        }
        self.next(MountConf { served: true, overlaid: *self.plan == MountPlan::All(Overlay::All) }).map(Some)
    }

    fn end(&self) -> Result<(), Failure> {
        match self.plan {
            MountPlan::Each(confs) if confs.len() != self.taken => Err(uneven()),
            _ => Ok(()),
        }
    }
}

fn uneven() -> Failure {
    Failure::usage(
        "--gofer-mount-confs is not one for the root and each mount; use a gofer that is as new as runsc",
    )
}

/// What a path of the host leads to. The path is the operator's, and may lead through links.
fn tree(path: &Path, read_only: bool, what: &str) -> Result<Tree, Failure> {
    let unusable =
        |errno: Errno| Failure::start(format!("{what} {path:?}: {errno}; check the path in config.json"));
    let real = path.canonicalize().map_err(|error| unusable(report::errno(&error)))?;
    let place = walk::open_root(&real).map_err(unusable)?;
    Ok(Tree { path: real, place, writable: !read_only, devices: false })
}

/// Puts a mount where it is to be seen, and says so in the list.
fn place(view: &mut View, mount: &mut Mount, tree: &Tree, args: &Args) -> Result<(), Failure> {
    let at = mount.destination.clone();
    let refused = |errno: Errno| {
        Failure::start(format!("mounting {:?} at {at:?}: {errno}; choose another destination", tree.path))
    };
    let kind = attr::stat(tree.place.as_fd()).map_err(refused)?.kind;
    let names = view.resolve(&at, Missing::for_mount_of(kind)).map_err(refused)?;
    // Names in a specification are text; those of links may be anything, and JSON is not.
    mount.destination = String::from_utf8(view::path(&names)).map_err(|_| refused(Errno::EINVAL))?;
    let magic = attr::stat_fs(tree.place.as_fd()).map_err(refused)?.magic;
    match magic {
        OVERLAYFS => mount.add_option("overlayfs_stale_read"),
        NFS | FUSE if matches!(args.plan, MountPlan::Each(_)) => {
            mount.add_option("disable_file_handle_sharing");
        }
        _ => {}
    }
    view.mount(names, again(&tree.place)?);
    Ok(())
}

fn again(place: &OwnedFd) -> Result<OwnedFd, Failure> {
    walk::dup(place.as_fd())
        .map_err(|errno| Failure::start(format!("opening roots: {errno}; raise --fdlimit")))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use super::super::args::Given;
    use super::*;

    /// A bundle with a root directory, and in it a link; two directories and a file to mount.
    fn bundle() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["rootfs/data", "src", "other"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("file"), "content").unwrap();
        std::os::unix::fs::symlink("data", dir.path().join("rootfs/lnk")).unwrap();
        dir
    }

    fn open(dir: &Path, flags: &str, spec: &str) -> Result<Roots, Failure> {
        let words: Vec<_> =
            format!("gofer --bundle=/b --spec-fd=3 {flags}").split(' ').map(OsString::from).collect();
        Roots::open(Spec::read(spec.as_bytes(), dir).unwrap(), &Given::read(&words).args().unwrap())
    }

    const SPEC: &str = r#"{"root":{"path":"rootfs"},"process":{"cwd":"/w/d"},"mounts":[
        {"destination":"/proc","type":"proc"},
        {"destination":"/lnk/sub","type":"bind","source":"src","options":["rbind","rw"]},
        {"destination":"/lnk/sub/f","source":"file","options":["bind","ro"]}]}"#;

    fn writable(roots: &Roots) -> Vec<bool> {
        roots.trees.iter().map(|tree| tree.writable).collect()
    }

    #[test]
    fn roots_are_opened_and_their_places_made() {
        let dir = bundle();
        let roots = open(dir.path(), "--io-fds=5 --io-fds=6 --io-fds=7", SPEC).unwrap();
        assert_eq!(writable(&roots), [true, true, false]);
        let destinations: Vec<_> = roots.mounts.iter().map(|mount| mount.destination.as_str()).collect();
        assert_eq!(destinations, ["/proc", "/data/sub", "/data/sub/f"]);
        assert!(dir.path().join("rootfs/data/sub").is_dir());
        assert!(dir.path().join("rootfs/w/d").is_dir(), "the working directory");
        assert!(dir.path().join("src/f").is_file(), "in what is mounted above it");
        assert_eq!(roots.trees[2].path, dir.path().canonicalize().unwrap().join("file"));
    }

    #[test]
    fn what_is_overlaid_is_read_only() {
        let dir = bundle();
        for (flags, expected) in [
            ("--overlay2=root:memory", [false, true, false]),
            ("--overlay2=all:memory", [false, false, false]),
            ("--gofer-mount-confs=lisafs:self,lisafs:none,lisafs:none", [false, true, false]),
            ("--gofer-mount-confs=lisafs:none,lisafs:memory,lisafs:none", [true, false, false]),
        ] {
            let roots = open(dir.path(), &format!("{flags} --io-fds=5,6,7"), SPEC).unwrap();
            assert_eq!(writable(&roots), expected, "{flags}");
        }
        assert_eq!(
            writable(&open(dir.path(), "--io-fds=5", r#"{"root":{"path":"src","readonly":true}}"#).unwrap()),
            [false]
        );
    }

    #[test]
    fn what_is_not_served_has_no_connection() {
        let dir = bundle();
        let roots =
            open(dir.path(), "--gofer-mount-confs=none:memory,lisafs:none,none:anon --io-fds=5", SPEC)
                .unwrap();
        assert_eq!(roots.trees.len(), 1);
        assert_eq!(roots.mounts[1].destination, "/lnk/sub", "there is no root to look for links in");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let dir = bundle();
        for (flags, why) in [
            ("--io-fds=5,6", "2 connections (--io-fds) for 3 roots"),
            ("--io-fds=5,6,7,8", "4 connections"),
            ("--io-fds=5,6,7 --gofer-mount-confs=lisafs:none,lisafs:none", "--gofer-mount-confs"),
            (
                "--io-fds=5 --gofer-mount-confs=lisafs:none,none:none,none:none,none:none",
                "--gofer-mount-confs",
            ),
        ] {
            let message = open(dir.path(), flags, SPEC).unwrap_err().to_string();
            assert!(message.contains(why), "{flags}: {message}");
        }
        for (spec, why) in [
            (r#"{"root":{"path":"nowhere"}}"#, "root filesystem"),
            (
                r#"{"root":{"path":"rootfs"},"process":{"cwd":"/lnk/../data"},"mounts":[{"destination":"/a","type":"bind","source":"nowhere"}]}"#,
                "mount source",
            ),
            (
                r#"{"root":{"path":"rootfs"},"mounts":[{"destination":"/data","type":"bind","source":"file"}]}"#,
                "EISDIR",
            ),
        ] {
            let message = open(dir.path(), "--io-fds=5", spec).unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("; "), "{spec}: {message}");
        }
    }
}
