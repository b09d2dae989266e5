//! The project file: what flows in is JSON or Jsonnet text, what flows out is a checked [`Project`], or every
//! [`Problem`] of the file at once. The `arc` program beside this library is glue around it. Nothing here reads the
//! clock or the environment.
#![deny(missing_docs)]

mod error;
mod file;

pub use error::ProjectError;
pub use file::{Owner, Placement, Problem, Produced, Project};
