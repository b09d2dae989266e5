//! The workers of Arclake: log objects flow in, Parquet flows out.
//!
//! A conversion goes through small stages, each in the file named for it: [`read`] (stored bytes) → [`decode`]
//! (decompression) → [`lines`] (blocks of whole records) → [`format`](mod@format) (cells) → [`columns`] (arrow arrays) →
//! [`write`](mod@write) (Parquet, staged); the middle three are the crate [`formats`]. [`convert`](mod@convert) joins them. Input that cannot be read is data and becomes a row of
//! the rejects; nothing here panics on it or turns it into an error. Nothing here reads the clock or the environment.
#![deny(missing_docs)]

pub mod committed;
pub mod convert;
mod declared;
mod error;
mod filter;
mod learned;
mod lineage;
pub mod partition;
mod pool;
mod process;
pub mod read;
mod result;
pub mod runner;
mod s3_copy;
pub mod shape;
mod spill;
pub mod sql;
pub mod stored;
mod types;
pub mod workload;
pub mod write;

pub use formats::{again, columns, decode, detect, format, header, lines, parse, reject};

pub use convert::{ConvertJob, ConvertLimits, Progress, Published, Staged, convert};
pub use error::ArcsError;
pub use lineage::{output_columns, reject_columns};
pub use shape::{Shape, Shaping};
