//! The options of formats: JSON of a project file flows in, checked values and in the end a grammar flow out; or all that
//! is wrong, each with its place.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{FORMATS, Format, Grammar, find};

/// An option of a format.
#[derive(Debug)]
pub struct FormatOption {
    /// Its name, camelCase.
    pub name: &'static str,
    /// What values it takes.
    pub kind: OptionKind,
    /// What it is for, in a sentence without full stop, with its default.
    pub meaning: &'static str,
}

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// A text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts,
    /// An object, or a list of objects, that the format checks itself.
    Structure,
    /// Another format: its name, or an object with its name and its options.
    Format,
}

impl OptionKind {
    /// Its name in listings.
    pub fn as_str(self) -> &'static str {
        match self {
            OptionKind::Text => "text",
            OptionKind::Flag => "true or false",
            OptionKind::Texts => "list of texts",
            OptionKind::Structure => "object or list",
            OptionKind::Format => "a format",
        }
    }

    fn takes(self, value: &Value) -> bool {
        match self {
            OptionKind::Text => value.is_string(),
            OptionKind::Flag => value.is_boolean(),
            OptionKind::Texts => value.as_array().is_some_and(|values| values.iter().all(Value::is_string)),
            OptionKind::Structure => value.is_object() || value.is_array(),
            OptionKind::Format => value.is_object() || value.is_string(),
        }
    }
}

/// What is wrong with a format's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, relative to the format: an option's name, or a path such as `columns[2].type`; empty for the format itself.
    pub at: String,
    /// What, in words for people, without full stop.
    pub message: String,
}

impl Problem {
    /// At a place.
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { at: at.into(), message: message.into() }
    }
}

/// The options of one use of a format.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a>(&'a Map<String, Value>);

impl<'a> Options<'a> {
    /// A text, if it is set.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A flag; false if it is not set.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A list of texts, if it is set.
    pub fn texts(&self, name: &str) -> Option<Vec<&'a str>> {
        Some(self.0.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect())
    }

    /// Whatever is set.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name)
    }

    /// Another format, if it is set; the first thing that is wrong with it otherwise.
    pub fn format(&self, name: &str) -> Result<Option<Arc<dyn Grammar>>, Problem> {
        let Some(spec) = self.0.get(name) else { return Ok(None) };
        let inside = |problem: Problem| match problem.at.is_empty() {
            true => Problem { at: name.to_owned(), ..problem },
            false => Problem { at: format!("{name}.{}", problem.at), ..problem },
        };
        compile(spec).map(Some).map_err(|problems| problems.into_iter().next().map_or_else(|| Problem::new(name, "is no format"), inside))
    }
}

/// Makes the grammar that a project file asks for: a format's name, or an object `{name, …options}`.
///
/// # Errors
/// All that is wrong, with what would be right.
pub fn compile(spec: &Value) -> Result<Arc<dyn Grammar>, Vec<Problem>> {
    let empty = Map::new();
    let (name, options) = match spec {
        Value::String(name) => (name.as_str(), &empty),
        Value::Object(options) => match options.get("name").and_then(Value::as_str) {
            Some(name) => (name, options),
            None => return Err(vec![Problem::new("name", "is missing: the name of a format")]),
        },
        _ => return Err(vec![Problem::new("", "must be the name of a format, or an object {name: …} with its options")]),
    };
    let Some(format) = find(name) else {
        let known: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        return Err(vec![Problem::new("", format!("`{name}` is no format: use {}", known.join(", ")))]);
    };
    let problems = unfit(format, options);
    if !problems.is_empty() {
        return Err(problems);
    }
    (format.compile)(&Options(options)).map(Arc::from).map_err(|problem| vec![problem])
}

/// Options that the format does not have, or that are of another type.
fn unfit(format: &Format, options: &Map<String, Value>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in options.iter().filter(|(name, _)| *name != "name") {
        match format.options.iter().find(|option| option.name == name) {
            Some(option) if option.kind.takes(value) => {}
            Some(option) => problems.push(Problem::new(name, format!("must be {}", option.kind.as_str()))),
            None if format.options.is_empty() => problems.push(Problem::new(name, format!("`{}` has no options", format.name))),
            None => {
                let known: Vec<_> = format.options.iter().map(|option| option.name).collect();
                problems.push(Problem::new(name, format!("is no option of `{}`: it has {}", format.name, known.join(", "))));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let wrong = |spec: Value| compile(&spec).err().map(|problems| problems[0].clone());
        assert_eq!(wrong(json!("s3-access")), None);
        assert_eq!(wrong(json!({"name": "s3-access"})), None);
        assert!(wrong(json!("s3")).unwrap().message.contains("`s3` is no format: use "));
        assert_eq!(wrong(json!({})).unwrap().at, "name");
        assert!(wrong(json!(3)).is_some());
        assert_eq!(wrong(json!({"name": "s3-access", "pattern": "x"})).unwrap(), Problem::new("pattern", "`s3-access` has no options"));
    }
}
