//! The boundary's function: a tick by the clock, messages of a queue, or a notification by itself flow in; commits flow out.
//! What it is called with more than once, late or out of order changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Aws, Bus, EventBridgeBus, Lot, Stores};
use serde_json::{Value, json};

use super::{Deployment, Metrics, SqsQueue};
use crate::arrivals::{ARRIVALS_PER_BATCH, Arrival, Arrivals, Scanned, Taker};
use crate::commit_index::CommitIndex;
use crate::error::BoundaryError;
use crate::filter::Filter;
use crate::index::Index;
use crate::notification;
use crate::queue::{HELD_MAX, Queue, QueueArrivals};
use crate::spec::{BoundarySpec, EventArrival};
use crate::tick::{Boundary, Ticked};

/// How far back the last commit is looked for first, in days.
const LOOK_BACK_DAYS: i64 = 1;
/// The longest that a call waits for its lot to close, in seconds.
const WAIT_SECONDS_MAX: i64 = 60;
/// Lots of one metrics line that are told of one by one.
const TOLD_LOTS_MAX: usize = 100;

/// A boundary's function.
pub struct BoundaryFunction {
    project: String,
    spec: BoundarySpec,
    stores: Stores,
    bus: Arc<dyn Bus>,
    queue: Option<Arc<dyn Queue>>,
    held_max: usize,
    say: fn(&str),
}

impl BoundaryFunction {
    /// The function of the boundary `name` of a deployment, which drains `queue_url` where there is one.
    pub fn new(aws: &Aws, deployment: &Deployment, name: &str, queue_url: Option<&str>) -> Result<BoundaryFunction, BoundaryError> {
        let spec = deployment.boundaries.iter().find(|spec| spec.name == name).cloned();
        let spec = spec.ok_or_else(|| BoundaryError::Service {
            action: "start boundary",
            name: name.to_owned(),
            reason: format!("project {} has none of this name", deployment.project),
            transient: false,
        })?;
        let queue = queue_url.map(|url| -> Arc<dyn Queue> { Arc::new(SqsQueue::new(aws, url, 1)) });
        let bus: Arc<dyn Bus> = Arc::new(EventBridgeBus::new(aws, &deployment.bus));
        Ok(BoundaryFunction::over(deployment.project.clone(), spec, deployment.stores(aws)?, bus, queue))
    }

    /// The same over any stores, bus and queue.
    pub fn over(project: String, spec: BoundarySpec, stores: Stores, bus: Arc<dyn Bus>, queue: Option<Arc<dyn Queue>>) -> Self {
        BoundaryFunction { project, spec, stores, bus, queue, held_max: HELD_MAX, say: |line| println!("{line}") }
    }

    /// The same, holding so many messages of its queue at most.
    #[must_use]
    pub fn holding(self, held_max: usize) -> Self {
        BoundaryFunction { held_max, ..self }
    }

    /// The same, whose metrics go to `say`, a line at a time, and not to stdout.
    #[must_use]
    pub fn saying(self, say: fn(&str)) -> Self {
        BoundaryFunction { say, ..self }
    }

    /// One call. `clock` is asked for the time, and again after waiting. The answer names, for messages of a queue, those
    /// that are to come again.
    pub async fn call(&self, event: &Value, clock: &(dyn Fn() -> DateTime<Utc> + Send + Sync)) -> Result<Value, BoundaryError> {
        let delivered = Delivered::read(event);
        if delivered.is_none() {
            self.wait(clock()).await;
        }
        self.answer(delivered, clock()).await
    }

    /// The same at `now`, without waiting for an interval to close.
    pub async fn call_at(&self, event: &Value, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        self.answer(Delivered::read(event), now).await
    }

    async fn answer(&self, delivered: Option<Delivered>, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        match delivered {
            Some(delivered) => self.deliver(delivered, now).await,
            None => self.tick(now).await,
        }
    }

    fn boundary(&self, spec: BoundarySpec, now: DateTime<Utc>) -> Result<Boundary, BoundaryError> {
        let since = now - TimeDelta::days(LOOK_BACK_DAYS);
        let index = CommitIndex::new(self.stores.clone(), spec.dataset.id(), spec.unit, since);
        Boundary::new(spec, self.stores.clone(), self.bus.clone(), Box::new(index))
    }

