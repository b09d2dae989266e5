//! The boundary's function over a real queue of SQS and a real bus of EventBridge, with a proxy between: messages go when
//! their objects are committed, whatever becomes of the calls.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use boundary::aws::{BoundaryFunction, SqsQueue};
use boundary::{BoundarySpec, EventArrival, FilterSpec};
use chrono::{DateTime, TimeDelta};
use manifests::{Aws, Dataset, EventBridgeBus, LotUnit, Stores};
use serde_json::json;

use crate::promises::{Arrived, Broken, Lake};
use crate::proxy::{Fault, Proxy};
use crate::servers::boto;

/// When the first object arrives.
const START: i64 = 1_700_000_040;
/// Objects, and the seconds between two of them.
const OBJECTS: i64 = 60;
const SECONDS_APART: i64 = 11;
/// Seconds from one call of the function to the next.
const CALL_SECONDS: i64 = 200;
/// Calls of the function until all messages must be gone, and the wait between two of them in milliseconds. What was given
/// out in an answer that was lost comes again after `VisibilityTimeout`.
const CALLS_MAX: i64 = 60;
const WAIT_MILLISECONDS: u64 = 300;

/// Runs it on the server at `url`; gives requests and faults.
///
/// # Errors
/// The promises that did not hold, with what was seen.
pub async fn drain(doubles: &Path, url: &str, seed: u64) -> Result<(u64, u64), Vec<Broken>> {
    let client = format!("client('sqs', endpoint_url='{url}')");
    let ask = |expression: String| boto(doubles, &format!("{client}.{expression}")).expect("the server answers");
    let queue_url = ask(format!("create_queue(QueueName='faults-{seed}', Attributes={{'VisibilityTimeout': '2'}})['QueueUrl']"));
    let objects: Vec<(String, String)> = (0..OBJECTS).map(|n| (format!("in/{n}.log"), notification(n))).collect();
    let bodies = serde_json::to_string(&objects.iter().map(|(_, body)| body).collect::<Vec<_>>()).expect("texts");
    let sent =
        boto(doubles, &format!("[{client}.send_message(QueueUrl='{queue_url}', MessageBody=body)['MessageId'] for body in {bodies}]"));
    sent.expect("the server takes messages");

    let proxy = Proxy::start(url, seed, Fault::ALL, 8).await;
    let aws = Aws::of_keys("test", "not-a-secret", "us-east-1", proxy.url());
    let (stores, queue) = (Stores::memory().expect("stores in memory"), Arc::new(SqsQueue::new(&aws, &queue_url, 1)));
    let bus = Arc::new(EventBridgeBus::new(&aws, "default"));
    let function = BoundaryFunction::over("faults".into(), spec(), stores.clone(), bus, Some(queue)).holding(20).saying(|_| ());
    let left = || ask(format!("get_queue_attributes(QueueUrl='{queue_url}', AttributeNames=['All'])['Attributes']"));
    let is_empty = |left: &str| {
        let none = |name: &str| left.contains(&format!("'{name}': '0'"));
        none("ApproximateNumberOfMessages") && none("ApproximateNumberOfMessagesNotVisible")
    };
    for call in 0.. {
        let now = DateTime::from_timestamp(START + CALL_SECONDS * call, 0).unwrap_or_default();
        let done = function.call_at(&json!({"tick": true}), now).await;
        let is_late = call * CALL_SECONDS > OBJECTS * SECONDS_APART + 300;
        if is_late && done.is_ok() && is_empty(&left()) {
            break;
        }
        if call > CALLS_MAX {
            return Err(vec![Broken { promise: 5, seen: format!("messages are left for ever: {}", left()) }]);
        }
        tokio::time::sleep(Duration::from_millis(WAIT_MILLISECONDS)).await;
    }
    proxy.calm();
    let now = DateTime::from_timestamp(START, 0).unwrap_or_default() + TimeDelta::hours(2);
    let _ = function.call_at(&json!({"tick": true}), now).await;
    let identity = |key: &String| ((format!("s3://raw/{key}"), Some(format!("\"{key}\""))), 1);
    let told: BTreeMap<_, _> = objects.iter().map(|(key, _)| identity(key)).collect();
    let spec = spec();
    let boundaries = vec![(&spec.dataset, Arrived::Told(told))];
    let broken = Lake { stores: &stores, boundaries, arcs: &[], replaces: false, removes: false }.check().await;
    if broken.is_empty() { Ok(proxy.counts()) } else { Err(broken) }
}

fn notification(n: i64) -> String {
    let time = DateTime::from_timestamp(START + n * SECONDS_APART, 0).unwrap_or_default().to_rfc3339();
    let key = format!("in/{n}.log");
    json!({"Records": [{"eventName": "ObjectCreated:Put", "eventTime": time,
        "s3": {"bucket": {"name": "raw"}, "object": {"key": key, "size": 1, "eTag": key}}}]})
    .to_string()
}

fn spec() -> BoundarySpec {
    BoundarySpec {
        name: "in".into(),
        dataset: Dataset { name: "raw".into(), version: "1".into(), path_uri: "s3://raw/in/".into() },
        unit: LotUnit::Twelfths,
        arrival: EventArrival::Frequent,
        filter: FilterSpec::default(),
        settle: TimeDelta::seconds(2),
        from: None,
    }
}
