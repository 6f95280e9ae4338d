//! What it means: the settings, checked and complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gofer_jail::{Strength, Users};
use gofer_server::{HostSockets, Limits};
use gofer_transport::Address;
use gofer_vfs::{Gid, IdMap, Uid, XattrPolicy};

use crate::args::{
    Capabilities, LogFormat, LogLevel, MapUsers, Owner, ReportFormat, Sandbox, Settings, Sockets, Violation,
    Xattr,
};
use crate::export::{self, Export};
use crate::report::{Failure, errno};

/// What `gofer serve` was asked to do.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) exports: Vec<Export>,
    pub(crate) listen: Vec<Listen>,
    pub(crate) once: bool,
    pub(crate) ready_fd: Option<u32>,
    pub(crate) limits: Limits,
    /// Descriptors for places that are not open.
    pub(crate) places: usize,
    pub(crate) xattr: XattrPolicy,
    pub(crate) sockets: HostSockets,
    pub(crate) ids: IdMap,
    pub(crate) sandbox: Strength,
    pub(crate) users: Users,
    pub(crate) violation: gofer_jail::Violation,
    pub(crate) own_rights: bool,
    pub(crate) print_sandbox: Option<ReportFormat>,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
    pub(crate) drain: Duration,
    pub(crate) quiet: bool,
}

/// Where connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A socket to make and listen on.
    At(Address),
    /// A connected socket that the process was started with.
    Connection(u32),
    /// A listening socket that the process was started with.
    Activated(u32),
}

impl Listen {
    /// Whether its clients may be given descriptors.
    pub(crate) fn may_be_unix(&self) -> bool {
        match self {
            Self::At(Address::Tcp(_) | Address::Vsock(_)) => false,
            Self::At(_) | Self::Connection(_) | Self::Activated(_) => true,
        }
    }
}

/// What the process finds itself in, as far as it changes what settings mean.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// `XDG_RUNTIME_DIR`.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// How many sockets the service manager passed to this process (`sd_listen_fds(3)`).
    pub(crate) activated: u32,
    /// The user and group that the server runs as.
    pub(crate) user: (Uid, Gid),
    /// Whether it may give files away.
    pub(crate) gives_away: bool,
    /// How many descriptors it may hold.
    pub(crate) nofile: u64,
}

impl Surroundings {
    /// Those of this process, which may hold `nofile` descriptors.
    pub(crate) fn of_process(nofile: u64) -> Self {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let ours = number("LISTEN_PID") == Some(std::process::id());
        Self {
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            activated: number("LISTEN_FDS").filter(|_| ours).unwrap_or(0),
            user: gofer_sys::process::user(),
            gives_away: gofer_sys::process::has_cap_chown(),
            nofile,
        }
    }

    /// The socket when no other address is given.
    fn default_socket(&self) -> Result<Address, Failure> {
        let dir = match &self.runtime_dir {
            Some(dir) => dir.as_path(),
            None if self.user.0 == Uid(0) => Path::new("/run"),
            None => {
                return Err(Failure::usage(
                    "no place for the default socket: XDG_RUNTIME_DIR is not set; write --listen unix:PATH",
                ));
            }
        };
        Ok(Address::Unix(dir.join("gofer.sock")))
    }
}

