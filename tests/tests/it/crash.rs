//! The real program, killed with SIGKILL right before every single write of a whole pipeline, started again, and held
//! against a run that nobody disturbed: the same commits, state copies and files, byte for byte, and nothing else.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use filetime::FileTime;
use serde_json::{Value, json};
use tests::program::arc;

/// The time that boundaries see, so that lots are the same every time.
const AS_OF: &str = "2026-02-06T10:21:00Z";
/// Starts after a kill until the end must be reached.
const RESTARTS_MAX: u32 = 4;

const LINE: &str = "7cd47ef2be lake [06/Feb/2026:10:00:38 +0000] 192.0.2.3 - 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b.txt \
\"GET /lake/a%20b.txt HTTP/1.1\" 200 - 113 113 7 5 \"-\" \"curl/8.5.0\" - s9lzHYrFp76ZVxRcpX9= SigV4 ECDHE-RSA-AES128-GCM-SHA256 \
AuthHeader lake.s3.us-west-1.amazonaws.com TLSv1.2 - - us-west-1\n";

/// A lake: five lots, one of them empty, three arcs of two units. Always made anew in one folder of a lane, since rows
/// name their source and so the folder is part of the bytes.
struct Lake<'a> {
    folder: &'a tempfile::TempDir,
}

impl<'a> Lake<'a> {
    fn new(folder: &'a tempfile::TempDir) -> Lake<'a> {
        for part in ["logs", "lake", "out"] {
            let _ = std::fs::remove_dir_all(folder.path().join(part));
        }
        let lake = Lake { folder };
        std::fs::write(lake.project(), project(logs()).to_string()).expect("a project file");
        lake
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project.json")
    }

    fn up(&self) -> Command {
        let mut command = arc(&["up", "--once", "-q", "--as-of", AS_OF, "-p"]);
        command.arg(self.project());
        command
    }

    /// Takes in what the boundary would.
    fn backfill(&self) -> Command {
        let times = ["--from", "2026-02-06T10:00:00Z", "--to", "2026-02-06T10:20:00Z"];
        let mut command = arc(&["backfill", "-q", "--boundary", "in", "-p"]);
        command.arg(self.project()).args(times);
        command
    }

    fn replay(&self) -> Command {
        let mut command = arc(&["replay", "-q", "--arc", "convert", "--lot", "20260206PT5M120..20260206PT5M121", "-p"]);
        command.arg(self.project());
        command
    }

    /// All that there is to read, apart from what differs from run to run: seconds, attempts, times of arc state.
    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for top in ["lake/manifest", "out"] {
            walk(&self.folder.path().join(top), self.folder.path(), &mut found);
        }
        found
    }
}

/// The logs, the same for all lakes of a process: rows carry the URIs they come from, and are held byte against byte.
fn logs() -> &'static Path {
    static LOGS: OnceLock<PathBuf> = OnceLock::new();
    LOGS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-logs-{}", std::process::id()));
        put(&folder, "a.log", LINE, "2026-02-06T10:01:00Z");
        put(&folder, "b.log", &format!("{LINE}not a line\n{LINE}"), "2026-02-06T10:02:00Z");
        put(&folder, "sub/c.log", &LINE.replace(" 200 - ", " 404 NoSuchKey "), "2026-02-06T10:06:00Z");
        put(&folder, "d.log", LINE, "2026-02-06T10:16:00Z");
        put(&folder, "_ignored", LINE, "2026-02-06T10:16:00Z");
        folder
    })
}

fn put(folder: &Path, name: &str, text: &str, modified: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, text).expect("a log");
    let time = modified.parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
    filetime::set_file_mtime(&path, FileTime::from_unix_time(time.timestamp(), 0)).expect("a time");
}

fn walk(folder: &Path, base: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, base, found);
            continue;
        }
        let name = path.strip_prefix(base).expect("below").display().to_string();
        // What a write in flight had staged when its process was killed; no listing of the store shows it.
        if name.starts_with("lake/manifest") && name.contains(".json#") {
            continue;
        }
        let body = std::fs::read(&path).expect("readable");
        let is_json = name.ends_with(".json");
        let body = if is_json { normal(&body, base).into_bytes() } else { body };
        found.insert(name, body);
    }
}

