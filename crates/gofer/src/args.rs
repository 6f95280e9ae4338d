//! What was typed: the command line, the environment and the configuration file, in one definition.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use gofer_server::Limits;
use serde::Deserialize;

use crate::bench::Bench;
use crate::check::Check;
use crate::client;
use crate::mount::Mount;
use crate::report::{EXIT_CODES, Failure};
use crate::runsc;

/// Serves directories of this host to untrusted clients over 9P2000.L, and uses such servers.
#[derive(Debug, Parser)]
#[command(name = "gofer", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve directories until told to end.
    #[command(after_help = EXIT_CODES, after_long_help = format!("{SERVE_NOTES}\n\n{EXIT_CODES}"))]
    Serve(Box<Settings>),
    #[command(flatten)]
    Client(client::Command),
    /// Measure a 9P server, beside others and beside what the machine allows.
    Bench(Box<Bench>),
    /// Check a 9P server, anybody's: whether it keeps to the protocol, and its clients inside.
    Check(Box<Check>),
    /// Mount a directory, or rather what a client may see of it.
    Mount(Box<Mount>),
    /// See in ten seconds what it is for: a server that is attacked and measured. Needs no root, and leaves nothing.
    #[command(after_help = EXIT_CODES)]
    Demo,
    /// Make a runsc that starts this program as its gofer.
    #[command(after_help = EXIT_CODES)]
    RunscInstall(runsc::Install),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual pages, or write them into a directory.
    Man {
        /// Where to write gofer.1, gofer-serve.1 and so on.
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// What is said below the options of `gofer serve`.
const SERVE_NOTES: &str = "\
Exports:
The text before the first '=' is the export's name, if it can be one (no '/' in it). The words behind the \
last ':' are options, if all of them are. To serve a path that would be misread, write './' or '/' before it \
and ':' behind it: './a=b:rw:'.
With one export without a name, a client attaches to '/' or to a path inside it. Several exports each have a \
name, by default the last component of the path.
  rw       clients may change it; without it nothing can be changed
  ro       the default, said aloud
  devices  clients may make device files (with rw)
  fifos    clients may open FIFOs
  strict   a client that tries to change it although it is read-only is cut off

Configuration:
Every option is also an environment variable and a key of the configuration file: --max-fids is \
GOFER_MAX_FIDS and max-fids. The command line comes before the environment, the environment before the \
file. Exports are in GOFER_EXPORT; there and in GOFER_LISTEN, several values are separated by spaces. In the \
file, exports are tables:
  listen = [\"unix:/run/gofer.sock\"]
  max-fids = 10000
  [[export]]
  name = \"data\"
  path = \"/srv/data\"
  options = [\"rw\"]

Signals:
TERM and INT end the server when the requests it has received are answered; a second one ends it at once. HUP \
is ignored: configuration does not change after start.";

/// The options of `gofer serve`, wherever they were written; `None` where they were not.
#[derive(clap::Args, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Directory to serve, read-only unless :rw; options are rw, ro, devices, fifos and strict.
    #[arg(value_name = "[NAME=]PATH[:OPTION,..]", env = "GOFER_EXPORT", hide_env = true)]
    #[arg(value_hint = ValueHint::AnyPath)]
    #[serde(skip)]
    pub(crate) exports: Option<Vec<OsString>>,

    /// The exports of a configuration file.
    #[arg(skip)]
    #[serde(rename = "export")]
    pub(crate) tables: Option<Vec<ExportTable>>,

    /// Where clients connect; may be repeated: unix:PATH, unix, tcp:HOST:PORT, vsock:CID:PORT, fd:N, systemd.
    ///
    /// unix is $XDG_RUNTIME_DIR/gofer.sock, or /run/gofer.sock for root, and the default. CID may be "any".
    /// fd:N is a connected socket that the process was started with. systemd takes the sockets of a socket
    /// unit, which also happens by itself when there are some and no --listen is given.
    #[arg(short, long, value_name = "ADDR", env = "GOFER_LISTEN", hide_env = true)]
    pub(crate) listen: Option<Vec<String>>,

    /// Allow TCP addresses beyond loopback. 9P has neither authentication nor encryption.
    #[arg(long, value_name = "BOOL", env = "GOFER_ALLOW_REMOTE", hide_env = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub(crate) allow_remote: Option<bool>,

    /// Serve one connection, then exit.
    #[arg(long, value_name = "BOOL", env = "GOFER_ONCE", hide_env = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub(crate) once: Option<bool>,

    /// Once everything listens, write one line with the addresses to descriptor N and close it.
    #[arg(long, value_name = "N", env = "GOFER_READY_FD", hide_env = true)]
    pub(crate) ready_fd: Option<u32>,

    /// Fids a connection may hold.
    #[arg(help = format!("Fids a connection may hold [default: {}]", Limits::default().fids))]
    #[arg(long, value_name = "N", env = "GOFER_MAX_FIDS", hide_env = true)]
    pub(crate) max_fids: Option<NonZeroU32>,

    /// Connections at the same time.
    #[arg(help = format!("Connections at the same time [default: {}]", Limits::default().connections))]
    #[arg(long, value_name = "N", env = "GOFER_MAX_CONNECTIONS", hide_env = true)]
    pub(crate) max_connections: Option<NonZeroU32>,

    /// Threads that work for a connection at the same time.
    #[arg(help = format!("Threads that work for a connection at the same time [default: {}]", Limits::default().threads))]
    #[arg(long, value_name = "N", env = "GOFER_MAX_THREADS", hide_env = true)]
    pub(crate) max_threads: Option<NonZeroU32>,

    /// Shared-memory channels of a connection, 0 for none [default: one for each processor, 2 to 4].
    #[arg(long, value_name = "N", env = "GOFER_MAX_CHANNELS", hide_env = true)]
    pub(crate) max_channels: Option<u8>,

    /// Extended attributes that clients reach [default: user].
    #[arg(long, value_name = "POLICY", env = "GOFER_XATTR", hide_env = true)]
    pub(crate) xattr: Option<Xattr>,

    /// What clients may do with unix sockets in the exports [default: none].
    #[arg(long, value_name = "POLICY", env = "GOFER_HOST_SOCKETS", hide_env = true)]
    pub(crate) host_sockets: Option<Sockets>,

    /// Who owns what clients make [default: auto].
    #[arg(long, value_name = "POLICY", env = "GOFER_OWNER", hide_env = true)]
    pub(crate) owner: Option<Owner>,

    /// What the server gives up before it takes a request [default: auto].
    #[arg(long, value_name = "STRENGTH", env = "GOFER_SANDBOX", hide_env = true)]
    pub(crate) sandbox: Option<Sandbox>,

    /// Users and groups that exist in the sandbox, beside the server's own [default: auto].
    ///
    /// auto is all for root, and none for others. START:COUNT are so many from START on, which /etc/subuid and
    /// /etc/subgid must give to this user; newuidmap and newgidmap are called for it. Files of all others appear as
    /// owned by 65534, and only their modes give a right to them.
    #[arg(long, value_name = "auto|none|START:COUNT", env = "GOFER_MAP_USERS", hide_env = true)]
    pub(crate) map_users: Option<MapUsers>,

    /// Say that clients are trusted, which --sandbox none asks for.
    #[arg(long, value_name = "BOOL", env = "GOFER_I_TRUST_THE_CLIENTS", hide_env = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub(crate) i_trust_the_clients: Option<bool>,

    /// What becomes of a system call that no operation makes [default: kill].
    #[arg(long, value_name = "ACTION", env = "GOFER_SANDBOX_VIOLATION", hide_env = true)]
    pub(crate) sandbox_violation: Option<Violation>,

    /// Which of root's rights are kept [default: needed].
    #[arg(long, value_name = "WHICH", env = "GOFER_CAPABILITIES", hide_env = true)]
    pub(crate) capabilities: Option<Capabilities>,

    /// Seal the process, print what it has given up, and exit.
    #[arg(long, value_name = "FORMAT", env = "GOFER_PRINT_SANDBOX", hide_env = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(crate) print_sandbox: Option<ReportFormat>,

    /// What is logged [default: info].
    #[arg(long, value_name = "LEVEL", env = "GOFER_LOG_LEVEL", hide_env = true)]
    pub(crate) log_level: Option<LogLevel>,

    /// How it is logged, on standard error [default: text].
    #[arg(long, value_name = "FORMAT", env = "GOFER_LOG_FORMAT", hide_env = true)]
    pub(crate) log_format: Option<LogFormat>,

    /// Read what is not on the command line or in the environment from this TOML file.
    #[arg(short, long, value_name = "FILE", env = "GOFER_CONFIG", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// When told to end, wait this long for clients to take their answers [default: 10].
    #[arg(long, value_name = "N", env = "GOFER_DRAIN_SECONDS", hide_env = true)]
    pub(crate) drain_seconds: Option<u32>,

    /// Do not print what is served and how to reach it at the start.
    #[arg(short, long, value_name = "BOOL", env = "GOFER_QUIET", hide_env = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub(crate) quiet: Option<bool>,
}

/// An export in a configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportTable {
    pub(crate) name: Option<String>,
    pub(crate) path: PathBuf,
    #[serde(default)]
    pub(crate) options: Vec<ExportOption>,
}

/// A word behind the path of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ExportOption {
    /// Clients may change it.
    Rw,
    /// Clients may not change it.
    Ro,
    /// Clients may make device files.
    Devices,
    /// Clients may open FIFOs.
    Fifos,
    /// A client that tries to change it although it is read-only is cut off.
    Strict,
}