impl Config {
    /// What the settings mean, with those of the configuration file they name below them.
    pub(crate) fn new(settings: Settings, around: &Surroundings) -> Result<Self, Failure> {
        let settings = match &settings.config {
            Some(path) => {
                let file = read(path)?;
                settings.over(file)
            }
            None => settings,
        };
        let exports = exports(&settings)?;
        let users = users(&settings, &exports)?;
        let listen = listen(&settings, around)?;
        let once = settings.once.unwrap_or(false);
        if once && listen.len() > 1 && listen.iter().any(|listen| matches!(listen, Listen::Connection(_))) {
            return Err(Failure::usage(
                "--once serves one connection, and fd:N is one already; leave --once or the other addresses out",
            ));
        }
        Ok(Self {
            exports,
            listen,
            once,
            ready_fd: settings.ready_fd.map(ready_fd).transpose()?,
            limits: limits(&settings, around),
            places: descriptors(&settings, around) / 8 * 3,
            xattr: match settings.xattr {
                Some(Xattr::None) => XattrPolicy::None,
                Some(Xattr::Verity) => XattrPolicy::Verity,
                None | Some(Xattr::User) => XattrPolicy::User,
                Some(Xattr::All) => XattrPolicy::All,
            },
            sockets: match settings.host_sockets {
                None | Some(Sockets::None) => HostSockets::None,
                Some(Sockets::Connect) => HostSockets::Connect,
                Some(Sockets::All) => HostSockets::All,
            },
            ids: match settings.owner {
                Some(Owner::Client) => IdMap::Identity,
                None | Some(Owner::Auto) if around.gives_away => IdMap::Identity,
                _ => IdMap::Squash(around.user.0, around.user.1),
            },
            sandbox: sandbox(&settings)?,
            users,
            violation: match settings.sandbox_violation {
                None | Some(Violation::Kill) => gofer_jail::Violation::Kill,
                Some(Violation::Errno) => gofer_jail::Violation::Errno,
            },
            own_rights: settings.capabilities == Some(Capabilities::None),
            print_sandbox: settings.print_sandbox,
            log_level: settings.log_level.unwrap_or(LogLevel::Info),
            log_format: settings.log_format.unwrap_or(LogFormat::Text),
            drain: Duration::from_secs(settings.drain_seconds.unwrap_or(10).into()),
            quiet: settings.quiet.unwrap_or(false),
        })
    }
}

/// How much is given up. Nothing only for who says why.
fn sandbox(settings: &Settings) -> Result<Strength, Failure> {
    match settings.sandbox {
        None | Some(Sandbox::Auto) => Ok(Strength::Auto),
        Some(Sandbox::Full) => Ok(Strength::Full),
        Some(Sandbox::Landlock) => Ok(Strength::Landlock),
        Some(Sandbox::None) if settings.i_trust_the_clients.unwrap_or(false) => Ok(Strength::None),
        Some(Sandbox::None) => Err(Failure::usage(
            "--sandbox none leaves clients nothing to break out of but this program; \
             use another, or say --i-trust-the-clients",
        )),
    }
}

/// Which users exist in the sandbox. What is asked for is not left out.
fn users(settings: &Settings, exports: &[Export]) -> Result<Users, Failure> {
    let users = match settings.map_users {
        None | Some(MapUsers::Auto) => return Ok(Users::All),
        Some(MapUsers::None) => Users::Own,
        Some(MapUsers::Range(first, count)) => Users::Range(first, count),
    };
    if let Some(Sandbox::Landlock | Sandbox::None) = settings.sandbox {
        return Err(Failure::usage(
            "--map-users is about a namespace of users, which this --sandbox has not; say --sandbox full or auto",
        ));
    }
    if exports.iter().any(|export| export.devices) {
        return Err(Failure::usage(
            "--map-users makes a namespace of users, in which nobody makes device files; \
             leave it or the export option devices out",
        ));
    }
    Ok(users)
}

fn exports(settings: &Settings) -> Result<Vec<Export>, Failure> {
    let typed = settings.exports.iter().flatten().map(|typed| Export::parse(typed));
    let tables = settings.tables.iter().flatten().map(Export::from_table);
    let mut exports = typed.chain(tables).collect::<Result<Vec<_>, _>>()?;
    if exports.is_empty() {
        return Err(Failure::usage("nothing to serve: no export was given; write gofer serve PATH"));
    }
    export::name_all(&mut exports)?;
    Ok(exports)
}

