//! Conversions in memory and on disk: what goes in comes out, in the same bytes, however it is cut and by however many
//! threads; what cannot be read is a reject; nothing is readable before it is published.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use futures::TryStreamExt;
use manifests::Counts;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;
use crate::format;
use crate::partition::PartitionKey;

pub(super) const DAY: &str = "06/Feb/2026";

pub(super) fn line(n: u64, day: &str, agent: &str) -> String {
    format!(
        "owner lake [{day}:00:00:{:02} +0000] 192.0.2.3 - REQ{n:08} REST.GET.OBJECT a/k%2520{n} \"GET /lake/a/k%20{n} HTTP/1.1\" 200 - {n} 10 7 3 \"-\" \"{agent}\" - host= SigV4 C AuthHeader h TLSv1.2 - - us-east-1",
        n % 60
    )
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(super) struct Lake {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) job: ConvertJob,
}

fn target(store: &Arc<dyn ObjectStore>, name: &str) -> Target {
    Target { store: store.clone(), base: Path::from(name), uri_base: format!("memory:///{name}/") }
}

impl Lake {
    pub(super) async fn of(objects: &[&[u8]]) -> Lake {
        Lake::on(Arc::new(InMemory::new()), objects).await
    }

    async fn on(store: Arc<dyn ObjectStore>, objects: &[&[u8]]) -> Lake {
        let mut sources = Vec::new();
        for (n, object) in objects.iter().enumerate() {
            let path = Path::from(format!("in/{n}"));
            store.put(&path, Bytes::copy_from_slice(object).into()).await.unwrap();
            let uri = format!("memory:///in/{n}");
            sources.push(SourceObject { uri, size: object.len() as u64, etag: None, version: None, store: store.clone(), path });
        }
        let job = ConvertJob {
            grammar: format::compile(&"s3-access".into()).unwrap(),
            lot: "20260206PT5M000".parse().unwrap(),
            sources,
            main: target(&store, "main"),
            rejects: target(&store, "rejects"),
            shaping: Shaping::default(),
            redact_key: None,
            limits: ConvertLimits::new(2, std::env::temp_dir()),
            write: WriteOptions::default(),
            progress: None,
        };
        Lake { store, job }
    }

    async fn staged(&self) -> Staged {
        convert(self.job.clone()).await.unwrap()
    }

    pub(super) async fn run(&self) -> (Counts, Published) {
        let staged = self.staged().await;
        assert!(staged.counts.is_balanced());
        (*staged.counts(), staged.publish().await.unwrap())
    }

    /// Names and bytes of all files below a folder.
    pub(super) async fn files(&self, folder: &str) -> Vec<(String, Bytes)> {
        let mut listed: Vec<_> = self.store.list(Some(&Path::from(folder))).try_collect().await.unwrap();
        listed.sort_by(|a, b| a.location.cmp(&b.location));
        let mut files = Vec::new();
        for meta in listed {
            let bytes = self.store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            files.push((meta.location.to_string(), bytes));
        }
        files
    }

    pub(super) async fn batches(&self, folder: &str) -> Vec<RecordBatch> {
        let files = self.files(folder).await;
        let read = |bytes: Bytes| ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        files.into_iter().flat_map(|(_, bytes)| read(bytes).map(Result::unwrap)).collect()
    }

    pub(super) async fn texts(&self, folder: &str, column: &str) -> Vec<Option<String>> {
        let batches = self.batches(folder).await;
        let column = |batch: &RecordBatch| batch.column_by_name(column).unwrap().clone();
        batches
            .iter()
            .flat_map(|batch| column(batch).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>())
            .collect()
    }

    pub(super) async fn longs(&self, folder: &str, column: &str) -> Vec<i64> {
        let batches = self.batches(folder).await;
        batches
            .iter()
            .flat_map(|batch| batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().flatten().collect::<Vec<_>>())
            .collect()
    }
}

