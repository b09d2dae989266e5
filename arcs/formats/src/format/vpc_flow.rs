//! Amazon VPC flow logs. A header line and lines flow in; the fields that the header names flow out, each in its column.
//!
//! Which fields a log has, and in which order, its owner decides. Objects in S3 start with a header line that says so;
//! without one, an option does, and without that the lines are those of the default format, version 2. Fields are told
//! by spaces alone, so a line with more or fewer fields than were named is a reject: nobody could tell which one is
//! which. Lines of windows without data, `NODATA` and `SKIPDATA`, are rows like all others.

use std::sync::Arc;

use memchr::memchr_iter;

use crate::columns::{Cell, Kind, Row};
use crate::format::fields::{set, surplus_json, unfit};
use crate::format::header::{Extra, Place, listed, places};
use crate::format::{
    Column, Example, Format, FormatOption, Grammar, Headers, Layout, OptionKind, Options, Parsed, Problem, Reject, Scope, Values, time,
};

/// The format.
pub static FORMAT: Format = Format {
    name: "vpc-flow",
    summary: "Amazon VPC flow logs, of all versions and with fields in any order",
    page: "https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html",
    options: &[FormatOption {
        name: "fields",
        kind: OptionKind::Text,
        meaning: "the fields of logs without header line, as the flow log's format lists them; by default those of version 2",
    }],
    examples: EXAMPLES,
    compile,
};

