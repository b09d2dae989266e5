//! Stack traces: the text of an event, several lines of it, flows in; its message, its stack trace and the class of the
//! exception flow out, as slices of it. Java and its relatives, Python, Go, Node, Ruby, Rust, .NET and PHP.
//!
//! A trace starts at the line that names its exception where that is told apart, and goes on to the end of the text.
//! Nothing is lost: where no trace is recognised, all lines are the message.

/// What the text of an event holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// What was said; empty where the text is nothing but a trace.
    pub message: &'a [u8],
    /// The trace, from the line that names the exception.
    pub trace: Option<&'a [u8]>,
    /// The class of the exception as the trace names it: the outermost one; Python's last one.
    pub exception: Option<&'a [u8]>,
}

/// Takes a text apart.
pub(super) fn split(text: &[u8]) -> Parts<'_> {
    let text = text.trim_ascii_end();
    let Some(newline) = memchr::memchr(b'\n', text).filter(|_| !text.is_empty()) else {
        let is_trace = matches!(mark(text), Some(Mark::Frame | Mark::Ruby | Mark::PhpFrame));
        return if is_trace { Parts { trace: Some(text), ..Parts::default() } } else { Parts { message: text, ..Parts::default() } };
    };
    let mut headers = Headers { last: Line { start: 0, text: trim(&text[..newline]) }, strict: None };
    for line in (Lines { text, at: 0 }) {
        if let Some(mark) = mark(line.text) {
            return parts(text, line, mark, headers);
        }
        if let Some(words) = line.text.strip_suffix(TRACEBACK) {
            // It stands in what was said: `failed: Traceback (most recent call last):`.
            return python(text, Line { start: line.start + words.len(), text: TRACEBACK });
        }
        headers.see(line);
    }
    match headers.strict {
        Some(header) => cut(text, header.start, class(header.text)),
        None => Parts { message: text, ..Parts::default() },
    }
}

/// Takes the lines after a message apart: the first of them may be the name of an exception, and all of the trace.
pub(super) fn split_rest(text: &[u8]) -> Parts<'_> {
    let first = text.split(|byte| *byte == b'\n').next().map(trim).unwrap_or_default();
    let parts = split(text);
    match class(first).filter(|class| parts.trace.is_none() && is_surely_exception(class)) {
        Some(class) => Parts { message: &[], trace: Some(text), exception: Some(class) },
        None => parts,
    }
}

/// A line and where it starts.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a [u8],
}

/// How Python's traces start.
const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// The lines of a text, without what ends them.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = Line { start: self.at, text: trim(&rest[..end]) };
        self.at += end + 1;
        Some(line)
    }
}

fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Lines before a trace that may name its exception.
struct Headers<'a> {
    /// The last line with something on it.
    last: Line<'a>,
    /// The last line, not the first of the text, that is surely the name of an exception.
    strict: Option<Line<'a>>,
}

impl<'a> Headers<'a> {
    fn see(&mut self, line: Line<'a>) {
        if !line.text.trim_ascii().is_empty() {
            self.last = line;
        }
        if line.start > 0 && class(line.text).is_some_and(is_surely_exception) && self.strict.is_none() {
            self.strict = Some(line);
        }
    }
}

/// What a line says that stands in a trace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// `at …`, `Caused by: …`, `… more`: Java, Node, .NET.
    Frame,
    /// `Traceback (most recent call last):`
    Python,
    /// `panic: …`, `fatal error: …` or `goroutine 1 [running]:`
    Go,
    /// `thread 'main' panicked at …`
    Rust,
    /// `from file.rb:1:in 'm'`, or such a line alone.
    Ruby,
    /// `Stack trace:` or `[stacktrace]`
    Php,
    /// `#0 file.php(1): f()`
    PhpFrame,
}

