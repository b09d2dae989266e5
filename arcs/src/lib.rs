//! The workers of Arclake: log objects flow in, Parquet flows out.
//!
//! A conversion goes through small stages, each in the file named for it: [`read`] (stored bytes) → [`decode`]
//! (decompression) → [`lines`] (blocks of whole lines) → [`format`](mod@format) (cells) → [`columns`] (arrow arrays) →
//! [`write`](mod@write) (Parquet, staged). [`convert`](mod@convert) joins them. Input that cannot be read is data and becomes a row of
//! the rejects; nothing here panics on it or turns it into an error. Nothing here reads the clock or the environment.
#![deny(missing_docs)]

pub mod columns;
pub mod committed;
pub mod convert;
mod declared;
pub mod decode;
mod error;
mod filter;
pub mod format;
mod lineage;
pub mod lines;
pub mod parse;
pub mod partition;
mod pool;
mod process;
pub mod read;
pub mod reject;
mod result;
pub mod runner;
mod spill;
pub mod sql;
pub mod workload;
pub mod write;

pub use convert::{ConvertJob, ConvertLimits, Progress, Published, Staged, convert};
pub use error::ArcsError;
pub use lineage::{output_columns, reject_columns};
