//! Pages as they stand in the file: values flow in, compressed pages with their headers and their entries in the indexes
//! flow out.

use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::reader::Length;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::pieces::{Encoded, Pieces};
use super::{PAGE_ROWS, bits};

/// Bytes that what stands before the values of a page takes at most: its length, and a bit a row with a byte for every
/// 63 of these bytes.
pub(super) const LEVELS_BYTES: usize = 64 + PAGE_ROWS / 8 + PAGE_ROWS / (8 * 63);

/// Entries of the table of level 1, as a power of two; each has 4 bytes.
const FAST_HASH_LOG: u32 = 12;

thread_local! {
    /// The thread's compressor, with its level and what it writes to: their memory is worth keeping.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>, Vec<u8>)>> = const { RefCell::new(None) };
}

/// The rows of a page.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// A bit for each, from the lowest of the first byte on: whether it has a value.
    pub valid: &'a [u8],
    /// How many.
    pub count: usize,
    /// How many have no value.
    pub nulls: usize,
}

/// What is said of the values of a page beside themselves.
pub(super) struct Facts {
    /// The least and the greatest, as the index has them; `None` where all are null.
    pub bounds: Option<(Vec<u8>, Vec<u8>)>,
    /// Bytes of the texts, without their lengths.
    pub text_bytes: Option<i64>,
}

/// What is said of all values of a chunk.
pub(super) struct Summary {
    /// The dictionary page, and its values.
    pub dictionary: Option<(Vec<u8>, usize)>,
    /// The least and greatest value, and nulls, as planners read them.
    pub statistics: Statistics,
    /// The order of the pages' bounds.
    pub order: BoundaryOrder,
    /// The Bloom filter.
    pub bloom_filter: Option<Sbbf>,
}

/// The data pages of a chunk so far.
pub(super) struct Pages {
    column: ColumnDescPtr,
    compression: Compression,
    written: TrackedWrite<Pieces>,
    uncompressed: usize,
    rows: usize,
    nulls: usize,
    text_bytes: Option<i64>,
    encodings: Vec<(Encoding, i32)>,
    index: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
    body: Vec<u8>,
}

impl Pages {
    pub(super) fn new(column: ColumnDescPtr, compression: Compression) -> Pages {
        Pages {
            compression,
            written: TrackedWrite::new(Pieces::default()),
            uncompressed: 0,
            rows: 0,
            nulls: 0,
            text_bytes: None,
            encodings: Vec::new(),
            index: ColumnIndexBuilder::new(column.physical_type()),
            offsets: OffsetIndexBuilder::new(),
            body: Vec::new(),
            column,
        }
    }

    /// Values that are null so far.
    pub(super) fn nulls(&self) -> usize {
        self.nulls
    }

    /// Adds a data page.
    pub(super) fn add(&mut self, rows: Rows<'_>, encoding: Encoding, values: &[u8], facts: Facts) -> Result<(), ParquetError> {
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        bits::levels(rows.valid, rows.count, rows.nulls, &mut body);
        body.extend_from_slice(values);
        self.add_body(rows, encoding, &body, facts)?;
        self.body = body;
        Ok(())
    }

    /// Adds a data page whose values stand after [`LEVELS_BYTES`] free bytes, which are used for what comes before them.
    pub(super) fn add_in_place(&mut self, rows: Rows<'_>, encoding: Encoding, values: &mut [u8], facts: Facts) -> Result<(), ParquetError> {
        self.body.clear();
        bits::levels(rows.valid, rows.count, rows.nulls, &mut self.body);
        let Some(start) = LEVELS_BYTES.checked_sub(self.body.len()) else {
            let values = values[LEVELS_BYTES..].to_vec();
            return self.add(rows, encoding, &values, facts);
        };
        values[start..LEVELS_BYTES].copy_from_slice(&self.body);
        self.add_body(rows, encoding, &values[start..], facts)
    }

