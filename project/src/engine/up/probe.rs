//! Questions that a watched process asks by the clock, so that it knows whether it could work: a small object of the stores,
//! the depth of each queue. Answers flow to the telemetry.

use std::sync::Arc;
use std::time::Duration;

use boundary::aws::SqsQueue;
use manifests::paths;

use crate::engine::Engine;
use crate::telemetry::{Part, Telemetry};

/// Seconds between probes.
const PROBE_SECONDS: u64 = 20;
/// The longest that an answer may take, in seconds.
const ANSWER_SECONDS_MAX: u64 = 15;

/// Asks from now on until the process ends.
pub(super) fn start(engine: &Engine, queues: Vec<(String, SqsQueue)>, telemetry: &Arc<Telemetry>) {
    let (stores, telemetry) = (engine.stores.clone(), telemetry.clone());
    let document = paths::project(&engine.project.name, &engine.project.version);
    tokio::spawn(async move {
        loop {
            telemetry.answered(&Part::Stores, in_time(stores.metadata.get(&document)).await.is_some());
            for (boundary, queue) in &queues {
                let depth = in_time(queue.depth()).await;
                telemetry.answered(&Part::Queue(boundary.clone()), depth.is_some());
                depth.iter().for_each(|depth| telemetry.depth(boundary, *depth));
            }
            tokio::time::sleep(Duration::from_secs(PROBE_SECONDS)).await;
        }
    });
}

/// A good answer that came in time.
async fn in_time<T, E: std::fmt::Display>(question: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), question).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::warn!("a probe failed: {error}");
            None
        }
        Err(_) => {
            tracing::warn!("a probe had no answer for {ANSWER_SECONDS_MAX} s");
            None
        }
    }
}
