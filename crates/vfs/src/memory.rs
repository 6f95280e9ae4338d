//! [`MemFs`]: the smallest backend.

/// placeholder
pub struct MemFs;
