//! `gofer serve`: from a configuration to a server, and to its end.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gofer_jail::{Sealed, Strength, Tree};
use gofer_localfs::LocalFs;
use gofer_server::{Export, Policy, Server};
use gofer_sys::process::{self, Code};
use gofer_transport::listener::SocketFile;
use gofer_transport::{Address, Listener, Socket};
use gofer_vfs::{Access, Errno, ReadOnly};

use crate::args::{LogFormat, Settings};
use crate::banner::Banner;
use crate::config::{Config, Listen, Surroundings};
use crate::events::Events;
use crate::report::{self, Failure};
use crate::{export, log, sandbox, signals};

/// Serves what was asked for until told to end, or until nothing is left to serve.
///
/// Until the process is sealed there is one thread. What is opened before, sockets and descriptors that the process
/// was started with, goes on working after; nothing is opened by a path any more.
pub(crate) fn run(settings: Settings) -> Result<(), Failure> {
    let nofile = process::raise_nofile().map_err(|errno| {
        Failure::start(format!("cannot raise the limit of open files: {errno}; see ulimit -Hn"))
    })?;
    let around = Surroundings::of_process(nofile);
    let config = Config::new(settings, &around)?;
    log::start(config.log_level, config.log_format);
    process::clear_umask();
    process::survive_file_limit();
    LocalFs::limit_places(config.places);
    let signals = signals::take().map_err(|error| no_signals(&error))?;
    let ready = config.ready_fd.map(ready).transpose()?;
    let trees = config.exports.iter().map(tree).collect::<Result<_, _>>()?;
    if let Some(format) = config.print_sandbox {
        let (_sealed, report) = sandbox::enter(&config, trees, Vec::new())?;
        return report::print(sandbox::print(&report, format)?.as_bytes());
    }
    let mut doors = config.listen.iter().map(Door::open).collect::<Result<Vec<_>, _>>()?;
    let mut banner = banner(&config, &around, &doors);
    let files = match config.sandbox {
        Strength::None => Vec::new(),
        _ => doors.iter_mut().filter_map(Door::take_file).collect(),
    };
    let colour = report::colour();
    let code = Code::mapped();
    // Where that cannot be, more memory is kept.
    let _ = gofer_sys::alloc::keep_no_large_pieces();
    let (sealed, given_up) = sandbox::enter(&config, trees, files)?;
    banner.sealed(&given_up);
    let exports = config.exports.iter().enumerate();
    let exports =
        exports.map(|(number, export)| open(&sealed, number, export, &config)).collect::<Result<_, _>>()?;
    let events = Arc::new(Events::new());
    let stop = Arc::clone(&events);
    signals::watch(signals, move || stop.put(Event::Stop)).map_err(|error| no_signals(&error))?;
    announce(&banner, &config, colour);
    if let Some(ready) = ready {
        tell(ready, &doors)?;
    }
    let doors = if config.once { first(doors, &events)? } else { doors };
    let server = Server::new(exports, config.limits).map_err(no_thread)?;
    serve(&sealed, &server, doors, config.drain, &events, code)
}

fn no_signals(error: &io::Error) -> Failure {
    Failure::start(format!("cannot take signals: {}; try again", report::errno(error)))
}

/// What the main thread waits for.
enum Event {
    /// A signal asked for the end.
    Stop,
    /// The first connection came, which is to be the only one.
    Came(Result<Door, Failure>),
    /// A connection that the main thread started ended.
    Ended,
}

/// Where connections come from, opened.
enum Door {
    Listener(Listener),
    Connection(Socket, Address),
}

impl Door {
    fn open(listen: &Listen) -> Result<Self, Failure> {
        match listen {
            Listen::At(address) => Listener::bind(address).map(Self::Listener),
            Listen::Activated(number) => Listener::inherited(*number).map(Self::Listener),
            Listen::Connection(number) => {
                Socket::inherited(*number).map(|socket| Self::Connection(socket, Address::Inherited(*number)))
            }
        }
        .map_err(Failure::start)
    }

    /// The file that was made for it.
    fn take_file(&mut self) -> Option<SocketFile> {
        match self {
            Self::Listener(listener) => listener.take_file(),
            Self::Connection(..) => None,
        }
    }

    fn address(&self) -> &Address {
        match self {
            Self::Listener(listener) => listener.address(),
            Self::Connection(_, address) => address,
        }
    }
}

/// The place of an export, looked up once and for all.
fn tree(export: &export::Export) -> Result<Tree, Failure> {
    let place = gofer_sys::walk::open_root(&export.path).map_err(|errno| unusable(export, errno))?;
    let export::Export { path, writable, devices, .. } = export.clone();
    Ok(Tree { path, place, writable, devices })
}

/// What is served of a sealed process's tree.
fn open(
    sealed: &Sealed,
    number: usize,
    export: &export::Export,
    config: &Config,
) -> Result<Export<Access<LocalFs>>, Failure> {
    let (procfd, root) = sealed.tree(number).ok_or_else(|| unusable(export, Errno::ENOENT))?;
    let tree = LocalFs::over(procfd, root).map_err(|errno| unusable(export, errno))?;
    Ok(Export {
        name: export.name.clone(),
        backend: if export.writable { Access::ReadWrite(tree) } else { Access::ReadOnly(ReadOnly(tree)) },
        policy: Policy {
            xattr: config.xattr,
            sockets: config.sockets,
            // 9P names no user for a connection.
            credentials: false,
            fifos: export.fifos,
            strict: export.strict,
            devices: export.devices,
            ids: config.ids,
        },
    })
}