/// Extended attributes that clients reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Xattr {
    /// No extended attributes.
    None,
    /// The four that a gVisor sandbox keeps its Merkle tree in.
    Verity,
    /// Those of the user namespace.
    User,
    /// Whatever the server's own rights reach.
    All,
}

/// What clients may do with unix sockets in the exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sockets {
    /// Nothing.
    None,
    /// Connect to them.
    Connect,
    /// Everything.
    All,
}

/// Who owns what clients make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Owner {
    /// As client where the server has the right to give files away (CAP_CHOWN), else as squash.
    Auto,
    /// The user and group that the client names.
    Client,
    /// The server's own user and group.
    Squash,
}

/// What the server gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sandbox {
    /// As much as this user and kernel can do; gofer serve says at its start what that is.
    Auto,
    /// All there is; the server does not start with less.
    Full,
    /// What needs no namespaces: Landlock, the filter of system calls, capabilities. Not less.
    Landlock,
    /// Nothing; for gofer serve only with --i-trust-the-clients.
    None,
}

/// Users and groups that exist in the sandbox, beside the server's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum MapUsers {
    /// All for root, none for others.
    Auto,
    /// None.
    None,
    /// So many from the first on.
    Range(u32, u32),
}

impl FromStr for MapUsers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let range = text.split_once(':').and_then(|(first, count)| {
            let (first, count) = (first.parse().ok()?, count.parse::<NonZeroU32>().ok()?.get());
            // The last of all numbers is no user.
            u32::checked_add(first, count)?;
            Some(Self::Range(first, count))
        });
        range.ok_or("write auto, none or START:COUNT, as 100000:65536")
    }
}

