//! The bus: availability events from whoever commits to whoever subscribes, at least once. Events are hints: what is
//! due is computed from manifests and arc state, so a lost one costs time and nothing else.
//!
//! A subscriber has a queue. Publishing puts the event into every queue under a name made of dataset, lot and
//! generation, so that publishing again is no second event while the first is still there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::commits::{from_json, to_json};
use crate::dataset::check_name;
use crate::error::ManifestsError;
use crate::event::AvailabilityEvent;
use crate::store::Root;

/// The most events one [`Bus::receive`] returns.
pub const EVENTS_PER_RECEIVE_MAX: usize = 1_000;

/// An event in a subscriber's queue, there until acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name in the queue.
    pub key: String,
    /// The event.
    pub event: AvailabilityEvent,
}

/// A bus. All implementations pass `conformance` in this module's tests.
#[async_trait]
pub trait Bus: Send + Sync + std::fmt::Debug {
    /// Makes the subscriber's queue; events published from now on land there. Safe to repeat.
    async fn subscribe(&self, subscriber: &str) -> Result<(), ManifestsError>;
    /// Puts the event of a generation into every queue. Safe to repeat.
    async fn publish(&self, event: &AvailabilityEvent, generation: u32) -> Result<(), ManifestsError>;
    /// Up to `max` events ([`EVENTS_PER_RECEIVE_MAX`] at most) that are not acknowledged, oldest lots first.
    async fn receive(&self, subscriber: &str, max: usize) -> Result<Vec<Delivery>, ManifestsError>;
    /// Takes a delivery out of the queue. Safe to repeat.
    async fn acknowledge(&self, subscriber: &str, delivery: &Delivery) -> Result<(), ManifestsError>;
}

fn key(event: &AvailabilityEvent, generation: u32) -> String {
    format!("{}-{}-{}-{generation:06}.json", event.lot, event.dataset.name, event.dataset.version)
}

/// A bus inside one process.
#[derive(Debug, Default)]
pub struct MemoryBus {
    queues: Mutex<BTreeMap<String, BTreeMap<String, AvailabilityEvent>>>,
}

impl MemoryBus {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, BTreeMap<String, AvailabilityEvent>>) -> T) -> T {
        work(&mut self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn subscribe(&self, subscriber: &str) -> Result<(), ManifestsError> {
        check_name("subscriber", subscriber)?;
        self.with(|queues| _ = queues.entry(subscriber.to_owned()).or_default());
        Ok(())
    }

    async fn publish(&self, event: &AvailabilityEvent, generation: u32) -> Result<(), ManifestsError> {
        self.with(|queues| queues.values_mut().for_each(|queue| drop(queue.insert(key(event, generation), event.clone()))));
        Ok(())
    }

    async fn receive(&self, subscriber: &str, max: usize) -> Result<Vec<Delivery>, ManifestsError> {
        let max = max.min(EVENTS_PER_RECEIVE_MAX);
        let delivery = |(key, event): (&String, &AvailabilityEvent)| Delivery { key: key.clone(), event: event.clone() };
        Ok(self.with(|queues| queues.get(subscriber).into_iter().flatten().take(max).map(delivery).collect()))
    }

    async fn acknowledge(&self, subscriber: &str, delivery: &Delivery) -> Result<(), ManifestsError> {
        self.with(|queues| _ = queues.get_mut(subscriber).and_then(|queue| queue.remove(&delivery.key)));
        Ok(())
    }
}

/// A bus in a folder (or any store): `bus/queue={subscriber}/{lot}-{dataset}-{version}-{generation}.json`, beside an
/// empty `bus/subscribers/{subscriber}` that says the queue exists.
#[derive(Debug)]
pub struct DiskBus {
    root: Root,
}

impl DiskBus {
    /// The bus below `bus/` of a store.
    pub fn new(root: Root) -> DiskBus {
        DiskBus { root }
    }

