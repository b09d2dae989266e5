//! Shaped conversions: every row is kept, filtered or rejected with its reason; the same bytes by any number of threads;
//! no value names another folder; nothing redacted is in any file.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use serde_json::{Value, json};

use super::tests::{DAY, Lake, line, names};
use super::*;
use proptest::prelude::*;

/// A record with these values.
fn record(n: u64, bucket: &str, status: &str, key: &str) -> String {
    let line = line(n, if n.is_multiple_of(3) { DAY } else { "07/Feb/2026" }, "agent");
    line.replacen(" lake ", &format!(" {bucket} "), 1).replace(" 200 - ", &format!(" {status} - ")).replace("a/k%2520", key) + "\n"
}

fn text(records: u64) -> String {
    (0..records).map(|n| record(n, ["logs", "web", "b%c"][n as usize % 3], ["200", "404", "-"][n as usize % 3], "k")).collect()
}

fn shape(lake: &mut Lake, workload: Value) {
    lake.job.shaping = Shaping::read(&workload).unwrap();
    lake.job.write = crate::shape::parquet(&workload).unwrap();
    lake.job.redact_key = Some(RedactKey::Keyed(b"0123456789abcdef".to_vec()));
}

async fn shaped(objects: &[&[u8]], workload: Value) -> Lake {
    let mut lake = Lake::of(objects).await;
    shape(&mut lake, workload);
    lake
}

async fn footers(lake: &Lake) -> Vec<ParquetMetaData> {
    let files = lake.files("main").await;
    files.into_iter().map(|(_, bytes)| ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().metadata().as_ref().clone()).collect()
}

#[tokio::test]
async fn rows_are_renamed_filtered_and_foldered() {
    let text = text(9) + "rubbish\n";
    let select =
        "SELECT time, bucket AS b, http_status AS status, bytes_sent * 2 AS twice FROM log WHERE http_status = 404 AND source_line > 2";
    let lake = shaped(&[text.as_bytes()], json!({"select": select, "partitions": ["dt", "b"]})).await;
    let (counts, published) = lake.run().await;
    assert_eq!((counts.lines, counts.rows, counts.filtered, counts.rejected), (10, 2, 7, 1));
    assert_eq!(names(&lake.files("main").await), ["main/dt=2026-02-07/b=web/20260206PT5M000-00000.parquet"]);
    let batch = &lake.batches("main").await[0];
    let columns: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(columns, ["time", "status", "twice", "lot", "source_uri", "source_line"]);
    assert_eq!((lake.longs("main", "twice").await, lake.longs("main", "source_line").await), (vec![8, 14], vec![5, 8]));
    assert_eq!(published.main[0].event_time_min.unwrap().to_rfc3339(), "2026-02-07T00:00:04+00:00");
}

#[tokio::test]
async fn select_all_is_the_table_as_it_is() {
    let text = text(50) + "rubbish\n";
    let (plain, all) = (Lake::of(&[text.as_bytes()]).await, shaped(&[text.as_bytes()], json!({"select": "SELECT * FROM log"})).await);
    let (counts, other) = (plain.run().await.0, all.run().await.0);
    assert_eq!((plain.files("main").await, plain.files("rejects").await), (all.files("main").await, all.files("rejects").await));
    assert_eq!(counts, other);
}

#[tokio::test]
async fn a_row_that_fails_is_a_reject_with_its_line_in_its_place() {
    let text = format!("x1\n{}{}x2\n{}", record(1, "logs", "200", "k"), record(0, "logs", "200", "k"), record(2, "logs", "200", "k"));
    let select = "SELECT 10 / bytes_sent AS d, bytes_sent AS n FROM log";
    let lake = shaped(&[text.as_bytes(), text.as_bytes()], json!({"select": select})).await;
    let (counts, _) = lake.run().await;
    assert_eq!((counts.lines, counts.rows, counts.rejected, counts.filtered), (10, 4, 6, 0));
    assert_eq!(lake.longs("rejects", "source_line").await, [1, 3, 4, 1, 3, 4]);
    let reasons = lake.texts("rejects", "reason").await;
    assert!(reasons[1].as_ref().unwrap().starts_with("select: Divide by zero"), "{reasons:?}");
    let rejects = lake.batches("rejects").await;
    let failed = record(0, "logs", "200", "k");
    assert_eq!(rejects[0].column(0).as_binary::<i32>().value(1), failed.trim_end().as_bytes());
    assert_eq!((lake.longs("rejects", "raw_bytes").await[1], lake.longs("main", "n").await), (failed.len() as i64 - 1, vec![1, 2, 1, 2]));
    let at = lake.longs("rejects", "byte_offset").await[1] as usize;
    assert!(text[at..].starts_with(&failed));
}

