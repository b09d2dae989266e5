//! A boundary of a schedule and the outside that puts objects before it: into a folder that is listed, or into a bucket
//! whose notifications reach a queue in all the shapes they have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use boundary::aws::BoundaryFunction;
use boundary::{Boundary, BoundarySpec, CommitIndex, MemoryIndex, Queue, QueueArrivals};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::TryStreamExt;
use manifests::Lot;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use serde_json::{Value, json};

use super::queue::SimQueue;

use super::world::{BUCKET, World};
use crate::promises::Identity;

/// A boundary and how it hears.
pub(crate) struct Edge {
    pub(crate) spec: BoundarySpec,
    /// None where it lists.
    pub(crate) queue: Option<Arc<SimQueue>>,
    /// The longest that a message is late, in seconds.
    pub(crate) late_seconds_max: i64,
    /// How often each object was written and told of.
    told: Mutex<BTreeMap<Identity, usize>>,
}

/// An object that was written.
struct Written {
    key: String,
    etag: String,
    size: u64,
    at: DateTime<Utc>,
}

impl Edge {
    pub(crate) fn new(spec: BoundarySpec, queue: Option<Arc<SimQueue>>, late_seconds_max: i64) -> Edge {
        Edge { spec, queue, late_seconds_max, told: Mutex::default() }
    }

    /// The folder of the dataset in the store.
    pub(crate) fn folder(&self) -> &str {
        &self.spec.dataset.name
    }

    /// What notifications told of, and how often it was written.
    pub(crate) fn told(&self) -> BTreeMap<Identity, usize> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A boundary that lives on, as in `arc up`.
    pub(crate) fn open(&self, world: &World) -> Boundary {
        let (stores, bus) = (world.stores.clone(), world.bus.clone());
        let fits = "a filter that compiles";
        match &self.queue {
            None => Boundary::new(self.spec.clone(), stores, bus, Box::new(MemoryIndex::default())).expect(fits),
            Some(queue) => {
                let since = world.time.now() - TimeDelta::hours(1);
                let index = CommitIndex::new(stores.clone(), self.spec.dataset.id(), self.spec.unit, since);
                let boundary = Boundary::new(self.spec.clone(), stores, bus, Box::new(index)).expect(fits);
                boundary.hearing(Box::new(QueueArrivals::holding(queue.clone(), queue.held_max())))
            }
        }
    }

    /// The function that drains the queue, as on AWS.
    pub(crate) fn function(&self, world: &World, queue: &Arc<SimQueue>) -> BoundaryFunction {
        let drained: Arc<dyn Queue> = queue.clone();
        let function = BoundaryFunction::over("sim".into(), self.spec.clone(), world.stores.clone(), world.bus.clone(), Some(drained));
        function.holding(queue.held_max()).saying(|_| ())
    }

    /// Objects arrive, in bursts; in some worlds some in place of others, in some they go away again.
    pub(crate) async fn burst(&self, world: &World, round: u64) {
        let mut written = Vec::new();
        for n in 0..world.dice.roll(4) {
            let name = if world.replaces { world.dice.roll(12) } else { 4 * round + n };
            written.push(self.write(world, name).await);
        }
        if let Some(queue) = &self.queue {
            self.tell(world, queue, &written);
        }
        if world.removes && world.dice.roll(4) == 0 {
            let there: Vec<ObjectMeta> = world.store.list(Some(&Path::from(self.folder()))).try_collect().await.unwrap_or_default();
            if let Some(meta) = there.get(world.dice.place(there.len())) {
                world.store.take_away(&meta.location).await;
            }
        }
    }

    /// Writes an object; some have old times, which only a listing tells; some are written again as they are.
    async fn write(&self, world: &World, number: u64) -> Written {
        let key = format!("{}/{}", self.folder(), self.named(world, number));
        let path = Path::parse(&key).expect("a path");
        let now = world.time.now();
        let is_old = self.queue.is_none() && world.dice.roll(4) == 0;
        let at = if is_old { now - TimeDelta::seconds(world.dice.below(3_600)) } else { now };
        let is_same = self.queue.is_some() && world.replaces && world.dice.roll(3) == 0;
        if !is_same || world.store.etag(&path).await.is_none() {
            world.store.put_at(&path, at).await;
        }
        let (etag, size) = world.store.etag(&path).await.unwrap_or_default();
        Written { key, etag, size, at }
    }

    /// The name of an object. Where objects go away it holds the lot in which it most likely arrives: what a replay does not
    /// make again is then its lot's own, and removed.
    fn named(&self, world: &World, number: u64) -> String {
        let name = if self.queue.is_some() { format!("heard {number}+") } else { number.to_string() };
        match world.removes {
            true => format!("{}-{name}", Lot::containing(self.spec.unit, world.time.now())),
            false => name,
        }
    }

    /// Notifications of what was written, and others that a queue of S3 has.
    fn tell(&self, world: &World, queue: &SimQueue, written: &[Written]) {
        let identity = |object: &Written| (format!("s3://{BUCKET}/{}", object.key), Some(object.etag.clone()));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        written.iter().for_each(|object| *told.entry(identity(object)).or_default() += 1);
        let dice = &world.dice;
        let together = if dice.roll(3) == 0 { written.len().max(1) } else { 1 };
        for objects in written.chunks(together) {
            let copies = if dice.roll(6) == 0 { 2 } else { 1 };
            for _ in 0..copies {
                let late = match dice.roll(10) {
                    0 => dice.below(self.late_seconds_max.unsigned_abs()),
                    _ => dice.below(3),
                };
                for (text, objects) in notifications(dice.roll(3), objects) {
                    queue.send(text, Some(objects.iter().map(|object| identity(object)).collect()), TimeDelta::seconds(late));
                }
            }
        }
        match dice.roll(60) {
            0 => queue.send("no notification".into(), None, TimeDelta::zero()),
            1 => queue.send(json!({"Service": "Amazon S3", "Event": "s3:TestEvent"}).to_string(), Some(vec![]), TimeDelta::zero()),
            2 => queue.send(plain(&[&elsewhere(world.time.now())]).to_string(), Some(vec![]), TimeDelta::zero()),
            _ => {}
        }
    }
}

/// What another prefix of the bucket is told of.
fn elsewhere(at: DateTime<Utc>) -> Written {
    Written { key: "elsewhere/a".into(), etag: "e".into(), size: 1, at }
}

/// Messages that tell of objects: from S3, from S3 through SNS, or from EventBridge, which knows whole seconds and sends one
/// object at a time.
fn notifications(shape: u64, objects: &[Written]) -> Vec<(String, Vec<&Written>)> {
    let all: Vec<&Written> = objects.iter().collect();
    match shape {
        0 => vec![(plain(&all).to_string(), all)],
        1 => vec![(json!({"Type": "Notification", "Message": plain(&all).to_string()}).to_string(), all)],
        _ => all.into_iter().map(|object| (bridged(object).to_string(), vec![object])).collect(),
    }
}

fn plain(objects: &[&Written]) -> Value {
    let record = |object: &&Written| {
        let key = object.key.replace('+', "%2B").replace(' ', "+");
        json!({"eventName": "ObjectCreated:Put", "eventTime": object.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "s3": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": object.size, "eTag": object.etag.trim_matches('"')}}})
    };
    json!({"Records": objects.iter().map(record).collect::<Vec<_>>()})
}

fn bridged(object: &Written) -> Value {
    json!({"source": "aws.s3", "detail-type": "Object Created", "time": object.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "detail": {"bucket": {"name": BUCKET}, "object": {"key": object.key, "size": object.size, "etag": object.etag.trim_matches('"')}}})
}
