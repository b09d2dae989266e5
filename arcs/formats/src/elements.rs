//! Elements of JSON documents: text flows in, where its elements start and end flows out. A document is an object that
//! holds an array of records, an array of records, or one record after another; `{"Records":[{…},{…}]}`, `[{…},{…}]` and
//! JSON lines are alike. What is around the elements is no element of anything and is passed over. Of formats whose records
//! are lines, only what [`is_array`] tells is a document.
//!
//! Nothing but the text from the last element on decides where the next one is, so that a document can be cut between
//! any two elements, and each part is read for itself. Brackets are counted outside strings; whether an element is
//! well-formed is for the format to say. One that cannot be is ended where that shows (a newline in a string, an object
//! where only a comma could stand), so that it does not swallow those after it.

use memchr::{memchr, memchr3};

/// An element of a text, or what stands where one should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// Where it starts.
    pub start: usize,
    /// Where it ends; the end of the text for one that goes on.
    pub end: usize,
    /// How it goes on after the text; `None` if it has its end.
    pub open: Option<Open>,
}

/// An element without its end, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// An object.
    Object(Scan),
    /// Text that is no object: it goes on to the end of its line.
    Line,
}

impl Open {
    /// Reads on. Gives where in `more` the element ends, if it does.
    pub(crate) fn end(&mut self, more: &[u8]) -> Option<usize> {
        match self {
            Open::Object(scan) => scan.end(more),
            Open::Line => memchr(b'\n', more),
        }
    }
}

/// The key of the array that holds the elements of a document which is an array itself.
pub(crate) const NO_KEY: &str = "";

/// Whether a text is an array of objects, or the part of one from behind an element on, where it is not the first of its
/// object: commas and brackets tell. A text that starts with an element tells nothing, so an array is cut behind its
/// elements, before the comma.
pub(crate) fn is_array(text: &[u8], is_first: bool) -> bool {
    let text = text.trim_ascii_start();
    match text.first() {
        Some(b',' | b']' | b'}') => !is_first,
        Some(b'[') => matches!(text[between(text, NO_KEY)..].first(), None | Some(b'{')),
        _ => false,
    }
}

/// The first element of a text from a place on, which is no place inside an element. `key` is that of the array that
/// holds the elements of a document.
pub(crate) fn next(text: &[u8], from: usize, key: &str) -> Option<Element> {
    let mut start = from;
    loop {
        start += between(text.get(start..)?, key);
        match envelope(text.get(start..)?, key) {
            Some(inside) => start += inside,
            None => break,
        }
    }
    text.get(start)?;
    let mut open = if text[start] == b'{' { Open::Object(Scan::default()) } else { Open::Line };
    Some(match open.end(&text[start..]) {
        Some(len) => Element { start, end: start + len, open: None },
        None => Element { start, end: text.len(), open: Some(open) },
    })
}

/// Where the last element of a text ends that has its end, with the commas and brackets after it where those need not tell
/// what follows.
pub(crate) fn last_end(text: &[u8], key: &str) -> Option<usize> {
    let mut end = None;
    while let Some(element) = next(text, end.unwrap_or(0), key).filter(|element| element.open.is_none()) {
        end = Some(element.end);
    }
    end.map(|end| if key == NO_KEY { end } else { end + between(&text[end..], key) })
}

/// How many bytes of a text stand between elements: space, commas, and the brackets of what they are in.
pub(crate) fn between(text: &[u8], key: &str) -> usize {
    let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']') || *byte == b'}' && key != NO_KEY;
    text.iter().take_while(|byte| is_between(byte)).count()
}

/// Where the elements start of a document that starts with `{"Records":[`.
fn envelope(text: &[u8], key: &str) -> Option<usize> {
    if key == NO_KEY {
        return None;
    }
    let after = |text: &'_ [u8], token| text.trim_ascii_start().strip_prefix(token).map(<[u8]>::len);
    let rest = |len: usize| &text[text.len() - len..];
    let quote = after(rest(after(text, b"{")?), b"\"")?;
    let name = rest(quote).strip_prefix(key.as_bytes())?.strip_prefix(b"\"")?.len();
    let bracket = after(rest(after(rest(name), b":")?), b"[")?;
    Some(text.len() - bracket)
}

/// An object as it is read, byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Brackets that are open.
    depth: usize,
    is_string: bool,
    /// Whether the last byte was the backslash of an escape.
    is_escaped: bool,
    /// The last byte that was no white space and in no string.
    before: u8,
}

impl Scan {
    /// Where the object ends, behind its bracket or where it can be none, if it does in `more`.
    fn end(&mut self, more: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < more.len() {
            if self.is_string {
                at += self.string(&more[at..])?;
                if self.is_string {
                    return Some(at);
                }
                continue;
            }
            match more[at] {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    at += 1;
                    continue;
                }
                b'"' => self.is_string = true,
                b'{' if self.depth > 0 && !matches!(self.before, b':' | b',' | b'[') => return Some(at),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
            self.before = more[at];
            at += 1;
            if self.depth == 0 {
                return Some(at);
            }
        }
        None
    }

