//! Classes of characters, as regular expressions have them, and what may come first of a text: a class of a pattern flows
//! in, where its characters end in a text flows out. ASCII is looked up; other characters are decoded.

use regex_syntax::hir::{self, Hir, HirKind, Look};

/// Any number of times.
pub(super) const UNBOUNDED: u32 = u32::MAX;

/// With what the rest of a pattern can go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    bytes: [u64; 4],
    /// Whether it may be over.
    pub can_end: bool,
}

impl Ahead {
    pub(super) const NOTHING: Ahead = Ahead { bytes: [0; 4], can_end: false };
    /// The pattern is over; whatever comes next.
    pub(super) const END: Ahead = Ahead { bytes: [u64::MAX; 4], can_end: true };

    pub(super) fn of_bytes(bytes: impl Iterator<Item = u8>) -> Ahead {
        bytes.fold(Ahead::NOTHING, |mut ahead, byte| {
            ahead.bytes[usize::from(byte >> 6)] |= 1 << (byte & 63);
            ahead
        })
    }

    /// The same, that may be over or may not.
    pub(super) fn ending(self, can_end: bool) -> Ahead {
        Ahead { can_end, ..self }
    }

    /// As either says.
    pub(super) fn or(self, other: Ahead) -> Ahead {
        let bytes = std::array::from_fn(|n| self.bytes[n] | other.bytes[n]);
        Ahead { bytes, can_end: self.can_end || other.can_end }
    }

    /// Whether no text goes on as both say.
    pub(super) fn is_apart_from(self, other: Ahead) -> bool {
        self.bytes.iter().zip(other.bytes).all(|(one, other)| one & other == 0) && !(self.can_end && other.can_end)
    }

    /// Whether the rest can fit a text that goes on with this byte, or is over.
    #[inline]
    pub(super) fn takes(&self, byte: Option<u8>) -> bool {
        match byte {
            Some(byte) => self.bytes[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1,
            None => self.can_end,
        }
    }
}

/// Characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// Whether a byte is all of such a character; of bytes beyond ASCII, whether any character is one.
    bytes: [bool; 256],
    /// Those beyond ASCII.
    beyond: Beyond,
    /// The only byte that is none of them, if there is but one.
    stop: Option<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Beyond {
    Nothing,
    All,
    Ranges(Vec<(char, char)>),
}

impl Class {
    fn new(ranges: &[(char, char)]) -> Class {
        let beyond: Vec<_> = ranges.iter().copied().filter(|(_, end)| !end.is_ascii()).collect();
        let beyond = match beyond.iter().any(|(start, end)| *start <= '\u{80}' && *end == char::MAX) {
            true => Beyond::All,
            false if beyond.is_empty() => Beyond::Nothing,
            false => Beyond::Ranges(beyond),
        };
        let holds = |byte: u8| ranges.iter().any(|(start, end)| (start..=end).contains(&&char::from(byte)));
        let bytes = std::array::from_fn(|byte| match byte as u8 {
            byte if byte.is_ascii() => holds(byte),
            _ => beyond == Beyond::All,
        });
        let mut others = (0..=u8::MAX).filter(|byte| !bytes[usize::from(*byte)]);
        let stop = others.next().filter(|_| others.next().is_none());
        Class { bytes, beyond, stop }
    }

    /// The class that a pattern is, if it fits just one character.
    pub(super) fn of(hir: &Hir) -> Option<Class> {
        match hir.kind() {
            HirKind::Class(hir::Class::Unicode(class)) => {
                Some(Class::new(&class.iter().map(|range| (range.start(), range.end())).collect::<Vec<_>>()))
            }
            HirKind::Class(hir::Class::Bytes(class)) if class.is_ascii() => {
                Some(Class::new(&class.iter().map(|range| (range.start().into(), range.end().into())).collect::<Vec<_>>()))
            }
            HirKind::Literal(literal) => {
                let mut chars = std::str::from_utf8(&literal.0).ok()?.chars();
                let one = chars.next().filter(|_| chars.next().is_none())?;
                Some(Class::new(&[(one, one)]))
            }
            _ => None,
        }
    }