use Kind::{Int32, Int64, Text, Time};
use Values::{Distinct, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed("version", Int32, "", Repeating, "version of the flow log: the highest one that a field of it needs"),
    Column::fixed("account_id", Text, "", Repeating, "account that owns the network interface; unknown for those of some AWS services"),
    Column::fixed("interface_id", Text, "", Repeating, "network interface that the flow went through"),
    Column::fixed("srcaddr", Text, "", Repeating, "source address, or that of the interface; null without data"),
    Column::fixed("dstaddr", Text, "", Repeating, "destination address, or that of the interface; null without data"),
    Column::fixed("srcport", Int32, "", Distinct, "source port; null without data"),
    Column::fixed("dstport", Int32, "", Distinct, "destination port; null without data"),
    Column::fixed("protocol", Int32, "", Repeating, "IANA number of the protocol; null without data"),
    Column::fixed("packets", Int64, "packets", Repeating, "packets of the flow; null without data"),
    Column::fixed("bytes", Int64, "bytes", Distinct, "bytes of the flow; null without data"),
    Column::fixed(
        "time",
        Time,
        "",
        Repeating,
        "field start: when the first packet of the flow came, or the window began; that of field end where a log has no start",
    ),
    Column::fixed("end", Time, "", Repeating, "when the last packet of the flow came, or the window ended"),
    Column::fixed("action", Text, "", Repeating, "ACCEPT or REJECT; null without data"),
    Column::fixed("log_status", Text, "", Repeating, "OK, NODATA for a window without traffic, or SKIPDATA for lines that were left out"),
    Column::fixed("vpc_id", Text, "", Repeating, "VPC of the interface"),
    Column::fixed("subnet_id", Text, "", Repeating, "subnet of the interface"),
    Column::fixed("instance_id", Text, "", Repeating, "instance of the interface; null for interfaces of AWS services"),
    Column::fixed("tcp_flags", Int32, "", Repeating, "TCP flags of the window, ORed: 1 FIN, 2 SYN, 4 RST, 18 SYN-ACK"),
    Column::fixed("type", Text, "", Repeating, "IPv4, IPv6 or EFA"),
    Column::fixed("pkt_srcaddr", Text, "", Repeating, "source address of the packets, before any gateway changed it"),
    Column::fixed("pkt_dstaddr", Text, "", Repeating, "destination address of the packets, before any gateway changed it"),
    Column::fixed("region", Text, "", Repeating, "AWS Region of the interface"),
    Column::fixed("az_id", Text, "", Repeating, "Availability Zone of the interface; null in a sublocation"),
    Column::fixed("sublocation_type", Text, "", Repeating, "wavelength, outpost or localzone; null elsewhere"),
    Column::fixed("sublocation_id", Text, "", Repeating, "id of the sublocation; null elsewhere"),
    Column::fixed("pkt_src_aws_service", Text, "", Repeating, "AWS service that pkt_srcaddr belongs to; null if none"),
    Column::fixed("pkt_dst_aws_service", Text, "", Repeating, "AWS service that pkt_dstaddr belongs to; null if none"),
    Column::fixed("flow_direction", Text, "", Repeating, "ingress or egress, seen from the interface"),
    Column::fixed(
        "traffic_path",
        Int32,
        "",
        Repeating,
        "number of the way that egress takes, such as 8 for an internet gateway; null for none",
    ),
    Column::fixed("ecs_cluster_arn", Text, "", Repeating, "ARN of the ECS cluster; null outside ECS, as all ecs columns"),
    Column::fixed("ecs_cluster_name", Text, "", Repeating, "name of the ECS cluster"),
    Column::fixed("ecs_container_instance_arn", Text, "", Repeating, "ARN of the ECS container instance; null for Fargate"),
    Column::fixed("ecs_container_instance_id", Text, "", Repeating, "id of the ECS container instance; null for Fargate"),
    Column::fixed("ecs_container_id", Text, "", Repeating, "runtime id of the first container of the task"),
    Column::fixed("ecs_second_container_id", Text, "", Repeating, "runtime id of the second container of the task; null if it has one"),
    Column::fixed("ecs_service_name", Text, "", Repeating, "name of the ECS service; null for tasks outside one"),
    Column::fixed("ecs_task_definition_arn", Text, "", Repeating, "ARN of the ECS task definition"),
    Column::fixed("ecs_task_arn", Text, "", Repeating, "ARN of the ECS task"),
    Column::fixed("ecs_task_id", Text, "", Repeating, "id of the ECS task"),
    Column::fixed("reject_reason", Text, "", Repeating, "why traffic was rejected, such as BPA; null otherwise"),
    Column::fixed("resource_id", Text, "", Repeating, "NAT gateway or other resource that the interface belongs to"),
    Column::fixed("encryption_status", Text, "", Repeating, "how the flow was encrypted, as a number or a word"),
    Column::fixed("instance_tag", Text, "", Repeating, "value of the instance's tag that the flow log asks for; null without it"),
    Column::fixed("instance_tag_2", Text, "", Repeating, "value of the instance's second tag; null without it"),
    Column::fixed("interface_tag", Text, "", Repeating, "value of the interface's tag that the flow log asks for; null without it"),
    Column::fixed("interface_tag_2", Text, "", Repeating, "value of the interface's second tag; null without it"),
    Column::fixed("asg_tag", Text, "", Repeating, "value of the Auto Scaling group's tag that the flow log asks for; null without it"),
    Column::fixed("asg_tag_2", Text, "", Repeating, "value of the Auto Scaling group's second tag; null without it"),
    Column::fixed("interface_type", Text, "", Repeating, "type of the interface"),
    Column::fixed("next_hop_interface_id", Text, "", Repeating, "interface that the flow goes to next; null if unknown"),
    Column::fixed("next_hop_subnet_id", Text, "", Repeating, "subnet of the next interface; null if unknown"),
    Column::fixed("next_hop_az_id", Text, "", Repeating, "Availability Zone of the next interface; null if unknown"),
    Column::fixed("next_hop_vpc_id", Text, "", Repeating, "VPC of the next interface; null if unknown"),
    Column::fixed("next_hop_interface_type", Text, "", Repeating, "type of the next interface; null if unknown"),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n2 123456789012 eni-1235b8ca 192.0.2.139 10.0.0.21 20641 22 6 20 4249 1770336038 1770336098 ACCEPT OK\n2 123456789012 eni-1235b8ca - - - - - - - 1770336038 1770336098 - NODATA\n2 unknown eni-1235b8ca - - - - - - - 1770336038 1770336098 - SKIPDATA\n",
    ),
    Example::plain("2 123456789012 eni-1235b8ca 2001:db8::1 2001:db8::2 34892 22 6 54 8855 1770336038 1770336098 REJECT OK\n"),
    Example::plain(
        "dstaddr srcaddr end start flow-direction traffic-path reject-reason a-new-field\n10.0.0.21 192.0.2.139 1770336098 1770336038 egress 8 BPA value\n",
    ),
    Example {
        options: r#"{"fields": "${version} ${srcaddr} ${dstaddr} ${start} ${end} ${log-status}"}"#,
        text: "3 192.0.2.139 10.0.0.21 1770336038 1770336098 OK\n",
    },
];

