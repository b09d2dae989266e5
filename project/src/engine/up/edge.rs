//! The boundaries and the dispatcher of a project in one process. Time flows in; lots are committed when theirs has come,
//! and what is due flows out.
//!
//! Everything is looked at in a sweep: at first, then again and again. In between only those lots are looked at that this
//! process published itself ([`Echo`]), which costs a few listings, and not the listing of everything that a bucket with
//! years of lots makes dear. On one machine, and with `--once`, nothing has settled before a sweep finds nothing more.

use std::sync::Arc;

use boundary::{BoundaryError, Dispatched, Dispatcher, DueRun, Worker};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::ArcSpec;
use tokio::sync::Notify;

use super::entrance::Entrance;
use super::{Options, POLL_SECONDS, Summary, probe};
use crate::engine::Engine;
use crate::engine::echo::{Echo, Heard};
use crate::engine::runs::{self, Outcome, Ran};
use crate::telemetry::{Failure, Part};

/// Seconds between sweeps of a placement on AWS, as the dispatch function makes them there.
const SWEEP_SECONDS: i64 = 300;
/// The same after the first one: what an earlier process gave up when it ended may be run again by then.
const SWEEP_AGAIN_SECONDS: i64 = 15;
/// The same after a run that may do better soon, or an error.
const SWEEP_SOON_SECONDS: i64 = 60;

/// The edge.
pub(super) struct Edge {
    entrances: Vec<Entrance>,
    arcs: Vec<ArcSpec>,
    dispatcher: Dispatcher,
    echo: Arc<Echo>,
    /// Woken when something may have arrived.
    pub(super) wake: Arc<Notify>,
    next_sweep: DateTime<Utc>,
    /// Until the next sweep after this one, and after that one.
    sweep_seconds: i64,
    sweep_seconds_then: i64,
    /// Whether a sweep has to find nothing before the work is done for now.
    settles: bool,
    has_changed: bool,
    /// Whether what had just been written was waited for.
    has_waited: bool,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) due: Vec<DueRun>,
    pub(super) empties: usize,
    pub(super) committed: usize,
}

/// The arcs that this process can run: a user's image is for AWS Batch to start.
pub(super) fn arcs_of(engine: &Engine) -> Vec<ArcSpec> {
    let is_ours = |arc: &&ArcSpec| engine.aws.is_none() || !project::synth::is_user_image(arc);
    engine.project.arcs.iter().filter(is_ours).cloned().collect()
}

impl Edge {
    pub(super) async fn open(engine: &Engine, options: &Options, echo: Arc<Echo>) -> anyhow::Result<Edge> {
        let wake = Arc::new(Notify::new());
        let mut entrances = Vec::new();
        for spec in &engine.project.boundaries {
            entrances.push(Entrance::open(engine, spec, &wake, options).await?);
        }
        if options.is_watched {
            probe::start(engine, entrances.iter().filter_map(Entrance::queue).collect(), &options.telemetry);
        }
        let is_local = engine.aws.is_none();
        let dispatcher = Dispatcher::new(engine.stores.clone(), engine.bus.clone()).await?;
        let telemetry = options.telemetry.clone();
        Ok(Edge {
            entrances,
            arcs: arcs_of(engine),
            dispatcher: dispatcher.stepping(Arc::new(move || telemetry.stepped())),
            echo,
            wake,
            next_sweep: DateTime::<Utc>::MIN_UTC,
            sweep_seconds: SWEEP_AGAIN_SECONDS,
            sweep_seconds_then: if is_local { POLL_SECONDS } else { SWEEP_SECONDS },
            settles: is_local || options.once,
            has_changed: false,
            has_waited: false,
        })
    }

    /// Ticks the boundaries whose time has come, and looks for what is due.
    pub(super) async fn look(&mut self, engine: &Engine, options: &Options, is_idle: bool, summary: &mut Summary) -> Looked {
        let is_settling = is_idle && self.settles && std::mem::take(&mut self.has_changed);
        let committed = self.tick(options, is_settling, summary).await;
        let Dispatched { runs, empties } = self.dispatch(engine, options, is_settling, summary).await;
        let empties = empties.len();
        summary.empties += empties;
        self.has_changed |= committed > 0 || empties > 0;
        Looked { due: runs, empties, committed }
    }

