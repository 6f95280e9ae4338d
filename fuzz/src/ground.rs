//! [`Ground`]: an export, and beside it what no client may touch or see.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, FileTimes};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use gofer_conformance::sample;
use gofer_localfs::LocalFs;

/// A directory with an export, and with what no client may touch.
#[derive(Debug)]
pub struct Ground {
    top: PathBuf,
    secret: Secret,
    before: Vec<Seen>,
}

impl Ground {
    /// The one of this process. What is in its export is whatever the last input left.
    pub fn get() -> &'static Self {
        static GROUND: OnceLock<Ground> = OnceLock::new();
        // tests/fuzz gives it a place, and removes that.
        GROUND.get_or_init(|| Self::new().expect("a directory for temporary files"))
    }

    fn new() -> io::Result<Self> {
        let top = tempfile::Builder::new().prefix("gofer-fuzz-host.").tempdir()?.keep();
        let (secret, text) = Secret::new();
        let outside = top.join("outside");
        for dir in [outside.clone(), outside.join("sub")] {
            fs::create_dir(&dir)?;
            fs::write(dir.join(&text), text.repeat(3))?;
            symlink(&text, dir.join("link"))?;
        }
        let mut ground = Self { top, secret, before: Vec::new() };
        // Reading moves no time of access that is later than now, and the time is set where somebody changed a file.
        let later = SystemTime::now() + Duration::from_hours(24 * 365);
        let times = FileTimes::new().set_accessed(later).set_modified(SystemTime::UNIX_EPOCH);
        for path in
            [outside.clone(), outside.join("sub"), outside.join(&text), outside.join("sub").join(&text)]
        {
            File::open(path)?.set_times(times)?;
        }
        ground.before = seen(&outside);
        assert_eq!(seen(&outside), ground.before, "looking changes nothing");
        Ok(ground)
    }

    /// What is served.
    pub fn export(&self) -> PathBuf {
        self.top.join("export")
    }

    fn outside(&self) -> PathBuf {
        self.top.join("outside")
    }

    /// Makes a fresh export.
    fn lay(&self) {
        let export = self.export();
        match fs::remove_dir_all(&export) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                unlock(&export);
                fs::remove_dir_all(&export).expect("the export can be removed");
            }
            _ => {}
        }
        fs::create_dir(&export).expect("an export");
        sample::lay(&LocalFs::open(&export).expect("an export")).expect("a sample");
        let links = [
            ("out", "../outside".to_owned()),
            ("abs", self.outside().display().to_string()),
            ("up", "..".to_owned()),
            ("root", "/".to_owned()),
            ("dir/out", "../../outside".to_owned()),
            ("dir/sub/out", "../../../outside/sub".to_owned()),
        ];
        for (name, target) in links {
            symlink(target, export.join(name)).expect("a link");
        }
    }

    /// Runs a client, and looks whether anything outside has changed, or inside where that is read-only.
    pub fn guard(&self, read_only: bool, client: impl FnOnce(LocalFs)) {
        self.lay();
        let before = read_only.then(|| seen(&self.export()));
        client(LocalFs::open(&self.export()).expect("an export"));
        assert_eq!(seen(&self.outside()), self.before, "what is outside has changed");
        if let Some(before) = before {
            assert_eq!(seen(&self.export()), before, "what is read-only has changed");
        }
    }

    /// Nothing of what is outside is in a reply.
    pub fn check_bytes(&self, reply: &[u8]) {
        assert!(!self.secret.is_in(reply), "a reply holds what is outside: {reply:?}");
    }

    /// A descriptor for the client is of nothing outside, and of no directory.
    pub fn check(&self, descriptor: OwnedFd) {
        let found = File::from(descriptor).metadata().expect("a descriptor can be looked at");
        let is_outside = self.before.iter().any(|seen| seen.identity == (found.dev(), found.ino()));
        assert!(!is_outside && !found.is_dir(), "a descriptor of what is outside");
    }
}

/// Gives an ordinary user back what a client took.
fn unlock(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock(&entry.path());
        }
    }
}

/// Everything that there is to see of a file.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    identity: (u64, u64),
    numbers: [u64; 4],
    times: [i64; 6],
    inside: Vec<u8>,
}

/// What is below a directory, itself included, sorted.
fn seen(dir: &Path) -> Vec<Seen> {
    let (mut all, mut waiting) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(path) = waiting.pop() {
        let found = fs::symlink_metadata(&path).expect("it is there");
        let mut inside = Vec::new();
        if found.is_dir() {
            waiting
                .extend(fs::read_dir(&path).expect("it can be listed").map(|e| e.expect("an entry").path()));
        } else if found.is_file() {
            let mut file =
                File::options().read(true).custom_flags(O_NOATIME).open(&path).expect("it can be read");
            file.read_to_end(&mut inside).expect("it can be read");
        } else if found.is_symlink() {
            inside = fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes();
        }
        all.push(Seen {
            path,
            identity: (found.dev(), found.ino()),
            numbers: [found.mode().into(), found.uid().into(), found.gid().into(), found.nlink()],
            times: if found.is_symlink() || !dir.ends_with("outside") {
                // Reading moves the time of access.
                [0, 0, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()]
            } else {
                let access = [found.atime(), found.atime_nsec()];
                [access[0], access[1], found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()]
            },
            inside,
        });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

const O_NOATIME: i32 = 0o1_000_000;

/// What is recognised without being kept: the fuzzer looks at what is compared, and would learn it.
#[derive(Debug)]
struct Secret(u64);

impl Secret {
    const LEN: usize = 16;
    const BASE: u64 = 0x0100_0000_01b3;

    /// A secret, and its text.
    fn new() -> (Self, String) {
        let text = format!("{:016x}", RandomState::new().build_hasher().finish());
        (Self(text.bytes().fold(0, Self::step)), text)
    }

    fn step(sum: u64, byte: u8) -> u64 {
        sum.wrapping_mul(Self::BASE).wrapping_add(u64::from(byte) + 1)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        // The weight of the byte that leaves as another comes.
        let oldest = Self::BASE.wrapping_pow(16);
        let mut sum = 0;
        bytes.iter().enumerate().any(|(at, byte)| {
            sum = Self::step(sum, *byte);
            if let Some(left) = at.checked_sub(Self::LEN) {
                sum = sum.wrapping_sub(oldest.wrapping_mul(u64::from(bytes[left]) + 1));
            }
            at + 1 >= Self::LEN && sum == self.0
        })
    }
}