#[tokio::test]
async fn no_value_names_another_folder() {
    let hostile = ["..", "../../etc", "dt=1970-01-01", "a%2Fb", "%2e%2e", "__HIVE_DEFAULT_PARTITION__", "-"];
    let text: String = hostile.iter().map(|bucket| record(1, bucket, "200", "k")).collect();
    let lake = shaped(&[text.as_bytes()], json!({"partitions": ["bucket"]})).await;
    let (counts, published) = lake.run().await;
    assert_eq!((counts.rows, published.main.len()), (7, 7));
    let files = lake.files("main").await;
    let mut folders: Vec<&str> =
        names(&files).iter().map(|name| name.trim_start_matches("main/bucket=").split('/').next().unwrap()).collect();
    let mut expected: Vec<String> = hostile[..6].iter().map(|value| crate::partition::escape(value).into_owned()).collect();
    expected.push(crate::partition::NO_VALUE.into());
    expected.sort();
    folders.sort_unstable();
    assert_eq!(folders, expected);
    assert!(names(&files).iter().all(|name| name.split('/').count() == 3), "{:?}", names(&files));
    let long = "x".repeat(300);
    let lake = shaped(&[record(1, &long, "200", "k").as_bytes()], json!({"partitions": ["bucket"]})).await;
    assert_eq!(
        (lake.run().await.0.rejected, lake.texts("rejects", "reason").await[0].as_deref()),
        (1, Some("the value of partition column `bucket` is too long for a folder"))
    );
}

#[tokio::test]
async fn rows_past_the_bound_on_partitions_keep_their_value() {
    let text: String = (0..30).map(|n| record(n, &format!("b{}", n % 10), "200", "k")).collect();
    let mut lake = shaped(&[text.as_bytes(), text.as_bytes()], json!({"partitions": ["bucket", "dt"]})).await;
    lake.job.limits.partitions_max = 4;
    lake.job.limits.partitions_open_max = 2;
    lake.job.limits.lines.block_bytes = 1_000;
    let (counts, published) = lake.run().await;
    assert_eq!((counts.lines, published.main.len()), (60, 4));
    assert!(counts.rows > 0 && counts.rejected > 0 && counts.rows + counts.rejected == 60, "{counts:?}");
    let rejects = lake.batches("rejects").await;
    assert!(rejects[0].column(0).as_binary::<i32>().value(0).starts_with(b"owner b"));
    assert_eq!(lake.texts("rejects", "reason").await[0].as_deref(), Some("the lot has more than 4 partitions"));
}

#[tokio::test]
async fn threads_and_cuts_do_not_change_a_shaped_byte() {
    let text = text(6_000);
    let objects: Vec<&[u8]> = vec![text.as_bytes(), b"rubbish\n", &text.as_bytes()[..300_001], b"\xff\n"];
    let workload = json!({
        "select": "SELECT time, bucket, http_status, key, 100 / (bytes_sent % 7) AS d FROM log WHERE http_status IS DISTINCT FROM 404",
        "partitions": ["dt", "bucket"], "sortBy": ["-http_status", "key"], "redact": {"key": "hash", "remote_ip": "ip"}, "redactKeyEnv": "K"
    });
    let mut seen = Vec::new();
    for threads in [1, 4] {
        let mut lake = shaped(&objects, workload.clone()).await;
        lake.job.limits.threads = threads;
        lake.job.limits.partitions_open_max = 3;
        lake.job.limits.in_flight_bytes = (1 << 20) * threads;
        lake.job.limits.lines.block_bytes = 64 << 10;
        lake.job.write.row_group_text_bytes = 40 << 10;
        lake.job.write.part_text_bytes = 100 << 10;
        let (counts, _) = lake.run().await;
        assert!(counts.rejected > 700 && counts.filtered > 2_000, "{counts:?}");
        seen.push((counts, lake.files("main").await, lake.files("rejects").await));
    }
    assert!(seen[0].1.len() > 4, "{:?}", names(&seen[0].1));
    assert!(seen[0] == seen[1]);
}

