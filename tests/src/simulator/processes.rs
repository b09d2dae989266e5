//! Who lives in a schedule: two boundaries, two workers, somebody who replays, and the outside that puts objects.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arcs::runner::{self, RunContext, RunOptions};
use boundary::{Boundary, Dispatcher, MemoryIndex, Standing, Worker};
use chrono::{DateTime, TimeDelta, Utc};
use futures::TryStreamExt;
use manifests::{ArcSpec, Lot, RunPlan};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::world::World;

/// How long the storm lasts.
const STORM_MINUTES: i64 = 12;
/// How long the calm may last until everything is done.
const CALM_HOURS: i64 = 12;
/// The length of a lease.
const LEASE_SECONDS: i64 = 90;
type Process<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Everything goes wrong that may.
pub(crate) async fn storm(world: &World) {
    let mut processes: Vec<Process<'_>> = vec![Box::pin(outside(world))];
    for n in 0..2i64 {
        // Clocks are off by up to a minute.
        let skew = TimeDelta::seconds(i64::try_from(world.dice.roll(120)).unwrap_or(0) - 60);
        processes.push(Box::pin(mortal(world, move |world| Box::pin(tick_for_ever(world, skew)))));
        processes.push(Box::pin(mortal(world, move |world| Box::pin(work_for_ever(world, n)))));
    }
    processes.push(Box::pin(mortal(world, |world| Box::pin(replay_now_and_then(world)))));
    world.time.run(processes, TimeDelta::minutes(STORM_MINUTES)).await;
    world.dice.calm();
}

/// No more faults: boundaries tick and workers work until nothing is left to do. False where that never comes.
pub(crate) async fn calm(world: &World) -> bool {
    let settled = Box::pin(async {
        let mut boundary = open_boundary(world);
        for _ in 0..6 {
            world.time.sleep(TimeDelta::minutes(5)).await;
            while boundary.tick(world.time.now()).await.is_ok_and(|ticked| ticked.next <= world.time.now()) {}
        }
        let mut dispatcher = open_dispatcher(world).await;
        while work_once(world, &mut dispatcher, "calm", true).await != Some(0) {
            world.time.sleep(TimeDelta::seconds(LEASE_SECONDS)).await;
        }
    });
    let start = world.time.now();
    let done = world.time.run(vec![settled], TimeDelta::hours(CALM_HOURS)).await;
    done && world.time.now() - start < TimeDelta::hours(CALM_HOURS)
}

/// A process that dies now and then, in the middle of whatever it does, and starts again with nothing in memory.
async fn mortal<'a>(world: &'a World, live: impl Fn(&'a World) -> Process<'a>) {
    loop {
        let span = TimeDelta::milliseconds(i64::try_from(world.dice.roll(600_000)).unwrap_or(0));
        let (life, death) = (live(world), Box::pin(world.time.sleep(span)));
        futures::future::select(life, death).await;
        world.dice.crashes.fetch_add(1, Ordering::Relaxed);
        pause(world, 60).await;
    }
}

async fn pause(world: &World, seconds_max: u64) {
    let millis = world.dice.roll(seconds_max * 1_000);
    world.time.sleep(TimeDelta::milliseconds(1 + i64::try_from(millis).unwrap_or(0))).await;
}

/// Objects arrive, in bursts, some with old times; in some worlds some in place of others, in some they go away again.
async fn outside(world: &World) {
    for n in 0.. {
        for m in 0..world.dice.roll(4) {
            let name = if world.replaces { world.dice.roll(12) } else { 4 * n + m };
            let path = Path::from(format!("raw/{}", named(world, name)));
            let age = if world.dice.roll(4) == 0 { world.dice.roll(3_600) } else { 0 };
            let modified = world.time.now() - TimeDelta::seconds(i64::try_from(age).unwrap_or(0));
            world.store.put_at(&path, modified).await;
        }
        if world.removes && world.dice.roll(4) == 0 {
            let there: Vec<ObjectMeta> = world.store.list(Some(&Path::from("raw"))).try_collect().await.unwrap_or_default();
            let picked = usize::try_from(world.dice.roll(there.len() as u64)).unwrap_or(0);
            if let Some(meta) = there.get(picked) {
                world.store.take_away(&meta.location).await;
            }
        }
        pause(world, 240).await;
    }
}

