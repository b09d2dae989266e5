//! Log formats: stored bytes of one object flow in; arrow arrays of rows and of rejects flow out.
//!
//! [`decode`] undoes the compression, [`lines`] cuts bytes into blocks of whole records, [`parse`] reads the records of a block through a
//! [`Grammar`](format::Grammar) into [`columns`], what cannot be read becomes a [`reject`]. Formats live in
//! [`format`](mod@format), a file each. A crate of its own below `arcs/`, so that whoever works on a format compiles it in
//! seconds and fuzzes it without a query engine. No input panics; nothing here reads the clock, files or the environment.
#![deny(missing_docs)]

pub mod again;
pub mod columns;
pub mod decode;
pub mod detect;
mod elements;
pub mod format;
pub mod header;
pub mod lines;
mod octets;
pub mod parse;
pub mod reject;
mod streams;
mod walk;
