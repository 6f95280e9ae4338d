//! What is said at the start: what is served, to whom, how to reach it, and what to think twice about.

use std::borrow::Cow;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use gofer_server::HostSockets;
use gofer_transport::Address;
use gofer_vfs::{IdMap, Uid, XattrPolicy};

use crate::config::{Config, Listen, Surroundings};
use crate::export::Export;

/// What there is to say. Warnings are apart because they are said even where the rest is not wanted.
#[derive(Debug)]
pub(crate) struct Banner {
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
}

/// A place where the server can be reached: as it was asked for, and as the system made it.
pub(crate) type Place<'a> = (&'a Listen, &'a Address);

impl Banner {
    /// What there is to say of a server that listens at `places`.
    pub(crate) fn new(config: &Config, around: &Surroundings, places: &[Place<'_>]) -> Self {
        let mut facts = Vec::new();
        let width = config.exports.iter().map(|export| shown(export).chars().count()).max().unwrap_or(0);
        for export in &config.exports {
            facts.push(("export", format!("{:width$}  {}", shown(export), options(export))));
        }
        for (asked, address) in places {
            facts.push(("listen", format!("{address}, for {}", audience(asked, address))));
            facts.extend(config.exports.iter().map(|export| ("mount", mount(address, export))));
        }
        facts.push(("xattrs", xattrs(config.xattr).to_owned()));
        facts.push(("sockets", sockets(config.sockets).to_owned()));
        if config.exports.iter().any(|export| export.writable) {
            facts.push(("owners", owners(config.ids)));
        }
        let limits = &config.limits;
        facts.push((
            "limits",
            format!(
                "{} connections, each with {} fids, {} open files and {} threads; {} open files in all",
                limits.connections, limits.fids, limits.descriptors, limits.threads, around.nofile
            ),
        ));
        if config.once {
            facts.push(("end", "after the first connection".to_owned()));
        }
        Self { facts, warnings: warnings(config, around, places) }
    }

    /// Says how much was given up before.
    pub(crate) fn sealed(&mut self, report: &gofer_jail::Report) {
        self.facts.push(("sandbox", crate::sandbox::summary(report)));
        self.warnings.extend(crate::sandbox::warnings(report));
    }

    /// All of it as aligned lines for a terminal or a file.
    pub(crate) fn text(&self, colour: bool) -> String {
        let (bold, yellow, plain) = if colour { ("\x1b[1m", "\x1b[33m", "\x1b[0m") } else { ("", "", "") };
        let mut text =
            format!("{bold}gofer {}{plain} serves files over 9P2000.L\n", env!("CARGO_PKG_VERSION"));
        // Writing to a string cannot fail.
        for (label, fact) in &self.facts {
            let _ = writeln!(text, "  {bold}{label:<8}{plain}{fact}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  {yellow}{:<8}{plain}{warning}", "warning");
        }
        text
    }

    /// All of it as records of the log.
    pub(crate) fn log(&self) {
        for (about, fact) in &self.facts {
            tracing::info!(about, fact, "serving");
        }
        self.log_warnings();
    }

    /// The warnings as records of the log.
    pub(crate) fn log_warnings(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}

fn shown(export: &Export) -> String {
    let path = std::path::absolute(&export.path).unwrap_or_else(|_| export.path.clone());
    match &export.name {
        Some(name) => format!("{}={}", name.as_name().as_bytes().escape_ascii(), path.display()),
        None => path.display().to_string(),
    }
}

fn options(export: &Export) -> String {
    let mut words = vec![if export.writable { "read-write" } else { "read-only" }];
    words.extend(export.devices.then_some("clients may make devices"));
    words.extend(export.fifos.then_some("FIFOs may be opened"));
    words.extend(export.strict.then_some("who tries to change it is cut off"));
    words.join(", ")
}

fn audience(asked: &Listen, address: &Address) -> &'static str {
    match (asked, address) {
        (Listen::Connection(_), _) => "the program at its other end",
        (Listen::Activated(_), _) => "whom the socket unit lets in",
        (_, Address::Unix(_)) => "this user only (mode 0600)",
        (_, Address::Tcp(_)) if address.is_local() => "every program on this machine",
        (_, Address::Tcp(_)) => "everyone who can reach this machine",
        (_, Address::Vsock(_)) => "virtual machines of this host",
        (_, Address::Inherited(_)) => "whom the process at its other end lets in",
    }
}

/// What a Linux client types to mount an export.
fn mount(address: &Address, export: &Export) -> String {
    let mut attach = b"version=9p2000.L,aname=".to_vec();
    attach.extend_from_slice(export.attach_name().as_bytes());
    if !export.writable {
        attach.extend_from_slice(b",ro");
    }
    let attach = String::from_utf8_lossy(&attach);
    let line = |options: &str, from: &str| {
        format!("mount -t 9p -o {} {} /mnt", quoted(&format!("{options},{attach}")), quoted(from))
    };
    match address {
        Address::Unix(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            line("trans=unix", &path.to_string_lossy())
        }
        Address::Tcp(address) if address.ip().is_unspecified() => {
            line(&format!("trans=tcp,port={}", address.port()), "ADDRESS-OF-THIS-MACHINE")
        }
        Address::Tcp(address) => {
            line(&format!("trans=tcp,port={}", address.port()), &address.ip().to_string())
        }
        Address::Vsock(_) | Address::Inherited(_) => {
            format!("{}  (FD: the client's connected socket)", line("trans=fd,rfdno=FD,wfdno=FD", "gofer"))
        }
    }
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''")).into()
    }
}