/// A manifest without what may differ: the folder, seconds, attempt, and etags (inode and time on local disk).
fn normal(body: &[u8], base: &Path) -> String {
    let mut value: Value = serde_json::from_slice(body).expect("JSON");
    if let Some(receipt) = value.get_mut("receipt").and_then(Value::as_object_mut) {
        receipt.remove("seconds");
        receipt.remove("attempt");
    }
    for list in ["objects", "rejects"] {
        for object in value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            object["etag"] = Value::Null;
        }
    }
    value.to_string().replace(&base.display().to_string(), "")
}

fn project(logs: &Path) -> Value {
    let dataset = |name: &str, folder: &str| json!({"name": name, "version": "1", "pathURI": folder});
    let source = |name: &str| json!({"main": {"name": name, "version": "1"}});
    json!({
        "project": {"name": "crash", "version": "1"},
        "placement": {"provider": "local", "root": "lake"},
        "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths", "from": "2026-02-06T10:00:00Z", "dataset": dataset("logs", &format!("file://{}/", logs.display()))}],
        "arcs": [
            {"type": "convert", "name": "convert", "sources": source("logs"),
             "sinks": {"main": dataset("parquet", "out/parquet/"), "rejects": dataset("rejects", "out/rejects/")}, "workload": {"format": "s3-access", "rejectLimitPercent": 100}},
            {"type": "query", "name": "errors", "sources": source("parquet"), "sinks": {"main": dataset("errors", "out/errors/")},
             "workload": {"builtin": "error_stats"}},
            {"type": "copy", "name": "archive", "lotUnit": "Fourths", "sources": source("logs"), "sinks": {"main": dataset("archive", "out/archive/")}, "workload": {}}
        ]
    })
}

