//! What a project is on AWS.

mod names;

pub use names::{Names, ProjectNames};
