//! The command line that runsc starts its gofer with, of every release that has one.
//!
//! There are global flags of runsc, the word `gofer`, and flags of the gofer. What is not known here is ignored: runsc
//! passes on every flag that was given to it, and each release has others. Of a flag that comes twice the last counts.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use gofer_server::HostSockets;
use gofer_vfs::{Gid, Uid};

use crate::report::Failure;

/// Whether a flag is followed by a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Behind `=`, or as the next word.
    Value,
    /// Behind `=`, or there is none and it is true.
    Truth,
}

/// The flags that mean something here.
const FLAGS: &[(&str, Takes)] = &[
    ("bundle", Takes::Value),
    ("debug", Takes::Truth),
    ("debug-log-fd", Takes::Value),
    ("debug-log-format", Takes::Value),
    ("directfs", Takes::Truth),
    ("fdlimit", Takes::Value),
    ("fsgofer-host-uds", Takes::Truth),
    ("gid", Takes::Value),
    ("gofer-mount-confs", Takes::Value),
    ("host-fifo", Takes::Value),
    ("host-uds", Takes::Value),
    ("io-fds", Takes::Value),
    ("log-fd", Takes::Value),
    ("mounts-fd", Takes::Value),
    ("overlay", Takes::Truth),
    ("overlay2", Takes::Value),
    ("pin-ring-fd", Takes::Value),
    ("spec-fd", Takes::Value),
    ("sync-chroot-fd", Takes::Value),
    ("sync-userns-fd", Takes::Value),
    ("uid", Takes::Value),
];

/// The word between the two kinds of flags.
const COMMAND: &str = "gofer";

/// What runsc wants of its gofer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    /// The directory of the container, to which paths in its specification are relative.
    pub(crate) bundle: PathBuf,
    /// Where the specification is to be read.
    pub(crate) spec: u32,
    /// Where the list of mounts is to be written.
    pub(crate) mounts: Option<u32>,
    /// The connections.
    pub(crate) connections: Vec<u32>,
    /// Which mounts have a connection, and which are written to elsewhere.
    pub(crate) plan: MountPlan,
    /// Whether clients are given descriptors of what they mount.
    pub(crate) donates_roots: bool,
    pub(crate) host_sockets: HostSockets,
    pub(crate) host_fifos: bool,
    /// The most descriptors to hold.
    pub(crate) descriptors: Option<u64>,
    /// What has to come to its end before the root is left.
    pub(crate) before_leaving: Option<u32>,
    /// Who to become.
    pub(crate) becomes: Option<Becomes>,
    /// What is to be kept open and never touched.
    pub(crate) pinned: Option<u32>,
}

/// The user of this process, who does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Becomes {
    /// What has to come to its end before.
    pub(crate) after: u32,
    pub(crate) user: Uid,
    pub(crate) group: Gid,
}

impl Args {
    /// Whether the sandbox says as whom it connects to sockets of the host: since 2025.
    pub(crate) fn has_credentials(&self) -> bool {
        matches!(self.plan, MountPlan::Each(_)) && self.host_sockets.may_connect()
    }
}

/// Which mounts have a connection, and which are only read because what is written stays in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MountPlan {
    /// Every bind mount has one.
    All(Overlay),
    /// Of the root, and of each mount that may have one.
    Each(Vec<MountConf>),
}

/// What is written to memory of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlay {
    None,
    /// Changes of the root.
    Root,
    /// Changes of the root and of all mounts.
    All,
}

/// What a mount of the sandbox is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MountConf {
    /// What is below is served here.
    pub(crate) served: bool,
    /// Changes go somewhere else.
    pub(crate) overlaid: bool,
}

/// Where to log to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LogArgs {
    /// Errors.
    pub(crate) errors: Option<u32>,
    /// Everything.
    pub(crate) debug: Option<u32>,
    pub(crate) debug_is_json: bool,
    /// Whether requests are logged there, too.
    pub(crate) verbose: bool,
}