    fn add_body(&mut self, rows: Rows<'_>, encoding: Encoding, body: &[u8], facts: Facts) -> Result<(), ParquetError> {
        let spec = with_compressed(self.compression, body, |buf| {
            let (def_level_encoding, rep_level_encoding) = (Encoding::RLE, Encoding::RLE);
            let num_values = rows.count as u32;
            let page = Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, statistics: None };
            SerializedPageWriter::new(&mut self.written).write_page(CompressedPage::new(page, body.len()))
        })?;
        self.uncompressed += spec.uncompressed_size;
        self.offsets.append_row_count(rows.count as i64);
        self.offsets.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
        self.offsets.append_unencoded_byte_array_data_bytes(facts.text_bytes);
        let is_null = facts.bounds.is_none();
        let (least, greatest) = facts.bounds.unwrap_or_default();
        self.index.append(is_null, least, greatest, rows.nulls as i64);
        self.rows += rows.count;
        self.nulls += rows.nulls;
        if let Some(bytes) = facts.text_bytes {
            *self.text_bytes.get_or_insert(0) += bytes;
        }
        match self.encodings.last_mut() {
            Some((last, count)) if *last == encoding => *count += 1,
            _ => self.encodings.push((encoding, 1)),
        }
        Ok(())
    }

    /// Ends the chunk.
    pub(super) fn close(mut self, summary: Summary) -> Result<(Encoded, ColumnCloseResult), ParquetError> {
        let data = self.written.into_inner()?;
        let mut first = TrackedWrite::new(Pieces::default());
        let mut stats: Vec<PageEncodingStats> = Vec::new();
        if let Some((plain, count)) = &summary.dictionary {
            let spec = with_compressed(self.compression, plain, |buf| {
                let page = Page::DictionaryPage { buf, num_values: *count as u32, encoding: Encoding::PLAIN, is_sorted: false };
                SerializedPageWriter::new(&mut first).write_page(CompressedPage::new(page, plain.len()))
            })?;
            self.uncompressed += spec.uncompressed_size;
            stats.push(PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 });
        }
        for (encoding, count) in self.encodings {
            let page_type = PageType::DATA_PAGE;
            match stats.iter_mut().find(|known| (known.page_type, known.encoding) == (page_type, encoding)) {
                Some(known) => known.count += count,
                None => stats.push(PageEncodingStats { page_type, encoding, count }),
            }
        }
        let mut bytes = first.into_inner()?;
        let before = bytes.len() as i64;
        bytes.append(data);
        let mut offset_index = self.offsets.build();
        offset_index.page_locations.iter_mut().for_each(|location| location.offset += before);
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(self.compression)
            .set_encodings(stats.iter().map(|stats| stats.encoding).chain([Encoding::RLE]).collect())
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(before)
            .set_dictionary_page_offset(summary.dictionary.is_some().then_some(0))
            .set_unencoded_byte_array_data_bytes(self.text_bytes)
            .set_statistics(summary.statistics)
            .build()?;
        self.index.set_boundary_order(summary.order);
        let closed = ColumnCloseResult {
            bytes_written: bytes.len(),
            rows_written: self.rows as u64,
            metadata,
            bloom_filter: summary.bloom_filter,
            column_index: Some(self.index.build()?),
            offset_index: Some(offset_index),
        };
        Ok((bytes.into(), closed))
    }
}

/// Lets `write` have bytes as they stand in the file. What they were written to is kept for the next ones.
fn with_compressed<T>(
    compression: Compression,
    bytes: &[u8],
    write: impl FnOnce(Bytes) -> Result<T, ParquetError>,
) -> Result<T, ParquetError> {
    let Compression::ZSTD(level) = compression else { return write(Bytes::copy_from_slice(bytes)) };
    let level = level.compression_level();
    COMPRESSOR.with_borrow_mut(|mine| {
        let (_, compressor, scratch) = match mine {
            Some(mine) if mine.0 == level => mine,
            _ => mine.insert((level, compressor(level)?, Vec::new())),
        };
        scratch.clear();
        scratch.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        compressor.compress_to_buffer(bytes, scratch)?;
        let compressed = Bytes::from(std::mem::take(scratch));
        let written = write(compressed.clone());
        if let Ok(mut back) = compressed.try_into_mut() {
            back.clear();
            *scratch = back.into();
        }
        written
    })
}

/// Level 1 looks up what it has seen in a table of 64 KiB. One of 16 KiB stays in the nearest cache, which takes a tenth less time and
/// finds nearly all that the larger one does in the values of one column.
fn compressor(level: i32) -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    if level == 1 {
        compressor.set_parameter(CParameter::HashLog(FAST_HASH_LOG))?;
    }
    Ok(compressor)
}
