//! The whole protocol in virtual time: boundaries, dispatchers, workers, replays, over a store and a bus in memory that
//! crash, delay, repeat and refuse as a seed says. A seed flows in; the broken promises flow out, none if all hold.
//!
//! Processes are futures that one thread polls; every call to the store or the bus is a point at which time passes,
//! another process goes on, or the process dies (its future is dropped) and starts again later with nothing in memory.
//! What runs is the code of production: `boundary::Boundary`, `boundary::Dispatcher`, the two functions of AWS, `arcs::runner`.
//! Boundaries list a folder or hear by a queue with the manners of SQS; workers look for what is due, or are jobs.

mod batch;
mod bus;
mod checks;
mod edge;
mod processes;
mod queue;
mod store;
mod time;
mod world;

pub use crate::promises::Broken;
pub use world::Summary;

use world::World;

/// Runs one schedule to its quiet end and checks every promise. Gives what happened. Copies are made by threads of the runtime, so
/// where in virtual time one ends is the machine's, and a seed that breaks may have to be run more than once.
///
/// # Errors
/// The promises that did not hold, with what was seen.
pub async fn simulate(seed: u64) -> Result<Summary, Vec<Broken>> {
    run(World::new(seed)).await
}

/// The same of boundaries alone, without arcs: here the seed rules everything.
///
/// # Errors
/// The promises that did not hold, with what was seen.
pub async fn simulate_boundaries(seed: u64) -> Result<Summary, Vec<Broken>> {
    run(World { arcs: Vec::new(), ..World::new(seed) }).await
}

async fn run(world: World) -> Result<Summary, Vec<Broken>> {
    processes::storm(&world).await;
    let quiet = processes::calm(&world).await;
    let broken = checks::check(&world, quiet).await;
    if broken.is_empty() { Ok(world.summary()) } else { Err(broken) }
}
