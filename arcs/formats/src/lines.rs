//! Plain bytes flow in, [`Piece`]s flow out: blocks of whole records, and what is no whole line. Memory is bounded by a
//! block or the longest allowed line, whatever the input holds. Where blocks are cut depends on the bytes alone, never
//! on how they arrived. A record of several lines that is longer than the limit is cut between two of them; an element of
//! a JSON document that is, is skipped as a line would be.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use memchr::{memchr_iter, memrchr, memrchr_iter};

use crate::elements::{self, Open};
use crate::format::{Framing, Grammar};
use crate::{octets, streams};

/// Bytes of a line that is too long, or of what stands before a failure, that are kept.
pub const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Bytes skipped at a time in a line that is too long.
const SKIP_BYTES: usize = 64 * 1024;

/// The UTF-8 byte-order mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How input is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineLimits {
    /// Bytes of a block, as far as lines allow.
    pub block_bytes: usize,
    /// The longest line, in bytes; longer ones are rejects.
    pub line_bytes_max: usize,
}

impl Default for LineLimits {
    /// Blocks of 1 MiB, lines of 16 MiB.
    fn default() -> Self {
        LineLimits { block_bytes: 1 << 20, line_bytes_max: 16 << 20 }
    }
}

/// A piece of an object. `offset` is the place of its first byte in the plain bytes.
#[derive(Debug)]
pub enum Piece {
    /// Whole lines, the last one possibly without its newline (end of the object).
    Lines {
        /// The bytes.
        text: Bytes,
        /// Where they start.
        offset: u64,
    },
    /// One line, or one element with what is before it, longer than the limit and than a block.
    Overlong {
        /// Its first [`KEPT_BYTES_MAX`] bytes.
        head: Vec<u8>,
        /// Where it starts.
        offset: u64,
        /// Its length without the newline.
        bytes: u64,
    },
    /// The input failed; nothing follows.
    Broken {
        /// The unfinished line before the failure, at most [`KEPT_BYTES_MAX`] bytes of it.
        fragment: Vec<u8>,
        /// Where it starts.
        offset: u64,
        /// Its length.
        bytes: u64,
        /// The failure.
        error: io::Error,
    },
}

/// Memory for blocks: what one was read into is read into again once nobody needs it. Asking the system for memory, and
/// clearing it, would cost a tenth of a conversion.
#[derive(Clone, Debug, Default)]
pub struct Blocks(Arc<Mutex<Vec<Vec<u8>>>>);

/// Memory that goes back to where it is from.
struct Lent {
    bytes: Vec<u8>,
    home: Blocks,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.free().push(std::mem::take(&mut self.bytes));
    }
}

impl Blocks {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lend(&self, bytes: usize) -> Filling {
        let free = self.free().pop().filter(|free| free.len() == bytes);
        Filling { bytes: free.unwrap_or_else(|| vec![0; bytes]), len: 0 }
    }

    /// The first `end` bytes of what was read, to be shared. What has the size of a block comes back; what has grown beyond
    /// it keeps no more memory than it has text.
    fn share(&self, text: Filling, end: usize, block_bytes: usize) -> Bytes {
        let (mut bytes, home) = (text.bytes, self.clone());
        if bytes.len() == block_bytes {
            return Bytes::from_owner(Lent { bytes, home }).slice(..end);
        }
        bytes.truncate(end);
        Bytes::from(bytes.into_boxed_slice())
    }
}

/// Memory that is being read into.
struct Filling {
    /// All of it.
    bytes: Vec<u8>,
    /// How much was read.
    len: usize,
}

impl Filling {
    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn add(&mut self, text: &[u8]) {
        self.make_room(self.len + text.len());
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn make_room(&mut self, bytes: usize) {
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
    }

    /// Takes away the first bytes.
    fn drop_first(&mut self, bytes: usize) {
        self.bytes.copy_within(bytes..self.len, 0);
        self.len -= bytes;
    }

    /// The first bytes, for long.
    fn head(&self, most: usize) -> Vec<u8> {
        self.text()[..self.len.min(most)].to_vec()
    }
}

/// Cuts plain bytes into pieces.
pub struct Pieces<'g, R> {
    reader: R,
    grammar: &'g dyn Grammar,
    limits: LineLimits,
    blocks: Blocks,
    carry: Vec<u8>,
    offset: u64,
    /// Whether no piece was given yet.
    is_first: bool,
    broken: Option<io::Error>,
    done: bool,
}

