//! `gofer runsc-gofer`: the gofer of a gVisor sandbox, started by runsc in place of its own.
//!
//! ```text
//! args    the command line         -> Args
//! spec    config.json              -> Spec
//! view    where a mount belongs    -> names without links; what is missing is made
//! roots   what is served           -> a tree for each connection, the list of mounts
//! mod     waits, sealing, serving
//! log     errors as runsc shows them
//! install, elf    a runsc that starts this gofer
//! ```

mod args;
mod elf;
mod install;
mod log;
mod roots;
mod spec;
mod view;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;

use gofer_jail::{Plan, Sealed, Tasks, Users, Violation};
use gofer_localfs::LocalFs;
use gofer_server::lisafs::Settings;
use gofer_server::{Export, Limits, Policy, Server};
use gofer_sys::process;
use gofer_transport::Socket;
use gofer_vfs::{Access, IdMap, ReadOnly, XattrPolicy};

use crate::report::{Failure, errno};
use crate::sandbox;

use args::{Args, Becomes, Given};
use install::BANNER;
pub(crate) use install::{Install, run as install};
use roots::Roots;
use spec::Spec;

/// The subcommand, and the name by which runsc calls its gofer.
const NAME: &str = "runsc-gofer";
/// How runsc calls what it starts of itself: `runsc-gofer`, `runsc-sandbox`, `runsc-exec`.
const PREFIX: &[u8] = b"runsc-";
/// Beside a program that runsc starts for its gofer and for itself: a link to the runsc that it is.
pub(crate) const ORIGINAL: &str = "runsc-original";
/// The code that runsc's own programs exit with when they cannot go on.
const FAILED: u8 = 128;

/// The part of the program that runsc starts; `None` when it was not runsc.
///
/// Whatever is not for the gofer is for the runsc that this program was installed beside, in whose name it was started.
pub(crate) fn main(words: &[OsString]) -> Option<ExitCode> {
    let (name, rest) = words.split_first()?;
    let name = Path::new(name).file_name().unwrap_or_default();
    let is_runscs = name.as_encoded_bytes().starts_with(PREFIX);
    let rest = match rest {
        _ if name == NAME || (is_runscs && args::asks_for_gofer(rest)) => rest,
        _ if is_runscs => return Some(pass_on(name, rest)),
        [command, rest @ ..] if command == NAME => rest,
        _ => return None,
    };
    Some(match run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::fatal(&failure);
            ExitCode::from(FAILED)
        }
    })
}

/// Becomes the original runsc.
fn pass_on(name: &OsStr, words: &[OsString]) -> ExitCode {
    let original = std::env::current_exe().map(|own| own.with_file_name(ORIGINAL));
    let error = match original {
        Ok(original) => Command::new(original).arg0(name).args(words).exec(),
        Err(error) => error,
    };
    let why = errno(&error);
    log::fatal(&format!(
        "cannot start the runsc beside this program, {ORIGINAL}: {why}; use gofer runsc-install"
    ));
    ExitCode::from(FAILED)
}

/// Serves a container until its last connection has ended.
///
/// Until the process is sealed there is one thread.
fn run(words: &[OsString]) -> Result<(), Failure> {
    let given = Given::read(words);
    log::start(&given.log());
    let args = given.args()?;
    let connections =
        args.connections.iter().map(|number| Socket::inherited(*number).map_err(Failure::start));
    let connections = connections.collect::<Result<Vec<_>, _>>()?;
    let mounts = args.mounts.map(|number| inherited("mounts-fd", number)).transpose()?;
    let _pinned = args.pinned.map(|number| inherited("pin-ring-fd", number)).transpose()?;
    let spec = Spec::read(&content(inherited("spec-fd", args.spec)?)?, &args.bundle)?;
    wait(&args)?;
    let nofile = descriptors(&args)?;
    let roots = Roots::open(spec, &args)?;
    let list = roots.list()?;
    process::survive_file_limit();
    // Where that cannot be, more memory is kept.
    let _ = gofer_sys::alloc::keep_no_large_pieces();
    LocalFs::limit_places(nofile / 8 * 3);
    let writable: Vec<_> = roots.trees.iter().map(|tree| tree.writable).collect();
    let code = process::Code::mapped();
    let sealed = seal(roots, &args)?;
    if let Some(mounts) = mounts {
        tell(mounts, list)?;
    }
    let exports = writable.into_iter().enumerate();
    let exports = exports.map(|(number, writable)| open(&sealed, number, writable, &args));
    let exports = exports.collect::<Result<Vec<_>, _>>()?;
    let limits = Limits {
        connections: exports.len(),
        descriptors: Limits::default().descriptors.min(nofile / 2),
        // The sandbox mounts nothing without one, and asks for as many as its processors are, up to four.
        channels: 4,
        ..Limits::default()
    };
    gofer_sys::alloc::trim();
    code.forget();
    let server = Server::new(exports, limits).map_err(no_thread)?;
    serve(&sealed, &server, connections, Settings { donates_root: args.donates_roots })
}

fn inherited(flag: &str, number: u32) -> Result<File, Failure> {
    process::inherited(number).map(File::from).map_err(|errno| {
        Failure::start(format!("--{flag}={number}: {errno}; it is runsc that starts this command"))
    })
}

