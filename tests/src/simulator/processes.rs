//! Who lives in a schedule: two processes a boundary, two workers or the dispatch function and its jobs, somebody who
//! replays, and the outside that puts objects.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arcs::runner::RunContext;
use boundary::aws::BoundaryFunction;
use boundary::{Boundary, BoundaryError, Dispatcher, EventArrival, Message, Queue, Standing};
use chrono::{DateTime, TimeDelta, Utc};
use manifests::{Bus, EVENT_DETAIL_TYPE, EVENT_SOURCE};
use serde_json::json;

use super::batch::{SimBatch, compute_all, compute_for_ever, dispatch_function};
use super::edge::Edge;
use super::queue::SimQueue;
use super::world::World;
use crate::work::{self, LEASE_SECONDS, replay, work_once, worker};

/// How long the storm lasts.
const STORM_MINUTES: i64 = 12;
/// How long the calm may last until everything is done.
const CALM_HOURS: i64 = 12;
/// Ticks of the calm, at least, and at most: what is late comes within hours.
const CALM_ROUNDS_MIN: u32 = 6;
const CALM_ROUNDS_MAX: u32 = 60;
/// The function's name on the bus.
const FUNCTION: &str = "function";

type Process<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Everything goes wrong that may.
pub(crate) async fn storm(world: &World) {
    let mut processes: Vec<Process<'_>> = Vec::new();
    if let Some(batch) = &world.batch {
        let _ = world.delivered.subscribe(FUNCTION).await;
        processes.extend((0..3).map(|_| -> Process<'_> { Box::pin(compute_for_ever(world, batch)) }));
    }
    for edge in &world.edges {
        processes.push(Box::pin(put_for_ever(world, edge)));
        for _ in 0..2 {
            // Clocks are off by up to a minute.
            let skew = TimeDelta::seconds(world.dice.below(120) - 60);
            processes.push(Box::pin(mortal(world, move |world| Box::pin(hear_for_ever(world, edge, skew)))));
        }
    }
    for n in 0..2i64 {
        processes.push(Box::pin(mortal(world, move |world| match &world.batch {
            Some(batch) => Box::pin(dispatch_for_ever(world, batch)),
            None => Box::pin(work_for_ever(world, n)),
        })));
    }
    processes.push(Box::pin(mortal(world, |world| Box::pin(replay_now_and_then(world)))));
    world.time.run(processes, TimeDelta::minutes(STORM_MINUTES)).await;
    world.dice.calm();
}

/// No more faults: boundaries tick and workers work until nothing is left to do. False where that never comes.
pub(crate) async fn calm(world: &World) -> bool {
    let settled = Box::pin(async {
        hear_all(world).await;
        if let Some(batch) = &world.batch {
            batch.lose_running();
            dispatch_all(world, batch).await;
        }
        let mut dispatcher = open_dispatcher(world).await;
        while work_once(&context(world, "calm"), &world.arcs, &mut dispatcher, true).await != Some(0) {
            world.time.sleep(TimeDelta::seconds(LEASE_SECONDS)).await;
        }
    });
    let start = world.time.now();
    let done = world.time.run(vec![settled], TimeDelta::hours(CALM_HOURS)).await;
    done && world.time.now() - start < TimeDelta::hours(CALM_HOURS)
}

/// Boundaries tick until all that comes late has come, and half an hour at least.
async fn hear_all(world: &World) {
    let mut boundaries: Vec<Boundary> = world.edges.iter().map(|edge| edge.open(world)).collect();
    let is_left = |edge: &Edge| edge.queue.as_ref().is_some_and(|queue| queue.left() > 0);
    let mut rounds = 0;
    while rounds < CALM_ROUNDS_MIN || (rounds < CALM_ROUNDS_MAX && world.edges.iter().any(is_left)) {
        rounds += 1;
        world.time.sleep(TimeDelta::minutes(5)).await;
        for boundary in &mut boundaries {
            while boundary.tick(world.time.now()).await.is_ok_and(|ticked| ticked.next <= world.time.now()) {}
        }
    }
}

/// The dispatch function is called by the clock, and jobs run, until every lot is done, waits for others or is left to a
/// person.
async fn dispatch_all(world: &World, batch: &Arc<SimBatch>) {
    let function = dispatch_function(world, batch);
    let mut dispatcher = Dispatcher::new(world.sound.clone(), world.bus.clone()).await.expect("a bus in memory to subscribe to");
    loop {
        let mut left = 0;
        for arc in &world.arcs {
            let standings = dispatcher.standings(arc, world.time.now(), &worker("look")).await.unwrap_or_default();
            let is_settled = |standing: &&Standing| matches!(standing, Standing::Done(_) | Standing::Waiting { .. } | Standing::Failed(_));
            left += standings.values().filter(|standing| !is_settled(standing)).count();
        }
        if left == 0 {
            return;
        }
        let _ = function.call(&json!({"sweep": true}), world.time.now()).await;
        compute_all(world, batch).await;
        for event in batch.events() {
            let _ = function.call(&event, world.time.now()).await;
        }
        world.time.sleep(TimeDelta::seconds(LEASE_SECONDS)).await;
    }
}

/// A process that dies now and then, in the middle of whatever it does, and starts again with nothing in memory.
async fn mortal<'a>(world: &'a World, live: impl Fn(&'a World) -> Process<'a>) {
    loop {
        let span = TimeDelta::milliseconds(world.dice.below(600_000));
        let (life, death) = (live(world), Box::pin(world.time.sleep(span)));
        futures::future::select(life, death).await;
        world.dice.crashes.fetch_add(1, Ordering::Relaxed);
        pause(world, 60).await;
    }
}

async fn pause(world: &World, seconds_max: u64) {
    world.time.sleep(TimeDelta::milliseconds(1 + world.dice.below(seconds_max * 1_000))).await;
}

async fn put_for_ever(world: &World, edge: &Edge) {
    for round in 0.. {
        edge.burst(world, round).await;
        pause(world, 240).await;
    }
}

/// A boundary's process: one that lives on, or the function on AWS, called by the clock or by its queue.
async fn hear_for_ever(world: &World, edge: &Edge, skew: TimeDelta) {
    // A clock that jumps, too.
    let jump = || TimeDelta::seconds(if world.dice.roll(20) == 0 { -400 } else { 0 });
    let now = || world.time.now() + skew + jump();
    let Some(queue) = edge.queue.as_ref().filter(|_| world.dice.roll(3) != 0) else {
        let mut boundary = edge.open(world);
        loop {
            let _ = boundary.tick(now()).await;
            pause(world, 120).await;
        }
    };
    let function = edge.function(world, queue);
    let is_polled = edge.spec.arrival == EventArrival::Infrequent && world.dice.roll(3) != 0;
    loop {
        let _ = match is_polled {
            true => poll(queue, &function, now()).await,
            false => function.call_at(&json!({"tick": true}), now()).await.map(|_| ()),
        };
        pause(world, 120).await;
    }
}

/// What Lambda does between a queue and a function: messages that the function is done with are deleted.
async fn poll(queue: &SimQueue, function: &BoundaryFunction, now: DateTime<Utc>) -> Result<(), BoundaryError> {
    let messages = queue.receive().await?;
    if messages.is_empty() {
        return Ok(());
    }
    let record = |message: &Message| json!({"eventSource": "aws:sqs", "messageId": message.id, "receiptHandle": message.handle, "body": message.body});
    let answer = function.call_at(&json!({"Records": messages.iter().map(record).collect::<Vec<_>>()}), now).await?;
    let failed = |message: &Message| {
        let failures = answer["batchItemFailures"].as_array().into_iter().flatten();
        failures.into_iter().any(|failure| failure["itemIdentifier"] == message.id.as_str())
    };
    let done: Vec<String> = messages.iter().filter(|message| !failed(message)).map(|message| message.handle.clone()).collect();
    if done.is_empty() { Ok(()) } else { queue.delete(done).await }
}

/// The dispatch function, called by events of the bus, by events of Batch and by the clock.
async fn dispatch_for_ever(world: &World, batch: &Arc<SimBatch>) {
    let function = dispatch_function(world, batch);
    loop {
        for delivery in world.delivered.receive(FUNCTION, 10).await.unwrap_or_default() {
            let _ = world.delivered.acknowledge(FUNCTION, &delivery).await;
            let event = json!({"source": EVENT_SOURCE, "detail-type": EVENT_DETAIL_TYPE, "detail": delivery.event});
            let _ = function.call(&event, world.time.now()).await;
        }
        for event in batch.events() {
            let _ = function.call(&event, world.time.now()).await;
        }
        if world.dice.roll(6) == 0 {
            let _ = function.call(&json!({"sweep": true}), world.time.now()).await;
        }
        pause(world, 60).await;
    }
}

async fn work_for_ever(world: &World, n: i64) {
    let context = context(world, &format!("worker-{n}-{}", world.time.now().timestamp_micros()));
    let mut dispatcher = open_dispatcher(world).await;
    loop {
        work_once(&context, &world.arcs, &mut dispatcher, false).await;
        pause(world, 150).await;
    }
}

pub(crate) async fn open_dispatcher(world: &World) -> Dispatcher {
    Dispatcher::new(world.stores.clone(), world.bus.clone()).await.expect("a bus in memory to subscribe to")
}

/// A worker of this name over a schedule's stores.
pub(crate) fn context(world: &World, owner: &str) -> RunContext {
    let time = world.time.clone();
    work::context(&world.stores, &world.bus, Arc::new(move || time.now()), owner)
}

/// Somebody asks for a lot to be done again.
async fn replay_now_and_then(world: &World) {
    loop {
        pause(world, 900).await;
        let Some(arc) = world.arcs.get(world.dice.place(2)) else { return };
        let mut dispatcher = open_dispatcher(world).await;
        replay(&context(world, "replay"), arc, &mut dispatcher, |count| world.dice.place(count)).await;
    }
}
