//! [`Report`]: what was achieved.

use crate::Error;

/// What the process has given up.
#[derive(Debug, Default)]
pub struct Report {
    /// Descriptors that were closed.
    pub closed: usize,
    /// The namespaces that are the process's own.
    pub namespaces: &'static [&'static str],
    /// The most descriptors it may hold, for good; `None` where nothing was given up.
    pub limits: Option<u64>,
    /// The capabilities that are left, each with its reason; `None` where they were not looked at.
    pub capabilities: Option<Held>,
    /// The version of Landlock's interface, and the rules.
    pub landlock: Option<(u32, Vec<Rule>)>,
    /// The families of which sockets can be made; `None` where they were not looked at.
    pub families: Option<&'static [&'static str]>,
    /// The system calls that are left, by who makes them.
    pub seccomp: Option<Vec<Operations>>,
    /// Why it is not more, where more was tried.
    pub weaker: Vec<Error>,
}

/// Capabilities.
#[derive(Debug)]
pub struct Held {
    /// Each with what needs it.
    pub kept: Vec<(&'static str, &'static str)>,
    /// Whether the bounding set is empty, too.
    pub bounded: bool,
}

/// What Landlock allows below a tree.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it is.
    pub path: String,
    /// What is allowed.
    pub rights: &'static str,
}

/// The system calls of a module.
#[derive(Debug)]
pub struct Operations {
    /// Its name.
    pub module: &'static str,
    /// The calls, each with how many forms of it are allowed; 0 stands for any arguments.
    pub calls: Vec<(&'static str, usize)>,
}
