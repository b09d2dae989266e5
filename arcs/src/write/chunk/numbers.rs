//! The values of a column of whole numbers.

use arrow::array::{Array, ArrowPrimitiveType, PrimitiveArray};
use parquet::basic::{BoundaryOrder, Encoding};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::page::{Facts, Pages, Rows, Summary};
use super::pieces::Encoded;
use super::{DICTIONARY_BYTES, PageValues, bits, dictionary};

/// How much a dictionary weighs on the first page against what it is to serve: as much as half of it.
const DICTIONARY_SHARE: usize = 2;

/// Numbers of 32 or 64 bits.
pub(super) struct Numbers {
    bits: u32,
    dictionary: dictionary::Numbers,
    /// Whether numbers go to the dictionary.
    is_dictionary: bool,
    /// Whether that is settled: a page with values has ended.
    is_decided: bool,
    /// The places of the page's numbers in the dictionary.
    places: Vec<u32>,
    /// The page's numbers where there is no dictionary.
    numbers: Vec<i64>,
    page_bounds: Option<(i64, i64)>,
    bounds: Option<(i64, i64)>,
    /// The pages' bounds, as long as each page's are not below those before it.
    ascending: Option<(i64, i64)>,
    is_ascending: bool,
    scratch: Vec<u8>,
}

impl Numbers {
    /// With a dictionary, if it is worth it.
    pub(super) fn new(bits: u32, has_dictionary: bool) -> Numbers {
        Numbers {
            bits,
            dictionary: dictionary::Numbers::default(),
            is_dictionary: has_dictionary,
            is_decided: !has_dictionary,
            places: Vec::new(),
            numbers: Vec::new(),
            page_bounds: None,
            bounds: None,
            ascending: None,
            is_ascending: true,
            scratch: Vec::new(),
        }
    }

    /// Adds the numbers of an array.
    pub(super) fn add<T: ArrowPrimitiveType>(&mut self, array: &PrimitiveArray<T>, number: impl Fn(T::Native) -> i64) {
        let values = array.values();
        let (mut least, mut most) = self.page_bounds.unwrap_or((i64::MAX, i64::MIN));
        let mut add = |row: usize| {
            let number = number(values[row]);
            (least, most) = (least.min(number), most.max(number));
            match self.is_dictionary {
                true => self.places.push(self.dictionary.place(number)),
                false => self.numbers.push(number),
            }
        };
        match array.nulls() {
            Some(nulls) => nulls.valid_indices().for_each(&mut add),
            None => (0..array.len()).for_each(&mut add),
        }
        self.page_bounds = (least <= most).then_some((least, most));
    }

    /// Whether the dictionary is worth it, as far as the page shows; if not, `numbers` are the page's.
    fn is_worth_it(&mut self) -> bool {
        let (least, most) = self.page_bounds.unwrap_or_default();
        let numbers = self.dictionary.all();
        let number_bytes = bits::width(most.wrapping_sub(least) as u64).div_ceil(8) as usize;
        let place_bits = bits::width(numbers.len() as u64) as usize;
        let with = numbers.len() * number_bytes / DICTIONARY_SHARE + self.places.len() * place_bits / 8;
        let values: Vec<i64> = self.places.iter().map(|place| numbers[*place as usize]).collect();
        self.scratch.clear();
        bits::differences(&values, self.bits, &mut self.scratch);
        if with <= self.scratch.len() {
            return true;
        }
        self.numbers = values;
        false
    }

    fn as_bytes(&self, number: i64) -> Vec<u8> {
        number.to_le_bytes()[..self.bits as usize / 8].to_vec()
    }

    fn facts(&mut self) -> Facts {
        let page = self.page_bounds.take();
        if let Some((least, most)) = page {
            self.bounds = Some(self.bounds.map_or((least, most), |(all_least, all_most)| (all_least.min(least), all_most.max(most))));
            self.is_ascending &= self.ascending.is_none_or(|before| before.0 <= least && before.1 <= most);
            self.ascending = Some((least, most));
        }
        Facts { bounds: page.map(|(least, most)| (self.as_bytes(least), self.as_bytes(most))), text_bytes: None }
    }

    /// Ends the chunk.
    pub(super) fn close(self, pages: Pages) -> Result<(Encoded, ColumnCloseResult), ParquetError> {
        let nulls = Some(pages.nulls() as u64);
        let (least, most) = self.bounds.unzip();
        let statistics = match self.bits {
            32 => {
                let narrow = |number: Option<i64>| number.map(|number| number as i32);
                Statistics::Int32(ValueStatistics::new(narrow(least), narrow(most), None, nulls, false))
            }
            _ => Statistics::Int64(ValueStatistics::new(least, most, None, nulls, false)),
        };
        let numbers = self.dictionary.all();
        let plain = || numbers.iter().flat_map(|number| self.as_bytes(*number)).collect();
        pages.close(Summary {
            dictionary: (!numbers.is_empty()).then(|| (plain(), numbers.len())),
            statistics,
            order: if self.is_ascending { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED },
            bloom_filter: None,
        })
    }
}

impl PageValues for Numbers {
    fn page_bytes(&self) -> usize {
        self.numbers.len() * self.bits as usize / 8
    }

    fn end_page(&mut self, pages: &mut Pages, rows: Rows<'_>) -> Result<(), ParquetError> {
        if rows.nulls == rows.count {
            let facts = self.facts();
            return pages.add(rows, Encoding::PLAIN, &[], facts);
        }
        if self.is_dictionary && !self.is_decided && !self.is_worth_it() {
            self.dictionary = dictionary::Numbers::default();
            self.places.clear();
            self.is_dictionary = false;
        }
        self.is_decided = true;
        let facts = self.facts();
        self.scratch.clear();
        if self.is_dictionary {
            let width = bits::width((self.dictionary.all().len() as u64).saturating_sub(1));
            self.scratch.push(width as u8);
            bits::hybrid(&self.places, width, &mut self.scratch);
            self.places.clear();
            // What comes after goes without where the dictionary is full.
            self.is_dictionary = self.dictionary.all().len() * self.bits as usize / 8 < DICTIONARY_BYTES;
            return pages.add(rows, Encoding::RLE_DICTIONARY, &self.scratch, facts);
        }
        bits::differences(&self.numbers, self.bits, &mut self.scratch);
        self.numbers.clear();
        pages.add(rows, Encoding::DELTA_BINARY_PACKED, &self.scratch, facts)
    }
}
