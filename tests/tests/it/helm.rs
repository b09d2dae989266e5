//! The chart in `docker/helm`, rendered by Helm and held against the schemas of Kubernetes: `tests/helm/check` does it.
//! Skipped, loudly, where Helm is not there (`tests/run` gets it).

use std::path::Path;
use std::process::Command;

#[test]
fn the_chart_renders_what_kubernetes_takes() {
    let Some(tools) = std::env::var("ARCLAKE_HELM").ok().filter(|tools| !tools.is_empty()) else {
        eprintln!("SKIPPED: no Helm; `tests/run` gets it where it can");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/check");
    let output = Command::new(script).arg(tools).output().expect("the script starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
