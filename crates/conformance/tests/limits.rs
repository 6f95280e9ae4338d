//! What a client may hold, and that all of it comes back.
