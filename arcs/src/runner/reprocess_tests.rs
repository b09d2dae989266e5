//! Rejects read again: what is a row now moves, everything else stays where it is, nothing doubles.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use manifests::{ArcSpec, ArcState, Lot, Manifest, ManifestsError, State, Stores};
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use super::fixture::{LOT, arc_at, commit, contents, context, disk, object, plan};
use super::{RunContext, reprocess, run};
use crate::committed::{CommittedFiles, LotFiles};
use crate::error::ArcsError;

const LINES: &str = "2023-07-17 20:50:01,a\n17/07/2023 20:50:02,b\nrubbish\n18/07/2023 00:00:01,c\n2023-07-17 20:50:03,d\n";
const BEFORE: &str = "%Y-%m-%d %H:%M:%S";
const AFTER: &str = "%d/%m/%Y %H:%M:%S";

fn format(time_format: &str) -> Value {
    let columns = json!([{"name": "time", "type": "timestamp"}, {"name": "letter"}]);
    json!({"format": {"name": "delimited", "columns": columns, "timeColumn": "time", "timeFormat": time_format}, "rejectLimitPercent": 100})
}

fn lot() -> Lot {
    LOT.parse().unwrap()
}

/// A converted lot, its sources gone, and the arc as it is after a fix.
async fn converted(stores: &Stores, root: &str, context: &RunContext, has_sink: bool) -> ArcSpec {
    let mut arc = arc_at(root, "convert", format(BEFORE));
    arc.sinks.retain(|sink| has_sink || sink.role == "main");
    let raw = arc.sources[0].dataset.clone();
    let there = object(stores, &raw, "a.log", LINES).await;
    let place = stores.objects.locate(&there.uri).unwrap();
    commit(stores, &raw, LOT, 1, vec![there]).await;
    let report = run(context, &arc, &plan(&arc, 1, false)).await.unwrap();
    assert_eq!((report.counts.rows, report.counts.rejected), (2, 3));
    place.store.delete(&place.path).await.unwrap();
    arc.workload = format(AFTER);
    arc
}

async fn latest(stores: &Stores, arc: &ArcSpec, role: &str) -> Manifest {
    let sink = arc.sinks.iter().find(|sink| sink.role == role).unwrap();
    stores.latest(&sink.dataset, lot()).await.unwrap().unwrap()
}

/// Names of the files below a folder.
async fn names(stores: &Stores, root: &str) -> Vec<String> {
    contents(stores, root).await.into_iter().map(|file| file.0).collect()
}