/// The known flags that were given, in their order.
#[derive(Debug)]
pub(crate) struct Given(Vec<(&'static str, OsString)>);

/// Whether these words, without the program's name, ask for the gofer: the first that is no flag is its name.
pub(crate) fn asks_for_gofer(words: &[OsString]) -> bool {
    words.iter().find(|word| !word.as_bytes().starts_with(b"-")).is_some_and(|word| word == COMMAND)
}

impl Given {
    /// Reads the words behind the program's name. The word between is no flag, and so nothing that is known here.
    pub(crate) fn read(words: &[OsString]) -> Self {
        let mut given = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some((name, value)) = split(word) else { continue };
            let Some((name, takes)) = FLAGS.iter().find(|(known, _)| *known == name) else { continue };
            let value = match (value, takes) {
                (Some(value), _) => value.to_owned(),
                (None, Takes::Truth) => "true".into(),
                (None, Takes::Value) => words.next().cloned().unwrap_or_default(),
            };
            given.push((*name, value));
        }
        Self(given)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        self.0.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_os_str())
    }

    fn last(&self, name: &str) -> Option<&OsStr> {
        self.all(name).last()
    }

    fn word(&self, name: &str) -> &str {
        self.last(name).and_then(OsStr::to_str).unwrap_or_default()
    }

    /// As Go's `strconv.ParseBool` has it.
    fn is_true(&self, name: &str, by_default: bool) -> bool {
        match self.word(name) {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => by_default,
        }
    }

    /// A descriptor or an id; a negative number stands for none.
    fn number(&self, name: &str) -> Result<Option<u32>, Failure> {
        self.last(name).map_or(Ok(None), |value| number(name, value))
    }

    fn required(&self, name: &str) -> Result<u32, Failure> {
        self.number(name)?.ok_or_else(|| missing(name))
    }

    /// Where to log to. Known before anything that could be wrong.
    pub(crate) fn log(&self) -> LogArgs {
        let descriptor = |name| self.number(name).ok().flatten();
        LogArgs {
            errors: descriptor("log-fd"),
            debug: descriptor("debug-log-fd"),
            debug_is_json: self.word("debug-log-format").starts_with("json"),
            verbose: self.is_true("debug", false),
        }
    }

    /// What it comes to.
    ///
    /// # Errors
    /// What is missing or no number.
    pub(crate) fn args(&self) -> Result<Args, Failure> {
        let connections = self.all("io-fds").map(descriptors).collect::<Result<Vec<_>, _>>()?.concat();
        if connections.is_empty() {
            return Err(missing("io-fds"));
        }
        let plan = self.plan()?;
        let (user, group) = (self.number("uid")?.unwrap_or(0), self.number("gid")?.unwrap_or(0));
        let becomes = |after| Becomes { after, user: Uid(user), group: Gid(group) };
        Ok(Args {
            bundle: self
                .last("bundle")
                .filter(|dir| !dir.is_empty())
                .ok_or_else(|| missing("bundle"))?
                .into(),
            spec: self.required("spec-fd")?,
            mounts: self.number("mounts-fd")?,
            connections,
            donates_roots: matches!(plan, MountPlan::Each(_)) && self.is_true("directfs", true),
            plan,
            host_sockets: match self.word("host-uds") {
                "create" => HostSockets::Make,
                "all" => HostSockets::All,
                "open" => HostSockets::Connect,
                _ if self.is_true("fsgofer-host-uds", false) => HostSockets::Connect,
                _ => HostSockets::None,
            },
            host_fifos: self.word("host-fifo") == "open",
            descriptors: self.number("fdlimit")?.map(u64::from),
            before_leaving: self.number("sync-chroot-fd")?,
            becomes: self.number("sync-userns-fd")?.map(becomes),
            pinned: self.number("pin-ring-fd")?,
        })
    }

    fn plan(&self) -> Result<MountPlan, Failure> {
        if let Some(confs) = self.last("gofer-mount-confs") {
            return confs
                .as_bytes()
                .split(|byte| *byte == b',')
                .map(conf)
                .collect::<Result<_, _>>()
                .map(MountPlan::Each);
        }
        let all = self.is_true("overlay", false);
        Ok(MountPlan::All(match self.word("overlay2").split(':').next() {
            _ if all => Overlay::All,
            Some("all") => Overlay::All,
            Some("root") => Overlay::Root,
            _ => Overlay::None,
        }))
    }
}

