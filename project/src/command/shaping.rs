//! The parameters of a convert arc as options of `arc run --input`: arguments flow in; a [`Shaping`] and how Parquet is written
//! flow out, or what is wrong with them, by the options' names.

use arcs::shape::{Redaction, Shaping, parquet};
use arcs::workload::Problem;
use arcs::write::WriteOptions;
use serde_json::{Value, json};

use super::Trouble;

/// Parameters of a workload, and the options that stand for them.
const OPTIONS: [(&str, &str); 11] = [
    ("partitions", "--partitions"),
    ("select", "--select"),
    ("sortBy", "--sort-by"),
    ("redact", "--redact"),
    ("redactKeyEnv", "--redact-key-env"),
    ("rejectsRaw", "--rejects-raw"),
    ("rowGroupMiB", "--row-group-mib"),
    ("fileMiB", "--file-mib"),
    ("compression", "--compression"),
    ("zstdLevel", "--zstd-level"),
    ("bloom", "--bloom"),
];

/// How rows of the format become rows of the table: the parameters of a convert arc.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "With --input: rows, columns and files (as in the workload of a convert arc)")]
pub struct ShapingArgs {
    /// Partition folders, outermost first: dt, hour, time_ymd, lot, or output columns.
    #[arg(long, visible_alias = "partition", value_name = "KEYS", value_delimiter = ',', requires = "input", default_value = "dt")]
    partitions: Vec<String>,
    /// One SELECT over the table `log`, with columns and WHERE alone.
    #[arg(long, value_name = "SQL", requires = "input")]
    select: Option<String>,
    /// Output columns that the rows of each row group are sorted by; -NAME for descending.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "input", allow_hyphen_values = true)]
    sort_by: Vec<String>,
    /// A column that must not be kept as it is: COLUMN=hash, drop, ip or truncate:CHARACTERS; may be given more than once.
    #[arg(long, value_name = "COLUMN=HOW", requires = "input", value_parser = parse_redaction)]
    redact: Vec<(String, Redaction)>,
    /// The environment variable with the key of hashes; empty for hashes without a key.
    #[arg(long, value_name = "NAME", requires = "redact")]
    redact_key_env: Option<String>,
    /// Whether rejects keep their bytes: keep or drop; dropped where --redact is given.
    #[arg(long, value_name = "keep|drop", requires = "input", value_parser = ["keep", "drop"], hide_possible_values = true)]
    rejects_raw: Option<String>,
    /// Text of a row group at most, in MiB.
    #[arg(long, value_name = "MIB", requires = "input")]
    row_group_mib: Option<u32>,
    /// Text of a file at most, in MiB.
    #[arg(long, value_name = "MIB", requires = "input")]
    file_mib: Option<u32>,
    /// How pages are compressed: zstd, snappy or none.
    #[arg(long, value_name = "CODEC", requires = "input")]
    compression: Option<String>,
    /// The level of zstd, 1 to 22.
    #[arg(long, value_name = "LEVEL", requires = "input")]
    zstd_level: Option<u32>,
    /// Output columns with a Bloom filter, in place of those that the format has for ids.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "input")]
    bloom: Option<Vec<String>>,
}

impl ShapingArgs {
    /// What they say, checked by itself.
    pub fn read(&self) -> Result<(Shaping, WriteOptions), Trouble> {
        let workload = self.workload();
        let read = Shaping::read(&workload).map_err(misshapen)?;
        let read = Shaping { redact: self.redact.clone(), redact_key_env: self.redact_key_env.clone(), ..read };
        if let Some(problem) = read.check_key() {
            return Err(misshapen(vec![problem]));
        }
        Ok((read, parquet(&workload).map_err(misshapen)?))
    }

    /// The same as parameters of a convert arc, but for the redactions, which are read already.
    fn workload(&self) -> Value {
        let mut workload = json!({"partitions": self.partitions, "sortBy": self.sort_by});
        let given: [(&str, Option<Value>); 7] = [
            ("select", self.select.as_deref().map(Value::from)),
            ("rejectsRaw", self.rejects_raw.as_deref().map(Value::from)),
            ("rowGroupMiB", self.row_group_mib.map(Value::from)),
            ("fileMiB", self.file_mib.map(Value::from)),
            ("compression", self.compression.as_deref().map(Value::from)),
            ("zstdLevel", self.zstd_level.map(Value::from)),
            ("bloom", self.bloom.clone().map(Value::from)),
        ];
        given.into_iter().filter_map(|(key, value)| Some((key, value?))).for_each(|(key, value)| workload[key] = value);
        workload
    }
}