fn run(command: &mut Command) {
    let output = command.output().expect("arc starts");
    assert!(is_done(output.status), "{command:?}: {:?} {}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// Done, or (3) done with more rejects than most lots have: one line of three is no line.
fn is_done(status: ExitStatus) -> bool {
    matches!(status.code(), Some(0 | 3))
}

/// The number of writes of a command that succeeds.
fn count(mut command: Command, lake: &Lake<'_>) -> u64 {
    let file = lake.folder.path().join("writes");
    run(command.env("ARC_COUNT_WRITES", &file));
    std::fs::read_to_string(file).expect("a count").trim().parse().expect("a number")
}

/// Runs `lane` twice side by side; each takes its own folder and, of the writes from 1 on, those that `is_mine` gives it.
fn two_lanes(lane: impl Fn(&tempfile::TempDir, &dyn Fn(u64) -> bool) + Sync) {
    std::thread::scope(|scope| {
        for rest in 0..2 {
            let lane = &lane;
            scope.spawn(move || lane(&tempfile::tempdir().expect("a folder"), &|n| n % 2 == rest));
        }
    });
}

/// Kills the command at its `n`-th write, then runs it until it ends well.
fn killed_and_restarted(n: u64, command: impl Fn() -> Command) {
    let died = command().env("ARC_KILL_AT_WRITE", n.to_string()).output().expect("arc starts");
    assert_eq!(died.status.signal(), Some(9), "write {n}: {}", String::from_utf8_lossy(&died.stderr));
    let mut ended = None;
    for _ in 0..RESTARTS_MAX {
        ended = Some(command().output().expect("arc starts"));
        if ended.as_ref().is_some_and(|ended| is_done(ended.status)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("write {n}: not done after {RESTARTS_MAX} starts: {ended:?}");
}

fn assert_same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>, what: &str) {
    let names = |contents: &BTreeMap<String, Vec<u8>>| contents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found), "{what}: other files");
    for (name, body) in expected {
        assert!(found[name] == *body, "{what}: {name} is {}\nnot {}", found[name].escape_ascii(), body.escape_ascii());
    }
}

#[test]
fn killed_before_every_write_of_the_pipeline() {
    two_lanes(|folder, is_mine| {
        let undisturbed = Lake::new(folder);
        let writes = count(undisturbed.up(), &undisturbed);
        assert!(writes > 60, "only {writes} writes: this test would prove little");
        let expected = undisturbed.contents();
        assert!(expected.keys().any(|name| name.ends_with(".parquet")) && expected.keys().any(|name| name.contains("state=empty")));
        for n in (1..=writes).filter(|n| is_mine(*n)) {
            let lake = Lake::new(folder);
            killed_and_restarted(n, || lake.up());
            assert_same(&expected, &lake.contents(), &format!("killed at write {n}"));
        }
    });
}

#[test]
fn killed_before_every_write_of_a_backfill() {
    two_lanes(|folder, is_mine| {
        let undisturbed = Lake::new(folder);
        run(&mut undisturbed.up());
        let expected = undisturbed.contents();
        let writes = count(Lake::new(folder).backfill(), &undisturbed);
        assert!(writes > 10, "only {writes} writes: this test would prove little");
        for n in (1..=writes).filter(|n| is_mine(*n)) {
            let lake = Lake::new(folder);
            killed_and_restarted(n, || lake.backfill());
            run(&mut lake.up());
            assert_same(&expected, &lake.contents(), &format!("backfill killed at write {n}"));
        }
    });
}

#[test]
fn killed_before_every_write_of_a_replay() {
    let files = |lake: &Lake<'_>| -> BTreeMap<String, Vec<u8>> {
        lake.contents().into_iter().filter(|(name, _)| name.starts_with("out/")).collect()
    };
    two_lanes(|folder, is_mine| {
        let undisturbed = Lake::new(folder);
        run(&mut undisturbed.up());
        let writes = count(undisturbed.replay(), &undisturbed);
        run(&mut undisturbed.up());
        let expected = files(&undisturbed);
        for n in (1..=writes).filter(|n| is_mine(*n)) {
            let lake = Lake::new(folder);
            run(&mut lake.up());
            killed_and_restarted(n, || lake.replay());
            run(&mut lake.up());
            // A replay that was asked for twice may be two generations; the files are the same.
            assert_same(&expected, &files(&lake), &format!("replay killed at write {n}"));
            run(arc(&["audit", "-q", "-p"]).arg(lake.project()));
        }
    });
}

/// A lake of letters: two lots with lines whose times a wrong option rejected. Their logs are gone, the option is mended.
struct Letters<'a> {
    lake: Lake<'a>,
}

const LETTERS: &str = "2026-02-06 10:00:01,a\n06/02/2026 10:00:02,b\nrubbish\n07/02/2026 10:00:03,c\n2026-02-06 10:00:04,d\n";

