//! What spans crates: the program driven from outside, the simulator of the whole protocol, and faults between this code and
//! the servers it talks to.

pub mod faults;
pub mod guarded;
pub mod program;
pub mod promises;
pub mod proxy;
pub mod seed;
pub mod servers;
pub mod simulator;
mod work;
