//! Shaping through the program: what a project and the command line ask for is what readers see by hive partitions, what
//! queries see, what `arc ddl` says and what `arc audit` counts again.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::program::{Finished, arc, finish};

const SELECT: &str = "SELECT time, bucket, http_status AS status, key, bytes_sent FROM log WHERE http_status >= 400";

/// A record; its bucket, status and bytes are given.
fn record(n: u64, bucket: &str, status: &str) -> String {
    format!(
        "owner {bucket} [06/Feb/2026:10:00:{:02} +0000] 192.0.2.{} - REQ{n:013} REST.GET.OBJECT secret-{n} \"GET /b/k HTTP/1.1\" {status} - {n} 10 7 3 \"-\" \
         \"curl/8.0\" - host SigV4 C AuthHeader h TLSv1.2 - - us-east-1\n",
        n % 60,
        n % 200
    )
}

const BUCKETS: [&str; 4] = ["logs", "a/b=c", "..", "b%20c"];

fn records() -> String {
    let records: String = (0..400).map(|n| record(n, BUCKETS[n as usize % 4], ["200", "404", "503"][n as usize % 3])).collect();
    records + "not a record with secret-0\n"
}

struct Lake(tempfile::TempDir);

impl Lake {
    fn new(workload: Value, sql: &str) -> Lake {
        let lake = Lake(tempfile::tempdir().expect("a folder"));
        let dataset = |name: &str| json!({"name": name, "version": "1", "pathURI": format!("out/{name}/")});
        let source = |name: &str| json!({"main": {"name": name, "version": "1"}});
        let project = json!({
            "project": {"name": "shaping", "version": "1"},
            "placement": {"provider": "local", "root": "lake"},
            "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths", "from": "2026-02-06T10:00:00Z",
                "dataset": {"name": "logs", "version": "1", "pathURI": "logs/"}}],
            "arcs": [
                {"type": "convert", "name": "convert", "sources": source("logs"), "sinks": {"main": dataset("errors"), "rejects": dataset("rejects")},
                 "workload": workload},
                {"type": "query", "name": "count", "sources": source("errors"), "sinks": {"main": dataset("counts")}, "workload": {"sql": sql}},
            ]
        });
        std::fs::write(lake.0.path().join("project.json"), project.to_string()).expect("a project");
        std::fs::create_dir(lake.0.path().join("logs")).expect("a folder");
        let log = lake.0.path().join("logs/a.log");
        std::fs::write(&log, records()).expect("a log");
        filetime::set_file_mtime(&log, filetime::FileTime::from_unix_time(1_770_372_060, 0)).expect("a time");
        lake
    }

    fn arc(&self, arguments: &[&str]) -> Finished {
        finish(arc(arguments).arg("-p").arg(self.0.path().join("project.json")).env("REDACT_KEY", "a key for the tests"))
    }

    fn query(&self, sql: &str) -> Value {
        let done = self.arc(&["query", "--output", "json", sql]);
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.out).expect("JSON")
    }
}

fn workload() -> Value {
    json!({
        "format": "s3-access", "select": SELECT, "partitions": ["dt", "status", "bucket"], "sortBy": ["-bytes_sent"],
        "redact": {"key": "hash", "remote_ip": "ip"}, "redactKeyEnv": "REDACT_KEY", "rejectLimitPercent": 100
    })
}

#[test]
fn a_shaped_dataset_is_queried_described_and_counted_again() {
    let lake = Lake::new(workload(), "SELECT status + 1 AS next, bucket, count(*) AS n FROM main GROUP BY 1, 2");
    assert_eq!(lake.arc(&["verify"]).code, Some(0), "{:?}", lake.arc(&["verify"]));
    let up = lake.arc(&["up", "--once", "--as-of", "2026-02-06T10:06:00Z"]);
    assert_eq!(up.code, Some(0), "{up:?}");
    let seen =
        lake.query("SELECT bucket, status, count(*) AS n, min(length(key)) AS k FROM errors WHERE status > 500 GROUP BY 1, 2 ORDER BY 1");
    let row = |bucket: &str, n: u64| json!({"bucket": bucket, "status": 503, "n": n, "k": 64});
    assert_eq!(seen, json!([row("..", 34), row("a/b=c", 33), row("b%20c", 33), row("logs", 33)]));
    assert_eq!(lake.query("SELECT sum(n) AS n, min(next) AS least FROM counts"), json!([{"n": 266, "least": 405}]));
    assert_eq!(lake.query("SELECT raw, raw_bytes FROM rejects"), json!([{"raw": null, "raw_bytes": 26}]));
    let audit = lake.arc(&["audit", "--output", "json"]);
    assert_eq!(audit.code, Some(0), "{audit:?}");
    let receipt = lake.arc(&["run", "--arc", "convert", "--lot", "20260206PT5M120", "--output", "json"]);
    let receipt: Value = serde_json::from_str(&receipt.out).expect("JSON");
    let receipt = receipt.get(0).unwrap_or(&receipt);
    assert_eq!([&receipt["lines"], &receipt["rows"], &receipt["filtered"], &receipt["rejected"]], [401, 266, 134, 1]);
    let ddl = lake.arc(&["ddl", "--dataset", "errors"]);
    let parts = [
        "PARTITIONED BY (`dt` string, `status` string COMMENT 'int;",
        "'projection.status.type' = 'injected'",
        "dt=${dt}/status=${status}/bucket=${bucket}/",
    ];
    assert!(parts.iter().all(|part| ddl.out.contains(part)) && !ddl.out.contains("  `bucket` string"), "{}", ddl.out);
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let cases = [
        (json!({"select": "SELECT bukket FROM log"}), "workload.select", "bukket"),
        (json!({"select": "SELECT count(*) AS n FROM log"}), "workload.select", "query arc"),
        (json!({"select": SELECT, "partitions": ["dt", "requester"]}), "workload.partitions[1]", "requester"),
        (json!({"sortBy": ["nothing"]}), "workload.sortBy[0]", "nothing"),
        (json!({"redact": {"keyy": "drop"}}), "workload.redact.keyy", "keyy"),
        (json!({"redact": {"key": "hash"}}), "workload.redactKeyEnv", "is missing"),
    ];
    for (mut workload, path, part) in cases {
        workload["format"] = "s3-access".into();
        let done = Lake::new(workload, "SELECT count(*) AS n FROM main").arc(&["verify"]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.out.contains(&format!("arcs[0].{path}: ")) && done.out.contains(part), "{done:?}");
    }
    let done = Lake::new(workload(), "SELECT requester FROM main").arc(&["verify"]);
    assert_eq!(done.code, Some(2), "the query sees the columns of the select: {done:?}");
    assert!(done.out.contains("arcs[1].workload.sql: ") && done.out.contains("requester"), "{done:?}");
}