impl<'g, R: Read> Pieces<'g, R> {
    /// Cuts what `reader` gives, from the start of an object, between records of the grammar.
    pub fn new(reader: R, grammar: &'g dyn Grammar, limits: LineLimits) -> Pieces<'g, R> {
        Pieces::within(reader, grammar, limits, &Blocks::default())
    }

    /// The same, in memory that others share.
    pub fn within(reader: R, grammar: &'g dyn Grammar, limits: LineLimits, blocks: &Blocks) -> Pieces<'g, R> {
        Pieces { reader, grammar, limits, blocks: blocks.clone(), carry: Vec::new(), offset: 0, is_first: true, broken: None, done: false }
    }

    /// What it reads from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The next piece, or `None` at the end.
    pub fn next_piece(&mut self) -> Option<Piece> {
        if let Some(error) = self.broken.take() {
            return Some(self.break_off(error));
        }
        if self.done {
            return None;
        }
        let mut text = self.blocks.lend(self.limits.block_bytes);
        text.add(&self.carry);
        self.carry.clear();
        let target = self.limits.block_bytes.max(text.len + 1);
        self.fill(&mut text, target);
        self.skip_mark(&mut text);
        match self.last_cut(text.text()) {
            Some(end) => Some(self.cut(text, end)),
            None if self.is_over() => self.last(text),
            None => self.grow(text),
        }
    }

    /// Where the last whole record of a text ends; at the end of input, its last whole line.
    fn last_cut(&self, text: &[u8]) -> Option<usize> {
        let after_newline = || memrchr(b'\n', text).map(|newline| newline + 1);
        match self.grammar.framing() {
            Framing::Elements(key) => elements::last_end(text, key),
            Framing::Array if elements::is_array(text, self.is_first) => elements::last_end(text, elements::NO_KEY),
            _ if self.is_over() => after_newline(),
            Framing::Lines => after_newline(),
            Framing::Octets if octets::starts(text) => octets::last_end(text),
            Framing::Streams => streams::last_cut(self.grammar, text),
            Framing::Records | Framing::Octets | Framing::Array => {
                // The last line that is whole and starts a record: what comes before it is whole as well.
                let mut end = memrchr(b'\n', text)?;
                memrchr_iter(b'\n', &text[..end]).map(|newline| newline + 1).find(|start| {
                    let line = &text[*start..std::mem::replace(&mut end, start - 1)];
                    !line.trim_ascii().is_empty() && self.grammar.is_start(line.strip_suffix(b"\r").unwrap_or(line))
                })
            }
            Framing::Quoted => {
                let (mut is_open, mut end, mut from) = (false, None, 0);
                for newline in memchr_iter(b'\n', text) {
                    is_open ^= memchr_iter(b'"', &text[from..newline]).count() % 2 == 1;
                    from = newline + 1;
                    end = if is_open { end } else { Some(from) };
                }
                end
            }
        }
    }

    /// Reads until `target` bytes stand in `text`, or the end, or a failure, which it remembers.
    fn fill(&mut self, text: &mut Filling, target: usize) {
        text.make_room(target);
        while text.len < target {
            match self.reader.read(&mut text.bytes[text.len..target]) {
                Ok(0) => {
                    self.done = true;
                    return;
                }
                Ok(read) => text.len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken = Some(error);
                    return;
                }
            }
        }
    }

    fn skip_mark(&mut self, text: &mut Filling) {
        if self.offset == 0 && text.text().starts_with(BYTE_ORDER_MARK) {
            text.drop_first(BYTE_ORDER_MARK.len());
            self.offset = BYTE_ORDER_MARK.len() as u64;
        }
    }

    fn is_over(&self) -> bool {
        self.done || self.broken.is_some()
    }

    /// Gives the first `end` bytes; the rest waits for more, or is the last line of the object.
    fn cut(&mut self, text: Filling, end: usize) -> Piece {
        let end = if self.done { text.len } else { end };
        self.carry.extend_from_slice(&text.text()[end..]);
        self.lines(text, end)
    }

    fn lines(&mut self, text: Filling, end: usize) -> Piece {
        let offset = self.offset;
        self.offset += end as u64;
        self.is_first = false;
        Piece::Lines { text: self.blocks.share(text, end, self.limits.block_bytes), offset }
    }

    /// What is left when input is over and no newline is in sight.
    fn last(&mut self, text: Filling) -> Option<Piece> {
        if let Some(error) = self.broken.take() {
            self.carry.extend_from_slice(text.text());
            return Some(self.break_off(error));
        }
        let end = text.len;
        (end > 0).then(|| self.lines(text, end))
    }

    fn break_off(&mut self, error: io::Error) -> Piece {
        self.done = true;
        let mut fragment = std::mem::take(&mut self.carry);
        let bytes = fragment.len() as u64;
        fragment.truncate(KEPT_BYTES_MAX);
        Piece::Broken { fragment, offset: self.offset, bytes, error }
    }

    /// A line longer than a block: reads on to its newline, up to the limit.
    fn grow(&mut self, mut text: Filling) -> Option<Piece> {
        while text.len <= self.limits.line_bytes_max {
            let target = (text.len * 2).min(self.limits.line_bytes_max + 1);
            self.fill(&mut text, target);
            if let Some(end) = self.last_cut(text.text()) {
                return Some(self.cut(text, end));
            }
            if self.is_over() {
                return self.last(text);
            }
        }
        let key = match self.grammar.framing() {
            Framing::Elements(key) => Some(key),
            Framing::Array if elements::is_array(text.text(), self.is_first) => Some(elements::NO_KEY),
            _ => None,
        };
        Some(match key {
            Some(key) => match elements::next(text.text(), 0, key).and_then(|element| element.open) {
                Some(open) => self.skip(&text, open),
                None => {
                    let end = text.len;
                    self.lines(text, end)
                }
            },
            None => match memrchr(b'\n', text.text()) {
                Some(newline) => self.cut(text, newline + 1),
                None => self.skip(&text, Open::Line),
            },
        })
    }

    /// A line or an element longer than the limit: reads past its end, keeping its start alone.
    fn skip(&mut self, start: &Filling, mut open: Open) -> Piece {
        let (mut bytes, offset) = (start.len as u64, self.offset);
        let mut head = start.head(KEPT_BYTES_MAX);
        let mut scratch = Filling { bytes: vec![0; SKIP_BYTES], len: 0 };
        let mut newline = 0;
        while !self.is_over() {
            scratch.len = 0;
            self.fill(&mut scratch, SKIP_BYTES);
            let end = open.end(scratch.text());
            let room = KEPT_BYTES_MAX - head.len();
            head.extend_from_slice(&scratch.text()[..end.unwrap_or(scratch.len).min(room)]);
            if let Some(at) = end {
                bytes += at as u64;
                newline = usize::from(scratch.text().get(at) == Some(&b'\n'));
                self.carry.extend_from_slice(&scratch.text()[at + newline..]);
                self.done = self.done && self.carry.is_empty();
                break;
            }
            bytes += scratch.len as u64;
        }
        self.offset += bytes + newline as u64;
        self.is_first = false;
        Piece::Overlong { head, offset, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    /// Records that start at a line with a letter at its start.
    #[derive(Debug)]
    struct Lettered(Framing);

    impl Grammar for Lettered {
        fn columns(&self) -> &[crate::format::Column] {
            &[]
        }
        fn framing(&self) -> Framing {
            self.0
        }
        fn is_start(&self, line: &[u8]) -> bool {
            line.first().is_some_and(u8::is_ascii_alphabetic)
        }
        fn read(
            &self,
            _: &[u8],
            _: &crate::format::Scope<'_>,
            _: &mut crate::columns::Row<'_>,
        ) -> Result<crate::format::Parsed, crate::format::Reject> {
            Ok(crate::format::Parsed::Row)
        }
    }

    const LINES: &dyn Grammar = &Lettered(Framing::Lines);

    const SMALL: LineLimits = LineLimits { block_bytes: 8, line_bytes_max: 20 };

    /// Gives its text a few bytes at a time, then fails if told to.
    struct Dribble<'a>(&'a [u8], usize, bool);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() && self.2 {
                return Err(io::Error::other("broke"));
            }
            let bytes = self.0.len().min(self.1).min(buffer.len());
            buffer[..bytes].copy_from_slice(&self.0[..bytes]);
            self.0 = &self.0[bytes..];
            Ok(bytes)
        }
    }