    fn queue(subscriber: &str) -> String {
        format!("bus/queue={subscriber}")
    }
}

#[async_trait]
impl Bus for DiskBus {
    async fn subscribe(&self, subscriber: &str) -> Result<(), ManifestsError> {
        check_name("subscriber", subscriber)?;
        self.root.create(&format!("bus/subscribers/{subscriber}"), "{}").await.map(|_| ())
    }

    async fn publish(&self, event: &AvailabilityEvent, generation: u32) -> Result<(), ManifestsError> {
        let body = to_json(event)?;
        for path in self.root.list("bus/subscribers").await? {
            let subscriber = path.filename().unwrap_or_default();
            self.root.put(&format!("{}/{}", DiskBus::queue(subscriber), key(event, generation)), body.clone()).await?;
        }
        Ok(())
    }

    async fn receive(&self, subscriber: &str, max: usize) -> Result<Vec<Delivery>, ManifestsError> {
        let mut deliveries = Vec::new();
        for path in self.root.list(&DiskBus::queue(subscriber)).await?.into_iter().take(max.min(EVENTS_PER_RECEIVE_MAX)) {
            let Some(body) = self.root.get(path.as_ref()).await? else { continue };
            let event = from_json(&self.root.uri(path.as_ref()), "an availability event", &body)?;
            deliveries.push(Delivery { key: path.filename().unwrap_or_default().to_owned(), event });
        }
        Ok(deliveries)
    }

    async fn acknowledge(&self, subscriber: &str, delivery: &Delivery) -> Result<(), ManifestsError> {
        self.root.delete(&format!("{}/{}", DiskBus::queue(subscriber), delivery.key)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use crate::lot::{Lot, LotUnit};
    use crate::manifest::Manifest;
    use crate::store::{ObjectStores, Stores};

    fn event(minute: i64) -> AvailabilityEvent {
        let lot = Lot::containing(LotUnit::Twelfths, chrono::DateTime::from_timestamp(minute * 60, 0).unwrap());
        let dataset = Dataset { name: "logs".into(), version: "1".into(), path_uri: "s3://logs/".into() };
        AvailabilityEvent::new(&Manifest::new(dataset, lot, vec![]), "memory:///m".into())
    }

    /// What every bus must do.
    async fn conformance(bus: &dyn Bus) {
        bus.publish(&event(0), 1).await.unwrap();
        bus.subscribe("one").await.unwrap();
        bus.subscribe("two").await.unwrap();
        bus.subscribe("one").await.unwrap();
        assert_eq!(bus.receive("one", 10).await.unwrap(), vec![], "events from before the subscription");
        for (minute, generation) in [(10, 1), (5, 1), (5, 1), (5, 2)] {
            bus.publish(&event(minute), generation).await.unwrap();
        }
        let seen = bus.receive("one", 10).await.unwrap();
        let lots: Vec<_> = seen.iter().map(|delivery| delivery.event.lot).collect();
        assert_eq!(lots, [event(5).lot, event(5).lot, event(10).lot], "each generation once, oldest first");
        assert_eq!(bus.receive("one", 10).await.unwrap(), seen, "redelivered until acknowledged");
        assert_eq!(bus.receive("one", 2).await.unwrap().len(), 2);
        for delivery in seen.iter().chain(&seen) {
            bus.acknowledge("one", delivery).await.unwrap();
        }
        assert_eq!(bus.receive("one", 10).await.unwrap(), vec![]);
        assert_eq!(bus.receive("two", 10).await.unwrap().len(), 3, "queues are apart");
        assert_eq!(bus.receive("three", 10).await.unwrap(), vec![], "nobody of that name");
        assert!(bus.subscribe("../x").await.is_err());
    }

    #[tokio::test]
    async fn memory_conforms() {
        conformance(&MemoryBus::default()).await;
    }

    #[tokio::test]
    async fn disk_conforms_on_a_disk_and_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Stores::below(ObjectStores::local(), &format!("file://{}", folder.path().display())).unwrap();
        conformance(&DiskBus::new(disk.artifact)).await;
        conformance(&DiskBus::new(Stores::memory().unwrap().artifact)).await;
    }
}