/// The name of an object. Where objects go away it holds the lot in which it most likely arrives: what a replay does not
/// make again is then its lot's own, and removed.
fn named(world: &World, number: u64) -> String {
    match world.removes {
        true => format!("{}-{number}", Lot::containing(world.boundary.unit, world.time.now())),
        false => number.to_string(),
    }
}

fn open_boundary(world: &World) -> Boundary {
    let index = Box::new(MemoryIndex::default());
    Boundary::new(world.boundary.clone(), world.stores.clone(), world.bus.clone(), index).expect("a filter that compiles")
}

async fn tick_for_ever(world: &World, skew: TimeDelta) {
    let mut boundary = open_boundary(world);
    loop {
        // A clock that jumps, too.
        let jump = TimeDelta::seconds(if world.dice.roll(20) == 0 { -400 } else { 0 });
        let _ = boundary.tick(world.time.now() + skew + jump).await;
        pause(world, 120).await;
    }
}

async fn work_for_ever(world: &World, n: i64) {
    let owner = format!("worker-{n}-{}", world.time.now().timestamp_micros());
    let mut dispatcher = open_dispatcher(world).await;
    loop {
        work_once(world, &mut dispatcher, &owner, false).await;
        pause(world, 150).await;
    }
}

async fn open_dispatcher(world: &World) -> Dispatcher {
    Dispatcher::new(world.stores.clone(), world.bus.clone()).await.expect("a bus in memory to subscribe to")
}

fn worker(owner: &str) -> Worker {
    Worker { owner: owner.to_owned(), lease: TimeDelta::seconds(LEASE_SECONDS), is_dead: Arc::new(|_| false) }
}

fn context(world: &World, owner: &str) -> RunContext {
    let time = world.time.clone();
    RunContext {
        stores: world.stores.clone(),
        bus: world.bus.clone(),
        clock: Arc::new(move || time.now()),
        owner: owner.to_owned(),
        is_dead: Arc::new(|_| false),
        lease: TimeDelta::seconds(LEASE_SECONDS),
        options: RunOptions::new(1, std::env::temp_dir()),
        environment: Arc::new(|_| None),
        aws: None,
        athena: None,
        progress: None,
    }
}

/// One pass: what is due is run. Gives how much was left to do when it began; `None` where looking failed. With `retry`,
/// what failed for good is run as well, as `arc retry` does.
async fn work_once(world: &World, dispatcher: &mut Dispatcher, owner: &str, retry: bool) -> Option<usize> {
    let found = dispatcher.pass(&world.arcs, world.time.now(), &worker(owner)).await.ok()?;
    let mut left = found.empties + found.runs.len();
    for run in &found.runs {
        let _ = runner::run(&context(world, owner), &world.arcs[run.arc], &run.plan).await;
    }
    for arc in world.arcs.iter().filter(|_| retry) {
        let standings = dispatcher.standings(arc, world.time.now(), &worker(owner)).await.ok()?;
        left += standings.values().filter(|standing| !matches!(standing, Standing::Done(_) | Standing::Waiting { .. })).count();
        for (lot, standing) in standings {
            if let Standing::Failed(_) = standing {
                retry_lot(world, dispatcher, arc, lot, owner).await;
            }
        }
    }
    Some(left)
}

async fn retry_lot(world: &World, dispatcher: &mut Dispatcher, arc: &ArcSpec, lot: manifests::Lot, owner: &str) {
    if let Ok(Some(plan)) = dispatcher.plan(arc, lot).await {
        let _ = runner::run(&context(world, owner), arc, &plan).await;
    }
}

/// Somebody asks for a lot to be done again.
async fn replay_now_and_then(world: &World) {
    loop {
        pause(world, 900).await;
        let arc = &world.arcs[usize::try_from(world.dice.roll(2)).unwrap_or(0)];
        let _ = replay(world, arc, world.time.now()).await;
    }
}

async fn replay(world: &World, arc: &ArcSpec, now: DateTime<Utc>) -> Option<()> {
    let mut dispatcher = open_dispatcher(world).await;
    let standings = dispatcher.standings(arc, now, &worker("replay")).await.ok()?;
    let done: Vec<_> = standings.into_iter().filter(|(_, standing)| matches!(standing, Standing::Done(_))).map(|(lot, _)| lot).collect();
    let lot = *done.get(usize::try_from(world.dice.roll(done.len() as u64)).ok()?)?;
    let plan = dispatcher.plan(arc, lot).await.ok()??;
    let _ = runner::run(&context(world, "replay"), arc, &RunPlan { replay: true, ..plan }).await;
    Some(())
}
