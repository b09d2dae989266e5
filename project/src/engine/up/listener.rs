//! Somebody who listens to the queue of an infrequent boundary, so that an object is committed seconds after it arrived.
//! Messages flow in and are kept for the boundary's next look; a call to wake up flows out. A queue that does not answer is
//! asked again, ever more slowly, and ends nothing.

use std::sync::Arc;
use std::time::Duration;

use boundary::Listened;
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::telemetry::{Failure, Part, Telemetry};

/// How long a receipt waits for a message, in seconds: also how long an end may have to wait for it.
pub(super) const LISTEN_SECONDS: i32 = 10;
/// The wait after a first failure, in seconds; it doubles.
const BACKOFF_SECONDS: u64 = 1;
/// The longest wait after a failure, in seconds.
const BACKOFF_SECONDS_MAX: u64 = 60;

/// The listener.
pub(super) struct Listener {
    listened: Arc<Listened>,
    from: watch::Sender<DateTime<Utc>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens once [`Listener::listen_from`] says when.
    pub(super) fn start(boundary: String, listened: Arc<Listened>, wake: Arc<Notify>, telemetry: Arc<Telemetry>) -> Listener {
        let (from, until) = watch::channel(DateTime::<Utc>::MAX_UTC);
        let ear = Ear { boundary, listened: listened.clone(), wake, telemetry, failures: 0 };
        Listener { listened, from, task: tokio::spawn(ear.listen(until)) }
    }

    /// A message that comes from then on can be committed.
    pub(super) fn listen_from(&self, from: DateTime<Utc>) {
        self.from.send_replace(from);
    }

    /// Whether there is something to look at.
    pub(super) fn has_heard(&self) -> bool {
        self.listened.has_heard()
    }

    /// Waits for a receipt that is on its way, so that no message is given out to nobody, and gives back what was heard.
    pub(super) async fn close(self) {
        drop(self.from);
        let _ = self.task.await;
        if let Err(error) = self.listened.give_back().await {
            tracing::warn!("messages come again later: {error}");
        }
    }
}

struct Ear {
    boundary: String,
    listened: Arc<Listened>,
    wake: Arc<Notify>,
    telemetry: Arc<Telemetry>,
    failures: u32,
}

impl Ear {
    /// Until nobody is left to tell.
    async fn listen(mut self, mut from: watch::Receiver<DateTime<Utc>>) {
        loop {
            let begin = *from.borrow_and_update();
            let is_over = match (begin - Utc::now()).to_std() {
                // It is not time yet, and may be at another time.
                Ok(wait) => tokio::select! {
                    () = tokio::time::sleep(wait.min(Duration::from_secs(3600))) => false,
                    changed = from.changed() => changed.is_err(),
                },
                Err(_) => self.listen_once(&mut from).await,
            };
            if is_over {
                return;
            }
        }
    }

    /// One receipt; whether nobody is left to tell.
    async fn listen_once(&mut self, from: &mut watch::Receiver<DateTime<Utc>>) -> bool {
        let heard = self.listened.listen().await;
        self.telemetry.answered(&Part::Queue(self.boundary.clone()), heard.is_ok());
        match heard {
            Ok(false) => {
                self.failures = 0;
                from.has_changed().is_err()
            }
            Ok(true) => {
                self.failures = 0;
                self.wake.notify_one();
                // The boundary says when to listen again.
                from.changed().await.is_err()
            }
            Err(error) => {
                tracing::warn!(boundary = self.boundary, "cannot listen: {error}");
                self.telemetry.failed(Failure::Queue);
                let wait = Duration::from_secs((BACKOFF_SECONDS << self.failures.min(10)).min(BACKOFF_SECONDS_MAX));
                self.failures += 1;
                tokio::select! {
                    () = tokio::time::sleep(wait) => from.has_changed().is_err(),
                    changed = from.changed() => changed.is_err(),
                }
            }
        }
    }
}
