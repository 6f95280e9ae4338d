//! The system's allocator: [`trim`] and [`keep_no_large_pieces`] have it return what is freed, and [`Counting`] counts,
//! for tests of what a program allocates and keeps.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use gofer_vfs::Result;

use crate::task;

/// Bytes of a piece that is large: more than a request needs that is not for data.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 256 * 1024;

/// Returns memory that was freed to the system. What is freed piece by piece the allocator keeps for later, and
/// on threads other than the first nearly all of it. It takes time with the size of the heap.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer, may be called by any thread at any time, and leaves all memory that
    // is allocated as it is.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// From now on, a large piece that is freed is the system's again at once. By itself the allocator keeps pieces that
/// are no larger than the largest that it has seen freed.
///
/// # Errors
/// `EBUSY` when there is more than one thread, `ENOENT` when there is no `/proc`.
pub fn keep_no_large_pieces() -> Result<()> {
    task::only_thread()?;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes integers, and leaves all memory that is allocated as it is. What it sets is read by
    // whoever allocates, without a lock: that is this thread, the only one, as was checked above.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
    Ok(())
}

/// The system's allocator, counted. A test makes it its own:
///
/// ```
/// use gofer_sys::alloc::Counting;
///
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting::new();
///
/// let before = Counting::allocations_here();
/// drop(Vec::<u8>::with_capacity(10));
/// assert_eq!(Counting::allocations_here() - before, 1);
/// assert!(ALLOCATOR.allocations() > before);
/// ```
#[derive(Debug, Default)]
pub struct Counting {
    allocations: AtomicU64,
    held: AtomicUsize,
}

thread_local! {
    static HERE: Cell<u64> = const { Cell::new(0) };
}

impl Counting {
    /// An allocator that has counted nothing.
    pub const fn new() -> Self {
        Self { allocations: AtomicU64::new(0), held: AtomicUsize::new(0) }
    }

    /// How many allocations there were, reallocations included.
    pub fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::Relaxed)
    }

    /// How many of them this thread made.
    pub fn allocations_here() -> u64 {
        HERE.get()
    }

    /// How many bytes are allocated and not freed.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        // A thread that is ending has no counter any more.
        let _ = HERE.try_with(|here| here.set(here.get() + 1));
    }
}

// SAFETY: every method passes its arguments on to `System`, which keeps the contract, and answers what it
// answers. Counting neither allocates nor unwinds: the counters are atomics, and a constant thread local without
// a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: the caller's promises are those that `System` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size);
        self.held.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; `at` came from `System`, for all that this allocator gives out does.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}
