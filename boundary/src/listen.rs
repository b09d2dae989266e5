//! A queue that somebody listens to between two scans: a message that wakes them is kept, and handed to the scan that
//! follows before anything else of the queue. So it is received once, and nobody waits for it to be given out again.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::error::BoundaryError;
use crate::queue::{MESSAGES_PER_CALL, Message, Queue};

/// The queue.
pub struct Listened {
    queue: Arc<dyn Queue>,
    patient: Arc<dyn Queue>,
    kept: Mutex<Vec<Message>>,
}

impl Listened {
    /// A queue, and the same one with receipts that wait long for a first message.
    pub fn new(queue: Arc<dyn Queue>, patient: Arc<dyn Queue>) -> Listened {
        Listened { queue, patient, kept: Mutex::default() }
    }

    /// Waits once for messages; whether there is something to scan for.
    pub async fn listen(&self) -> Result<bool, BoundaryError> {
        let messages = self.patient.receive().await?;
        let mut kept = self.kept();
        kept.extend(messages);
        Ok(!kept.is_empty())
    }

    /// Whether a message is kept for the next scan.
    pub fn has_heard(&self) -> bool {
        !self.kept().is_empty()
    }

    /// Gives back what no scan will take, so that another process need not wait for it.
    pub async fn give_back(&self) -> Result<(), BoundaryError> {
        let handles: Vec<String> = std::mem::take(&mut *self.kept()).into_iter().map(|message| message.handle).collect();
        for handles in handles.chunks(MESSAGES_PER_CALL) {
            self.queue.release(handles.to_vec()).await?;
        }
        Ok(())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Message>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_kept(&self) -> Vec<Message> {
        let mut kept = self.kept();
        let count = kept.len().min(MESSAGES_PER_CALL);
        kept.drain(..count).collect()
    }
}

#[async_trait]
impl Queue for Listened {
    async fn receive(&self) -> Result<Vec<Message>, BoundaryError> {
        let kept = self.take_kept();
        if kept.is_empty() { self.queue.receive().await } else { Ok(kept) }
    }

    async fn delete(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        self.queue.delete(handles).await
    }

    async fn release(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        self.queue.release(handles).await
    }

    async fn hide(&self, handles: Vec<String>, seconds: u32) -> Result<(), BoundaryError> {
        self.queue.hide(handles, seconds).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_queue::MemoryQueue;

    #[tokio::test]
    async fn what_was_heard_is_handed_on_or_given_back() {
        let queue = Arc::new(MemoryQueue::default());
        let listened = Listened::new(queue.clone(), queue.clone());
        assert!(!listened.listen().await.unwrap() && !listened.has_heard(), "silence");
        (0..12).for_each(|n| queue.send_text(n.to_string()));
        assert!(listened.listen().await.unwrap() && listened.has_heard());
        let bodies = |messages: Vec<Message>| messages.into_iter().map(|message| message.body).collect::<Vec<_>>().join(" ");
        assert_eq!(bodies(listened.receive().await.unwrap()), "0 1 2 3 4 5 6 7 8 9", "what was heard first");
        assert_eq!(bodies(listened.receive().await.unwrap()), "10 11", "then the queue");
        queue.expire();
        assert!(listened.listen().await.unwrap());
        listened.give_back().await.unwrap();
        assert!(!listened.has_heard());
        assert_eq!(queue.receive().await.unwrap().len(), MESSAGES_PER_CALL, "anybody may have them again");
    }
}
