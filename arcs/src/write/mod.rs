//! Arrays flow in, Parquet files flow out, staged: every byte is in the store before any file can be read. Columns of a
//! row group are encoded side by side on the pool; what a file holds depends on the rows alone, never on threads.

mod chunk;
mod encode;
mod sorted;
mod stage;
mod table;

pub(crate) use sorted::{Sort, SortedTable};
pub use stage::StagedFile;
pub(crate) use stage::{FileSink, Stage};
pub(crate) use table::{Batch, BatchFacts, Finished, Stored, Table, TableContext, TableSchema};

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

/// Where a sink's files go.
#[derive(Clone, Debug)]
pub struct Target {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The folder in that store.
    pub base: Path,
    /// The folder's URI, with a slash at its end; a file's URI is this and its relative path.
    pub uri_base: String,
}

impl Target {
    /// The path of a file of this sink. `relative` stands as it is: partition folders and lots, or a
    /// copied object's path that has been looked at; never log content.
    pub fn path(&self, relative: &str) -> Path {
        let relative = Path::parse(relative).unwrap_or_else(|_| Path::from(relative));
        self.base.parts().chain(relative.parts()).collect()
    }

    /// The URI of a file of this sink.
    pub fn uri(&self, relative: &str) -> String {
        format!("{}{relative}", self.uri_base)
    }
}

/// How files are cut and encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Text that goes into a row group, in bytes; the row group itself is a fraction of it.
    pub row_group_text_bytes: usize,
    /// Text that goes into a file before the next part starts, in bytes.
    pub part_text_bytes: u64,
    /// How pages are compressed.
    pub codec: Codec,
    /// Zstd level, 1 to 22.
    pub zstd_level: i32,
}

/// A compression of Parquet pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Zstandard, at the level of the options.
    #[default]
    Zstd,
    /// Snappy.
    Snappy,
    /// None.
    None,
}

impl Default for WriteOptions {
    /// Row groups of 96 MiB of text, parts of 4 GiB of text (roughly 400 MiB of Parquet), zstd 1.
    fn default() -> Self {
        WriteOptions { row_group_text_bytes: 96 << 20, part_text_bytes: 4 << 30, codec: Codec::default(), zstd_level: 1 }
    }
}