    fn pieces(grammar: &dyn Grammar, text: &[u8], step: usize, fails: bool, limits: LineLimits) -> Vec<String> {
        let mut pieces = Pieces::new(Dribble(text, step, fails), grammar, limits);
        let mut shown = Vec::new();
        while let Some(piece) = pieces.next_piece() {
            shown.push(match piece {
                Piece::Lines { text, offset } => format!("{offset}: {:?}", String::from_utf8_lossy(&text)),
                Piece::Overlong { head, offset, bytes } => format!("{offset}: overlong {bytes}, {} kept", head.len()),
                Piece::Broken { fragment, offset, error, .. } => {
                    format!("{offset}: {error} after {:?}", String::from_utf8_lossy(&fragment))
                }
            });
        }
        shown
    }

    fn check(text: &[u8], fails: bool, expected: Expect) {
        for step in [1, 3, 1000] {
            expected.assert_eq(&pieces(LINES, text, step, fails, SMALL).join("\n"));
        }
    }

    #[test]
    fn blocks_of_whole_lines() {
        check(b"", false, expect![""]);
        check(b"\xef\xbb\xbf", false, expect![""]);
        check(b"\xef\xbb\xbfa\nb", false, expect![[r#"3: "a\nb""#]]);
        check(
            b"aa\nbb\ncc\ndd\n\nee",
            false,
            expect![[r#"
                0: "aa\nbb\n"
                6: "cc\ndd\n\n"
                13: "ee""#]],
        );
    }

    #[test]
    fn long_lines_grow_and_longer_ones_are_skipped() {
        check(
            b"0123456789abc\nx\n01234567890123456789012345\ny\n",
            false,
            expect![[r#"
                0: "0123456789abc\nx\n"
                16: overlong 26, 26 kept
                43: "y\n""#]],
        );
        check(b"01234567890123456789012345", false, expect!["0: overlong 26, 26 kept"]);
    }

    #[test]
    fn records_stay_whole() {
        let records = |text: &[u8], framing| pieces(&Lettered(framing), text, 3, false, SMALL).join("\n");
        expect![[r#"
            0: "a\n 1\n 2\nb\n\n"
            11: "c\n 3\n""#]]
        .assert_eq(&records(b"a\n 1\n 2\nb\n\nc\n 3\n", Framing::Records));
        // Longer than the limit: cut between two lines.
        expect![[r#"
            0: "a\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
            20: "0\nb\n""#]]
        .assert_eq(&records(b"a\n1\n2\n3\n4\n5\n6\n7\n8\n9\n0\nb\n", Framing::Records));
        expect![[r#"
            0: "a,\"1\n2\"\n"
            8: "b\n""#]]
        .assert_eq(&records(b"a,\"1\n2\"\nb\n", Framing::Quoted));
    }

    const ELEMENTS: Framing = Framing::Elements("Records");

    #[test]
    fn elements_stay_whole() {
        let elements = |text: &[u8], fails| pieces(&Lettered(ELEMENTS), text, 3, fails, SMALL).join("\n");
        expect![[r#"
            0: "{\"Records\":[{\"a\":1},"
            20: "{\"b\":2},"
            28: "{\"c\":3}]"
            36: "}""#]]
        .assert_eq(&elements(b"{\"Records\":[{\"a\":1},{\"b\":2},{\"c\":3}]}", false));
        expect![[r#"
            0: "{\"a\":1}\n"
            8: "{\"b\":2}\n""#]]
        .assert_eq(&elements(b"{\"a\":1}\n{\"b\":2}\n", false));
        // Longer than the limit: skipped to its end, wherever newlines are.
        expect![[r#"
            0: "[{\"a\":1}"
            8: overlong 34, 34 kept
            42: ",{\"c\":3}\n]""#]]
        .assert_eq(&elements(b"[{\"a\":1},{\"b\":[\n\"}\",12345678901234567890]},{\"c\":3}\n]", false));
        expect![[r#"
            0: overlong 33, 33 kept
            34: "{\"c\":3}""#]]
        .assert_eq(&elements(b"[rubbish without any end in sight\n{\"c\":3}", false));
        expect![[r#"
            0: "{\"a\":1},"
            8: "                     "
            29: "                     "
            50: "  {\"b\":2}""#]]
        .assert_eq(&elements(b"{\"a\":1},                                            {\"b\":2}", false));
        expect![[r#"
            0: "{\"Records\":[{\"a\":1},"
            20: broke after "{\"b\":""#]]
        .assert_eq(&elements(b"{\"Records\":[{\"a\":1},{\"b\":", true));
    }

    #[test]
    fn a_failure_keeps_what_came_before() {
        check(
            b"aa\nbb\nccc",
            true,
            expect![[r#"
                0: "aa\nbb\n"
                6: broke after "ccc""#]],
        );
        check(b"", true, expect![[r#"0: broke after """#]]);
    }

    proptest! {
        #[test]
        fn however_it_arrives_the_pieces_are_the_same(text in "([ab \"
    {}]|3 <a){0,40}", step in 1usize..9, fails: bool) {
            for framing in [Framing::Lines, Framing::Records, Framing::Quoted, Framing::Octets, Framing::Array, ELEMENTS] {
                let cut = |step| pieces(&Lettered(framing), text.as_bytes(), step, fails, SMALL);
                prop_assert_eq!(cut(step), cut(1000));
            }
        }

        #[test]
        fn whatever_the_blocks_the_bytes_are_the_same(text in "[ab\n{}\":,]{0,80}", block_bytes in 1usize..30) {
            for grammar in [LINES, &Lettered(ELEMENTS), &Lettered(Framing::Array)] {
                let mut pieces = Pieces::new(text.as_bytes(), grammar, LineLimits { block_bytes, line_bytes_max: 1000 });
                let mut joined = Vec::new();
                while let Some(Piece::Lines { text, offset }) = pieces.next_piece() {
                    prop_assert_eq!(offset, joined.len() as u64);
                    joined.extend(text);
                }
                prop_assert_eq!(joined, text.as_bytes());
            }
        }

        #[test]
        fn whatever_the_blocks_the_elements_are_the_same(
            text in "(\\{\"Records\":\\[|\\{\"a\":1\\}|\\{\"b\":\"\\}\"\\}|[\\[\\]{},\" \na])*",
            block_bytes in 1usize..30,
        ) {
            let all = |text: &[u8]| {
                let (mut found, mut from) = (Vec::new(), 0);
                while let Some(element) = elements::next(text, from, "Records") {
                    found.push(String::from_utf8_lossy(&text[element.start..element.end]).into_owned());
                    from = element.end;
                }
                found
            };
            let mut pieces = Pieces::new(text.as_bytes(), &Lettered(ELEMENTS), LineLimits { block_bytes, line_bytes_max: 1000 });
            let mut found = Vec::new();
            while let Some(Piece::Lines { text, .. }) = pieces.next_piece() {
                found.extend(all(&text));
            }
            prop_assert_eq!(found, all(text.as_bytes()));
        }
    }
}
