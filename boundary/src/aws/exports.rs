//! Exports of log groups, by interval: what was asked for and what came of it are documents in the arc-state store; the clock
//! flows in, at most one task of CloudWatch Logs flows out. An account has one task at a time, so a call settles what is over,
//! starts the oldest interval that is missing, and leaves the rest to the next one. No interval is left out because the
//! account was busy, or because nobody called.
//!
//! Source: Amazon CloudWatch Logs user guide, "Exporting log data to Amazon S3"; CreateExportTask in its API reference.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Lot, LotUnit, Stores, paths};
use object_store::path::Path;
use serde_json::{Value, json};

use super::LogExport;
use crate::error::BoundaryError;

/// Hours that an interval waits after its end: so long may it take until what was logged can be exported.
pub(super) const DELAY_HOURS: i64 = 12;
/// Days back from there in which missing intervals are looked for. What is older is left.
const CATCH_UP_DAYS: i64 = 7;
/// Tasks of an interval before it is given up.
const TASKS_MAX: u32 = 3;

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// It waits or works.
    Active,
    /// All is in the bucket.
    Complete,
    /// It ended otherwise, or nobody knows of it any more; with the reason.
    Failed(String),
}

/// Who exports.
#[async_trait]
pub(super) trait ExportTasks: Send + Sync {
    /// Starts a task and gives its id; `None` where another is active.
    async fn start(&self, name: &str, export: &LogExport, lot: Lot) -> Result<Option<String>, BoundaryError>;
    /// The id of a task of this name that is active or complete.
    async fn find(&self, name: &str) -> Result<Option<String>, BoundaryError>;
    /// How a task stands.
    async fn state(&self, id: &str) -> Result<TaskState, BoundaryError>;
}

/// The exports of a project.
pub(super) struct Exporter<'a> {
    pub tasks: &'a dyn ExportTasks,
    pub stores: &'a Stores,
    pub project: &'a str,
    pub version: &'a str,
}

/// What an export needs next.
#[derive(Debug)]
enum Next {
    Nothing,
    /// A task of it is active.
    Busy,
    /// This task of this lot, from 1.
    Task(Lot, u32),
}

/// What the documents of a lot say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    tasks: u32,
    is_over: bool,
    is_given_up: bool,
}

