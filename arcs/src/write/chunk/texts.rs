//! The values of a column of texts.

use arrow::array::builder::make_view;
use arrow::array::{Array, GenericByteViewArray};
use arrow::datatypes::ByteViewType;
use parquet::basic::{BoundaryOrder, Encoding};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::properties::BloomFilterProperties;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::bounds::{Bounds, cut_above, cut_below};
use super::dictionary::{self, Key, LENGTH_BYTES, push_plain};
use super::page::{Facts, LEVELS_BYTES, Pages, Rows, Summary};
use super::pieces::Encoded;
use super::{DICTIONARY_BYTES, PageValues, bits};

/// Bytes of a text that statistics and the page index keep.
const BOUND_BYTES: usize = 64;

/// Values whose texts are fetched together.
const AHEAD: usize = 32;

/// Values that a Bloom filter is made for at least: the first rows of a row group may be longer than the others, and it
/// shrinks to what it has.
const BLOOM_VALUES_MIN: u64 = 1 << 14;

/// Values in a page for each different one, on average, from which on a dictionary is worth it.
const REPEATS_MIN: usize = 4;

/// Texts, page by page.
pub(super) struct Texts {
    dictionary: dictionary::Texts,
    /// Whether values go to the dictionary.
    is_dictionary: bool,
    /// Whether that is settled: a page with values has ended.
    is_decided: bool,
    /// The places of the page's values in the dictionary.
    places: Vec<u32>,
    /// The page of each entry of the dictionary that it was last seen in.
    seen: Vec<u32>,
    page: u32,
    /// The page's values where there is no dictionary: length, then bytes; before them room for the levels.
    plain: Vec<u8>,
    /// How many.
    count: usize,
    page_bounds: Bounds,
    bounds: Bounds,
    bloom_filter: Option<(Sbbf, f64)>,
    scratch: Vec<u8>,
}

impl Texts {
    /// With a dictionary, if it is worth it, and a Bloom filter for about so many rows, if there are properties of one.
    pub(super) fn new(has_dictionary: bool, bloom: Option<&BloomFilterProperties>, rows: u64) -> Texts {
        let filter = |bloom: &BloomFilterProperties| {
            let values = bloom.ndv().min(rows.max(BLOOM_VALUES_MIN));
            Some((Sbbf::new_with_ndv_fpp(values, bloom.fpp()).ok()?, bloom.fpp()))
        };
        Texts {
            dictionary: dictionary::Texts::default(),
            is_dictionary: has_dictionary,
            is_decided: !has_dictionary,
            places: Vec::new(),
            seen: Vec::new(),
            page: 0,
            plain: vec![0; LEVELS_BYTES],
            count: 0,
            page_bounds: Bounds::default(),
            bounds: Bounds::default(),
            bloom_filter: bloom.and_then(filter),
            scratch: Vec::new(),
        }
    }

    /// Adds the values of views; equal views are equal texts.
    pub(super) fn add_views<T: ByteViewType>(&mut self, array: &GenericByteViewArray<T>)
    where
        T::Native: AsRef<[u8]>,
    {
        if !self.is_dictionary {
            return self.add(array.iter().flatten().map(AsRef::as_ref));
        }
        let mut keys = [Key::default(); AHEAD];
        let mut last = None;
        let views = array.views();
        for start in (0..array.len()).step_by(AHEAD) {
            let rows = start..array.len().min(start + AHEAD);
            // The texts have left the cache since they were read: they are fetched together, not one after the other.
            for (key, row) in keys.iter_mut().zip(rows.clone()) {
                *key = Key::of(views[row], array.value(row).as_ref());
            }
            for row in rows.filter(|row| array.is_valid(*row)) {
                let view = views[row];
                let place = match last {
                    Some((known, place)) if known == view => place,
                    _ => self.dictionary.place(keys[row - start], array.value(row).as_ref()),
                };
                last = Some((view, place));
                self.places.push(place);
            }
        }
    }

