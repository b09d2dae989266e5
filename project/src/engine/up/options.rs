//! How `arc up` works, and how it says what it does. What happened flows in; sentences for people, or events for machines,
//! and counts flow out.

use std::sync::Arc;
use std::time::Duration;

use boundary::Ticked;
use chrono::{DateTime, Utc};
use project::Project;

use super::Summary;
use crate::engine::Progress;
use crate::engine::runs::{Outcome, Ran};
use crate::logs;
use crate::output::{escape, plural};
use crate::telemetry::{Failure, Telemetry};

/// Runs side by side where nobody says.
pub const RUNS_DEFAULT: u32 = 2;
/// Runs remembered for the listing at the end; beyond that only the sums go on.
const REMEMBERED_MAX: usize = 100_000;

/// How `up` works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to end when nothing is due.
    pub once: bool,
    /// The time that boundaries see; the clock where not given. Leases always go by the clock.
    pub as_of: Option<DateTime<Utc>>,
    /// Where progress is shown.
    pub progress: Progress,
    /// Whether a line is said for each lot and run.
    pub is_told: bool,
    /// Small runs side by side.
    pub runs: u32,
    /// How long runs may go on after a request to stop; until they are done where not given.
    pub grace: Option<Duration>,
    /// Whether somebody asks for [`Options::telemetry`].
    pub is_watched: bool,
    /// What is told to whoever watches.
    pub telemetry: Arc<Telemetry>,
}

impl Options {
    /// All that is due, then the end.
    pub fn once(project: &Project, progress: Progress, is_told: bool) -> Options {
        let telemetry = Arc::new(Telemetry::new(project));
        Options { once: true, as_of: None, progress, is_told, runs: RUNS_DEFAULT, grace: None, is_watched: false, telemetry }
    }

    /// The time that boundaries see.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.as_of.unwrap_or_else(Utc::now)
    }

    pub(super) fn fail(&self, what: Failure, summary: &mut Summary, message: &str) {
        summary.failures += 1;
        self.telemetry.failed(what);
        self.progress.fail(message);
    }

    pub(super) fn tell_lots(&self, boundary: &str, ticked: &Ticked) {
        for lot in ticked.committed.iter().filter(|lot| self.is_told && lot.objects > 0) {
            match logs::is_json() {
                true => tracing::info!(boundary, lot = %lot.lot, state = %lot.state, objects = lot.objects, "lot committed"),
                false => self.progress.say(&format!("{} {boundary}: {} with {}", lot.lot, lot.state, plural(lot.objects, "object"))),
            }
        }
    }

    /// Says how a run ended, and counts it.
    pub(super) fn tell_run(&self, ran: &Ran, summary: &mut Summary) {
        let is_failed = matches!(ran.outcome, Outcome::Failed { .. });
        self.telemetry.ran(ran, Utc::now());
        if is_failed {
            self.telemetry.failed(Failure::Run);
        }
        if self.is_told || is_failed {
            match logs::is_json() {
                true => log_run(ran),
                false => self.progress.say(&ran.to_string()),
            }
        }
        summary.failures += usize::from(is_failed);
        summary.done += usize::from(matches!(&ran.outcome, Outcome::Done(report) if !report.was_done));
        summary.doubtful += usize::from(ran.is_doubtful());
        if self.once && summary.ran.len() < REMEMBERED_MAX {
            summary.ran.push(ran.clone());
        }
    }
}

fn log_run(ran: &Ran) {
    let (arc, lot) = (ran.arc.as_str(), ran.lot);
    match &ran.outcome {
        Outcome::Elsewhere => tracing::info!(arc, %lot, "another process has the run"),
        Outcome::Failed { cause, is_transient } => tracing::error!(arc, %lot, is_transient, "run failed: {}", escape(cause)),
        Outcome::Done(report) if report.was_done => tracing::info!(arc, %lot, "run was done before"),
        Outcome::Done(report) => {
            let counts = &report.counts;
            let (rows, rejected, bytes_in, bytes_out) = (counts.rows, counts.rejected, counts.bytes_in, counts.bytes_out);
            let (state, seconds, attempt) = (report.state, report.seconds, report.attempt);
            tracing::info!(arc, %lot, %state, rows, rejected, bytes_in, bytes_out, seconds, attempt, "run done");
        }
    }
}
