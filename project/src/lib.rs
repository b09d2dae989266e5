//! The project file: what flows in is JSON or Jsonnet text, what flows out is a checked [`Project`], or every
//! [`Problem`] of the file at once. The `arc` program beside this library is glue around it. Nothing here reads the
//! clock or the environment.
#![deny(missing_docs)]

pub mod athena;
pub mod columns;
mod error;
mod file;
pub mod forms;
mod jsonnet;
mod load;
mod moment;
pub mod synth;
mod verify;

pub use error::ProjectError;
pub use file::{Owner, Placement, Problem, Produced, Project};
pub use jsonnet::{EVALUATION_DEPTH_MAX, EVALUATION_SECONDS_MAX, Origin, PROJECT_BYTES_MAX, render};
pub use load::load;
pub use moment::{parse_length, parse_moment};
pub use verify::{judge, judge_placement, nearest};