    /// Adds values.
    pub(super) fn add<'a>(&mut self, texts: impl Iterator<Item = &'a [u8]> + Clone) {
        if self.is_dictionary {
            texts.for_each(|text| self.places.push(self.dictionary.place(Key::of(make_view(text, 0, 0), text), text)));
            return;
        }
        let (mut ahead, mut fetched) = (texts.clone(), 0);
        for text in texts.clone() {
            if fetched == 0 {
                fetch(ahead.by_ref().take(AHEAD));
                fetched = AHEAD;
            }
            fetched -= 1;
            push_plain(text, &mut self.plain);
            self.page_bounds.add(text);
            self.count += 1;
        }
        // Apart from the rest, so that the places in the filter, which are far from each other, are fetched together.
        if let Some((filter, _)) = &mut self.bloom_filter {
            texts.for_each(|text| filter.insert(text));
        }
    }

    /// Whether the dictionary is worth it, as far as the page shows.
    fn is_worth_it(&self) -> bool {
        self.dictionary.len() * REPEATS_MIN <= self.places.len()
    }

    /// Ends a page whose values are in the dictionary.
    fn end_dictionary_page(&mut self, pages: &mut Pages, rows: Rows<'_>) -> Result<(), ParquetError> {
        self.is_decided = true;
        self.page += 1;
        self.seen.resize(self.dictionary.len(), 0);
        let mut text_bytes = 0;
        for place in &self.places {
            let text = self.dictionary.get(*place);
            text_bytes += text.len();
            let seen = &mut self.seen[*place as usize];
            if *seen != self.page {
                *seen = self.page;
                self.page_bounds.add(text);
            }
        }
        let width = bits::width((self.dictionary.len() as u64).saturating_sub(1));
        self.scratch.clear();
        self.scratch.push(width as u8);
        bits::hybrid(&self.places, width, &mut self.scratch);
        let facts = self.facts(text_bytes);
        pages.add(rows, Encoding::RLE_DICTIONARY, &self.scratch, facts)?;
        self.places.clear();
        // What comes after goes without where the dictionary is full.
        self.is_dictionary = self.dictionary.plain().len() < DICTIONARY_BYTES;
        Ok(())
    }

    /// Ends a page whose values stand for themselves. Where all are of one length, lengths are stored apart.
    fn end_plain_page(&mut self, pages: &mut Pages, rows: Rows<'_>) -> Result<(), ParquetError> {
        let facts = self.facts(self.values().len() - self.count * LENGTH_BYTES);
        match self.one_length() {
            Some(len) if self.count > 1 => {
                self.scratch.clear();
                bits::differences(&vec![len as i64; self.count], i32::BITS, &mut self.scratch);
                let texts = self.plain[LEVELS_BYTES..].chunks(LENGTH_BYTES + len).map(|text| &text[LENGTH_BYTES..]);
                texts.for_each(|text| self.scratch.extend_from_slice(text));
                pages.add(rows, Encoding::DELTA_LENGTH_BYTE_ARRAY, &self.scratch, facts)?;
            }
            _ => pages.add_in_place(rows, Encoding::PLAIN, &mut self.plain, facts)?,
        }
        self.is_decided = true;
        self.plain.truncate(LEVELS_BYTES);
        self.count = 0;
        Ok(())
    }

    /// The page's values where there is no dictionary.
    fn values(&self) -> &[u8] {
        &self.plain[LEVELS_BYTES..]
    }

    /// The length of all values of the page, if they have the same.
    fn one_length(&self) -> Option<usize> {
        let length: [u8; LENGTH_BYTES] = *self.values().first_chunk()?;
        let len = u32::from_le_bytes(length) as usize;
        let is_same = self.values().len() == self.count * (LENGTH_BYTES + len);
        (is_same && self.values().chunks(LENGTH_BYTES + len).all(|text| text.starts_with(&length))).then_some(len)
    }

    fn facts(&mut self, text_bytes: usize) -> Facts {
        let page = std::mem::take(&mut self.page_bounds);
        let bounds = page.get().map(|(least, greatest)| {
            self.bounds.add(least);
            self.bounds.add(greatest);
            (cut_below(least, BOUND_BYTES).0, cut_above(greatest, BOUND_BYTES).0)
        });
        Facts { bounds, text_bytes: Some(text_bytes as i64) }
    }

    /// Ends the chunk.
    pub(super) fn close(self, pages: Pages) -> Result<(Encoded, ColumnCloseResult), ParquetError> {
        let nulls = Some(pages.nulls() as u64);
        let statistics = match self.bounds.get() {
            Some((least, greatest)) => {
                let ((least, is_least), (greatest, is_greatest)) = (cut_below(least, BOUND_BYTES), cut_above(greatest, BOUND_BYTES));
                ValueStatistics::new(Some(least.into()), Some(greatest.into()), None, nulls, false)
                    .with_min_is_exact(is_least)
                    .with_max_is_exact(is_greatest)
            }
            None => ValueStatistics::new(None, None, None, nulls, false),
        };
        let (dictionary, filter) = (self.dictionary, self.bloom_filter);
        let count = dictionary.len();
        let bloom_filter = filter.map(|(mut filter, false_positives)| {
            (0..count as u32).for_each(|place| filter.insert(dictionary.get(place)));
            filter.fold_to_target_fpp(false_positives);
            filter
        });
        pages.close(Summary {
            dictionary: (count > 0).then(|| (dictionary.plain().to_vec(), count)),
            statistics: Statistics::ByteArray(statistics),
            order: BoundaryOrder::UNORDERED,
            bloom_filter,
        })
    }
}

/// Brings texts into the cache: reads that do not wait for each other, before copies that would.
fn fetch<'a>(texts: impl Iterator<Item = &'a [u8]>) {
    let ends = texts.map(|text| text.first().unwrap_or(&0) ^ text.last().unwrap_or(&0));
    std::hint::black_box(ends.fold(0, |seen, end| seen ^ end));
}

impl PageValues for Texts {
    /// With a dictionary, its bytes: a page ends where it is full, so that no page's values can make it grow without bound.
    fn page_bytes(&self) -> usize {
        if self.is_dictionary { self.dictionary.plain().len() } else { self.values().len() }
    }

    fn end_page(&mut self, pages: &mut Pages, rows: Rows<'_>) -> Result<(), ParquetError> {
        if rows.nulls == rows.count {
            let facts = self.facts(0);
            return pages.add(rows, Encoding::PLAIN, &[], facts);
        }
        if self.is_dictionary && !self.is_decided && !self.is_worth_it() {
            let (dictionary, places) = (std::mem::take(&mut self.dictionary), std::mem::take(&mut self.places));
            self.is_dictionary = false;
            self.add(places.iter().map(|place| dictionary.get(*place)));
        }
        match self.is_dictionary {
            true => self.end_dictionary_page(pages, rows),
            false => self.end_plain_page(pages, rows),
        }
    }
}
