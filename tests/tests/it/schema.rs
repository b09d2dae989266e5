//! Logs whose shape changes: a member that comes, one that changes its type, options and partitions that change. Files of
//! all lots read together, by `arc query` and by the three readers, or the error says what to do.

use std::path::PathBuf;

use filetime::FileTime;
use serde_json::{Value, json};
use tests::program::{Finished, arc, finish};

use super::readers::{Seen, see};

struct Lake {
    folder: tempfile::TempDir,
}

impl Lake {
    fn new() -> Lake {
        Lake { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a log into the lot of this minute after ten, and converts it with this workload.
    fn convert(&self, minute: u32, text: &str, workload: Value) {
        let dataset = |name: &str, folder: &str| json!({"name": name, "version": "1", "pathURI": folder});
        let project = json!({
            "project": {"name": "schema", "version": "1"},
            "placement": {"provider": "local", "root": "lake"},
            "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths", "from": "2026-02-06T10:00:00Z", "dataset": dataset("logs", "logs/")}],
            "arcs": [{"type": "convert", "name": "convert", "sources": {"main": {"name": "logs", "version": "1"}},
                "sinks": {"main": dataset("events", "out/events/")}, "workload": workload}]
        });
        std::fs::write(self.path("project.json"), project.to_string()).expect("a project file");
        std::fs::create_dir_all(self.path("logs")).expect("a folder");
        let log = self.path(&format!("logs/{minute:02}.log"));
        std::fs::write(&log, text).expect("a log");
        let time = |minute: u32| format!("2026-02-06T10:{minute:02}:00Z").parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
        filetime::set_file_mtime(&log, FileTime::from_unix_time(time(minute).timestamp(), 0)).expect("a time");
        let done = self.arc(&["up", "--once", "-q", "--as-of", &time(minute / 5 * 5 + 6).to_rfc3339()]);
        assert_eq!(done.code, Some(0), "{done:?}");
    }

    fn arc(&self, arguments: &[&str]) -> Finished {
        finish(arc(arguments).arg("-p").arg(self.path("project.json")))
    }

    fn query(&self, sql: &str) -> Value {
        let done = self.arc(&["query", "--output", "json", sql]);
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.out).expect("JSON")
    }
}

const FIRST: &str = "{\"time\":\"2026-02-06T10:00:01Z\",\"n\":1,\"s\":\"x\",\"flag\":true}\n";
const SECOND: &str = "{\"fresh\":{\"a\":1},\"time\":\"2026-02-06T10:05:01Z\",\"n\":2.5,\"s\":7,\"flag\":\"no\"}\n\
                      {\"fresh\":{\"a\":2},\"time\":\"2026-02-06T10:05:02Z\",\"n\":3}\n";

#[test]
fn what_a_dataset_has_learned_stays() {
    let lake = Lake::new();
    lake.convert(1, FIRST, json!({"format": "json"}));
    lake.convert(6, SECOND, json!({"format": "json"}));
    assert_eq!(
        lake.query("SELECT n, s, flag, fresh, extra FROM events ORDER BY time"),
        json!([
            {"n": 1, "s": "x", "flag": true, "fresh": null, "extra": null},
            {"n": null, "s": null, "flag": null, "fresh": "{\"a\":1}", "extra": "{\"n\":2.5,\"s\":7,\"flag\":\"no\"}"},
            {"n": 3, "s": null, "flag": null, "fresh": "{\"a\":2}", "extra": null},
        ])
    );
    let ddl = lake.arc(&["ddl", "--dataset", "events", "-q"]).out;
    assert!(["`n` bigint", "`flag` boolean", "`fresh` string"].iter().all(|column| ddl.contains(column)), "{ddl}");
    let audit = lake.arc(&["audit", "-q"]);
    assert_eq!(audit.code, Some(0), "{audit:?}");
    let seen: Vec<Seen> = ["duckdb", "pyarrow", "spark"].iter().filter_map(|engine| see(engine, &lake.path("out/events"))).collect();
    for one in &seen {
        assert_eq!(one, &seen[0]);
        let kinds = ["n", "flag", "fresh"].map(|column| one.schema[column].as_str());
        assert_eq!((kinds, one.rows, one.sums["n"], one.nulls["fresh"]), (["int64", "boolean", "string"], 3, 4, 1));
    }
}

