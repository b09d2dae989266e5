//! Faults between this code and servers: of S3, for the suite of stores and for whole schedules; of SQS and EventBridge.
//! `ARCLAKE_FAULT_SEEDS=1..2001` runs more schedules. Skipped, loudly, where the servers are not installed (`tests/run` installs
//! them).

use std::ops::Range;
use std::time::Instant;

use futures::StreamExt;
use tests::faults::{BUCKET, Summary, conforms, drain, schedule};
use tests::promises::Broken;
use tests::servers::{Moto, Seaweed, doubles};

/// Seeds of the ordinary run.
const SEEDS: &str = "1..31";
/// Schedules at once, on one thread, and threads.
const SCHEDULES_AT_ONCE: usize = 4;
const THREADS: u64 = 2;

type Ended = Vec<(u64, Result<Summary, Vec<Broken>>)>;

fn seeds() -> Range<u64> {
    let given = std::env::var("ARCLAKE_FAULT_SEEDS").unwrap_or_else(|_| SEEDS.to_owned());
    let (first, end) = given.split_once("..").expect("ARCLAKE_FAULT_SEEDS is FIRST..END");
    first.parse().expect("a number")..end.parse().expect("a number")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A thread's share of the schedules: every second one, from the first or from the second on.
fn run(url: &str, seeds: Range<u64>, first: u64) -> Ended {
    let seeds = (seeds.start + first..seeds.end).step_by(usize::try_from(THREADS).unwrap_or(1));
    let ended = futures::stream::iter(seeds).map(|seed| async move { (seed, schedule(url, seed).await) });
    runtime().block_on(ended.buffer_unordered(SCHEDULES_AT_ONCE).collect())
}

#[test]
fn s3_conforms_and_every_promise_holds() {
    let Some(doubles) = doubles() else { return };
    let server = Seaweed::start(&doubles, BUCKET);
    let suites: Vec<(u64, u64)> = runtime().block_on(futures::future::join_all((0..4).map(|seed| conforms(server.url(), seed))));
    assert!(suites.iter().all(|(requests, faults)| faults * 10 > *requests), "{suites:?}");
    let (seeds, started) = (seeds(), Instant::now());
    let ended: Ended = std::thread::scope(|scope| {
        let run = |first| run(server.url(), seeds.clone(), first);
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || run(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("schedules that end")).collect()
    });
    let (mut all, mut broken) = (Summary::default(), Vec::new());
    for (seed, ended) in ended {
        match ended {
            Ok(Summary { requests, faults, commits }) => {
                all = Summary { requests: all.requests + requests, faults: all.faults + faults, commits: all.commits + commits };
            }
            Err(found) => broken.extend(found.iter().take(3).map(|broken| format!("seed {seed}: {broken}"))),
        }
    }
    let count = seeds.end - seeds.start;
    eprintln!("seeds {seeds:?}: {all:?}, {:.1} s", started.elapsed().as_secs_f64());
    assert!(broken.is_empty(), "{}\nagain: ARCLAKE_FAULT_SEEDS=SEED..END", broken.join("\n"));
    // A proxy that does nothing proves nothing.
    assert!(all.faults > 3 * count && all.commits > 4 * count, "{all:?}");
}

#[tokio::test]
async fn a_queue_of_sqs_is_drained_whatever_becomes_of_the_calls() {
    let Some(doubles) = doubles() else { return };
    let server = Moto::start(&doubles);
    let ended = futures::future::join_all((1..3).map(|seed| drain(&doubles, server.url(), seed))).await;
    for (seed, ended) in (1..).zip(ended) {
        let (requests, faults) = ended.unwrap_or_else(|broken| panic!("seed {seed}: {}", broken[0]));
        assert!(faults * 20 > requests, "seed {seed}: {requests} requests, {faults} faults");
    }
}