/// The name and the value of a flag; `None` for a word that is none.
fn split(word: &OsStr) -> Option<(&str, Option<&OsStr>)> {
    let bytes = word.as_bytes().strip_prefix(b"-")?;
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    Some((std::str::from_utf8(name).ok()?, value))
}

fn number(name: &str, value: &OsStr) -> Result<Option<u32>, Failure> {
    let value = value.to_str().and_then(|text| text.parse::<i64>().ok());
    match value.map(u32::try_from) {
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Ok(None),
        None => Err(Failure::usage(format!("--{name} is no number; it is runsc that starts this command"))),
    }
}

/// A number, or several.
fn descriptors(value: &OsStr) -> Result<Vec<u32>, Failure> {
    let words = value.as_bytes().split(|byte| *byte == b',').map(|word| OsString::from_vec(word.to_vec()));
    let numbers = words.map(|word| number("io-fds", &word)).collect::<Result<Vec<_>, _>>()?;
    Ok(numbers.into_iter().flatten().collect())
}

/// `LOWER:UPPER[:size=S]`.
fn conf(text: &[u8]) -> Result<MountConf, Failure> {
    let mut words = text.split(|byte| *byte == b':');
    match (words.next(), words.next()) {
        (Some(lower @ (b"none" | b"lisafs" | b"erofs")), Some(upper)) => {
            Ok(MountConf { served: lower == b"lisafs", overlaid: upper != b"none" })
        }
        _ => Err(Failure::usage(format!(
            "--gofer-mount-confs: {:?} is not known here; use a gofer that is as new as runsc",
            OsStr::from_bytes(text)
        ))),
    }
}

