//! EventBridge as the bus. Events flow out to whoever has a rule on it; queues are theirs. Nothing is received here: a
//! process of ours that wants events is called with them, and one that computes what is due needs none.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::aws::{Aws, reason};
use crate::bus::{Bus, Delivery};
use crate::commits::to_json;
use crate::error::ManifestsError;
use crate::event::{AvailabilityEvent, EVENT_DETAIL_TYPE, EVENT_SOURCE};

/// Tries at an entry that EventBridge took the call for and refused by itself.
const ENTRY_TRIES: u32 = 5;
/// The wait after the first refusal, in milliseconds; it doubles.
const ENTRY_WAIT_MILLISECONDS: u64 = 100;

/// A bus of EventBridge.
#[derive(Clone, Debug)]
pub struct EventBridgeBus {
    client: Client,
    bus: String,
}

impl EventBridgeBus {
    /// The bus of this name.
    pub fn new(aws: &Aws, bus: &str) -> EventBridgeBus {
        EventBridgeBus { client: Client::new(aws.config()), bus: bus.to_owned() }
    }

    fn fail(&self, reason: String) -> ManifestsError {
        ManifestsError::Bus { bus: self.bus.clone(), reason }
    }

    /// Puts one entry; the reason where EventBridge refused that entry though it took the call.
    async fn put(&self, detail: &str) -> Result<Option<String>, ManifestsError> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(EVENT_SOURCE)
            .detail_type(EVENT_DETAIL_TYPE)
            .detail(detail)
            .build();
        let sent = self.client.put_events().entries(entry).send().await;
        let sent = sent.map_err(|error| self.fail(reason(&error)))?;
        let refused = sent.entries().iter().find(|entry| entry.event_id().is_none() || entry.error_code().is_some());
        let told = |code: Option<&str>, text: Option<&str>| format!("{}: {}", code.unwrap_or("refused"), text.unwrap_or("no reason given"));
        Ok(refused.map(|entry| told(entry.error_code(), entry.error_message())))
    }
}

#[async_trait]
impl Bus for EventBridgeBus {
    async fn subscribe(&self, _subscriber: &str) -> Result<(), ManifestsError> {
        Ok(())
    }

    async fn publish(&self, event: &AvailabilityEvent, _generation: u32) -> Result<(), ManifestsError> {
        let detail = String::from_utf8(to_json(event)?).map_err(|error| self.fail(error.to_string()))?;
        let mut wait = Duration::from_millis(ENTRY_WAIT_MILLISECONDS);
        let mut tries = 1;
        loop {
            match self.put(&detail).await? {
                None => return Ok(()),
                Some(reason) if tries == ENTRY_TRIES => return Err(self.fail(reason)),
                Some(_) => tokio::time::sleep(wait).await,
            }
            (tries, wait) = (tries + 1, wait * 2);
        }
    }

    async fn receive(&self, _subscriber: &str, _max: usize) -> Result<Vec<Delivery>, ManifestsError> {
        Ok(Vec::new())
    }

    async fn acknowledge(&self, _subscriber: &str, _delivery: &Delivery) -> Result<(), ManifestsError> {
        Ok(())
    }
}
