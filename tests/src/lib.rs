//! tests.

pub mod program;
