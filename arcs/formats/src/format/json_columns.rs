//! The columns of JSON objects: options, or samples of a log, flow in; for each member where its value goes flows out.
//!
//! Members with names that everybody uses (`timestamp`, `lvl`, `msg`, …) go to the common columns. The others have
//! columns of their own, in the order in which samples show them first; their type is that of their first value that is
//! not null. The same samples give the same columns.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use manifests::LearnedColumn;
use serde_json::Value;

use super::json_fields::{Json, members, skip_space};
use super::{Column, Problem, Values, app};
use crate::columns::Kind;
use crate::elements;

/// Columns that samples may add; members beyond them go to `extra`.
pub(super) const INFERRED_MAX: usize = 256;

/// Members of common columns whose places are remembered.
const COMMON_MAX: usize = 64;

/// The greatest integer up to which floating-point numbers are exact.
const EXACT_MAX: i64 = 1 << 53;

/// A common column, and how values become its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Common {
    Time,
    Level,
    Message,
    Exception,
    StackTrace,
    Fields,
    /// A text as it is.
    Text(usize),
}

/// What values a column of its own takes; others go to `extra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// Strings.
    Text,
    /// Objects and arrays, as JSON text.
    Nested,
    /// Anything, as text.
    Any,
    /// Numbers and strings that are numbers of this kind, booleans, times.
    Kind(Kind),
    /// Integers.
    Int,
    /// Integers of more than 64 bits, as text.
    Large,
    /// Numbers.
    Double,
    /// Booleans.
    Boolean,
}

impl Own {
    /// Those that samples show, and their words in what a dataset has learned.
    const WORDS: [(Own, &str); 6] = [
        (Own::Text, "strings"),
        (Own::Nested, "nested"),
        (Own::Int, "integers"),
        (Own::Large, "large integers"),
        (Own::Double, "numbers"),
        (Own::Boolean, "booleans"),
    ];

    fn word(self) -> Option<&'static str> {
        Own::WORDS.iter().find(|(own, _)| *own == self).map(|(_, word)| *word)
    }

    fn find(word: &str) -> Option<Own> {
        Own::WORDS.iter().find(|(_, known)| *known == word).map(|(own, _)| *own)
    }

    fn kind(self) -> Kind {
        match self {
            Own::Text | Own::Nested | Own::Any | Own::Large => Kind::Text,
            Own::Kind(kind) => kind,
            Own::Int => Kind::Int64,
            Own::Double => Kind::Double,
            Own::Boolean => Kind::Boolean,
        }
    }
}

/// Where the values of a member go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    pub common: Option<Common>,
    pub own: Option<(usize, Own)>,
}

/// All columns, and the members that fill them.
#[derive(Clone, Debug)]
pub(super) struct Members {
    pub columns: Vec<Column>,
    targets: Vec<(Vec<u8>, Target)>,
    places: HashMap<Vec<u8>, usize>,
}

impl Members {
    /// The common columns, and `more` after them, with nothing else.
    pub(super) fn common(more: Vec<Column>) -> Members {
        Members { columns: app::COLUMNS.iter().cloned().chain(more).collect(), targets: Vec::new(), places: HashMap::new() }
    }

    /// Adds the columns that a project file gives: `{member: type}`.
    pub(super) fn declare(&mut self, columns: &Value, option: &str) -> Result<(), Problem> {
        let at = |name: &str| format!("{option}.{name}");
        let columns = columns.as_object().ok_or_else(|| Problem::new(option, "must be an object {member: type}"))?;
        for (name, kind) in columns {
            let own = match kind.as_str() {
                Some("string" | "json") => Own::Any,
                Some(kind) => match Kind::find(kind).filter(|kind| *kind != Kind::Bytes) {
                    Some(kind) => Own::Kind(kind),
                    None => return Err(Problem::new(at(name), TYPES)),
                },
                None => return Err(Problem::new(at(name), TYPES)),
            };
            match app::COLUMNS.iter().find(|column| column.name == name.as_str()) {
                Some(column) if column.kind == own.kind() => {}
                Some(column) => {
                    let kind = column.kind.as_str();
                    return Err(Problem::new(at(name), format!("is one of the columns of all applications: its type is {kind}")));
                }
                None => self.add(name.as_bytes(), own),
            }
        }
        Ok(())
    }