    /// Waits until the interval that has just ended may be closed.
    async fn wait(&self, now: DateTime<Utc>) {
        let close = Lot::containing(self.spec.unit, now).start() + self.spec.settle;
        let wait = (close - now).clamp(TimeDelta::zero(), TimeDelta::seconds(WAIT_SECONDS_MAX));
        tokio::time::sleep(wait.to_std().unwrap_or(Duration::ZERO)).await;
    }

    /// A tick by the clock, which drains the queue.
    async fn tick(&self, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let mut boundary = self.boundary(self.spec.clone(), now)?;
        if let Some(queue) = &self.queue {
            boundary = boundary.hearing(Box::new(QueueArrivals::holding(queue.clone(), self.held_max)));
        }
        let ticked = boundary.tick(now).await?;
        self.tell(&ticked, now);
        Ok(summary(&ticked))
    }

    /// Messages that the queue's poller has received, or one notification by itself.
    async fn deliver(&self, delivered: Delivered, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let left = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        // An infrequent lot is committed as soon as something waits; S3 tells of whole objects, so nothing has to settle.
        let spec = match self.spec.arrival {
            EventArrival::Infrequent => BoundarySpec { settle: TimeDelta::zero(), ..self.spec.clone() },
            EventArrival::Frequent => self.spec.clone(),
        };
        let is_alone = delivered.messages.iter().any(|message| message.0.is_empty());
        let ticked = self.boundary(spec, now)?.hearing(Box::new(DeliveredArrivals { delivered, left: left.clone() })).tick(now).await?;
        self.tell(&ticked, now);
        let left = std::mem::take(&mut *left.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if is_alone && !left.is_empty() {
            let (action, name) = ("take in a notification for", self.spec.name.clone());
            return Err(BoundaryError::Service { action, name, reason: "its lot is not open yet".into(), transient: true });
        }
        let failures: Vec<Value> = left.into_iter().map(|id| json!({"itemIdentifier": id})).collect();
        Ok(json!({"batchItemFailures": failures, "ticked": summary(&ticked)}))
    }

    fn tell(&self, ticked: &Ticked, now: DateTime<Utc>) {
        let objects: usize = ticked.committed.iter().map(|lot| lot.objects).sum();
        let mut metrics = Metrics::committed(now, &self.project, &self.spec.dataset.id(), ticked.committed.len())
            .with("Objects", "Count", objects as f64)
            .with("ObjectsWaiting", "Count", ticked.waiting as f64);
        if let Some(last) = ticked.committed.last() {
            metrics = metrics.with("LatenessSeconds", "Seconds", (now - last.lot.end()).as_seconds_f64().max(0.0));
        }
        let lots: Vec<String> = ticked.committed.iter().take(TOLD_LOTS_MAX).map(|lot| lot.lot.to_string()).collect();
        (self.say)(&metrics.property("Boundary", self.spec.name.as_str()).property("Lots", lots).line());
    }
}

fn summary(ticked: &Ticked) -> Value {
    let lot = |lot: &crate::tick::CommittedLot| json!({"lot": lot.lot.to_string(), "state": lot.state.as_str(), "objects": lot.objects});
    let committed: Vec<Value> = ticked.committed.iter().take(TOLD_LOTS_MAX).map(lot).collect();
    json!({"committed": committed, "lots": ticked.committed.len(), "waiting": ticked.waiting, "open": ticked.open.to_string()})
}

/// Messages that came with the call: the id of each (none for a notification by itself) and what it tells of, or that it
/// cannot be read.
struct Delivered {
    messages: Vec<(String, Option<Vec<Arrival>>)>,
}

impl Delivered {
    /// `None` for a call by the clock.
    fn read(event: &Value) -> Option<Delivered> {
        let records = event.get("Records").and_then(Value::as_array);
        let is_of_queue = |record: &&Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
        let of_queue = |record: &Value| {
            let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
            let (id, read) = (text("messageId").to_owned(), notification::read(text("body")));
            let told = read.as_ref().err().map(|error| tracing::warn!("message {id} is left in the queue: {error}"));
            (id, read.ok().filter(|_| told.is_none()))
        };
        match records.filter(|records| records.iter().any(|record| is_of_queue(&record))) {
            Some(records) => Some(Delivered { messages: records.iter().map(of_queue).collect() }),
            None => Some(Delivered { messages: vec![(String::new(), Some(notification::read_value(event).ok()?))] }),
        }
    }
}

/// Arrivals that came with the call.
struct DeliveredArrivals {
    delivered: Delivered,
    left: Arc<std::sync::Mutex<BTreeSet<String>>>,
}

#[async_trait]
impl Arrivals for DeliveredArrivals {
    async fn scan(
        &mut self,
        spec: &BoundarySpec,
        filter: &Filter,
        _stores: &Stores,
        taker: &mut dyn Taker,
    ) -> Result<Scanned, BoundaryError> {
        let mut objects = 0;
        for (_, arrivals) in &mut self.delivered.messages {
            let Some(arrivals) = arrivals else { continue };
            arrivals.retain(|arrival| spec.wants(filter, &arrival.uri));
            objects += arrivals.len();
            for batch in arrivals.chunks(ARRIVALS_PER_BATCH) {
                taker.take(batch.to_vec()).await?;
            }
        }
        Ok(Scanned { objects, ..Scanned::default() })
    }

