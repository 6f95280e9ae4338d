//! The table of attacks. Each is tried over both dialects, on a connection of its own.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gofer_vfs::{Name, PeerGid, PeerUid};
use gofer_wire::p9::*;
use gofer_wire::{Data, Str, Wire};

use super::Stop;
use super::attacker::{Attacker, Outcome, stand_in, stand_in_names};
use super::page::{Ink, Page};
use super::sample::{SECRET, Sample};
use crate::bench::{Failed, Names, ROOT, Server};
use crate::report::{Failure, errno};

/// How long a client walks while a directory is swapped for a link.
const RACE: Duration = Duration::from_millis(250);

/// The table, and how it went so far.
pub(super) struct Table<'a> {
    server: &'a Server,
    sample: &'a Sample,
    page: &'a Page,
    stop: &'a Stop,
    tried: usize,
    through: usize,
}

/// What the connection comes to that an attack is made on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Lives,
    MayEnd,
}

impl<'a> Table<'a> {
    pub(super) fn new(server: &'a Server, sample: &'a Sample, page: &'a Page, stop: &'a Stop) -> Self {
        Self { server, sample, page, stop, tried: 0, through: 0 }
    }

    /// Tries everything; says how much was not blocked.
    pub(super) fn run(mut self) -> Result<usize, Failure> {
        let before = self.sample.state();
        self.names()?;
        self.links()?;
        self.changes()?;
        self.specials()?;
        self.frames()?;
        let same = self.sample.state() == before;
        self.race()?;
        self.conclude(same)?;
        Ok(self.through)
    }

    fn names(&mut self) -> Result<(), Failure> {
        // What a server does that takes it for a name is to hurt nothing but this.
        let secret = self.sample.path().join("secret.txt");
        let names: [(&str, &[u8]); 6] = [
            ("\"..\" as a name, in 15 messages", b".."),
            ("\"../secret.txt\" as a name", b"../secret.txt"),
            ("an absolute path as a name", secret.as_os_str().as_bytes()),
            ("\"/\" as a name", b"/"),
            ("nothing as a name", b""),
            ("a name with a NUL in it", b"secret.txt\0"),
        ];
        for (what, name) in names {
            self.row(what, Connection::Lives, |a| {
                let file = a.at(&["README.txt"])?;
                let (one, two) = (stand_in_names(&[]), stand_in_names(&["docs"]));
                let unused = a.fid();
                for request in naming(file, unused, &one, &two) {
                    a.ask_with_name(&request, name);
                }
                Ok(())
            })?;
        }
        self.row("\"..\" and paths as attach names", Connection::Lives, |a| {
            for aname in ["..", "/..", "/etc/passwd", "docs/../..", "up/secret.txt", "stolen/x"] {
                let fid = a.fid();
                a.ask(attach(fid, aname));
            }
            Ok(())
        })
    }

    fn links(&mut self) -> Result<(), Failure> {
        self.row("opening the link to the secret", Connection::Lives, |a| {
            let fid = a.at(&["stolen"])?;
            for flags in [OpenBits::RDONLY, OpenBits::RDWR, OpenBits::RDONLY | OpenBits::TRUNC] {
                a.ask(Tlopen { fid, flags });
            }
            a.ask(Tread { fid, offset: 0, count: 4096 });
            Ok(())
        })?;
        self.row("walking through a link, wherever it is", Connection::Lives, |a| {
            for path in [&["up"][..], &["docs", "up"], &["stolen"]] {
                let (fid, newfid) = (a.at(path)?, a.fid());
                for names in [&["secret.txt"][..], &["tree"], &["tree", "README.txt"]] {
                    a.ask(Twalk { fid, newfid, names: Names::new(names).list() });
                    a.ask(Twalkgetattr { fid, newfid, names: Names::new(names).list() });
                    let whole = [path, names].concat();
                    a.ask(Twalk { fid: ROOT, newfid, names: Names::new(&whole).list() });
                }
            }
            Ok(())
        })?;
        self.row("making and removing behind a link", Connection::Lives, |a| {
            let (dfid, name, gid) = (a.at(&["up"])?, name("new"), PeerGid::NONE);
            a.ask(Tmkdir { dfid, name, mode: 0o755, gid });
            a.ask(Tlcreate { fid: dfid, name, flags: OpenBits::RDWR, mode: 0o644, gid });
            a.ask(Tunlinkat { dfid, name: self::name("secret.txt"), flags: 0 });
            Ok(())
        })
    }

