//! The boundary's function: a tick by the clock, messages of a queue, or a notification by itself flow in; commits flow out.
//! What it is called with more than once, late or out of order changes nothing.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Aws, Bus, EventBridgeBus, Lot, Stores};
use serde_json::{Value, json};

use super::{Deployment, Metrics, SqsQueue};
use crate::arrivals::{Arrival, Arrivals, Scanned, Taker};
use crate::commit_index::CommitIndex;
use crate::error::BoundaryError;
use crate::filter::Filter;
use crate::index::Index;
use crate::notification::{self, Notified};
use crate::queue::{HELD_MAX, Queue, QueueArrivals, in_tens, unknown};
use crate::spec::{BoundarySpec, EventArrival};
use crate::superseded::{Superseded, written};
use crate::tick::{Boundary, Ticked};

/// How far back the last commit is looked for first, in days.
const LOOK_BACK_DAYS: i64 = 1;
/// The longest that a call waits for its lot to close, in seconds.
const WAIT_SECONDS_MAX: i64 = 60;
/// The longest that a message is hidden, in seconds: SQS hides none for more than twelve hours after it was received.
const HIDDEN_SECONDS_MAX: i64 = 11 * 3_600;
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
    /// The last lot whose copy and event this process has seen out. A call that follows it need not send them again.
    announced: Mutex<Option<Lot>>,
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
        BoundaryFunction {
            project,
            spec,
            stores,
            bus,
            queue,
            held_max: HELD_MAX,
            announced: Mutex::default(),
            say: |line| println!("{line}"),
        }
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

    /// One call, which ends for certain at `deadline`. `clock` is asked for the time, and again after waiting. The answer
    /// names, for messages of a queue, those that are to come again.
    pub async fn call(
        &self,
        event: &Value,
        clock: &(dyn Fn() -> DateTime<Utc> + Send + Sync),
        deadline: DateTime<Utc>,
    ) -> Result<Value, BoundaryError> {
        let delivered = Delivered::read(event);
        if delivered.is_none() {
            self.wait(clock(), deadline).await;
        }
        let now = clock();
        self.answer(delivered, now, share(now, deadline)).await
    }

    /// The same at `now`, without waiting for an interval to close.
    pub async fn call_at(&self, event: &Value, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        self.answer(Delivered::read(event), now, Duration::MAX).await
    }

    async fn answer(&self, delivered: Option<Delivered>, now: DateTime<Utc>, receive_max: Duration) -> Result<Value, BoundaryError> {
        match delivered {
            Some(delivered) => self.deliver(delivered, now).await,
            None => self.tick(now, receive_max).await,
        }
    }

    fn boundary(&self, spec: BoundarySpec, now: DateTime<Utc>) -> Result<Boundary, BoundaryError> {
        let since = now - TimeDelta::days(LOOK_BACK_DAYS);
        let index = CommitIndex::new(self.stores.clone(), spec.dataset.id(), spec.unit, since);
        let announced = *self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Boundary::new(spec, self.stores.clone(), self.bus.clone(), Box::new(index))?.knowing(announced))
    }

    /// Ticks, and keeps what the boundary has seen out, whatever becomes of the tick.
    async fn tick_of(&self, mut boundary: Boundary, now: DateTime<Utc>) -> Result<Ticked, BoundaryError> {
        let ticked = boundary.tick(now).await;
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = boundary.announced();
        ticked
    }

    /// Waits until the interval that has just ended may be closed, for as long as there is time for it.
    async fn wait(&self, now: DateTime<Utc>, deadline: DateTime<Utc>) {
        let close = Lot::containing(self.spec.unit, now).start() + self.spec.settle;
        let wait = (close - now).clamp(TimeDelta::zero(), TimeDelta::seconds(WAIT_SECONDS_MAX));
        tokio::time::sleep(wait.to_std().unwrap_or(Duration::ZERO).min(share(now, deadline))).await;
    }

    /// A tick by the clock, which drains the queue.
    async fn tick(&self, now: DateTime<Utc>, receive_max: Duration) -> Result<Value, BoundaryError> {
        let mut boundary = self.boundary(self.spec.clone(), now)?;
        if let Some(queue) = &self.queue {
            let arrivals = QueueArrivals::holding(queue.clone(), self.held_max).receiving(receive_max);
            boundary = boundary.hearing(Box::new(arrivals));
        }
        let ticked = self.tick_of(boundary, now).await?;
        self.tell(&ticked, now);
        Ok(summary(&ticked))
    }

    /// Messages that the queue's poller has received, or one notification by itself.
    async fn deliver(&self, delivered: Delivered, now: DateTime<Utc>) -> Result<Value, BoundaryError> {
        let left = Arc::new(Mutex::new(Vec::new()));
        // An infrequent lot is committed as soon as something waits; S3 tells of whole objects, so nothing has to settle.
        let spec = match self.spec.arrival {
            EventArrival::Infrequent => BoundarySpec { settle: TimeDelta::zero(), ..self.spec.clone() },
            EventArrival::Frequent => self.spec.clone(),
        };
        let is_alone = delivered.messages.iter().any(|message| message.id.is_empty());
        let boundary = self.boundary(spec, now)?.hearing(Box::new(DeliveredArrivals { delivered, left: left.clone() }));
        let ticked = self.tick_of(boundary, now).await?;
        self.tell(&ticked, now);
        let left: Vec<Delivery> = std::mem::take(&mut *left.lock().unwrap_or_else(PoisonError::into_inner));
        if is_alone && !left.is_empty() {
            let (action, name) = ("take in a notification for", self.spec.name.clone());
            return Err(BoundaryError::Service { action, name, reason: "its lot is not open yet".into(), transient: true });
        }
        self.hide(&left, ticked.open, now).await;
        let failures: Vec<Value> = left.into_iter().map(|message| json!({"itemIdentifier": message.id})).collect();
        Ok(json!({"batchItemFailures": failures, "ticked": summary(&ticked)}))
    }

    /// Has messages that wait for the open lot come again when it can be committed. The queue's poller leaves what was reported
    /// to it hidden for the queue's whole time, which is that of several intervals.
    async fn hide(&self, left: &[Delivery], open: Lot, now: DateTime<Utc>) {
        let Some(queue) = &self.queue else { return };
        let until = match self.spec.arrival {
            EventArrival::Infrequent => open.start(),
            EventArrival::Frequent => open.end() + self.spec.settle,
        };
        let seconds = (until - now).num_seconds().saturating_add(1).clamp(1, HIDDEN_SECONDS_MAX);
        let waiting = left.iter().filter(|message| message.arrivals.is_some()).filter_map(|message| message.handle.clone());
        let hide = |handles| queue.hide(handles, u32::try_from(seconds).unwrap_or(1));
        if let Err(error) = in_tens(waiting.collect(), hide).await {
            tracing::warn!("messages of boundary {} come again later than they could: {error}", self.spec.name);
        }
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

/// What of a call's time may go by with one thing: half of what is left, so that the commit, what is told of it and the
/// deletion of messages have the rest.
fn share(now: DateTime<Utc>, deadline: DateTime<Utc>) -> Duration {
    (deadline - now).to_std().unwrap_or(Duration::ZERO) / 2
}

fn summary(ticked: &Ticked) -> Value {
    let lot = |lot: &crate::tick::CommittedLot| json!({"lot": lot.lot.to_string(), "state": lot.state.as_str(), "objects": lot.objects});
    let committed: Vec<Value> = ticked.committed.iter().take(TOLD_LOTS_MAX).map(lot).collect();
    json!({"committed": committed, "lots": ticked.committed.len(), "waiting": ticked.waiting, "open": ticked.open.to_string()})
}

/// A message that came with the call.
#[derive(Debug)]
struct Delivery {
    /// Empty for a notification by itself.
    id: String,
    /// What it is hidden by.
    handle: Option<String>,
    /// What it tells of; `None` where it cannot be read.
    arrivals: Option<Vec<Arrival>>,
}

/// Messages that came with the call, and what of it later ones took the place of.
struct Delivered {
    messages: Vec<Delivery>,
    gone: HashSet<u128>,
}

impl Delivered {
    /// `None` for a call by the clock.
    fn read(event: &Value) -> Option<Delivered> {
        let mut superseded = Superseded::default();
        let records = event.get("Records").and_then(Value::as_array);
        let is_of_queue = |record: &&Value| record.get("eventSource").and_then(Value::as_str) == Some("aws:sqs");
        let messages = match records.filter(|records| records.iter().any(|record| is_of_queue(&record))) {
            Some(records) => records.iter().map(|record| of_queue(record, &mut superseded)).collect(),
            None => {
                let arrivals = noted(notification::read_value(event).ok()?, &mut superseded);
                vec![Delivery { id: String::new(), handle: None, arrivals: Some(arrivals) }]
            }
        };
        Some(Delivered { messages, gone: superseded.into_gone() })
    }
}

fn of_queue(record: &Value, superseded: &mut Superseded) -> Delivery {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let (id, handle) = (text("messageId").unwrap_or_default().to_owned(), text("receiptHandle").map(str::to_owned));
    let read = notification::read(text("body").unwrap_or_default());
    if let Err(error) = &read {
        tracing::warn!("message {id} is left in the queue: {error}");
    }
    Delivery { id, handle, arrivals: read.ok().map(|notified| noted(notified, superseded)) }
}

fn noted(notified: Vec<Notified>, superseded: &mut Superseded) -> Vec<Arrival> {
    notified.iter().for_each(|notified| superseded.note(notified));
    notified.into_iter().map(|notified| notified.arrival).collect()
}

/// Arrivals that came with the call.
struct DeliveredArrivals {
    delivered: Delivered,
    left: Arc<Mutex<Vec<Delivery>>>,
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
        let Delivered { messages, gone } = &mut self.delivered;
        let mut batch = Vec::new();
        for arrivals in messages.iter_mut().filter_map(|message| message.arrivals.as_mut()) {
            arrivals.retain(|arrival| spec.wants(filter, &arrival.uri) && !gone.contains(&written(arrival)));
            batch.extend(arrivals.iter().cloned());
        }
        let objects = batch.len();
        taker.take(batch).await?;
        Ok(Scanned { objects, ..Scanned::default() })
    }

    async fn forget(&mut self, _stores: &Stores, index: &mut dyn Index) -> Result<(), BoundaryError> {
        let mut messages = std::mem::take(&mut self.delivered.messages);
        let all = messages.iter().filter_map(|message| message.arrivals.as_ref()).flatten().cloned().collect();
        let unknown = unknown(index, all, &self.delivered.gone).await?;
        let is_left = |message: &Delivery| match &message.arrivals {
            None => true,
            Some(arrivals) => arrivals.iter().any(|arrival| unknown.contains(&written(arrival))),
        };
        messages.retain(is_left);
        self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterSpec;
    use crate::memory_queue::MemoryQueue;
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

    fn later() -> DateTime<Utc> {
        at(9_999)
    }

    fn notification(key: &str, second: i64) -> Value {
        json!({"Records": [{"eventName": "ObjectCreated:Put", "eventTime": at(second).to_rfc3339(),
            "s3": {"bucket": {"name": "raw"}, "object": {"key": key, "size": 1, "eTag": key}}}]})
    }

    fn messages(bodies: &[(&str, String)]) -> Value {
        let record = |(id, body): &(&str, String)| json!({"eventSource": "aws:sqs", "messageId": id, "receiptHandle": format!("handle {id}"), "body": body});
        json!({"Records": bodies.iter().map(record).collect::<Vec<_>>()})
    }

    async fn failures(function: &BoundaryFunction, event: &Value, second: i64) -> Vec<String> {
        let answer = function.call(event, &move || at(second), later()).await.unwrap();
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
        let answer = one.call(&notification("in/a", 10), &|| at(11), later()).await.unwrap();
        assert_eq!(answer["ticked"]["lots"], 1);
        let refused = one.call(&notification("in/b", 12), &|| at(13), later()).await.unwrap_err();
        assert!(refused.is_transient(), "Lambda calls again: {refused}");
    }

    #[tokio::test]
    async fn what_waits_for_its_lot_comes_again_when_that_begins() {
        let (stores, queue) = (Stores::memory().unwrap(), Arc::new(MemoryQueue::default()));
        let function = BoundaryFunction { queue: Some(queue.clone()), ..function(&stores, EventArrival::Infrequent) };
        failures(&function, &messages(&[("1", notification("in/a", 10).to_string())]), 11).await;
        let second =
            [("2", notification("in/b", 20).to_string()), ("3", "no notification".into()), ("1", notification("in/a", 10).to_string())];
        assert_eq!(failures(&function, &messages(&second), 21).await, ["2", "3"]);
        assert_eq!(*queue.hides.lock().unwrap(), [("handle 2".to_owned(), 280)], "the next lot begins at second 300");
        assert_eq!(failures(&function, &messages(&second), 301).await, ["3"]);
    }

    #[tokio::test]
    async fn a_lot_is_told_of_once_by_a_process_and_once_more_by_the_next() {
        let (stores, bus) = (Stores::memory().unwrap(), Arc::new(MemoryBus::default()));
        bus.subscribe("s").await.unwrap();
        let start = || {
            let (bus, queue): (Arc<dyn Bus>, Arc<dyn Queue>) = (bus.clone(), Arc::new(MemoryQueue::default()));
            BoundaryFunction { bus, queue: Some(queue), ..function(&stores, EventArrival::Frequent) }.saying(|_| ())
        };
        let one = start();
        let mut told = Vec::new();
        for (function, second) in [(&one, 306), (&one, 606), (&one, 607), (&start(), 608), (&start(), 906)] {
            function.call_at(&json!({"tick": true}), at(second)).await.unwrap();
            let mut lots = Vec::new();
            for delivery in bus.receive("s", 10).await.unwrap() {
                bus.acknowledge("s", &delivery).await.unwrap();
                lots.push((delivery.event.lot.start() - at(0)).num_seconds());
            }
            told.push(lots);
        }
        assert_eq!(told, [vec![0], vec![300], vec![], vec![300], vec![300, 600]], "nobody knows whether the last process got so far");
    }

    #[tokio::test]
    async fn a_call_leaves_time_for_its_commit() {
        assert_eq!(share(at(0), at(60)), Duration::from_secs(30));
        assert_eq!(share(at(60), at(0)), Duration::ZERO);
    }
}
