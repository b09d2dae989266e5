//! Runs end to end: on memory and on disk, undisturbed, redone, replayed, taken over, and refused at every write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use expect_test::expect;
use manifests::{ArcSpec, ArcState, Fate, Faults, FaultyStore, Lot, ManifestsError, ObjectStores, State, Stores};
use object_store::ObjectStoreExt;
use serde_json::json;

use super::fixture::{LOT, arc, arc_at, commit, contents, context, dataset_at, disk, line, object, plan};
use super::{RunReport, run};
use crate::error::ArcsError;

/// Three rows, a blank line and a line that is no row.
fn lines() -> String {
    let rows = [("REST.GET.OBJECT", 200, "-", 10), ("REST.GET.OBJECT", 404, "NoSuchKey", 30), ("REST.PUT.OBJECT", 200, "-", 50)];
    let rows = rows.iter().enumerate().map(|(at, row)| line(at as u32, row.0, row.1, row.2, row.3, &format!("ID{at}")));
    rows.collect::<String>() + "\nno log line\n"
}

fn convert() -> serde_json::Value {
    json!({"format": "s3-access", "rejectLimitPercent": 50})
}

/// An arc whose source lot holds [`lines`] in generation 1.
async fn ready(stores: &Stores, root: &str, kind: &str, workload: serde_json::Value) -> ArcSpec {
    let arc = arc_at(root, kind, workload);
    let raw = &arc.sources[0].dataset;
    let there = object(stores, raw, "a.log", lines()).await;
    commit(stores, raw, LOT, 1, vec![there]).await;
    arc
}

fn lot() -> Lot {
    LOT.parse().unwrap()
}

async fn state_of(stores: &Stores, arc: &ArcSpec) -> (u32, ArcState) {
    let last = stores.last_attempt(&arc.id, lot()).await.unwrap().unwrap();
    (last.number, last.state)
}