    fn changes(&mut self) -> Result<(), Failure> {
        self.row("changing what is read-only, in 16 ways", Connection::Lives, |a| {
            let (dir, file) = (a.at(&["docs"])?, a.at(&["README.txt"])?);
            for request in changes(dir, file) {
                a.ask(request);
            }
            let fid = a.open(&["README.txt"])?;
            a.ask(Twrite { fid, offset: 0, data: Data(b"changed") });
            Ok(())
        })?;
        self.row("writing to a donated descriptor", Connection::Lives, |a| {
            let fid = a.at(&["README.txt"])?;
            // There is none on a session of the base protocol.
            let Ok(descriptor) = a.client().open_for_descriptor(fid) else { return a.reconnect() };
            let written = File::from(descriptor).write(b"changed");
            a.note(
                written.map_or_else(|error| Outcome::Refused(errno(&error)), |_| Outcome::Through("write")),
            );
            Ok(())
        })
    }

    fn specials(&mut self) -> Result<(), Failure> {
        self.row("opening a FIFO of the host", Connection::Lives, |a| opening(a, "pipe"))?;
        if self.sample.has_device {
            self.row("opening a device of the host", Connection::Lives, |a| opening(a, "null"))?;
        } else {
            self.page
                .line(&self.page.ink(Ink::Faint, "- opening a device: this user cannot make one to try"))?;
        }
        self.row("connecting to a socket of the host", Connection::Lives, |a| {
            if let Some(fid) = a.try_at(&["service"])? {
                a.ask(Tlconnect { fid, flags: Tlconnect::STREAM });
            }
            Ok(())
        })
    }

    fn frames(&mut self) -> Result<(), Failure> {
        self.row("frames that lie about their length", Connection::MayEnd, |a| {
            for size in [0, 6, MESSAGE_MAX + 1, u32::MAX] {
                a.send("a frame", &frame(size, 110, &[0; 40]));
                a.reconnect()?;
            }
            Ok(())
        })?;
        self.row("counts of what is not there", Connection::Lives, |a| {
            let fid = a.fid();
            let walk = [&ROOT.0.to_le_bytes()[..], &fid.0.to_le_bytes(), &[0xFF; 2]].concat();
            let mkdir = [&ROOT.0.to_le_bytes()[..], &[0xFF; 2], b"name"].concat();
            let write = [&ROOT.0.to_le_bytes()[..], &[0; 8], &[0xFF; 4], b"data"].concat();
            for (number, body) in [(110, walk), (72, mkdir), (118, write), (250, Vec::new())] {
                let size = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
                a.send("a frame", &frame(size, number, &body));
            }
            Ok(())
        })
    }

    /// The host swaps a directory for a link to where the secret is, over and over, while a client walks there.
    fn race(&mut self) -> Result<(), Failure> {
        let (tree, beside) = (self.sample.tree(), self.sample.path());
        let (place, dir, link) = (tree.join("swap"), beside.join("dir"), beside.join("link"));
        let failed = |error| Failure::running(format!("cannot swap {place:?}: {}; try again", errno(&error)));
        std::os::unix::fs::symlink("..", &link).map_err(failed)?;
        let (over, start) = (AtomicBool::new(false), Instant::now());
        let swap = || -> std::io::Result<()> {
            // It ends by itself, too: nobody is to wait for it.
            while !over.load(Ordering::Relaxed) && start.elapsed() < RACE * 40 {
                fs::rename(&place, &dir)?;
                fs::rename(&link, &place)?;
                fs::rename(&place, &link)?;
                fs::rename(&dir, &place)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let swapper = scope.spawn(swap);
            let rowed = self.row("a directory swapped for a link meanwhile", Connection::Lives, |a| {
                let start = Instant::now();
                // A busy machine may take long to swap for the first time.
                let length = |a: &Attacker<'_>| if a.tried.is_empty() { RACE * 20 } else { RACE / 2 };
                while start.elapsed() < length(a) {
                    match a.content(&["swap", "secret.txt"]) {
                        Ok(content) if content == SECRET.as_bytes() => a.note(Outcome::Through("the secret")),
                        Ok(_) => {}
                        Err(Failed::Refused(_, errno)) => a.note(Outcome::Refused(errno)),
                        Err(failed) => return Err(failed),
                    }
                }
                Ok(())
            });
            over.store(true, Ordering::Relaxed);
            let swapped = swapper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            swapped.map_err(failed).and(rowed)
        })
    }

