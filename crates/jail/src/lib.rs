//! What the process gives up before it reads a byte from a client.
//!
//! A [`Plan`] is carried out once, by [`Plan::enter`], in one order, and its end is a [`Sealed`]: whoever serves asks
//! for one. Each step is a file, with its reason and its own refusals:
//!
//! | step | file | afterwards |
//! |---|---|---|
//! | 1 | `descriptors` | nothing that the process was started with is open but what was named |
//! | 2 | `namespaces` | no other process, network or host name can be seen; root is root in here only |
//! | 3 | `root` | the exports are mounts that no path leads to; the root is empty; no namespace can be made |
//! | 4 | `limits` | no limit can be raised; no core dump |
//! | 5 | `privileges` | no rights can be gained; memory is hidden, and none becomes code; the session's keys are gone |
//! | 6 | `capabilities` | of root's rights only those that operations need are left |
//! | 7 | `landlock` | files are opened below the exports only, as each of them allows |
//! | 8 | `families` | no sockets are made but of the families that serving needs |
//! | 9 | `seccomp` | only the system calls that operations make are left |
//!
//! All but `none` make a second process, which is the one that goes on. The first, the keeper, has no part in serving:
//! it passes signals on, waits for the second to end, cleans up and ends in the same way. When a step is refused the
//! second process ends, and nothing half-sealed is left. Step 8 is the keeper's, too, when the second process is sealed.
//!
//! A process that was started in namespaces of its own stays the one it is ([`Plan::enter_here`], file `here`): of step 2
//! its mounts are left to do.

mod capabilities;
mod descriptors;
mod error;
mod families;
mod here;
mod landlock;
mod limits;
mod namespaces;
mod privileges;
mod report;
mod root;
mod seccomp;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use gofer_sys::capability::Capability;
use gofer_sys::families::Families;
use gofer_sys::landlock::Below;
use gofer_sys::namespace::{self, Child, Namespaces, Side};
use gofer_sys::open::ProcFd;
use gofer_sys::process;
use gofer_vfs::Errno;

use seccomp::Needs;

pub use error::{Error, Layer};
pub use gofer_sys::landlock::Abi;
pub use gofer_sys::namespace::{Ended, Users};
pub use gofer_sys::seccomp::Violation;
pub use report::{Held, Operations, Report, Rule};

/// What the two processes say to each other.
const GO: &[u8] = b"go";
const SEALED: &[u8] = b"sealed";
/// The code of a second process that was refused something; the first tells about it.
const REFUSED: i32 = 3;

/// How much is to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    /// As much as this user and kernel can do, but Landlock or namespaces and a filter of system calls at least.
    Auto,
    /// All of it.
    Full,
    /// What needs no namespaces.
    Landlock,
    /// Nothing.
    None,
}

/// The layers that may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Steps 2 and 3.
    pub namespaces: bool,
    /// Of step 2, a namespace of users for root, too. Others have no namespaces without one.
    pub users: bool,
    /// Steps 4 and 5.
    pub privileges: bool,
    /// Step 6.
    pub capabilities: bool,
    /// Step 7.
    pub landlock: bool,
    /// Step 8.
    pub families: bool,
    /// Step 9.
    pub seccomp: bool,
}

impl Layers {
    /// All of them.
    pub const ALL: Self = Self {
        namespaces: true,
        users: true,
        privileges: true,
        capabilities: true,
        landlock: true,
        families: true,
        seccomp: true,
    };
    /// None of them.
    pub const NONE: Self = Self {
        namespaces: false,
        users: false,
        privileges: false,
        capabilities: false,
        landlock: false,
        families: false,
        seccomp: false,
    };
}

