//! AWS WAF web ACL traffic logs: one JSON object a request. Its members flow in, columns flow out; what holds lists of
//! rules stays JSON text. `httpRequest` is taken apart.

use super::json_record::{As, Member, read};
use super::{Column, Example, Fixed, Format, Parsed, Reject, Values};
use crate::columns::{Kind, Row};

/// The format.
pub static FORMAT: Format = Format {
    name: "waf",
    summary: "AWS WAF web ACL traffic logs",
    page: "https://docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Fixed::grammar(COLUMNS, parse),
};

use Kind::{Int32, Int64, Text, Time};
use Values::{Distinct, Identifying, Repeating};

static COLUMNS: &[Column] = &[
    Column::fixed("time", Time, "", Repeating, "when WAF looked at the request"),
    Column::fixed("format_version", Int32, "", Repeating, "version of the log format"),
    Column::fixed("webacl_id", Text, "", Repeating, "ARN of the web ACL"),
    Column::fixed("terminating_rule_id", Text, "", Repeating, "rule that ended the evaluation; Default_Action if none did"),
    Column::fixed("terminating_rule_type", Text, "", Repeating, "RATE_BASED, REGULAR, GROUP or MANAGED_RULE_GROUP"),
    Column::fixed("action", Text, "", Repeating, "ALLOW, BLOCK, CAPTCHA or CHALLENGE"),
    Column::fixed("terminating_rule_match_details", Text, "", Repeating, "JSON array of what matched in the terminating rule"),
    Column::fixed("http_source_name", Text, "", Repeating, "kind of the protected resource, such as CF, ALB or APIGW"),
    Column::fixed("http_source_id", Text, "", Repeating, "id of the protected resource"),
    Column::fixed("rule_group_list", Text, "", Repeating, "JSON array of the rule groups that acted on the request"),
    Column::fixed("rate_based_rule_list", Text, "", Repeating, "JSON array of the rate-based rules that acted on the request"),
    Column::fixed("non_terminating_matching_rules", Text, "", Repeating, "JSON array of rules that matched without ending the evaluation"),
    Column::fixed("request_headers_inserted", Text, "", Repeating, "JSON array of headers that a rule inserted; null if none"),
    Column::fixed("response_code_sent", Int32, "", Repeating, "status of a custom response; null if none was sent"),
    Column::fixed("client_ip", Text, "", Repeating, "address that the request came from"),
    Column::fixed("country", Text, "", Repeating, "country of that address, two letters; null if unknown"),
    Column::fixed("headers", Text, "", Distinct, "JSON array of the request's headers, each {name, value}"),
    Column::fixed("uri", Text, "", Repeating, "path of the request"),
    Column::fixed("args", Text, "", Distinct, "query string of the request"),
    Column::fixed("http_version", Text, "", Repeating, "HTTP version of the request"),
    Column::fixed("http_method", Text, "", Repeating, "method of the request"),
    Column::fixed("request_id", Text, "", Identifying, "id that the protected resource gave the request"),
    Column::fixed("fragment", Text, "", Repeating, "part of the URL after its hash sign"),
    Column::fixed("scheme", Text, "", Repeating, "http, https, ws or wss"),
    Column::fixed("host", Text, "", Repeating, "host of the request"),
    Column::fixed("client_asn", Int64, "", Repeating, "autonomous system of the address; null unless a rule looked at it"),
    Column::fixed("labels", Text, "", Repeating, "JSON array of the labels that rules gave the request; null if none"),
    Column::fixed("captcha_response", Text, "", Repeating, "JSON object of the CAPTCHA's outcome; null if there was none"),
    Column::fixed("challenge_response", Text, "", Repeating, "JSON object of the challenge's outcome; null if there was none"),
    Column::fixed("ja3_fingerprint", Text, "", Repeating, "JA3 fingerprint of the TLS handshake"),
    Column::fixed("ja4_fingerprint", Text, "", Repeating, "JA4 fingerprint of the TLS handshake"),
    Column::fixed("oversize_fields", Text, "", Repeating, "JSON array of parts of the request that were larger than WAF inspects"),
    Column::fixed("request_body_size", Int64, "bytes", Repeating, "size of the body"),
    Column::fixed("request_body_size_inspected_by_waf", Int64, "bytes", Repeating, "how much of the body WAF looked at"),
];

