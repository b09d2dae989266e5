//! `arc up`: boundaries, dispatch and workers in one process. Time, watched folders, queues and the stores flow in; commits
//! flow out. What is due is looked for again and again, so a lost notification costs time and nothing else, and a second
//! process on the same placement changes nothing but who does the work. An arc or a boundary that fails stops no other, and
//! while runs are at work, lots go on being committed.

mod edge;
mod entrance;
mod listener;
mod options;
mod probe;
mod waiting;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use super::echo::Echo;
use super::runs::Ran;
use super::{Engine, Stop};
use edge::{Edge, Looked};
pub use options::{Options, RUNS_DEFAULT};
pub use waiting::Waiting;
use workers::Workers;

/// The longest time without a look, in seconds.
const POLL_SECONDS: i64 = 30;
/// How long notifications are gathered before a look, in milliseconds.
const GATHER_MILLISECONDS: u64 = 500;
/// The shortest wait between two looks that found nothing, in milliseconds.
const WAIT_MILLISECONDS_MIN: i64 = 50;
/// Pause between looks that found nothing but what another process has in hand, in milliseconds.
const ELSEWHERE_MILLISECONDS: u64 = 200;
/// Looks in a row that may find only empty lots before there is such a pause.
const EMPTY_LOOKS_MAX: u32 = 3;

/// What was done until the end.
#[derive(Debug, Default)]
pub struct Summary {
    /// The runs of `--once`, as far as they are remembered.
    pub ran: Vec<Ran>,
    /// Runs that committed.
    pub done: usize,
    /// Lots that boundaries committed.
    pub lots: usize,
    /// All-empty lots that were published without a worker.
    pub empties: usize,
    /// Runs, ticks and looks that failed.
    pub failures: usize,
    /// Runs that are partial, or rejected more than they may.
    pub doubtful: usize,
    /// What waits at each boundary.
    pub waiting: Vec<Waiting>,
    /// Files that no boundary can take until they are renamed or made readable; the log says which.
    pub refused: usize,
}

/// What a wait ended with.
enum Waited {
    Run(Ran),
    Notified,
    Over,
}

/// Works until stopped, or until nothing is due.
pub async fn up(engine: &Engine, options: &Options, mut stop: Stop) -> anyhow::Result<Summary> {
    let echo = Arc::new(Echo::new(engine.bus.clone(), options.telemetry.clone()));
    let engine = Engine { bus: echo.clone(), ..engine.clone() };
    let mut edge = Edge::open(&engine, options, echo).await?;
    let mut workers = Workers::new(&engine, options);
    let mut summary = Summary::default();
    let mut empty_looks = 0;
    while !stop.is_asked() {
        let Looked { due, empties, committed } = edge.look(&engine, options, workers.is_idle(), &mut summary).await;
        workers.add(due);
        workers.begin();
        let is_more = empties > 0 || committed > 0;
        empty_looks = if workers.is_idle() && committed == 0 { empty_looks + 1 } else { 0 };
        match (workers.is_idle(), is_more) {
            (true, false) if options.once => match edge.settling(options) {
                Some(settled) => _ = wait(&mut workers, Some(settled), &edge.wake, &mut stop).await,
                None => break,
            },
            (true, true) if empty_looks <= EMPTY_LOOKS_MAX => continue,
            (true, true) => tokio::time::sleep(Duration::from_millis(ELSEWHERE_MILLISECONDS)).await,
            (is_idle, _) => {
                if is_idle {
                    workers.rest();
                }
                // With `--once` it is the time that was given, or none, that boundaries see: only a run changes anything.
                let next = (!options.once).then(|| edge.next());
                match wait(&mut workers, next, &edge.wake, &mut stop).await {
                    Waited::Run(ran) => {
                        options.tell_run(&ran, &mut summary);
                        edge.after(&ran);
                    }
                    Waited::Notified => edge.notified(),
                    Waited::Over => {}
                }
            }
        }
    }
    options.telemetry.stopping();
    let finishing = workers.finish(&engine, options, |ran| options.tell_run(&ran, &mut summary));
    tokio::join!(edge.close(), finishing);
    Ok(summary)
}

/// Waits for a run to end; until `next`, or until somebody notifies or stops the process, and no longer.
async fn wait(workers: &mut Workers, next: Option<DateTime<Utc>>, wake: &Notify, stop: &mut Stop) -> Waited {
    let alarm = async {
        match next {
            Some(next) => tokio::time::sleep(until(next)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ran = workers.ended() => ran.map_or(Waited::Over, Waited::Run),
        () = alarm => Waited::Over,
        () = stop.asked() => Waited::Over,
        () = wake.notified() => {
            tokio::time::sleep(Duration::from_millis(GATHER_MILLISECONDS)).await;
            Waited::Notified
        }
    }
}

/// How long to sleep until `next`: a little at least, so that a time gone by makes nobody spin.
fn until(next: DateTime<Utc>) -> Duration {
    let least = TimeDelta::milliseconds(WAIT_MILLISECONDS_MIN);
    (next - Utc::now()).clamp(least, TimeDelta::seconds(POLL_SECONDS)).to_std().unwrap_or_default()
}
