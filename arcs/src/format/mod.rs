//! The registry of log formats. Text of one line flows in; cells of one row, or a [`Reject`], flow out. A format is one
//! file in this folder and one line in [`FORMATS`]; it never sees blocks, files, arrow or Parquet, and never fails.

mod clf_time;
mod explain;
mod s3_access;

pub use explain::{Explained, Outcome, explain};

use crate::columns::{Kind, Row};

/// All formats, by name. A test walks the folder and fails for a file that is missing here.
pub static FORMATS: &[&Format] = &[&s3_access::FORMAT];

/// The column whose value is the time of the event, in every format.
pub const TIME_COLUMN: &str = "time";

/// The format of that name.
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|format| format.name == name)
}

/// A log format: what its lines hold, and the function that reads one.
#[derive(Debug)]
pub struct Format {
    /// Its name in project files and on the command line.
    pub name: &'static str,
    /// What writes such logs, in a sentence without full stop.
    pub summary: &'static str,
    /// The vendor's page that `columns` and `parse` follow.
    pub page: &'static str,
    /// The columns, in the order of the Parquet file. Exactly one is [`Kind::Time`] and named [`TIME_COLUMN`].
    pub columns: &'static [Column],
    /// Lines of our own that it reads, one per shape.
    pub examples: &'static [&'static str],
    /// Reads one line, without its newline, into the cells of a row; every cell is null before.
    ///
    /// The line is valid UTF-8 and not blank. A reject leaves the cells in any state.
    pub parse: fn(line: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject>,
}

/// A column of a format.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, lower_snake.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The unit of numbers, or empty.
    pub unit: &'static str,
    /// What it means, in a sentence without full stop; where null is special, what null means.
    pub meaning: &'static str,
    /// How its values repeat.
    pub values: Values,
}

/// How the values of a column repeat, which decides how they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Few different ones: a dictionary.
    Repeating,
    /// Mostly different ones: no dictionary is tried.
    Distinct,
    /// Numbers that mostly grow by little: their differences are stored.
    Ascending,
    /// Ids that people search for: no dictionary, and a Bloom filter.
    Identifying,
}

/// What a line gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A row, by the plain reading.
    Row,
    /// A row, saved by more than the plain reading.
    Recovered,
    /// A header line: no row.
    Header,
}

/// A line that is no row: why, and at which byte of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The byte of the line at which reading stopped.
    pub at: usize,
    /// Why, in words for people, without full stop.
    pub reason: &'static str,
}

impl Format {
    /// The place of the time column.
    pub fn time_column(&self) -> usize {
        self.columns.iter().position(|column| column.kind == Kind::Time && column.name == TIME_COLUMN).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_file_of_the_folder_is_registered() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format");
        let machinery = ["mod", "explain", "clf-time"];
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', "-");
            assert!(machinery.contains(&name.as_str()) || find(&name).is_some(), "format/{name} is not in FORMATS");
        }
    }

    #[test]
    fn every_format_keeps_its_promises() {
        for format in FORMATS {
            let times: Vec<_> = format.columns.iter().filter(|column| column.name == TIME_COLUMN).collect();
            assert!(matches!(times[..], [column] if column.kind == Kind::Time), "{}", format.name);
            assert!(format.page.starts_with("https://"), "{}", format.name);
            for column in format.columns {
                assert!(column.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
                assert!(!column.meaning.is_empty() && !column.meaning.ends_with('.'), "{}.{}", format.name, column.name);
            }
            for example in format.examples {
                assert!(matches!(explain(format, example.as_bytes()).outcome, Outcome::Row { .. }), "{}: {example}", format.name);
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            for format in FORMATS {
                let _ = explain(format, &line);
            }
        }

        #[test]
        fn no_damaged_example_panics(example in 0usize..100, cut in 0usize..1000, insert in "[ \"\\-\\[\\]%:0-9a é]{0,6}", remove in 0usize..20) {
            for format in FORMATS {
                let line = format.examples[example % format.examples.len()];
                let at = (0..=line.len()).filter(|at| line.is_char_boundary(*at)).nth(cut % line.len()).unwrap_or(0);
                let rest: String = line[at..].chars().skip(remove).collect();
                let _ = explain(format, format!("{}{insert}{rest}", &line[..at]).as_bytes());
            }
        }
    }
}
