//! From a file to a JSON value: JSON as it is, Jsonnet evaluated in this process. What flows in is a path and the
//! external variables; what flows out is the value, or one error that says where the text does not evaluate. An
//! evaluation that recurses too deeply, runs too long or imports a file too large ends in an error; it never panics.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use jrsonnet_evaluator::manifest::JsonFormat;
use jrsonnet_evaluator::trace::{CompactFormat, PathResolver, TraceFormat};
use jrsonnet_evaluator::{FileImportResolver, State, Val};
use serde_json::Value;

use crate::error::ProjectError;

/// The largest project file, in bytes.
pub const PROJECT_BYTES_MAX: u64 = 4 << 20;
/// How deep a Jsonnet evaluation may nest.
pub const EVALUATION_DEPTH_MAX: usize = 500;
/// How long a Jsonnet evaluation may take, in seconds.
pub const EVALUATION_SECONDS_MAX: u64 = 30;
/// How a line of a trace ends that is about the project file as a whole.
const IMPORTED: &str = ": parse imported";
/// Stack of the thread that evaluates, in bytes.
const EVALUATION_STACK_BYTES: usize = 256 << 20;

/// Where the text of a project file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file; imports are relative to it.
    File(PathBuf),
    /// Standard input; imports are relative to the current folder.
    Stdin,
    /// A text that was fetched from elsewhere; imports are relative to the current folder.
    Fetched {
        /// Where from, for messages.
        name: String,
        /// The text.
        text: String,
    },
}

impl Origin {
    /// `-` is standard input.
    pub fn from_argument(path: &Path) -> Origin {
        if path == Path::new("-") { Origin::Stdin } else { Origin::File(path.to_owned()) }
    }

    /// As it stands in messages.
    pub fn name(&self) -> String {
        match self {
            Origin::File(path) => path.display().to_string(),
            Origin::Stdin => "<stdin>".to_owned(),
            Origin::Fetched { name, .. } => name.clone(),
        }
    }

    /// The folder that relative paths in the file start from.
    pub fn folder(&self) -> PathBuf {
        let parent = match self {
            Origin::File(path) => path.parent().filter(|parent| *parent != Path::new("")),
            Origin::Stdin | Origin::Fetched { .. } => None,
        };
        parent.unwrap_or(Path::new(".")).to_owned()
    }

    fn read(&self) -> Result<String, ProjectError> {
        let fail = |source| ProjectError::Read { path: self.name(), source };
        let mut reader: Box<dyn Read + '_> = match self {
            Origin::File(path) => Box::new(std::fs::File::open(path).map_err(fail)?),
            Origin::Stdin => Box::new(std::io::stdin().lock()),
            Origin::Fetched { text, .. } => Box::new(text.as_bytes()),
        };
        let mut text = String::new();
        let bytes = reader.by_ref().take(PROJECT_BYTES_MAX + 1).read_to_string(&mut text).map_err(fail)?;
        match bytes as u64 > PROJECT_BYTES_MAX {
            true => Err(ProjectError::Large { path: self.name(), bytes_max: PROJECT_BYTES_MAX }),
            false => Ok(text),
        }
    }
}

/// The value of a project file. `variables` are what `std.extVar` finds, all of them text.
pub fn render(origin: &Origin, variables: &[(String, String)]) -> Result<Value, ProjectError> {
    let text = origin.read()?;
    let fail = |reason: String| ProjectError::Evaluate { path: origin.name(), reason };
    let is_json = matches!(origin, Origin::File(path) if path.extension().is_some_and(|extension| extension == "json"));
    if text.trim().is_empty() {
        return Err(fail("it is empty".to_owned()));
    }
    match serde_json::from_str(&text) {
        Ok(value) => Ok(value),
        Err(error) if is_json && error.is_eof() => Err(fail(format!("it breaks off: {error}"))),
        Err(error) if is_json => Err(fail(error.to_string())),
        Err(_) => {
            let json = evaluate(origin.clone(), text, variables.to_vec()).map_err(fail)?;
            serde_json::from_str(&json).map_err(|error| fail(error.to_string()))
        }
    }
}

/// Evaluates on a thread of its own, so that depth, time and the evaluator's own mistakes stay bounded.
fn evaluate(origin: Origin, text: String, variables: Vec<(String, String)>) -> Result<String, String> {
    let (done, result) = mpsc::channel();
    let work = move || {
        let _ = done.send(manifested(&origin, &text, &variables));
    };
    std::thread::Builder::new().stack_size(EVALUATION_STACK_BYTES).spawn(work).map_err(|error| error.to_string())?;
    match result.recv_timeout(Duration::from_secs(EVALUATION_SECONDS_MAX)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("it runs for more than {EVALUATION_SECONDS_MAX} seconds")),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("the Jsonnet evaluator gave up on it".to_owned()),
    }
}

