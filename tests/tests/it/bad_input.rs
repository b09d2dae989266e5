//! Input as bad as it gets, through the program: each gets a clear message or a reject with what could be saved saved, a
//! right exit code, and bounded memory.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tests::program::{Finished, arc, finish};

/// The aim is 256 MiB for any object.
const PEAK_BYTES_MAX: u64 = 256 << 20;

const LINE: &str = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.3 \
- 3E57427F3EXAMPLE REST.GET.OBJECT key \"GET /bucket/key HTTP/1.1\" 200 - 113 113 7 6 \"-\" \"curl/8\" - host SigV4 \
ECDHE-RSA-AES128-GCM-SHA256 AuthHeader bucket.s3.amazonaws.com TLSV1.2 - - us-east-1\n";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    fn run(&self, inputs: &[&Path]) -> Finished {
        let mut command = arc(&["run", "--format", "s3-access", "--lot", "20190206PT5M000", "--output", "json", "--sink"]);
        command.arg(self.path("sink"));
        for input in inputs {
            command.arg("--input").arg(input);
        }
        finish(&mut command)
    }
}

fn receipt(done: &Finished) -> Value {
    let value: Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let receipt = if value.is_array() { value[0].clone() } else { value };
    let count = |name: &str| receipt[name].as_u64().unwrap_or_else(|| panic!("no {name} in {receipt}"));
    assert_eq!(
        count("lines"),
        count("rows") + count("blank") + count("header") + count("continuation") + count("rejected") + count("filtered")
    );
    receipt
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn a_missing_file_is_named_and_exits_4() {
    let place = Place::new();
    let done = place.run(&[&place.path("nowhere.log")]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("nowhere.log") && done.out.is_empty(), "{done:?}");
}

#[test]
fn a_directory_is_named_and_nothing_else_is_lost() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.log")).expect("a folder");
    let good = place.file("good.log", LINE.as_bytes());
    let done = place.run(&[&place.path("folder.log"), &good]);
    assert!(done.err.contains("folder.log"), "{done:?}");
    assert_ne!(done.code, Some(101), "{done:?}");
}

#[test]
fn an_empty_object_is_no_lines() {
    let place = Place::new();
    let done = place.run(&[&place.file("empty.log", b"")]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!((receipt(&done)["lines"].as_u64(), receipt(&done)["objects"].as_u64()), (Some(0), Some(1)));
}

#[test]
fn a_truncated_gzip_gives_what_could_be_saved_and_one_reject() {
    let place = Place::new();
    let whole = gzip(LINE.repeat(5_000).as_bytes());
    let done = place.run(&[&place.file("cut.gz", &whole[..whole.len() / 2])]);
    let receipt = receipt(&done);
    assert!(receipt["rows"].as_u64() > Some(100), "{receipt}");
    assert!(receipt["rejected"].as_u64() >= Some(1) && receipt["rejected"].as_u64() <= Some(2), "{receipt}");
}

#[test]
fn a_corrupt_gzip_is_rejected_not_fatal() {
    let place = Place::new();
    let mut whole = gzip(LINE.repeat(5_000).as_bytes());
    let middle = whole.len() / 2;
    whole[middle..middle + 64].fill(0xff);
    let good = place.file("good.log", LINE.as_bytes());
    let done = place.run(&[&place.file("corrupt.gz", &whole), &good]);
    let receipt = receipt(&done);
    assert!(receipt["rejected"].as_u64() >= Some(1) && receipt["rows"].as_u64() >= Some(1), "{receipt}");
}

#[test]
fn a_line_of_one_gib_is_one_reject_in_flat_memory() {
    let place = Place::new();
    let path = place.path("long.log");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).expect("a file"));
    file.write_all(LINE.as_bytes()).expect("disk");
    for _ in 0..1024 {
        file.write_all(&[b'x'; 1 << 20]).expect("disk");
    }
    write!(file, "\n{LINE}").expect("disk");
    drop(file);
    let done = place.run(&[&path]);
    let receipt = receipt(&done);
    assert_eq!((receipt["rows"].as_u64(), receipt["rejected"].as_u64()), (Some(2), Some(1)), "{receipt}");
    assert!(done.peak_bytes < PEAK_BYTES_MAX, "{} MiB", done.peak_bytes >> 20);
}

