//! A thousand schedules of the whole protocol. `cargo run --release -p tests --bin simulate -- 1..1000000` runs more.

use tests::simulator::{simulate, simulate_boundaries};

const SCHEDULES: u64 = 1_000;

fn check(first: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (mut faults, mut crashes, mut commits, mut heard, mut jobs) = (0, 0, 0, 0, 0);
    for seed in first..first + SCHEDULES / 2 {
        match runtime.block_on(simulate(seed)) {
            Ok(summary) => {
                faults += summary.faults;
                crashes += summary.crashes;
                commits += summary.commits;
                heard += summary.heard;
                jobs += summary.jobs;
            }
            Err(broken) => panic!("seed {seed}: {}\nagain: cargo run --release -p tests --bin simulate -- {seed}", broken[0]),
        }
    }
    // A simulator in which nothing happens proves nothing.
    assert!(
        faults > 5 * SCHEDULES && crashes > SCHEDULES && commits > 10 * SCHEDULES && heard > SCHEDULES && jobs > SCHEDULES,
        "{faults} faults, {crashes} crashes, {commits} commits, {heard} objects heard of, {jobs} jobs"
    );
}

#[test]
fn the_first_half_keeps_every_promise() {
    check(1);
}

#[test]
fn the_second_half_keeps_every_promise() {
    check(1 + SCHEDULES / 2);
}

#[test]
fn a_seed_is_a_schedule() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let run = |seed| runtime.block_on(simulate_boundaries(seed)).expect("promises that hold");
    for seed in 1..30 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
        assert_ne!(run(seed), run(seed + 1), "seed {seed}");
    }
}
