//! 9P sessions over any Backend
