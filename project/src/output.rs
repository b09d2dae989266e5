//! Listings in the four outputs. Columns and rows of [`Cell`]s flow in, bytes for stdout flow out. Text of any origin
//! may flow in: control characters never reach a terminal, and no cell of a CSV or TSV file starts a spreadsheet
//! formula (text that starts with `=`, `+`, `-`, `@`, a tab or a return gets a `'` in front; numbers do not).

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table};
use serde_json::Value;

/// Width of a table that goes into a pipe, in columns.
const PIPE_COLUMNS: u16 = 80;
/// A column of a table is not squeezed below this many columns; a listing that would need it is shown a record at a time.
const SQUEEZED_COLUMNS: usize = 12;
/// Space between the columns of a table.
const GAP_COLUMNS: usize = 2;

/// How listings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people, as wide as the terminal.
    #[default]
    Table,
    /// An array of objects.
    Json,
    /// Comma separated, RFC 4180.
    Csv,
    /// Tab separated; tabs, newlines and backslashes inside are written `\t`, `\n`, `\\`.
    Tsv,
}

/// One value of a listing.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing there.
    Null,
    /// Text of any origin.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A whole number.
    Count(u64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// A nested value: JSON as it is, in the other outputs its text.
    Nested(Value),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Cell {
        Cell::Count(count)
    }
}

impl From<u32> for Cell {
    fn from(count: u32) -> Cell {
        Cell::Count(count.into())
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Cell {
        Cell::Count(count as u64)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Integer(number)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Cell {
        Cell::Float(number)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Cell {
        Cell::Flag(flag)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Null, Into::into)
    }
}

impl Cell {
    fn is_number(&self) -> bool {
        matches!(self, Cell::Integer(_) | Cell::Count(_) | Cell::Float(_))
    }

    /// As JSON; numbers that JSON has not (NaN) become null.
    pub fn to_json(&self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Text(text) => text.as_str().into(),
            Cell::Integer(number) => (*number).into(),
            Cell::Count(count) => (*count).into(),
            Cell::Float(number) => (*number).into(),
            Cell::Flag(flag) => (*flag).into(),
            Cell::Nested(value) => value.clone(),
        }
    }

    /// As text, exact; nothing where there is nothing.
    fn text(&self) -> String {
        match self {
            Cell::Null => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Integer(number) => number.to_string(),
            Cell::Count(count) => count.to_string(),
            Cell::Float(number) => number.to_string(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Nested(value) => value.to_string(),
        }
    }

    /// As text for people: at most six decimals, control characters escaped.
    fn shown(&self) -> String {
        match self {
            Cell::Float(number) => shorten(*number),
            other => escape(&other.text()),
        }
    }

    /// The same, a line for each text of a list.
    fn lines(&self) -> Vec<String> {
        match self {
            Cell::Nested(Value::Array(texts)) if !texts.is_empty() && texts.iter().all(Value::is_string) => {
                texts.iter().filter_map(Value::as_str).map(escape).collect()
            }
            other => vec![other.shown()],
        }
    }

    /// As text that no spreadsheet takes for a formula.
    fn guarded(&self) -> String {
        let text = self.text();
        let is_formula = !self.is_number() && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if is_formula { format!("'{text}") } else { text }
    }
}

fn shorten(number: f64) -> String {
    let fixed = format!("{number:.6}");
    match fixed.contains('.') {
        true => fixed.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => fixed,
    }
}

/// Text with everything that could steer a terminal or hide on it written out: `\n`, `\u{1b}`, direction marks.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_steering(letter) {
            true => escaped.extend(letter.escape_default()),
            false => escaped.push(letter),
        }
    }
    escaped
}

