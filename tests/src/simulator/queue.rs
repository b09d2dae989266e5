//! The queue of a schedule, with the manners of SQS: messages come at least once, in any order, late, twice at the same
//! time, or not although they are there; what is given out is hidden for a while; batch calls fail for some entries. It
//! watches what is deleted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use boundary::{BoundaryError, MESSAGES_PER_CALL, Message, Queue};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Fate, Faults};

use super::store::SimStore;
use super::time::VirtualTime;
use super::world::Dice;
use crate::promises::Identity;

/// A queue that keeps what SQS promises and nothing more.
pub(crate) struct SimQueue {
    time: VirtualTime,
    dice: Arc<Dice>,
    store: SimStore,
    visibility: TimeDelta,
    in_flight_max: usize,
    messages: Mutex<BTreeMap<u64, Sent>>,
    /// Messages so far: none has the number of another.
    sent: AtomicU64,
}

/// A message that is not deleted yet.
struct Sent {
    body: String,
    /// What it tells of, as far as the boundary wants it; `None` where nobody can read it.
    tells: Option<Vec<Identity>>,
    visible: DateTime<Utc>,
    receipts: u64,
}

impl SimQueue {
    /// An empty queue that gives out `in_flight_max` messages at once, at most.
    pub(crate) fn new(time: VirtualTime, dice: Arc<Dice>, store: SimStore, in_flight_max: usize) -> SimQueue {
        let visibility = TimeDelta::seconds(30 + dice.below(600));
        SimQueue { time, dice, store, visibility, in_flight_max, messages: Mutex::default(), sent: AtomicU64::new(0) }
    }

    /// The most messages that a boundary should hold: fewer than are given out, as in production.
    pub(crate) fn held_max(&self) -> usize {
        (self.in_flight_max * 5 / 6).max(1)
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Sent>) -> T) -> T {
        work(&mut self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a message that can be received so much later.
    pub(crate) fn send(&self, body: String, tells: Option<Vec<Identity>>, late: TimeDelta) {
        let visible = self.time.now() + late;
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        self.with(|messages| messages.insert(number, Sent { body, tells, visible, receipts: 0 }));
    }

    /// Messages that are there and can be read, hidden and late ones included.
    pub(crate) fn left(&self) -> usize {
        self.with(|messages| messages.values().filter(|message| message.tells.is_some()).count())
    }

    fn give_out(&self) -> Vec<Message> {
        let (now, is_stormy) = (self.time.now(), self.dice.is_stormy());
        if is_stormy && self.dice.roll(6) == 0 {
            return Vec::new();
        }
        let wanted = if is_stormy { 1 + self.dice.place(MESSAGES_PER_CALL) } else { MESSAGES_PER_CALL };
        self.with(|messages| {
            let in_flight = messages.values().filter(|message| message.receipts > 0 && message.visible > now).count();
            let room = self.in_flight_max.saturating_sub(in_flight).min(wanted);
            let mut visible: Vec<u64> = messages.iter().filter(|(_, message)| message.visible <= now).map(|(number, _)| *number).collect();
            let mut given = Vec::new();
            while given.len() < room && !visible.is_empty() {
                let number = visible.swap_remove(self.dice.place(visible.len()));
                let Some(message) = messages.get_mut(&number) else { continue };
                message.receipts += 1;
                // Now and then somebody else is given it at the same time.
                let is_shared = is_stormy && self.dice.roll(30) == 0;
                message.visible = if is_shared { now } else { now + self.visibility };
                let handle = format!("{number}/{}", message.receipts);
                given.push(Message { id: number.to_string(), handle, body: message.body.clone() });
            }
            given
        })
    }

    /// The messages of a batch call and whether each handle is that of the last receipt; entries that fail are left out.
    fn named(&self, handles: &[String]) -> Vec<(u64, bool)> {
        if handles.is_empty() || handles.len() > MESSAGES_PER_CALL {
            self.store.note(format!("promise 5: {} entries in a batch call", handles.len()));
        }
        let is_taken = |_: &&String| !self.dice.is_stormy() || self.dice.roll(12) != 0;
        let read = |handle: &String| {
            let (number, receipt) = handle.split_once('/')?;
            let (number, receipt) = (number.parse().ok()?, receipt.parse::<u64>().ok()?);
            self.with(|messages| messages.get(&number).map(|message| (number, message.receipts == receipt)))
        };
        handles.iter().filter(is_taken).filter_map(read).collect()
    }

    fn remove(&self, handles: &[String]) {
        for (number, is_last) in self.named(handles) {
            // A handle of an earlier receipt deletes, or is taken and does nothing.
            if !is_last && self.dice.roll(2) == 0 {
                continue;
            }
            // A server that was away has it still.
            let comes_back = self.dice.is_stormy() && self.dice.roll(40) == 0;
            let again = self.time.now() + TimeDelta::seconds(self.dice.below(900));
            let removed = self.with(|messages| match messages.get_mut(&number) {
                Some(message) if comes_back => {
                    message.visible = again;
                    message.tells.clone()
                }
                _ => messages.remove(&number).and_then(|message| message.tells),
            });
            for object in removed.unwrap_or_default() {
                if !self.store.holds(&object) {
                    self.store.note(format!("promise 1: a message went while {object:?} was in no commit and in no document"));
                }
            }
        }
    }

    fn hide_for(&self, handles: &[String], seconds: i64) {
        let visible = self.time.now() + TimeDelta::seconds(seconds);
        for (number, _) in self.named(handles).into_iter().filter(|(_, is_last)| *is_last) {
            self.with(|messages| _ = messages.entry(number).and_modify(|message| message.visible = visible));
        }
    }

    /// Asks the dice what becomes of a call that does `work`.
    async fn call<T>(&self, action: &'static str, work: impl Fn() -> T) -> Result<T, BoundaryError> {
        let refusal = || BoundaryError::Service { action, name: "queue".into(), reason: "injected fault".into(), transient: true };
        match self.dice.fate(action, true, "queue").await {
            // Nothing of this is a document that is to be created.
            Fate::Pass | Fate::Conflict | Fate::ConflictAfter | Fate::ConflictBefore => Ok(work()),
            Fate::Refuse => Err(refusal()),
            Fate::RefuseAfter => {
                work();
                Err(refusal())
            }
            Fate::Twice => {
                work();
                Ok(work())
            }
        }
    }
}

#[async_trait]
impl Queue for SimQueue {
    async fn receive(&self) -> Result<Vec<Message>, BoundaryError> {
        self.call("receive", || self.give_out()).await
    }

    async fn delete(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        self.call("delete", || self.remove(&handles)).await
    }

    async fn release(&self, handles: Vec<String>) -> Result<(), BoundaryError> {
        self.call("release", || self.hide_for(&handles, 0)).await
    }

    async fn hide(&self, handles: Vec<String>, seconds: u32) -> Result<(), BoundaryError> {
        self.call("hide", || self.hide_for(&handles, seconds.into())).await
    }
}