fn mark(line: &[u8]) -> Option<Mark> {
    let words = line.trim_ascii_start();
    let is_indented = words.len() < line.len();
    Some(match words.first()? {
        b'a' if is_indented && words.starts_with(b"at ") && is_frame(words) => Mark::Frame,
        b'.' if is_indented && words.starts_with(b"... ") && words[4..].first().is_some_and(u8::is_ascii_digit) => Mark::Frame,
        b'C' if words.starts_with(b"Caused by: ") => Mark::Frame,
        b'S' if is_indented && words.starts_with(b"Suppressed: ") => Mark::Frame,
        b'-' if is_indented && (words.starts_with(b"---> ") || words.starts_with(b"--- End of ")) => Mark::Frame,
        b'T' if words.starts_with(b"Traceback (most recent call last)") => Mark::Python,
        b'+' if words.starts_with(b"+ Exception Group Traceback (most recent call last)") => Mark::Python,
        b't' if words.starts_with(b"thread '") && memchr::memmem::find(words, b"' panicked at ").is_some() => Mark::Rust,
        b'p' if words.starts_with(b"panic: ") => Mark::Go,
        b'f' if words.starts_with(b"fatal error: ") => Mark::Go,
        b'g' if words.starts_with(b"goroutine ") && words.ends_with(b"]:") => Mark::Go,
        b'f' if is_indented && words.starts_with(b"from ") && is_ruby_place(&words[5..]) => Mark::Ruby,
        b'S' if words == b"Stack trace:" => Mark::Php,
        b'[' if words == b"[stacktrace]" => Mark::Php,
        b'#' if words.starts_with(b"#0 ") => Mark::PhpFrame,
        b'a'..=b'z' | b'/' | b'.' if is_ruby_place(words) => Mark::Ruby,
        _ => return None,
    })
}

/// Whether `at …` names a place: `a.b.C.m(File.java:1)`, `f (/x.js:1:2)`, `/x.js:1:2`, `Ns.C.M() in /x.cs:line 3`.
fn is_frame(words: &[u8]) -> bool {
    words.contains(&b'(') || words.contains(&b':') || words.contains(&b'.')
}

/// Whether a text is like `lib/x.rb:10:in 'm'`.
fn is_ruby_place(text: &[u8]) -> bool {
    let Some(at) = memchr::memchr_iter(b':', text).find(|at| text[*at..].starts_with(b":in ")) else { return false };
    let number = text[..at].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    number > 0 && text[..at - number].ends_with(b":") && matches!(text.get(at + 4), Some(b'`' | b'\''))
}

fn parts<'a>(text: &'a [u8], line: Line<'a>, mark: Mark, headers: Headers<'a>) -> Parts<'a> {
    match mark {
        Mark::Python => python(text, line),
        Mark::Rust if line.start > 0 => cut(text, line.start, Some(PANICKED)),
        Mark::Rust => whole(text, line, Some(PANICKED)),
        Mark::Go => go(text, line),
        Mark::Ruby => ruby(text, line, headers.last),
        Mark::Php | Mark::PhpFrame => php(text, line, headers),
        Mark::Frame => frames(text, line, headers),
    }
}

/// The text, cut where the trace starts. A trace that starts with the text leaves its first line as the message.
fn cut<'a>(text: &'a [u8], start: usize, exception: Option<&'a [u8]>) -> Parts<'a> {
    Parts { message: text[..start].trim_ascii_end(), trace: Some(&text[start..]), exception }
}

/// A trace whose first line is also what was said.
fn whole<'a>(text: &'a [u8], first: Line<'a>, exception: Option<&'a [u8]>) -> Parts<'a> {
    Parts { message: first.text, trace: Some(text), exception }
}

fn frames<'a>(text: &'a [u8], line: Line<'a>, headers: Headers<'a>) -> Parts<'a> {
    let last = headers.last;
    let caused = line.text.trim_ascii_start();
    let caused = [&b"Caused by: "[..], b"Suppressed: ", b"---> "].iter().find_map(|prefix| caused.strip_prefix(*prefix));
    if line.start == 0 {
        return Parts { message: &[], trace: Some(text), exception: caused.and_then(class) };
    }
    let header = if class(last.text).is_some() { Some(last) } else { headers.strict };
    match (header, headers.strict) {
        // The name stands before a message of several lines.
        (Some(_), Some(strict)) => cut(text, strict.start, class(strict.text)),
        (Some(header), None) if header.start > 0 => cut(text, header.start, class(header.text)),
        (Some(header), None) => whole(text, header, class(header.text)),
        (None, _) => cut(text, line.start, embedded(last.text).or_else(|| caused.and_then(class))),
    }
}

