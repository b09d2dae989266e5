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
    /// Texts that were lately met, by their keys: most texts are among them, and need no hash.
    recent: Vec<Recent>,
}

/// What tells a text: all of it where it is short, else its ends and its length.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key {
    ends: [u64; 2],
    len: u32,
}

/// A text that was lately met, and its place.
#[derive(Clone, Copy)]
struct Recent {
    key: Key,
    place: u32,
}

impl Recent {
    const NONE: Recent = Recent { key: Key { ends: [0; 2], len: u32::MAX }, place: 0 };
}

/// Texts that are remembered as lately met.
const RECENT: usize = 1 << 9;

/// The golden ratio as a part of 64 bits: multiplied by it, numbers spread over the high bits (Fibonacci hashing).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of the longest text that a view holds itself.
const VIEW_TEXT_BYTES: u32 = 12;

/// Bytes at each end of a longer text that its key has.
const END_BYTES: usize = 8;

/// Bytes of the longest text that its key tells whole.
const KEY_TEXT_BYTES: usize = 2 * END_BYTES;

impl Key {
    /// Of a text with this view.
    #[inline]
    pub(super) fn of(view: u128, text: &[u8]) -> Key {
        let len = view as u32;
        let ends = match (text.first_chunk::<END_BYTES>(), text.last_chunk::<END_BYTES>()) {
            (Some(first), Some(last)) if len > VIEW_TEXT_BYTES => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
            _ => [(view >> 32) as u64, (view >> 96) as u64],
        };
        Key { ends, len }
    }

    /// Its slot among the recent ones.
    #[inline]
    fn slot(&self) -> usize {
        let mixed = (self.ends[0] ^ self.ends[1].rotate_left(32) ^ u64::from(self.len)).wrapping_mul(GOLDEN);
        (mixed >> (u64::BITS - RECENT.trailing_zeros())) as usize
    }
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

    /// The place of the text with this key; a new one if it was not there.
    #[inline]
    pub(super) fn place(&mut self, key: Key, text: &[u8]) -> u32 {
        let slot = key.slot();
        match self.recent.get(slot) {
            Some(recent) if recent.key == key && (text.len() <= KEY_TEXT_BYTES || self.get(recent.place) == text) => recent.place,
            Some(_) => {
                let place = self.find(text);
                self.recent[slot] = Recent { key, place };
                place
            }
            None => {
                self.recent.resize(RECENT, Recent::NONE);
                self.place(key, text)
            }
        }
    }

    fn find(&mut self, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        let (ends, plain, hasher) = (&self.ends, &self.plain, &self.hasher);
        let at = |place: u32| {
            let place = place as usize;
            let start = if place == 0 { 0 } else { ends[place - 1] };
            &plain[start + LENGTH_BYTES..ends[place]]
        };
        match self.places.entry(hash, |place| at(*place) == text, |place| hasher.hash_one(at(*place))) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                let place = ends.len() as u32;
                vacant.insert(place);
                push_plain(text, &mut self.plain);
                self.ends.push(self.plain.len());
                place
            }
        }
    }
}

/// The different numbers of a chunk.
#[derive(Default)]
pub(super) struct Numbers {
    places: HashTable<u32>,
    hasher: RandomState,
    numbers: Vec<i64>,
    /// Places of numbers that were lately met, by their slots.
    recent: Vec<u32>,
}

impl Numbers {
    /// All of them.
    pub(super) fn all(&self) -> &[i64] {
        &self.numbers
    }

    /// The place of a number; a new one if it was not there.
    #[inline]
    pub(super) fn place(&mut self, number: i64) -> u32 {
        let slot = ((number as u64).wrapping_mul(GOLDEN) >> (u64::BITS - RECENT.trailing_zeros())) as usize;
        match self.recent.get(slot) {
            Some(recent) if self.numbers.get(*recent as usize) == Some(&number) => *recent,
            Some(_) => {
                let place = self.find(number);
                self.recent[slot] = place;
                place
            }
            None => {
                self.recent.resize(RECENT, 0);
                self.place(number)
            }
        }
    }

    fn find(&mut self, number: i64) -> u32 {
        let (numbers, hasher) = (&self.numbers, &self.hasher);
        let is_it = |place: &u32| numbers[*place as usize] == number;
        match self.places.entry(hasher.hash_one(number), is_it, |place| hasher.hash_one(numbers[*place as usize])) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(vacant) => {
                let place = numbers.len() as u32;
                vacant.insert(place);
                self.numbers.push(number);
                place
            }
        }
    }
}