fn manifested(origin: &Origin, text: &str, variables: &[(String, String)]) -> Result<String, String> {
    let library = jrsonnet_stdlib::ContextInitializer::new(PathResolver::FileName);
    for (name, value) in variables {
        library.add_ext_str(name.as_str().into(), value.as_str().into());
    }
    let mut builder = State::builder();
    builder.import_resolver(FileImportResolver::default()).context_initializer(library);
    let state = builder.build();
    let _entered = state.enter();
    let _depth = jrsonnet_evaluator::stack::limit_stack_depth(EVALUATION_DEPTH_MAX);
    let value: jrsonnet_evaluator::Result<Val> = match origin {
        Origin::File(path) if path.is_file() => state.import(path.as_path()),
        // A pipe is read already, and cannot be read again.
        _ => state.evaluate_snippet(origin.name(), text),
    };
    value.and_then(|value| value.manifest(JsonFormat::cli(1))).map_err(|error| explain(&error))
}

fn explain(error: &jrsonnet_evaluator::Error) -> String {
    let format = CompactFormat { resolver: PathResolver::FileName, max_trace: 8, padding: 2 };
    let told = format.format(error).unwrap_or_else(|_| error.to_string());
    // That the file was imported by us tells nobody anything.
    told.lines().filter(|line| !line.ends_with(IMPORTED)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn rendered(name: &str, text: &str, variables: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::write(folder.path().join("words.sql"), "SELECT 1\n").unwrap();
        std::fs::write(folder.path().join("part.libsonnet"), "{ v: 7 }").unwrap();
        let variables: Vec<_> = variables.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        match render(&Origin::File(folder.path().join(name)), &variables) {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string().replace(&folder.path().display().to_string(), "DIR"),
        }
    }

    fn check(name: &str, text: &str, expected: Expect) {
        expected.assert_eq(&rendered(name, text, &[("stage", "test")]));
    }

    #[test]
    fn jsonnet_imports_and_variables() {
        let text = "local p = import 'part.libsonnet'; { a: p.v, s: std.extVar('stage'), q: importstr 'words.sql' } // c";
        check("a.jsonnet", text, expect![[r#"{"a":7,"q":"SELECT 1\n","s":"test"}"#]]);
    }

    #[test]
    fn json_keeps_its_large_numbers() {
        check("a.json", r#"{"n": 9007199254740993}"#, expect![[r#"{"n":9007199254740993}"#]]);
        check(
            "a.json",
            "{\"n\": 1,\n",
            expect!["DIR/a.json does not evaluate: it breaks off: EOF while parsing a value at line 2 column 0"],
        );
        check("a.json", " \n", expect!["DIR/a.json does not evaluate: it is empty"]);
        check("a.jsonnet", "", expect!["DIR/a.jsonnet does not evaluate: it is empty"]);
        check("a.json", "{\"n\": 1,\n oops}", expect!["DIR/a.json does not evaluate: key must be a string at line 2 column 2"]);
    }

    #[test]
    fn what_does_not_evaluate_says_where() {
        check(
            "a.jsonnet",
            "{ a: 1,\n  b: error 'no ' + self.a }",
            expect![[r#"
            DIR/a.jsonnet does not evaluate: runtime error: no 1
              a.jsonnet:2:6-10: error statement
              field <b> evaluation"#]],
        );
        check(
            "a.jsonnet",
            "{ a: 1",
            expect![[r#"
            DIR/a.jsonnet does not evaluate: syntax error: expected '}', got end of file
              a.jsonnet:1:7"#]],
        );
        check(
            "a.jsonnet",
            "{ a: importstr 'missing.sql' }",
            expect![[r#"
            DIR/a.jsonnet does not evaluate: can't resolve missing.sql from DIR/a.jsonnet
              field <a> evaluation"#]],
        );
        check(
            "a.jsonnet",
            "{ a: std.extVar('nope') }",
            expect![[r#"
            DIR/a.jsonnet does not evaluate: external variable is not defined: nope
              a.jsonnet:1:16-23: function <builtin_ext_var> call
              field <a> evaluation"#]],
        );
        check("a.jsonnet", "{ a: unknown }", expect!["DIR/a.jsonnet does not evaluate: static analysis errors: undefined local: unknown"]);
        check("a.jsonnet", "function(x) x", expect!["DIR/a.jsonnet does not evaluate: runtime error: tried to manifest function"]);
    }

    #[test]
    fn deep_recursion_is_an_error() {
        let text = rendered("a.jsonnet", "local f(x) = 1 + f(x + 1); { a: f(0) }", &[]);
        assert!(text.contains("does not evaluate"), "{text}");
        let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let text = rendered("a.json", &nested, &[]);
        assert!(text.contains("does not evaluate"), "{text}");
    }

    #[test]
    fn files_that_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let error = render(&Origin::File(folder.path().join("none.json")), &[]).unwrap_err();
        assert!(matches!(error, ProjectError::Read { .. }));
        assert!(matches!(render(&Origin::File(folder.path().to_owned()), &[]).unwrap_err(), ProjectError::Read { .. }));
        let large = folder.path().join("large.json");
        std::fs::write(&large, " ".repeat(PROJECT_BYTES_MAX as usize + 1)).unwrap();
        assert!(matches!(render(&Origin::File(large), &[]).unwrap_err(), ProjectError::Large { .. }));
    }
}