fn xattrs(policy: XattrPolicy) -> &'static str {
    match policy {
        XattrPolicy::None => "no extended attributes",
        XattrPolicy::Verity => "the four extended attributes of a gVisor Merkle tree",
        XattrPolicy::User => "extended attributes in the user namespace",
        XattrPolicy::All => "all extended attributes that this server may use",
    }
}

fn sockets(policy: HostSockets) -> &'static str {
    match policy {
        HostSockets::None => "unix sockets in the exports are out of reach",
        HostSockets::Connect => "clients may connect to unix sockets in the exports",
        // No message of 9P makes one that could be listened at.
        HostSockets::Make => "clients may make new unix sockets in the exports",
        HostSockets::All => "clients may connect to unix sockets in the exports and make new ones",
    }
}

fn owners(ids: IdMap) -> String {
    match ids {
        IdMap::Identity => "what clients make belongs to the user and group they name".to_owned(),
        IdMap::Squash(uid, gid) => {
            format!("what clients make belongs to this server (uid {}, gid {})", uid.0, gid.0)
        }
    }
}

fn warnings(config: &Config, around: &Surroundings, places: &[Place<'_>]) -> Vec<String> {
    let mut warnings = Vec::new();
    let gives = config.ids == IdMap::Identity && config.exports.iter().any(|export| export.writable);
    if around.user.0 == Uid(0) && !gives {
        warnings.push(
            "running as root without need: no client can give files away here; run it as a user who can read \
             the exports"
                .to_owned(),
        );
    }
    if gives && !around.gives_away {
        warnings.push(
            "clients name the owners of what they make, but this server may not give files away (CAP_CHOWN): \
             for other users than its own they will see EPERM; consider --owner squash"
                .to_owned(),
        );
    }
    for (_, address) in places.iter().filter(|(_, address)| !address.is_local()) {
        warnings.push(format!(
            "{address} is not on loopback, and 9P has neither authentication nor encryption: everyone who \
             reaches it is a client"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use gofer_vfs::Gid;

    use super::*;
    use crate::args::{self, Command};

    fn around(user: u32, gives_away: bool, nofile: u64) -> Surroundings {
        let runtime_dir = Some("/run/user/7".into());
        Surroundings { runtime_dir, activated: 0, user: (Uid(user), Gid(user)), gives_away, nofile }
    }

    /// The banner of `gofer serve` with these words.
    fn banner(words: &[&str], around: &Surroundings) -> Banner {
        let words = ["gofer", "serve"].iter().chain(words).map(OsString::from);
        let Command::Serve(settings) = args::parse(words).unwrap().command else { panic!() };
        let config = Config::new(*settings, around).unwrap();
        let places: Vec<(Listen, Address)> = config
            .listen
            .iter()
            .map(|listen| match listen {
                Listen::At(address) => (listen.clone(), address.clone()),
                Listen::Connection(n) | Listen::Activated(n) => (listen.clone(), Address::Inherited(*n)),
            })
            .collect();
        let places: Vec<_> = places.iter().map(|(listen, address)| (listen, address)).collect();
        Banner::new(&config, around, &places)
    }

    #[test]
    fn it_says_what_is_served_and_how_to_reach_it() {
        let text = banner(
            &["/srv/a", "out=/srv/b c:rw,fifos", "-l", "unix:/run/g s", "-l", "tcp:127.0.0.1:564"],
            &around(7, false, 1_000_000),
        )
        .text(false);
        for line in [
            "  export  a=/srv/a      read-only\n",
            "  export  out=/srv/b c  read-write, FIFOs may be opened\n",
            "  listen  unix:/run/g s, for this user only (mode 0600)\n",
            "  mount   mount -t 9p -o trans=unix,version=9p2000.L,aname=a,ro '/run/g s' /mnt\n",
            "  mount   mount -t 9p -o trans=unix,version=9p2000.L,aname=out '/run/g s' /mnt\n",
            "  listen  tcp:127.0.0.1:564, for every program on this machine\n",
            "  mount   mount -t 9p -o trans=tcp,port=564,version=9p2000.L,aname=out 127.0.0.1 /mnt\n",
            "  owners  what clients make belongs to this server (uid 7, gid 7)\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(!text.contains("warning") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn colour_changes_no_word() {
        let banner = banner(&["/srv:rw"], &around(7, false, 9));
        let coloured = banner.text(true);
        let stripped =
            ["\x1b[1m", "\x1b[33m", "\x1b[0m"].iter().fold(coloured.clone(), |t, c| t.replace(c, ""));
        assert_ne!(coloured, stripped);
        assert_eq!(stripped, banner.text(false));
    }

    #[test]
    fn what_is_risky_is_said() {
        let warned = |words: &[&str], user, gives_away, nofile| {
            banner(words, &around(user, gives_away, nofile)).warnings.join("\n")
        };
        let many = u64::from(u32::MAX);
        assert_eq!(warned(&["/srv:rw"], 0, true, many), "", "root gives files away");
        assert_eq!(warned(&["/srv"], 7, false, many), "");
        assert!(warned(&["/srv"], 0, true, many).contains("as root without need"));
        assert!(warned(&["/srv:rw", "--owner=squash"], 0, true, many).contains("as root without need"));
        assert!(warned(&["/srv:rw", "--owner=client"], 7, false, many).contains("CAP_CHOWN"));
        let remote = warned(&["/srv", "-l", "tcp:192.0.2.1:564", "--allow-remote"], 7, false, many);
        assert!(remote.contains("tcp:192.0.2.1:564 is not on loopback"), "{remote}");
    }
}
