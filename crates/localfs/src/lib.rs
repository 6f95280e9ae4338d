//! Host files behind the Backend contract
