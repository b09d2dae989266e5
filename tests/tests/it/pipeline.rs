//! The whole pipeline through the program: logs arrive, Parquet and counts come out, and whoever asks gets the truth, the
//! right exit code and the next step.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use filetime::FileTime;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tests::program::{Finished, arc, finish};

const LINE: &str = "7cd47ef2be lake [06/Feb/2026:10:00:38 +0000] 192.0.2.3 - 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b.txt \
\"GET /lake/a%20b.txt HTTP/1.1\" 200 - 113 113 7 5 \"-\" \"curl/8.5.0\" - s9lzHYrFp76ZVxRcpX9= SigV4 ECDHE-RSA-AES128-GCM-SHA256 \
AuthHeader lake.s3.us-west-1.amazonaws.com TLSv1.2 - - us-west-1\n";
/// The longest that anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

struct Lake {
    folder: tempfile::TempDir,
}

impl Lake {
    /// A lake with four lots: two objects, nothing, one object with a line that is none, one truncated object.
    fn new() -> Lake {
        let lake = Lake::empty(project());
        lake.log("a.log", LINE.repeat(30).as_bytes(), "2026-02-06T10:01:00Z");
        lake.log("b.log.gz", &gzip(LINE.replace(" 200 - ", " 503 SlowDown ").repeat(10).as_bytes()), "2026-02-06T10:02:00Z");
        lake.log("c.log", format!("{}not a line\n", LINE.repeat(39)).as_bytes(), "2026-02-06T10:11:00Z");
        lake.log("d.log", LINE.repeat(5).as_bytes(), "2026-02-06T10:16:00Z");
        lake
    }

    fn empty(project: Value) -> Lake {
        let lake = Lake { folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(lake.path("project.json"), project.to_string()).expect("a project file");
        lake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, name: &str, body: &[u8], modified: &str) {
        let path = self.path("logs").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, body).expect("a log");
        let time = modified.parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
        filetime::set_file_mtime(&path, FileTime::from_unix_time(time.timestamp(), 0)).expect("a time");
    }

    fn arc(&self, arguments: &[&str]) -> Finished {
        let mut command = arc(arguments);
        finish(command.arg("-p").arg(self.path("project.json")))
    }

    fn up(&self) -> Finished {
        self.arc(&["up", "--once", "--as-of", "2026-02-06T10:21:00Z"])
    }

    fn query(&self, sql: &str) -> Value {
        let done = self.arc(&["query", "--output", "json", sql]);
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.out).expect("JSON")
    }

    /// Every file below the folder but caches and queues, with its bytes.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for top in ["lake/manifest", "lake/metadata", "lake/arc-state", "out"] {
            walk(&self.path(top), self.folder.path(), &mut found);
        }
        found
    }
}

fn walk(folder: &Path, base: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, base, found),
            path => {
                drop(found.insert(path.strip_prefix(base).expect("below").display().to_string(), std::fs::read(&path).expect("readable")))
            }
        }
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn dataset(name: &str, folder: &str) -> Value {
    json!({"name": name, "version": "1", "pathURI": folder})
}

fn source(name: &str) -> Value {
    json!({"main": {"name": name, "version": "1"}})
}

fn project() -> Value {
    json!({
        "project": {"name": "pipeline", "version": "1"},
        "placement": {"provider": "local", "root": "lake"},
        "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths", "from": "2026-02-06T10:00:00Z", "dataset": dataset("logs", "logs/")}],
        "arcs": [
            {"type": "convert", "name": "convert", "sources": source("logs"),
             "sinks": {"main": dataset("access-logs", "out/parquet/"), "rejects": dataset("rejects", "out/rejects/")},
             "workload": {"format": "s3-access"}},
            {"type": "query", "name": "errors", "sources": source("access-logs"), "sinks": {"main": dataset("errors", "out/errors/")},
             "workload": {"builtin": "error_stats"}},
            {"type": "query", "name": "quarter", "lotUnit": "Fourths", "sources": source("access-logs"),
             "sinks": {"main": dataset("quarters", "out/quarters/")}, "workload": {"sql": "SELECT count(*) AS n FROM main"}}
        ]
    })
}

fn first(json: &Value) -> &Value {
    json.get(0).unwrap_or(json)
}