    /// Adds the columns that are known, and after them those of other members that samples have. `record` hands over the members of the record that a text starts
    /// with, and gives where it ends; `None` where none starts.
    pub(super) fn infer(&mut self, known: &[LearnedColumn], samples: &[&[u8]], record: Record) {
        for learned in known.iter().take(INFERRED_MAX) {
            if let Some(own) = Own::find(&learned.takes).filter(|_| self.columns.iter().all(|column| column.name != learned.column)) {
                self.add_named(learned.member.as_bytes(), own, learned.column.clone());
            }
        }
        let mut seen = Seen::default();
        for sample in samples {
            seen.take(sample, record);
        }
        let Seen { order, found, .. } = seen;
        let mut left = INFERRED_MAX.saturating_sub(self.targets.len());
        for name in order {
            match found.get(&name) {
                _ if self.places.contains_key(&name) => {}
                // So that they are found where they are expected.
                None => self.place(&name, Target { common: std::str::from_utf8(&name).ok().and_then(common), own: None }),
                Some(_) if left == 0 => {}
                Some(own) => {
                    left -= 1;
                    own.iter().for_each(|own| self.add(&name, *own));
                }
            }
        }
    }

    fn add(&mut self, name: &[u8], own: Own) {
        let text = String::from_utf8_lossy(name);
        let taken: HashSet<&str> = self.columns.iter().map(|column| &*column.name).chain(["parse", "extra"]).collect();
        let free = free_name(&text, &taken);
        self.add_named(name, own, free);
    }

    fn add_named(&mut self, name: &[u8], own: Own, free: String) {
        let text = String::from_utf8_lossy(name);
        let column = Column::named(free, own.kind(), Values::Repeating, format!("member {:?} of the object", text));
        let target = Target { common: common(&text), own: Some((self.columns.len(), own)) };
        self.columns.push(column);
        self.place(name, target);
    }

    fn place(&mut self, name: &[u8], target: Target) {
        self.places.insert(name.to_vec(), self.targets.len());
        self.targets.push((name.to_vec(), target));
    }

    /// The columns that samples showed, now or earlier.
    pub(super) fn learned(&self) -> Vec<LearnedColumn> {
        let learned = |(name, target): &(Vec<u8>, Target)| {
            let (column, own) = target.own?;
            let (member, takes) = (String::from_utf8(name.clone()).ok()?, own.word()?.to_owned());
            Some(LearnedColumn { member, column: self.columns.get(column)?.name.clone().into_owned(), takes })
        };
        self.targets.iter().filter_map(learned).collect()
    }

    /// Where a member goes. `next` is the place at which it is expected, because objects have their members in the same
    /// order mostly.
    #[inline]
    pub(super) fn target(&self, name: &[u8], next: &mut usize) -> Target {
        if let Some((_, target)) = self.targets.get(*next).filter(|(expected, _)| expected == name) {
            *next += 1;
            return *target;
        }
        match self.places.get(name) {
            Some(place) => {
                *next = place + 1;
                self.targets[*place].1
            }
            None => Target { common: std::str::from_utf8(name).ok().and_then(common), own: None },
        }
    }
}

const TYPES: &str = "must be string, json, int, bigint, double, boolean or timestamp";

/// Hands over the members of the record that a text starts with, and gives where it ends.
pub(super) type Record = for<'a> fn(&'a [u8], &mut dyn FnMut(&[u8], Json<'a>)) -> Option<usize>;

/// The record that is an object.
pub(super) fn object<'a>(text: &'a [u8], take: &mut dyn FnMut(&[u8], Json<'a>)) -> Option<usize> {
    let each = |name: Cow<'a, [u8]>, value| {
        take(&name, value);
        Ok(())
    };
    members(text, each).ok()
}

