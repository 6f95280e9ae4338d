//! Sealing a process that stays the one it is.

use gofer_sys::process;

use crate::{
    Error, Layers, Plan, Report, Rest, Sealed, Weaker, capabilities, descriptors, families, limits,
    namespaces, privileges, root,
};

impl Plan {
    /// As [`enter`](Self::enter) with all layers, in this process, which somebody has started in namespaces of its
    /// own: of processes, network, System V IPC, host name. There is no second process, and of namespaces only another
    /// one of mounts. What cannot be had of the root or of Landlock is left out and told. There must be one thread
    /// only; when something is refused the process must end. Nobody chooses a [`Strength`](crate::Strength) here, and
    /// nobody is told to.
    ///
    /// # Errors
    /// What is refused, why, and what to do.
    pub fn enter_here(self) -> Result<(Sealed, Report), Error> {
        self.seal_here().map_err(Error::without_choice)
    }

    fn seal_here(self) -> Result<(Sealed, Report), Error> {
        const FLAT: Layers = Layers { namespaces: false, users: false, ..Layers::ALL };
        let mut weaker = Weaker { strict: false, reasons: Vec::new() };
        let mut report = Report::default();
        let kept = capabilities::kept(&self);
        process::clear_umask();
        report.closed = descriptors::close()?;
        let (rest, tasks, violation) = (Rest::of(&self), self.tasks, self.violation);
        let entered = namespaces::enter_here()
            .and_then(|own| Ok((own, root::enter(&self.trees, self.tasks, Layers::ALL)?)));
        let sealed = match entered {
            Ok((own, sealed)) => {
                report.namespaces = own;
                sealed
            }
            Err(error) => {
                weaker.reasons.push(error);
                root::enter(&self.trees, self.tasks, FLAT)?
            }
        };
        drop(self.trees);
        report.limits = limits::freeze()?;
        privileges::give_up()?;
        weaker.unless(privileges::refuse_new_code())?;
        report.capabilities = Some(capabilities::reduce(&kept)?);
        match rest.landlock(&sealed, &mut weaker) {
            Ok(restricted) => report.landlock = Some(restricted),
            Err(error) => weaker.reasons.push(error),
        }
        let allowed = families::needed(tasks);
        families::restrict(allowed, violation)?;
        report.families = Some(allowed.names());
        report.seccomp = Some(rest.seccomp(&sealed)?);
        report.weaker = weaker.told();
        Ok((sealed, report))
    }
}