    /// Reads on in a string: up to behind its closing quote, or to a newline, which no string holds; `None` if it goes on.
    fn string(&mut self, more: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.is_escaped && at < more.len() && more[at] != b'\n' {
                (self.is_escaped, at) = (false, at + 1);
            }
            at += memchr3(b'"', b'\\', b'\n', more.get(at..)?)?;
            match more[at] {
                b'"' => {
                    self.is_string = false;
                    return Some(at + 1);
                }
                b'\n' => return Some(at),
                _ => (self.is_escaped, at) = (true, at + 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn all(text: &str) -> Vec<&str> {
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(element) = next(text.as_bytes(), from, "Records") {
            found.push(&text[element.start..element.end]);
            from = element.end;
        }
        found
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&all(text).join("\n"));
    }

    #[test]
    fn arrays_and_parts_of_them() {
        for first in ["[ {", "[\n[{", "[", " []"] {
            assert!(is_array(first.as_bytes(), true), "{first}");
        }
        for other in ["{", "[1", "[\"a\",{", ",{", "]", "}", ""] {
            assert!(!is_array(other.as_bytes(), true), "{other}");
        }
        for further in [",{", "\n , 7", "]", "}", "[{"] {
            assert!(is_array(further.as_bytes(), false), "{further}");
        }
        assert!(!is_array(b"\n{", false) && !is_array(b"7", false));
    }

    #[test]
    fn documents_of_every_shape() {
        check(
            r#"{"Records":[{"a":"}]\"{"},{"b":[{}]}]}"#,
            expect![[r#"
            {"a":"}]\"{"}
            {"b":[{}]}"#]],
        );
        check(
            "{ \"Records\" :\n [ {\"a\": 1},\r\n {\"b\": 2} ] }\n",
            expect![[r#"
            {"a": 1}
            {"b": 2}"#]],
        );
        check(
            "[{\"a\":1} , {}]",
            expect![[r#"
            {"a":1}
            {}"#]],
        );
        check(
            "{\"a\":1}\n{\"b\":2}{\"c\":3}",
            expect![[r#"
            {"a":1}
            {"b":2}
            {"c":3}"#]],
        );
        check(r#"{"Records":[]}"#, expect![[""]]);
        check(r#"{"Record":[{"a":1}]}"#, expect![[r#"{"Record":[{"a":1}]}"#]]);
        check(r#"{"Records":{"a":1}}"#, expect![[r#"{"Records":{"a":1}}"#]]);
        check("", expect![[""]]);
    }

    #[test]
    fn what_is_no_element_ends_where_that_shows() {
        check(
            "{\"a\":\"open\n{\"b\":2}",
            expect![[r#"
            {"a":"open
            {"b":2}"#]],
        );
        check(
            "{\"a\":{\"b\":1}\n{\"c\":2}",
            expect![[r#"
            {"a":{"b":1}

            {"c":2}"#]],
        );
        check(
            "{\"a\":\"escaped\\\n{\"b\":2}",
            expect![[r#"
            {"a":"escaped\
            {"b":2}"#]],
        );
        check(
            "rubbish {\"a\":1}\n{\"b\":2}",
            expect![[r#"
            rubbish {"a":1}
            {"b":2}"#]],
        );
        check(
            r#"{"Records":[{"a":1},{"b":"#,
            expect![[r#"
            {"a":1}
            {"b":"#]],
        );
        check(
            "{{{\"a\":1}",
            expect![[r#"
            {
            {
            {"a":1}"#]],
        );
    }

    proptest! {
        #[test]
        fn elements_are_the_same_in_parts(text in "([{}\\[\\],:\"a\\\\\n ]|\\{\"Records\":\\[|\\{\"a\":1\\}){0,40}") {
            let whole = all(&text);
            let mut from = 0;
            for n in 0..whole.len() {
                prop_assert_eq!(&all(&text[from..]), &whole[n..]);
                from = next(text.as_bytes(), from, "Records").unwrap().end;
            }
        }

        #[test]
        fn an_open_element_goes_on(text in "\\{[{}\\[\\],:\"a\\\\\n ]{0,40}", cut in 1usize..40) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            if let Some(Element { start: 0, open: Some(mut open), .. }) = next(&bytes[..cut], 0, "Records") {
                let Some(whole) = next(bytes, 0, "Records") else { panic!("an element") };
                let end = open.end(&bytes[cut..]).map(|end| end + cut);
                prop_assert_eq!(end, whole.open.is_none().then_some(whole.end));
            }
        }
    }
}
