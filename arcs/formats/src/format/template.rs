//! The shape of a message: text flows in; the same text with `<*>` for what varies, and a hash of it, flow out. One pass
//! over the bytes, no dictionary and no state: the same message has the same template in every lot, on every machine.
//!
//! What varies: numbers with sign and fraction, IP addresses, UUIDs, MAC addresses, hexadecimal ids, words that mix
//! letters and digits often, digits inside words, dates, quoted values, the folders of absolute paths. Words without digits
//! stay. Items of a list that are alike are one.
//!
//! Invariant: templates and fingerprints of a message never change between versions, or error statistics would break.

/// What stands for a part that varies.
pub(super) const HOLE: &str = "<*>";

/// Bytes of a message that its template is made of; the rest has no say.
const TEMPLATE_BYTES_MAX: usize = 2048;

/// The shortest word of hexadecimal digits that is an id.
const HEX_ID_BYTES_MIN: usize = 6;

/// Separate runs of digits that make a word an id.
const ID_DIGIT_RUNS_MIN: usize = 3;

/// The 64-bit FNV-1a hash, as a signed integer: columns have no unsigned ones.
pub(super) fn fingerprint(template: &[u8]) -> i64 {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    template.iter().fold(0xcbf2_9ce4_8422_2325, hash) as i64
}

/// The part of a message that its template is made of: its first line, as far as the limit.
pub(super) fn head(message: &str) -> &str {
    let end = memchr::memchr(b'\n', message.as_bytes()).unwrap_or(message.len());
    let line = message[..end].trim_ascii_end();
    match line.len() {
        0..=TEMPLATE_BYTES_MAX => line,
        _ => &line[..(0..=TEMPLATE_BYTES_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0)],
    }
}

/// Adds the template of a [`head`] to `out`. False, and nothing is added, where nothing in it varies.
pub(super) fn write(text: &str, out: &mut String) -> bool {
    let mut shape = Shape { text, bytes: text.as_bytes(), kept: 0, at: 0, from: out.len(), out, is_quoted: true };
    while let Some(byte) = shape.bytes.get(shape.at) {
        match CLASSES[*byte as usize] {
            Class::Other => shape.at += 1,
            Class::Word(_) => shape.word(),
            Class::Quote => shape.quote(*byte),
            Class::Slash => shape.path(),
        }
    }
    if shape.kept == 0 {
        return false;
    }
    shape.out.push_str(&text[shape.kept..]);
    true
}

/// Kinds of letters of words, to be united.
const DIGIT: u8 = 1;
const HEX_LETTER: u8 = 2;
const OTHER_LETTER: u8 = 4;

#[derive(Clone, Copy)]
enum Class {
    Other,
    Word(u8),
    Quote,
    Slash,
}

/// Bytes beyond ASCII belong to words, so that holes are cut at ASCII bytes alone.
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => Class::Word(DIGIT),
            b'a'..=b'f' | b'A'..=b'F' => Class::Word(HEX_LETTER),
            b'a'..=b'z' | b'A'..=b'Z' | 128.. => Class::Word(OTHER_LETTER),
            _ => Class::Other,
        };
        byte += 1;
    }
    classes[b'"' as usize] = Class::Quote;
    classes[b'\'' as usize] = Class::Quote;
    classes[b'/' as usize] = Class::Slash;
    classes
};

struct Shape<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// What stands before is in `out`.
    kept: usize,
    at: usize,
    out: &'a mut String,
    /// Where the template starts in `out`.
    from: usize,
    /// Whether a closing double quote may still come.
    is_quoted: bool,
}