impl Strength {
    /// What may be done, the strongest first.
    fn rungs(self) -> &'static [Layers] {
        const FLAT: Layers = Layers { namespaces: false, users: false, ..Layers::ALL };
        const ROOT: Layers = Layers { users: false, ..Layers::ALL };
        const UNLOCKED: Layers = Layers { landlock: false, ..Layers::ALL };
        const ROOT_UNLOCKED: Layers = Layers { landlock: false, ..ROOT };
        match self {
            Self::Auto => &[Layers::ALL, ROOT, UNLOCKED, ROOT_UNLOCKED, FLAT],
            Self::Full => &[Layers::ALL],
            Self::Landlock => &[FLAT],
            Self::None => &[],
        }
    }

    /// Whether it is refused where a layer can be had in part.
    fn is_strict(self) -> bool {
        self != Self::Auto
    }
}

/// A tree that will be served.
#[derive(Debug)]
pub struct Tree {
    /// Where it is.
    pub path: PathBuf,
    /// The place that the path led to when it was checked: a descriptor of it (`O_PATH`), which
    /// `gofer_sys::walk::open_root` makes.
    pub place: OwnedFd,
    /// Clients may change it.
    pub writable: bool,
    /// Clients may make device files in it.
    pub devices: bool,
}

/// What the server will do besides serving files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tasks {
    /// Accept connections.
    pub listen: bool,
    /// Read and, where an export is writable, change extended attributes.
    pub xattrs: bool,
    /// Connect to unix sockets in the exports.
    pub host_sockets: bool,
    /// Make unix sockets in exports that are writable, listen and accept connections there.
    pub new_sockets: bool,
    /// Connect to unix sockets as other users.
    pub credentials: bool,
    /// Rename in ways that only `renameat2(2)` knows.
    pub rename_flags: bool,
    /// Have memory in common with clients.
    pub channels: bool,
    /// Give clients descriptors of files, which they may run.
    pub donate: bool,
    /// Do without any capability, for the user's own rights suffice.
    pub own_rights: bool,
}

/// What is to be given up, and what is needed afterwards.
pub struct Plan {
    /// What will be served.
    pub trees: Vec<Tree>,
    /// What else will be done.
    pub tasks: Tasks,
    /// Which users exist in a namespace of users. Others than [`Users::All`] ask for one.
    pub users: Users,
    /// What becomes of a system call that is not on the list.
    pub violation: Violation,
    /// The newest version of Landlock's interface that is used: [`Abi::NEWEST`], but in tests.
    pub landlock: Abi,
    /// What the keeper does when the second process has ended, and this process when nothing came of it.
    pub at_end: Box<dyn FnOnce(Option<Ended>)>,
}

/// The proof that the process has given up what was asked for, and what it has kept to serve.
///
/// Only a [`Plan`] makes one. It can be neither written down nor copied:
///
/// ```compile_fail,E0063
/// let sealed = gofer_jail::Sealed {};
/// ```
///
/// ```compile_fail,E0277
/// fn any<T: Default>() -> T {
///     T::default()
/// }
/// let sealed: gofer_jail::Sealed = any();
/// ```
///
/// and so what asks for one cannot be called without having given up the rest:
///
/// ```compile_fail,E0061
/// fn serve(_sealed: &gofer_jail::Sealed) {}
/// serve();
/// ```
#[derive(Debug)]
pub struct Sealed {
    procfd: ProcFd,
    roots: Vec<OwnedFd>,
}

impl Sealed {
    /// The root of a tree of the plan, by its place there, and the way to open what is below it: what
    /// `gofer_localfs::LocalFs::over` takes.
    pub fn tree(&self, number: usize) -> Option<(&ProcFd, BorrowedFd<'_>)> {
        self.roots.get(number).map(|root| (&self.procfd, root.as_fd()))
    }
}