pub(super) fn names(files: &[(String, Bytes)]) -> Vec<&str> {
    files.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn rows_with_types_and_lineage() {
    let text = format!("{}\r\n\n{}\nrubbish\n{}", line(1, DAY, "a"), line(2, DAY, "b \"q\" c"), line(3, DAY, "c") + " new \"two words\"");
    let lake = Lake::of(&[text.as_bytes(), &gzip(line(4, DAY, "d").as_bytes())]).await;
    let (counts, published) = lake.run().await;
    let expected = Counts { objects: 2, lines: 6, rows: 4, blank: 1, rejected: 1, recovered: 1, extra: 1, ..Counts::default() };
    assert_eq!(Counts { bytes_in: 0, bytes_out: 0, ..counts }, expected);
    let file = &published.main[0];
    assert_eq!(file.uri, "memory:///main/dt=2026-02-06/20260206PT5M000-00000.parquet");
    assert_eq!((file.rows, published.rejects[0].rows, counts.bytes_out), (Some(4), Some(1), file.size + published.rejects[0].size));
    assert_eq!(file.event_time_min.unwrap().to_rfc3339(), "2026-02-06T00:00:01+00:00");
    assert_eq!(file.event_time_max.unwrap().to_rfc3339(), "2026-02-06T00:00:04+00:00");
    let batch = &lake.batches("main").await[0];
    let column = |name: &str| batch.column_by_name(name).unwrap();
    assert_eq!(column("http_status").as_primitive::<Int32Type>().values().to_vec(), [200; 4]);
    assert_eq!(column("time").as_primitive::<TimestampMicrosecondType>().value(0), 1_770_336_001_000_000);
    assert_eq!(lake.longs("main", "bytes_sent").await, [1, 2, 3, 4]);
    assert_eq!(lake.longs("main", "source_line").await, [1, 3, 5, 1]);
    assert_eq!(lake.texts("main", "source_uri").await[3].as_deref(), Some("memory:///in/1"));
    assert_eq!(lake.texts("main", "lot").await[0].as_deref(), Some("20260206PT5M000"));
    assert_eq!(lake.texts("main", "key_decoded").await[0].as_deref(), Some("a/k 1"));
    assert_eq!(lake.texts("main", "user_agent").await[1].as_deref(), Some("b \"q\" c"));
    assert_eq!(lake.texts("main", "parse").await, [None, Some("recovered".into()), None, None]);
    assert_eq!(lake.texts("main", "extra").await[2].as_deref(), Some("[\"new\",\"two words\"]"));
    assert_eq!((lake.longs("rejects", "source_line").await, lake.longs("rejects", "raw_bytes").await), (vec![4], vec![7]));
    assert_eq!(lake.batches("rejects").await[0].column(0).as_binary::<i32>().value(0), b"rubbish");
}

#[tokio::test]
async fn nothing_is_readable_before_it_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let lake = Lake::on(disk, &[format!("{}\nx\n", line(1, DAY, "a")).as_bytes()]).await;
    let staged = lake.staged().await;
    assert_eq!(staged.uris().len(), 2);
    assert!(lake.files("main").await.is_empty() && lake.files("rejects").await.is_empty());
    staged.abort().await;
    let count = walk(&folder.path().join("main")).len();
    assert_eq!(count, 0, "aborted files leave nothing");
    lake.run().await;
    assert_eq!(names(&lake.files("main").await), ["main/dt=2026-02-06/20260206PT5M000-00000.parquet"]);
    assert_eq!(names(&lake.files("rejects").await), ["rejects/dt=2026-02-06/20260206PT5M000-00000.parquet"]);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path) } else { vec![path] }
        })
        .collect()
}

#[tokio::test]
async fn threads_and_budgets_do_not_change_a_byte() {
    let text: String = (0..20_000).map(|n| line(n, if n % 3 == 0 { DAY } else { "07/Feb/2026" }, "agent") + "\n").collect();
    let objects: Vec<&[u8]> = vec![text.as_bytes(), b"", &text.as_bytes()[..700_000], text.as_bytes()];
    let mut seen = Vec::new();
    for threads in [1, 2, 7] {
        let mut lake = Lake::of(&objects).await;
        lake.job.limits.threads = threads;
        lake.job.limits.in_flight_bytes = (3 << 20) * threads;
        lake.job.write.row_group_text_bytes = 1 << 20;
        lake.job.write.part_text_bytes = 2 << 20;
        let (counts, _) = lake.run().await;
        seen.push((counts, lake.files("main").await, lake.files("rejects").await));
    }
    assert!(seen[0].1.len() > 3, "several parts: {:?}", names(&seen[0].1));
    assert!(seen.iter().all(|one| *one == seen[0]));
    assert_eq!(seen[0].0.lines, seen[0].0.rows + 1, "one line is cut in its middle");
}