#[test]
fn a_zip_bomb_is_cut_off_and_said_so() {
    let place = Place::new();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..2048 {
        encoder.write_all(&[b'x'; 1 << 20]).expect("memory");
    }
    let bomb = place.file("bomb.gz", &encoder.finish().expect("memory"));
    let done = place.run(&[&bomb, &place.file("good.log", LINE.as_bytes())]);
    let receipt = receipt(&done);
    assert!(receipt["rejected"].as_u64() >= Some(1), "{receipt}");
    assert_eq!(receipt["rows"].as_u64(), Some(1), "{receipt}");
    assert!(done.peak_bytes < PEAK_BYTES_MAX, "{} MiB", done.peak_bytes >> 20);
}

#[test]
fn bytes_that_are_no_log_at_all_are_rejects() {
    let place = Place::new();
    let bytes: Vec<u8> = (0u32..200_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let done = place.run(&[&place.file("noise.log", &bytes)]);
    let receipt = receipt(&done);
    assert_eq!(receipt["rows"].as_u64(), Some(0), "{receipt}");
    assert!(receipt["rejected"].as_u64() > Some(100), "{receipt}");
}

#[test]
fn an_unknown_format_names_the_likely_one() {
    let done = finish(arc(&["run", "--format", "s3-acces", "--sink", "out", "--input", "x"]).current_dir(std::env::temp_dir()));
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("try: s3-access"), "{done:?}");
}

/// A disk of 400 KiB that is full in the middle of a run, and has room afterwards: `unshare` gives it without privileges.
#[test]
fn a_full_disk_leaves_nothing_half_written_and_is_tried_again() {
    let place = Place::new();
    let folder = place.path("disk");
    for name in ["disk", "in"] {
        std::fs::create_dir(place.path(name)).expect("a folder");
    }
    let lines: String = (0..60_000).map(|n| LINE.replace("3E57427F3EXAMPLE", &format!("{:016X}", hash(n)))).collect();
    let log = place.file("in/a.log", lines.as_bytes());
    let early = filetime::FileTime::from_unix_time(1_600_000_000, 0);
    filetime::set_file_mtime(&log, early).expect("an old file");
    let sink = |name: &str| serde_json::json!({"name": name, "version": "1", "pathURI": folder.join(name)});
    let project = serde_json::json!({
        "project": {"name": "full", "version": "1"},
        "placement": {"provider": "local", "root": folder.join("lake")},
        "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths",
            "dataset": {"name": "raw", "version": "1", "pathURI": place.path("in")}}],
        "arcs": [{"type": "convert", "name": "convert", "sources": {"main": {"name": "raw", "version": "1"}},
            "sinks": {"main": sink("rows"), "rejects": sink("rejects")}, "workload": {"format": "s3-access"}}],
    });
    let project = place.file("project.json", project.to_string().as_bytes());
    let script = r#"
        mount -t tmpfs -o size=400k none "$DISK" || exit 77
        "$ARC" up --once -p "$PROJECT" > full 2>&1; echo "up $?"
        echo "readable $(find "$DISK/rows" -name '*.parquet' 2>/dev/null | wc -l)"
        "$ARC" run --format s3-access --lot 20190206PT5M000 --sink "$DISK/out" --input "$LOG" 2> run; echo "run $?"
        echo "readable $(find "$DISK/out" -type f 2>/dev/null | wc -l)"
        mount -o remount,size=64m "$DISK"
        "$ARC" retry -p "$PROJECT" > retried 2>&1; echo "retry $?"
        echo "files $(find "$DISK/rows" -type f | wc -l)"
        "$ARC" audit -p "$PROJECT" > audit 2>&1; echo "audit $?""#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).current_dir(place.folder.path());
    command.env("ARC", tests::program::path()).env("DISK", &folder).env("PROJECT", project).env("LOG", log);
    let done = match command.output() {
        Ok(done) if done.status.code() != Some(77) && !done.stdout.is_empty() => done,
        other => return eprintln!("SKIPPED: no small disk can be mounted here: {other:?}"),
    };
    let told = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(
        said,
        "up 1\nreadable 0\nrun 1\nreadable 0\nretry 0\nfiles 1\naudit 0\n",
        "{} {} {}",
        told("full"),
        told("run"),
        told("audit")
    );
    assert!(told("full").contains("No space left on device") && told("full").contains("tried again"), "{}", told("full"));
    assert!(told("run").matches("No space left").count() == 1 && told("run").contains("try: free some space"), "{}", told("run"));
}

/// Numbers that do not compress.
fn hash(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
