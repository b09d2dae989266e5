//! Runs the simulator over many seeds on all cores: `simulate 1..1000000`, or one seed again: `simulate 4711`. Prints
//! every broken promise with its seed; exits 1 if there is one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tests::simulator::{Summary, simulate};

fn main() {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "1..1001".to_owned());
    let Some((first, end)) = range(&argument) else {
        eprintln!("usage: simulate SEED | FIRST..END");
        std::process::exit(2);
    };
    let (next, broken, calls, started) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end) {
                    match runtime.block_on(simulate(seed)) {
                        Ok(Summary { calls: more, .. }) => _ = calls.fetch_add(more, Ordering::Relaxed),
                        Err(found) => {
                            broken.fetch_add(1, Ordering::Relaxed);
                            found.iter().take(3).for_each(|found| println!("seed {seed}: {found}"));
                        }
                    }
                }
            });
        }
    });
    let (broken, seconds) = (broken.into_inner(), started.elapsed().as_secs_f64());
    println!("{} schedules, {} calls, {broken} broken, {seconds:.1} s", end - first, calls.into_inner());
    std::process::exit(i32::from(broken > 0));
}

fn range(text: &str) -> Option<(u64, u64)> {
    match text.split_once("..") {
        Some((first, end)) => Some((first.parse().ok()?, end.parse().ok()?)),
        None => text.parse().ok().map(|seed: u64| (seed, seed + 1)),
    }
}