impl TryFrom<String> for MapUsers {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// What becomes of a system call that is not on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Violation {
    /// It ends the server.
    Kill,
    /// It fails with EPERM.
    Errno,
}

/// Which of root's rights are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Capabilities {
    /// Those that the exports need.
    Needed,
    /// None: the user's own rights suffice.
    None,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReportFormat {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogLevel {
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warn,
    /// Connections.
    Info,
    /// Requests that failed, and why.
    Debug,
    /// Everything; only in debug builds.
    Trace,
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// These settings, and those of `under` where there are none.
    pub(crate) fn over(self, under: Self) -> Self {
        // Exports are one list, whichever way they were written.
        let exported = self.exports.is_some() || self.tables.is_some();
        let (exports, tables) =
            if exported { (self.exports, self.tables) } else { (under.exports, under.tables) };
        Self {
            exports,
            tables,
            listen: self.listen.or(under.listen),
            allow_remote: self.allow_remote.or(under.allow_remote),
            once: self.once.or(under.once),
            ready_fd: self.ready_fd.or(under.ready_fd),
            max_fids: self.max_fids.or(under.max_fids),
            max_connections: self.max_connections.or(under.max_connections),
            max_threads: self.max_threads.or(under.max_threads),
            max_channels: self.max_channels.or(under.max_channels),
            xattr: self.xattr.or(under.xattr),
            host_sockets: self.host_sockets.or(under.host_sockets),
            owner: self.owner.or(under.owner),
            sandbox: self.sandbox.or(under.sandbox),
            map_users: self.map_users.or(under.map_users),
            i_trust_the_clients: self.i_trust_the_clients.or(under.i_trust_the_clients),
            sandbox_violation: self.sandbox_violation.or(under.sandbox_violation),
            capabilities: self.capabilities.or(under.capabilities),
            print_sandbox: self.print_sandbox.or(under.print_sandbox),
            log_level: self.log_level.or(under.log_level),
            log_format: self.log_format.or(under.log_format),
            config: self.config.or(under.config),
            drain_seconds: self.drain_seconds.or(under.drain_seconds),
            quiet: self.quiet.or(under.quiet),
        }
    }
}

/// The command line, with the environment below it. Prints help and version, and then exits.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, Failure> {
    let words: Vec<_> = words.into_iter().collect();
    try_parse(&words).map_err(|error| match error.use_stderr() {
        true => Failure::misread(&error, &program(&words)),
        false => error.exit(),
    })
}

/// The program with the subcommand, if that is one.
fn program(words: &[OsString]) -> String {
    let command = Args::command();
    let subcommand = words.get(1).and_then(|word| command.find_subcommand(word));
    subcommand.map_or_else(|| "gofer".to_owned(), |found| format!("gofer {}", found.get_name()))
}

fn try_parse(words: &[OsString]) -> Result<Args, clap::Error> {
    let matches = Args::command().try_get_matches_from(words)?;
    let mut args = Args::from_arg_matches(&matches)?;
    if let (Command::Serve(settings), Some(("serve", matches))) = (&mut args.command, matches.subcommand()) {
        let from_environment = |id| matches.value_source(id) == Some(ValueSource::EnvVariable);
        if from_environment("exports") {
            settings.exports = settings.exports.take().map(split_words);
        }
        if from_environment("listen") {
            settings.listen = settings.listen.take().map(|values| {
                values.iter().flat_map(|value| value.split_ascii_whitespace()).map(str::to_owned).collect()
            });
        }
    }
    Ok(args)
}

/// The words of a variable that holds a list.
fn split_words(values: Vec<OsString>) -> Vec<OsString> {
    let words = |value: OsString| {
        let words = value.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.map(|word| OsString::from_vec(word.to_vec())).collect::<Vec<_>>()
    };
    values.into_iter().flat_map(words).collect()
}