fn listen(settings: &Settings, around: &Surroundings) -> Result<Vec<Listen>, Failure> {
    let activated = || (0..around.activated).map(|n| Listen::Activated(3 + n));
    let typed = settings.listen.as_deref().unwrap_or_default();
    if typed.is_empty() {
        return Ok(match around.activated {
            0 => vec![Listen::At(around.default_socket()?)],
            _ => activated().collect(),
        });
    }
    let mut listen = Vec::new();
    for text in typed {
        match text.as_str() {
            "unix" => listen.push(Listen::At(around.default_socket()?)),
            "systemd" if around.activated == 0 => {
                return Err(Failure::usage(
                    "--listen systemd: no sockets were passed to this process (LISTEN_FDS, LISTEN_PID); \
                     start it from a socket unit",
                ));
            }
            "systemd" => listen.extend(activated()),
            _ => listen.push(address(text, settings.allow_remote.unwrap_or(false))?),
        }
    }
    Ok(listen)
}

fn address(text: &str, allow_remote: bool) -> Result<Listen, Failure> {
    match text.parse().map_err(|error| Failure::usage(format!("--listen: {error}; also unix and systemd")))? {
        Address::Inherited(number) if number <= 2 => Err(Failure::usage(format!(
            "--listen fd:{number}: the standard descriptors are not for connections; pass one from 3 on"
        ))),
        Address::Inherited(number) => Ok(Listen::Connection(number)),
        address if !address.is_local() && !allow_remote => Err(Failure::usage(format!(
            "--listen {address} is not on loopback, and 9P has neither authentication nor encryption; \
             use a loopback address, or say --allow-remote"
        ))),
        address => Ok(Listen::At(address)),
    }
}

fn ready_fd(number: u32) -> Result<u32, Failure> {
    match number {
        0..=2 => Err(Failure::usage(format!(
            "--ready-fd {number}: the standard descriptors are taken; pass one from 3 on"
        ))),
        _ => Ok(number),
    }
}

/// The descriptors that the process may hold besides one for each connection. Half of them are for open files,
/// three eighths for places that are not; the rest is what requests need while they are handled.
fn descriptors(settings: &Settings, around: &Surroundings) -> usize {
    let connections = settings.max_connections.map_or(Limits::default().connections, number);
    let nofile = usize::try_from(around.nofile).unwrap_or(usize::MAX);
    nofile - connections.min(nofile / 4)
}

fn number(n: std::num::NonZeroU32) -> usize {
    usize::try_from(n.get()).unwrap_or(usize::MAX)
}

/// The limits that were given, and the server's own for the others.
fn limits(settings: &Settings, around: &Surroundings) -> Limits {
    let own = Limits::default();
    Limits {
        fids: settings.max_fids.map_or(own.fids, number),
        descriptors: own.descriptors.min(descriptors(settings, around) / 2),
        connections: settings.max_connections.map_or(own.connections, number),
        threads: settings.max_threads.map_or(own.threads, number),
        channels: settings.max_channels.map_or(own.channels, usize::from),
        ..own
    }
}

