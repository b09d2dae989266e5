//! The different values of a column chunk: a value flows in, its place flows out. Places are given in the order in which
//! values come first; that the hash has another seed in every process shows nowhere.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// The different texts of a chunk.
#[derive(Default)]
pub(super) struct Texts {
    places: HashTable<u32>,
    hasher: RandomState,
    /// Where each ends in `plain`.
    ends: Vec<usize>,
    /// All of them as a dictionary page has them: the length, then the bytes.
    plain: Vec<u8>,
    /// Where a text with these ends was last found: most are there, and need no hash.
    recent: Vec<u32>,
    last: u32,
}

/// Places that are remembered by the ends of their texts.
const RECENT: usize = 1 << 10;

/// Bytes at each end that this goes by.
const END_BYTES: usize = 8;

/// The slot of a text among the recent ones, by its length and its ends.
#[inline]
fn slot(text: &[u8]) -> usize {
    let (first, last) = match (text.first_chunk::<END_BYTES>(), text.last_chunk::<END_BYTES>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => {
            let mut bytes = [0; END_BYTES];
            bytes[..text.len()].copy_from_slice(text);
            (u64::from_le_bytes(bytes), 0)
        }
    };
    // Fibonacci hashing: the golden ratio spreads over the high bits.
    let mixed = (first ^ last.rotate_left(32) ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - RECENT.trailing_zeros())) as usize
}

/// Bytes of the length before a text.
pub(super) const LENGTH_BYTES: usize = 4;

/// Adds a text as plain pages have it.
#[inline]
pub(super) fn push_plain(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

impl Texts {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The dictionary page.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The text at a place.
    #[inline]
    pub(super) fn get(&self, place: u32) -> &[u8] {
        let place = place as usize;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.plain[start + LENGTH_BYTES..self.ends[place]]
    }

    /// The place of a text; a new one if it was not there.
    #[inline]
    pub(super) fn place(&mut self, text: &[u8]) -> u32 {
        // Often a value is the one of the row before.
        if !self.ends.is_empty() && self.get(self.last) == text {
            return self.last;
        }
        let slot = slot(text);
        self.recent.resize(RECENT, 0);
        let recent = self.recent[slot];
        if (recent as usize) < self.ends.len() && self.get(recent) == text {
            self.last = recent;
            return recent;
        }
        let hash = self.hasher.hash_one(text);
        let (ends, plain, hasher) = (&self.ends, &self.plain, &self.hasher);
        let at = |place: u32| {
            let place = place as usize;
            let start = if place == 0 { 0 } else { ends[place - 1] };
            &plain[start + LENGTH_BYTES..ends[place]]
        };
        self.last = match self.places.entry(hash, |place| at(*place) == text, |place| hasher.hash_one(at(*place))) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                let place = ends.len() as u32;
                vacant.insert(place);
                push_plain(text, &mut self.plain);
                self.ends.push(self.plain.len());
                place
            }
        };
        self.recent[slot] = self.last;
        self.last
    }
}

/// The different numbers of a chunk.
#[derive(Default)]
pub(super) struct Numbers {
    places: HashTable<u32>,
    hasher: RandomState,
    numbers: Vec<i64>,
    last: u32,
}

impl Numbers {
    /// All of them.
    pub(super) fn all(&self) -> &[i64] {
        &self.numbers
    }

    /// The place of a number; a new one if it was not there.
    #[inline]
    pub(super) fn place(&mut self, number: i64) -> u32 {
        if self.numbers.get(self.last as usize) == Some(&number) {
            return self.last;
        }
        let (numbers, hasher) = (&self.numbers, &self.hasher);
        let is_it = |place: &u32| numbers[*place as usize] == number;
        self.last = match self.places.entry(hasher.hash_one(number), is_it, |place| hasher.hash_one(numbers[*place as usize])) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                let place = numbers.len() as u32;
                vacant.insert(place);
                self.numbers.push(number);
                place
            }
        };
        self.last
    }
}
