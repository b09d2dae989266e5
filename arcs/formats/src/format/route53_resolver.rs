//! Amazon Route 53 Resolver query logs: one JSON object a DNS query. Its members flow in, columns flow out; the answers
//! stay JSON text.

use super::json_record::{As, Member, read};
use super::{Column, Example, Fixed, Format, Parsed, Reject, Values};
use crate::columns::{Kind, Row};

/// The format.
pub static FORMAT: Format = Format {
    name: "route53-resolver",
    summary: "Amazon Route 53 Resolver DNS query logs",
    page: "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-query-logs-format.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Fixed::grammar(COLUMNS, parse),
};

use Kind::{Int32, Text, Time};
use Values::Repeating;

static COLUMNS: &[Column] = &[
    Column::fixed("version", Text, "", Repeating, "version of the log format, major and minor"),
    Column::fixed("account_id", Text, "", Repeating, "AWS account that owns the VPC"),
    Column::fixed("region", Text, "", Repeating, "AWS Region of the VPC"),
    Column::fixed("vpc_id", Text, "", Repeating, "VPC that the query came from"),
    Column::fixed("time", Time, "", Repeating, "when the query was submitted"),
    Column::fixed("query_name", Text, "", Repeating, "domain name that was asked for"),
    Column::fixed("query_type", Text, "", Repeating, "DNS record type that was asked for"),
    Column::fixed("query_class", Text, "", Repeating, "class of the query"),
    Column::fixed("rcode", Text, "", Repeating, "DNS response code, such as NOERROR or NXDOMAIN"),
    Column::fixed("answers", Text, "", Repeating, "JSON array of the answers, each {Rdata, Type, Class}"),
    Column::fixed("srcaddr", Text, "", Repeating, "address of the instance that asked"),
    Column::fixed("srcport", Int32, "", Repeating, "port of the instance that asked"),
    Column::fixed("transport", Text, "", Repeating, "UDP or TCP"),
    Column::fixed("srcids_instance", Text, "", Repeating, "id of the instance that asked; null if unknown"),
    Column::fixed("srcids_resolver_endpoint", Text, "", Repeating, "id of the Resolver endpoint that passed the query on; null if none"),
    Column::fixed("firewall_rule_action", Text, "", Repeating, "ALERT or BLOCK of a DNS Firewall rule; null if none matched"),
    Column::fixed("firewall_rule_group_id", Text, "", Repeating, "DNS Firewall rule group that matched; null if none"),
    Column::fixed("firewall_domain_list_id", Text, "", Repeating, "domain list of the rule that matched; null if none"),
    Column::fixed("srcids_resolver_network_interface", Text, "", Repeating, "network interface of the endpoint; null if none"),
    Column::fixed("firewall_protection", Text, "", Repeating, "kind of advanced DNS Firewall protection that matched; null if none"),
];

const TIME: usize = 4;
const QUERY_NAME: usize = 5;

const fn member(name: &'static str, column: usize, read: As) -> Member {
    Member { name, column, read }
}

static MEMBERS: &[Member] = &[
    member("version", 0, As::Text),
    member("account_id", 1, As::Text),
    member("region", 2, As::Text),
    member("vpc_id", 3, As::Text),
    member("query_timestamp", TIME, As::IsoTime),
    member("query_name", QUERY_NAME, As::Text),
    member("query_type", 6, As::Text),
    member("query_class", 7, As::Text),
    member("rcode", 8, As::Text),
    member("answers", 9, As::Text),
    member("srcaddr", 10, As::Text),
    member("srcport", 11, As::Int),
    member("transport", 12, As::Text),
    member("srcids", 0, As::Inside(SOURCES)),
    member("firewall_rule_action", 15, As::Text),
    member("firewall_rule_group_id", 16, As::Text),
    member("firewall_domain_list_id", 17, As::Text),
    member("firewall_protection", 19, As::Text),
];

static SOURCES: &[Member] = &[
    member("instance", 13, As::Text),
    member("resolver_endpoint", 14, As::Text),
    member("resolver-endpoint", 14, As::Text),
    member("resolver_network_interface", 18, As::Text),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        r#"{"version":"1.100000","account_id":"123456789012","region":"eu-west-1","vpc_id":"vpc-0a1b","query_timestamp":"2026-02-06T10:00:38Z","query_name":"shop.example.org.","query_type":"A","query_class":"IN","rcode":"NOERROR","answers":[{"Rdata":"192.0.2.9","Type":"A","Class":"IN"}],"srcaddr":"10.0.0.7","srcport":"56067","transport":"UDP","srcids":{"instance":"i-0d15cd0d3example"}}"#,
    ),
    Example::plain(
        r#"{"srcaddr":"10.0.0.8","vpc_id":"vpc-0a1b","answers":[],"firewall_rule_group_id":"rslvr-frg-1","firewall_rule_action":"BLOCK","query_name":"bad.example.com.","firewall_domain_list_id":"rslvr-fdl-1","query_class":"IN","srcids":{"resolver_endpoint":"rslvr-in-1"},"rcode":"NODATA","query_type":"AAAA","transport":"TCP","version":"1.1","account_id":"123456789012","srcport":"53","query_timestamp":"2026-02-06T10:00:39Z","region":"eu-west-1"}"#,
    ),
];

fn parse(record: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject> {
    let required = [
        (TIME, "no `query_timestamp`: this is no Route 53 Resolver query log"),
        (QUERY_NAME, "no `query_name`: this is no Route 53 Resolver query log"),
    ];
    read(record, MEMBERS, &required, row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Grammar, Outcome, explain};

    fn grammar() -> Box<dyn Grammar> {
        Fixed::grammar(COLUMNS, parse).unwrap()
    }

    #[test]
    fn members_in_any_order() {
        for (example, expected) in EXAMPLES.iter().zip([
            ["2026-02-06T10:00:38Z", "shop.example.org.", r#"[{"Rdata":"192.0.2.9","Type":"A","Class":"IN"}]"#, "56067"],
            ["2026-02-06T10:00:39Z", "bad.example.com.", "[]", "53"],
        ]) {
            let explained = explain(grammar().as_ref(), example.text.as_bytes());
            assert_eq!(explained.outcome, Outcome::Row { mark: None, extra: None });
            assert_eq!([4, 5, 9, 11].map(|column| explained.columns[column].1.as_deref().unwrap_or_default()), expected);
        }
    }

    #[test]
    fn what_is_no_query_is_a_reject() {
        let reject = |line: &str| match explain(grammar().as_ref(), line.as_bytes()).outcome {
            Outcome::Reject { at, reason } => format!("{at}: {reason}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(reject(r#"{"query_timestamp":"2026-02-06","query_name":"a."}"#), "20: the time is none of ISO 8601");
        assert_eq!(reject(r#"{"query_name":"a."}"#), "19: no `query_timestamp`: this is no Route 53 Resolver query log");
        assert_eq!(reject("plain text"), "0: no JSON object starts here");
    }
}