/// All of a file whose offset others may have moved.
fn content(mut file: File) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).map_err(|error| {
        Failure::start(format!("reading spec: {}; check config.json in the bundle", errno(&error)))
    })?;
    Ok(text)
}

/// Waits for what runsc has to do first: with this process's root, and for its users to exist.
fn wait(args: &Args) -> Result<(), Failure> {
    let until_end = |flag, number| {
        let end = inherited(flag, number)?.read_to_end(&mut Vec::new());
        end.map_err(|error| Failure::start(format!("--{flag}: {}; it is runsc that ends it", errno(&error))))
    };
    if let Some(number) = args.before_leaving {
        until_end("sync-chroot-fd", number)?;
    }
    if let Some(Becomes { after, user, group }) = args.becomes {
        until_end("sync-userns-fd", after)?;
        process::become_user(user, group).map_err(|errno| {
            let ids = format!("user {} and group {}", user.0, group.0);
            Failure::start(format!("becoming {ids}: {errno}; map them in linux.uidMappings and gidMappings"))
        })?;
    }
    Ok(())
}

/// How many descriptors the process may hold.
fn descriptors(args: &Args) -> Result<usize, Failure> {
    let asked = args.descriptors.map(process::limit_nofile);
    if let Some(Err(errno)) = asked {
        tracing::warn!("--fdlimit: {errno}; it stays as it is");
    }
    let most = process::raise_nofile().map_err(|errno| {
        Failure::start(format!("cannot raise the limit of open files: {errno}; see ulimit -Hn"))
    })?;
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Seals the process, which runsc has put into namespaces of its own.
fn seal(roots: Roots, args: &Args) -> Result<Sealed, Failure> {
    let plan = Plan {
        trees: roots.trees,
        tasks: Tasks {
            listen: false,
            xattrs: true,
            host_sockets: args.host_sockets.may_connect(),
            new_sockets: args.host_sockets.may_make(),
            credentials: args.has_credentials(),
            rename_flags: true,
            channels: true,
            donate: true,
            own_rights: false,
        },
        users: Users::All,
        violation: Violation::Kill,
        landlock: gofer_jail::Abi::NEWEST,
        at_end: Box::new(|_| ()),
    };
    let (sealed, report) = plan.enter_here().map_err(Failure::start)?;
    if args.donates_roots && report.namespaces.is_empty() {
        // By `..` they would lead to all that is above them.
        let why = report.weaker.first().map(|why| format!(": {}: {}", why.what, why.errno));
        let why = why.unwrap_or_default();
        return Err(Failure::start(format!("cannot give directories away{why}; say --directfs=false")));
    }
    tracing::info!("{} {BANNER}", env!("CARGO_PKG_VERSION"));
    sandbox::quiet_panics();
    for warning in sandbox::warnings(&report) {
        tracing::warn!("{warning}");
    }
    for line in sandbox::text(&report).lines() {
        tracing::info!("{line}");
    }
    Ok(sealed)
}

/// Writes the list of mounts for the sandbox, and lets go of the pipe: that is its end. There may be nobody yet who
/// reads what a pipe does not hold.
fn tell(mut pipe: File, list: Vec<u8>) -> Result<(), Failure> {
    let write = move || {
        if let Err(error) = pipe.write_all(&list) {
            tracing::error!("writing mounts: {}; the sandbox has ended", errno(&error));
        }
    };
    thread::Builder::new()
        .name("mounts".into())
        .spawn(write)
        .map(drop)
        .map_err(|error| no_thread(errno(&error)))
}

/// What is served of a sealed process's tree.
fn open(
    sealed: &Sealed,
    number: usize,
    writable: bool,
    args: &Args,
) -> Result<Export<Access<LocalFs>>, Failure> {
    let unusable = |errno| Failure::start(format!("serving root {number}: {errno}; choose another"));
    let (procfd, root) = sealed.tree(number).ok_or_else(|| unusable(gofer_vfs::Errno::ENOENT))?;
    let tree = LocalFs::over_any(procfd, root).map_err(unusable)?;
    Ok(Export {
        name: None,
        backend: if writable { Access::ReadWrite(tree) } else { Access::ReadOnly(ReadOnly(tree)) },
        policy: Policy {
            xattr: XattrPolicy::All,
            sockets: args.host_sockets,
            credentials: args.has_credentials(),
            fifos: args.host_fifos,
            strict: false,
            devices: false,
            ids: IdMap::Identity,
        },
    })
}

/// Serves each root on its connection, until the last has ended. Nobody can call it who has not given up what was to be
/// given up.
fn serve(
    _sealed: &Sealed,
    server: &Arc<Server<Access<LocalFs>>>,
    connections: Vec<Socket>,
    settings: Settings,
) -> Result<(), Failure> {
    let clients = (0..).zip(connections);
    let clients =
        clients.map(|(root, socket)| server.connect_lisafs(socket, root, settings).map_err(Failure::start));
    for client in clients.collect::<Result<Vec<_>, _>>()? {
        client.wait();
    }
    Ok(())
}

fn no_thread(errno: gofer_vfs::Errno) -> Failure {
    Failure::start(format!(
        "cannot start a thread: {errno}; raise the limit on processes of this user (ulimit -u)"
    ))
}