/// The settings in a configuration file.
fn read(path: &Path) -> Result<Settings, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
            _ => errno(&error).to_string(),
        };
        Failure::usage(format!("cannot read the configuration {path:?}: {why}; check --config"))
    })?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        let why = error.message().trim().replace('\n', ", ");
        Failure::usage(format!(
            "cannot use the configuration {path:?}: line {line}: {why}; correct that line, as gofer serve --help has it"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::args::{self, Command};

    fn around() -> Surroundings {
        Surroundings {
            runtime_dir: Some("/run/user/7".into()),
            activated: 0,
            user: (Uid(7), Gid(8)),
            gives_away: false,
            nofile: 1 << 20,
        }
    }

    fn typed(words: &[&str]) -> Settings {
        let words = ["gofer", "serve"].iter().chain(words).map(OsString::from);
        match args::parse(words).unwrap().command {
            Command::Serve(settings) => *settings,
            other => panic!("{other:?}"),
        }
    }

    fn config(words: &[&str]) -> Result<Config, Failure> {
        Config::new(typed(words), &around())
    }

    fn refusal(words: &[&str]) -> String {
        let message = config(words).unwrap_err().to_string();
        assert!(message.contains("; ") && !message.contains('\n'), "{message}");
        message
    }

    /// A configuration file, and what `gofer serve` would do with it and these words.
    fn with_file(text: &str, words: &[&str]) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.toml");
        fs::write(&path, text).unwrap();
        config(&[&["--config", path.to_str().unwrap()], words].concat())
    }

    #[test]
    fn little_is_enough() {
        let config = config(&["/srv"]).unwrap();
        assert_eq!(config.listen, [Listen::At(Address::Unix("/run/user/7/gofer.sock".into()))]);
        assert_eq!(config.ids, IdMap::Squash(Uid(7), Gid(8)));
        assert_eq!(config.xattr, XattrPolicy::User);
        assert_eq!(config.drain, Duration::from_secs(10));
        assert!(!config.once && !config.quiet && config.ready_fd.is_none());
        let own = Limits::default();
        assert_eq!((config.limits.fids, config.limits.threads), (own.fids, own.threads));
    }

    #[test]
    fn the_default_socket_needs_a_place() {
        let nowhere = Surroundings { runtime_dir: None, ..around() };
        let message = Config::new(typed(&["/srv"]), &nowhere).unwrap_err().to_string();
        assert!(message.contains("--listen unix:PATH"), "{message}");
        let root = Surroundings { user: (Uid(0), Gid(0)), ..nowhere };
        let config = Config::new(typed(&["/srv", "--listen", "unix"]), &root).unwrap();
        assert_eq!(config.listen, [Listen::At(Address::Unix("/run/gofer.sock".into()))]);
    }

    #[test]
    fn sockets_of_a_service_manager_replace_the_default_only() {
        let passed = Surroundings { activated: 2, ..around() };
        let listen = |words| Config::new(typed(words), &passed).unwrap().listen;
        let activated = [Listen::Activated(3), Listen::Activated(4)];
        assert_eq!(listen(&["/srv"]), activated);
        assert_eq!(listen(&["/srv", "-l", "systemd"]), activated);
        assert_eq!(listen(&["/srv", "-l", "unix:s"]), [Listen::At(Address::Unix("s".into()))]);
        assert!(refusal(&["/srv", "-l", "systemd"]).contains("socket unit"));
    }

    #[test]
    fn addresses_are_checked() {
        let listen = |words| config(words).unwrap().listen;
        assert_eq!(
            listen(&["/srv", "-l", "fd:5", "-l", "unix:a b"]),
            [Listen::Connection(5), Listen::At(Address::Unix("a b".into()))]
        );
        assert!(refusal(&["/srv", "-l", "tcp:0.0.0.0:564"]).contains("--allow-remote"));
        assert_eq!(listen(&["/srv", "-l", "tcp:0.0.0.0:564", "--allow-remote"]).len(), 1);
        assert_eq!(listen(&["/srv", "-l", "tcp:127.0.0.1:564", "--allow-remote=no"]).len(), 1);
        assert!(refusal(&["/srv", "-l", "fd:5", "-l", "unix:s", "--once"]).contains("one already"));
        assert!(refusal(&["/srv", "-l", "fd:0"]).contains("from 3 on"));
        assert!(refusal(&["/srv", "--ready-fd", "1"]).contains("from 3 on"));
        assert!(refusal(&["/srv", "-l", "udp:1:1"]).contains("unix:PATH"));
        assert!(refusal(&[]).contains("gofer serve PATH"));
    }

    #[test]
    fn a_file_says_everything_the_command_line_can() {
        let config = with_file(
            r#"
            listen = ["unix:/s", "tcp:0.0.0.0:1", "vsock:any:2"]
            allow-remote = true
            once = true
            ready-fd = 9
            max-fids = 10
            max-connections = 11
            max-threads = 12
            xattr = "none"
            host-sockets = "connect"
            owner = "client"
            map-users = "100000:65536"
            log-level = "debug"
            log-format = "json"
            drain-seconds = 3
            quiet = true
            [[export]]
            path = "/srv/a:rw"
            [[export]]
            name = "b"
            path = "/srv/x=y"
            options = ["rw", "fifos"]
            "#,
            &[],
        )
        .unwrap();
        assert_eq!(config.listen.len(), 3);
        assert!(config.once && config.quiet);
        assert_eq!(config.ready_fd, Some(9));
        assert_eq!((config.limits.fids, config.limits.connections, config.limits.threads), (10, 11, 12));
        assert_eq!(config.xattr, XattrPolicy::None);
        assert_eq!(config.sockets, HostSockets::Connect);
        assert_eq!(config.ids, IdMap::Identity);
        assert_eq!(config.users, Users::Range(100_000, 65536));
        assert_eq!((config.log_level, config.log_format), (LogLevel::Debug, LogFormat::Json));
        assert_eq!(config.drain, Duration::from_secs(3));
        let [a, b] = &config.exports[..] else { panic!("{:?}", config.exports) };
        assert_eq!(
            (a.path.to_str(), a.attach_name().to_str(), a.writable),
            (Some("/srv/a:rw"), Some("a:rw"), false)
        );
        assert_eq!((b.path.to_str(), b.attach_name().to_str(), b.fifos), (Some("/srv/x=y"), Some("b"), true));
    }

    #[test]
    fn the_command_line_comes_before_the_file() {
        let file =
            "once = true\nmax-fids = 5\nlisten = [\"unix:/f\"]\nxattr = \"all\"\n[[export]]\npath = \"/f\"";
        let config = with_file(file, &["/c", "--once=false", "--max-fids", "6", "-l", "unix:/c"]).unwrap();
        assert_eq!(config.exports.len(), 1);
        assert_eq!(config.exports[0].path, Path::new("/c"));
        assert_eq!(config.listen, [Listen::At(Address::Unix("/c".into()))]);
        assert_eq!(config.limits.fids, 6);
        assert!(!config.once);
        assert_eq!(config.xattr, XattrPolicy::All, "what only the file says");
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        for (text, line, why) in [
            ("once = true\nmax-fid = 5\n", 2, "unknown field `max-fid`"),
            ("\n\nmax-fids = 0\n", 3, "nonzero"),
            ("config = \"x\"\n", 1, "unknown field `config`"),
            ("xattr = \"some\"\n", 1, "unknown variant `some`"),
            ("[[export]]\npath = \"/a\"\nmode = 1\n", 3, "unknown field `mode`"),
            ("[[export]]\nname = \"a\"\n", 1, "missing field `path`"),
            ("once = \n", 1, ""),
        ] {
            let message = with_file(text, &["/srv"]).unwrap_err().to_string();
            assert!(message.contains(&format!("line {line}: ")) && message.contains(why), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        assert!(with_file("[[export]]\nname = \"a/b\"\npath = \"/a\"\n", &[]).is_err());
        assert!(refusal(&["/srv", "-c", "/nope/g.toml"]).contains("ENOENT"));
    }

    #[test]
    fn users_are_mapped_where_there_is_a_namespace_of_them() {
        let users =
            |words: &[&str]| config(&[&["/srv", "--map-users"], words].concat()).map(|config| config.users);
        assert_eq!(config(&["/srv"]).unwrap().users, Users::All);
        assert_eq!(users(&["auto"]).unwrap(), Users::All);
        assert_eq!(users(&["none"]).unwrap(), Users::Own);
        assert_eq!(users(&["4294967294:1"]).unwrap(), Users::Range(u32::MAX - 1, 1));
        assert!(refusal(&["/srv:rw,devices", "--map-users", "none"]).contains("devices"));
        assert!(refusal(&["/srv", "--map-users", "1:2", "--sandbox", "landlock"]).contains("--sandbox full"));
        for wrong in ["", "1", "1:", "1:0", "4294967295:1", "-1:5", "1:2:3"] {
            assert!(wrong.parse::<MapUsers>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn owners_follow_the_right_to_give_files_away() {
        let ids = |gives_away, owner| {
            let around = Surroundings { gives_away, ..around() };
            Config::new(typed(&["/srv", "--owner", owner]), &around).unwrap().ids
        };
        let squash = IdMap::Squash(Uid(7), Gid(8));
        assert_eq!([ids(false, "auto"), ids(true, "auto")], [squash, IdMap::Identity]);
        assert_eq!([ids(false, "client"), ids(true, "squash")], [IdMap::Identity, squash]);
    }
}
