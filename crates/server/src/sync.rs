//! The locks and atomics of what is modelled: the library's, or loom's where a model runs.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gofer-server --release --lib model` runs the models. Each stands beside what
//! it is of: `turn/model.rs`, `p9/fids/model.rs`, `p9/tags/model.rs`.

#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};

#[cfg(all(test, loom))]
pub(crate) use self::modelled::AtomicBool;
#[cfg(all(test, loom))]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize},
};

#[cfg(all(test, loom))]
mod modelled {
    use std::sync::atomic::Ordering;

    use loom::sync::atomic::{self, fence};

    /// loom takes a sequentially consistent access for one that acquires or releases, but knows such fences: one beside
    /// the access makes it what it is.
    #[derive(Debug)]
    pub(crate) struct AtomicBool(atomic::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(atomic::AtomicBool::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> bool {
            Self::fence(order);
            self.0.load(order)
        }

        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.0.store(value, order);
            Self::fence(order);
        }

        pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
            Self::fence(order);
            let old = self.0.swap(value, order);
            Self::fence(order);
            old
        }

        fn fence(order: Ordering) {
            if order == Ordering::SeqCst {
                fence(order);
            }
        }
    }
}