#[test]
fn without_its_key_nothing_is_written() {
    let lake = Lake::new(workload(), "SELECT count(*) AS n FROM main");
    let done = finish(
        arc(&["up", "--once", "--as-of", "2026-02-06T10:06:00Z", "-p"]).arg(lake.0.path().join("project.json")).env_remove("REDACT_KEY"),
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("REDACT_KEY"), "{done:?}");
    assert!(!lake.0.path().join("out/errors/dt=2026-02-06").exists());
}

/// Reads a folder with DuckDB by its hive partitions; `None` where it is not installed.
fn duckdb(sink: &Path, sql: &str) -> Option<Value> {
    const SCRIPT: &str = "import duckdb, json, sys\n\
        table = \"read_parquet('%s/dt=*/**/*.parquet', hive_partitioning=true)\" % sys.argv[1]\n\
        print(json.dumps(duckdb.execute(sys.argv[2].replace('TABLE', table)).fetchall(), default=str))";
    let Some(python) = std::env::var("ARCLAKE_PYTHON").ok().filter(|python| !python.is_empty()) else {
        eprintln!("SKIPPED: duckdb is not installed; `tests/run` installs it where it can");
        return None;
    };
    let output = Command::new(python).args(["-c", SCRIPT]).arg(sink).arg(sql).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).ok()
}

#[test]
fn files_are_shaped_without_a_project_and_duckdb_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, sink) = (folder.path().join("a.log"), folder.path().join("out"));
    std::fs::write(&input, records()).expect("a log");
    let run = |arguments: &[&str]| {
        let mut command = arc(&["run", "--format", "s3-access", "--lot", "20260206PT5M120", "--output", "json", "--sink"]);
        finish(command.arg(&sink).arg("--input").arg(&input).args(arguments).env("REDACT_KEY", "a key for the tests"))
    };
    let shaping = [
        "--partition",
        "dt,status,bucket",
        "--select",
        SELECT,
        "--sort-by",
        "-bytes_sent",
        "--redact",
        "key=hash",
        "--redact-key-env",
        "REDACT_KEY",
    ];
    let done = run(&shaping);
    assert_eq!(done.code, Some(0), "{done:?}");
    let receipt: Value = serde_json::from_str(&done.out).expect("JSON");
    let receipt = receipt.get(0).unwrap_or(&receipt);
    assert_eq!([&receipt["lines"], &receipt["rows"], &receipt["filtered"], &receipt["rejected"]], [401, 266, 134, 1]);
    if let Some(seen) =
        duckdb(&sink, "SELECT bucket, count(*), sum(bytes_sent), min(length(key)) FROM TABLE WHERE status = 404 GROUP BY 1 ORDER BY 1")
    {
        let of = |at: u64| (0..400).filter(move |n| n % 3 == 1 && n % 4 == at);
        let row = |at: u64| json!([BUCKETS[at as usize], of(at).count(), of(at).sum::<u64>(), 64]);
        assert_eq!(seen, json!([row(2), row(1), row(3), row(0)]));
        assert_eq!(duckdb(&sink, "SELECT count(*) FROM TABLE WHERE key LIKE '%secret%'"), Some(json!([[0]])));
    }
    for (arguments, part) in [
        (&["--select", "SELECT sum(bytes_sent) AS n FROM log"][..], "query arc"),
        (&["--redact", "key=hash"], "--redact-key-env"),
        (&["--compression", "gzip"], "use zstd"),
        (&["--redact", "key=md5"], "use 'hash'"),
        (&["--partition", "dt,nothing"], "nothing"),
        (&["--sort-by", "-nothing"], "nothing"),
    ] {
        let done = run(arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}: {done:?}");
        assert!(done.err.contains(part), "{arguments:?}: {done:?}");
    }
}
