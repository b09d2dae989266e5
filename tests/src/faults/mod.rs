//! Whole schedules over a real server of S3 with a proxy between: objects are put, notified, committed as lots, converted to
//! Parquet and replayed by two of everything at once, which die now and then, while the proxy does its worst. A seed flows in;
//! the broken promises flow out, none if all hold. The clock of a schedule is its own, so that an hour passes in a second.

mod lake;
mod queue;
mod sqs;

use std::time::Duration;

use manifests::conformance;

use crate::promises::Broken;
use crate::proxy::{Fault, Proxy};
use lake::FaultyLake;
pub use sqs::drain;

/// The bucket that a server must have.
pub const BUCKET: &str = "faults";
/// Rounds of a schedule: what arrives, what passes, two of everything at work.
const ROUNDS: u64 = 3;
/// The longest that somebody lives who dies, in milliseconds.
const LIFE_MILLISECONDS_MAX: u64 = 150;
/// Rounds of the calm until everything must be done.
const CALM_ROUNDS_MAX: u32 = 60;

/// What happened in a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests to the server.
    pub requests: u64,
    /// Those that met a fault.
    pub faults: u64,
    /// Commits created.
    pub commits: u64,
}

/// Runs one schedule on the server at `url` to its quiet end and checks every promise, past the proxy.
///
/// # Errors
/// The promises that did not hold, with what was seen.
pub async fn schedule(url: &str, seed: u64) -> Result<Summary, Vec<Broken>> {
    let lake = FaultyLake::open(url, seed).await;
    for round in 0..ROUNDS {
        lake.put(round).await;
        lake.pass_time();
        let work = [0, 1].map(|n| mortal(&lake, lake.work(n)));
        let hear = [0, 1].map(|_| mortal(&lake, lake.hear()));
        let replay = async {
            if lake.seed.roll(3) == 0 {
                mortal(&lake, lake.replay()).await;
            }
        };
        futures::join!(futures::future::join_all(hear), futures::future::join_all(work), replay);
    }
    lake.proxy.calm();
    let broken = match calm(&lake).await {
        true => lake.check().await,
        false => vec![Broken { promise: 5, seen: "something is left to do for ever".into() }],
    };
    let (requests, faults) = lake.proxy.counts();
    let summary = Summary { requests, faults, commits: lake.commits().await };
    if broken.is_empty() { Ok(summary) } else { Err(broken) }
}

/// Somebody who may die in the middle of whatever they do.
async fn mortal(lake: &FaultyLake, life: impl Future<Output = ()>) {
    match lake.seed.roll(4) {
        0 => _ = tokio::time::timeout(Duration::from_millis(lake.seed.roll(LIFE_MILLISECONDS_MAX)), life).await,
        _ => life.await,
    }
}

/// No more faults: everything is heard and done. False where that never comes.
async fn calm(lake: &FaultyLake) -> bool {
    for _ in 0..CALM_ROUNDS_MAX {
        lake.close_lot();
        lake.hear().await;
        if lake.is_heard() && lake.work_to_the_end().await {
            return true;
        }
    }
    false
}

/// The conformance suite of stores on the server at `url`, with those faults on the way that a client which tries again never
/// notices. Panics where the store does not conform; gives requests and faults.
pub async fn conforms(url: &str, seed: u64) -> (u64, u64) {
    let proxy = Proxy::start(url, seed, Fault::TRANSPARENT, 4).await;
    let stores = lake::stores(proxy.url(), &format!("conformance-{seed}"), 20);
    conformance::store(&stores.manifest).await;
    proxy.counts()
}