#[test]
fn logs_become_parquet_and_counts() {
    let lake = Lake::new();
    let done = lake.up();
    assert_eq!(done.code, Some(0), "{done:?}");
    let rows = lake.query("SELECT count(*) AS rows, count(DISTINCT lot) AS lots, min(dt) AS dt FROM access_logs");
    assert_eq!(rows, json!([{"rows": 84, "lots": 3, "dt": "2026-02-06"}]));
    assert_eq!(lake.query("SELECT source_line FROM rejects"), json!([{"source_line": 40}]));
    assert_eq!(lake.query("SELECT sum(requests) AS n, sum(errors) AS e FROM errors"), json!([{"n": 84, "e": 10}]));
    assert_eq!(lake.query("SELECT n FROM quarters"), json!([{"n": 79}]), "three lots, one of them empty");
    let audit = lake.arc(&["audit"]);
    assert_eq!(audit.code, Some(0), "{audit:?}");
    let before = lake.files();
    let again = lake.up();
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(lake.files(), before, "nothing is due, nothing is done");
}

#[test]
fn a_replay_is_the_next_generation_and_downstream_follows() {
    let lake = Lake::new();
    lake.up();
    let rows = "SELECT count(*) AS n, sum(bytes_sent) AS b FROM access_logs";
    let before = lake.query(rows);
    let replayed = lake.arc(&["replay", "--arc", "convert", "--lot", "20260206PT5M120..20260206PT5M122", "--output", "json"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert_eq!(serde_json::from_str::<Value>(&replayed.out).expect("JSON").as_array().map(Vec::len), Some(3));
    let commits =
        |lake: &Lake, name: &str| lake.files().keys().filter(|path| path.contains(name) && path.contains("commit-000002")).count();
    assert_eq!((commits(&lake, "name=access-logs"), commits(&lake, "name=errors")), (3, 0));
    lake.up();
    assert_eq!(commits(&lake, "name=errors"), 3, "its sources are newer");
    assert_eq!(lake.query(rows), before);
    assert_eq!(lake.arc(&["audit"]).code, Some(0));
}

#[test]
fn readers_see_what_is_committed_and_the_audit_sees_everything_else() {
    let lake = Lake::new();
    lake.up();
    let day = lake.path("out/parquet/dt=2026-02-06");
    let file = day.join("20260206PT5M120-00000.parquet");
    std::fs::copy(&file, day.join("stray.parquet")).expect("a stray");
    assert_eq!(lake.query("SELECT count(*) AS n FROM access_logs"), json!([{"n": 84}]));
    let finding = |part: &str| {
        let audit = lake.arc(&["audit", "--output", "json"]);
        assert_eq!(audit.code, Some(1), "{audit:?}");
        let findings: Value = serde_json::from_str(&audit.out).expect("JSON");
        let texts: Vec<&str> = findings.as_array().into_iter().flatten().filter_map(|found| found["finding"].as_str()).collect();
        assert!(texts.iter().any(|text| text.contains(part)), "no {part} in {texts:?}");
    };
    finding("stray.parquet is in no manifest");
    std::fs::remove_file(day.join("stray.parquet")).expect("removed");
    let whole = std::fs::read(&file).expect("readable");
    let mut damaged = whole.clone();
    damaged[4..200].fill(0xff);
    std::fs::write(&file, &damaged).expect("damaged");
    finding("cannot be read to the end");
    std::fs::write(&file, &whole[..whole.len() - 1]).expect("cut");
    finding("bytes, not");
    std::fs::remove_file(&file).expect("removed");
    finding("the file is not there");
    let redone = lake.arc(&["replay", "--arc", "convert", "--lot", "20260206PT5M120"]);
    assert_eq!(redone.code, Some(0), "{redone:?}");
    assert_eq!(lake.arc(&["audit"]).code, Some(0), "as the audit advised");
}

#[test]
fn the_audit_counts_lines_again() {
    let lake = Lake::new();
    lake.up();
    let commit = lake.path("lake/manifest/datasets/name=access-logs/version=1/lot=20260206PT5M122/commit-000001.json");
    let text = std::fs::read_to_string(&commit).expect("a commit");
    std::fs::write(&commit, text.replace("\"lines\":40", "\"lines\":41").replace("\"blank\":0", "\"blank\":1")).expect("changed");
    let audit = lake.arc(&["audit"]);
    assert_eq!(audit.code, Some(1), "{audit:?}");
    assert!(audit.out.contains("counted again"), "{audit:?}");
}

#[test]
fn a_backfill_comes_before_the_first_lot() {
    let lake = Lake::new();
    let backfill = |arguments: &[&str]| lake.arc(&[&["backfill", "--boundary", "in", "--output", "json"], arguments].concat());
    let times = ["--from", "2026-02-06T09:50:00Z", "--to", "2026-02-06T10:12:00Z"];
    let planned = backfill(&[&times[..], &["--dry-run"]].concat());
    assert_eq!(planned.code, Some(0), "{planned:?}");
    let objects = |out: &str| -> Vec<(String, u64)> {
        let rows: Value = serde_json::from_str(out).expect("JSON");
        let row = |row: &Value| (row["lot"].as_str().expect("a lot").to_owned(), row["objects"].as_u64().expect("a number"));
        rows.as_array().expect("a list").iter().map(row).collect()
    };
    let expected = [("20260206PT5M118", 0), ("20260206PT5M119", 0), ("20260206PT5M120", 2), ("20260206PT5M121", 0)];
    let expected: Vec<(String, u64)> = expected.map(|(lot, objects)| (lot.to_owned(), objects)).to_vec();
    assert_eq!(objects(&planned.out), expected);
    assert!(lake.files().is_empty(), "a dry run writes nothing");
    let done = backfill(&times);
    assert_eq!((done.code, &done.out), (Some(0), &planned.out), "{done:?}");
    assert_eq!(backfill(&times).out, "[]\n", "once is enough");
    assert_eq!(lake.up().code, Some(0));
    let listed = lake.arc(&["lots", "logs", "--list", "--output", "json"]);
    let rest = [("20260206PT5M122", 1), ("20260206PT5M123", 1)].map(|(lot, objects)| (lot.to_owned(), objects));
    assert_eq!(objects(&listed.out), [expected, rest.to_vec()].concat());
    assert_eq!(lake.query("SELECT count(*) AS rows FROM access_logs"), json!([{"rows": 84}]));
    let refused = backfill(&["--from", "2026-02-06T09:00:00Z"]);
    assert!(refused.code == Some(2) && refused.err.contains("took all that was there"), "{refused:?}");
    let unknown = lake.arc(&["backfill", "--boundary", "inn", "--from", "2d"]);
    assert!(unknown.code == Some(4) && unknown.err.contains("--boundary in"), "{unknown:?}");
}

#[test]
fn an_arc_runs_on_a_lot_that_is_there() {
    let lake = Lake::new();
    lake.up();
    let done = lake.arc(&["run", "--arc", "convert", "--lot", "20260206PT5M122", "--output", "json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let receipt: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!((first(&receipt)["rows"].as_u64(), first(&receipt)["rejected"].as_u64()), (Some(39), Some(1)));
    let cases = [
        (&["run", "--arc", "convert", "--lot", "20260206PT5M200"][..], 4, "20260206PT5M200"),
        (&["run", "--arc", "convert", "--lot", "20260206PT1H010"], 2, "--lot 20260206PT5M120"),
        (&["run", "--arc", "convrt", "--lot", "20260206PT5M120"], 4, "--arc convert"),
        (&["run", "--arc", "convert", "--lot", "20260206PT5M121", "--manifest-state", "complete"], 4, "empty, not complete"),
        (&["run", "--arc", "convert", "--lot", "today"], 2, "is not a lot"),
        (&["replay", "--arc", "convert", "--lot", "20260206PT5M122..20260206PT5M120"], 2, "is before"),
        (&["audit", "nothing"], 4, "access-logs"),
        (&["up", "--as-of", "yesterday"], 2, "not a time"),
    ];
    for (arguments, code, part) in cases {
        let done = lake.arc(arguments);
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        assert!(done.err.contains(part) && done.out.is_empty(), "{arguments:?}: {done:?}");
    }
    assert_eq!(lake.arc(&["run", "--arc", "convert", "--lot", "20260206PT5M121", "--manifest-state", "empty"]).code, Some(0));
}

#[test]
fn queries_read_and_nothing_else() {
    let lake = Lake::new();
    lake.up();
    let target = lake.path("out/target.csv").display().to_string();
    let cases = [
        (format!("COPY (SELECT 1) TO '{target}'"), 2, "only queries"),
        ("DROP TABLE access_logs".into(), 2, "only queries"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'".into(), 2, "only queries"),
        ("SET datafusion.execution.batch_size = 1".into(), 2, "only queries"),
        ("INSERT INTO access_logs SELECT * FROM access_logs".into(), 2, ""),
        ("SELECT * FROM acces_logs".into(), 4, "FROM access_logs"),
        ("SELECT * FROM '/etc/passwd'".into(), 4, "there is no table"),
        ("SELECT nothing FROM access_logs".into(), 2, "nothing"),
        ("SELEC 1".into(), 2, "SQL"),
        ("SELECT * FROM logs".into(), 2, "not Parquet"),
        ("".into(), 2, ""),
    ];
    for (sql, code, part) in cases {
        let done = lake.arc(&["query", &sql]);
        assert_eq!(done.code, Some(code), "{sql}: {done:?}");
        assert!(done.err.contains(part) && done.out.is_empty(), "{sql}: {done:?}");
    }
    assert!(!Path::new(&target).exists());
    let csv = lake.arc(&["query", "--output", "csv", "SELECT http_status, count(*) AS n FROM \"access-logs\" GROUP BY 1 ORDER BY 1"]);
    assert_eq!(csv.out, "http_status,n\r\n200,74\r\n503,10\r\n", "{csv:?}");
    let cut = lake.arc(&["query", "--limit", "3", "SELECT lot FROM access_logs"]);
    assert!(cut.out.lines().count() <= 5 && cut.err.contains("--limit 0"), "{cut:?}");
}

#[test]
fn files_are_converted_without_a_project_and_the_same_again() {
    let lake = Lake::new();
    let sink = lake.path("sink");
    let run = |arguments: &[&str]| {
        let mut command = arc(&["run", "--format", "s3-access", "--output", "json", "--sink"]);
        command.arg(&sink).args(["--input", &lake.path("logs/*").display().to_string()]).args(arguments);
        let done = finish(&mut command);
        assert_eq!(done.code, Some(0), "{done:?}");
        let receipt: Value = serde_json::from_str(&done.out).expect("JSON");
        first(&receipt).clone()
    };
    let files = || {
        let mut found = BTreeMap::new();
        walk(&sink, &sink, &mut found);
        found
    };
    let receipt = run(&["--lot", "20260206PT5M120"]);
    let promised = [
        "lot",
        "state",
        "objects",
        "lines",
        "rows",
        "blank",
        "header",
        "continuation",
        "rejected",
        "filtered",
        "recovered",
        "extra",
        "bytes_in",
        "bytes_out",
        "seconds",
    ];
    let names: Vec<&String> = receipt.as_object().expect("an object").keys().collect();
    assert_eq!(names[..promised.len()], promised, "{receipt}");
    assert_eq!((receipt["objects"].as_u64(), receipt["lines"].as_u64(), receipt["rejected"].as_u64()), (Some(4), Some(85), Some(1)));
    let once = files();
    assert_eq!(once.keys().filter(|name| name.starts_with("_rejects/")).count(), 1, "{:?}", once.keys());
    run(&["--lot", "20260206PT5M120"]);
    assert_eq!(files(), once);
    let (second, third) = (run(&[])["lot"].clone(), run(&[])["lot"].clone());
    assert_ne!(second, third, "what is there is not written over unless its lot is named");
    assert_eq!(files().len(), 3 * once.len());
}

#[test]
fn a_failed_arc_stops_no_other_and_can_be_retried() {
    let mut project = project();
    let gate = json!({"type": "exec", "name": "gate", "sources": source("access-logs"), "sinks": {"main": dataset("gated", "out/gated/")},
        "workload": {"command": ["/bin/sh", "-c", "test -e ../open || test -e open"]}});
    project["arcs"].as_array_mut().expect("arcs").push(gate);
    let lake = Lake::new();
    std::fs::write(lake.path("project.json"), project.to_string()).expect("a project file");
    let folder = lake.path("open");
    let text = project.to_string().replace("test -e ../open || test -e open", &format!("test -e {}", folder.display()));
    std::fs::write(lake.path("project.json"), text).expect("a project file");
    let done = lake.up();
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(lake.query("SELECT sum(requests) AS n FROM errors"), json!([{"n": 84}]));
    std::fs::write(&folder, "").expect("opened");
    let elsewhere = lake.arc(&["retry", "--arc", "gate", "--lot", "20200101PT5M000"]);
    assert!(elsewhere.err.contains("nothing has failed"), "{elsewhere:?}");
    let retried = lake.arc(&["retry"]);
    assert_eq!(retried.code, Some(0), "{retried:?}");
    assert!(retried.err.contains("gate"), "{retried:?}");
    assert_eq!(lake.up().code, Some(0));
}

#[test]
fn a_dataset_has_one_owner() {
    let lake = Lake::new();
    lake.up();
    let mut other = project();
    other["project"]["name"] = json!("other");
    std::fs::write(lake.path("project.json"), other.to_string()).expect("a project file");
    let done = lake.up();
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("belongs to boundary in of project pipeline"), "{done:?}");
}

#[test]
fn up_takes_in_what_arrives_and_ends_when_asked() {
    let mut project = project();
    project["boundaries"][0]["eventArrival"] = json!("infrequent");
    project["boundaries"][0].as_object_mut().expect("an object").remove("from");
    let lake = Lake::empty(project);
    let log = lake.path("up.log");
    let mut command = arc(&["up", "--listen", "127.0.0.1:0", "--log-format", "json", "-p"]);
    let said = std::fs::File::create(&log).expect("a file");
    let mut child = command.arg(lake.path("project.json")).stdout(Stdio::null()).stderr(said).spawn().expect("arc starts");
    lake.log("late.log", LINE.repeat(7).as_bytes(), "2026-02-06T10:01:00Z");
    let started = Instant::now();
    let is_done = |lake: &Lake| lake.files().keys().any(|path| path.contains("name=errors") && path.contains("state=complete"));
    while !is_done(&lake) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(is_done(&lake), "{:?}", lake.files().keys());
    let said = std::fs::read_to_string(&log).expect("a log");
    let address = said.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address").to_owned();
    assert!(ask(&address, "/readyz").starts_with("HTTP/1.1 200 OK"), "{said}");
    let metrics = ask(&address, "/metrics");
    assert!(metrics.contains("\narclake_rows_total{arc=\"convert\"} 7\n") && metrics.ends_with("# EOF\n"), "{metrics}");
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
    assert!(asked.success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(lake.query("SELECT count(*) AS n FROM access_logs"), json!([{"n": 7}]));
    let said = std::fs::read_to_string(&log).expect("a log");
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(events.iter().any(|event| event["arc"] == "convert" && event["rows"] == 7), "{said}");
}

/// What an endpoint answers, head and body.
fn ask(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_demo_runs_and_runs_again_and_touches_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("demo");
    let demo = |root: &Path| finish(arc(&["demo", "--root"]).arg(root));
    for _ in 0..2 {
        let done = demo(&root);
        assert_eq!(done.code, Some(0), "{done:?}");
        for part in ["cannot be decoded", "empty", "SlowDown", "arc audit", "parquet/access-logs"] {
            assert!(done.out.contains(part), "no {part} in {}", done.out);
        }
        assert!(done.out.lines().all(|line| line.chars().count() <= 80 || line.contains(&root.display().to_string())), "{}", done.out);
    }
    let audit = finish(arc(&["audit", "-p"]).arg(root.join("demo.jsonnet")));
    assert_eq!(audit.code, Some(0), "{audit:?}");
    std::fs::write(folder.path().join("mine.txt"), "mine").expect("a file");
    assert_eq!(demo(folder.path()).code, Some(2));
    assert!(folder.path().join("mine.txt").exists());
}

/// Starts the program with a standard output that nobody reads, and waits for its end.
fn unread(arguments: &[&str]) -> Finished {
    let folder = tempfile::tempdir().expect("a folder");
    let err = folder.path().join("err");
    let mut command = arc(arguments);
    command.stdout(Stdio::piped()).stderr(std::fs::File::create(&err).expect("a file"));
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    let status = child.wait().expect("the program ends");
    Finished { code: status.code(), out: String::new(), err: std::fs::read_to_string(err).expect("text"), peak_bytes: 0 }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, root) = (folder.path().join("a.log"), folder.path().join("demo"));
    std::fs::write(&log, LINE.repeat(3)).expect("a log");
    let (log, root) = (log.display().to_string(), root.display().to_string());
    for arguments in [
        &["detect", &log][..],
        &["demo", "--root", &root],
        &["formats"],
        &["formats", "s3-access"],
        &["explain", "--format", "s3-access", &log],
    ] {
        let done = unread(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {done:?}");
        assert!(!done.err.contains("panicked"), "{arguments:?}: {done:?}");
    }
}

#[test]
fn once_takes_what_was_written_just_now() {
    let mut project = project();
    project["boundaries"][0]["eventArrival"] = "infrequent".into();
    project["boundaries"][0]["settleSeconds"] = 1.into();
    project["boundaries"][0].as_object_mut().expect("an object").remove("from");
    let lake = Lake::empty(project);
    std::fs::create_dir_all(lake.path("logs")).expect("a folder");
    std::fs::write(lake.path("logs/a.log"), LINE.repeat(3)).expect("a log");
    let done = lake.arc(&["up", "--once"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("waiting 1 s: files were written just now") && done.err.contains("with 1 object"), "{done:?}");
    assert!(!done.err.contains("objects waiting"), "{done:?}");
}

#[test]
fn a_log_in_json_has_no_other_line() {
    let lake = Lake::new();
    let [wrong, empty] = ["wrong.json", "empty.log"].map(|name| lake.path(name).display().to_string());
    std::fs::write(&wrong, "{}").expect("a file");
    std::fs::write(&empty, "").expect("a file");
    let mut all = vec![lake.arc(&["up", "--once", "--log-format", "json", "--as-of", "2026-02-06T10:21:00Z"])];
    for arguments in [&["verify", "-p", &wrong][..], &["formats", "log4j"], &["detect", &empty], &["run"]] {
        all.push(finish(arc(arguments).args(["--log-format", "json"])));
    }
    for done in all {
        assert!(!done.err.is_empty(), "{done:?}");
        let is_object = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
        assert!(done.err.lines().all(is_object), "{done:?}");
    }
}

/// A metadata service that gives nobody anything, as some machines have: what libraries warn of then is not for people.
fn refusing() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1_024]);
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    format!("http://{address}")
}

#[test]
fn whoever_has_no_credentials_is_told_how_to_give_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let project = json!({
        "project": {"name": "lake", "version": "1"},
        "placement": {"provider": "aws", "stage": "test", "account": "123456789012", "region": "us-east-2"},
        "boundaries": [{"type": "aws:core:s3PutListenerBoundary", "name": "in", "lotUnit": "Twelfths", "dataset": dataset("raw", "s3://raw-logs/")}],
        "arcs": []
    });
    std::fs::write(folder.path().join("lake.json"), project.to_string()).expect("a file");
    let metadata = refusing();
    let run = |arguments: &[&str]| {
        let mut command = arc(arguments);
        command.current_dir(&folder).env("HOME", folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") && name != "AWS_CA_BUNDLE") {
            command.env_remove(name);
        }
        finish(command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata))
    };
    let with_file = ["lots", "up", "audit", "backfill", "deploy"].map(|name| match name {
        "backfill" => vec![name, "-p", "lake.json", "--boundary", "in", "--from", "1d", "--dry-run"],
        "deploy" => vec![name, "-p", "lake.json", "--dry-run"],
        "up" => vec![name, "-p", "lake.json", "--once"],
        _ => vec![name, "-p", "lake.json"],
    });
    for arguments in with_file.into_iter().chain([vec!["placements"], vec!["datasets", "--stage", "test"]]) {
        let done = run(&arguments);
        assert_eq!(done.code, Some(1), "{arguments:?}: {done:?}");
        let lines: Vec<&str> = done.err.lines().collect();
        assert_eq!(lines.len(), 2, "{arguments:?}: {done:?}");
        assert!(lines[0].starts_with("error: ") && lines[0].contains("there are no AWS credentials"), "{arguments:?}: {done:?}");
        assert_eq!(lines[1], "try: --profile NAME, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "{arguments:?}");
    }
}