    /// How many lots were committed. Boundaries wait for no other.
    async fn tick(&mut self, options: &Options, is_forced: bool, summary: &mut Summary) -> usize {
        let now = options.now();
        let due = self.entrances.iter_mut().filter(|entrance| is_forced || entrance.is_due(now));
        let mut committed = 0;
        for ticked in futures::future::join_all(due.map(|entrance| entrance.tick(now, options))).await {
            match ticked {
                Ok(lots) => committed += lots,
                Err(message) => options.fail(Failure::Tick, summary, &message),
            }
        }
        summary.lots += committed;
        summary.waiting = self.entrances.iter().filter_map(Entrance::waiting).cloned().collect();
        summary.refused = self.entrances.iter().map(Entrance::refused).sum();
        committed
    }

    async fn dispatch(&mut self, engine: &Engine, options: &Options, is_settling: bool, summary: &mut Summary) -> Dispatched {
        let now = Utc::now();
        let heard = self.echo.take();
        let worker = runs::worker(engine);
        let is_sweep = is_settling || heard.is_more || self.next_sweep <= now;
        let found = match is_sweep {
            true => self.dispatcher.pass(&self.arcs, now, &worker).await,
            false => self.follow(heard, now, &worker).await,
        };
        match found {
            Ok(found) if is_sweep => {
                self.next_sweep = now + TimeDelta::seconds(std::mem::replace(&mut self.sweep_seconds, self.sweep_seconds_then));
                options.telemetry.answered(&Part::Stores, true);
                options.telemetry.looked(true);
                found
            }
            Ok(found) => {
                options.telemetry.stepped();
                found
            }
            Err(error) => {
                options.telemetry.answered(&Part::Stores, false);
                options.telemetry.looked(false);
                options.fail(Failure::Look, summary, &format!("looking for what is due: {error}"));
                self.sweep_soon();
                Dispatched::default()
            }
        }
    }

    /// What is due because of lots that this process has published. After an error a sweep finds the rest.
    async fn follow(&mut self, heard: Heard, now: DateTime<Utc>, worker: &Worker) -> Result<Dispatched, BoundaryError> {
        let mut found = Dispatched::default();
        for (dataset, lot) in &heard.lots {
            let more = self.dispatcher.pass_at(&self.arcs, (dataset, *lot), now, worker).await?;
            found.runs.extend(more.runs);
            found.empties.extend(more.empties);
        }
        Ok(found)
    }

    /// A notification has come: whoever hears of them has something to look at.
    pub(super) fn notified(&mut self) {
        self.entrances.iter_mut().for_each(Entrance::notified);
    }

    fn sweep_soon(&mut self) {
        let soon = Utc::now() + TimeDelta::seconds(SWEEP_SOON_SECONDS.min(self.sweep_seconds_then));
        self.next_sweep = if self.next_sweep <= Utc::now() { soon } else { self.next_sweep.min(soon) };
    }

    /// With `--once`: when files have settled that were written just now, where a boundary takes them as soon as they have.
    /// Once only, so that somebody who writes on and on does not keep it from its end; all is looked at again then.
    pub(super) fn settling(&mut self, options: &Options) -> Option<DateTime<Utc>> {
        let is_asked = options.as_of.is_none() && !std::mem::replace(&mut self.has_waited, true);
        let lengths = self.entrances.iter().filter_map(|entrance| entrance.waiting()?.settling());
        let length = lengths.max().filter(|_| is_asked)?;
        if options.is_told {
            options.progress.say(&format!("waiting {} s: files were written just now", length.num_seconds()));
        }
        self.has_changed = true;
        Some(Utc::now() + length)
    }

    /// A run has ended: where it may do better soon, a sweep finds it.
    pub(super) fn after(&mut self, ran: &Ran) {
        self.has_changed = true;
        if matches!(ran.outcome, Outcome::Elsewhere | Outcome::Failed { is_transient: true, .. }) {
            self.sweep_soon();
        }
    }

    /// When there may be something to do.
    pub(super) fn next(&self) -> DateTime<Utc> {
        self.entrances.iter().map(Entrance::next).fold(self.next_sweep, Ord::min)
    }

    /// Stops listening.
    pub(super) async fn close(self) {
        futures::future::join_all(self.entrances.into_iter().map(Entrance::close)).await;
    }
}
