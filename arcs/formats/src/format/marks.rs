//! Where spaces and quotes stand in a line, found 64 bytes at a time. A line flows in, places flow out; asking for them
//! from left to right looks at every byte once. For lines of many short fields, where a search for each would cost more
//! than the bytes.

use wide::u8x16;

/// Bytes that are looked at together, a bit each.
const STRIDE: usize = u64::BITS as usize;

/// Bytes of a vector.
const LANES: usize = 16;

/// The spaces and quotes of a line.
pub(super) struct Marks<'a> {
    line: &'a [u8],
    /// Where the stretch starts that was looked at last.
    start: usize,
    spaces: u64,
    quotes: u64,
}

impl<'a> Marks<'a> {
    /// Those of `line`.
    #[inline]
    pub(super) fn new(line: &'a [u8]) -> Marks<'a> {
        let mut marks = Marks { line, start: 0, spaces: 0, quotes: 0 };
        marks.look(0);
        marks
    }

    /// The first space from byte `at` on.
    #[inline]
    pub(super) fn space(&mut self, at: usize) -> Option<usize> {
        self.find(at, |marks| marks.spaces)
    }

    /// The first quote from byte `at` on.
    #[inline]
    pub(super) fn quote(&mut self, at: usize) -> Option<usize> {
        self.find(at, |marks| marks.quotes)
    }

    #[inline]
    fn find(&mut self, at: usize, bits: impl Fn(&Self) -> u64) -> Option<usize> {
        let start = at - at % STRIDE;
        if start != self.start {
            self.look(start);
        }
        let mut found = bits(self) & (u64::MAX << (at % STRIDE));
        while found == 0 {
            if self.start + STRIDE >= self.line.len() {
                return None;
            }
            self.look(self.start + STRIDE);
            found = bits(self);
        }
        Some(self.start + found.trailing_zeros() as usize)
    }

    /// Looks at the stretch that starts at byte `start`.
    #[inline]
    fn look(&mut self, start: usize) {
        let rest = self.line.get(start..).unwrap_or_default();
        self.start = start;
        (self.spaces, self.quotes) = match rest.first_chunk() {
            Some(stretch) => marks(stretch),
            None => {
                let mut stretch = [0; STRIDE];
                stretch[..rest.len()].copy_from_slice(rest);
                marks(&stretch)
            }
        };
    }
}

/// A bit for each byte: whether it is a space, and whether it is a quote.
#[inline]
fn marks(stretch: &[u8; STRIDE]) -> (u64, u64) {
    let (mut spaces, mut quotes) = (0, 0);
    for (n, some) in stretch.as_chunks::<LANES>().0.iter().enumerate() {
        let bytes = u8x16::new(*some);
        spaces |= u64::from(bytes.simd_eq(u8x16::splat(b' ')).to_bitmask()) << (n * LANES);
        quotes |= u64::from(bytes.simd_eq(u8x16::splat(b'"')).to_bitmask()) << (n * LANES);
    }
    (spaces, quotes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_are_where_the_bytes_are(line in "[ab \"]{0,200}", asked in proptest::collection::vec(0usize..210, 0..20)) {
            let line = line.as_bytes();
            let mut marks = Marks::new(line);
            let from = |at: usize, byte| line.get(at..).and_then(|rest| memchr::memchr(byte, rest)).map(|found| at + found);
            for at in asked {
                prop_assert_eq!(marks.space(at), from(at, b' '));
                prop_assert_eq!(marks.quote(at), from(at, b'"'));
            }
        }
    }
}