#[tokio::test]
async fn a_great_many_days_all_land() {
    let days: Vec<String> = (0..40).map(|n| format!("{:02}/{}/20{:02}", n % 28 + 1, ["Jan", "Jun", "Dec"][n % 3], n)).collect();
    let text: String = (0..2_000).map(|n| line(n, &days[(n * 7 % 40) as usize], "agent") + "\n").collect();
    let mut all = Lake::of(&[text.as_bytes(), b"\xff\n", text.as_bytes()]).await;
    let (counts, published) = all.run().await;
    assert_eq!((counts.rows, published.main.len()), (4_000, 40));
    all.job.limits.partitions_open_max = 1000;
    all.job.main = target(&all.store, "open");
    let (_, open) = all.run().await;
    let held =
        |files: &[ManifestObject]| files.iter().map(|file| (file.rows, file.event_time_min, file.event_time_max)).collect::<Vec<_>>();
    assert_eq!(held(&published.main), held(&open.main), "rows set aside are the same rows");
    let mut sums: Vec<i64> = all.longs("main", "bytes_sent").await;
    sums.sort_unstable();
    assert_eq!(sums, (0..4_000).map(|n| n / 2).collect::<Vec<i64>>());
    assert_eq!(all.texts("main", "source_uri").await, all.texts("open", "source_uri").await);
    assert_eq!(all.longs("main", "source_line").await, all.longs("open", "source_line").await);
    all.job.limits.partitions_max = 5;
    all.job.main = target(&all.store, "few");
    let (counts, few) = all.run().await;
    assert_eq!((counts.rows, few.main.len()), (4_000, 6));
    assert!(few.main[5].uri.contains("dt=__HIVE_DEFAULT_PARTITION__/"), "{}", few.main[5].uri);
}

#[tokio::test]
async fn more_small_files_than_uploads() {
    let text: String = (0..200).map(|n| line(n, &format!("01/Jan/{:04}", 1900 + n), "agent") + "\n").collect();
    let lake = Lake::of(&[text.as_bytes()]).await;
    let (_, published) = lake.run().await;
    assert_eq!(published.main.len(), 200);
    assert_eq!(lake.longs("main", "bytes_sent").await, (0..200).collect::<Vec<i64>>());
}

#[tokio::test]
async fn input_that_breaks_off_is_saved_as_far_as_it_goes() {
    let text: String = (0..5_000).map(|n| line(n, DAY, "agent") + "\n").collect();
    let mut packed = gzip(text.as_bytes());
    packed.truncate(packed.len() / 2);
    let lake = Lake::of(&[&packed, line(1, DAY, "a").as_bytes()]).await;
    let (counts, _) = lake.run().await;
    assert!(counts.rows > 1_000 && counts.rejected == 1 && counts.objects == 2, "{counts:?}");
    let reasons = lake.texts("rejects", "reason").await;
    assert!(reasons[0].as_ref().unwrap().starts_with("the gzip data cannot be decoded on: "), "{reasons:?}");
    let offset = lake.longs("rejects", "byte_offset").await[0] as usize;
    let (batch, rest) = (&lake.batches("rejects").await[0], &text.as_bytes()[offset..]);
    assert!(rest.starts_with(batch.column(0).as_binary::<i32>().value(0)), "the fragment is kept");
    assert_eq!(text.as_bytes()[offset - 1], b'\n');
}

#[tokio::test]
async fn objects_that_cannot_be_had_are_problems() {
    let mut lake = Lake::of(&[b"x\n", b"y\n", line(1, DAY, "a").as_bytes()]).await;
    lake.job.sources[0].path = Path::from("nowhere");
    lake.job.sources[1].etag = Some("another".into());
    let staged = lake.staged().await;
    let problems: Vec<_> = staged.problems.iter().map(|problem| (problem.uri.as_str(), problem.reason.as_str())).collect();
    assert_eq!(problems, [("memory:///in/0", "the object is not there"), ("memory:///in/1", "the object was replaced after it arrived")]);
    let expected = Counts { objects: 1, lines: 3, rows: 1, rejected: 2, ..Counts::default() };
    assert_eq!(Counts { bytes_in: 0, bytes_out: 0, ..*staged.counts() }, expected);
    staged.publish().await.unwrap();
    assert_eq!(lake.longs("rejects", "source_line").await, [1, 1]);
}