impl Shape<'_> {
    /// A word without digits stays as it is, unless it starts an id that has separators.
    #[inline]
    fn word(&mut self) {
        let (start, mut end, mut kinds) = (self.at, self.at, 0);
        while let Some(Class::Word(kind)) = self.bytes.get(end).map(|byte| CLASSES[usize::from(*byte)]) {
            kinds |= kind;
            end += 1;
        }
        let (length, next) = (end - start, self.bytes.get(end));
        let is_hex = kinds & OTHER_LETTER == 0;
        let joined = match next {
            Some(b'-') if length == 8 && is_hex => uuid(&self.bytes[start..]),
            Some(b':') if length <= 4 && is_hex => colons(&self.bytes[start..]),
            Some(b' ') if length == 3 && kinds & DIGIT == 0 => date(&self.bytes[start..]),
            _ => None,
        };
        self.at = match joined {
            Some(joined) => self.hole(start, start + joined),
            None if kinds & DIGIT == 0 => end,
            None if kinds == DIGIT => self.number(start, end),
            None => self.mixed(start, end, is_hex),
        };
    }

    /// A word of digits and letters: an id as a whole, or with holes for its digits.
    fn mixed(&mut self, start: usize, end: usize, is_hex: bool) -> usize {
        let word = &self.bytes[start..end];
        let runs = (0..word.len()).filter(|at| word[*at].is_ascii_digit() && (*at == 0 || !word[at - 1].is_ascii_digit())).count();
        let is_id = is_hex && word.len() >= HEX_ID_BYTES_MIN || runs >= ID_DIGIT_RUNS_MIN;
        let is_prefixed = word.starts_with(b"0x") && word[2..].iter().all(u8::is_ascii_hexdigit);
        if is_id || is_prefixed { self.hole(start, end) } else { self.digits(start, end) }
    }

    /// Digits, with what follows after points and with a sign before.
    fn number(&mut self, start: usize, mut end: usize) -> usize {
        while self.bytes.get(end) == Some(&b'.') && self.bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            end += 1 + digits(&self.bytes[end + 1..]);
        }
        let is_signed = match self.bytes[self.kept..start] {
            [.., before, b'-' | b'+'] => !before.is_ascii_alphanumeric() && !matches!(before, b'>' | b')' | b']' | b'-'),
            [b'-' | b'+'] => start == 1,
            _ => false,
        };
        self.hole(start - usize::from(is_signed), end)
    }

    /// The digits inside a word, one run after the other; a word that starts with a number may go on after a point.
    fn digits(&mut self, start: usize, end: usize) -> usize {
        let first = digits(&self.bytes[start..end]);
        let mut at = if first > 0 { self.number(start, start + first) } else { start };
        while at < end {
            let run = digits(&self.bytes[at..end]);
            at = match run {
                0 => at + 1,
                run if at + run == end => self.number(at, end),
                run => self.hole(at, at + run),
            };
        }
        end.max(at)
    }

    /// A quoted value. What a colon or an equals sign follows is a name, and stays.
    fn quote(&mut self, quote: u8) {
        let open = self.at;
        self.at += 1;
        let rest = &self.bytes[self.at..];
        let length = match quote {
            b'"' if self.is_quoted => closing(rest),
            b'\'' if open == 0 || !self.bytes[open - 1].is_ascii_alphanumeric() => apostrophe(rest),
            _ => return,
        };
        match length {
            None => self.is_quoted &= quote != b'"',
            Some(0) => self.at += 1,
            Some(length) => {
                let end = self.at + length;
                if !matches!(self.bytes.get(end + 1), Some(b':' | b'=')) {
                    self.hole(self.at, end);
                }
                self.at = end + 1;
            }
        }
    }

    /// The folders of an absolute path; its last part is read like other words.
    fn path(&mut self) {
        let start = self.at;
        self.at += 1;
        let before = start.checked_sub(1).map(|before| self.bytes[before]);
        if before.is_some_and(|before| before.is_ascii_alphanumeric() || matches!(before, b'/' | b'.' | b'_' | b'-' | b')' | b'>' | b'<')) {
            return;
        }
        let rest = &self.bytes[self.at..];
        if rest.starts_with(b"/") {
            return;
        }
        let length = rest.iter().position(|byte| {
            byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'?' | b'=')
        });
        match memchr::memrchr(b'/', &rest[..length.unwrap_or(rest.len())]) {
            Some(folders) if folders > 0 => self.at = self.hole(self.at, self.at + folders) + 1,
            _ => {}
        }
    }

    /// Puts a hole for the bytes from `start` to `end`, or nothing where that repeats the item before.
    fn hole(&mut self, start: usize, end: usize) -> usize {
        self.out.push_str(&self.text[self.kept..start]);
        self.out.push_str(HOLE);
        self.kept = end;
        if matches!(self.bytes.get(end), None | Some(b' ' | b',' | b']' | b')')) {
            self.fold();
        }
        end
    }

    /// Drops the last item of a list that is like the one before it.
    fn fold(&mut self) {
        let out = &self.out.as_bytes()[self.from..];
        let is_between = |byte: &u8| matches!(byte, b' ' | b',');
        let Some(item) = out.iter().rposition(is_between).map(|at| at + 1) else { return };
        let before = &out[..item];
        let list = before.len() - before.iter().rev().take_while(|byte| is_between(byte)).count();
        if item - list <= 2 && before[..list].ends_with(&out[item..]) {
            let is_whole = list == out.len() - item || matches!(before.get(list + item - out.len() - 1), Some(b' ' | b',' | b'[' | b'('));
            if list >= out.len() - item && is_whole {
                self.out.truncate(self.from + list);
            }
        }
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of a date in words, `Fri Jul  1 10:04:05 2005`: the day of the week and what follows the day are optional.
fn date(text: &[u8]) -> Option<usize> {
    let is_weekday = |word: &[u8]| matches!(word, b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun");
    let spaces = |at: usize| at + text.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == b' ').count();
    let start = if is_weekday(text.get(..3)?) { spaces(3) } else { 0 };
    super::time::month(text.get(start..start + 3)?)?;
    let day = spaces(start + 3);
    let mut end = day + digits(text.get(day..)?);
    if !(1..=2).contains(&(end - day)) || day == start + 3 {
        return None;
    }
    let is_time = |time: &[u8]| {
        time.len() == 9
            && time.iter().enumerate().all(|(at, byte)| match at {
                0 => *byte == b' ',
                3 | 6 => *byte == b':',
                _ => byte.is_ascii_digit(),
            })
    };
    if text.get(end..end + 9).is_some_and(is_time) {
        end += 9;
        let is_year = |year: &[u8]| year[0] == b' ' && digits(&year[1..]) == 4;
        end += if text.get(end..end + 5).is_some_and(is_year) { 5 } else { 0 };
    }
    Some(end)
}

/// The length of a UUID.
fn uuid(text: &[u8]) -> Option<usize> {
    let text = text.get(..37).unwrap_or(text);
    let is_shaped = text.iter().take(36).enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    let ends = text.get(36).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (is_shaped && ends && text.len() >= 36).then_some(36)
}

/// The length of an IPv6 address, a MAC address or the print of a key: hexadecimal groups between colons, enough of them
/// that it is no time of day.
fn colons(text: &[u8]) -> Option<usize> {
    let length = text.iter().take_while(|byte| byte.is_ascii_hexdigit() || **byte == b':').count();
    let text = text[..length].strip_suffix(b":").filter(|shorter| !shorter.ends_with(b":")).unwrap_or(&text[..length]);
    let (mut colons, mut group, mut is_short) = (0, 0, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b':' => {
                is_short |= at > 0 && text[at - 1] == b':';
                (colons, group) = (colons + 1, 0);
            }
            _ => group += 1,
        }
        if group > 4 {
            return None;
        }
    }
    let has_digit = text.iter().any(u8::is_ascii_digit);
    (has_digit && (colons >= 5 || is_short && colons >= 2)).then_some(text.len())
}