fn unusable(export: &export::Export, errno: Errno) -> Failure {
    let hint = match errno {
        Errno::ENOENT if export.path.to_string_lossy().contains(':') => {
            "check the path (options behind the last ':' are rw, ro, devices, fifos and strict)"
        }
        Errno::ENOENT | Errno::ENOTDIR => "check the path",
        Errno::EACCES => "run the server as a user who can reach it",
        Errno::EPERM => "directories, regular files and sockets are served, no FIFOs and devices",
        Errno::ELOOP => "write the path that the link leads to",
        _ => "choose another path",
    };
    Failure::start(format!("cannot serve {:?}: {errno}; {hint}", export.path))
}

fn banner(config: &Config, around: &Surroundings, doors: &[Door]) -> Banner {
    let places: Vec<_> = config.listen.iter().zip(doors.iter().map(Door::address)).collect();
    Banner::new(config, around, &places)
}

/// Says what is served, in the form the log has.
fn announce(banner: &Banner, config: &Config, colour: bool) {
    match (config.quiet, config.log_format) {
        (true, _) => banner.log_warnings(),
        (false, LogFormat::Json) => banner.log(),
        (false, LogFormat::Text) => {
            // A server that nobody listens to serves all the same.
            let _ = io::stderr().write_all(banner.text(colour).as_bytes());
        }
    }
}

fn ready(number: u32) -> Result<File, Failure> {
    let refused = |errno| {
        format!("--ready-fd {number}: {errno}; the process that starts the server must pass that descriptor")
    };
    process::inherited(number).map(File::from).map_err(|errno| Failure::start(refused(errno)))
}

/// Writes the line that somebody waits for.
fn tell(mut ready: File, doors: &[Door]) -> Result<(), Failure> {
    let addresses: Vec<_> = doors.iter().map(|door| door.address().to_string()).collect();
    ready.write_all(format!("{}\n", addresses.join(" ")).as_bytes()).map_err(|error| {
        let errno = report::errno(&error);
        Failure::start(format!("--ready-fd: cannot write to it: {errno}; keep its other end open"))
    })
}

/// Serves until told to end, or until there can be no more connections. This is the only function that lets
/// clients in, and nobody can call it who has not given up what was to be given up.
fn serve(
    _sealed: &Sealed,
    server: &Arc<Server<Access<LocalFs>>>,
    doors: Vec<Door>,
    drain: Duration,
    events: &Arc<Events<Event>>,
    code: Code,
) -> Result<(), Failure> {
    let mut sources = doors.len();
    for door in doors {
        match door {
            Door::Listener(listener) => server.listen(listener).map_err(no_thread)?,
            Door::Connection(socket, _) => {
                let connection = server.connect(socket).map_err(Failure::running)?;
                let events = Arc::clone(events);
                spawn("connection", move || {
                    connection.wait();
                    events.put(Event::Ended);
                })?;
            }
        }
    }
    // What was called until here is not called again, as a rule.
    gofer_sys::alloc::trim();
    code.forget();
    while sources > 0 {
        match events.next() {
            Event::Ended => sources -= 1,
            Event::Came(..) => {}
            Event::Stop => break,
        }
    }
    let cut = server.drain(drain);
    if cut > 0 {
        tracing::warn!("{cut} connections were cut off before all they had asked for was answered");
    }
    Ok(())
}

/// The connection that is there, or the first that comes, with the doors closed behind it; none when told to
/// end before.
fn first(doors: Vec<Door>, events: &Arc<Events<Event>>) -> Result<Vec<Door>, Failure> {
    let mut waiting = Vec::new();
    for door in doors {
        let Door::Listener(listener) = door else { return Ok(vec![door]) };
        let (acceptor, events) = (listener.acceptor(), Arc::clone(events));
        waiting.push((acceptor, spawn("accept", move || accept(&listener, &events))?));
    }
    let came = match events.next() {
        Event::Came(first) => first.map(|door| vec![door]),
        Event::Stop | Event::Ended => Ok(Vec::new()),
    };
    for (acceptor, thread) in waiting {
        acceptor.stop();
        // It cannot panic, and has nothing to say.
        let _ = thread.join();
    }
    came
}

/// Waits for one connection.
fn accept(listener: &Listener, events: &Events<Event>) {
    let address = listener.address();
    let came = match listener.accept() {
        Ok(Some(socket)) => Ok(Door::Connection(socket, address.clone())),
        Ok(None) => return,
        Err(errno) => {
            Err(Failure::running(format!("cannot accept a connection at {address}: {errno}; try again")))
        }
    };
    // A second one is nobody's.
    events.put(Event::Came(came));
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| no_thread(report::errno(&error)))
}

fn no_thread(errno: Errno) -> Failure {
    Failure::start(format!(
        "cannot start a thread: {errno}; raise the limit on processes of this user (ulimit -u)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Together with what `gofer_jail::Sealed` shows: whoever serves is sealed, or said aloud that nothing is to be
    /// given up.
    #[test]
    fn serving_asks_for_the_proof() {
        type Trees = Arc<Server<Access<LocalFs>>>;
        type Queue = Arc<Events<Event>>;
        type Serve = fn(&Sealed, &Trees, Vec<Door>, Duration, &Queue, Code) -> Result<(), Failure>;
        let _: Serve = serve;
    }
}