impl Exporter<'_> {
    /// Goes on with exports as far as the account lets it: the lot that was started, if any. Fails with the first error, after
    /// all exports were looked at.
    pub async fn go_on(&self, exports: &[&LogExport], now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let (mut waiting, mut failed, mut is_busy) = (Vec::new(), None, false);
        for export in exports {
            match self.next(export, now).await {
                Ok(Next::Nothing) => {}
                Ok(Next::Busy) => is_busy = true,
                Ok(Next::Task(lot, number)) => waiting.push((lot.end(), *export, lot, number)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        waiting.sort_by_key(|(end, ..)| *end);
        let mut started = None;
        for (_, export, lot, number) in waiting.iter().filter(|_| !is_busy) {
            match self.start(export, *lot, *number).await {
                Ok(is_started) => {
                    started = is_started.then(|| json!({"activity": export.name, "lot": lot.to_string()}));
                    break;
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(json!({"started": started, "waiting": waiting.len() - usize::from(started.is_some())})),
        }
    }

    /// Fails where a lot of an export was given up and nobody has looked after it.
    pub async fn check(&self, export: &LogExport, now: DateTime<Utc>) -> Result<(), BoundaryError> {
        let progress = self.progress(export, window(export.interval, now).0).await?;
        let Some((lot, _)) = progress.iter().find(|(_, progress)| progress.is_given_up) else { return Ok(()) };
        let folder = self.stores.arc_state.uri(&self.document(export, *lot, ""));
        let reason = format!("{TASKS_MAX} tasks failed, as failed.json says; to have it exported again, delete what is below {folder}");
        Err(BoundaryError::Service { action: "export", name: format!("{} {lot}", export.name), reason, transient: false })
    }

    /// Settles the tasks that are over, and says what is missing.
    async fn next(&self, export: &LogExport, now: DateTime<Utc>) -> Result<Next, BoundaryError> {
        let (oldest, last) = window(export.interval, now);
        let first = self.first(export, last).await?;
        let progress = self.progress(export, oldest).await?;
        for lot in Lot::range(first.max(oldest), last) {
            let Progress { tasks, is_over, .. } = progress.get(&lot).copied().unwrap_or_default();
            match tasks {
                _ if is_over => {}
                0 => return Ok(Next::Task(lot, 1)),
                number => match self.settle(export, lot, number).await? {
                    TaskState::Active => return Ok(Next::Busy),
                    TaskState::Failed(_) if number < TASKS_MAX => return Ok(Next::Task(lot, number + 1)),
                    TaskState::Complete | TaskState::Failed(_) => {}
                },
            }
        }
        Ok(Next::Nothing)
    }

    /// How the last task of a lot stands; written down where it was the last one that the lot gets.
    async fn settle(&self, export: &LogExport, lot: Lot, number: u32) -> Result<TaskState, BoundaryError> {
        let body = self.stores.arc_state.get(&self.document(export, lot, &task(number))).await?;
        let document: Value = body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        let id = document["taskId"].as_str().unwrap_or_default();
        let state = self.tasks.state(id).await?;
        let over = match &state {
            TaskState::Complete => Some(("exported.json", json!({"taskId": id}))),
            TaskState::Failed(reason) if number >= TASKS_MAX => {
                tracing::error!(lot = %lot, "export {} is given up: {reason}", export.name);
                Some(("failed.json", json!({"taskId": id, "reason": reason})))
            }
            TaskState::Active | TaskState::Failed(_) => None,
        };
        if let Some((name, body)) = over {
            self.stores.arc_state.create(&self.document(export, lot, name), body.to_string()).await?;
        }
        Ok(state)
    }

    /// Starts a task and writes it down; false where the account is busy. One that was started by somebody who died before
    /// writing it down is found by its name.
    async fn start(&self, export: &LogExport, lot: Lot, number: u32) -> Result<bool, BoundaryError> {
        let name = format!("{}-{}-{}-{lot}-{number}", self.project, self.version, export.name);
        let id = match self.tasks.find(&name).await? {
            Some(id) => Some(id),
            None => self.tasks.start(&name, export, lot).await?,
        };
        let Some(id) = id else { return Ok(false) };
        self.stores.arc_state.create(&self.document(export, lot, &task(number)), json!({"taskId": id}).to_string()).await?;
        Ok(true)
    }

    /// The lot that an export begins with: the first that could be exported when it was called first.
    async fn first(&self, export: &LogExport, last: Lot) -> Result<Lot, BoundaryError> {
        let path = format!("{}/first-lot.json", self.folder(export));
        let store = &self.stores.arc_state;
        let mut body = store.get(&path).await?;
        if body.is_none() {
            store.create(&path, json!({"lot": last.to_string()}).to_string()).await?;
            body = store.get(&path).await?;
        }
        let document: Value = body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        let lot = document["lot"].as_str().and_then(|text| text.parse::<Lot>().ok());
        // The interval may have been another one then.
        Ok(lot.map_or(last, |lot| Lot::containing(export.interval, lot.start())))
    }

    async fn progress(&self, export: &LogExport, oldest: Lot) -> Result<BTreeMap<Lot, Progress>, BoundaryError> {
        let folder = self.folder(export);
        let listed = self.stores.arc_state.list_after(&folder, &format!("{folder}/lot={oldest}")).await?;
        Ok(read(&listed, export.interval))
    }

    fn folder(&self, export: &LogExport) -> String {
        paths::export_dir(self.project, self.version, &export.name)
    }

    fn document(&self, export: &LogExport, lot: Lot, name: &str) -> String {
        format!("{}/lot={lot}/{name}", self.folder(export))
    }
}

/// The oldest lot that is still looked for, and the last one that can be exported.
fn window(unit: LotUnit, now: DateTime<Utc>) -> (Lot, Lot) {
    let settled = now - TimeDelta::hours(DELAY_HOURS);
    (Lot::containing(unit, settled - TimeDelta::days(CATCH_UP_DAYS)), Lot::containing(unit, settled).previous())
}

fn task(number: u32) -> String {
    format!("task-{number:06}.json")
}

fn read(listed: &[Path], unit: LotUnit) -> BTreeMap<Lot, Progress> {
    let mut all: BTreeMap<Lot, Progress> = BTreeMap::new();
    for path in listed {
        let mut parts = path.as_ref().rsplit('/');
        let (Some(name), Some(folder)) = (parts.next(), parts.next()) else { continue };
        let Some(lot) = folder.strip_prefix("lot=").and_then(|text| text.parse::<Lot>().ok()) else { continue };
        let progress = all.entry(lot).or_default();
        match name {
            "exported.json" => progress.is_over = true,
            "failed.json" => (progress.is_over, progress.is_given_up) = (true, true),
            name => progress.tasks += u32::from(name.starts_with("task-")),
        }
    }
    all.retain(|lot, _| lot.unit() == unit);
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An account: tasks in the order in which they were started, their names and states.
    #[derive(Default)]
    struct Account(Mutex<Vec<(String, TaskState)>>);

    #[async_trait]
    impl ExportTasks for Account {
        async fn start(&self, name: &str, export: &LogExport, _: Lot) -> Result<Option<String>, BoundaryError> {
            let mut tasks = self.0.lock().unwrap();
            if tasks.iter().any(|task| task.1 == TaskState::Active) {
                return Ok(None);
            }
            if export.log_group == "gone" {
                let name = export.name.clone();
                return Err(BoundaryError::Service { action: "export log group", name, reason: "gone".into(), transient: true });
            }
            tasks.push((name.to_owned(), TaskState::Active));
            Ok(Some((tasks.len() - 1).to_string()))
        }

        async fn find(&self, name: &str) -> Result<Option<String>, BoundaryError> {
            let tasks = self.0.lock().unwrap();
            Ok(tasks.iter().position(|task| task.0 == name && !matches!(task.1, TaskState::Failed(_))).map(|at| at.to_string()))
        }

        async fn state(&self, id: &str) -> Result<TaskState, BoundaryError> {
            Ok(self.0.lock().unwrap()[id.parse::<usize>().unwrap()].1.clone())
        }
    }

    impl Account {
        fn end(&self, state: TaskState) {
            self.0.lock().unwrap().iter_mut().filter(|task| task.1 == TaskState::Active).for_each(|task| task.1 = state.clone());
        }

        fn names(&self) -> Vec<String> {
            self.0.lock().unwrap().iter().map(|task| task.0.clone()).collect()
        }
    }

    fn export(name: &str, log_group: &str) -> LogExport {
        let (name, log_group, path_uri) = (name.into(), log_group.into(), "s3://bucket/logs/".into());
        LogExport { name, interval: LotUnit::Hours, log_group, log_stream_prefix: None, path_uri }
    }

    fn at(hour: i64) -> DateTime<Utc> {
        "2026-11-20T00:30:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hour)
    }

    fn exporter<'a>(account: &'a Account, stores: &'a Stores) -> Exporter<'a> {
        Exporter { tasks: account, stores, project: "p", version: "1" }
    }

    #[tokio::test]
    async fn two_exports_share_an_account_and_none_is_left_out() {
        let (account, stores, one, two) = (Account::default(), Stores::memory().unwrap(), export("one", "g"), export("two", "g"));
        let exporter = exporter(&account, &stores);
        for hour in 0..3 {
            exporter.go_on(&[&one, &two], at(hour)).await.unwrap();
            assert_eq!(account.names(), ["p-1-one-20261119PT1H011-1"], "while a task is active no other is started");
        }
        for _ in 0..10 {
            account.end(TaskState::Complete);
            exporter.go_on(&[&one, &two], at(2)).await.unwrap();
        }
        let lots = ["011", "012", "013"].map(|hour| [format!("p-1-one-20261119PT1H{hour}-1"), format!("p-1-two-20261119PT1H{hour}-1")]);
        assert_eq!(account.names(), lots.concat(), "oldest first, twelve hours behind, each once");
        let done = exporter.go_on(&[&one, &two], at(2)).await.unwrap();
        assert_eq!(done, json!({"started": null, "waiting": 0}));
    }

    #[tokio::test]
    async fn an_outage_is_made_up_for_as_far_back_as_it_is_looked_for() {
        let (account, stores, export) = (Account::default(), Stores::memory().unwrap(), export("one", "g"));
        let exporter = exporter(&account, &stores);
        exporter.go_on(&[&export], at(0)).await.unwrap();
        account.end(TaskState::Complete);
        exporter.go_on(&[&export], at(24 * 30)).await.unwrap();
        assert_eq!(account.names()[1], "p-1-one-20261212PT1H012-1");
        account.end(TaskState::Complete);
        exporter.go_on(&[&export], at(24 * 30)).await.unwrap();
        assert_eq!(account.names()[2], "p-1-one-20261212PT1H013-1");
    }

    #[tokio::test]
    async fn a_task_that_was_not_written_down_is_found_by_its_name() {
        let (account, stores, export) = (Account::default(), Stores::memory().unwrap(), export("one", "g"));
        account.0.lock().unwrap().push(("p-1-one-20261119PT1H011-1".into(), TaskState::Complete));
        let exporter = exporter(&account, &stores);
        for _ in 0..3 {
            exporter.go_on(&[&export], at(0)).await.unwrap();
        }
        assert_eq!(account.names().len(), 1);
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_then_given_up_and_told_and_holds_nobody_up() {
        let (account, stores, export) = (Account::default(), Stores::memory().unwrap(), export("one", "g"));
        let exporter = exporter(&account, &stores);
        for _ in 0..=TASKS_MAX {
            exporter.check(&export, at(1)).await.unwrap();
            exporter.go_on(&[&export], at(0)).await.unwrap();
            account.end(TaskState::Failed("no bucket".into()));
        }
        assert_eq!(account.names().len(), 3);
        exporter.go_on(&[&export], at(1)).await.unwrap();
        assert_eq!(account.names()[3], "p-1-one-20261119PT1H012-1");
        let told = exporter.check(&export, at(1)).await.unwrap_err().to_string();
        expect_test::expect!["export one 20261119PT1H011: 3 tasks failed, as failed.json says; to have it exported again, delete what is below memory:///lake/arc-state/arcs/project=p/version=1/export=one/lot=20261119PT1H011/"].assert_eq(&told);
    }

    #[tokio::test]
    async fn a_group_that_is_gone_holds_no_other_up() {
        let (account, stores, gone, one) = (Account::default(), Stores::memory().unwrap(), export("a", "gone"), export("one", "g"));
        let told = exporter(&account, &stores).go_on(&[&gone, &one], at(0)).await.unwrap_err();
        assert_eq!((told.to_string(), account.names().len()), ("export log group a: gone".into(), 1));
    }
}