impl<'a> Letters<'a> {
    fn new(folder: &'a tempfile::TempDir, has_sink: bool) -> Letters<'a> {
        for part in ["logs", "lake", "out"] {
            let _ = std::fs::remove_dir_all(folder.path().join(part));
        }
        let letters = Letters { lake: Lake { folder } };
        put(&folder.path().join("logs"), "a.log", LETTERS, "2026-02-06T10:01:00Z");
        put(&folder.path().join("logs"), "b.log", LETTERS, "2026-02-06T10:06:00Z");
        letters.write_project("%Y-%m-%d %H:%M:%S", has_sink);
        run(&mut letters.lake.up());
        std::fs::remove_dir_all(folder.path().join("logs")).expect("removable");
        std::fs::create_dir(folder.path().join("logs")).expect("a folder");
        letters.write_project("%d/%m/%Y %H:%M:%S", has_sink);
        letters
    }

    fn write_project(&self, time_format: &str, has_sink: bool) {
        let dataset = |name: &str| json!({"name": name, "version": "1", "pathURI": format!("out/{name}/")});
        let source = |name: &str| json!({"main": {"name": name, "version": "1"}});
        let columns = json!([{"name": "time", "type": "timestamp"}, {"name": "letter"}]);
        let format = json!({"name": "delimited", "columns": columns, "timeColumn": "time", "timeFormat": time_format});
        let mut project = json!({
            "project": {"name": "crash", "version": "1"},
            "placement": {"provider": "local", "root": "lake"},
            "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths", "from": "2026-02-06T10:00:00Z",
                "dataset": {"name": "logs", "version": "1", "pathURI": "logs/"}}],
            "arcs": [
                {"type": "convert", "name": "convert", "sources": source("logs"), "sinks": {"main": dataset("letters")},
                 "workload": {"format": format, "rejectLimitPercent": 100}},
                {"type": "query", "name": "counts", "sources": source("letters"), "sinks": {"main": dataset("counts")},
                 "workload": {"sql": "SELECT count(*) AS n FROM main"}}
            ]
        });
        if has_sink {
            project["arcs"][0]["sinks"]["rejects"] = dataset("rejects");
        }
        std::fs::write(self.lake.project(), project.to_string()).expect("a project file");
    }

    fn reprocess(&self) -> Command {
        let mut command = arc(&["reprocess", "--rejects", "-q", "--arc", "convert", "-p"]);
        command.arg(self.lake.project());
        command
    }

    /// All rows, and how many different lines they are from.
    fn rows(&self) -> (u64, u64) {
        let sql = "SELECT count(*) AS n, count(DISTINCT source_uri || source_line) AS lines FROM letters";
        let output = arc(&["query", "--output", "json", sql, "-p"]).arg(self.lake.project()).output().expect("arc starts");
        let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (rows[0]["n"].as_u64().expect("a number"), rows[0]["lines"].as_u64().expect("a number"))
    }

    fn audit(&self) {
        run(arc(&["audit", "-q", "-p"]).arg(self.lake.project()));
    }
}

#[test]
fn killed_before_every_write_of_a_reprocessing() {
    two_lanes(|folder, is_mine| {
        // One lane has the rejects in a dataset of their own, the other below the main sink.
        let has_sink = is_mine(1);
        let undisturbed = Letters::new(folder, has_sink);
        assert_eq!(undisturbed.rows(), (4, 4));
        let writes = count(undisturbed.reprocess(), &undisturbed.lake);
        assert!(writes > 10, "only {writes} writes: this test would prove little");
        run(&mut undisturbed.lake.up());
        assert_eq!(undisturbed.rows(), (8, 8));
        undisturbed.audit();
        let expected = undisturbed.lake.contents();
        run(&mut undisturbed.reprocess());
        assert_same(&expected, &undisturbed.lake.contents(), "a second time without a fix");
        for n in 1..=writes {
            let letters = Letters::new(folder, has_sink);
            let died = letters.reprocess().env("ARC_KILL_AT_WRITE", n.to_string()).output().expect("arc starts");
            assert_eq!(died.status.signal(), Some(9), "write {n}: {}", String::from_utf8_lossy(&died.stderr));
            let (rows, lines) = letters.rows();
            assert!(rows == lines && [4, 6, 8].contains(&rows), "write {n}: {rows} rows of {lines} lines");
            if n % 2 == 0 {
                // Dispatch settles what died, whatever it was; what it had not committed goes.
                run(&mut letters.lake.up());
                letters.audit();
            }
            run(&mut letters.reprocess());
            run(&mut letters.lake.up());
            letters.audit();
            assert_same(&expected, &letters.lake.contents(), &format!("reprocessing killed at write {n}"));
        }
    });
}

#[test]
fn two_programs_on_one_root_end_as_one_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let alone = Lake::new(&folder);
    run(&mut alone.up());
    let expected = alone.contents();
    for round in 0..4 {
        let lake = Lake::new(&folder);
        let both = [lake.up().spawn(), lake.up().spawn()].map(|child| child.expect("arc starts").wait_with_output().expect("arc ends"));
        assert!(both.iter().all(|output| is_done(output.status)), "round {round}: {both:?}");
        assert_same(&expected, &lake.contents(), &format!("two at once, round {round}"));
    }
}