/// What samples have shown.
#[derive(Default)]
struct Seen {
    /// Members in the order in which they came first.
    order: Vec<Vec<u8>>,
    /// Those that have no column of their own.
    common: HashSet<Vec<u8>>,
    found: HashMap<Vec<u8>, Option<Own>>,
    /// Members with an integer that is not exact as a floating-point number.
    large: HashSet<Vec<u8>>,
}

impl Seen {
    /// Takes the records of a sample in; what is none is skipped, line by line.
    fn take(&mut self, sample: &[u8], record: Record) {
        let sample = std::str::from_utf8(sample).map_or_else(|error| &sample[..error.valid_up_to()], str::as_bytes);
        let mut at = 0;
        while at < sample.len() {
            at = skip_space(sample, at);
            let (rest, mut values) = (&sample[at..], Vec::new());
            let end = record(rest, &mut |name, value| values.push((name.to_vec(), value)));
            for (name, value) in values.into_iter().filter(|_| end.is_some()) {
                self.member(name, &value);
            }
            let skipped = || match elements::between(rest, elements::NO_KEY) {
                between if between > 0 && rest.get(between) == Some(&b'{') => between,
                _ => memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1),
            };
            at += end.unwrap_or_else(skipped).max(1);
        }
    }

    fn member(&mut self, name: Vec<u8>, value: &Json<'_>) {
        if std::str::from_utf8(&name).is_ok_and(|name| common(name).is_some()) {
            if self.common.len() < COMMON_MAX && self.common.insert(name.clone()) {
                self.order.push(name);
            }
            return;
        }
        let own = match value {
            Json::Null => None,
            Json::Boolean(_) => Some(Own::Boolean),
            Json::Text(_) => Some(Own::Text),
            Json::Nested(_) => Some(Own::Nested),
            Json::Number(_) if value.int().is_some() => Some(Own::Int),
            Json::Number(_) if is_integer(value) => Some(Own::Large),
            Json::Number(_) => Some(Own::Double),
        };
        if value.int().is_some_and(|value| value.unsigned_abs() > EXACT_MAX.unsigned_abs()) {
            self.large.insert(name.clone());
        }
        match self.found.get_mut(&name) {
            None => {
                self.order.push(name.clone());
                self.found.insert(name, own);
            }
            Some(found @ None) => *found = own,
            // Some fractions among integers.
            Some(found @ Some(Own::Int)) if own == Some(Own::Double) && !self.large.contains(&name) => *found = own,
            Some(_) => {}
        }
    }
}