#[tokio::test]
async fn rows_are_sorted_in_their_row_groups_and_files_say_so() {
    let text = text(3_000);
    let mut lake = shaped(&[text.as_bytes()], json!({"partitions": ["dt"], "sortBy": ["-http_status", "source_line"]})).await;
    lake.job.write.row_group_text_bytes = 50 << 10;
    lake.job.limits.lines.block_bytes = 16 << 10;
    lake.job.limits.partitions_open_max = 1;
    let (counts, _) = lake.run().await;
    assert_eq!(counts.rows, 3_000);
    let footers = footers(&lake).await;
    let sorting = |column| Some(vec![SortingColumn { column_idx: column, descending: true, nulls_first: false }]);
    assert!(footers.iter().map(ParquetMetaData::num_row_groups).sum::<usize>() > 4);
    for (bytes, footer) in lake.files("main").await.into_iter().map(|file| file.1).zip(footers) {
        for row_group in 0..footer.num_row_groups() {
            let said = footer.row_group(row_group).sorting_columns().cloned();
            assert_eq!(said.clone().map(|said| said[..1].to_vec()), sorting(said.unwrap()[0].column_idx));
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().with_row_groups(vec![row_group]).build().unwrap();
            let mut rows: Vec<(Option<i32>, i64)> = Vec::new();
            for batch in reader.map(Result::unwrap) {
                let status = batch.column_by_name("http_status").unwrap().as_primitive::<Int32Type>().clone();
                let lines = batch.column_by_name("source_line").unwrap().as_primitive::<arrow::datatypes::Int64Type>().clone();
                rows.extend(status.iter().zip(lines.values().iter().copied()));
            }
            let mut sorted = rows.clone();
            sorted.sort_by_key(|(status, line)| (status.map_or(1, |status| -status), *line));
            assert!(rows == sorted && rows.iter().any(|row| row.0.is_some()), "row group {row_group}");
        }
    }
    let mut stable = shaped(&[text.as_bytes()], json!({"sortBy": ["http_status"], "partitions": []})).await;
    stable.job.limits.lines.block_bytes = 10_000;
    stable.run().await;
    let lines = stable.longs("main", "source_line").await;
    let of = |n: i64| (0..1_000).map(move |m| m * 3 + n).collect::<Vec<i64>>();
    assert_eq!(lines, [of(1), of(2), of(3)].concat(), "equal rows stay in their order, nulls are last");
}

#[tokio::test]
async fn a_sorted_row_group_ends_where_its_memory_does() {
    let text = text(90_000);
    let lake = shaped(&[text.as_bytes()], json!({"sortBy": ["key"], "partitions": []})).await;
    assert!(text.len() < lake.job.write.row_group_text_bytes / 3, "its text alone would end no row group");
    assert_eq!(lake.run().await.0.rows, 90_000);
    let row_groups: usize = footers(&lake).await.iter().map(ParquetMetaData::num_row_groups).sum();
    assert!((2..5).contains(&row_groups), "{row_groups}");
}

#[tokio::test]
async fn the_time_is_that_of_the_select() {
    let text = text(3);
    let select = |sql: &str| json!({"select": sql, "partitions": ["dt"]});
    let own = shaped(&[text.as_bytes()], select("SELECT key FROM log")).await;
    let (_, published) = own.run().await;
    assert!(published.main[0].event_time_min.is_some() && published.main[0].uri.contains("dt=2026-02-06/"), "{published:?}");
    let text_time = shaped(&[text.as_bytes()], select("SELECT 'never' AS time FROM log")).await;
    assert!(text_time.run().await.1.main[0].uri.contains("dt=2026-02-06/"));
    let later =
        shaped(&[text.as_bytes()], select("SELECT CASE WHEN bytes_sent = 2 THEN NULL ELSE time + INTERVAL '1 year' END AS time FROM log"))
            .await;
    let (_, published) = later.run().await;
    let uris: Vec<&str> = published.main.iter().map(|file| file.uri.as_str()).collect();
    assert_eq!(uris.len(), 3, "{uris:?}");
    assert!(uris[0].contains("dt=2027-02-06/") && uris[2].contains("dt=__HIVE_DEFAULT_PARTITION__/"), "{uris:?}");
    let batch = &later.batches("main").await[0];
    let time = batch.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(published.main[0].event_time_min.unwrap().timestamp_micros(), time);
}