const TIME: usize = 0;
const WEBACL_ID: usize = 2;

const fn member(name: &'static str, column: usize, read: As) -> Member {
    Member { name, column, read }
}

static MEMBERS: &[Member] = &[
    member("timestamp", TIME, As::EpochMillis),
    member("formatVersion", 1, As::Int),
    member("webaclId", WEBACL_ID, As::Text),
    member("terminatingRuleId", 3, As::Text),
    member("terminatingRuleType", 4, As::Text),
    member("action", 5, As::Text),
    member("terminatingRuleMatchDetails", 6, As::Text),
    member("httpSourceName", 7, As::Word),
    member("httpSourceId", 8, As::Word),
    member("ruleGroupList", 9, As::Text),
    member("rateBasedRuleList", 10, As::Text),
    member("nonTerminatingMatchingRules", 11, As::Text),
    member("requestHeadersInserted", 12, As::Text),
    member("responseCodeSent", 13, As::Int),
    member("httpRequest", 0, As::Inside(REQUEST)),
    member("labels", 26, As::Text),
    member("captchaResponse", 27, As::Text),
    member("challengeResponse", 28, As::Text),
    member("ja3Fingerprint", 29, As::Text),
    member("ja4Fingerprint", 30, As::Text),
    member("oversizeFields", 31, As::Text),
    member("requestBodySize", 32, As::Int),
    member("requestBodySizeInspectedByWAF", 33, As::Int),
    member("clientAsn", 25, As::Int),
];

static REQUEST: &[Member] = &[
    member("clientIp", 14, As::Text),
    member("country", 15, As::Word),
    member("headers", 16, As::Text),
    member("uri", 17, As::Text),
    member("args", 18, As::Text),
    member("httpVersion", 19, As::Text),
    member("httpMethod", 20, As::Text),
    member("requestId", 21, As::Text),
    member("fragment", 22, As::Text),
    member("scheme", 23, As::Text),
    member("host", 24, As::Text),
    member("clientAsn", 25, As::Int),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        r#"{"timestamp":1700000000123,"formatVersion":1,"webaclId":"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/shop/0f0e","terminatingRuleId":"Default_Action","terminatingRuleType":"REGULAR","action":"ALLOW","terminatingRuleMatchDetails":[],"httpSourceName":"ALB","httpSourceId":"123456789012-app/shop/1a2b","ruleGroupList":[],"rateBasedRuleList":[],"nonTerminatingMatchingRules":[],"requestHeadersInserted":null,"responseCodeSent":null,"httpRequest":{"clientIp":"192.0.2.7","country":"DE","headers":[{"name":"host","value":"shop.example.org"}],"uri":"/cart","args":"id=7","httpVersion":"HTTP/2.0","httpMethod":"GET","requestId":"1-65535a80-1b2c","fragment":"","scheme":"https","host":"shop.example.org"},"ja3Fingerprint":"f79b6bad2ad0641e1921aef10262856b","requestBodySize":0,"requestBodySizeInspectedByWAF":0}"#,
    ),
    Example::plain(
        r#"{"timestamp":1700000001000,"formatVersion":1,"webaclId":"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/shop/0f0e","terminatingRuleId":"limit","terminatingRuleType":"RATE_BASED","action":"BLOCK","httpSourceName":"-","httpSourceId":"-","rateBasedRuleList":[{"rateBasedRuleId":"r","limitKey":"IP","maxRateAllowed":100}],"responseCodeSent":429,"httpRequest":{"clientIp":"2001:db8::1","country":"-","headers":[],"uri":"/","args":"","httpVersion":"HTTP/1.1","httpMethod":"POST","requestId":"1-65535a81-2"},"labels":[{"name":"awswaf:managed:token:absent"}]}"#,
    ),
];

