//! The least and the greatest text of a page or a chunk, and how much of them is kept. Order is that of bytes, as Parquet
//! has it for texts.

/// Least and greatest text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds(Option<(Edge, Edge)>);

/// A text at an edge, with its first bytes as a number: most comparisons end there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    first: u128,
    text: Vec<u8>,
}

/// The first sixteen bytes of a text as a number that orders as they do; missing ones are 0.
#[inline]
fn first(text: &[u8]) -> u128 {
    match text.first_chunk() {
        Some(bytes) => u128::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 16];
            bytes[..text.len()].copy_from_slice(text);
            u128::from_be_bytes(bytes)
        }
    }
}

impl Edge {
    fn set(&mut self, first: u128, text: &[u8]) {
        self.first = first;
        self.text.clear();
        self.text.extend_from_slice(text);
    }
}

impl Bounds {
    /// Takes a text in.
    #[inline]
    pub(super) fn add(&mut self, text: &[u8]) {
        let first = first(text);
        match &mut self.0 {
            Some((least, greatest)) => {
                if first <= least.first && (first < least.first || text < least.text.as_slice()) {
                    least.set(first, text);
                }
                if first >= greatest.first && (first > greatest.first || text > greatest.text.as_slice()) {
                    greatest.set(first, text);
                }
            }
            None => {
                let edge = Edge { first, text: text.to_vec() };
                self.0 = Some((edge.clone(), edge));
            }
        }
    }

    /// Both texts; `None` before the first.
    pub(super) fn get(&self) -> Option<(&[u8], &[u8])> {
        self.0.as_ref().map(|(least, greatest)| (least.text.as_slice(), greatest.text.as_slice()))
    }
}

/// A text of at most `max` bytes that is not greater, and whether it is the text itself.
pub(super) fn cut_below(text: &[u8], max: usize) -> (Vec<u8>, bool) {
    match text.len() <= max {
        true => (text.to_vec(), true),
        false => (text[..boundary(text, max)].to_vec(), false),
    }
}

/// A text of at most `max` bytes that is not less, and whether it is the text itself. Where there is none so short, the
/// text as a whole.
pub(super) fn cut_above(text: &[u8], max: usize) -> (Vec<u8>, bool) {
    if text.len() <= max {
        return (text.to_vec(), true);
    }
    // The last character (of texts, the last ASCII one) that has a next one takes it; all after it goes.
    let greatest = if std::str::from_utf8(text).is_ok() { 0x7f } else { 0xff };
    let kept = &text[..if greatest == 0xff { max } else { boundary(text, max) }];
    match kept.iter().rposition(|byte| *byte < greatest) {
        Some(at) => {
            let mut cut = kept[..=at].to_vec();
            cut[at] += 1;
            (cut, false)
        }
        None => (text.to_vec(), true),
    }
}

/// The last place up to `max` where a character starts.
fn boundary(text: &[u8], max: usize) -> usize {
    (0..=max.min(text.len())).rev().find(|at| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bounds_are_the_least_and_the_greatest(texts in proptest::collection::vec("[\0a-cé]{0,12}", 1..20)) {
            let mut bounds = Bounds::default();
            texts.iter().for_each(|text| bounds.add(text.as_bytes()));
            let expected = texts.iter().min().zip(texts.iter().max()).map(|(least, greatest)| (least.as_bytes(), greatest.as_bytes()));
            prop_assert_eq!(bounds.get(), expected);
        }

        #[test]
        fn what_is_cut_still_bounds(text in "[a-bé\u{7f}🦀]{0,12}", max in 1usize..12) {
            let (below, is_below) = cut_below(text.as_bytes(), max);
            let (above, is_above) = cut_above(text.as_bytes(), max);
            prop_assert!(below.as_slice() <= text.as_bytes() && text.as_bytes() <= above.as_slice());
            prop_assert!(std::str::from_utf8(&below).is_ok() && std::str::from_utf8(&above).is_ok());
            prop_assert_eq!((is_below, is_above), (below == text.as_bytes(), above == text.as_bytes()));
            prop_assert!(below.len() <= max && (above.len() <= max || is_above));
        }
    }

    #[test]
    fn nothing_has_no_bounds() {
        assert_eq!(Bounds::default().get(), None);
        assert_eq!(cut_above("éé".as_bytes(), 2), ("éé".as_bytes().to_vec(), true));
        assert_eq!(cut_above(b"abc", 2), (b"ac".to_vec(), false));
        assert_eq!(cut_above(b"\x80\xff\xff\xff", 2), (b"\x81".to_vec(), false));
    }
}
