//! Amazon Route 53 Resolver query logs: JSON lines. A line flows in; a DNS query with its answers and what DNS Firewall
//! did flows out.

use crate::columns::{Cell, Kind, Row};
use crate::format::json_record::{Field, Fields};
use crate::format::{Column, Example, Format, Grammar, Parsed, Reject, Scope, Values};

/// The format.
pub static FORMAT: Format = Format {
    name: "route53-resolver",
    summary: "Amazon Route 53 Resolver query logs",
    page: "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-query-logs-format.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Ok(Box::new(Resolver(Fields::new(FIELDS)))),
};

use Kind::{Int32, Text, Time};
use Values::{Distinct, Repeating};

static FIELDS: &[Field] = &[
    Field::new("version", Column::fixed("version", Text, "", Repeating, "version of the log, such as 1.100000")),
    Field::new("account_id", Column::fixed("account_id", Text, "", Repeating, "account of the VPC")),
    Field::new("region", Column::fixed("region", Text, "", Repeating, "AWS Region of the VPC")),
    Field::new("vpc_id", Column::fixed("vpc_id", Text, "", Repeating, "VPC that the query came from")),
    Field::new("query_timestamp", Column::fixed("time", Time, "", Repeating, "field query_timestamp: when the query was sent")),
    Field::new("query_name", Column::fixed("query_name", Text, "", Repeating, "domain name that was asked for, with its last dot")),
    Field::new("query_type", Column::fixed("query_type", Text, "", Repeating, "type of the records asked for, such as AAAA")),
    Field::new("query_class", Column::fixed("query_class", Text, "", Repeating, "class of the query, such as IN")),
    Field::new("rcode", Column::fixed("rcode", Text, "", Repeating, "response code, such as NOERROR or NXDOMAIN")),
    Field::json("answers", Column::fixed("answers", Text, "", Repeating, "answers as a JSON array of Rdata, Type and Class")),
    Field::new("srcaddr", Column::fixed("srcaddr", Text, "", Repeating, "address that the query came from")),
    Field::new("srcport", Column::fixed("srcport", Int32, "", Distinct, "port that the query came from")),
    Field::new("transport", Column::fixed("transport", Text, "", Repeating, "protocol of the query: UDP or TCP, DoH")),
    Field::inside("srcids", "instance", Column::fixed("srcids_instance", Text, "", Repeating, "instance that asked; null if it was none")),
    Field::inside(
        "srcids",
        "resolver_endpoint",
        Column::fixed(
            "srcids_resolver_endpoint",
            Text,
            "",
            Repeating,
            "endpoint that passed the query on; null for queries inside the VPC",
        ),
    ),
    Field::inside(
        "srcids",
        "resolver_network_interface",
        Column::fixed("srcids_resolver_network_interface", Text, "", Repeating, "network interface of the endpoint; null as the endpoint"),
    ),
    Field::new(
        "firewall_rule_action",
        Column::fixed(
            "firewall_rule_action",
            Text,
            "",
            Repeating,
            "ALERT or BLOCK of the DNS Firewall rule that matched; null if none did",
        ),
    ),
    Field::new(
        "firewall_rule_group_id",
        Column::fixed("firewall_rule_group_id", Text, "", Repeating, "rule group of DNS Firewall that matched; null if none did"),
    ),
    Field::new(
        "firewall_domain_list_id",
        Column::fixed("firewall_domain_list_id", Text, "", Repeating, "domain list of the rule that matched; null if none did"),
    ),
    Field::json(
        "additional_properties",
        Column::fixed("additional_properties", Text, "", Repeating, "more about the delivery as JSON, such as is_delayed; null mostly"),
    ),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        r#"{"version":"1.100000","account_id":"123456789012","region":"us-east-1","vpc_id":"vpc-1","query_timestamp":"2026-02-06T00:00:38Z","query_name":"www.example.org.","query_type":"A","query_class":"IN","rcode":"NOERROR","answers":[{"Rdata":"192.0.2.9","Type":"A","Class":"IN"}],"srcaddr":"10.0.0.21","srcport":"56067","transport":"UDP","srcids":{"instance":"i-0d15cd0d3"}}"#,
    ),
    Example::plain(
        r#"{"srcaddr":"10.0.0.21","vpc_id":"vpc-1","answers":[],"firewall_rule_group_id":"rslvr-frg-1","firewall_rule_action":"BLOCK","query_name":"bad.example.org.","firewall_domain_list_id":"rslvr-fdl-1","query_class":"IN","srcids":{"resolver_endpoint":"rslvr-in-1","resolver_network_interface":"rni-1"},"rcode":"NODATA","query_type":"AAAA","transport":"UDP","version":"1.100000","account_id":"123456789012","srcport":"56067","query_timestamp":"2026-02-06T00:00:38Z","region":"us-east-1","new":{"a":1}}"#,
    ),
];

const TIME: usize = 4;
const QUERY_NAME: usize = 5;

#[derive(Debug)]
struct Resolver(Fields);

impl Grammar for Resolver {
    fn columns(&self) -> &[Column] {
        self.0.columns()
    }

    fn read(&self, line: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        self.0.read(line, row)?;
        if row.cell(TIME) == Cell::Null || row.cell(QUERY_NAME) == Cell::Null {
            return Err(Reject::new(0, "the JSON object is no resolver query: it has no `query_timestamp` or no `query_name`"));
        }
        Ok(Parsed::Row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::shown::shown;
    use expect_test::{Expect, expect};

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(&Resolver(Fields::new(FIELDS)), text));
    }

    #[test]
    fn queries() {
        check(
            EXAMPLES[0].text,
            expect![[r#"
                row
                  version: 1.100000
                  account_id: 123456789012
                  region: us-east-1
                  vpc_id: vpc-1
                  time: 2026-02-06T00:00:38Z
                  query_name: www.example.org.
                  query_type: A
                  query_class: IN
                  rcode: NOERROR
                  answers: [{"Rdata":"192.0.2.9","Type":"A","Class":"IN"}]
                  srcaddr: 10.0.0.21
                  srcport: 56067
                  transport: UDP
                  srcids_instance: i-0d15cd0d3
            "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
                row
                  version: 1.100000
                  account_id: 123456789012
                  region: us-east-1
                  vpc_id: vpc-1
                  time: 2026-02-06T00:00:38Z
                  query_name: bad.example.org.
                  query_type: AAAA
                  query_class: IN
                  rcode: NODATA
                  answers: []
                  srcaddr: 10.0.0.21
                  srcport: 56067
                  transport: UDP
                  srcids_resolver_endpoint: rslvr-in-1
                  srcids_resolver_network_interface: rni-1
                  firewall_rule_action: BLOCK
                  firewall_rule_group_id: rslvr-frg-1
                  firewall_domain_list_id: rslvr-fdl-1
                  extra: {"new":{"a":1}}
            "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "rubbish\n{}\n",
            expect![[r#"
            reject at 0 `rubbish`: no JSON object starts here
            reject at 0 `{}`: the JSON object is no resolver query: it has no `query_timestamp` or no `query_name`
        "#]],
        );
        check(
            r#"{"query_timestamp":"2026-02-06T00:00:38Z","query_name":"a.","srcport":"many"}"#,
            expect![[r#"
            reject at 71 `many"}`: `srcport` is no integer
        "#]],
        );
        check(
            r#"{"query_timestamp":"2026-02-06T00:00:38Z","query_name":"a.","srcport":"1""#,
            expect![[r#"
            reject at 73 ``: the JSON object has no end
        "#]],
        );
    }
}