/// One query over the committed rows of the main sink.
async fn query(stores: &Stores, arc: &ArcSpec, sql: &str) -> String {
    let main = latest(stores, arc, "main").await;
    let session = SessionContext::new();
    let files = CommittedFiles::open(&session.state(), stores, &main.dataset, &[LotFiles::of(&main)]).await.unwrap().unwrap();
    session.register_table("main", Arc::new(files)).unwrap();
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_close_and_nothing_doubles() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let context = context(&stores, folder.path());
    let arc = converted(&stores, "memory:///data", &context, true).await;
    let before = contents(&stores, "memory:///data/main").await;
    let dry = reprocess(&context, &arc, lot(), true).await.unwrap();
    assert_eq!((dry.rejected, dry.rows, dry.report), (3, 2, None));
    assert_eq!(latest(&stores, &arc, "main").await.generation, 1);

    let done = reprocess(&context, &arc, lot(), false).await.unwrap();
    assert_eq!((done.rejected, done.rows, done.report.map(|report| report.generation)), (3, 2, Some(2)));
    let (main, rejects) = (latest(&stores, &arc, "main").await, latest(&stores, &arc, "rejects").await);
    let counts = main.receipt.as_ref().unwrap().counts;
    assert_eq!((counts.lines, counts.rows, counts.rejected, counts.is_balanced()), (5, 4, 1, true));
    assert_eq!(rejects.receipt.as_ref().unwrap().counts, counts);
    assert_eq!((rejects.generation, rejects.objects == main.rejects), (2, true));
    let after = contents(&stores, "memory:///data/main").await;
    assert!(before.iter().all(|file| after.contains(file)), "files of the earlier generation stay as they are");
    assert_eq!(
        names(&stores, "memory:///data/main").await,
        [
            "data/main/dt=2023-07-17/20230717PT5M250-00000.parquet",
            "data/main/dt=2023-07-17/20230717PT5M250-00001.parquet",
            "data/main/dt=2023-07-18/20230717PT5M250-00000.parquet",
        ]
    );
    assert_eq!(names(&stores, "memory:///data/rejects").await, ["data/rejects/dt=2023-07-17/20230717PT5M250-00001.parquet"]);
    let rows = query(&stores, &arc, "SELECT letter, source_line, lot, source_uri FROM main ORDER BY source_line").await;
    expect_test::expect![[r#"
        +--------+-------------+-----------------+--------------------------+
        | letter | source_line | lot             | source_uri               |
        +--------+-------------+-----------------+--------------------------+
        | a      | 1           | 20230717PT5M250 | memory:///data/raw/a.log |
        | b      | 2           | 20230717PT5M250 | memory:///data/raw/a.log |
        | c      | 4           | 20230717PT5M250 | memory:///data/raw/a.log |
        | d      | 5           | 20230717PT5M250 | memory:///data/raw/a.log |
        +--------+-------------+-----------------+--------------------------+"#]]
    .assert_eq(&rows);

    let state = stores.last_attempt(&arc.id, lot()).await.unwrap().unwrap();
    assert_eq!((state.number, state.state), (2, ArcState::Complete));
    let again = reprocess(&context, &arc, lot(), false).await.unwrap();
    assert_eq!((again.rejected, again.rows, again.report), (1, 0, None));
    assert_eq!(contents(&stores, "memory:///data").await.len(), 4, "nothing more is written");
    assert_eq!(stores.last_attempt(&arc.id, lot()).await.unwrap().unwrap().number, 2, "not even an attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_without_a_sink_are_in_the_commit_too() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, root) = disk(folder.path());
    let context = context(&stores, folder.path());
    let arc = converted(&stores, &root, &context, false).await;
    assert_eq!(latest(&stores, &arc, "main").await.rejects.len(), 1);
    reprocess(&context, &arc, lot(), false).await.unwrap();
    let main = latest(&stores, &arc, "main").await;
    assert!(main.rejects[0].uri.ends_with("/main/_rejects/dt=2023-07-17/20230717PT5M250-00001.parquet"), "{:?}", main.rejects);
    assert_eq!(names(&stores, &format!("{root}/main/_rejects")).await.len(), 1, "those of the earlier generation are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rejected_becomes_complete_and_a_replay_starts_over() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let context = context(&stores, folder.path());
    let mut arc = arc_at("memory:///data", "convert", format(AFTER));
    let raw = arc.sources[0].dataset.clone();
    let there = object(&stores, &raw, "a.log", "2023-07-17 20:50:01,a\n2023-07-17 20:50:02,b\n").await;
    commit(&stores, &raw, LOT, 1, vec![there]).await;
    run(&context, &arc, &plan(&arc, 1, false)).await.unwrap();
    assert_eq!(latest(&stores, &arc, "main").await.state, State::Empty);
    arc.workload = format(BEFORE);
    reprocess(&context, &arc, lot(), false).await.unwrap();
    let (main, rejects) = (latest(&stores, &arc, "main").await, latest(&stores, &arc, "rejects").await);
    assert_eq!((main.state, main.objects.len(), rejects.state), (State::Complete, 1, State::Empty));
    assert!(contents(&stores, "memory:///data/rejects").await.is_empty());
    arc.workload = format(AFTER);
    run(&context, &arc, &plan(&arc, 1, true)).await.unwrap();
    let (main, rejects) = (latest(&stores, &arc, "main").await, latest(&stores, &arc, "rejects").await);
    assert_eq!((main.generation, main.state, rejects.state), (3, State::Empty, State::Complete));
    assert!(contents(&stores, "memory:///data/main").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reprocessing_that_died_between_its_commits_is_finished_by_anyone() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let context = context(&stores, folder.path());
    let arc = converted(&stores, "memory:///data", &context, true).await;
    reprocess(&context, &arc, lot(), false).await.unwrap();
    // As if it had died after the main sink's commit: the rejects still have their first one, and the attempt runs on.
    let second = manifests::paths::commit(&arc.sinks[0].dataset.id(), lot(), 2);
    stores.manifest.delete(&second).await.unwrap();
    stores.arc_state.delete(&manifests::paths::attempt(&arc.id, lot(), 2, ArcState::Complete)).await.unwrap();
    let gone = RunContext { is_dead: Arc::new(|_| true), ..context.clone() };
    assert!(matches!(
        reprocess(&context, &arc, lot(), false).await.unwrap_err(),
        ArcsError::Manifests(ManifestsError::Leased { attempt: 2, .. })
    ));
    run(&gone, &arc, &plan(&arc, 1, false)).await.unwrap();
    let (main, rejects) = (latest(&stores, &arc, "main").await, latest(&stores, &arc, "rejects").await);
    assert_eq!((main.generation, rejects.generation, rejects.objects == main.rejects), (2, 2, true));
    assert_eq!(reprocess(&context, &arc, lot(), false).await.unwrap().rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lots_that_cannot_be_read_again_say_why() {
    let (stores, folder) = (Stores::memory().unwrap(), tempfile::tempdir().unwrap());
    let context = context(&stores, folder.path());
    let arc = converted(&stores, "memory:///data", &context, true).await;
    let error = |arc: ArcSpec, lot: &str| {
        let (context, lot) = (context.clone(), lot.parse().unwrap());
        async move { reprocess(&context, &arc, lot, false).await.unwrap_err().to_string() }
    };
    let mut copy = arc.clone();
    copy.kind = "copy".into();
    assert_eq!(error(copy, LOT).await, "arc convert is of type copy: only convert arcs have rejects");
    assert_eq!(error(arc.clone(), "20230717PT5M251").await, "lot 20230717PT5M251 of arc convert has not been converted yet");
    let main = latest(&stores, &arc, "main").await;
    stores.commit(&Manifest { generation: 2, rejects: vec![], ..main }).await.unwrap();
    let unlisted = error(arc, LOT).await;
    assert!(unlisted.contains("does not say where its 3 rejects lie; `arc replay`"), "{unlisted}");
}
