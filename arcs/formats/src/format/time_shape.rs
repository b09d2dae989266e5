//! The usual shape of a time, or of a run of its items: `2026-02-06 01:02:03,456`, each number with as many digits as it
//! may have. Text flows in; the numbers flow out, all bytes having been looked at together. A text of another shape may
//! still be a time: its items tell one after the other.

use super::clock::{Item, Part};

/// Bytes of a shape.
const BYTES_MAX: usize = 24;

/// Items that are worth a shape.
const ITEMS_MIN: usize = 3;

/// Digits of a fraction that are read at once: microseconds.
const FRACTION_DIGITS_MAX: usize = 6;

/// A shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many items it stands for.
    pub items: usize,
    /// How many bytes it has.
    pub bytes: usize,
    /// The least byte at each place, and how far one may be above it.
    least: [u8; BYTES_MAX],
    above: [u8; BYTES_MAX],
    numbers: Vec<Number>,
}

/// A number of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    at: usize,
    digits: usize,
    /// What it is; none for a fraction of a second.
    part: Option<Part>,
}

impl Shape {
    /// The shape of as many of the first items as have one; `None` where they are too few to be worth it.
    pub(super) fn of(items: &[Item]) -> Option<Shape> {
        let mut shape = Shape { items: 0, bytes: 0, least: [0; BYTES_MAX], above: [u8::MAX; BYTES_MAX], numbers: Vec::new() };
        for item in items {
            let (part, digits) = match *item {
                Item::Byte(byte) if shape.bytes < BYTES_MAX => {
                    shape.push(byte, 0);
                    continue;
                }
                // As many digits as there may be are taken if they are there.
                Item::Number(part, _, digits) if digits <= 4 => (Some(part), digits),
                Item::Fraction(least, digits) if least == digits && digits <= FRACTION_DIGITS_MAX => (None, digits),
                _ => break,
            };
            if shape.bytes + digits > BYTES_MAX {
                break;
            }
            shape.numbers.push(Number { at: shape.bytes, digits, part });
            (0..digits).for_each(|_| shape.widen(b'0', 9));
            shape.items += 1;
        }
        (shape.items >= ITEMS_MIN).then_some(shape)
    }

    fn push(&mut self, byte: u8, above: u8) {
        self.widen(byte, above);
        self.items += 1;
    }

    fn widen(&mut self, least: u8, above: u8) {
        (self.least[self.bytes], self.above[self.bytes]) = (least, above);
        self.bytes += 1;
    }

    /// Whether a text of this shape is a time for sure as far as the shape goes: all its numbers may have any value.
    pub(super) fn is_sure(&self) -> bool {
        self.numbers.iter().all(|number| !matches!(number.part, Some(Part::DayOfYear | Part::HalfHour)))
    }

    /// Whether a text starts with this shape.
    #[inline]
    pub(super) fn fits(&self, text: &[u8]) -> bool {
        self.shaped(text).is_some()
    }

    /// The bytes that a text starts with, if they are of this shape.
    #[inline]
    fn shaped(&self, text: &[u8]) -> Option<[u8; BYTES_MAX]> {
        if text.len() < self.bytes {
            return None;
        }
        let text = match text.first_chunk::<BYTES_MAX>() {
            Some(text) => *text,
            None => {
                let mut padded = [0; BYTES_MAX];
                padded.get_mut(..text.len())?.copy_from_slice(text);
                padded
            }
        };
        let is_shaped = (0..BYTES_MAX).fold(true, |is_shaped, at| is_shaped & (text[at].wrapping_sub(self.least[at]) <= self.above[at]));
        is_shaped.then_some(text)
    }

    /// The numbers of a text that starts with this shape; a fraction of a second is in microseconds.
    #[inline]
    pub(super) fn numbers(&self, text: &[u8]) -> Option<impl Iterator<Item = (Option<Part>, i64)>> {
        let text = self.shaped(text)?;
        let digit = move |at: usize| i64::from(text[at] - b'0');
        let value = move |number: &Number| {
            let at = number.at;
            let value = match number.digits {
                2 => digit(at) * 10 + digit(at + 1),
                3 => digit(at) * 100 + digit(at + 1) * 10 + digit(at + 2),
                4 => digit(at) * 1_000 + digit(at + 1) * 100 + digit(at + 2) * 10 + digit(at + 3),
                digits => (at..at + digits).fold(0, |value, at| value * 10 + digit(at)),
            };
            match number.part {
                Some(part) => (Some(part), value),
                None => (None, value * 10_i64.pow((FRACTION_DIGITS_MAX - number.digits) as u32)),
            }
        };
        Some(self.numbers.iter().map(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shape of `%Y-%m` and so on reads of a text.
    fn read(items: &[Item], text: &str) -> Option<Vec<i64>> {
        let shape = Shape::of(items).expect("it has a shape");
        Some(shape.numbers(text.as_bytes())?.map(|(_, number)| number).collect())
    }

    #[test]
    fn texts_of_the_usual_shape() {
        let two = |part| Item::Number(part, 1, 2);
        let time = [two(Part::Hour), Item::Byte(b':'), two(Part::Minute), Item::Byte(b'.'), Item::Fraction(3, 3)];
        assert_eq!(read(&time, "01:02.456"), Some(vec![1, 2, 456_000]));
        assert_eq!(read(&time, "01:02.4567 and more than a shape has"), Some(vec![1, 2, 456_000]));
        for text in ["1:02.456", "01:02.45", "01:02,456", "0a:02.456", ""] {
            assert_eq!(read(&time, text), None, "{text}");
        }
        assert_eq!(read(&[Item::Byte(0), Item::Byte(0), Item::Byte(0)], "\0\0"), None, "what is not there is no byte");
    }

    #[test]
    fn shapes_end_where_they_are_full() {
        let year = [Item::Number(Part::Year, 4, 4), Item::Byte(b' ')];
        let items: Vec<Item> = year.iter().cycle().take(12).cloned().collect();
        let shape = Shape::of(&items).expect("it has a shape");
        assert_eq!((shape.items, shape.bytes), (9, 24));
        assert_eq!(Shape::of(&items[..2]), None);
        assert_eq!(Shape::of(&[Item::Spaces, Item::Byte(b' '), Item::Byte(b' '), Item::Byte(b' ')]), None);
    }
}