    /// Tries one attack over both dialects, and says what became of it.
    fn row(
        &mut self,
        what: &str,
        connection: Connection,
        attack: impl Fn(&mut Attacker<'_>) -> Result<(), Failed>,
    ) -> Result<(), Failure> {
        self.stop.go_on()?;
        let mut tried = Vec::new();
        for version in [Version::BASE, Version::HIGHEST] {
            let mut attacker = Attacker::new(self.server, version, self.sample)
                .map_err(|failed| self.server.failure(&failed))?;
            attack(&mut attacker).map_err(|failed| self.server.failure(&failed))?;
            if !attacker.is_connected() {
                attacker.note(Outcome::Through("the connection ended"));
            }
            tried.extend(attacker.tried);
        }
        let blocked = |outcome: &&Outcome| match outcome {
            Outcome::Refused(_) | Outcome::Short => true,
            Outcome::CutOff => connection == Connection::MayEnd,
            Outcome::Through(_) => false,
        };
        let through = tried.len() - tried.iter().filter(blocked).count();
        self.tried += tried.len();
        self.through += through;
        let (mark, word) = match through {
            0 => (self.page.ink(Ink::Good, "✓"), "blocked"),
            _ => (self.page.ink(Ink::Bad, "✗"), "NOT ALL"),
        };
        self.page.line(&format!("{mark} {what:<40}{:>5} {word}  {}", tried.len(), answers(&tried)))
    }

    /// That the server is as it was.
    fn conclude(&self, same: bool) -> Result<(), Failure> {
        let lost = |failed| self.server.failure(&failed);
        let mut client = Attacker::new(self.server, Version::BASE, self.sample).map_err(lost)?;
        let content = client.content(&["README.txt"]).map_err(lost)?;
        if !same || content.is_empty() {
            return Err(Failure::running("an attack changed a file; please report it as SECURITY.md says"));
        }
        self.page.text(&format!(
            "{} of {} attempts were blocked. No file was changed, the secret came back in no \
             answer, and the server serves on.",
            self.tried - self.through,
            self.tried,
        ))
    }
}

/// The answers, each once, in the order in which they came first.
fn answers(tried: &[Outcome]) -> String {
    /// The columns that are left in a row.
    const ROOM: usize = 20;
    let mut answers: Vec<String> = Vec::new();
    for outcome in tried {
        let answer = match outcome {
            Outcome::Refused(errno) => errno.name().map_or_else(|| errno.number().to_string(), str::to_owned),
            Outcome::Short => continue,
            Outcome::CutOff => "cut off".to_owned(),
            Outcome::Through(what) => (*what).to_owned(),
        };
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    let all = answers.join(" ");
    if all.chars().count() <= ROOM {
        all
    } else {
        format!("{} ..", answers[..answers.len().min(2)].join(" "))
    }
}

/// The messages that carry a name, with one to be replaced.
fn naming<'r>(file: Fid, newfid: Fid, one: &'r Names, two: &'r Names) -> [Request<'r>; 15] {
    let (dfid, name, flags, mode) = (ROOT, stand_in(), OpenBits::RDWR, 0o644);
    let (target, gid, uid) = (text("target"), PeerGid::NONE, PeerUid::NONE);
    let (major, minor, other) = (0, 0, self::name("other"));
    [
        Twalk { fid: dfid, newfid, names: one.list() }.into(),
        Twalk { fid: dfid, newfid, names: two.list() }.into(),
        Twalkgetattr { fid: dfid, newfid, names: one.list() }.into(),
        Tlcreate { fid: dfid, name, flags, mode, gid }.into(),
        Tucreate { fid: dfid, name, flags, mode, gid, uid }.into(),
        Tsymlink { dfid, name, target, gid }.into(),
        Tusymlink { dfid, name, target, gid, uid }.into(),
        Tmknod { dfid, name, mode, major, minor, gid }.into(),
        Tmkdir { dfid, name, mode, gid }.into(),
        Tumkdir { dfid, name, mode, gid, uid }.into(),
        Tlink { dfid, fid: file, name }.into(),
        Trename { fid: file, dfid, name }.into(),
        Trenameat { olddirfid: dfid, oldname: name, newdirfid: dfid, newname: other }.into(),
        Trenameat { olddirfid: dfid, oldname: other, newdirfid: dfid, newname: name }.into(),
        Tunlinkat { dfid, name, flags: 0 }.into(),
    ]
}

/// What would change something.
fn changes<'r>(dir: Fid, file: Fid) -> [Request<'r>; 15] {
    let (dfid, name, target, gid, mode) = (dir, name("new"), text("target"), PeerGid::NONE, 0o644);
    let set = |valid| SetattrBody {
        valid,
        mode: 0o777,
        uid: PeerUid(0),
        gid,
        size: 0,
        atime_sec: 0,
        atime_nsec: 0,
        mtime_sec: 0,
        mtime_nsec: 0,
    };
    [
        Tlopen { fid: file, flags: OpenBits::WRONLY }.into(),
        Tlopen { fid: file, flags: OpenBits::RDWR }.into(),
        Tlopen { fid: file, flags: OpenBits::RDONLY | OpenBits::TRUNC }.into(),
        Tlcreate { fid: dir, name, flags: OpenBits::RDWR, mode, gid }.into(),
        Tmkdir { dfid, name, mode, gid }.into(),
        Tsymlink { dfid, name, target, gid }.into(),
        Tmknod { dfid, name, mode, major: 0, minor: 0, gid }.into(),
        Tlink { dfid, fid: file, name }.into(),
        Trename { fid: file, dfid, name }.into(),
        Trenameat { olddirfid: ROOT, oldname: self::name("README.txt"), newdirfid: dfid, newname: name }
            .into(),
        Tunlinkat { dfid: ROOT, name: self::name("README.txt"), flags: 0 }.into(),
        Tsetattr { fid: file, setattr: set(SetattrMask::MODE) }.into(),
        Tsetattr { fid: file, setattr: set(SetattrMask::SIZE) }.into(),
        Tsetattr { fid: file, setattr: set(SetattrMask::MTIME) }.into(),
        Tsetxattr { fid: file, name: text("user.a"), value: target, flags: 0 }.into(),
    ]
}

/// Walking to what is neither file nor directory may be refused already.
fn opening(a: &mut Attacker<'_>, at: &str) -> Result<(), Failed> {
    if let Some(fid) = a.try_at(&[at])? {
        for flags in [OpenBits::RDONLY, OpenBits::WRONLY, OpenBits::RDWR] {
            a.ask(Tlopen { fid, flags });
        }
    }
    Ok(())
}

fn attach(fid: Fid, aname: &str) -> Tattach<'_> {
    let n_uname = PeerUid(gofer_sys::process::user().0.0);
    Tattach { fid, afid: Fid::NONE, uname: Str::default(), aname: text(aname), n_uname }
}

/// A frame with any length in front.
fn frame(size: u32, number: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    size.encode(&mut frame);
    number.encode(&mut frame);
    Tag(0).encode(&mut frame);
    [&frame, body].concat()
}

fn name(name: &'static str) -> Name<'static> {
    Name::new(name.as_bytes()).expect("a short name without a slash")
}

fn text(text: &str) -> Str<'_> {
    Str::new(text.as_bytes()).unwrap_or_default()
}