fn names(report: &[(String, usize, u64)]) -> Vec<&str> {
    report.iter().map(|file| file.0.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_of_a_conversion_is_flat() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let arc = ready(&stores, "memory:///data", "convert", convert()).await;
    let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap();
    let mut shown = serde_json::to_value(&report).unwrap();
    for unsteady in ["bytes_in", "bytes_out"] {
        assert!(shown[unsteady].as_u64().unwrap() > 0);
        shown[unsteady] = json!(0);
    }
    expect![[r#"{"lot":"20230717PT5M250","state":"complete","objects":1,"lines":5,"rows":3,"blank":1,"header":0,"continuation":0,"rejected":1,"filtered":0,"recovered":0,"extra":0,"bytes_in":0,"bytes_out":0,"seconds":2.0,"arc":"convert","attempt":1,"generation":1,"manifests":["memory:///lake/manifest/datasets/name=rejects/version=1/lot=20230717PT5M250/commit-000001.json","memory:///lake/manifest/datasets/name=main/version=1/lot=20230717PT5M250/commit-000001.json"],"comment":null,"past_reject_limit":false}"#]].assert_eq(&shown.to_string());
    assert!(report.is_clean());
    assert_eq!(state_of(&stores, &arc).await, (1, ArcState::Complete));
    let mut strict = arc.clone();
    strict.workload = json!({"format": "s3-access", "rejectLimitPercent": 10});
    let again = run(&context(&stores, folder.path()), &strict, &plan(&arc, 1, false)).await.unwrap();
    assert!(again.past_reject_limit && !again.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redone_run_gives_the_same_commits_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, root) = disk(folder.path());
    let arc = ready(&stores, &root, "convert", convert()).await;
    let context = context(&stores, folder.path());
    let first = run(&context, &arc, &plan(&arc, 1, false)).await.unwrap();
    let before = (contents(&stores, &root).await, state_of(&stores, &arc).await);
    let second = run(&context, &arc, &plan(&arc, 1, false)).await.unwrap();
    assert!(second.was_done && !first.was_done);
    assert_eq!(RunReport { was_done: false, ..second }, first);
    assert_eq!(before, (contents(&stores, &root).await, state_of(&stores, &arc).await), "nothing is written for a lot that is done");
    // As if the first run had died right before its commits: the files are written again.
    let data = contents(&stores, &format!("{root}/main")).await;
    for folder_of_lots in ["lake/manifest/datasets/name=main", "lake/manifest/datasets/name=rejects", "lake/arc-state"] {
        std::fs::remove_dir_all(folder.path().join(folder_of_lots)).unwrap();
    }
    let third = run(&context, &arc, &plan(&arc, 1, false)).await.unwrap();
    assert_eq!(RunReport { seconds: first.seconds, ..third }, first);
    assert_eq!(contents(&stores, &format!("{root}/main")).await, data, "the same bytes under the same names");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_takes_away_what_only_the_old_one_had() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, root) = disk(folder.path());
    let arc = ready(&stores, &root, "convert", convert()).await;
    let context = context(&stores, folder.path());
    run(&context, &arc, &plan(&arc, 1, false)).await.unwrap();
    assert_eq!(contents(&stores, &format!("{root}/rejects")).await.len(), 1);
    let later = line(1, "REST.GET.OBJECT", 200, "-", 1, "X").replace("17/Jul", "18/Jul");
    let raw = &arc.sources[0].dataset;
    let there = object(&stores, raw, "b.log", later).await;
    commit(&stores, raw, LOT, 2, vec![there]).await;
    let report = run(&context, &arc, &plan(&arc, 2, false)).await.unwrap();
    assert_eq!((report.generation, report.counts.rows), (2, 1));
    let left = contents(&stores, &format!("{root}/main")).await;
    assert!(matches!(&names(&left)[..], [one] if one.ends_with("main/dt=2023-07-18/20230717PT5M250-00000.parquet")), "{left:?}");
    assert!(contents(&stores, &format!("{root}/rejects")).await.is_empty());
    let replayed = run(&context, &arc, &plan(&arc, 2, true)).await.unwrap();
    assert_eq!(replayed.generation, 3);
    assert_eq!(contents(&stores, &format!("{root}/main")).await, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_without_a_sink_lie_below_main_and_follow_the_lot() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let mut arc = ready(&stores, "memory:///data", "convert", convert()).await;
    arc.sinks.retain(|sink| sink.role == "main");
    let context = context(&stores, folder.path());
    run(&context, &arc, &plan(&arc, 1, false)).await.unwrap();
    assert_eq!(contents(&stores, "memory:///data/main/_rejects").await.len(), 1);
    let raw = &arc.sources[0].dataset;
    let there = object(&stores, raw, "b.log", line(1, "REST.GET.OBJECT", 200, "-", 1, "X")).await;
    commit(&stores, raw, LOT, 2, vec![there]).await;
    run(&context, &arc, &plan(&arc, 2, false)).await.unwrap();
    assert!(contents(&stores, "memory:///data/main/_rejects").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_sources_start_no_workload() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let arc = arc("exec", json!({"command": ["/nowhere/never started"]}));
    commit(&stores, &arc.sources[0].dataset, LOT, 1, vec![]).await;
    for generation in [1, 0] {
        let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, generation, false)).await.unwrap();
        assert_eq!((report.state, report.counts.objects, report.generation), (State::Empty, 0, if generation == 1 { 1 } else { 2 }));
    }
    assert!(contents(&stores, "memory:///data").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_cannot_be_read_make_the_lot_partial() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, root) = disk(folder.path());
    let arc = arc_at(&root, "convert", convert());
    let raw = &arc.sources[0].dataset;
    let good = object(&stores, raw, "a.log", lines()).await;
    let gone = manifests::ManifestObject { uri: format!("{}gone.log", raw.path_uri), size: 9, ..Default::default() };
    let outside = manifests::ManifestObject { uri: format!("{}../../etc/passwd", raw.path_uri), size: 9, ..Default::default() };
    let old = object(&stores, raw, "b.log", "old").await;
    object(&stores, raw, "b.log", "replaced").await;
    commit(&stores, raw, LOT, 1, vec![good, gone, outside, old]).await;
    let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap();
    assert_eq!((report.state, report.counts.rows), (State::Partial, 3));
    assert!(!report.is_clean());
    let comment = report.comment.unwrap().replace(&root, "");
    for part in ["gone.log: the object is not there", "b.log: the object was replaced after it arrived", "passwd: cannot locate"] {
        assert!(comment.contains(part), "{part}: {comment}");
    }
    assert_eq!(state_of(&stores, &arc).await, (1, ArcState::Partial));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_commit_or_workload_fails_for_good() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let arc = ready(&stores, "memory:///data", "convert", convert()).await;
    let error = run(&context(&stores, folder.path()), &arc, &plan(&arc, 7, false)).await.unwrap_err();
    assert_eq!(error.to_string(), "generation 7 of lot 20230717PT5M250 of raw/1 is not there; plan the run again");
    let last = stores.last_attempt(&arc.id, lot()).await.unwrap().unwrap();
    assert_eq!((last.state, last.record.transient, last.record.cause), (ArcState::Missing, false, Some(error.to_string())));
    let unknown = ArcSpec { kind: "glou".into(), ..arc };
    let error = run(&context(&stores, folder.path()), &unknown, &plan(&unknown, 1, false)).await.unwrap_err();
    assert!(error.to_string().contains("this worker knows convert, query, copy, exec"), "{error}");
}

/// Takes the lot over when the worker begins its first file.
#[derive(Debug)]
struct Takeover {
    stores: Stores,
    arc: ArcSpec,
    done: AtomicU64,
}

#[async_trait]
impl Faults for Takeover {
    async fn fate(&self, action: &'static str, _write: bool, path: &str) -> Fate {
        if action == "begin" && path.contains("/main/") && self.done.fetch_add(1, Ordering::SeqCst) == 0 {
            let far = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            self.stores.acquire(&self.arc.id, lot(), "other", far, TimeDelta::minutes(5), |_| false).await.unwrap();
        }
        Fate::Pass
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_over_publishes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, root) = disk(folder.path());
    let arc = ready(&stores, &root, "convert", convert()).await;
    let takeover = Arc::new(Takeover { stores: stores.clone(), arc: arc.clone(), done: AtomicU64::new(0) });
    let mut seen = stores.clone();
    let faults = takeover.clone();
    seen.objects = ObjectStores::local().wrapped(move |store| Arc::new(FaultyStore::new(store, faults.clone())));
    let error = run(&context(&seen, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap_err();
    assert!(matches!(error, ArcsError::Manifests(ManifestsError::Leased { attempt: 2, .. })), "{error}");
    assert!(contents(&stores, &format!("{root}/main")).await.is_empty());
    assert_eq!(staged_files(folder.path()), Vec::<String>::new());
    assert_eq!(stores.latest(&arc.sinks[1].dataset, lot()).await.unwrap(), None);
    assert_eq!(state_of(&stores, &arc).await, (2, ArcState::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lot_that_another_works_on_is_left_alone() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let arc = ready(&stores, "memory:///data", "convert", convert()).await;
    let mut context = context(&stores, folder.path());
    let now = (context.clock)();
    stores.acquire(&arc.id, lot(), "other", now, TimeDelta::minutes(5), |_| false).await.unwrap();
    let error = run(&context, &arc, &plan(&arc, 1, false)).await.unwrap_err();
    assert!(matches!(error, ArcsError::Manifests(ManifestsError::Leased { attempt: 1, .. })), "{error}");
    context.is_dead = Arc::new(|owner| owner == "other");
    assert_eq!(run(&context, &arc, &plan(&arc, 1, false)).await.unwrap().attempt, 2);
}

/// Files with `#` in their names below a folder.
fn staged_files(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| match entry.path().is_dir() {
        true => staged_files(&entry.path()),
        false => vec![entry.file_name().to_string_lossy().into_owned()],
    });
    below.filter(|name| name.contains('#')).collect()
}

/// Refuses the n-th write and all after it, as if the process had died there.
#[derive(Debug)]
struct DiesAt {
    left: AtomicU64,
    seen: AtomicU64,
    last: Fate,
}

#[async_trait]
impl Faults for DiesAt {
    async fn fate(&self, _action: &'static str, write: bool, _path: &str) -> Fate {
        if !write {
            return Fate::Pass;
        }
        self.seen.fetch_add(1, Ordering::SeqCst);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(1) => self.last,
            Ok(_) => Fate::Pass,
            Err(_) => Fate::Refuse,
        }
    }
}

/// Dies at the n-th write, whose effect is there or not; then a fresh worker does the lot. Gives the writes of the first.
async fn die_and_resume(
    folder: &std::path::Path,
    kind: &str,
    workload: &serde_json::Value,
    dies_at: u64,
    last: Fate,
) -> (u64, Vec<(String, usize, u64)>) {
    // Always the same folder, because its name is part of the data.
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    let (stores, root) = disk(folder);
    let arc = match kind {
        "query" => converted(&stores, &root, folder, workload.clone()).await,
        _ => ready(&stores, &root, kind, workload.clone()).await,
    };
    let faults = Arc::new(DiesAt { left: AtomicU64::new(dies_at), seen: AtomicU64::new(0), last });
    let dying = faults.clone();
    let objects = ObjectStores::local().wrapped(move |store| Arc::new(FaultyStore::new(store, dying.clone())));
    let faulty = Stores::below(objects, &format!("{root}/lake"));
    let _ = run(&context(&faulty.unwrap(), folder), &arc, &plan(&arc, 1, false)).await;
    let mut resumed = context(&stores, folder);
    resumed.is_dead = Arc::new(|_| true);
    run(&resumed, &arc, &plan(&arc, 1, false)).await.unwrap();
    assert!(staged_files(folder).is_empty(), "{kind} {dies_at}");
    let (_, state) = state_of(&stores, &arc).await;
    assert_eq!(state, ArcState::Complete, "{kind} {dies_at}");
    let mut all = contents(&stores, &format!("{root}/main")).await;
    all.extend(contents(&stores, &format!("{root}/rejects")).await);
    for sink in &arc.sinks {
        let commit = stores.latest(&sink.dataset, lot()).await.unwrap().unwrap();
        let said = format!("{} {} {:?}", commit.generation, commit.state, commit.receipt.unwrap().counts);
        let copies = stores.manifest.list(&manifests::paths::lot_dir(&sink.dataset.id(), lot())).await.unwrap().len();
        all.push((said, commit.uris.len(), copies as u64));
    }
    (faults.seen.load(Ordering::SeqCst), all)
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_at_any_write_ends_like_never_dying() {
    for (kind, workload) in [
        ("convert", convert()),
        ("copy", json!({})),
        ("query", json!({"sql": "SELECT operation, count(*) AS requests FROM main GROUP BY operation ORDER BY operation"})),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("work");
        let (writes, undisturbed) = die_and_resume(&folder, kind, &workload, u64::MAX, Fate::Pass).await;
        assert!(writes >= 8, "{kind}: {writes}");
        for dies_at in 1..=writes {
            for last in [Fate::Refuse, Fate::RefuseAfter] {
                let (_, disturbed) = die_and_resume(&folder, kind, &workload, dies_at, last).await;
                assert_eq!(disturbed, undisturbed, "{kind}, {last:?} at write {dies_at}");
            }
        }
    }
}

/// A query arc over what a conversion of [`lines`] wrote.
async fn converted(stores: &Stores, root: &str, spill: &std::path::Path, workload: serde_json::Value) -> ArcSpec {
    let first = ready(stores, root, "convert", convert()).await;
    let mut first = ArcSpec { sinks: first.sinks, ..first };
    for sink in &mut first.sinks {
        sink.dataset = dataset_at(root, &format!("parquet-{}", sink.role));
    }
    run(&context(stores, spill), &first, &plan(&first, 1, false)).await.unwrap();
    let mut arc = arc_at(root, "query", workload);
    arc.sources[0].dataset = dataset_at(root, "parquet-main");
    arc
}

mod query {
    use super::*;
    use crate::committed::{CommittedFiles, LotFiles};
    use crate::sql;
    use arrow::util::pretty::pretty_format_batches;

    /// The rows that a run wrote, as a table.
    async fn rows(stores: &Stores, arc: &ArcSpec, spill: &std::path::Path) -> String {
        let (main, session) = (&arc.sinks[1].dataset, sql::session(&super::super::RunOptions::new(1, spill.to_owned()), 1).unwrap());
        let manifest = stores.latest(main, lot()).await.unwrap().unwrap();
        let files = CommittedFiles::open(&session.state(), stores, main, &[LotFiles::of(&manifest)]).await.unwrap().unwrap();
        session.register_table("written", Arc::new(files)).unwrap();
        let batches = sql::select(&session, "SELECT * FROM written").await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn error_statistics_by_hand() {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let arc = converted(&stores, "memory:///data", folder.path(), json!({"builtin": "error_stats"})).await;
        let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap();
        assert_eq!((report.state, report.counts.rows, report.counts.lines), (State::Complete, 3, 3));
        let rows = rows(&stores, &arc, folder.path()).await;
        let narrow: Vec<String> = rows.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect();
        expect![[r#"
            |lot|bucket|operation|http_status|error_code|requests|errors|error_rate|bytes|total_time_p50|total_time_p95|total_time_p99|first_seen|last_seen|example_request_id|example_source_uri|example_source_line|dt|
            |20230717PT5M250|bucket-a|REST.GET.OBJECT|200||1|0|0.0|100|10.0|10.0|10.0|2023-07-17T20:50:00Z|2023-07-17T20:50:00Z|ID0|memory:///data/raw/a.log|1|2023-07-17|
            |20230717PT5M250|bucket-a|REST.GET.OBJECT|404|NoSuchKey|1|1|0.5|100|30.0|30.0|30.0|2023-07-17T20:50:01Z|2023-07-17T20:50:01Z|ID1|memory:///data/raw/a.log|2|2023-07-17|
            |20230717PT5M250|bucket-a|REST.PUT.OBJECT|200||1|0|0.0|100|50.0|50.0|50.0|2023-07-17T20:50:02Z|2023-07-17T20:50:02Z|ID2|memory:///data/raw/a.log|3|2023-07-17|"#]].assert_eq(&narrow.into_iter().filter(|line| !line.starts_with('+')).collect::<Vec<_>>().join("\n"));
    }

    async fn failure(workload: serde_json::Value) -> String {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let arc = converted(&stores, "memory:///data", folder.path(), workload).await;
        let error = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap_err();
        assert!(!error.is_transient());
        assert!(contents(&stores, "memory:///data/main").await.is_empty());
        error.to_string()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn percentiles_and_rates_of_a_hundred_requests() {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let sql = "SELECT http_status, requests, errors, error_rate, bytes, total_time_p50, total_time_p95, total_time_p99, example_request_id \
                   FROM (STATS) AS stats ORDER BY http_status";
        let stats = crate::workload::builtin_query("error_stats").unwrap();
        let arc = converted(&stores, "memory:///data", folder.path(), json!({"sql": sql.replace("STATS", stats)})).await;
        let raw = dataset_at("memory:///data", "raw");
        let requests = (1..=100).map(|n| line(n % 60, "REST.GET.OBJECT", if n % 4 == 0 { 503 } else { 200 }, "-", n, &format!("R{n:03}")));
        let there = object(&stores, &raw, "b.log", requests.collect::<String>()).await;
        commit(&stores, &raw, LOT, 2, vec![there]).await;
        let mut first = arc_at("memory:///data", "convert", convert());
        first.sinks.iter_mut().for_each(|sink| sink.dataset = dataset_at("memory:///data", &format!("parquet-{}", sink.role)));
        run(&context(&stores, folder.path()), &first, &plan(&first, 2, false)).await.unwrap();
        run(&context(&stores, folder.path()), &arc, &plan(&arc, 2, false)).await.unwrap();
        let rows = rows(&stores, &arc, folder.path()).await;
        let narrow: Vec<String> = rows.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect();
        expect![[r#"
            |lot|http_status|requests|errors|error_rate|bytes|total_time_p50|total_time_p95|total_time_p99|example_request_id|dt|
            |20230717PT5M250|200|75|0|0.0|7500|50.0|94.625|98.75|R059|2023-07-17|
            |20230717PT5M250|503|25|25|0.25|2500|52.0|97.0|100.0|R056|2023-07-17|"#]]
        .assert_eq(&narrow.into_iter().filter(|line| !line.starts_with('+')).collect::<Vec<_>>().join("\n"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_a_result_says_what_to_change() {
        let mut said = Vec::new();
        for sql in [
            "SELECT count(*) FROM main",
            "SELECT dt, bucket FROM main",
            "SELECT a.bucket, b.bucket FROM main a JOIN main b ON a.lot = b.lot",
            "SELECT nothing FROM main",
            "SELECT now() AS at FROM main",
            "SELECT 1 / 0 AS x FROM main",
            "COPY main TO '/tmp/x'",
            "DROP TABLE main",
            "SELECT 1 AS one; SELECT 2 AS two",
        ] {
            let failed = failure(json!({"sql": sql})).await;
            said.push(failed.lines().next().unwrap_or_default().to_owned());
        }
        expect![[r#"
            column `count(*)` of the result has to be named with AS, in lower-case letters, digits and `_`
            column `dt` of the result is the name of a partition column, which folders hold; leave it out or rename it with AS
            column `bucket` of the result is there twice; rename one with AS
            the query fails: Schema error: No field named nothing.
            now() gives other rows when the lot is run again; use the times in the data, or `lot`
            the query fails: a division by zero; divide by NULLIF(…, 0)
            only SELECT is allowed: a query reads and writes nothing else
            only SELECT is allowed: a query reads and writes nothing else
            there are 2 statements; write one SELECT"#]]
        .assert_eq(&said.join("\n"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_row_holds_is_in_no_error() {
        let mut said = Vec::new();
        for column in [
            "CAST(operation AS BIGINT)",
            "CAST(operation AS TIMESTAMP)",
            "to_timestamp(operation)",
            "date_trunc(operation, time)",
            "regexp_like(bucket, operation || '[')",
            "regexp_like(bucket, 'a', operation)",
            "encode(operation, operation)",
            "make_date(CAST(total_time AS INT), 99, CAST(operation AS INT))",
        ] {
            let sql = format!("SELECT {column} AS shown FROM main");
            let failed = failure(json!({"sql": sql})).await;
            assert!(!failed.contains("REST."), "{failed}");
            said.push(format!("{column}: {failed}"));
        }
        expect![[r#"
            CAST(operation AS BIGINT): the query fails: a value cannot be cast as the query says; TRY_CAST makes NULL of such values, and arc query shows them
            CAST(operation AS TIMESTAMP): the query fails: a value cannot be cast as the query says; TRY_CAST makes NULL of such values, and arc query shows them
            to_timestamp(operation): the query fails: a value cannot be cast as the query says; TRY_CAST makes NULL of such values, and arc query shows them
            date_trunc(operation, time): the query fails: a function does not take a value; arc query over the same datasets shows which
            regexp_like(bucket, operation || '['): the query fails: a function does not take a value; arc query over the same datasets shows which
            regexp_like(bucket, 'a', operation): the query fails: a function does not take a value; arc query over the same datasets shows which
            encode(operation, operation): the query fails: a function does not take a value; arc query over the same datasets shows which
            make_date(CAST(total_time AS INT), 99, CAST(operation AS INT)): the query fails: a value cannot be cast as the query says; TRY_CAST makes NULL of such values, and arc query shows them"#]]
        .assert_eq(&said.join("\n"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn types_are_plain_and_the_lot_is_added() {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let sql = "SELECT date_trunc('hour', time) AS hour_start, to_timestamp('2023-07-17T20:50:00Z') AS nanos, arrow_cast(bucket, \
                   'Dictionary(Int32, Utf8)') AS bucket, row_number() OVER (ORDER BY time) AS number, NULL AS nothing, \
                   [1, 2] AS list FROM parquet_main ORDER BY time LIMIT 1";
        let arc = converted(&stores, "memory:///data", folder.path(), json!({"sql": sql, "partitions": ["lot"]})).await;
        run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap();
        let written = contents(&stores, "memory:///data/main").await;
        assert_eq!(names(&written), ["data/main/lot=20230717PT5M250/20230717PT5M250-00000.parquet"]);
        let place = stores.objects.locate("memory:///data/main/lot=20230717PT5M250/20230717PT5M250-00000.parquet").unwrap();
        let bytes = place.store.get(&place.path).await.unwrap().bytes().await.unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let kinds: Vec<String> = reader.schema().fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect();
        expect![[r#"
            hour_start: Timestamp(µs, "UTC")
            nanos: Timestamp(µs, "UTC")
            bucket: Utf8
            number: Int64
            nothing: Utf8
            list: List(Int64)"#]]
        .assert_eq(&kinds.join("\n"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_rows_is_an_empty_lot_and_no_file() {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let arc = converted(&stores, "memory:///data", folder.path(), json!({"sql": "SELECT bucket FROM main WHERE false"})).await;
        let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap();
        assert_eq!((report.state, report.counts.objects), (State::Empty, 1));
        assert!(contents(&stores, "memory:///data/main").await.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_source_without_data_has_the_columns_of_its_past_or_of_the_arc() {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let sql =
            "SELECT count(*) AS requests, count(other.bucket) AS others FROM main LEFT JOIN other ON main.request_id = other.request_id";
        let mut arc = converted(&stores, "memory:///data", folder.path(), json!({"sql": sql})).await;
        let other = dataset_at("memory:///data", "other");
        arc.sources.push(manifests::ArcSource { role: "other".into(), dataset: other.clone(), ..arc.sources[0].clone() });
        commit(&stores, &other, LOT, 1, vec![]).await;
        let context = context(&stores, folder.path());
        let error = run(&context, &arc, &plan(&arc, 1, false)).await.unwrap_err().to_string();
        assert!(error.contains("source `other` has no data in any lot yet"), "{error}");
        arc.workload = json!({"sql": sql, "schemas": {"other": "s3-access"}});
        assert_eq!(run(&context, &arc, &plan(&arc, 1, false)).await.unwrap().counts.rows, 1);
        arc.workload = json!({"sql": sql, "schemas": {"other": {"request_id": "string", "bucket": "string"}}});
        assert_eq!(run(&context, &arc, &plan(&arc, 1, true)).await.unwrap().counts.rows, 1);
        arc.workload = json!({"sql": sql});
        let past = stores.latest(&arc.sources[0].dataset, lot()).await.unwrap().unwrap();
        commit(&stores, &other, "20230717PT5M249", 1, past.objects).await;
        assert_eq!(run(&context, &arc, &plan(&arc, 1, true)).await.unwrap().generation, 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_that_are_gone_or_replaced_make_the_result_partial() {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let arc = converted(&stores, "memory:///data", folder.path(), json!({"sql": "SELECT count(*) AS rows FROM main"})).await;
        let source = &arc.sources[0].dataset;
        let mut objects = stores.latest(source, lot()).await.unwrap().unwrap().objects;
        let replaced = object(&stores, source, "b.parquet", "PAR1").await;
        objects.push(manifests::ManifestObject { size: 9, ..replaced });
        objects.push(manifests::ManifestObject { uri: format!("{}c.parquet", source.path_uri), size: 9, ..Default::default() });
        commit(&stores, source, LOT, 2, objects).await;
        let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, 2, false)).await.unwrap();
        assert_eq!((report.state, report.counts.objects, report.counts.rows), (State::Partial, 1, 1));
        assert!(report.comment.unwrap().contains("c.parquet: the object is not there"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sort_larger_than_memory_spills_and_gives_the_same_bytes() {
        let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
        let sql = "SELECT request_id, n, repeat(CAST(n AS VARCHAR), 8) AS text FROM main CROSS JOIN generate_series(1, 200000) AS s(n) ORDER BY text, request_id";
        let arc = converted(&stores, "memory:///data", folder.path(), json!({"sql": sql})).await;
        let mut context = context(&stores, folder.path());
        context.options.query_memory_bytes = 24 << 20;
        let report = run(&context, &arc, &plan(&arc, 1, false)).await.unwrap();
        assert_eq!(report.counts.rows, 600_000);
        let first = contents(&stores, "memory:///data/main").await;
        run(&context, &arc, &plan(&arc, 1, true)).await.unwrap();
        assert_eq!(contents(&stores, "memory:///data/main").await, first);
    }
}

mod copy {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn bytes_and_paths_are_kept_and_nothing_leaves_the_sink() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, root) = disk(folder.path());
        for (stores, root) in [(Stores::memory().unwrap(), "memory:///data".to_owned()), (disk, root)] {
            let arc = arc_at(&root, "copy", json!({"filter": {"includes": ["**/*.gz"], "excludes": ["old/**"]}}));
            let raw = &arc.sources[0].dataset;
            let mut objects = Vec::new();
            for name in ["a.gz", "d/b 1%20é.gz", "old/c.gz", "d.txt"] {
                objects.push(object(&stores, raw, name, name).await);
            }
            let named = |name: &str| manifests::ManifestObject { uri: format!("{}{name}", raw.path_uri), ..Default::default() };
            objects.extend([
                named("gone.gz"),
                named("../../escape.gz"),
                manifests::ManifestObject { uri: "file:///etc/x.gz".into(), ..Default::default() },
            ]);
            objects.push(objects[0].clone());
            commit(&stores, raw, LOT, 1, objects).await;
            let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await.unwrap();
            assert_eq!((report.state, report.counts.objects, report.counts.bytes_out), (State::Partial, 2, 17));
            let copied = contents(&stores, &format!("{root}/main")).await;
            assert!(
                matches!(&names(&copied)[..], [a, b] if a.ends_with("data/main/a.gz") || a.ends_with("/main/a.gz") && b.ends_with("main/d/b 1%20é.gz")),
                "{copied:?}"
            );
            let comment = report.comment.unwrap();
            assert!(comment.contains("and 1 more") || comment.matches("; ").count() == 3, "{comment}");
            let strict = ArcSpec { workload: json!({"failArcOnPartialPercent": 10}), ..arc };
            let error = run(&context(&stores, folder.path()), &strict, &plan(&strict, 1, true)).await.unwrap_err();
            assert!(error.to_string().contains("objects could not be copied, more than 10 %"), "{error}");
        }
    }
}

mod exec {
    use super::*;

    /// A script that runs with a lake on disk.
    async fn execute(script: &str, more: serde_json::Value) -> (Result<RunReport, ArcsError>, Stores, ArcSpec, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (stores, root) = disk(folder.path());
        let mut workload = json!({"command": ["/bin/sh", "-c", script, "$.arcNotifyEvent.lot", "$.arcNotifyEvent.dataset.name", "$.arcNotifyEvent.manifest"]});
        workload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut arc = ready(&stores, &root, "exec", workload).await;
        arc.sinks.retain(|sink| sink.role == "main");
        let report = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, false)).await;
        (report, stores, arc, folder)
    }

    /// Writes a file and the manifest that lists it, by what a Clusterless workload is told.
    const WORKLOAD: &str = r#"
        set -e
        sink=${ARC_SINK_MAIN#file://}; mkdir -p "$sink"; printf '%s' "$GREETING" > "$sink/out.txt"
        template=$(printf '%s' "$CLS_ARC_PROPS_JSON" | sed 's/.*"sinkManifestTemplates":{"main":"file:\/\/\([^"]*\)".*/\1/')
        path=$(printf '%s' "$template" | sed "s/{lot}/$0/; s/{state}/$STATE/; s/{.attempt\*}//")
        mkdir -p "$(dirname "$path")"
        printf '{"state":"%s","comment":null,"lotId":"%s","uriType":"identifier","uris":["%sout.txt"]}' "$STATE" "$ARC_LOT" "$ARC_SINK_MAIN" > "$path"
        test "$0" = "$ARC_LOT" && test "$1" = raw && test "$2" = "$ARC_MANIFEST" && test "$CLS_LOCAL" = true && test "$AWS_BATCH_JOB_ATTEMPT" = "$ARC_ATTEMPT"
    "#;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_manifest_that_the_command_writes_becomes_the_commit() {
        let (report, stores, arc, folder) =
            execute(WORKLOAD, json!({"environment": {"GREETING": "$(id) ; hello", "STATE": "complete"}})).await;
        let report = report.unwrap();
        assert_eq!((report.state, report.counts.objects, report.counts.bytes_out), (State::Complete, 1, 13));
        let main = &arc.sinks[0].dataset;
        let commit = stores.latest(main, lot()).await.unwrap().unwrap();
        assert_eq!((commit.generation, commit.uris), (1, vec![format!("{}out.txt", main.path_uri)]));
        assert_eq!(std::fs::read_to_string(folder.path().join("main/out.txt")).unwrap(), "$(id) ; hello", "no shell reads it");
        let again = run(&context(&stores, folder.path()), &arc, &plan(&arc, 1, true)).await.unwrap();
        assert_eq!((again.generation, again.state), (2, State::Complete), "a replay writes the same manifest again");
        let silent = ArcSpec { workload: json!({"command": ["true"]}), ..arc };
        let empty = run(&context(&stores, folder.path()), &silent, &plan(&silent, 1, true)).await.unwrap();
        assert_eq!((empty.generation, empty.state), (3, State::Empty), "what an earlier generation wrote is not taken for new");
        assert!(folder.path().join("main/out.txt").exists(), "a name without its lot may be another lot's, and stays");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn partial_failing_and_silent_commands() {
        let (report, ..) = execute(WORKLOAD, json!({"environment": {"GREETING": "x", "STATE": "partial"}})).await;
        assert_eq!(report.unwrap().state, State::Partial);
        let (report, ..) = execute(&format!("{WORKLOAD}\nexit 4"), json!({"environment": {"GREETING": "x", "STATE": "complete"}})).await;
        let report = report.unwrap();
        assert!(report.state == State::Partial && report.comment.unwrap().contains("exit status: 4"));
        let (report, ..) = execute("true", json!({})).await;
        assert_eq!(report.unwrap().state, State::Empty);
        let (report, stores, arc, _folder) = execute("echo why >&2; exit 4", json!({})).await;
        let error = report.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("exit status: 4; what it printed"), "{error}");
        assert_eq!(state_of(&stores, &arc).await, (1, ArcState::Missing));
        let (report, ..) = execute("sleep 30", json!({"timeoutMin": 0.005})).await;
        assert!(report.unwrap_err().to_string().contains("was killed"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_manifest_that_lies_is_found_out() {
        let missing = WORKLOAD.replace("> \"$sink/out.txt\"", "> /dev/null");
        let (report, ..) = execute(&missing, json!({"environment": {"GREETING": "x", "STATE": "complete"}})).await;
        assert!(report.unwrap().comment.unwrap().contains("lists an object that is not there"));
        let other = WORKLOAD.replace("\"$ARC_LOT\" \"$ARC_SINK_MAIN\"", "20230717PT5M001 \"$ARC_SINK_MAIN\"");
        let (report, ..) = execute(&other, json!({"environment": {"GREETING": "x", "STATE": "complete"}})).await;
        assert!(report.unwrap_err().to_string().contains("is of lot 20230717PT5M001"));
    }
}