/// Python's message comes last, below the frames of the last traceback.
fn python<'a>(text: &'a [u8], line: Line<'a>) -> Parts<'a> {
    let is_group = line.text.contains(&b'+');
    let (mut in_frames, mut named) = (false, None);
    for line in (Lines { text: &text[line.start..], at: 0 }) {
        let words = line.text.trim_ascii_start();
        let words = if is_group { words.strip_prefix(b"| ").unwrap_or(words) } else { line.text };
        if mark(words) == Some(Mark::Python) || is_group && mark(words.trim_ascii_start()) == Some(Mark::Python) {
            in_frames = named.is_none() || !is_group;
        } else if in_frames && !words.starts_with(b" ") && !words.starts_with(b"\t") && !words.is_empty() {
            (in_frames, named) = (false, Some(words));
        }
    }
    let exception = named.and_then(class);
    match line.start {
        0 => Parts { message: named.unwrap_or(&[]), trace: Some(text), exception },
        start => cut(text, start, exception),
    }
}

/// What is the exception of a thread of Rust that panicked.
const PANICKED: &[u8] = b"panic";

fn go<'a>(text: &'a [u8], line: Line<'a>) -> Parts<'a> {
    let exception: Option<&[u8]> = match line.text.trim_ascii_start() {
        words if words.starts_with(b"panic: runtime error: ") => Some(&words[7..20]),
        words if words.starts_with(b"panic: ") => Some(&words[..5]),
        words if words.starts_with(b"fatal error: ") => Some(&words[..11]),
        _ => None,
    };
    if line.start > 0 { cut(text, line.start, exception) } else { whole(text, line, exception) }
}

/// Ruby's first line is `place: message (Class)`; Rails' is `Class (message):`.
fn ruby<'a>(text: &'a [u8], line: Line<'a>, last: Line<'a>) -> Parts<'a> {
    let in_brackets = |line: &'a [u8]| {
        let inside = line.strip_suffix(b")")?;
        let open = memchr::memrchr(b'(', inside)?;
        class(&inside[open + 1..]).filter(|class| class.len() == inside.len() - open - 1)
    };
    if let Some(exception) = in_brackets(line.text) {
        return if line.start > 0 { cut(text, line.start, Some(exception)) } else { whole(text, line, Some(exception)) };
    }
    match in_brackets(last.text).or_else(|| class(last.text)) {
        Some(exception) if line.start > 0 && last.start > 0 => cut(text, last.start, Some(exception)),
        Some(exception) if line.start > 0 => whole(text, last, Some(exception)),
        _ => cut(text, line.start, None),
    }
}

fn php<'a>(text: &'a [u8], line: Line<'a>, headers: Headers<'a>) -> Parts<'a> {
    let last = headers.last;
    let after = |text: &'a [u8], mark: &[u8]| memchr::memmem::find(text, mark).map(|at| &text[at + mark.len()..]);
    let exception = after(last.text, b"Uncaught ").and_then(class).or_else(|| {
        // Monolog's `[object] (RuntimeException(code: 0): …`.
        let object = after(last.text, b"[object] (")?;
        memchr::memchr(b'(', object).map(|end| &object[..end])
    });
    let named = exception.or_else(|| class(last.text)).or_else(|| headers.strict.and_then(|line| class(line.text)));
    match line.start {
        0 => Parts { message: &[], trace: Some(text), exception: None },
        _ if exception.is_some() && last.start == 0 => Parts { message: last.text, trace: Some(&text[line.start..]), exception },
        _ if named.is_some() && last.start > 0 => cut(text, headers.strict.unwrap_or(last).start, named),
        _ if named.is_some() => whole(text, last, named),
        start => cut(text, start, None),
    }
}

/// The class that a line starts with: `a.b.C: message`, `Error [CODE]: message`, `C (message)`, alone, or after the words
/// that runtimes put before it.
pub(super) fn class(line: &[u8]) -> Option<&[u8]> {
    let name = after_prefixes(line)?;
    let end = name.iter().position(|byte| !is_class_byte(*byte)).unwrap_or(name.len());
    let is_colon = |end: usize| name[..end].ends_with(b":") && !name[..end].ends_with(b"::");
    let end = if is_colon(end) { end - 1 } else { end };
    let (name, rest) = (&name[..end], &name[end..]);
    let ends = matches!(rest, [] | [b':'] | [b':', b' ', ..] | [b' ', b'(' | b'[', ..]);
    let last = name.rsplit(|byte| matches!(byte, b'.' | b'\\' | b'$' | b':')).next()?;
    let starts = name.first()?.is_ascii_alphabetic() || name[0] == b'\\';
    let is_qualified = last.len() < name.len() && !last.is_empty();
    (starts && ends && (is_qualified || last.first()?.is_ascii_uppercase()) && !is_level(name)).then_some(name)
}

/// Words in capitals before a colon are levels or the like.
fn is_level(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_uppercase)
}

