//! The lake on AWS, from bootstrap to destroy, on servers that stand in for it: the scripts in `tests/aws/` drive
//! the built program and the built functions. Skipped, loudly, where the servers are not installed (`tests/run` installs them).

use std::path::Path;
use std::process::Command;

use tests::program;

#[test]
fn from_bootstrap_to_destroy() {
    passes("end_to_end.py");
}

#[test]
fn stacks_are_made_anew_cut_in_several_and_taken_away() {
    passes("stacks.py");
}

#[test]
fn what_was_in_a_bucket_becomes_lots_and_s3_copies_them() {
    passes("backfill.py");
}

#[test]
fn the_catalog_and_athena() {
    passes("catalog.py");
}

#[test]
fn an_image_of_clusterless_beside_our_own_arcs() {
    passes("side_by_side.py");
}

#[test]
fn one_process_on_s3() {
    passes("up.py");
}

fn passes(script: &str) {
    let Some(doubles) = std::env::var("ARCLAKE_DOUBLES").ok().filter(|doubles| !doubles.is_empty()) else {
        eprintln!("SKIPPED: no servers that stand in for AWS; `tests/run` installs them where it can");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("aws").join(script);
    let programs = program::path().parent().map(Path::to_owned).expect("a program lies in a folder");
    let python = Path::new(&doubles).join("moto/bin/python");
    let output = Command::new(python).arg(script).arg(&doubles).arg(programs).arg(folder.path()).output().expect("the script starts");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    eprintln!("{said}");
}
