//! Reading a JSON object field by field: what is there flows out typed, everything that is not as it must be is
//! collected with its JSON path. Reading goes on after a problem, so that one look finds them all.

use std::cell::RefCell;

use manifests::check_name;
use serde_json::{Map, Value};

use crate::file::Problem;

/// How alike two names must be, from 0 to 1, for one to be offered as the correction of the other.
const ALIKE_LEAST: f64 = 0.7;
/// More problems than these are counted, not kept.
pub const PROBLEMS_MAX: usize = 1000;

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
}

impl Problems {
    /// Adds one without a correction.
    pub fn add(&self, path: impl Into<String>, message: impl Into<String>) {
        self.keep(Problem { path: path.into(), message: message.into(), fix: None });
    }

    /// Adds one with its likely correction, where there is one.
    pub fn add_fix(&self, path: impl Into<String>, message: impl Into<String>, fix: Option<String>) {
        self.keep(Problem { path: path.into(), message: message.into(), fix });
    }

    /// Adds one that was found elsewhere.
    pub fn keep(&self, problem: Problem) {
        let mut found = self.found.borrow_mut();
        if found.len() < PROBLEMS_MAX && !found.contains(&problem) {
            found.push(problem);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Problem> {
        self.found.into_inner()
    }
}

/// The known name most like `text`, if any is alike.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_lowercase();
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name));
    scored.filter(|(score, _)| *score >= ALIKE_LEAST).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// `did you mean …`, if any known name is alike.
pub fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(text, known).map(|name| format!("did you mean `{name}`?"))
}

/// What a JSON value is, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A JSON object whose fields are asked for one by one; those nobody asked for are problems in the end.
#[derive(Debug)]
pub struct Object<'a> {
    /// Its JSON path, `arcs[1]`; empty for the file itself.
    pub path: String,
    map: &'a Map<String, Value>,
    problems: &'a Problems,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Object<'a> {
    /// `value` as an object.
    pub fn new(path: impl Into<String>, value: &'a Value, problems: &'a Problems) -> Option<Object<'a>> {
        let path = path.into();
        match value {
            Value::Object(map) => Some(Object { path, map, problems, asked: RefCell::default() }),
            other => {
                problems.add(path, format!("must be an object, not {}", kind(other)));
                None
            }
        }
    }

    /// The JSON path of a field.
    pub fn at(&self, key: &str) -> String {
        let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match (self.path.is_empty(), is_plain && !key.is_empty()) {
            (true, true) => key.to_owned(),
            (false, true) => format!("{}.{key}", self.path),
            (_, false) => format!("{}[{}]", self.path, Value::from(key)),
        }
    }

    /// The problems it reports to.
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// Reports a problem of a field.
    pub fn complain(&self, key: &str, message: impl Into<String>) {
        self.problems.add(self.at(key), message);
    }

    /// Reports a problem of an element of a list.
    pub fn complain_at(&self, key: &str, at: usize, message: impl Into<String>) {
        self.problems.add(format!("{}[{at}]", self.at(key)), message);
    }

    /// A field as it is; null counts as absent.
    pub fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The same, reported where it is absent; the likely misspelling is named when the unknown fields are.
    pub fn required(&self, key: &'static str) -> Option<&'a Value> {
        let value = self.value(key);
        if value.is_none() {
            let likely = self.map.keys().map(String::as_str).filter(|name| !self.asked.borrow().contains(name));
            let fix = nearest(key, likely).map(|name| format!("rename `{name}`"));
            self.problems.add_fix(self.at(key), "is missing", fix);
        }
        value
    }

    fn typed<T>(&self, path: String, value: Option<&'a Value>, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = value?;
        let read = read(value);
        if read.is_none() {
            self.problems.add(path, format!("must be {what}, not {}", kind(value)));
        }
        read
    }

    /// Optional text.
    pub fn text(&self, key: &'static str) -> Option<&'a str> {
        self.typed(self.at(key), self.value(key), "text", Value::as_str)
    }

    /// Text that must be there.
    pub fn required_text(&self, key: &'static str) -> Option<&'a str> {
        self.typed(self.at(key), self.required(key), "text", Value::as_str)
    }

    /// A name that can stand in a path and must be there. `what` says of what.
    pub fn name(&self, key: &'static str, what: &'static str) -> Option<&'a str> {
        let text = self.required_text(key)?;
        match check_name(what, text) {
            Ok(()) => Some(text),
            Err(error) => {
                self.complain(key, error.to_string());
                None
            }
        }
    }

    /// One of a few words, in any case; another is reported. Gives the word's position.
    pub fn word(&self, key: &'static str, words: &[&'static str]) -> Option<usize> {
        let text = self.text(key)?;
        let found = words.iter().position(|word| word.eq_ignore_ascii_case(text));
        if found.is_none() {
            let fix = did_you_mean(text, words.iter().copied());
            self.problems.add_fix(self.at(key), format!("`{text}` is none of {}", words.join(", ")), fix);
        }
        found
    }

    /// Optional true or false.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        self.typed(self.at(key), self.value(key), "true or false", Value::as_bool)
    }

    /// An optional whole number from 0 to `max`.
    pub fn count(&self, key: &'static str, max: u64) -> Option<u64> {
        let value = self.value(key)?;
        let number = value.as_u64().filter(|number| *number <= max);
        if number.is_none() {
            self.complain(key, format!("must be a whole number from 0 to {max}"));
        }
        number
    }

    /// An optional list of texts; those that are none are reported.
    pub fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let list = self.typed(self.at(key), self.value(key), "a list of texts", Value::as_array)?;
        let text = |(at, value): (usize, &'a Value)| {
            self.typed(format!("{}[{at}]", self.at(key)), Some(value), "text", Value::as_str).map(str::to_owned)
        };
        Some(list.iter().enumerate().filter_map(text).collect())
    }

    /// An optional object.
    pub fn object(&self, key: &'static str) -> Option<Object<'a>> {
        Object::new(self.at(key), self.value(key)?, self.problems)
    }

    /// An object that must be there.
    pub fn required_object(&self, key: &'static str) -> Option<Object<'a>> {
        Object::new(self.at(key), self.required(key)?, self.problems)
    }

    /// A list of objects; absent is empty.
    pub fn objects(&self, key: &'static str) -> Vec<Object<'a>> {
        let list = self.typed(self.at(key), self.value(key), "a list", Value::as_array);
        let object = |(at, value): (usize, &'a Value)| Object::new(format!("{}[{at}]", self.at(key)), value, self.problems);
        list.into_iter().flatten().enumerate().filter_map(object).collect()
    }

    /// Whether it has no field at all.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// All fields as objects, for maps whose keys are names (roles).
    pub fn entries(&self) -> Vec<(&'a str, Object<'a>)> {
        let entry = |(key, value): (&'a String, &'a Value)| Some((key.as_str(), Object::new(self.at(key), value, self.problems)?));
        self.map.iter().filter_map(entry).collect()
    }

    /// Reports every field that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.map.keys().filter(|key| !asked.contains(&key.as_str())) {
            let fix = did_you_mean(key, asked.iter().copied());
            let fix = fix.or_else(|| Some(format!("known here: {}", asked.join(", "))).filter(|_| !asked.is_empty()));
            self.problems.add_fix(self.at(key), "is not a known field", fix);
        }
    }
}
