//! A bus that also tells this process what this process publishes. Events flow through; which lots they are of flows out
//! again, so that what follows from a lot is looked for at once and nowhere else. What others publish is not heard here:
//! a sweep finds it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use manifests::{AvailabilityEvent, Bus, DatasetId, Delivery, Lot, ManifestsError};

use crate::telemetry::{Part, Telemetry};

/// Lots that are remembered until somebody looks at them; of more, a sweep finds all.
const HEARD_MAX: usize = 1_000;

/// The bus.
#[derive(Debug)]
pub struct Echo {
    bus: Arc<dyn Bus>,
    telemetry: Arc<Telemetry>,
    heard: Mutex<Heard>,
}

/// What was published since somebody asked.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    /// The lots, at most [`HEARD_MAX`].
    pub lots: BTreeSet<(DatasetId, Lot)>,
    /// Whether there were more.
    pub is_more: bool,
}

impl Echo {
    /// Listens to what is published on `bus` through this one.
    pub fn new(bus: Arc<dyn Bus>, telemetry: Arc<Telemetry>) -> Echo {
        Echo { bus, telemetry, heard: Mutex::default() }
    }

    /// What was published since the last call.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hear(&self, event: &AvailabilityEvent) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.lots.len() < HEARD_MAX {
            true => {
                heard.lots.insert((event.dataset.id(), event.lot));
            }
            false => heard.is_more = true,
        }
    }
}

#[async_trait]
impl Bus for Echo {
    async fn subscribe(&self, subscriber: &str) -> Result<(), ManifestsError> {
        self.bus.subscribe(subscriber).await
    }

    async fn publish(&self, event: &AvailabilityEvent, generation: u32) -> Result<(), ManifestsError> {
        // The lot is committed, whether or not the world hears of it.
        self.hear(event);
        let published = self.bus.publish(event, generation).await;
        self.telemetry.answered(&Part::Bus, published.is_ok());
        self.telemetry.stepped();
        published
    }

    async fn receive(&self, subscriber: &str, max: usize) -> Result<Vec<Delivery>, ManifestsError> {
        self.bus.receive(subscriber, max).await
    }

    async fn acknowledge(&self, subscriber: &str, delivery: &Delivery) -> Result<(), ManifestsError> {
        self.bus.acknowledge(subscriber, delivery).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use manifests::{Dataset, MemoryBus};

    #[tokio::test]
    async fn each_lot_is_heard_of_once_and_too_many_mean_all() {
        let echo = Echo::new(Arc::new(MemoryBus::default()), Arc::new(Telemetry::of(&[], BTreeMap::new())));
        let dataset = Dataset { name: "raw".into(), version: "1".into(), path_uri: "s3://raw/".into() };
        let mut lot: Lot = "20230717PT5M250".parse().unwrap();
        for at in 0..HEARD_MAX + 1 {
            let event = AvailabilityEvent { dataset: dataset.clone(), lot, manifest: String::new(), dataset_id: dataset.id().to_string() };
            echo.publish(&event, 1).await.unwrap();
            echo.publish(&event, 2).await.unwrap();
            assert_eq!(echo.heard.lock().unwrap().is_more, at >= HEARD_MAX - 1, "{at}");
            lot = lot.next();
        }
        assert_eq!(echo.take().lots.len(), HEARD_MAX);
        assert_eq!(echo.take(), Heard::default());
    }
}