fn parse(record: &[u8], row: &mut Row<'_>) -> Result<Parsed, Reject> {
    let required = [(TIME, "no `timestamp`: this is no AWS WAF log"), (WEBACL_ID, "no `webaclId`: this is no AWS WAF log")];
    read(record, MEMBERS, &required, row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Grammar, Outcome, explain};

    fn grammar() -> Box<dyn Grammar> {
        Fixed::grammar(COLUMNS, parse).unwrap()
    }

    fn value(line: &str, column: &str) -> Option<String> {
        let explained = explain(grammar().as_ref(), line.as_bytes());
        explained.columns.into_iter().find(|(found, _)| found.name == column).and_then(|(_, value)| value)
    }

    #[test]
    fn every_member_has_its_column() {
        for (members, prefix) in [(MEMBERS, ""), (REQUEST, "")] {
            for member in members.iter().filter(|member| !matches!(member.read, As::Inside(_)) && member.name != "timestamp") {
                let snake: String = member.name.replace("WAF", "Waf").chars().fold(prefix.to_owned(), |name, letter| match letter {
                    'A'..='Z' => format!("{name}_{}", letter.to_ascii_lowercase()),
                    letter => format!("{name}{letter}"),
                });
                assert_eq!(COLUMNS[member.column].name, snake);
            }
        }
    }

    #[test]
    fn requests_are_taken_apart() {
        let [allowed, blocked] = [EXAMPLES[0].text, EXAMPLES[1].text];
        assert_eq!(value(allowed, "time").as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(value(allowed, "headers").as_deref(), Some(r#"[{"name":"host","value":"shop.example.org"}]"#));
        assert_eq!((value(allowed, "args").as_deref(), value(allowed, "response_code_sent")), (Some("id=7"), None));
        assert_eq!((value(blocked, "country"), value(blocked, "http_source_id")), (None, None));
        assert_eq!(value(blocked, "response_code_sent").as_deref(), Some("429"));
        assert_eq!(value(blocked, "client_ip").as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn unknown_members_are_extra_and_wrong_ones_rejects() {
        let outcome = |line: &str| explain(grammar().as_ref(), line.as_bytes()).outcome;
        let line = r#"{"timestamp":1,"webaclId":"a","new":"x\"y","httpRequest":{"new":[1]},"labels":null}"#;
        assert_eq!(outcome(line), Outcome::Row { mark: None, extra: Some(r#"{"new":"x\"y","new":[1]}"#.into()) });
        let reject = |line: &str| match outcome(line) {
            Outcome::Reject { at, reason } => format!("{at}: {reason}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(reject(r#"{"timestamp":1}"#), "15: no `webaclId`: this is no AWS WAF log");
        assert_eq!(reject(r#"{"timestamp":"soon","webaclId":"a"}"#), "14: the time is not in milliseconds since 1970");
        assert_eq!(
            reject(r#"{"timestamp":1,"webaclId":"a","httpRequest":{"clientAsn":"x"}}"#),
            "58: a member that is a whole number is something else"
        );
        assert_eq!(reject(r#"{"timestamp":1,"webaclId":"a","httpRequest":{"uri" 1}}"#), "44: a nested JSON value is not well-formed");
        assert_eq!(reject(r#"{"timestamp":1,"webaclId":"a"} {"#), "31: text follows the JSON object");
    }

    #[test]
    fn real_logs_read_whole() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/waf/opensearch-catalog/aws_waf__raw.log");
        let Ok(text) = std::fs::read_to_string(file) else { return eprintln!("SKIPPED: no real WAF logs in ../shared/data/waf") };
        let mut rows = 0;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            assert_eq!(explain(grammar().as_ref(), line.as_bytes()).outcome, Outcome::Row { mark: None, extra: None }, "{line}");
            rows += 1;
        }
        assert!(rows > 1, "{rows}");
    }
}
