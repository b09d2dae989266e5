//! The runs of `arc up`: what is due flows in, runs go on side by side as tasks of their own, what became of them flows out.
//! A lot of an arc is at work or waits once. After a request to stop nothing more is begun, and what is not done in time is
//! given up: its lease is released, so that whoever comes next need not wait for it to end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use boundary::DueRun;
use chrono::Utc;
use manifests::{ArcSpec, ArcState, Lot};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};

use super::Options;
use super::edge::arcs_of;
use crate::engine::runs::{self, Outcome, Ran};
use crate::engine::{Engine, Line, Progress};
use crate::telemetry::Telemetry;

/// How often one run is begun without an end to the work, before it has to wait for the next look.
const BEGINNINGS_MAX: u32 = 10;
/// What the attempt of a run that was given up says.
const STOPPED: &str = "the process was told to stop";

/// An arc, by its place in the list of arcs, and a lot.
type Key = (usize, Lot);

/// The runs.
pub(super) struct Workers {
    engine: Engine,
    arcs: Arc<Vec<ArcSpec>>,
    progress: Progress,
    telemetry: Arc<Telemetry>,
    /// Small runs side by side; a large one takes more of them.
    places: u32,
    permits: Arc<Semaphore>,
    waiting: VecDeque<DueRun>,
    /// What waits or is at work.
    known: HashSet<Key>,
    begun: HashMap<Key, u32>,
    /// None where a run was not begun after all.
    tasks: JoinSet<Option<Ran>>,
    keys: HashMap<Id, Key>,
    line: Option<Line>,
}

impl Workers {
    pub(super) fn new(engine: &Engine, options: &Options) -> Workers {
        let places = options.runs.max(1);
        Workers {
            engine: engine.clone(),
            arcs: Arc::new(arcs_of(engine)),
            progress: options.progress.clone(),
            telemetry: options.telemetry.clone(),
            places,
            permits: Arc::new(Semaphore::new(places as usize)),
            waiting: VecDeque::new(),
            known: HashSet::new(),
            begun: HashMap::new(),
            tasks: JoinSet::new(),
            keys: HashMap::new(),
            line: None,
        }
    }

    /// Whether nothing waits and nothing is at work.
    pub(super) fn is_idle(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes in what is due and is neither here already nor comes back for ever.
    pub(super) fn add(&mut self, due: Vec<DueRun>) {
        let mut added = 0;
        for run in due {
            let key = (run.arc, run.plan.lot);
            if !self.known.contains(&key) && is_to_begin(&mut self.begun, key) {
                self.known.insert(key);
                self.waiting.push_back(run);
                added += 1;
            }
        }
        match &self.line {
            Some(line) => line.grow(added),
            None if added > 1 => self.line = Some(self.progress.count("runs", added)),
            None => {}
        }
    }

    /// The work is done for now: what came back again and again may be begun again.
    pub(super) fn rest(&mut self) {
        self.begun.clear();
        self.line = None;
    }

    /// Begins as many as there are places.
    pub(super) fn begin(&mut self) {
        while self.tasks.len() < self.places as usize
            && let Some(due) = self.waiting.pop_front()
        {
            let key = (due.arc, due.plan.lot);
            let (engine, arcs, progress) = (self.engine.clone(), self.arcs.clone(), self.progress.clone());
            let (permits, places) = (self.permits.clone(), self.places);
            let task = self.tasks.spawn(async move {
                let arc = &arcs[due.arc];
                let weight = if runs::is_small(&engine, arc, &due.plan).await { 1 } else { weight_of_large(places) };
                let _permit = permits.acquire_many(weight).await.ok()?;
                Some(runs::run(&engine, arc, &due.plan, &progress).await)
            });
            self.keys.insert(task.id(), key);
        }
        self.telemetry.at_work(self.tasks.len(), self.waiting.len());
    }

    /// The next run that ends; never comes back while nothing is at work.
    pub(super) async fn ended(&mut self) -> Option<Ran> {
        let Some(joined) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let id = joined.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
        let key = self.keys.remove(&id)?;
        self.known.remove(&key);
        self.line.iter().for_each(|line| line.more(1));
        self.telemetry.at_work(self.tasks.len(), self.waiting.len());
        joined.map_or_else(|_| Some(self.failed(key, "the run broke off: see the log")), |(_, ran)| ran)
    }

    fn failed(&self, (arc, lot): Key, cause: &str) -> Ran {
        Ran { arc: self.arcs[arc].id.arc.clone(), lot, outcome: Outcome::Failed { cause: cause.to_owned(), is_transient: true } }
    }

    /// Lets what is at work finish, for as long as the options say, and gives up what is left.
    pub(super) async fn finish(mut self, engine: &Engine, options: &Options, mut note: impl FnMut(Ran)) {
        self.waiting.clear();
        self.permits.close();
        let at_work: HashSet<Key> = self.keys.values().copied().collect();
        self.known.retain(|key| at_work.contains(key));
        let all = async {
            while !self.tasks.is_empty() {
                if let Some(ran) = self.ended().await {
                    note(ran);
                }
            }
        };
        match options.grace {
            Some(grace) => {
                let _ = tokio::time::timeout(grace, all).await;
            }
            None => all.await,
        }
        self.give_up(engine).await;
    }

    /// Ends the attempts of what is still at work. What such a run has staged is readable by nobody.
    async fn give_up(&mut self, engine: &Engine) {
        self.tasks.shutdown().await;
        for (arc, lot) in std::mem::take(&mut self.known) {
            let (id, now) = (&self.arcs[arc].id, Utc::now());
            let cause = Some(STOPPED.to_owned());
            match engine.stores.end_attempt(id, lot, &engine.owner, ArcState::Missing, cause, true, now).await {
                Ok(false) => {}
                Ok(true) => self.progress.say(&format!("{lot} {}: given up, to be run again", id.arc)),
                Err(error) => self.progress.fail(&format!("{lot} {}: its lease has to end by itself: {error}", id.arc)),
            }
        }
    }
}

/// A large run has the machine to itself; where there are three places or more, one is kept for small runs.
fn weight_of_large(places: u32) -> u32 {
    if places > 2 { places - 1 } else { places }
}

/// A run that comes back again and again without anything else happening is left for later.
fn is_to_begin(begun: &mut HashMap<Key, u32>, key: Key) -> bool {
    let times = begun.entry(key).or_default();
    *times += 1;
    *times <= BEGINNINGS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_comes_back_for_ever_has_to_wait() {
        let lot: Lot = "20260206PT5M120".parse().unwrap();
        let mut begun = HashMap::new();
        assert_eq!((0..100).filter(|_| is_to_begin(&mut begun, (0, lot))).count(), BEGINNINGS_MAX as usize);
        assert!(is_to_begin(&mut begun, (1, lot)), "it holds up no other arc");
    }

    #[test]
    fn a_large_run_leaves_a_place_where_there_are_three() {
        assert_eq!([1, 2, 3, 8].map(weight_of_large), [1, 2, 2, 7]);
    }
}
