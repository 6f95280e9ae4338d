//! Servers that lie: every lie costs an error, none a hang, a panic or memory.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod lisafs;
mod p9;
