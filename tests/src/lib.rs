//! What spans crates: the program driven from outside, and the simulator of the whole protocol.

pub mod program;
pub mod simulator;
