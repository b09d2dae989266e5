//! Parquet written here, read by DuckDB, PyArrow and Spark: the same schema, counts, sums and times in all three, and
//! the ones that were put in. Skipped, loudly, where the readers are not installed (`tests/run` installs them).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use tests::program::arc;

const LINES: u64 = 4_000;

/// What `tests/readers/read.py` prints.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Seen {
    pub schema: BTreeMap<String, String>,
    pub rows: u64,
    pub nulls: BTreeMap<String, u64>,
    pub sums: BTreeMap<String, i64>,
    times: BTreeMap<String, (i64, i64, i128)>,
}

/// The Python that has the readers.
fn python(engine: &str) -> Option<String> {
    let python = std::env::var("ARCLAKE_PYTHON").ok().filter(|python| !python.is_empty());
    if python.is_none() {
        eprintln!("SKIPPED: {engine} is not installed; `tests/run` installs it where it can");
    }
    python
}

pub(crate) fn see(engine: &str, folder: &Path) -> Option<Seen> {
    let python = python(engine)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/read.py");
    let output = Command::new(python).arg(script).arg(engine).arg(folder).output().expect("the reader starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{engine}: {errors}");
    Some(serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{engine}: {error}: {text}{errors}")))
}

/// Lines over three days around midnight, with nulls, an IPv6 address, quotes in a user agent and short tails.
fn lines() -> String {
    let mut text = String::new();
    for n in 0..LINES {
        let day = 30 + n % 2;
        let (hour, minute, second) = (n % 24, n % 60, n * 7 % 60);
        let agent = if n % 50 == 0 { "\"a \"quoted\" agent\"" } else { "\"curl/8.0\"" };
        let ip = if n % 10 == 0 { "2001:db8::1" } else { "192.0.2.3" };
        let (status, error) = if n % 25 == 0 { ("404", "NoSuchKey") } else { ("200", "-") };
        let sent = if n % 3 == 0 { "-".to_owned() } else { (n * 1_000_003).to_string() };
        let tail = if n % 40 == 0 { "" } else { " SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader b.s3.amazonaws.com TLSv1.2 - - us-east-1" };
        let _ = writeln!(
            text,
            "owner bucket-{} [{day:02}/Dec/2025:{hour:02}:{minute:02}:{second:02} +0000] {ip} - REQ{n:013} REST.GET.OBJECT k%2520{n} \"GET /b/k{n} HTTP/1.1\" {status} {error} {sent} 10 {} 3 \"-\" {agent} - host{tail}",
            n % 4,
            n % 900,
        );
    }
    text
}

#[test]
fn three_readers_see_what_was_put_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, sink) = (folder.path().join("in.log"), folder.path().join("out"));
    std::fs::write(&input, lines()).expect("input is written");
    let run = arc(&["run", "--format", "s3-access", "--lot", "20251231PT5M000", "--output", "json", "--input"])
        .arg(&input)
        .arg("--sink")
        .arg(&sink)
        .output();
    let run = run.expect("arc starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let seen: Vec<Seen> = ["duckdb", "pyarrow", "spark"].iter().filter_map(|engine| see(engine, &sink)).collect();
    let Some(first) = seen.first() else { return };
    for other in &seen[1..] {
        assert_eq!(first, other);
    }
    check(first);
}

fn check(seen: &Seen) {
    assert_eq!(seen.rows, LINES);
    let kind = |column: &str| seen.schema.get(column).map(String::as_str);
    assert_eq!(
        [kind("time"), kind("http_status"), kind("bytes_sent"), kind("dt"), kind("source_line"), kind("lot")],
        [Some("timestamp_utc_us"), Some("int32"), Some("int64"), Some("string"), Some("int64"), Some("string")]
    );
    let sent: i64 = (0..LINES as i64).filter(|n| n % 3 != 0).map(|n| n * 1_000_003).sum();
    assert_eq!(seen.sums["bytes_sent"], sent);
    assert_eq!(seen.nulls["bytes_sent"], LINES.div_ceil(3));
    assert_eq!(seen.nulls["error_code"], LINES - LINES.div_ceil(25));
    let micros = |n: i64| {
        let day = if n % 2 == 0 { "2025-12-30" } else { "2025-12-31" };
        let text = format!("{day}T{:02}:{:02}:{:02}Z", n % 24, n % 60, n * 7 % 60);
        text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_micros()
    };
    let all = || (0..LINES as i64).map(micros);
    let times = (all().min().expect("one"), all().max().expect("one"), all().map(i128::from).sum::<i128>());
    assert_eq!(seen.times["time"], times);
}

#[test]
fn the_statement_of_the_readme_counts_the_rows_of_the_receipt() {
    const SCRIPT: &str =
        "import duckdb, sys; print(duckdb.execute('SELECT count(*) FROM (%s)' % sys.argv[1].strip().rstrip(';')).fetchone()[0])";
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("in.log");
    std::fs::write(&input, lines() + "this is no record\n").expect("input is written");
    let run =
        arc(&["run", "--format", "s3-access", "--output", "json", "--sink", "out", "--input"]).arg(&input).current_dir(&folder).output();
    let run = run.expect("arc starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let receipt: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!((&receipt["rows"], &receipt["rejected"]), (&LINES.into(), &1.into()));
    let Some(python) = python("duckdb") else { return };
    let [statement] = &crate::readme::blocks("sql")[..] else { panic!("the README has one statement") };
    let read = Command::new(python).args(["-c", SCRIPT, statement]).current_dir(&folder).output().expect("python starts");
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), LINES.to_string(), "{}", String::from_utf8_lossy(&read.stderr));
}