impl Plan {
    /// Gives it up. What returns is another process than what called, unless nothing is to be given up or something
    /// is refused: then it is the same, and nothing has changed for it but that inherited descriptors that nobody took
    /// over are closed. There must be one thread only.
    ///
    /// # Errors
    /// What is refused, why, and what to do.
    ///
    /// ```no_run
    /// use gofer_jail::{Abi, Plan, Strength, Tasks, Tree, Users, Violation};
    /// use gofer_localfs::LocalFs;
    ///
    /// let path = std::path::PathBuf::from("/srv/data");
    /// let place = gofer_sys::walk::open_root(&path)?;
    /// // Sockets are bound before, too: afterwards nothing is reached by a path.
    /// let plan = Plan {
    ///     trees: vec![Tree { path, place, writable: false, devices: false }],
    ///     tasks: Tasks { listen: true, channels: true, donate: true, ..Tasks::default() },
    ///     users: Users::All,
    ///     violation: Violation::Kill,
    ///     landlock: Abi::NEWEST,
    ///     at_end: Box::new(|_| ()),
    /// };
    /// let (sealed, report) = plan.enter(Strength::Auto)?;
    /// report.weaker.iter().for_each(|why| eprintln!("{why}"));
    /// let backend = sealed.tree(0).map(|(procfd, root)| LocalFs::over(procfd, root)).transpose()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn enter(self, strength: Strength) -> Result<(Sealed, Report), Error> {
        if strength == Strength::None {
            let procfd = ProcFd::open().map_err(root::no_proc)?;
            let roots = self.trees.into_iter().map(|tree| tree.place).collect();
            return Ok((Sealed { procfd, roots }, Report::default()));
        }
        self.enter_first_of(strength.rungs(), strength.is_strict())
    }

    /// As [`enter`](Self::enter), with chosen layers: to test each of them alone.
    ///
    /// # Errors
    /// As there.
    pub fn enter_with(self, layers: Layers) -> Result<(Sealed, Report), Error> {
        self.enter_first_of(&[layers], false)
    }

    fn enter_first_of(self, rungs: &[Layers], strict: bool) -> Result<(Sealed, Report), Error> {
        let mut refused = Vec::new();
        // Asked before a namespace of users gives rights that are good only inside.
        let kept = capabilities::kept(&self);
        for layers in rungs.iter().filter(|layers| layers.users || self.users == Users::All) {
            let wanted = namespaces::wanted(*layers, &self.trees);
            match self.split(*layers, wanted) {
                Ok(Now::Keeper(child)) => {
                    process::Code::mapped().forget();
                    let ended = child.keep();
                    (self.at_end)(Some(ended));
                    std::process::exit(match ended {
                        Ended::Exit(code) => code,
                        Ended::Signal(_) => 1,
                    });
                }
                Ok(Now::Child(keeper)) => {
                    let sealed = self.seal(*layers, wanted, &kept, Weaker { strict, reasons: refused });
                    let said = match &sealed {
                        Ok(_) => SEALED.to_vec(),
                        Err(error) => error.encode(),
                    };
                    // When the keeper is gone, so is this process.
                    let told = namespace::say(keeper.as_fd(), &said);
                    match (sealed, told) {
                        (Ok(sealed), Ok(())) => return Ok(sealed),
                        _ => std::process::exit(REFUSED),
                    }
                }
                // What stops two rungs is one reason.
                Err(error) if refused.contains(&error) => {}
                Err(error) => refused.push(error),
            }
        }
        (self.at_end)(None);
        // The weakest is the one that would have done.
        let refused = refused.pop().unwrap_or_else(|| error::impossible(Errno::EINVAL));
        Err(match refused.layer {
            _ if strict => refused,
            Layer::Landlock => refused.without_choice().or_fix("see what --sandbox full says of namespaces"),
            _ => refused,
        })
    }

    /// Makes the second process, and waits until it says that it is sealed.
    fn split(&self, layers: Layers, wanted: Namespaces) -> Result<Now, Error> {
        let (keeper_end, child_end) = namespace::pair().map_err(error::impossible)?;
        match namespace::split(wanted).map_err(|errno| namespaces::refused(wanted, errno))? {
            Side::Child => {
                drop(keeper_end);
                // Without the word to go on there is no keeper.
                if namespace::hear(child_end.as_fd(), GO.len()) != GO {
                    std::process::exit(REFUSED);
                }
                Ok(Now::Child(child_end))
            }
            Side::Keeper(child) => {
                drop(child_end);
                // Not before: with a filter comes PR_SET_NO_NEW_PRIVS, and newuidmap(1) would be without its rights.
                let restrict = |()| match layers.families {
                    true => families::restrict(Families::None, self.violation),
                    false => Ok(()),
                };
                let kept =
                    namespaces::let_go(&child, wanted, self.users, keeper_end.as_fd()).and_then(restrict);
                match kept {
                    Ok(()) => Ok(Now::Keeper(child)),
                    Err(error) => {
                        child.end();
                        Err(error)
                    }
                }
            }
        }
    }

    /// The steps, in the second process.
    fn seal(
        self,
        layers: Layers,
        wanted: Namespaces,
        kept: &[(Capability, &'static str)],
        mut weaker: Weaker,
    ) -> Result<(Sealed, Report), Error> {
        let mut report = Report::default();
        // Before anybody asks for it: new files get exactly the mode that is asked for.
        process::clear_umask();
        report.closed = descriptors::close()?;
        report.namespaces = namespaces::enter(wanted)?;
        let quotas = namespaces::quotas(wanted);
        let rest = Rest::of(&self);
        let sealed = root::enter(&self.trees, self.tasks, layers)?;
        // Opened in the old namespace: by `..` they lead to all of it.
        drop(self.trees);
        weaker.unless(namespaces::exhaust(quotas))?;
        if layers.privileges {
            report.limits = limits::freeze()?;
            privileges::give_up()?;
            weaker.unless(privileges::refuse_new_code())?;
        }
        if layers.capabilities {
            report.capabilities = Some(capabilities::reduce(kept)?);
        }
        if layers.landlock {
            report.landlock = Some(rest.landlock(&sealed, &mut weaker)?);
        }
        if layers.families {
            let families = families::needed(self.tasks);
            families::restrict(families, self.violation)?;
            report.families = Some(families.names());
        }
        if layers.seccomp {
            report.seccomp = Some(rest.seccomp(&sealed)?);
        }
        report.weaker = weaker.told();
        Ok((sealed, report))
    }
}

/// What the last steps need to know of a plan, whose trees are gone by then.
struct Rest {
    rules: Vec<(Rule, Below)>,
    newest: Abi,
    needs: Needs,
    violation: Violation,
}

impl Rest {
    fn of(plan: &Plan) -> Self {
        Self {
            rules: plan.trees.iter().map(|tree| landlock::rule(tree, plan.tasks)).collect(),
            newest: plan.landlock,
            needs: Needs::new(&plan.trees, plan.tasks),
            violation: plan.violation,
        }
    }

    fn landlock(&self, sealed: &Sealed, weaker: &mut Weaker) -> Result<(u32, Vec<Rule>), Error> {
        let (abi, rules) = landlock::restrict(&sealed.roots, &self.rules, self.newest)?;
        weaker.unless(landlock::is_complete(abi))?;
        Ok((abi.0, rules))
    }

    fn seccomp(&self, sealed: &Sealed) -> Result<Vec<Operations>, Error> {
        seccomp::install(&self.needs, &sealed.procfd, self.violation)
    }
}

/// What cannot be had, or not all of it.
struct Weaker {
    /// Nothing may be missing.
    strict: bool,
    reasons: Vec<Error>,
}

impl Weaker {
    /// Goes on without a part that this kernel or container does not have, where that may be.
    fn unless(&mut self, had: Result<(), Error>) -> Result<(), Error> {
        match had {
            Err(error) if !self.strict => self.reasons.push(error),
            had => had?,
        }
        Ok(())
    }

    /// What is missing. Who is sealed all the same is not told to ask for less.
    fn told(self) -> Vec<Error> {
        self.reasons.into_iter().map(Error::without_choice).collect()
    }
}

/// Which of two processes this is.
enum Now {
    Keeper(Child),
    Child(OwnedFd),
}