fn is_class_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$' | b'\\' | b':')
}

/// The line after what runtimes put before the class.
fn after_prefixes(line: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = line.strip_prefix(b"Exception in thread \"") {
        return memchr::memmem::find(rest, b"\" ").map(|end| &rest[end + 2..]);
    }
    const PREFIXES: [&[u8]; 6] =
        [b"PHP Fatal error:  Uncaught ", b"Unhandled exception. ", b"Unhandled Exception: ", b"Uncaught ", b"Caused by: ", b"Suppressed: "];
    Some(PREFIXES.iter().find_map(|prefix| line.strip_prefix(*prefix)).unwrap_or(line))
}

/// Whether a class is that of an exception, whatever stands around it.
fn is_surely_exception(class: &[u8]) -> bool {
    const ENDS: [&[u8]; 3] = [b"Exception", b"Error", b"Throwable"];
    let is_qualified = class.iter().any(|byte| matches!(byte, b'.' | b'\\')) || class.windows(2).any(|two| two == b"::");
    is_qualified && ENDS.iter().any(|end| class.ends_with(end))
}

/// The class of an exception in the midst of a line: `Request failed: a.b.CException: message`.
fn embedded(line: &[u8]) -> Option<&[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'[' | b'(' | b'"')).find_map(|word| class(word).filter(|class| is_surely_exception(class)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(text: &str, expected: Expect) {
        let parts = split(text.as_bytes());
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let trace = parts.trace.map(shown).unwrap_or_default();
        let first = trace.lines().next().unwrap_or("∅").to_owned();
        let exception = parts.exception.map_or("∅".into(), shown);
        expected.assert_eq(&format!("{} | {exception} | {} lines from {first}", shown(parts.message), trace.lines().count()));
    }

    #[test]
    fn java() {
        check(
            "Request failed\njava.lang.IllegalStateException: no more\n\tat org.example.A.b(A.java:1)\nCaused by: java.io.IOException: x\n\t... 3 more",
            expect!["Request failed | java.lang.IllegalStateException | 4 lines from java.lang.IllegalStateException: no more"],
        );
        check(
            "Exception in thread \"main\" java.lang.OutOfMemoryError\n\tat org.example.A.b(A.java:1)",
            expect![[
                r#"Exception in thread "main" java.lang.OutOfMemoryError | java.lang.OutOfMemoryError | 2 lines from Exception in thread "main" java.lang.OutOfMemoryError"#
            ]],
        );
        check(
            "Failed: org.example.BadException: two\nlines\n\tat org.example.A.b(A.java:1)",
            expect!["Failed: org.example.BadException: two\nlines | ∅ | 1 lines from \tat org.example.A.b(A.java:1)"],
        );
        check(
            "failed with org.example.BadException: why\r\n\tat org.example.A.b(A.java:1)\r\n",
            expect!["failed with org.example.BadException: why | org.example.BadException | 1 lines from \tat org.example.A.b(A.java:1)"],
        );
        check(
            "x\norg.example.BadException: a message\nof two lines\n\tat org.example.A.b(A.java:1)",
            expect!["x | org.example.BadException | 3 lines from org.example.BadException: a message"],
        );
        check(
            "x\nkafka.common.StateChangeFailedException: no frames",
            expect!["x | kafka.common.StateChangeFailedException | 1 lines from kafka.common.StateChangeFailedException: no frames"],
        );
        check("\tat org.example.A.b(A.java:1)\n\t... 3 more", expect![" | ∅ | 2 lines from \tat org.example.A.b(A.java:1)"]);
        check("\t... 3 more", expect![" | ∅ | 1 lines from \t... 3 more"]);
        check("a list:\n at home\n of things", expect!["a list:\n at home\n of things | ∅ | 0 lines from ∅"]);
    }

    #[test]
    fn python_says_it_last() {
        check(
            "it broke\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nKeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"a.py\", line 3, in h\nrequests.exceptions.ConnectionError: no route",
            expect!["it broke | requests.exceptions.ConnectionError | 10 lines from Traceback (most recent call last):"],
        );
        check(
            "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyboardInterrupt",
            expect!["KeyboardInterrupt | KeyboardInterrupt | 3 lines from Traceback (most recent call last):"],
        );
        check(
            "failed: Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nZeroDivisionError: division by zero",
            expect!["failed: | ZeroDivisionError | 3 lines from Traceback (most recent call last):"],
        );
        check(
            "x\n  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in f\n  | ExceptionGroup: several (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | ValueError: 1\n    +------------------------------------",
            expect!["x | ExceptionGroup | 6 lines from   + Exception Group Traceback (most recent call last):"],
        );
    }

    #[test]
    fn go_node_ruby_dotnet_php() {
        check(
            "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.main()\n\t/x/main.go:8 +0x1d",
            expect![
                "panic: runtime error: index out of range [5] with length 3 | runtime error | 5 lines from panic: runtime error: index out of range [5] with length 3"
            ],
        );
        check("recovered\ngoroutine 7 [running]:\nmain.f()", expect!["recovered | ∅ | 2 lines from goroutine 7 [running]:"]);
        check(
            "TypeError: x is not a function\n    at f (/x/a.js:1:2)\n    at node:internal/main:1:2",
            expect!["TypeError: x is not a function | TypeError | 3 lines from TypeError: x is not a function"],
        );
        check("it failed\nError [ERR_X]: y\n    at /x/a.js:1:2", expect!["it failed | Error | 2 lines from Error [ERR_X]: y"]);
        check(
            "x\na.rb:3:in 'f': undefined method (NoMethodError)\n\tfrom a.rb:9:in '<main>'",
            expect!["x | NoMethodError | 2 lines from a.rb:3:in 'f': undefined method (NoMethodError)"],
        );
        check(
            "ActionView::Template::Error (undefined method):\n\napp/x.rb:5:in `y'",
            expect![
                "ActionView::Template::Error (undefined method): | ActionView::Template::Error | 3 lines from ActionView::Template::Error (undefined method):"
            ],
        );
        check(
            "failed\nSystem.InvalidOperationException: no\n ---> System.IO.IOException: x\n   at N.C.M(String a) in /x/C.cs:line 4\n   --- End of inner exception stack trace ---",
            expect!["failed | System.InvalidOperationException | 4 lines from System.InvalidOperationException: no"],
        );
        check(
            "PHP Fatal error:  Uncaught App\\BadException: no in /x/a.php:3\nStack trace:\n#0 /x/a.php(7): f()\n#1 {main}\n  thrown in /x/a.php on line 3",
            expect![[r#"PHP Fatal error:  Uncaught App\BadException: no in /x/a.php:3 | App\BadException | 4 lines from Stack trace:"#]],
        );
        check(
            "oops {\"exception\":\"[object] (RuntimeException(code: 0): no at /x/a.php:3)\n[stacktrace]\n#0 /x/a.php(7): f()",
            expect![[
                r#"oops {"exception":"[object] (RuntimeException(code: 0): no at /x/a.php:3) | RuntimeException | 2 lines from [stacktrace]"#
            ]],
        );
    }

    #[test]
    fn rust() {
        check(
            "it broke\nthread 'main' panicked at src/main.rs:2:5:\nexplicit panic\nstack backtrace:\n   0: rust_begin_unwind\n             at /rustc/x/panicking.rs:597:5",
            expect!["it broke | panic | 5 lines from thread 'main' panicked at src/main.rs:2:5:"],
        );
        check(
            "thread 'tokio-runtime-worker' panicked at 'index out of bounds', src/a.rs:7:9\nnote: run with `RUST_BACKTRACE=1`",
            expect![
                "thread 'tokio-runtime-worker' panicked at 'index out of bounds', src/a.rs:7:9 | panic | 2 lines from thread 'tokio-runtime-worker' panicked at 'index out of bounds', src/a.rs:7:9"
            ],
        );
        check("thread 'main' panicked at src/main.rs:2:5: x", expect!["thread 'main' panicked at src/main.rs:2:5: x | ∅ | 0 lines from ∅"]);
    }

    #[test]
    fn one_line_and_several_without_a_trace() {
        check("all is well  ", expect!["all is well | ∅ | 0 lines from ∅"]);
        check("", expect![" | ∅ | 0 lines from ∅"]);
        check("SELECT a\n  FROM b\n WHERE c", expect!["SELECT a\n  FROM b\n WHERE c | ∅ | 0 lines from ∅"]);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_parts_are_of_the_text(text in "(at a\\.b\\(|Caused by: |Error: |Traceback \\(most recent call last\\):|panic: |x|\t| |\n|#0 |a.rb:1:in '|\\(|\\)|::|\\.){0,20}") {
            let parts = split(text.as_bytes());
            prop_assert!(parts.message.len() + parts.trace.map_or(0, <[u8]>::len) <= 2 * text.len());
        }
    }
}
