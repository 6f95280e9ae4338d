//! Byte streams and the frames and descriptors that travel on them
