//! A queue in memory with a clock that is not the machine's: messages come at least once, and again when what they were
//! given out for is not done in time.

use std::sync::{Mutex, PoisonError};

use arcs::runner::Clock;
use async_trait::async_trait;
use boundary::{BoundaryError, MESSAGES_PER_CALL, Message, Queue};
use chrono::{DateTime, TimeDelta, Utc};

/// How long a message that was given out stays hidden, in seconds.
const VISIBILITY_SECONDS: i64 = 150;

/// The queue.
pub(crate) struct ClockedQueue {
    clock: Clock,
    messages: Mutex<Vec<(Message, DateTime<Utc>)>>,
}

impl ClockedQueue {
    pub(crate) fn new(clock: Clock) -> ClockedQueue {
        ClockedQueue { clock, messages: Mutex::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<(Message, DateTime<Utc>)>) -> T) -> T {
        work(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a message under an id of its own, to be received so much later.
    pub(crate) fn send(&self, id: String, body: String, late: TimeDelta) {
        let visible = (self.clock)() + late;
        self.with(|messages| messages.push((Message { handle: id.clone(), id, body }, visible)));
    }

    /// Messages that are there, hidden or not.
    pub(crate) fn left(&self) -> usize {
        self.with(|messages| messages.len())
    }
}

#[async_trait]
impl Queue for ClockedQueue {
    async fn receive(&self) -> Result<Vec<Message>, BoundaryError> {
        let now = (self.clock)();
        let give = |(message, visible): &mut (Message, DateTime<Utc>)| {
            *visible = now + TimeDelta::seconds(VISIBILITY_SECONDS);
            message.clone()
        };
        let visible = |messages: &mut Vec<(Message, DateTime<Utc>)>| -> Vec<Message> {
            messages.iter_mut().filter(|(_, visible)| *visible <= now).take(MESSAGES_PER_CALL).map(give).collect()
        };
        Ok(self.with(visible))
    }

    async fn delete(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        self.with(|messages| messages.retain(|(message, _)| !handles.contains(&message.handle)));
        Ok(())
    }

    async fn release(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        let now = (self.clock)();
        let released = |(message, _): &&mut (Message, DateTime<Utc>)| handles.contains(&message.handle);
        self.with(|messages| messages.iter_mut().filter(released).for_each(|(_, visible)| *visible = now));
        Ok(())
    }
}
