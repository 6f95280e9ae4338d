//! Step 9: the system calls that the operations of this server make, in the forms in which they make them, and no
//! other. The list is what the modules of `gofer-sys` say, less what this configuration does not do.

use std::collections::BTreeMap;

use gofer_sys::open::ProcFd;
use gofer_sys::seccomp::{Call, Need, Violation, install as install_filter};

use crate::report::Operations;
use crate::{Error, Layer, Tasks, Tree, error};

/// What a configuration does.
#[derive(Debug)]
pub(crate) struct Needs {
    writable: bool,
    devices: bool,
    tasks: Tasks,
}

impl Needs {
    pub(crate) fn new(trees: &[Tree], tasks: Tasks) -> Self {
        Self {
            writable: trees.iter().any(|tree| tree.writable),
            devices: trees.iter().any(|tree| tree.devices),
            tasks,
        }
    }

    /// Whether a call is made, on a kernel with these system calls.
    fn has(&self, need: Need, fchmodat2: bool, xattrat: bool) -> bool {
        let Self { writable, devices, tasks } = *self;
        match need {
            Need::Always => true,
            Need::Start => false,
            Need::Listen => tasks.listen,
            Need::Write => writable,
            Need::Devices => devices,
            Need::Xattr => tasks.xattrs && xattrat,
            Need::XattrWrite => tasks.xattrs && xattrat && writable,
            Need::OldXattr => tasks.xattrs && !xattrat,
            Need::OldXattrWrite => tasks.xattrs && !xattrat && writable,
            Need::OldChmod => writable && !fchmodat2,
            Need::Within => tasks.host_sockets || tasks.new_sockets || (tasks.xattrs && !xattrat),
            Need::HostSockets => tasks.host_sockets,
            Need::NewSockets => tasks.new_sockets && writable,
            Need::Credentials => tasks.credentials,
            Need::RenameFlags => tasks.rename_flags && writable,
            Need::Channels => tasks.channels,
            Need::ChannelsWrite => tasks.channels && writable,
        }
    }
}

/// The calls that are left, by module.
fn list(needs: &Needs, fchmodat2: bool, xattrat: bool) -> Vec<(&'static str, Vec<&'static Call>)> {
    let made = |call: &&Call| needs.has(call.need, fchmodat2, xattrat);
    let modules = gofer_sys::SYSCALLS.iter();
    let modules = modules.map(|(module, calls)| (*module, calls.iter().filter(made).collect::<Vec<_>>()));
    modules.filter(|(_, calls)| !calls.is_empty()).collect()
}

pub(crate) fn install(
    needs: &Needs,
    procfd: &ProcFd,
    violation: Violation,
) -> Result<Vec<Operations>, Error> {
    let list = list(needs, procfd.has_fchmodat2(), procfd.has_xattrat());
    install_filter(list.iter().flat_map(|(_, calls)| calls.iter().copied()), procfd, violation)
        .map_err(|errno| error::no_filter(Layer::Seccomp, "filtering system calls", errno))?;
    Ok(list.into_iter().map(|(module, calls)| operations(module, &calls)).collect())
}

fn operations(module: &'static str, calls: &[&Call]) -> Operations {
    let mut forms: BTreeMap<&'static str, usize> = BTreeMap::new();
    for call in calls {
        *forms.entry(call.name).or_default() += usize::from(!call.when.is_empty());
    }
    Operations { module, calls: forms.into_iter().collect() }
}
