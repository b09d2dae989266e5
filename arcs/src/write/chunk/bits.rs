//! Numbers as Parquet packs them: the run-length and bit-packed hybrid, and packed differences. Numbers flow in, bytes flow
//! out at the end of a buffer. Layouts are those of the page "Encodings" of the Parquet format.

/// Values that one group of the hybrid holds.
const GROUP: usize = 8;

/// Groups in a packed run at most, so that its header is one byte.
const GROUPS_MAX: usize = 63;

/// Groups of one value that are worth a run of their own.
const RUN_GROUPS_MIN: usize = 2;

/// Differences in a block.
const BLOCK: usize = 128;

/// Parts of a block, each with a width of its own.
const MINIBLOCKS: usize = 4;

/// Differences in such a part.
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Bits that a number takes.
pub(super) fn width(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// An unsigned number, seven bits a byte.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A signed number: small ones of either sign are short.
fn zigzag(number: i64, out: &mut Vec<u8>) {
    varint(((number << 1) ^ (number >> 63)) as u64, out);
}

/// Numbers of `width` bits each, the lowest bit first, to whole bytes.
#[inline]
fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut waiting, mut bits) = (0u128, 0);
    for number in numbers {
        waiting |= u128::from(number) << bits;
        bits += width;
        if bits >= u64::BITS {
            out.extend_from_slice(&(waiting as u64).to_le_bytes());
            waiting >>= u64::BITS;
            bits -= u64::BITS;
        }
    }
    out.extend_from_slice(&waiting.to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// A run of one value.
fn run(count: usize, value: u32, width: u32, out: &mut Vec<u8>) {
    varint((count as u64) << 1, out);
    out.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// Numbers of at most `width` bits: runs of one value, and packed groups between them.
pub(super) fn hybrid(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut packed, mut at) = (0, 0);
    while at < numbers.len() {
        let same = numbers[at..].iter().take_while(|number| **number == numbers[at]).count();
        // Packed groups are whole, so a run starts where one ends, and ends the numbers or where one starts.
        let same = if at + same == numbers.len() { same } else { same - same % GROUP };
        if same >= RUN_GROUPS_MIN * GROUP {
            groups(&numbers[packed..at], width, out);
            run(same, numbers[at], width, out);
            at += same;
            packed = at;
        } else {
            at += GROUP;
        }
    }
    groups(&numbers[packed..], width, out);
}

/// Packed groups; the last one is filled up.
fn groups(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    for some in numbers.chunks(GROUPS_MAX * GROUP) {
        let count = some.len().div_ceil(GROUP);
        varint((count as u64) << 1 | 1, out);
        let missing = count * GROUP - some.len();
        pack(some.iter().map(|number| u64::from(*number)).chain(std::iter::repeat_n(0, missing)), width, out);
    }
}

/// Whether values are there, a bit each from the lowest of the first byte on; bits after the last are 0. With its length
/// before it, as pages have it.
pub(super) fn levels(bits: &[u8], count: usize, nulls: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    match nulls {
        0 => run(count, 1, 1, out),
        nulls if nulls == count => run(count, 0, 1, out),
        _ => mixed_levels(bits, count, out),
    }
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

fn mixed_levels(bits: &[u8], count: usize, out: &mut Vec<u8>) {
    let bits = &bits[..count.div_ceil(GROUP)];
    let (mut packed, mut at) = (0, 0);
    let packed_groups = |bits: &[u8], out: &mut Vec<u8>| {
        for some in bits.chunks(GROUPS_MAX) {
            varint((some.len() as u64) << 1 | 1, out);
            out.extend_from_slice(some);
        }
    };
    while at < bits.len() {
        let same = bits[at..].iter().take_while(|byte| **byte == bits[at]).count();
        // The last byte may hold fewer values than eight.
        let values = (same * GROUP).min(count - at * GROUP);
        if same >= RUN_GROUPS_MIN && matches!(bits[at], 0 | 0xff) {
            packed_groups(&bits[packed..at], out);
            run(values, u32::from(bits[at] & 1), 1, out);
            packed = at + same;
        }
        at += same;
    }
    packed_groups(&bits[packed..], out);
}

/// Numbers as packed differences. `bits` is what the numbers of the column have, 32 or 64: differences wrap there.
pub(super) fn differences(numbers: &[i64], bits: u32, out: &mut Vec<u8>) {
    [BLOCK as u64, MINIBLOCKS as u64, numbers.len() as u64].into_iter().for_each(|number| varint(number, out));
    zigzag(numbers.first().copied().unwrap_or(0), out);
    let narrow = |difference: i64| if bits == 32 { i64::from(difference as i32) } else { difference };
    let mut block = [0i64; BLOCK];
    let mut before = numbers.first().copied().unwrap_or(0);
    for some in numbers.get(1..).unwrap_or_default().chunks(BLOCK) {
        for (place, number) in block.iter_mut().zip(some) {
            *place = narrow(number.wrapping_sub(before));
            before = *number;
        }
        let differences = &block[..some.len()];
        let least = differences.iter().copied().min().unwrap_or(0);
        zigzag(least, out);
        let above = |difference: &i64| narrow(difference.wrapping_sub(least)) as u64 & (u64::MAX >> (64 - bits));
        let widths = out.len();
        out.extend_from_slice(&[0; MINIBLOCKS]);
        for (n, part) in differences.chunks(MINIBLOCK).enumerate() {
            let width = width(part.iter().map(above).fold(0, |all, one| all | one));
            out[widths + n] = width as u8;
            pack(part.iter().map(above).chain(std::iter::repeat_n(0, MINIBLOCK - part.len())), width, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads what [`hybrid`] wrote.
    fn read_hybrid(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let header = read_varint(&mut bytes);
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(width.div_ceil(8) as usize);
                let mut number = [0; 4];
                number[..value.len()].copy_from_slice(value);
                numbers.extend(std::iter::repeat_n(u32::from_le_bytes(number), (header >> 1) as usize));
                bytes = rest;
            } else {
                let values = (header >> 1) as usize * GROUP;
                let (packed, rest) = bytes.split_at(values * width as usize / 8);
                numbers.extend((0..values).map(|n| read_bits(packed, n * width as usize, width) as u32));
                bytes = rest;
            }
        }
        assert!(bytes.is_empty());
        numbers.truncate(count);
        numbers
    }

    fn read_varint(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    fn read_zigzag(bytes: &mut &[u8]) -> i64 {
        let number = read_varint(bytes);
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    fn read_bits(bytes: &[u8], at: usize, width: u32) -> u64 {
        (0..width as usize).map(|bit| u64::from(bytes[(at + bit) / 8] >> ((at + bit) % 8) & 1) << bit).fold(0, |all, bit| all | bit)
    }

    /// Reads what [`differences`] wrote.
    fn read_differences(mut bytes: &[u8], bits: u32) -> Vec<i64> {
        let narrow = |number: i64| if bits == 32 { i64::from(number as i32) } else { number };
        assert_eq!((read_varint(&mut bytes), read_varint(&mut bytes)), (BLOCK as u64, MINIBLOCKS as u64));
        let count = read_varint(&mut bytes) as usize;
        let mut numbers = vec![read_zigzag(&mut bytes)];
        while numbers.len() < count {
            let least = read_zigzag(&mut bytes);
            let (widths, rest) = bytes.split_at(MINIBLOCKS);
            bytes = rest;
            for width in widths.iter().take((count - numbers.len()).div_ceil(MINIBLOCK)).map(|width| u32::from(*width)) {
                assert!(width <= bits);
                let (packed, rest) = bytes.split_at(MINIBLOCK * width as usize / 8);
                for n in 0..MINIBLOCK.min(count - numbers.len()) {
                    let above = read_bits(packed, n * width as usize, width) as i64;
                    numbers.push(narrow(numbers[numbers.len() - 1].wrapping_add(least).wrapping_add(above)));
                }
                bytes = rest;
            }
        }
        assert!(bytes.is_empty());
        numbers.truncate(count);
        numbers
    }

    fn runs() -> impl Strategy<Value = Vec<u32>> {
        proptest::collection::vec((any::<u32>(), 1usize..40), 0..30)
            .prop_map(|runs| runs.into_iter().flat_map(|(value, count)| std::iter::repeat_n(value, count)).collect())
    }

    proptest! {
        #[test]
        fn hybrids_read_back(numbers in runs(), width in 0u32..=32) {
            let mask = (1u64 << width) as u32;
            let numbers: Vec<u32> = numbers.into_iter().map(|number| if width == 32 { number } else { number & mask.wrapping_sub(1) }).collect();
            let mut out = Vec::new();
            hybrid(&numbers, width, &mut out);
            prop_assert_eq!(read_hybrid(&out, width, numbers.len()), numbers);
        }

        #[test]
        fn levels_read_back(numbers in runs()) {
            let valid: Vec<u32> = numbers.iter().map(|number| number & 1).collect();
            let mut bits = vec![0u8; valid.len().div_ceil(8)];
            valid.iter().enumerate().for_each(|(n, bit)| bits[n / 8] |= (*bit as u8) << (n % 8));
            let (mut out, nulls) = (vec![7], valid.iter().filter(|bit| **bit == 0).count());
            levels(&bits, valid.len(), nulls, &mut out);
            let len = u32::from_le_bytes(out[1..5].try_into().unwrap()) as usize;
            prop_assert_eq!(len, out.len() - 5);
            prop_assert_eq!(if valid.is_empty() { Vec::new() } else { read_hybrid(&out[5..], 1, valid.len()) }, valid);
        }

        #[test]
        fn differences_read_back(numbers in proptest::collection::vec(prop_oneof![any::<i64>(), -5i64..5], 1..400), is_narrow: bool) {
            let bits = if is_narrow { 32 } else { 64 };
            let numbers: Vec<i64> = numbers.into_iter().map(|number| if is_narrow { i64::from(number as i32) } else { number }).collect();
            let mut out = Vec::new();
            differences(&numbers, bits, &mut out);
            prop_assert_eq!(read_differences(&out, bits), numbers);
        }
    }
}
