//! A column chunk: arrays of one column flow in, its encoded pages and what the file says of them flow out. For texts and
//! whole numbers, which is nearly all that logs hold; other types are left to the writer of the `parquet` crate, which
//! also writes everything around the chunks.
//!
//! Whether a dictionary is worth it is decided by the first page; whether lengths are stored apart, page by page. Both
//! depend on the values alone.

mod bits;
mod bounds;
mod dictionary;
mod numbers;
mod page;
mod pieces;
#[cfg(test)]
mod tests;
mod texts;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use parquet::basic::Compression;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnDescPtr;

use numbers::Numbers;
use page::Pages;

pub(crate) use pieces::Encoded;
use texts::Texts;

/// Rows of a page.
const PAGE_ROWS: usize = 20_000;

/// Bytes of the values of a page after which it ends with the batch.
const PAGE_BYTES: usize = 1 << 20;

/// Bytes of a dictionary after which further values go without.
const DICTIONARY_BYTES: usize = 1 << 20;

/// A column chunk in the making.
pub(crate) struct Chunk {
    pages: Pages,
    values: Values,
    /// Which rows of the page have a value.
    valid: BooleanBufferBuilder,
    nulls: usize,
}

enum Values {
    Texts(Box<Texts>),
    Numbers(Box<Numbers>),
}

/// The values of one kind, page by page.
trait PageValues {
    /// Values of the page, in bytes, about.
    fn page_bytes(&self) -> usize;
    /// Ends the page.
    fn end_page(&mut self, pages: &mut Pages, rows: page::Rows<'_>) -> Result<(), ParquetError>;
}

impl Values {
    fn get(&mut self) -> &mut dyn PageValues {
        match self {
            Values::Texts(texts) => texts.as_mut(),
            Values::Numbers(numbers) => numbers.as_mut(),
        }
    }
}

impl Chunk {
    /// A chunk of about so many rows of a column of this type, or `None` for types and settings that are left to others.
    pub(crate) fn new(kind: &DataType, column: &ColumnDescPtr, properties: &WriterProperties, rows: u64) -> Option<Chunk> {
        let path = column.path();
        let has_dictionary = properties.dictionary_enabled(path);
        let compression = properties.compression(path);
        if !matches!(compression, Compression::ZSTD(_) | Compression::UNCOMPRESSED) {
            return None;
        }
        let bloom = properties.bloom_filter_properties(path);
        let values = match kind {
            DataType::Utf8 | DataType::Binary => Values::Texts(Box::new(Texts::new(has_dictionary, bloom, rows))),
            DataType::Int32 | DataType::Date32 if bloom.is_none() => Values::Numbers(Box::new(Numbers::new(32, has_dictionary))),
            DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _) if bloom.is_none() => {
                Values::Numbers(Box::new(Numbers::new(64, has_dictionary)))
            }
            _ => return None,
        };
        let pages = Pages::new(column.clone(), compression);
        Some(Chunk { pages, values, valid: BooleanBufferBuilder::new(0), nulls: 0 })
    }

    /// Adds the rows of an array, which has the type of the column or a view of it.
    pub(crate) fn write(&mut self, array: &ArrayRef) -> Result<(), ParquetError> {
        let mut from = 0;
        while from < array.len() {
            let rows = (array.len() - from).min(PAGE_ROWS - self.valid.len());
            self.write_some(&array.slice(from, rows))?;
            from += rows;
        }
        Ok(())
    }

    fn write_some(&mut self, array: &ArrayRef) -> Result<(), ParquetError> {
        match &mut self.values {
            Values::Texts(texts) => match array.data_type() {
                DataType::BinaryView => texts.add_views(array.as_binary_view()),
                DataType::Utf8View => texts.add_views(array.as_string_view()),
                DataType::Utf8 => texts.add(array.as_string::<i32>().iter().flatten().map(str::as_bytes)),
                DataType::Binary => texts.add(array.as_binary::<i32>().iter().flatten()),
                other => return Err(unfit(other)),
            },
            Values::Numbers(numbers) => match array.data_type() {
                DataType::Int32 => numbers.add(array.as_primitive::<Int32Type>(), i64::from),
                DataType::Date32 => numbers.add(array.as_primitive::<Date32Type>(), i64::from),
                DataType::Int64 => numbers.add(array.as_primitive::<Int64Type>(), |number| number),
                DataType::Timestamp(..) => numbers.add(array.as_primitive::<TimestampMicrosecondType>(), |number| number),
                other => return Err(unfit(other)),
            },
        }
        match array.nulls() {
            Some(nulls) => self.valid.append_buffer(nulls.inner()),
            None => self.valid.append_n(array.len(), true),
        }
        self.nulls += array.null_count();
        if self.valid.len() >= PAGE_ROWS || self.values.get().page_bytes() >= PAGE_BYTES {
            self.end_page()?;
        }
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        let rows = page::Rows { valid: self.valid.as_slice(), count: self.valid.len(), nulls: self.nulls };
        self.values.get().end_page(&mut self.pages, rows)?;
        self.valid.truncate(0);
        self.nulls = 0;
        Ok(())
    }

    /// Ends the chunk. Gives its bytes, and what the file says of them.
    pub(crate) fn close(mut self) -> Result<(Encoded, ColumnCloseResult), ParquetError> {
        if !self.valid.is_empty() {
            self.end_page()?;
        }
        match self.values {
            Values::Texts(texts) => texts.close(self.pages),
            Values::Numbers(numbers) => numbers.close(self.pages),
        }
    }
}

fn unfit(kind: &DataType) -> ParquetError {
    ParquetError::External(Box::new(ArrowError::SchemaError(format!("an array of {kind} does not fit its column"))))
}