/// Version 2, which lines without header have.
const DEFAULT: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status";

const VERSION: usize = 0;
const TIME: usize = 10;
const END: usize = 11;

/// How the header calls what is the column `time`.
const START: &str = "start";

#[derive(Debug)]
struct VpcFlow {
    /// The places of lines without header.
    places: Vec<Place>,
    /// Whether nothing but the format itself says so.
    is_default: bool,
}

fn compile(options: &Options<'_>) -> Result<Box<dyn Grammar>, Problem> {
    let fields = options.text("fields");
    let places = places(listed(fields.unwrap_or(DEFAULT)), find);
    if !places.iter().any(|place| matches!(place, Place::Column(_))) {
        return Err(Problem::new("fields", format!("names no field of flow logs: list them as in `{DEFAULT}`")));
    }
    Ok(Box::new(VpcFlow { places, is_default: fields.is_none() }))
}

/// The column of a field.
fn find(name: &str) -> Option<usize> {
    match name.replace('-', "_").as_str() {
        START => Some(TIME),
        name => COLUMNS.iter().enumerate().position(|(n, column)| n != TIME && column.name == name),
    }
}

impl Grammar for VpcFlow {
    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn headers(&self) -> Headers {
        Headers::First
    }

    /// A header line holds names alone, and one at least that is known. No field has the name of a field as its value.
    fn layout(&self, header: &[u8], _: Option<&Layout>) -> Option<Layout> {
        let names = std::str::from_utf8(header).ok()?.trim();
        let is_name = |name: &str| {
            name.starts_with(|letter: char| letter.is_ascii_lowercase())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
        };
        let places = places(names.split_ascii_whitespace(), find);
        let is_header = names.split_ascii_whitespace().all(is_name) && places.iter().any(|place| matches!(place, Place::Column(_)));
        is_header.then(|| Arc::new(places) as Layout)
    }

    fn read(&self, line: &[u8], scope: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        let header = scope.layout.and_then(|layout| layout.downcast_ref::<Vec<Place>>());
        let line = line.trim_ascii_end();
        let rest = read_fields(line, header.unwrap_or(&self.places), row)?;
        if header.is_none() && self.is_default {
            check_version(row.cell(VERSION))?;
            if let Some(surplus) = rest.and_then(|at| line.get(at..)) {
                row.set_extra(&surplus_json(surplus));
            }
        } else if let Some(at) = rest {
            return Err(Reject::new(at, "the line has more fields than were named"));
        }
        if row.cell(TIME) == Cell::Null {
            row.copy(END, TIME);
        }
        Ok(Parsed::Row)
    }
}

/// Reads fields to their places. Gives where surplus ones start.
fn read_fields(line: &[u8], places: &[Place], row: &mut Row<'_>) -> Result<Option<usize>, Reject> {
    let mut extra = Extra::default();
    let mut ends = memchr_iter(b' ', line).chain([line.len()]);
    let mut at = 0;
    for place in places {
        let Some(end) = ends.next() else {
            return Err(Reject::new(line.len(), "the line has fewer fields than were named"));
        };
        let value = &line[at..end];
        match place {
            _ if value.is_empty() => return Err(Reject::new(at, "a field is empty: two spaces in a row")),
            Place::Column(column @ (TIME | END)) => set_time(row, *column, value, at)?,
            Place::Column(column) => set(row, COLUMNS, *column, value, at)?,
            Place::Extra(_) if value == b"-" => {}
            Place::Extra(name) => extra.text(name, value),
        }
        at = end + 1;
    }
    extra.set(row);
    Ok((at <= line.len()).then_some(at))
}

