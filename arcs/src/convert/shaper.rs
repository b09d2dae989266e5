//! The shaping of blocks: parsed blocks flow in once it is known how many lines come before them, in order; shaped blocks
//! flow out as messages, in any order. Shaping runs on the pool, before more is parsed: it frees memory.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use crate::convert::ConvertJob;
use crate::convert::readers::Message;
use crate::error::ArcsError;
use crate::lineage::BlockOrigin;
use crate::parse::ParsedBlock;
use crate::pool::{Failure, Share, Tasks, Urgency};
use crate::shape::{RedactKey, Shape};

/// Hands blocks to the pool to be shaped.
pub(super) struct Shaper {
    shape: Arc<Shape>,
    key: Option<RedactKey>,
    tasks: Tasks,
    failure: Arc<Failure>,
    messages: Sender<Message>,
    /// Blocks handed over so far.
    submitted: usize,
}

impl Shaper {
    /// For the blocks of a job.
    pub(super) fn new(job: &ConvertJob, shape: &Arc<Shape>, tasks: &Tasks, failure: &Arc<Failure>, messages: Sender<Message>) -> Shaper {
        let key = job.redact_key.clone();
        Shaper { shape: shape.clone(), key, tasks: tasks.clone(), failure: failure.clone(), messages, submitted: 0 }
    }

    /// Blocks handed over so far.
    pub(super) fn submitted(&self) -> usize {
        self.submitted
    }

    /// Hands over the next block.
    pub(super) fn submit(&mut self, parsed: ParsedBlock, origin: BlockOrigin, share: Share) {
        let (shape, key) = (self.shape.clone(), self.key.clone());
        let (messages, failure, place) = (self.messages.clone(), self.failure.clone(), self.submitted);
        self.submitted += 1;
        self.tasks.submit(Urgency::First, move || match shape.apply(parsed, &origin, key.as_ref()) {
            Ok(shaped) => {
                let _ = messages.send(Message::Shaped { place, origin, shaped: Box::new(shaped), share });
            }
            Err(error) => failure.set(error),
        });
    }
}

/// Refuses values to be hashed without a key.
pub(super) fn check_key(shape: &Shape, key: Option<&RedactKey>) -> Result<(), ArcsError> {
    match shape.needs_key() && key.is_none() {
        true => Err(ArcsError::Job { message: "values are to be hashed and there is no key; name one with redactKeyEnv".into() }),
        false => Ok(()),
    }
}
