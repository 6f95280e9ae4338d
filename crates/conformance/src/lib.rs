//! The contract as tests: every backend, protocol and transport