#[tokio::test]
async fn nothing_redacted_is_in_any_file() {
    let secrets = ["S3CRETKEY", "S3CRETAGENT", "S3CRETEXTRA", "192.0.2.3", "REQ00000001"];
    let row = record(1, "logs", "200", "S3CRETKEY").replace("agent", "S3CRETAGENT").replace('\n', " S3CRETEXTRA\n");
    let text = format!("{row}{row}S3CRETKEY S3CRETEXTRA is no record\n{}", row.replacen(" logs ", &format!(" {} ", "x".repeat(300)), 1));
    let redact = json!({"key": "hash", "key_decoded": "drop", "request_uri": "drop", "user_agent": {"truncate": 3}, "remote_ip": "ip", "request_id": "drop"});
    let workload = json!({"redact": redact, "redactKeyEnv": "K", "compression": "none", "bloom": [], "partitions": ["bucket"]});
    let lake = shaped(&[text.as_bytes()], workload.clone()).await;
    let (counts, _) = lake.run().await;
    assert_eq!((counts.rows, counts.rejected, counts.extra), (2, 2, 2));
    for (name, bytes) in [lake.files("main").await, lake.files("rejects").await].concat() {
        for secret in secrets {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{secret} is in {name}");
        }
    }
    assert!(lake.batches("rejects").await[0].column(0).null_count() == 2, "rejects keep a length and a reason alone");
    assert_eq!(lake.longs("rejects", "raw_bytes").await.len(), 2);
    let hashes = lake.texts("main", "key").await;
    assert!(hashes[0].as_ref().is_some_and(|hash| hash.len() == 64) && hashes[0] == hashes[1]);
    assert_eq!(
        (lake.texts("main", "user_agent").await[0].as_deref(), lake.texts("main", "remote_ip").await[0].as_deref()),
        (Some("S3C"), Some("192.0.2.0"))
    );
    let mut later = shaped(&[text.as_bytes()], workload).await;
    later.job.lot = "20260207PT5M001".parse().unwrap();
    later.run().await;
    assert_eq!(later.texts("main", "key").await, hashes, "the same in every lot");
    let mut keyless = later;
    keyless.job.redact_key = None;
    assert!(convert(keyless.job.clone()).await.unwrap_err().to_string().contains("no key"));
    let kept = shaped(&[text.as_bytes()], json!({"redact": {"remote_ip": "drop", "extra": "keep"}, "rejectsRaw": "keep"})).await;
    kept.run().await;
    assert_eq!(
        (kept.texts("main", "extra").await[0].as_deref(), kept.batches("rejects").await[0].column(0).null_count()),
        (Some("[\"S3CRETEXTRA\"]"), 0)
    );
}

#[tokio::test]
async fn parquet_is_written_as_asked() {
    let text = text(3_000);
    for (name, codec) in [("snappy", Compression::SNAPPY), ("none", Compression::UNCOMPRESSED)] {
        let mut lake =
            shaped(&[text.as_bytes(), text.as_bytes()], json!({"compression": name, "bloom": ["key"], "partitions": [], "rowGroupMiB": 1}))
                .await;
        lake.job.limits.lines.block_bytes = 100_000;
        lake.run().await;
        let footer = &footers(&lake).await[0];
        assert!(footer.num_row_groups() > 1);
        let columns = footer.row_group(0).columns();
        assert!(columns.iter().all(|column| column.compression() == codec));
        let with_bloom: Vec<String> =
            columns.iter().filter(|column| column.bloom_filter_offset().is_some()).map(|column| column.column_path().string()).collect();
        assert_eq!(with_bloom, ["key"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What a condition is true of, and what it is not true of, is everything that can be read, whatever fails.
    #[test]
    fn a_condition_and_its_opposite_account_for_all_rows(
        picks in proptest::collection::vec((0u64..50, 0usize..4, any::<bool>()), 0..60),
        condition in prop_oneof![
            Just("http_status >= 400"), Just("key LIKE '%1%'"), Just("10 / (bytes_sent - 3) > 1"), Just("CAST(bucket AS INT) > 5"), Just("NULL"),
            Just("error_code = 'x'"),
        ],
        block_bytes in 100usize..5_000,
    ) {
        let text: String = picks.iter().map(|(n, at, is_row)| match is_row {
            true => record(*n, ["7", "web", "3", "-"][*at], ["200", "404", "-", "500"][*at], "k"),
            false => "rubbish\n".to_owned(),
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let run = |condition: String| {
            let text = text.clone();
            runtime.block_on(async move {
                let mut lake = shaped(&[text.as_bytes()], json!({"select": format!("SELECT * FROM log WHERE {condition}"), "partitions": []})).await;
                lake.job.limits.lines.block_bytes = block_bytes;
                let (counts, _) = lake.run().await;
                (counts, lake.longs("main", "source_line").await, lake.longs("rejects", "source_line").await)
            })
        };
        let (counts, rows, rejects) = run(condition.to_owned());
        let (other, other_rows, other_rejects) = run(format!("({condition}) IS NOT TRUE"));
        prop_assert_eq!((counts.lines, counts.rejected, counts.filtered), (other.lines, other.rejected, other.rows));
        prop_assert_eq!(counts.rows, other.filtered);
        prop_assert_eq!(&rejects, &other_rejects);
        let mut all: Vec<i64> = rows.into_iter().chain(other_rows).chain(rejects).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (1..=picks.len() as i64).collect::<Vec<_>>());
    }
}