#[tokio::test]
async fn no_sources_and_empty_ones_give_no_files() {
    for objects in [vec![], vec![&b""[..], b"\n\n", b"\xef\xbb\xbf", &gzip(b"")]] {
        let (counts, published) = Lake::of(&objects).await.run().await;
        assert_eq!((counts.rows + counts.rejected, published), (0, Published::default()));
    }
}

#[tokio::test]
async fn a_line_past_the_limit_is_one_reject_however_it_is_cut() {
    let long = "x".repeat(300_000);
    let text = format!("{}\n{long}\n{}\n", line(1, DAY, "a"), line(2, DAY, "b"));
    let mut seen = Vec::new();
    for block_bytes in [1 << 10, 1 << 16, 1 << 20] {
        let mut lake = Lake::of(&[text.as_bytes()]).await;
        lake.job.limits.lines = LineLimits { block_bytes, line_bytes_max: 200_000 };
        lake.run().await;
        seen.push((lake.files("main").await, lake.batches("rejects").await));
        assert_eq!(lake.longs("rejects", "raw_bytes").await, [300_000]);
        assert_eq!(lake.batches("rejects").await[0].column(0).as_binary::<i32>().value(0).len(), crate::lines::KEPT_BYTES_MAX);
        assert_eq!(lake.longs("main", "source_line").await, [1, 3]);
    }
    assert!(seen.iter().all(|one| *one == seen[0]));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_replaced_and_marked() {
    let mut text = line(1, DAY, "caf\u{e9}").into_bytes();
    text.extend(b"\nrub\xffbish\n");
    text.extend(line(2, DAY, "a").bytes().map(|byte| if byte == b'7' { 0xe9 } else { byte }));
    text.extend(b"\n");
    text.extend([line(3, DAY, "caf"), line(4, DAY, "x")].join("\n").into_bytes());
    let at = text.windows(5).position(|five| five == b"\"caf\"").unwrap() + 4;
    text.insert(at, 0xe9);
    let lake = Lake::of(&[&text]).await;
    let (counts, _) = lake.run().await;
    assert_eq!((counts.rows, counts.rejected, counts.recovered), (3, 2, 1));
    let agents: Vec<String> = lake.texts("main", "user_agent").await.into_iter().flatten().collect();
    assert_eq!(agents, ["caf\u{e9}", "caf\u{fffd}", "x"]);
    assert_eq!(lake.batches("rejects").await[0].column(0).as_binary::<i32>().value(0), b"rub\xffbish");
}

#[tokio::test]
async fn a_store_that_fails_fails_the_run_and_leaves_nothing() {
    #[derive(Debug)]
    struct Refuse(&'static str);
    #[async_trait::async_trait]
    impl manifests::Faults for Refuse {
        async fn fate(&self, action: &'static str, _write: bool, _path: &str) -> manifests::Fate {
            if action == self.0 { manifests::Fate::Refuse } else { manifests::Fate::Pass }
        }
    }
    for action in ["get", "begin", "part"] {
        let mut lake = Lake::of(&[line(1, DAY, "a").as_bytes(), b"x\n"]).await;
        let faulty: Arc<dyn ObjectStore> = Arc::new(manifests::FaultyStore::new(lake.store.clone(), Arc::new(Refuse(action))));
        lake.job.main.store = faulty.clone();
        lake.job.sources[0].store = faulty;
        let error = convert(lake.job.clone()).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(lake.files("main").await.is_empty() && lake.files("rejects").await.is_empty());
    }
}

#[tokio::test]
async fn other_partition_keys() {
    let mut lake = Lake::of(&[line(1, DAY, "a").as_bytes()]).await;
    lake.job.shaping = Shaping::by(&[PartitionKey::TimeYmd, PartitionKey::Lot]);
    lake.run().await;
    assert_eq!(names(&lake.files("main").await), ["main/time_ymd=20260206/lot=20260206PT5M000/20260206PT5M000-00000.parquet"]);
    assert!(lake.batches("main").await[0].column_by_name("lot").is_none(), "a partition column is not in the file");
}

/// Peak resident memory of this process so far, in KiB; `None` where the system does not say.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The aim for a whole worker.
const PEAK_KIB_MAX: u64 = 256 << 10;

fn assert_flat() {
    if let Some(peak) = peak_kib() {
        assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    }
}

#[tokio::test]
async fn a_line_of_a_gibibyte_is_one_reject_in_flat_memory() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writeln!(encoder, "{}", line(1, DAY, "a")).unwrap();
    (0..1024).for_each(|_| encoder.write_all(&[b'x'; 1 << 20]).unwrap());
    writeln!(encoder, "\n{}", line(2, DAY, "b")).unwrap();
    let mut lake = Lake::of(&[&encoder.finish().unwrap()]).await;
    lake.job.limits.inflation.bytes_free = 2 << 30;
    let (counts, _) = lake.run().await;
    assert_eq!((counts.lines, counts.rows, counts.rejected), (3, 2, 1));
    assert_eq!(lake.longs("rejects", "raw_bytes").await, [1 << 30]);
    assert_eq!(lake.longs("main", "source_line").await, [1, 3]);
    assert_flat();
}

#[tokio::test]
async fn a_bomb_is_one_reject_and_what_came_before_is_kept() {
    let mut text = (line(1, DAY, "a") + "\n").into_bytes();
    text.resize(64 << 20, b'\n');
    let mut lake = Lake::of(&[&gzip(&text), line(2, DAY, "b").as_bytes()]).await;
    lake.job.limits.inflation = InflationLimit { bytes_free: 4 << 20, ratio_max: 2 };
    let (counts, _) = lake.run().await;
    assert_eq!((counts.rows, counts.rejected), (2, 1));
    assert!((4 << 20..6 << 20).contains(&counts.blank), "{counts:?}");
    assert!(lake.texts("rejects", "reason").await[0].as_ref().unwrap().contains("past the limit"));
    assert_flat();
}

/// Ten thousand lines of the shared generator: what it says it wrote is what comes out.
#[tokio::test]
async fn generated_logs_come_out_with_their_totals() {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bench/make_s3_logs.py");
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("python3").arg(&script).arg(folder.path()).args(["--lines", "10000", "--gzip"]).output();
    if !script.is_file() || !made.is_ok_and(|made| made.status.success()) {
        eprintln!("SKIPPED: no python3, or no ../shared/bench/make_s3_logs.py");
        return;
    }
    let totals: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("TOTALS.json")).unwrap()).unwrap();
    let mut logs: Vec<_> = walk(folder.path()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "gz")).collect();
    logs.sort();
    let objects: Vec<Vec<u8>> = logs.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let lake = Lake::of(&objects.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    let (counts, _) = lake.run().await;
    assert_eq!((counts.lines, counts.rows), (10_000, 10_000));
    assert_eq!(lake.longs("main", "bytes_sent").await.iter().sum::<i64>(), totals["bytes_sent"].as_i64().unwrap());
    let mut statuses = std::collections::BTreeMap::<String, u64>::new();
    for batch in lake.batches("main").await {
        let column = batch.column_by_name("http_status").unwrap().as_primitive::<Int32Type>().clone();
        column.iter().flatten().for_each(|status| *statuses.entry(status.to_string()).or_default() += 1);
    }
    assert_eq!(serde_json::to_value(statuses).unwrap(), totals["status"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_are_all_accounted_for_however_they_are_cut(
        text in proptest::collection::vec(prop_oneof![
            4 => Just(line(7, DAY, "agent").into_bytes()),
            2 => proptest::collection::vec(any::<u8>(), 0..60),
            1 => Just(Vec::new()),
        ], 0..12),
        block_bytes in 1usize..2_000,
        newline: bool,
    ) {
        let mut joined = text.join(&b'\n');
        if newline { joined.push(b'\n'); }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let run = |block_bytes| {
            let joined = joined.clone();
            runtime.block_on(async move {
                let mut lake = Lake::of(&[&joined]).await;
                lake.job.limits.lines.block_bytes = block_bytes;
                let (counts, _) = lake.run().await;
                (counts, lake.batches("main").await, lake.batches("rejects").await)
            })
        };
        let (counts, rows, rejects) = run(1 << 20);
        prop_assert_eq!(counts.rows, rows.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
        let (other, other_rows, other_rejects) = run(block_bytes);
        prop_assert_eq!(Counts { bytes_out: 0, ..counts }, Counts { bytes_out: 0, ..other });
        prop_assert_eq!((rows, rejects), (other_rows, other_rejects));
    }
}
