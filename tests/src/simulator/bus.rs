//! The bus of a schedule: it loses events, repeats them, and is late.

use std::sync::Arc;

use async_trait::async_trait;
use manifests::{AvailabilityEvent, Bus, Delivery, ManifestsError, MemoryBus};

use super::world::Dice;

/// A bus that cannot be relied on.
#[derive(Debug)]
pub(crate) struct SimBus {
    pub(crate) inner: Arc<MemoryBus>,
    pub(crate) dice: Arc<Dice>,
}

#[async_trait]
impl Bus for SimBus {
    async fn subscribe(&self, subscriber: &str) -> Result<(), ManifestsError> {
        self.inner.subscribe(subscriber).await
    }

    async fn publish(&self, event: &AvailabilityEvent, generation: u32) -> Result<(), ManifestsError> {
        self.dice.pass_time().await;
        match self.dice.roll(if self.dice.is_stormy() { 8 } else { 0 }) {
            0 => self.inner.publish(event, generation).await,
            1..=2 => Ok(()),
            // The same event once more, later, under a name of its own.
            _ => {
                self.inner.publish(event, generation).await?;
                self.inner.publish(event, generation + 1_000).await
            }
        }
    }

    async fn receive(&self, subscriber: &str, max: usize) -> Result<Vec<Delivery>, ManifestsError> {
        self.dice.pass_time().await;
        self.inner.receive(subscriber, max).await
    }

    async fn acknowledge(&self, subscriber: &str, delivery: &Delivery) -> Result<(), ManifestsError> {
        self.inner.acknowledge(subscriber, delivery).await
    }
}
