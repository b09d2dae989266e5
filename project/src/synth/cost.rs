//! What stacks cost in a month in which nothing arrives. Templates flow in, lines flow out; what costs nothing has no line.
//!
//! Prices are list prices of us-east-1 without any free tier; other regions differ by up to a third. Estimates are rounded
//! up: a schedule that commits empty lots makes requests, and those are counted here because they are there at rest.

use serde_json::Value;

use super::Stack;

/// When the prices were looked up.
pub const PRICES_AS_OF: &str = "2026-11";
/// Where they are from.
pub const PRICES_SOURCE: &str = "aws.amazon.com/{cloudwatch,kms,privatelink,s3,lambda}/pricing, us-east-1";

/// USD a month for an alarm of standard resolution.
const ALARM: f64 = 0.10;
/// USD a month for a metric of one's own.
const METRIC: f64 = 0.30;
/// USD a month for a key.
const KEY: f64 = 1.00;
/// USD an hour for an interface endpoint in one zone.
const ENDPOINT_HOUR: f64 = 0.01;
/// USD for a write or a listing on S3.
const S3_WRITE: f64 = 0.005 / 1000.0;
/// USD for an invocation of 512 MB and 200 ms on arm64, its request included.
const INVOCATION: f64 = 0.000_000_2 + 0.1 * 0.000_013_333_4;
/// USD for a million long polls of an idle queue by Lambda, of which there are this many a month.
const IDLE_POLLS: f64 = 0.40 * 0.65;
const HOURS: f64 = 730.0;
const MINUTES: f64 = HOURS * 60.0;
/// Writes and listings for a lot that is empty: commit, state copy, and looking before.
const REQUESTS_PER_LOT: f64 = 5.0;
/// Listings of a sweep for each job definition.
const REQUESTS_PER_SWEEP: f64 = 4.0;

/// Something that costs money at rest.
#[derive(Clone, Debug, PartialEq)]
pub struct CostLine {
    /// What: `12 alarms`.
    pub resource: String,
    /// USD a month.
    pub usd_month: f64,
    /// Why it costs that.
    pub why: String,
}

/// What the stacks cost in a month without traffic, dearest first.
pub fn cost_at_rest(stacks: &[Stack]) -> Vec<CostLine> {
    let resources: Vec<&Value> =
        stacks.iter().filter_map(|stack| stack.template["Resources"].as_object()).flat_map(|map| map.values()).collect();
    let of = |kind: &str| -> Vec<&Value> {
        resources.iter().filter(|resource| resource["Type"] == kind).map(|resource| &resource["Properties"]).collect()
    };
    let mut lines = Vec::new();
    let mut line = |count: usize, (one, more): (&str, &str), usd_month: f64, why: String| {
        if count > 0 {
            let resource = format!("{count} {}", if count == 1 { one } else { more });
            lines.push(CostLine { resource, usd_month: (usd_month * 100.0).round() / 100.0, why });
        }
    };
    let alarms = of("AWS::CloudWatch::Alarm");
    line(alarms.len(), ("alarm", "alarms"), alarms.len() as f64 * ALARM, format!("{ALARM:.2} USD each"));
    let metrics = alarms.iter().filter(|alarm| alarm["Namespace"] == ::boundary::aws::NAMESPACE).count();
    line(metrics, ("metric", "metrics"), metrics as f64 * METRIC, format!("{METRIC:.2} USD each that is written to in the month"));
    let keys = of("AWS::KMS::Key").len();
    line(keys, ("key", "keys"), keys as f64 * KEY, format!("{KEY:.2} USD each"));
    let zones: usize = of("AWS::EC2::VPCEndpoint")
        .iter()
        .filter(|endpoint| endpoint["VpcEndpointType"] == "Interface")
        .map(|endpoint| endpoint["SubnetIds"].as_array().map_or(0, Vec::len))
        .sum();
    line(
        zones,
        ("interface endpoint in one zone", "interface endpoints, by zone"),
        zones as f64 * ENDPOINT_HOUR * HOURS,
        format!("{ENDPOINT_HOUR:.2} USD an hour each"),
    );
    let polled = of("AWS::Lambda::EventSourceMapping").len();
    line(polled, ("polled queue", "polled queues"), polled as f64 * IDLE_POLLS, "Lambda asks an idle queue about 650,000 times".to_owned());
    let ticks: Vec<f64> = of("AWS::Events::Rule").iter().filter(|rule| is_input(rule, "tick")).map(|rule| per_month(rule)).collect();
    let (count, jobs) = (ticks.len(), of("AWS::Batch::JobDefinition").len() as f64);
    let lots: f64 = ticks.iter().sum();
    let why = "empty lots are committed too, and passed on by every arc: requests to S3 and invocations".to_owned();
    line(count, ("boundary that ticks", "boundaries that tick"), lots * (INVOCATION + (1.0 + jobs) * REQUESTS_PER_LOT * S3_WRITE), why);
    let sweeps: f64 = of("AWS::Events::Rule").iter().filter(|rule| is_input(rule, "sweep")).map(|rule| per_month(rule)).sum();
    let why = "what is due is looked for every five minutes: requests to S3 and invocations".to_owned();
    line(usize::from(sweeps > 0.0), ("sweep", "sweeps"), sweeps * (INVOCATION + jobs * REQUESTS_PER_SWEEP * S3_WRITE), why);
    lines.sort_by(|a, b| b.usd_month.total_cmp(&a.usd_month));
    lines
}

fn is_input(rule: &Value, word: &str) -> bool {
    rule["Targets"][0]["Input"].as_str().is_some_and(|input| input.contains(word))
}

/// How often a schedule of ours comes round in a month.
fn per_month(rule: &Value) -> f64 {
    let expression = rule["ScheduleExpression"].as_str().unwrap_or_default();
    let minutes = match expression {
        "cron(* * * * ? *)" => 1.0,
        "cron(0/10 * * * ? *)" => 10.0,
        "cron(0/15 * * * ? *)" => 15.0,
        "cron(0 * * * ? *)" => 60.0,
        "cron(0 0 * * ? *)" => 1440.0,
        _ => 5.0,
    };
    MINUTES / minutes
}
