//! The endpoints of a long-running process: `/healthz`, `/readyz`, `/metrics`. Requests flow in, short texts flow out.
//! Nothing of a request is read but its path.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use chrono::Utc;
use tokio::net::{TcpListener, ToSocketAddrs};

use super::Telemetry;

/// What Prometheus is told that the text is.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers at `address` until the process ends, whose work begins now; where it really is, which a port 0 leaves open.
pub async fn serve(address: impl ToSocketAddrs, telemetry: Arc<Telemetry>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let routes = Router::new()
        .route("/healthz", get(liveness))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(telemetry.clone());
    telemetry.stepped();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!("the endpoints of health and metrics are gone: {error}");
        }
    });
    Ok(address)
}

async fn liveness(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    match telemetry.health().stuck_seconds(Utc::now()) {
        None => (StatusCode::OK, "alive\n".to_owned()),
        Some(seconds) => (StatusCode::SERVICE_UNAVAILABLE, format!("stuck: nothing was looked at for {seconds} s\n")),
    }
}

async fn readiness(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    let reasons = telemetry.health().reasons(Utc::now());
    match reasons.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
    }
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPEN_METRICS)], telemetry.metrics.text())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use arcs::runner::RunReport;
    use chrono::DateTime;
    use expect_test::expect;
    use manifests::{Counts, State as LotState};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::engine::{Outcome, Ran};
    use crate::telemetry::{Failure, Part};

    async fn ask(address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    fn ran(outcome: Outcome) -> Ran {
        Ran { arc: "toParquet".into(), lot: "20230717PT5M250".parse().unwrap(), outcome }
    }

    fn report() -> RunReport {
        RunReport {
            lot: "20230717PT5M250".parse().unwrap(),
            state: LotState::Complete,
            counts: Counts { rows: 7, rejected: 1, bytes_in: 900, bytes_out: 300, ..Counts::default() },
            seconds: 2.5,
            arc: "toParquet".into(),
            attempt: 1,
            generation: 1,
            manifests: Vec::new(),
            comment: None,
            past_reject_limit: false,
            was_done: false,
        }
    }

    #[tokio::test]
    async fn all_three_endpoints_answer() {
        let telemetry = Arc::new(Telemetry::of(&[], BTreeMap::from([("toParquet".to_owned(), vec!["parquet/1".to_owned()])])));
        let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), telemetry.clone()).await.unwrap();
        assert_eq!(ask(address, "/healthz").await, ("HTTP/1.1 200 OK".into(), "alive\n".into()));
        assert_eq!(ask(address, "/readyz").await, ("HTTP/1.1 503 Service Unavailable".into(), "stores: not asked yet\n".into()));
        telemetry.answered(&Part::Stores, true);
        assert_eq!(ask(address, "/readyz").await, ("HTTP/1.1 200 OK".into(), "ready\n".into()));
        assert_eq!(ask(address, "/").await.0, "HTTP/1.1 404 Not Found");
        telemetry.health().stepped(DateTime::UNIX_EPOCH);
        assert_eq!(ask(address, "/healthz").await.0, "HTTP/1.1 503 Service Unavailable");
        telemetry.stepped();
        assert_eq!(ask(address, "/healthz").await.0, "HTTP/1.1 200 OK");
        let end = ran(Outcome::Elsewhere).lot.end();
        telemetry.ran(&ran(Outcome::Done(Box::new(report()))), end + chrono::TimeDelta::seconds(12));
        telemetry.ran(&ran(Outcome::Done(Box::new(RunReport { was_done: true, ..report() }))), end + chrono::TimeDelta::seconds(90));
        telemetry.ran(&ran(Outcome::Elsewhere), end);
        telemetry.failed(Failure::Tick);
        telemetry.metrics.looked(end);
        telemetry.looked(false);
        telemetry.stepped();
        let (status, body) = ask(address, "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        check_text(&body);
        let told: Vec<&str> =
            body.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0") && !line.contains("_bucket")).collect();
        expect![[r#"
            arclake_build_info{version="0.1.0"} 1
            arclake_lateness_seconds{dataset="parquet/1"} 12.0
            arclake_runs_total{arc="toParquet",outcome="complete"} 1
            arclake_runs_total{arc="toParquet",outcome="done_before"} 1
            arclake_runs_total{arc="toParquet",outcome="elsewhere"} 1
            arclake_rows_total{arc="toParquet"} 7
            arclake_rejects_total{arc="toParquet"} 1
            arclake_bytes_in_total{arc="toParquet"} 900
            arclake_bytes_out_total{arc="toParquet"} 300
            arclake_leases_lost_total{arc="toParquet"} 1
            arclake_run_seconds_sum{arc="toParquet"} 2.5
            arclake_run_seconds_count{arc="toParquet"} 1
            arclake_failures_total{what="tick"} 1
            arclake_last_look_timestamp_seconds 1689627300.0"#]]
        .assert_eq(&sorted_runs(told));
    }

    /// Families are kept by hash: the lines of one stand in any order.
    fn sorted_runs(mut lines: Vec<&str>) -> String {
        let at = lines.iter().position(|line| line.starts_with("arclake_runs_total")).unwrap();
        lines[at..at + 3].sort_unstable();
        lines.join("\n")
    }

    /// Every sample belongs to a family that was declared before, no sample is there twice, and the end is marked.
    fn check_text(text: &str) {
        let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                assert!(families.insert(declared.split_once(' ').unwrap().0), "{line}");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let family = name.split('{').next().unwrap();
                assert!(families.iter().any(|known| family.starts_with(known)), "{line}");
                assert!(value.parse::<f64>().is_ok() && samples.insert(name), "{line}");
            }
        }
        assert!(text.ends_with("# EOF\n") && families.len() > 10, "{text}");
    }
}