#[test]
fn types_that_options_change_are_read_as_what_takes_both_or_refused() {
    let lake = Lake::new();
    let format = |kind: &str| json!({"format": {"name": "json", "columns": {"n": kind}}});
    lake.convert(1, "{\"time\":\"2026-02-06T10:00:01Z\",\"n\":1}\n", format("int"));
    lake.convert(6, "{\"time\":\"2026-02-06T10:05:01Z\",\"n\":2}\n", format("bigint"));
    assert_eq!(lake.query("SELECT n FROM events WHERE n >= 1 ORDER BY n"), json!([{"n": 1}, {"n": 2}]));
    lake.convert(11, "{\"time\":\"2026-02-06T10:10:01Z\",\"n\":2.5}\n", format("double"));
    assert_eq!(lake.query("SELECT sum(n) AS n FROM events WHERE n > 1"), json!([{"n": 4.5}]));
    lake.convert(16, "{\"time\":\"2026-02-06T10:15:01Z\",\"n\":\"x\"}\n", format("string"));
    assert_eq!(lake.query("SELECT n FROM events WHERE n = '2'"), json!([{"n": "2"}]));
    lake.convert(21, "{\"time\":\"2026-02-06T10:20:01Z\",\"m\":true}\n", json!({"format": {"name": "json", "columns": {"m": "boolean"}}}));
    lake.convert(26, "{\"time\":\"2026-02-06T10:25:01Z\",\"m\":1}\n", json!({"format": {"name": "json", "columns": {"m": "int"}}}));
    let refused = lake.arc(&["query", "SELECT * FROM events"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("column `m` is int in file://") && refused.err.contains("and boolean in file://"), "{}", refused.err);
    assert!(refused.err.contains("`arc replay`"), "{}", refused.err);
}

#[test]
fn a_partition_that_is_added() {
    let lake = Lake::new();
    let format = |partitions: Value| json!({"format": "json", "partitions": partitions});
    lake.convert(1, FIRST, format(json!(["dt"])));
    lake.convert(6, SECOND, format(json!(["dt", "hour", "lot"])));
    assert_eq!(
        lake.query("SELECT lot, hour, count(*) AS n FROM events GROUP BY lot, hour ORDER BY lot"),
        json!([{"lot": "20260206PT5M120", "hour": null, "n": 1}, {"lot": "20260206PT5M121", "hour": "10", "n": 2}])
    );
}

#[test]
fn a_column_that_becomes_a_partition_and_a_column_again() {
    let lake = Lake::new();
    let workload =
        |partitions: Value| json!({"format": {"name": "json", "columns": {"n": "int", "s": "string"}}, "partitions": partitions});
    let log = |minute: u32, n: u32| format!("{{\"time\":\"2026-02-06T10:{minute:02}:01Z\",\"n\":{n},\"s\":\"x {n}\"}}\n");
    lake.convert(1, &log(1, 1), workload(json!(["dt"])));
    lake.convert(6, &(log(6, 2) + &log(7, 3)), workload(json!(["dt", "n"])));
    let all = json!([{"n": 1, "s": "x 1"}, {"n": 2, "s": "x 2"}, {"n": 3, "s": "x 3"}]);
    assert_eq!(lake.query("SELECT n, s FROM events ORDER BY n"), all);
    assert_eq!(lake.query("SELECT s, n FROM events WHERE n < 3 AND n > 1"), json!([{"s": "x 2", "n": 2}]));
    lake.convert(11, &log(11, 4), workload(json!(["dt", "s"])));
    assert_eq!(
        lake.query("SELECT sum(n) AS n, max(s) AS s, count(DISTINCT dt) AS days FROM events"),
        json!([{"n": 10, "s": "x 4", "days": 1}])
    );
    lake.convert(16, &log(16, 5), workload(json!(["dt"])));
    assert_eq!(lake.query("SELECT n, s FROM events WHERE n >= 3 ORDER BY n").as_array().map(Vec::len), Some(3));
    let audit = lake.arc(&["audit", "-q"]);
    assert_eq!(audit.code, Some(0), "{audit:?}");
}
