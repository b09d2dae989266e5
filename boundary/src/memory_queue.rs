//! A queue in memory, for the tests of whoever drains one.

use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::error::BoundaryError;
use crate::queue::{MESSAGES_PER_CALL, Message, Queue};

/// A queue in memory: what is given out is hidden until it is released, deleted, or [`MemoryQueue::expire`] is called.
#[derive(Debug, Default)]
pub(crate) struct MemoryQueue {
    visible: Mutex<Vec<Message>>,
    hidden: Mutex<Vec<Message>>,
    sent: Mutex<u64>,
    /// What was hidden, and for how many seconds.
    pub hides: Mutex<Vec<(String, u32)>>,
    /// How many of the next calls fail after they had their effect.
    pub failures: Mutex<u32>,
}

impl MemoryQueue {
    pub fn send(&self, key: &str, arrived: DateTime<Utc>) {
        let record = json!({"Records": [{"eventName": "ObjectCreated:Put", "eventTime": arrived.to_rfc3339(),
            "s3": {"bucket": {"name": "raw"}, "object": {"key": key, "size": 1, "eTag": key}}}]});
        self.send_text(record.to_string());
    }

    pub fn send_text(&self, body: String) {
        let mut sent = self.sent.lock().unwrap();
        *sent += 1;
        self.visible.lock().unwrap().push(Message { id: sent.to_string(), handle: format!("handle {sent}"), body });
    }

    pub fn expire(&self) {
        self.visible.lock().unwrap().append(&mut self.hidden.lock().unwrap());
    }

    pub fn left(&self) -> usize {
        self.visible.lock().unwrap().len() + self.hidden.lock().unwrap().len()
    }

    fn answer<T>(&self, answer: T) -> Result<T, BoundaryError> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(BoundaryError::Service { action: "call", name: "queue".into(), reason: "500".into(), transient: true });
        }
        Ok(answer)
    }

    fn take_hidden(&self, handles: &[String]) -> Vec<Message> {
        let mut hidden = self.hidden.lock().unwrap();
        let (taken, rest) = hidden.drain(..).partition(|message| handles.contains(&message.handle));
        *hidden = rest;
        taken
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn receive(&self) -> Result<Vec<Message>, BoundaryError> {
        // Others get their turn, as they do while a call is on its way.
        tokio::task::yield_now().await;
        let mut visible = self.visible.lock().unwrap();
        let count = visible.len().min(MESSAGES_PER_CALL);
        let messages: Vec<Message> = visible.drain(..count).collect();
        self.hidden.lock().unwrap().extend(messages.iter().cloned());
        self.answer(messages)
    }

    async fn delete(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        assert!(handles.len() <= MESSAGES_PER_CALL);
        self.take_hidden(&handles);
        self.answer(())
    }

    async fn release(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        let released = self.take_hidden(&handles);
        self.visible.lock().unwrap().extend(released);
        self.answer(())
    }

    async fn hide(&self, handles: Vec<String>, seconds: u32) -> Result<(), BoundaryError> {
        self.hides.lock().unwrap().extend(handles.into_iter().map(|handle| (handle, seconds)));
        self.answer(())
    }
}
