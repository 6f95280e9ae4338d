//! 9P2000.L and its Google extensions: bytes to messages and back
