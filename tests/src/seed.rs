//! Numbers that only a seed decides, so that a schedule can be had again.

use std::sync::{Mutex, PoisonError};

/// The numbers of a seed, one after the other.
#[derive(Debug)]
pub struct Seed(Mutex<u64>);

impl Seed {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Seed {
        Seed(Mutex::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)))
    }

    /// The next number below `sides`; 0 where there are no sides. SplitMix64.
    pub fn roll(&self, sides: u64) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if sides == 0 { 0 } else { (mixed ^ (mixed >> 31)) % sides }
    }

    /// The same as a signed number, for lengths of time.
    pub fn below(&self, sides: u64) -> i64 {
        i64::try_from(self.roll(sides)).unwrap_or(0)
    }

    /// A place in something of this length; 0 in nothing.
    pub fn place(&self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).unwrap_or(0)
    }
}
