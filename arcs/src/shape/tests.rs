//! What can be asked for and what not; each refusal says what to do instead.

use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::format;

fn shape(workload: Value) -> Result<Shape, Vec<Problem>> {
    let grammar = format::compile(&"s3-access".into()).unwrap();
    Shaping::read(&workload).and_then(|shaping| Shape::new(&shaping, grammar.as_ref()))
}

fn wrong(workload: Value) -> String {
    let problems = shape(workload).err().unwrap_or_default();
    let line = |problem: &Problem| {
        let fix = problem.fix.as_ref().map(|fix| format!(" ({})", fix.chars().take(60).collect::<String>())).unwrap_or_default();
        format!("{}: {}{fix}", problem.path, problem.message)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn check_selects(selects: &[&str], expected: Expect) {
    let said: Vec<String> = selects.iter().map(|sql| wrong(json!({"select": sql})).replace("workload.select: ", "")).collect();
    expected.assert_eq(&said.join("\n"));
}

fn columns(shape: &Shape) -> Vec<String> {
    shape.columns.iter().map(|column| format!("{} {}", column.field.name(), column.field.data_type())).collect()
}

#[test]
fn what_needs_more_than_a_row_is_refused() {
    check_selects(
        &[
            "SELECT count(*) FROM log",
            "SELECT sum(bytes_sent) AS n FROM log",
            "SELECT row_number() OVER (ORDER BY time) AS n FROM log",
            "SELECT DISTINCT bucket FROM log",
            "SELECT bucket FROM log GROUP BY bucket",
            "SELECT bucket FROM log GROUP BY ALL",
            "SELECT bucket FROM log ORDER BY bucket",
            "SELECT bucket FROM log LIMIT 1",
            "SELECT bucket FROM log OFFSET 1",
            "SELECT bucket FROM log FETCH FIRST 1 ROWS ONLY",
            "SELECT a.bucket FROM log a, log b",
            "SELECT a.bucket FROM log a JOIN log b ON a.key = b.key",
            "SELECT bucket FROM (SELECT * FROM log)",
            "WITH a AS (SELECT * FROM log) SELECT bucket FROM a",
            "SELECT bucket FROM log WHERE key IN (SELECT key FROM log)",
            "SELECT (SELECT max(key) FROM log) AS k FROM log",
            "SELECT bucket FROM log WHERE EXISTS (SELECT 1 FROM log)",
            "SELECT bucket FROM log UNION ALL SELECT bucket FROM log",
            "SELECT bucket FROM log QUALIFY row_number() OVER () = 1",
            "SELECT unnest(make_array(1, 2)) AS n FROM log",
            "VALUES (1)",
            "SELECT 1 AS one",
            "SELECT * FROM '/etc/passwd'",
            "SELECT * FROM main",
            "SELECT now() AS n FROM log",
            "SELECT bucket FROM log WHERE random() < 0.5",
            "SELECT repeat(key, bytes_sent) AS k FROM log",
        ],
        expect![[r#"
            an aggregate is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            an aggregate is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a window function is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            DISTINCT is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            GROUP BY is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            GROUP BY is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            ORDER BY is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it; `sortBy` sorts the rows of files
            LIMIT is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            LIMIT is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            LIMIT is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a join is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a join is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a subquery is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            WITH is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a subquery is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a subquery is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a subquery is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            UNION is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            a window function is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            unnest is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            VALUES is not possible here: a select takes one row at a time, with columns and WHERE alone; a query arc over the converted dataset can do it
            there is one table, `log`: SELECT … FROM log
            there is one table, `log`: SELECT … FROM log
            there is one table, `log`: SELECT … FROM log
            now() gives other rows when the lot is run again; use `time`, or `lot`
            random() gives other rows when the lot is run again; use `time`, or `lot`
            the length in repeat() must be a number: a log line must not decide how much memory it takes"#]],
    );
}

#[test]
fn what_does_not_plan_is_said_in_sql_words() {
    check_selects(
        &[
            "SELECT bukket FROM log",
            "SELEC 1",
            "SELECT key + 1 FROM log; DROP TABLE log",
            "SELECT nothing(key) AS k FROM log",
            "SELECT upper(key) FROM log",
            "SELECT key AS Key2, bucket AS \"B\" FROM log",
            "SELECT key, key_decoded AS key FROM log",
            "SELECT bucket AS dt FROM log",
            "SELECT upper(lot) AS lot FROM log",
            "SELECT make_array(key) AS keys FROM log",
            "SELECT bucket FROM log WHERE key",
            "SELECT CAST('x' AS INT) AS n FROM log",
        ],
        expect![[r#"
            No field named bukket. Did you mean 'log.bucket'?
            the SQL does not parse: SQL error: ParserError("Expected: an SQL statement, found: SELEC at Line: 1, Column: 1")
            there are 2 statements; write one SELECT
            Invalid function 'nothing'
            column `upper(log.key)` has to be named with AS, in lower-case letters, digits and `_`
            column `B` has to be named with AS, in lower-case letters, digits and `_`
            Schema contains qualified field name log.key and unqualified field name key which would be ambiguous
            column `dt` is the name of a partition key, which folders hold; leave it out or rename it with AS
            column `lot` is the name of a column that follows at the end of every table; rename it with AS
            column `keys` has type List(Utf8), which not every reader knows; cast it
            Cannot create filter with non-boolean predicate 'log.key' returning Utf8View
            Cast error: Cannot cast string 'x' to value of Int32 type"#]],
    );
}

#[test]
fn columns_follow_the_select_and_lineage_follows_the_columns() {
    let seen = shape(json!({
        "select": "SELECT time, bucket AS b, http_status, CAST(bytes_sent AS DOUBLE) / 1024 AS kib, http_status >= 400 AS is_error, \
                   CAST(time AS DATE) AS day, source_uri, to_timestamp_millis(bytes_sent) AS t, NULL AS none FROM log",
        "partitions": ["dt", "b", "day"], "sortBy": ["-http_status", "source_line"], "bloom": ["http_status"]
    }))
    .unwrap();
    assert_eq!(
        columns(&seen),
        [
            "time Timestamp(µs, \"UTC\")",
            "http_status Int32",
            "kib Float64",
            "is_error Boolean",
            "t Timestamp(µs, \"UTC\")",
            "none Utf8",
            "lot Utf8",
            "source_uri Utf8",
            "source_line Int64"
        ]
    );
    assert_eq!(
        seen.partition_fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>(),
        [DataType::Utf8, DataType::Utf8, DataType::Date32]
    );
    assert_eq!((seen.time, seen.sort.clone()), (Some(0), vec![(1, true), (8, false)]));
    assert!(seen.columns[0].meaning.len() > 3, "an unchanged column keeps its meaning");
    assert_eq!(seen.columns.iter().filter(|column| column.has_bloom).count(), 1);
    let all = shape(json!({"select": "SELECT * FROM log"})).unwrap();
    assert_eq!(columns(&all), columns(&shape(json!({})).unwrap()));
    assert!(!all.is_plain() && shape(json!({"sortBy": ["time"], "rejectsRaw": "keep"})).unwrap().is_plain());
    let by_lot = shape(json!({"select": "SELECT lot, key FROM log", "partitions": ["lot"]})).unwrap();
    assert_eq!(columns(&by_lot), ["key Utf8", "source_uri Utf8", "source_line Int64"]);
    assert_eq!(by_lot.time, None);
}

#[test]
fn names_that_are_nowhere_are_told_with_those_that_are() {
    expect![[r#"
        workload.partitions[1]: `bukket` is neither a partition key nor a column of the output (use dt, hour, time_ymd, lot, or one of bucket_owner, bucket,)
        workload.partitions[1]: `dt` is there twice (remove one)
        workload.partitions[3]: `bucket` is there twice (remove one)
        workload.partitions[0]: `source_uri` is a column of lineage, which stays in the files (use dt, hour, time_ymd, lot, or one of bucket_owner, bucket,)
        workload.partitions[0]: `time` is a Timestamp(µs, "UTC") and folders hold string, int, bigint, boolean, date (cast it in `select`)
        workload.partitions[1]: `bucket` is neither a partition key nor a column of the output (use dt, hour, time_ymd, lot, or one of time, key)
        workload.sortBy[0]: `bucket` is a partition: the same in all rows of a file (remove it)
        workload.sortBy[0]: `bucket` is a partition: the same in all rows of a file (remove it)
        workload.sortBy[2]: `key` is there twice (remove one)
        workload.bloom[0]: `time` is neither text nor a whole number (remove it)
        workload.bloom[1]: `nothing` is no column of the files (use one of bucket_owner, bucket, time, remote_ip, requester,)
        workload.redact.remote_ipp: `remote_ipp` is no column of the format (use one of bucket_owner, bucket, time, remote_ip, requester,)
        workload.redact.http_status: is no text ('drop', or change it in `select`)
        workload.redact.time: decides partitions and manifests (leave it out with `select`)
        workload.redact.key: is kept unless named here; `keep` is for `extra` (remove it)
        workload.redact.lot: `lot` is no column of the format (use one of bucket_owner, bucket, time, remote_ip, requester,)
        workload.redact.key: `sha1` is no way to redact: use 'hash', 'drop', 'ip', or {truncate: characters}
        workload.redactKeyEnv: is missing: without a key, who can guess a value can check the guess (name an environment variable that holds a key, or '' for has)
        workload.redactKeyEnv: has no use: nothing is hashed (remove it)
        workload.select: No field named key
        workload.select: No field named extra
        workload.rejectsRaw: is `some` ('keep' or 'drop')
        workload.partitions: has more than 8 keys (use fewer)"#]]
    .assert_eq(
        &[
            json!({"partitions": ["dt", "bukket"]}),
            json!({"partitions": ["dt", "dt", "bucket", "bucket"]}),
            json!({"partitions": ["source_uri"]}),
            json!({"partitions": ["time"]}),
            json!({"select": "SELECT time, key FROM log", "partitions": ["dt", "bucket"], "sortBy": ["-bucket"]}),
            json!({"partitions": ["bucket"], "sortBy": ["bucket", "key", "-key"]}),
            json!({"bloom": ["time", "nothing"]}),
            json!({"redact": {"remote_ipp": "ip", "http_status": "hash", "time": "drop", "key": "keep", "lot": "drop"}, "redactKeyEnv": "K"}),
            json!({"redact": {"key": "sha1"}}),
            json!({"redact": {"key": "hash"}}),
            json!({"redactKeyEnv": "K"}),
            json!({"redact": {"key": "drop"}, "select": "SELECT key FROM log"}),
            json!({"redact": {"key": "drop"}, "select": "SELECT extra FROM log"}),
            json!({"rejectsRaw": "some"}),
            json!({"partitions": ["dt", "hour", "lot", "bucket", "key", "operation", "requester", "remote_ip", "http_status"]}),
        ]
        .map(wrong)
        .join("\n"),
    );
}

#[test]
fn parquet_settings_have_bounds() {
    let wrong = |workload: Value| {
        parquet(&workload).err().unwrap_or_default().into_iter().map(|problem| format!("{}: {}", problem.path, problem.message))
    };
    let said: Vec<String> = [
        json!({"zstdLevel": 0}),
        json!({"zstdLevel": 1.5, "rowGroupMiB": 0, "fileMiB": 0.5}),
        json!({"rowGroupMiB": 513}),
        json!({"compression": "gzip"}),
        json!({"compression": "snappy", "zstdLevel": 3}),
    ]
    .into_iter()
    .flat_map(wrong)
    .collect();
    expect![[r#"
        workload.zstdLevel: must be a whole number from 1 to 22
        workload.zstdLevel: must be a whole number from 1 to 22
        workload.rowGroupMiB: must be a whole number from 1 to 512
        workload.fileMiB: must be a whole number from 1 to 65536
        workload.rowGroupMiB: must be a whole number from 1 to 512
        workload.compression: `gzip` is no compression
        workload.zstdLevel: is for compression zstd"#]]
    .assert_eq(&said.join("\n"));
    let options = parquet(&json!({"rowGroupMiB": 8, "fileMiB": 16, "compression": "none"})).unwrap();
    assert_eq!((options.row_group_text_bytes, options.part_text_bytes, options.codec), (8 << 20, 16 << 20, crate::write::Codec::None));
}

#[test]
fn rows_that_fail_are_told_and_fail_no_other() {
    use arrow::array::{ArrayRef, AsArray, BinaryViewArray, Int64Array};
    let table = Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
    let a: ArrayRef = Arc::new(BinaryViewArray::from_iter([Some("1"), Some("x"), None, Some("99999999999"), Some("4")]));
    let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(0), Some(0), Some(2), Some(i64::MAX)]));
    let given = |sql: &str| {
        let select = select::Select::plan(sql, &table).unwrap();
        let columns: Vec<ArrayRef> = select.reads.iter().map(|column| [&a, &n][*column].clone()).collect();
        select.evaluate(&columns, 5).unwrap()
    };
    let cast = given("SELECT CAST(a AS INT) AS i FROM log");
    assert_eq!((cast.rows, cast.failed.iter().map(|failed| failed.0).collect::<Vec<_>>()), (vec![0, 2, 4], vec![1, 3]));
    assert!(cast.failed[0].1.contains("'x'"), "{:?}", cast.failed);
    let divided = given("SELECT 10 / n AS i FROM log WHERE a IS NOT NULL");
    assert_eq!((divided.rows, divided.filtered, divided.failed.len()), (vec![0, 3, 4], 1, 1));
    assert!(divided.failed[0].1.to_lowercase().contains("divide"), "{:?}", divided.failed);
    let overflowing = given("SELECT n + 1 AS i FROM log");
    assert_eq!(overflowing.failed.iter().map(|failed| failed.0).collect::<Vec<_>>(), [4], "whole numbers do not wrap around");
    let guarded = given("SELECT n FROM log WHERE n <> 0 AND 10 / n > 1");
    assert_eq!((guarded.rows, guarded.failed.len()), (vec![0, 3], 0));
    assert_eq!(guarded.filtered, 3);
    let folded = given("SELECT coalesce(a, 'none') AS c, 1 / 0 AS z FROM log WHERE n = 2");
    assert_eq!(folded.failed.len(), 1);
    let texts = given("SELECT coalesce(a, 'none') AS c FROM log");
    assert_eq!(texts.columns[0].as_binary_view().value(2), b"none");
    let none = given("SELECT a FROM log WHERE false");
    assert_eq!((none.rows.len(), none.columns[0].len(), none.filtered), (0, 0, 5));
    assert_eq!(given("SELECT 'x' AS x FROM log").columns[0].len(), 5);
}