fn missing(name: &str) -> Failure {
    Failure::usage(format!("--{name} must be given; it is runsc that starts this command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Given {
        Given::read(&line.split_ascii_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    fn args(line: &str) -> Args {
        given(line).args().unwrap()
    }

    /// Flags without which nothing can be done.
    const LEAST: &str = "gofer --bundle /b --spec-fd=3 --io-fds=5";

    #[test]
    fn the_line_of_2022() {
        let line = "--root=/state --network=none --ignore-cgroups=true gofer --bundle /b --spec-fd=3 --mounts-fd=4 \
                    --io-fds=5 --io-fds=6";
        let expected = Args {
            bundle: "/b".into(),
            spec: 3,
            mounts: Some(4),
            connections: vec![5, 6],
            plan: MountPlan::All(Overlay::None),
            donates_roots: false,
            host_sockets: HostSockets::None,
            host_fifos: false,
            descriptors: None,
            before_leaving: None,
            becomes: None,
            pinned: None,
        };
        assert_eq!(args(line), expected);
    }

    #[test]
    fn the_line_of_2026() {
        let line = "--directfs=true --fdlimit=1000 gofer --bundle=/b --gofer-mount-confs=lisafs:self,erofs:none,\
                    lisafs:memory:size=1M,lisafs:none --io-fds=5,6,7 --mounts-fd=4 --spec-fd=3 --rpc-fd=8 \
                    --sync-chroot-fd=9 --sync-userns-fd=10 --uid=7 --gid=8 --pin-ring-fd=11 a-container";
        let args = args(line);
        let conf = |served, overlaid| MountConf { served, overlaid };
        let confs = [conf(true, true), conf(false, false), conf(true, true), conf(true, false)];
        assert_eq!(args.plan, MountPlan::Each(confs.to_vec()));
        assert_eq!((args.connections, args.donates_roots), (vec![5, 6, 7], true));
        let becomes = Becomes { after: 10, user: Uid(7), group: Gid(8) };
        assert_eq!((args.before_leaving, args.becomes), (Some(9), Some(becomes)));
        assert_eq!((args.pinned, args.descriptors), (Some(11), Some(1000)));
    }

    #[test]
    fn the_last_value_counts_and_a_negative_number_is_none() {
        let args = args(&format!(
            "-fdlimit 9 {LEAST} --fdlimit=-1 --sync-userns-fd=5 --sync-userns-fd=-1 -spec-fd 7"
        ));
        assert_eq!((args.descriptors, args.becomes, args.spec), (None, None, 7));
    }

    #[test]
    fn a_value_may_be_the_word_itself() {
        let args = args("--root gofer gofer --bundle gofer --spec-fd=3 --io-fds=5");
        assert_eq!((args.bundle, args.spec), ("gofer".into(), 3));
    }

    #[test]
    fn what_is_not_known_is_ignored() {
        let unknown = "--platform=ptrace --strace --x=--io-fds=9 --watchdog-action=panic";
        assert_eq!(args(&format!("{unknown} {LEAST} {unknown} -- -")), args(LEAST));
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        for (line, name) in [
            ("gofer --spec-fd=3 --io-fds=5", "bundle"),
            ("gofer --bundle b --io-fds=5", "spec-fd"),
            ("gofer --bundle b --spec-fd=3", "io-fds"),
            ("gofer --bundle b --spec-fd=x --io-fds=5", "spec-fd"),
            ("gofer --bundle b --spec-fd=3 --io-fds=5 --gofer-mount-confs=ext:none", "gofer-mount-confs"),
            ("gofer --bundle", "io-fds"),
        ] {
            let message = given(line).args().unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("; "), "{line}: {message}");
        }
    }

    #[test]
    fn policies_are_those_of_the_flags() {
        let sockets = |flags: &str| args(&format!("{flags} {LEAST}")).host_sockets;
        assert_eq!(sockets("--host-uds=none"), HostSockets::None);
        assert_eq!(sockets("--host-uds=open"), HostSockets::Connect);
        assert_eq!(sockets("--host-uds=create"), HostSockets::Make);
        assert_eq!(sockets("--host-uds=all"), HostSockets::All);
        assert_eq!(sockets("--fsgofer-host-uds"), HostSockets::Connect);
        assert!(args(&format!("--host-fifo=open {LEAST}")).host_fifos);
        let plan = |flags: &str| args(&format!("{flags} {LEAST}")).plan;
        assert_eq!(plan("--overlay=true"), MountPlan::All(Overlay::All));
        assert_eq!(plan("--overlay2=all:memory"), MountPlan::All(Overlay::All));
        assert_eq!(plan("--overlay2=root:/tmp"), MountPlan::All(Overlay::Root));
        assert_eq!(plan("--overlay2=none"), MountPlan::All(Overlay::None));
    }

    #[test]
    fn the_first_word_that_is_no_flag_is_the_command() {
        let asks = |line: &str| asks_for_gofer(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(asks("--root=gofer gofer --bundle b"));
        assert!(!asks("--root=x boot gofer"));
        assert!(!asks("--gofer"));
    }

    #[test]
    fn the_log_is_known_whatever_else_is_wrong() {
        let log = given("--log-fd=3 --debug-log-fd=4 --debug --debug-log-format=json-k8s gofer").log();
        assert_eq!(log, LogArgs { errors: Some(3), debug: Some(4), debug_is_json: true, verbose: true });
        assert_eq!(given("--log-fd=x gofer").log(), LogArgs::default());
    }
}