/// Whether a value is a number without a fraction and an exponent.
pub(super) fn is_integer(value: &Json<'_>) -> bool {
    matches!(value, Json::Number(text) if text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-'))
}

/// The common column of a member that has a name that everybody uses, in whatever case and with whatever between words.
fn common(name: &str) -> Option<Common> {
    let mut letters = [0; 24];
    let mut length = 0;
    for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
        *letters.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    Some(match &letters[..length] {
        b"timestamp" | b"ts" | b"time" | b"datetime" | b"timemillis" | b"asctime" => Common::Time,
        b"level" | b"severity" | b"lvl" | b"loglevel" | b"levelname" | b"severitytext" => Common::Level,
        b"message" | b"msg" => Common::Message,
        b"exception" | b"error" | b"err" | b"thrown" | b"excinfo" | b"errortype" => Common::Exception,
        b"stack" | b"stacktrace" | b"errorstacktrace" | b"traceback" | b"backtrace" => Common::StackTrace,
        b"fields" | b"mdc" | b"contextmap" => Common::Fields,
        b"logger" | b"loggername" | b"loglogger" | b"component" => Common::Text(app::LOGGER),
        b"thread" | b"threadname" | b"processthreadname" => Common::Text(app::THREAD),
        b"host" | b"hostname" => Common::Text(app::HOST),
        b"service" | b"servicename" | b"app" | b"application" | b"appname" => Common::Text(app::SERVICE),
        _ => return None,
    })
}

/// A column's name for a member: words in lower case between underscores; a number makes it another where it is taken.
fn free_name(member: &str, taken: &HashSet<&str>) -> String {
    let mut name = String::new();
    let mut before = ' ';
    for (at, letter) in member.char_indices() {
        let next = member[at + letter.len_utf8()..].chars().next().unwrap_or(' ');
        let starts_word =
            letter.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit() || next.is_ascii_lowercase());
        if (starts_word || !letter.is_ascii_alphanumeric()) && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if letter.is_ascii_alphanumeric() {
            name.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    let name = match name.trim_end_matches('_') {
        "" => "member".to_owned(),
        name if name.starts_with(|first: char| first.is_ascii_digit()) => format!("_{name}"),
        name => name.to_owned(),
    };
    let numbered = (2..).map(|number| Cow::Owned(format!("{name}_{number}")));
    let mut names = std::iter::once(Cow::Borrowed(name.as_str())).chain(numbered);
    names.find(|name| !taken.contains(&**name)).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(samples: &[&str]) -> Vec<String> {
        let samples: Vec<_> = samples.iter().map(|sample| sample.as_bytes()).collect();
        let mut members = Members::common(Vec::new());
        members.infer(&[], &samples, object);
        members.columns[app::COLUMNS.len()..].iter().map(|column| format!("{} {}", column.name, column.kind.as_str())).collect()
    }

    #[test]
    fn members_have_columns_in_the_order_of_their_first_appearance() {
        let sample =
            "{\"b\":null,\"a\":1,\"ts\":1}{\"b\":\"x\",\"a\":1.5,\"c\":{\"d\":1}}\nrubbish\n{\n \"e\": true,\n \"b\": 7\n}\n{\"f\":[1]";
        assert_eq!(inferred(&[sample]), ["b string", "a double", "c string", "e boolean"]);
        assert_eq!(inferred(&["{\"n\":9007199254740993}", "{\"n\":0.5,\"u\":18446744073709551615}"]), ["n bigint", "u string"]);
    }

    #[test]
    fn what_was_learned_stays() {
        let infer = |known: &[LearnedColumn], sample: &str| {
            let mut members = Members::common(Vec::new());
            members.infer(known, &[sample.as_bytes()], object);
            members.learned()
        };
        let known = infer(&[], r#"{"userID":1,"user-id":"x","a":{"b":1}}"#);
        let shown = |learned: &[LearnedColumn]| {
            learned.iter().map(|learned| format!("{} {} {}", learned.member, learned.column, learned.takes)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&known), ["userID user_id integers", "user-id user_id_2 strings", "a a nested"]);
        let later = infer(&known, r#"{"new":true,"user-id":1,"userID":"y","a":"text","userId":2}"#);
        assert_eq!(shown(&later)[..3], shown(&known));
        assert_eq!(shown(&later)[3..], ["new new booleans", "userId user_id_3 integers"]);
        assert_eq!(infer(&later, "{}"), later);
    }

    #[test]
    fn names_of_columns() {
        let names = inferred(&[r#"{"userID":1,"user-id":2,"HTTPStatus":3,"@x.y":4,"Parse":5,"2nd":6,"größe":7,"":8,"template":9}"#]);
        let names: Vec<_> = names.iter().map(|name| name.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["user_id", "user_id_2", "http_status", "x_y", "parse_2", "_2nd", "gr_e", "member", "template_2"]);
    }

    #[test]
    fn there_is_a_limit_to_columns() {
        let sample: String = (0..INFERRED_MAX + 50).map(|n| format!("{{\"m{n}\":1}}")).collect();
        assert_eq!(inferred(&[&sample]).len(), INFERRED_MAX);
    }
}