    /// The bytes that these characters start with.
    pub(super) fn ahead(&self) -> Ahead {
        let is_seen = |byte: &u8| self.bytes[usize::from(*byte)] || !byte.is_ascii() && self.beyond != Beyond::Nothing;
        Ahead::of_bytes((0..=u8::MAX).filter(is_seen))
    }

    /// Where the character ends that starts at `at`, if it is one of these.
    #[inline(always)]
    pub(super) fn end_of_one(&self, text: &[u8], at: usize) -> Option<usize> {
        match *text.get(at)? {
            byte if byte.is_ascii() => self.bytes[usize::from(byte)].then_some(at + 1),
            _ => self.end_beyond(text, at),
        }
    }

    /// The same of a character beyond ASCII.
    #[inline(never)]
    fn end_beyond(&self, text: &[u8], at: usize) -> Option<usize> {
        let char = char_at(text, at).filter(|char| match &self.beyond {
            Beyond::Nothing => false,
            Beyond::All => true,
            Beyond::Ranges(ranges) => {
                let after = ranges.partition_point(|(start, _)| start <= char);
                after.checked_sub(1).and_then(|n| ranges.get(n)).is_some_and(|(_, end)| char <= end)
            }
        })?;
        Some(at + char.len_utf8())
    }

    /// Where so many of these characters end that start at `from`; `None` where there are fewer.
    #[inline]
    pub(super) fn end_of_least(&self, text: &[u8], from: usize, least: u32) -> Option<usize> {
        (0..least).try_fold(from, |at, _| self.end_of_one(text, at))
    }

    /// Where a run of these characters ends that starts at `from`, and has at most so many.
    #[inline]
    pub(super) fn end_of_run(&self, text: &[u8], from: usize, most: u32) -> usize {
        if most != UNBOUNDED {
            let (mut at, mut left) = (from, most);
            while let Some(end) = self.end_of_one(text, at).filter(|_| left > 0) {
                (at, left) = (end, left - 1);
            }
            return at;
        }
        let rest = text.get(from..).unwrap_or_default();
        if let Some(stop) = self.stop {
            return memchr::memchr(stop, rest).map_or(text.len(), |length| from + length);
        }
        let mut at = from;
        loop {
            let rest = text.get(at..).unwrap_or_default();
            at += rest.iter().position(|byte| !self.bytes[usize::from(*byte)]).unwrap_or(rest.len());
            match text.get(at).filter(|byte| !byte.is_ascii()).and_then(|_| self.end_beyond(text, at)) {
                Some(end) => at = end,
                None => return at,
            }
        }
    }
}

/// The character that starts at `at`.
fn char_at(text: &[u8], at: usize) -> Option<char> {
    let length = match text.get(at)? {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    std::str::from_utf8(text.get(at..at + length)?).ok()?.chars().next()
}

/// The character that ends at `at`.
fn char_before(text: &[u8], at: usize) -> Option<char> {
    let start = (0..at).rev().take(4).find(|start| text[*start] & 0xc0 != 0x80)?;
    char_at(text, start)
}

/// Whether what a pattern asks of a place is so; `None` for what only the engine knows.
pub(super) fn look(look: Look, text: &[u8], at: usize) -> Option<bool> {
    let (before, after) = (at.checked_sub(1).map(|before| text[before]), text.get(at));
    let is_word = |char: Option<char>| char.is_some_and(|char| regex_syntax::try_is_word_character(char).unwrap_or(false));
    let is_edge = || is_word(char_before(text, at)) != is_word(char_at(text, at));
    Some(match look {
        Look::Start => at == 0,
        Look::End => at == text.len(),
        Look::StartLF => matches!(before, None | Some(b'\n')),
        Look::EndLF => matches!(after, None | Some(b'\n')),
        Look::WordUnicode => is_edge(),
        Look::WordUnicodeNegate => !is_edge(),
        _ => return None,
    })
}