/// The same for messages of several lines: newlines stay.
pub fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// So many of something: `1 lot`, `2 lots`.
pub fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn is_steering(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A listing being written: rows stream out as they come, except for a table, which needs them all for its widths.
pub struct Listing<W: Write> {
    to: W,
    output: Output,
    columns: Vec<String>,
    kept: Vec<Vec<Cell>>,
    rows: u64,
}

impl<W: Write> Listing<W> {
    /// Starts a listing with these columns.
    pub fn new(mut to: W, output: Output, columns: &[impl AsRef<str>]) -> io::Result<Listing<W>> {
        let columns: Vec<String> = columns.iter().map(|name| name.as_ref().to_owned()).collect();
        let names: Vec<Cell> = columns.iter().map(|name| name.clone().into()).collect();
        match output {
            Output::Csv => to.write_all(csv_line(&names).as_bytes())?,
            Output::Tsv => to.write_all(tsv_line(&names).as_bytes())?,
            Output::Json | Output::Table => {}
        }
        Ok(Listing { to, output, columns, kept: Vec::new(), rows: 0 })
    }

    /// Adds a row, its cells in the order of the columns.
    pub fn push(&mut self, row: Vec<Cell>) -> io::Result<()> {
        self.rows += 1;
        match self.output {
            Output::Csv => self.to.write_all(csv_line(&row).as_bytes()),
            Output::Tsv => self.to.write_all(tsv_line(&row).as_bytes()),
            Output::Json => {
                let start = if self.rows == 1 { "[\n " } else { ",\n " };
                write!(self.to, "{start}{}", json_text(&json_object(&self.columns, &row)))
            }
            Output::Table => {
                self.kept.push(row);
                Ok(())
            }
        }
    }

    /// Ends the listing.
    pub fn finish(mut self) -> io::Result<()> {
        match self.output {
            Output::Json if self.rows == 0 => self.to.write_all(b"[]\n")?,
            Output::Json => self.to.write_all(b"\n]\n")?,
            Output::Table => self.to.write_all(table(&self.columns, &self.kept, None).as_bytes())?,
            Output::Csv | Output::Tsv => {}
        }
        self.to.flush()
    }
}

/// Writes text to stdout as it is. A reader that has gone is an error that ends the program, as for listings.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a whole listing to stdout.
pub fn print(output: Output, columns: &[impl AsRef<str>], rows: Vec<Vec<Cell>>) -> io::Result<()> {
    let mut listing = Listing::new(io::BufWriter::new(io::stdout().lock()), output, columns)?;
    rows.into_iter().try_for_each(|row| listing.push(row))?;
    listing.finish()
}

/// Writes one thing with named values to stdout: a table of name and value for people, an object as JSON, else a row.
pub fn print_record(output: Output, fields: Vec<(&str, Cell)>) -> io::Result<()> {
    let names: Vec<&str> = fields.iter().map(|field| field.0).collect();
    let row: Vec<Cell> = fields.iter().map(|field| field.1.clone()).collect();
    let mut stdout = io::stdout().lock();
    match output {
        Output::Table => {
            let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
            let fields =
                fields.iter().flat_map(|(name, cell)| cell.lines().into_iter().zip(std::iter::once(*name).chain(std::iter::repeat(""))));
            fields.into_iter().try_for_each(|(line, name)| writeln!(stdout, "{name:width$}  {line}"))
        }
        Output::Json => writeln!(stdout, "{}", json_text(&json_object(&names, &row))),
        Output::Csv | Output::Tsv => {
            drop(stdout);
            print(output, &names, vec![row])
        }
    }
}

fn json_object(columns: &[impl AsRef<str>], row: &[Cell]) -> Value {
    columns.iter().zip(row).map(|(name, cell)| (name.as_ref().to_owned(), cell.to_json())).collect::<serde_json::Map<_, _>>().into()
}

/// JSON with everything that could steer a terminal written as `\u…`: the same value, safe to look at.
fn json_text(value: &Value) -> String {
    let (mut text, mut units) = (String::new(), [0; 2]);
    for letter in value.to_string().chars() {
        match is_steering(letter) {
            true => letter.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
            false => text.push(letter),
        }
    }
    text
}

fn csv_line(row: &[Cell]) -> String {
    let quoted = |cell: &Cell| {
        let text = cell.guarded();
        let is_empty_text = text.is_empty() && *cell != Cell::Null;
        let is_plain = !is_empty_text && !text.contains(['"', ',', '\n', '\r']);
        if is_plain { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

fn tsv_line(row: &[Cell]) -> String {
    let plain = |cell: &Cell| cell.guarded().replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    row.iter().map(plain).collect::<Vec<_>>().join("\t") + "\n"
}

/// A table of `width` columns (the terminal's where none is given); a record at a time where it cannot fit. A column
/// with nothing in any row is left out.
pub fn table(columns: &[impl AsRef<str>], rows: &[Vec<Cell>], width: Option<u16>) -> String {
    let is_used = |at: usize| rows.is_empty() || rows.iter().any(|row| row.get(at).is_some_and(|cell| *cell != Cell::Null));
    let used: Vec<usize> = (0..columns.len()).filter(|at| is_used(*at)).collect();
    let columns: Vec<&str> = used.iter().filter_map(|at| columns.get(*at)).map(AsRef::as_ref).collect();
    let rows: Vec<Vec<&Cell>> = rows.iter().map(|row| used.iter().filter_map(|at| row.get(*at)).collect()).collect();
    let mut table = Table::new();
    table.load_preset("     ──            ").set_content_arrangement(ContentArrangement::Dynamic);
    let width = width.or_else(|| table.width()).unwrap_or(PIPE_COLUMNS);
    let shown: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| cell.shown()).collect()).collect();
    if least_columns(&columns, &shown) > usize::from(width) {
        return records(&columns, &shown);
    }
    table.set_width(width).set_header(columns.iter().map(|name| TableCell::new(escape(name))));
    for (row, texts) in rows.iter().zip(shown) {
        table.add_row(row.iter().zip(texts).map(|(cell, text)| match cell.is_number() {
            true => TableCell::new(text).set_alignment(CellAlignment::Right),
            false => TableCell::new(text),
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// Columns that a table needs at least.
fn least_columns(names: &[&str], rows: &[Vec<String>]) -> usize {
    let least = |at: usize, name: &str| {
        let widest = rows.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max().unwrap_or(0);
        widest.max(name.chars().count()).min(SQUEEZED_COLUMNS) + GAP_COLUMNS
    };
    names.iter().enumerate().map(|(at, name)| least(at, name)).sum()
}

fn records(names: &[&str], rows: &[Vec<String>]) -> String {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        text.push_str(&format!("── {} ──\n", number + 1));
        for (name, value) in names.iter().zip(row) {
            text.push_str(format!("{:width$}  {value}", escape(name)).trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["plain".into(), 12u64.into(), 0.5.into(), Cell::Null],
            vec!["a,\"b\"\tc\nd".into(), Cell::Integer(-3), 1234.0.into(), true.into()],
            vec!["=HYPERLINK(\"x\")\u{1b}[2J\u{202e}".into(), 1_000_000u64.into(), f64::NAN.into(), "".into()],
        ]
    }

    fn check(output: Output, expected: Expect) {
        let mut bytes = Vec::new();
        let mut listing = Listing::new(&mut bytes, output, &["name", "count", "rate", "flag"]).unwrap();
        rows().into_iter().for_each(|row| listing.push(row).unwrap());
        listing.finish().unwrap();
        expected.assert_eq(&String::from_utf8(bytes).unwrap().replace('\r', "␍").replace('\u{1b}', "␛").replace('\u{202e}', "⮈"));
    }

    #[test]
    fn a_table_shows_no_control_character() {
        check(
            Output::Table,
            expect![[r#"
            name                              count    rate  flag
            ──────────────────────────────────────────────────────
            plain                                  12   0.5
            a,"b"\tc\nd                            -3  1234  true
            =HYPERLINK("x")\u{1b}[2J\u{202e}  1000000   NaN
        "#]],
        );
    }

    #[test]
    fn a_list_of_texts_is_a_line_for_each() {
        assert_eq!(Cell::Nested(serde_json::json!(["file:///a", "b\u{1b}"])).lines(), ["file:///a", "b\\u{1b}"]);
        assert_eq!(Cell::Nested(serde_json::json!(["a", 1])).lines(), [r#"["a",1]"#]);
        assert_eq!(Cell::Nested(serde_json::json!([])).lines(), ["[]"]);
        assert_eq!(Cell::Null.lines(), [""]);
        assert_eq!([plural(0, "lot"), plural(1, "lot"), plural(2, "lot")], ["0 lots", "1 lot", "2 lots"]);
    }

    #[test]
    fn json_is_exact() {
        check(
            Output::Json,
            expect![[r#"
            [
             {"name":"plain","count":12,"rate":0.5,"flag":null},
             {"name":"a,\"b\"\tc\nd","count":-3,"rate":1234.0,"flag":true},
             {"name":"=HYPERLINK(\"x\")\u001b[2J\u202e","count":1000000,"rate":null,"flag":""}
            ]
        "#]],
        );
    }

    #[test]
    fn csv_is_quoted_and_guarded() {
        check(
            Output::Csv,
            expect![[r#"
            name,count,rate,flag␍
            plain,12,0.5,␍
            "a,""b""	c
            d",-3,1234,true␍
            "'=HYPERLINK(""x"")␛[2J⮈",1000000,NaN,""␍
        "#]],
        );
    }

    #[test]
    fn tsv_has_one_line_a_row() {
        check(
            Output::Tsv,
            expect![[r#"
            name	count	rate	flag
            plain	12	0.5	
            a,"b"\tc\nd	-3	1234	true
            '=HYPERLINK("x")␛[2J⮈	1000000	NaN	
        "#]],
        );
    }

    #[test]
    fn an_empty_listing_is_still_one() {
        let mut bytes = Vec::new();
        Listing::new(&mut bytes, Output::Json, &["a"]).unwrap().finish().unwrap();
        assert_eq!(bytes, b"[]\n");
    }

    #[test]
    fn many_columns_are_shown_a_record_at_a_time() {
        let names: Vec<String> = (0..9).map(|number| format!("column_{number}")).collect();
        let row: Vec<Cell> = (0..9).map(|number| Cell::Text("x".repeat(number * 4))).collect();
        expect![[r#"
            ── 1 ──
            column_0
            column_1  xxxx
            column_2  xxxxxxxx
            column_3  xxxxxxxxxxxx
            column_4  xxxxxxxxxxxxxxxx
            column_5  xxxxxxxxxxxxxxxxxxxx
            column_6  xxxxxxxxxxxxxxxxxxxxxxxx
            column_7  xxxxxxxxxxxxxxxxxxxxxxxxxxxx
            column_8  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        "#]]
        .assert_eq(&table(&names, &[row], Some(80)));
    }

    #[test]
    fn a_table_keeps_to_its_width() {
        let row: Vec<Cell> = vec!["file:///".repeat(20).into(), 5u64.into()];
        let text = table(&["uri", "n"], &[row], Some(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