/// Sets a time given as seconds since 1970.
fn set_time(row: &mut Row<'_>, column: usize, value: &[u8], at: usize) -> Result<(), Reject> {
    if value != b"-" {
        row.time(column, time::epoch_seconds_micros(value).ok_or_else(|| unfit(COLUMNS, column, at))?);
    }
    Ok(())
}

/// Lines of a later version have fields that the default format does not, and nobody said in which order.
fn check_version(version: Cell) -> Result<(), Reject> {
    match version {
        Cell::Int(2) | Cell::Null => Ok(()),
        Cell::Int(version) => {
            let reason = format!("the line is of version {version}, and neither a header line nor the option `fields` names its fields");
            Err(Reject::new(0, reason))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::shown;
    use crate::format::{Outcome, explain_all};
    use expect_test::{Expect, expect};

    fn grammar(fields: Option<&str>) -> Arc<dyn Grammar> {
        let spec = match fields {
            Some(fields) => serde_json::json!({"name": "vpc-flow", "fields": fields}),
            None => serde_json::json!("vpc-flow"),
        };
        crate::format::compile(&spec).unwrap()
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(grammar(None).as_ref(), text));
    }

    #[test]
    fn a_header_names_the_fields() {
        check(
            EXAMPLES[0].text,
            expect![[r#"
                Header
                row
                  version: 2
                  account_id: 123456789012
                  interface_id: eni-1235b8ca
                  srcaddr: 192.0.2.139
                  dstaddr: 10.0.0.21
                  srcport: 20641
                  dstport: 22
                  protocol: 6
                  packets: 20
                  bytes: 4249
                  time: 2026-02-06T00:00:38Z
                  end: 2026-02-06T00:01:38Z
                  action: ACCEPT
                  log_status: OK
                row
                  version: 2
                  account_id: 123456789012
                  interface_id: eni-1235b8ca
                  time: 2026-02-06T00:00:38Z
                  end: 2026-02-06T00:01:38Z
                  log_status: NODATA
                row
                  version: 2
                  account_id: unknown
                  interface_id: eni-1235b8ca
                  time: 2026-02-06T00:00:38Z
                  end: 2026-02-06T00:01:38Z
                  log_status: SKIPDATA
            "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
                row
                  version: 2
                  account_id: 123456789012
                  interface_id: eni-1235b8ca
                  srcaddr: 2001:db8::1
                  dstaddr: 2001:db8::2
                  srcport: 34892
                  dstport: 22
                  protocol: 6
                  packets: 54
                  bytes: 8855
                  time: 2026-02-06T00:00:38Z
                  end: 2026-02-06T00:01:38Z
                  action: REJECT
                  log_status: OK
            "#]],
        );
        check(
            EXAMPLES[2].text,
            expect![[r#"
                Header
                row
                  srcaddr: 192.0.2.139
                  dstaddr: 10.0.0.21
                  time: 2026-02-06T00:00:38Z
                  end: 2026-02-06T00:01:38Z
                  flow_direction: egress
                  traffic_path: 8
                  reject_reason: BPA
                  extra: {"a-new-field":"value"}
            "#]],
        );
        expect![[r#"
            row
              version: 3
              srcaddr: 192.0.2.139
              dstaddr: 10.0.0.21
              time: 2026-02-06T00:01:38Z
              end: 2026-02-06T00:01:38Z
        "#]]
        .assert_eq(&shown(grammar(Some("version ${srcaddr},dstaddr end")).as_ref(), "3 192.0.2.139 10.0.0.21 1770336098"));
    }

    #[test]
    fn every_field_of_every_version_has_a_column() {
        let names: Vec<String> = COLUMNS.iter().map(|column| column.name.replace('_', "-")).collect();
        let header = names.join(" ").replace(" time ", " start ");
        let layout = grammar(None).layout(header.as_bytes(), None).unwrap();
        let expected: Vec<Place> = (0..COLUMNS.len()).map(Place::Column).collect();
        assert_eq!(layout.downcast_ref::<Vec<Place>>().unwrap(), &expected);
        assert_eq!(COLUMNS.len(), 54);
        // A field named as the column that takes another one is none.
        assert_eq!(find("time"), None);
    }

    #[test]
    fn data_is_no_header() {
        for line in ["ingress - us-east-1", "unknown", "2 123456789012 eni-1 - -", "ACCEPT OK", "version 2", "Version", ""] {
            assert!(grammar(None).layout(line.as_bytes(), None).is_none(), "{line}");
        }
        assert!(grammar(None).layout(b"version\tnew-field ", None).is_some());
    }

    #[test]
    fn rejects_say_where_and_why() {
        let header = "start srcport bytes\n";
        check(
            &format!(
                "{header}1770336038 70000 1\n1770336038 7 x\n1770336038 7\n1770336038 7 1 1\n1770336038  1\nx 7 1\n1770336038 2147483648 1"
            ),
            expect![[r#"
                Header
                row
                  srcport: 70000
                  bytes: 1
                  time: 2026-02-06T00:00:38Z
                reject at 13 `x`: `bytes` is no integer
                reject at 12 ``: the line has fewer fields than were named
                reject at 15 `1`: the line has more fields than were named
                reject at 11 ` 1`: a field is empty: two spaces in a row
                reject at 0 `x 7 1`: `time` is no time
                reject at 11 `2147483648 1`: `srcport` is no integer
            "#]],
        );
        check(
            "5 123456789012 eni-1 192.0.2.1 10.0.0.1 1 2 6 1 1 1770336038 1770336098 ACCEPT OK vpc-1",
            expect![[r#"
            reject at 0 `5 123456789012 eni-1 192.0.2.1 10.0.0.1 `: the line is of version 5, and neither a header line nor the option `fields` names its fields
        "#]],
        );
        check(
            "2 123456789012 eni-1 192.0.2.1 10.0.0.1 1 2 6 1 1 1770336038 1770336098 ACCEPT OK more",
            expect![[r#"
                row
                  version: 2
                  account_id: 123456789012
                  interface_id: eni-1
                  srcaddr: 192.0.2.1
                  dstaddr: 10.0.0.1
                  srcport: 1
                  dstport: 2
                  protocol: 6
                  packets: 1
                  bytes: 1
                  time: 2026-02-06T00:00:38Z
                  end: 2026-02-06T00:01:38Z
                  action: ACCEPT
                  log_status: OK
                  extra: ["more"]
            "#]],
        );
        check(
            "2 123456789012 eni-1",
            expect![[r#"
            reject at 20 ``: the line has fewer fields than were named
        "#]],
        );
        let problems = crate::format::compile(&serde_json::json!({"name": "vpc-flow", "fields": "nothing known"})).unwrap_err();
        assert_eq!(problems[0].at, "fields");
    }

    #[test]
    fn real_logs_read_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vpcflow/opensearch-catalog");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real flow logs in ../shared/data/vpcflow");
            return;
        }
        let text = std::fs::read_to_string(folder.join("amazon_vpc_flow__sample.json")).unwrap();
        let samples: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        for sample in &samples {
            let explained = explain_all(grammar(None).as_ref(), sample["body"].as_str().unwrap().as_bytes(), 0);
            assert_eq!(explained[0].outcome, Outcome::Row { mark: None, extra: None }, "{sample}");
            // What others read is of another line than `body`, so it is written as a line of its own.
            let others = sample["aws"]["vpc"].as_object().unwrap();
            let value = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let names: Vec<&str> = others.keys().map(String::as_str).collect();
            let values: Vec<String> = others.values().map(value).collect();
            let text = format!("{}\n{}", names.join(" "), values.join(" "));
            let explained = explain_all(grammar(None).as_ref(), text.as_bytes(), 0);
            assert_eq!(explained[1].outcome, Outcome::Row { mark: None, extra: None }, "{text}");
            for (name, expected) in names.iter().zip(values) {
                let (column, read) = &explained[1].columns[find(name).unwrap()];
                let read = match column.kind {
                    Time => read.as_ref().map(|time| time.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp().to_string()),
                    _ => read.clone(),
                };
                assert_eq!(read.as_deref().unwrap_or("-"), expected, "{name}");
            }
        }
        assert_eq!(samples.len(), 22);
    }
}