    async fn forget(&mut self, _stores: &Stores, index: &mut dyn Index) -> Result<(), BoundaryError> {
        for (id, arrivals) in std::mem::take(&mut self.delivered.messages) {
            let is_done = match arrivals {
                None => false,
                Some(arrivals) => arrivals.is_empty() || index.unknown(arrivals).await?.is_empty(),
            };
            if !is_done {
                self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterSpec;
    use manifests::{Dataset, LotUnit, MemoryBus};

    fn at(second: i64) -> DateTime<Utc> {
        "2023-07-17T20:50:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
    }

    fn function(stores: &Stores, arrival: EventArrival) -> BoundaryFunction {
        let spec = BoundarySpec {
            name: "in".into(),
            dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri: "s3://raw/in/".into() },
            unit: LotUnit::Twelfths,
            arrival,
            filter: FilterSpec::default(),
            settle: TimeDelta::seconds(5),
            from: Some(at(0)),
        };
        BoundaryFunction::over("p".into(), spec, stores.clone(), Arc::new(MemoryBus::default()), None)
    }

    fn notification(key: &str, second: i64) -> Value {
        json!({"Records": [{"eventName": "ObjectCreated:Put", "eventTime": at(second).to_rfc3339(),
            "s3": {"bucket": {"name": "raw"}, "object": {"key": key, "size": 1, "eTag": key}}}]})
    }

    fn messages(bodies: &[(&str, String)]) -> Value {
        let record = |(id, body): &(&str, String)| json!({"eventSource": "aws:sqs", "messageId": id, "body": body});
        json!({"Records": bodies.iter().map(record).collect::<Vec<_>>()})
    }

    async fn failures(function: &BoundaryFunction, event: &Value, second: i64) -> Vec<String> {
        let answer = function.call(event, &move || at(second)).await.unwrap();
        let failed = answer["batchItemFailures"].as_array().unwrap().iter();
        failed.map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn an_infrequent_object_is_committed_at_once_and_the_next_one_comes_again() {
        let stores = Stores::memory().unwrap();
        let function = function(&stores, EventArrival::Infrequent);
        let first = messages(&[("1", notification("in/a", 10).to_string()), ("2", "no notification".into())]);
        assert_eq!(failures(&function, &first, 11).await, ["2"], "what nobody can read stays in the queue");
        let second = messages(&[("3", notification("in/b", 20).to_string()), ("4", notification("in/a", 10).to_string())]);
        assert_eq!(failures(&function, &second, 21).await, ["3"], "the interval has its lot; what came twice is done");
        assert_eq!(failures(&function, &second, 301).await, Vec::<String>::new());
        let lots = stores.lots(&function.spec.dataset.id()).await.unwrap();
        assert_eq!(lots.len(), 2);
    }

    #[tokio::test]
    async fn a_notification_by_itself_is_taken_or_refused() {
        let stores = Stores::memory().unwrap();
        let one = function(&stores, EventArrival::Infrequent);
        let answer = one.call(&notification("in/a", 10), &|| at(11)).await.unwrap();
        assert_eq!(answer["ticked"]["lots"], 1);
        let refused = one.call(&notification("in/b", 12), &|| at(13)).await.unwrap_err();
        assert!(refused.is_transient(), "Lambda calls again: {refused}");
    }
}