fn parse_redaction(text: &str) -> Result<(String, Redaction), String> {
    let (column, how) = text.split_once('=').ok_or("use COLUMN=HOW")?;
    let value = match how.split_once(':') {
        Some((name, count)) => json!({name: count.parse::<u64>().map_err(|_| format!("`{count}` is no number"))?}),
        None => how.into(),
    };
    Ok((column.to_owned(), Redaction::read(&value)?))
}

/// Problems of a shaping as one trouble; the first one's correction is what to try.
pub fn misshapen(problems: Vec<Problem>) -> Trouble {
    let said = |problem: &Problem| format!("{} {}", option(&problem.path), problem.message);
    let message = problems.iter().map(said).collect::<Vec<_>>().join("; ");
    let next = problems.into_iter().find_map(|problem| match problem.path.as_str() {
        "workload.redactKeyEnv" => {
            Some("--redact-key-env NAME, an environment variable that holds a key; '' for hashes without one".to_owned())
        }
        _ => problem.fix,
    });
    Trouble { next, ..Trouble::usage(message) }
}

/// The option of a place below `workload`, with what is left of the place: `--redact key:`, `--sort-by`.
fn option(path: &str) -> String {
    let path = path.trim_start_matches("workload.");
    let (name, rest) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
    let option = OPTIONS.iter().find(|option| option.0 == name).map_or(name, |option| option.1);
    match rest.strip_prefix('.') {
        Some(rest) => format!("{option} {rest}:"),
        None => format!("{option}:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use expect_test::{Expect, expect};

    #[derive(Parser)]
    struct Arguments {
        #[arg(long)]
        input: Option<String>,
        #[command(flatten)]
        shaping: ShapingArgs,
    }

    fn check(arguments: &str, expected: Expect) {
        let words = ["arc", "--input", "a.log"].into_iter().chain(arguments.split_whitespace());
        let read = Arguments::try_parse_from(words).unwrap();
        assert!(read.input.is_some());
        let told = match read.shaping.read() {
            Ok((shaping, write)) => format!("{:?} {write:?}", shaping.bloom),
            Err(trouble) => format!("{} | {}", trouble.message, trouble.next.unwrap_or_default()),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn parquet_is_set_as_in_a_workload() {
        check(
            "",
            expect!["None WriteOptions { row_group_text_bytes: 100663296, part_text_bytes: 4294967296, codec: Zstd, zstd_level: 1 }"],
        );
        check(
            "--row-group-mib 1 --file-mib 2 --compression snappy --bloom key,request_id",
            expect![[
                r#"Some(["key", "request_id"]) WriteOptions { row_group_text_bytes: 1048576, part_text_bytes: 2097152, codec: Snappy, zstd_level: 1 }"#
            ]],
        );
    }

    #[test]
    fn mistakes_name_the_option() {
        check("--row-group-mib 0", expect!["--row-group-mib: must be a whole number from 1 to 512 | "]);
        check("--compression gzip", expect!["--compression: `gzip` is no compression | use zstd, snappy, none"]);
        check("--compression none --zstd-level 3", expect!["--zstd-level: is for compression zstd | remove it"]);
        check(
            "--redact key=hash",
            expect![
                "--redact-key-env: is missing: without a key, who can guess a value can check the guess | --redact-key-env NAME, an environment variable that holds a key; '' for hashes without one"
            ],
        );
        assert_eq!((option("workload.redact.key"), option("workload.sortBy[0]")), ("--redact key:".into(), "--sort-by:".into()));
    }

    #[test]
    fn every_parameter_of_a_workload_has_its_option() {
        use clap::CommandFactory;
        let command = Arguments::command();
        let known: Vec<String> = command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect();
        assert!(OPTIONS.iter().all(|(_, option)| known.iter().any(|known| known == option)), "{known:?}");
    }
}
