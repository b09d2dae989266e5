//! The worker's image, built and run: `tests/docker/check` does it. Skipped, loudly, where containers cannot run
//! (`tests/run` finds out).

use std::path::Path;
use std::process::Command;

use tests::program;

#[test]
fn the_image_converts_as_nobody_without_a_shell_or_a_disk() {
    let Some(run) = std::env::var("ARCLAKE_DOCKER").ok().filter(|run| !run.is_empty()) else {
        eprintln!("SKIPPED: no containers here; `tests/run` looks for podman and docker");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/check");
    let output = Command::new(script).arg(run).arg(program::path()).output().expect("the script starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
