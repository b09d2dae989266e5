//! What spans crates, a file an area; one binary, since each links the whole program.

mod aws;
mod bad_input;
mod crash;
mod docker;
mod faults;
mod helm;
mod pipeline;
mod readers;
mod readme;
mod roles;
mod schema;
mod shaping;
mod simulator;
mod synth;
