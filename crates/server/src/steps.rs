//! Steps of a path that nobody keeps hold of.

use gofer_vfs::{Attr, Backend, Errno, Name, Result};
use gofer_wire::codec::{List, Str};

/// Shows the attributes of each step from a node, the first name being empty for the node itself, until `show` says
/// that it wants no more or there is nothing.
///
/// # Errors
/// Those of `show` and of the backend, but not `ENOENT`; those of names that are none.
pub(crate) fn stat_steps<B: Backend>(
    backend: &B,
    start: &B::Node,
    names: List<'_, Str<'_>>,
    show: &mut dyn FnMut(&Attr) -> Result<bool>,
) -> Result<()> {
    let mut names = names.into_iter().peekable();
    if names.next_if(|name| name.as_bytes().is_empty()).is_some() && !show(&backend.getattr(start)?)? {
        return Ok(());
    }
    let mut below = None;
    while let Some(name) = names.next() {
        let dir = below.as_ref().unwrap_or(start);
        let name = Name::new(name.as_bytes())?;
        // The last step needs no node to go on from.
        let step = if names.peek().is_some() {
            backend.pass(dir, name).map(|(node, attr)| (Some(node), attr))
        } else {
            backend.lookup(dir, name).map(|attr| (None, attr))
        };
        match step {
            Ok((node, attr)) if show(&attr)? => below = node,
            Ok(_) | Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
