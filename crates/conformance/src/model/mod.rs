//! Random operations on two backends at once: whatever one answers, the other has to answer too.
//!
//! Both sides start from a tree that is empty and hold the same things in the same order: places they walked
//! to (also places that were removed since) and files they opened. Each [`Op`] is applied to both; then the
//! answers are compared, and the attributes of all places held, and at the end the two trees.
//!
//! Compared is what every Linux file system agrees on. The size and link count of directories, the space that
//! files take and times nobody set are not; identity is compared as a relation: two places are one file on
//! one side if and only if they are on the other.
//!
//! | file | holds |
//! |---|---|
//! | `op.rs` | [`Op`] and how random ones are made, within a [`Scope`] |
//! | `side.rs` | [`Side`]: one backend, what is held of it, how an [`Op`] is applied |
//! | `tree.rs` | [`Tree`]: everything below a root |

mod op;
mod side;
mod tree;

use std::fmt;

use gofer_vfs::Backend;

pub use self::op::{AttrOp, EntryOp, HoldOp, IoOp, LockOp, Op, Scope, XattrOp, ops};
pub use self::side::{Answer, Look, Side};
pub use self::tree::{Leaf, Tree};

/// Where two backends came apart.
#[derive(Debug)]
pub struct Difference {
    /// The number of the operation.
    pub step: usize,
    /// What was compared.
    pub what: String,
    /// The first backend's answer.
    pub left: String,
    /// The second's.
    pub right: String,
}

impl Difference {
    fn check<T: fmt::Debug + PartialEq>(
        step: usize,
        what: impl fmt::Debug,
        left: &T,
        right: &T,
    ) -> Result<(), Self> {
        if left == right {
            return Ok(());
        }
        Err(Self { step, what: format!("{what:?}"), left: format!("{left:?}"), right: format!("{right:?}") })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, what, left, right } = self;
        write!(f, "operation {step}: {what}\n  left:  {left}\n  right: {right}")
    }
}

impl std::error::Error for Difference {}

/// Applies the operations to two backends whose roots are empty.
///
/// # Errors
/// The first difference.
pub fn run<A: Backend, B: Backend>(a: &A, b: &B, ops: &[Op]) -> Result<(), Difference> {
    let (mut left, mut right) = match (Side::new(a), Side::new(b)) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => return Difference::check(0, "attach", &left.map(drop), &right.map(drop)),
    };
    for (step, op) in ops.iter().enumerate() {
        Difference::check(step, op, &left.apply(op), &right.apply(op))?;
        Difference::check(step, ("the places held after", op), &left.looks(), &right.looks())?;
    }
    let left = Tree::read(a).map(|tree| tree.into_looks(left.server));
    let right = Tree::read(b).map(|tree| tree.into_looks(right.server));
    Difference::check(ops.len(), "the whole tree", &left, &right)
}