/// How long a text goes on before its closing double quote.
fn closing(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', text).find(|at| *at == 0 || text[at - 1] != b'\\')
}

/// How long a text goes on before a single quote that is no apostrophe.
fn apostrophe(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\'', text).take(8).find(|at| text.get(at + 1).is_none_or(|next| !next.is_ascii_alphanumeric()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn template(message: &str) -> String {
        let mut out = String::new();
        let head = head(message);
        if write(head, &mut out) { out } else { head.to_owned() }
    }

    fn check(messages: &[&str], expected: Expect) {
        let templates: Vec<_> = messages.iter().map(|message| template(message)).collect();
        expected.assert_eq(&templates.join("\n"));
    }

    #[test]
    fn numbers_and_what_is_around_them() {
        check(
            &[
                "took 12 ms, 3.5ms, -4, +5, 1-2, a-3, (-6), x=-7, v1.2.3",
                "blk_38865049064139660 blk_-6952295868487656571 part-00020",
                "10.251.73.220:50010 [::1]:80 fe80::1 2001:db8:0:1:1:1:1:1 at 06:55:46,123",
                "id 123e4567-e89b-12d3-a456-426614174000. deadbeef-dead-beef-dead-beefdeadbeef",
                "MD5 39:33:99:e9:a0:dc:f2:33:a3:e5:72:3b:7c:3a:56:84 done",
                "0x7d16ffef 9f4ef63 vWNJsZ3x9 sha256 facade deadbe 3e5",
                "[1, 2, 3] [1] 1,2 and 1 2; blk_1 blk_2 blk_3, x1y x2 ax1 x1 x1",
                "at Fri Jul  1 10:04:05 2005, on Jul 12 and May 3rd",
                "read /var/lib/x-7/f_1.txt: /a ./b/c http://h/a/b and/or GET /api/v1/users/7?q=/x/y",
            ],
            expect![[r#"
                took <*> ms, <*>ms, <*>, <*>-<*>, a-<*>, (<*>), x=<*>, v<*>
                blk_<*> part-<*>
                <*>:<*> [::<*>]:<*> <*> at <*>:<*>:<*>,<*>
                id <*>. <*>
                MD<*> <*> done
                <*> vWNJsZ<*>x<*> sha<*> facade deadbe <*>e<*>
                [<*>] [<*>] <*> and <*> <*>; blk_<*>, x<*>y x<*> ax<*> x<*>
                at <*>, on <*> and <*>rd
                read /<*>/f_<*>.txt: /a ./b/c http://h/a/b and/or GET /<*>/<*>?q=/<*>/y"#]],
        );
    }

    #[test]
    fn quotes_and_words() {
        check(
            &[
                r#"user "bob" didn't say 'it's fine' or '' or "" "#,
                r#"{"took":3,"index":"x-1"} {:name=>"a \" b"}"#,
                "an unclosed \" quote 5 and ' another",
                "nothing varies here, größer ünd",
                "grö5er",
                "first line 1\nsecond line 2",
                "",
            ],
            expect![[r#"
                user "<*>" didn't say '<*>' or '' or ""
                {"took":<*>,"index":"<*>"} {:name=>"<*>"}
                an unclosed " quote <*> and ' another
                nothing varies here, größer ünd
                grö<*>er
                first line <*>
                "#]],
        );
    }

    #[test]
    fn fingerprints_never_change() {
        assert_eq!(fingerprint(b""), -3_750_763_034_362_895_579);
        assert_eq!(fingerprint(b"a") as u64, 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fingerprint(template("took 12 ms").as_bytes()), fingerprint(b"took <*> ms"));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(head(&"ä".repeat(TEMPLATE_BYTES_MAX)).len(), TEMPLATE_BYTES_MAX);
        assert_eq!(head(&format!("x{}", "ä".repeat(TEMPLATE_BYTES_MAX))).len(), TEMPLATE_BYTES_MAX - 1);
    }

    /// The columns of a line of CSV.
    pub(in crate::format) fn csv(line: &str) -> Vec<String> {
        let (mut cells, mut cell, mut is_quoted, mut chars) = (Vec::new(), String::new(), false, line.chars().peekable());
        while let Some(char) = chars.next() {
            match char {
                '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => is_quoted = !is_quoted,
                ',' if !is_quoted => cells.push(std::mem::take(&mut cell)),
                char => cell.push(char),
            }
        }
        cells.push(cell);
        cells
    }

    /// For each set of real logs: messages whose template has exactly the messages that the ground truth puts together,
    /// and templates of ours beside those of the ground truth.
    fn agreement(folder: &std::path::Path) -> String {
        use std::collections::{BTreeMap, BTreeSet};
        let mut shown = String::new();
        for set in ["Android", "Apache", "HDFS", "HealthApp", "Linux", "OpenSSH"] {
            let text = std::fs::read_to_string(folder.join(format!("{set}/{set}_2k.log_structured.csv"))).unwrap();
            let mut lines = text.lines().map(csv);
            let header = lines.next().unwrap();
            let column = |name: &str| header.iter().position(|column| column == name).unwrap();
            let (content, event) = (column("Content"), column("EventId"));
            let (mut ours, mut theirs) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
            for (n, line) in lines.enumerate() {
                ours.entry(template(&line[content])).or_default().insert(n);
                theirs.entry(line[event].clone()).or_default().insert(n);
            }
            let truth: BTreeSet<_> = theirs.values().collect();
            let agreed: usize = ours.values().filter(|group| truth.contains(group)).map(BTreeSet::len).sum();
            let all: usize = ours.values().map(BTreeSet::len).sum();
            shown += &format!("{set}: {agreed} of {all} messages, {} templates for {}\n", ours.len(), theirs.len());
        }
        shown
    }

    /// What keeps ours apart: names without digits, of users, hosts, packages and activities, which no rule can tell from
    /// the words around them.
    #[test]
    fn real_messages_group_as_people_grouped_them() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/loghub");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real logs in ../shared/data/loghub");
            return;
        }
        expect![[r#"
            Android: 1661 of 2000 messages, 198 templates for 166
            Apache: 2000 of 2000 messages, 6 templates for 6
            HDFS: 1995 of 2000 messages, 15 templates for 14
            HealthApp: 2000 of 2000 messages, 75 templates for 75
            Linux: 378 of 2000 messages, 152 templates for 118
            OpenSSH: 671 of 2000 messages, 197 templates for 27
        "#]]
        .assert_eq(&agreement(&folder));
    }

    proptest! {
        #[test]
        fn digits_never_stay_in_words_and_nothing_panics(text in "[a-f0-9x .:,'\"_=\\-ä\\\\]{0,60}") {
            let _ = template(&text);
        }

        #[test]
        fn any_number_has_the_template_of_any_other(a: i64, b: i64) {
            prop_assert_eq!(template(&format!("took {a} ms")), template(&format!("took {b} ms")));
        }
    }
}
