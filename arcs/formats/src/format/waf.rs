//! AWS WAF logs: JSON lines. A line flows in; a web request with what the rules made of it flows out. Lists of rules,
//! labels and headers stay JSON.

use crate::columns::{Cell, Kind, Row};
use crate::format::json_record::{Field, Fields};
use crate::format::{Column, Example, Format, Grammar, Parsed, Reject, Scope, Values};

/// The format.
pub static FORMAT: Format = Format {
    name: "waf",
    summary: "AWS WAF web ACL traffic logs",
    page: "https://docs.aws.amazon.com/waf/latest/developerguide/logging-fields.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Ok(Box::new(Waf(Fields::new(FIELDS)))),
};

use Kind::{Int32, Int64, Text, Time};
use Values::{Distinct, Identifying, Repeating};

static FIELDS: &[Field] = &[
    Field::new("timestamp", Column::fixed("time", Time, "", Repeating, "field timestamp: when the request was inspected")),
    Field::new("formatVersion", Column::fixed("format_version", Int32, "", Repeating, "version of the log")),
    Field::new("webaclId", Column::fixed("webacl_id", Text, "", Repeating, "ARN of the web ACL")),
    Field::new(
        "terminatingRuleId",
        Column::fixed("terminating_rule_id", Text, "", Repeating, "rule that decided, or Default_Action where none did"),
    ),
    Field::new(
        "terminatingRuleType",
        Column::fixed("terminating_rule_type", Text, "", Repeating, "REGULAR, RATE_BASED, GROUP or MANAGED_RULE_GROUP"),
    ),
    Field::new("action", Column::fixed("action", Text, "", Repeating, "ALLOW, BLOCK, CAPTCHA or CHALLENGE")),
    Field::json(
        "terminatingRuleMatchDetails",
        Column::fixed(
            "terminating_rule_match_details",
            Text,
            "",
            Repeating,
            "what the deciding rule found, a JSON array; empty for most rules",
        ),
    ),
    Field::new("httpSourceName", Column::fixed("http_source_name", Text, "", Repeating, "CF, APIGW, ALB, APPSYNC, COGNITOIDP and others")),
    Field::new("httpSourceId", Column::fixed("http_source_id", Text, "", Repeating, "id of the resource that the request was for")),
    Field::json("ruleGroupList", Column::fixed("rule_group_list", Text, "", Repeating, "rule groups that acted, a JSON array")),
    Field::json(
        "rateBasedRuleList",
        Column::fixed("rate_based_rule_list", Text, "", Repeating, "rate-based rules that acted, a JSON array"),
    ),
    Field::json(
        "nonTerminatingMatchingRules",
        Column::fixed("non_terminating_matching_rules", Text, "", Repeating, "rules that matched and did not decide, a JSON array"),
    ),
    Field::json(
        "requestHeadersInserted",
        Column::fixed("request_headers_inserted", Text, "", Repeating, "headers inserted for the resource, a JSON array; null if none"),
    ),
    Field::new("responseCodeSent", Column::fixed("response_code_sent", Int32, "", Repeating, "status of a custom response; null if none")),
    Field::inside("httpRequest", "clientIp", Column::fixed("client_ip", Text, "", Repeating, "address of the client")),
    Field::inside("httpRequest", "country", Column::fixed("country", Text, "", Repeating, "country of the client; null if unknown")),
    Field::json_inside("httpRequest", "headers", Column::fixed("headers", Text, "", Distinct, "headers, a JSON array of names and values")),
    Field::inside("httpRequest", "uri", Column::fixed("uri", Text, "", Repeating, "path of the request")),
    Field::inside("httpRequest", "args", Column::fixed("args", Text, "", Distinct, "query of the request; empty if it had none")),
    Field::inside("httpRequest", "httpVersion", Column::fixed("http_version", Text, "", Repeating, "HTTP version")),
    Field::inside("httpRequest", "httpMethod", Column::fixed("http_method", Text, "", Repeating, "HTTP method")),
    Field::inside(
        "httpRequest",
        "requestId",
        Column::fixed("request_id", Text, "", Identifying, "id of the request, as the resource writes it into its own logs"),
    ),
    Field::inside(
        "httpRequest",
        "fragment",
        Column::fixed("fragment", Text, "", Repeating, "part of the URL after #; null in older lines"),
    ),
    Field::inside("httpRequest", "scheme", Column::fixed("scheme", Text, "", Repeating, "http or https; null in older lines")),
    Field::inside("httpRequest", "host", Column::fixed("host", Text, "", Repeating, "Host header; null in older lines")),
    Field::json("labels", Column::fixed("labels", Text, "", Repeating, "labels of the request, a JSON array, at most 100; null if none")),
    Field::json(
        "captchaResponse",
        Column::fixed("captcha_response", Text, "", Repeating, "outcome of a CAPTCHA, a JSON object; null if none"),
    ),
    Field::json(
        "challengeResponse",
        Column::fixed("challenge_response", Text, "", Repeating, "outcome of a challenge, a JSON object; null if none"),
    ),
    Field::new(
        "ja3Fingerprint",
        Column::fixed("ja3_fingerprint", Text, "", Repeating, "JA3 fingerprint of the TLS client hello; null if none"),
    ),
    Field::new(
        "ja4Fingerprint",
        Column::fixed("ja4_fingerprint", Text, "", Repeating, "JA4 fingerprint of the TLS client hello; null if none"),
    ),
    Field::json(
        "oversizeFields",
        Column::fixed(
            "oversize_fields",
            Text,
            "",
            Repeating,
            "parts of the request too large to inspect whole, a JSON array; null if none",
        ),
    ),
    Field::new("requestBodySize", Column::fixed("request_body_size", Int64, "bytes", Repeating, "size of the request body")),
    Field::new(
        "requestBodySizeInspectedByWAF",
        Column::fixed("request_body_size_inspected_by_waf", Int64, "bytes", Repeating, "bytes of the request body that were inspected"),
    ),
    Field::new("clientAsn", Column::fixed("client_asn", Int64, "", Repeating, "autonomous system of the client; null in older lines")),
    Field::new(
        "forwardedAsn",
        Column::fixed("forwarded_asn", Int64, "", Repeating, "autonomous system of the forwarded address; null if none"),
    ),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        r#"{"timestamp":1770336038541,"formatVersion":1,"webaclId":"arn:aws:wafv2:us-east-1:123456789012:regional/webacl/front/1","terminatingRuleId":"no-injection","terminatingRuleType":"REGULAR","action":"BLOCK","terminatingRuleMatchDetails":[{"conditionType":"SQL_INJECTION","sensitivityLevel":"HIGH","location":"QUERY_STRING","matchedData":["10","OR"]}],"httpSourceName":"ALB","httpSourceId":"123456789012-app/front/1","ruleGroupList":[],"rateBasedRuleList":[],"nonTerminatingMatchingRules":[],"requestHeadersInserted":null,"responseCodeSent":403,"httpRequest":{"clientIp":"192.0.2.3","country":"DE","headers":[{"name":"Host","value":"www.example.org"}],"uri":"/a","args":"id=10%20OR%201","httpVersion":"HTTP/2.0","httpMethod":"GET","requestId":"1-58337281","fragment":"","scheme":"https","host":"www.example.org"},"labels":[{"name":"value"}],"ja3Fingerprint":"f7912ba","ja4Fingerprint":"t13d","requestBodySize":0,"requestBodySizeInspectedByWAF":0,"clientAsn":64496}"#,
    ),
    Example::plain(
        r#"{"timestamp":1770336038541,"formatVersion":1,"webaclId":"1","terminatingRuleId":"Default_Action","terminatingRuleType":"REGULAR","action":"ALLOW","httpSourceName":"-","httpSourceId":"-","ruleGroupList":[],"httpRequest":{"clientIp":"2001:db8::1","country":"-","headers":[],"uri":"/","args":"","httpVersion":"HTTP/1.1","httpMethod":"GET","requestId":null,"new":[1]},"newer":{"a":1}}"#,
    ),
];

const TIME: usize = 0;
const ACTION: usize = 5;

#[derive(Debug)]
struct Waf(Fields);

impl Grammar for Waf {
    fn columns(&self) -> &[Column] {
        self.0.columns()
    }

    fn read(&self, line: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        self.0.read(line, row)?;
        if row.cell(TIME) == Cell::Null || row.cell(ACTION) == Cell::Null {
            return Err(Reject::new(0, "the JSON object is no WAF log: it has no `timestamp` or no `action`"));
        }
        Ok(Parsed::Row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json_record::check_columns;
    use crate::format::shown::shown;
    use crate::format::{Outcome, explain_all};
    use expect_test::{Expect, expect};
    use serde_json::Value;

    fn grammar() -> Waf {
        Waf(Fields::new(FIELDS))
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(&grammar(), text));
    }

    #[test]
    fn requests() {
        check(
            EXAMPLES[0].text,
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38.541Z
                  format_version: 1
                  webacl_id: arn:aws:wafv2:us-east-1:123456789012:regional/webacl/front/1
                  terminating_rule_id: no-injection
                  terminating_rule_type: REGULAR
                  action: BLOCK
                  terminating_rule_match_details: [{"conditionType":"SQL_INJECTION","sensitivityLevel":"HIGH","location":"QUERY_STRING","matchedData":["10","OR"]}]
                  http_source_name: ALB
                  http_source_id: 123456789012-app/front/1
                  rule_group_list: []
                  rate_based_rule_list: []
                  non_terminating_matching_rules: []
                  response_code_sent: 403
                  client_ip: 192.0.2.3
                  country: DE
                  headers: [{"name":"Host","value":"www.example.org"}]
                  uri: /a
                  args: id=10%20OR%201
                  http_version: HTTP/2.0
                  http_method: GET
                  request_id: 1-58337281
                  fragment: 
                  scheme: https
                  host: www.example.org
                  labels: [{"name":"value"}]
                  ja3_fingerprint: f7912ba
                  ja4_fingerprint: t13d
                  request_body_size: 0
                  request_body_size_inspected_by_waf: 0
                  client_asn: 64496
            "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38.541Z
                  format_version: 1
                  webacl_id: 1
                  terminating_rule_id: Default_Action
                  terminating_rule_type: REGULAR
                  action: ALLOW
                  rule_group_list: []
                  client_ip: 2001:db8::1
                  headers: []
                  uri: /
                  args: 
                  http_version: HTTP/1.1
                  http_method: GET
                  extra: {"httpRequest.new":[1],"newer":{"a":1}}
            "#]],
        );
    }

    #[test]
    fn rejects_say_where_and_why() {
        check(
            "rubbish\n[]\n{\"firewall_name\":\"a\",\"event_timestamp\":\"1770336038\",\"event\":{}}",
            expect![[r#"
            reject at 0 `rubbish`: no JSON object starts here
            reject at 0 `[]`: no JSON object starts here
            reject at 0 `{"firewall_name":"a","event_timestamp":"`: the JSON object is no WAF log: it has no `timestamp` or no `action`
        "#]],
        );
        check(
            r#"{"timestamp":1770336038541,"action":"ALLOW","responseCodeSent":"x"}"#,
            expect![[r#"
            reject at 64 `x"}`: `response_code_sent` is no integer
        "#]],
        );
        check(
            r#"{"timestamp":17703360385410000000,"action":"ALLOW"}"#,
            expect![[r#"
            reject at 13 `17703360385410000000,"action":"ALLOW"}`: `time` is no time
        "#]],
        );
        check(
            r#"{"timestamp":1770336038541,"action":"ALLOW"}{"timestamp":1770336038541,"action":"ALLOW"}"#,
            expect![[r#"
            reject at 44 `{"timestamp":1770336038541,"action":"ALL`: text follows the JSON object
        "#]],
        );
    }

    #[test]
    fn real_logs_read_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/waf/opensearch-catalog");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real WAF logs in ../shared/data/waf");
            return;
        }
        let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
        let raw = read("aws_waf__raw.log");
        for record in explain_all(&grammar(), raw.as_bytes(), 0) {
            assert_eq!(record.outcome, Outcome::Row { mark: None, extra: None }, "{}", record.text);
        }
        raw.lines().for_each(|line| check_columns(&grammar(), FIELDS, &serde_json::from_str(line).unwrap()));
        assert_eq!(raw.lines().count(), 38);
        // Others have taken the timestamp out of these.
        let mut samples: Vec<Value> = serde_json::from_str(&read("aws_waf__samples.json")).unwrap();
        assert_eq!(samples.len(), 38);
        for sample in &mut samples {
            let mut line = sample["aws"]["waf"].take();
            line["timestamp"] = 1_679_548_657_700i64.into();
            check_columns(&grammar(), FIELDS, &line);
        }
        // Logs of AWS Network Firewall are another format: all rejects.
        let strangers: Vec<Value> = serde_json::from_str(&read("amazon_networkfirewall__sample.json")).unwrap();
        for stranger in strangers {
            assert!(matches!(explain_all(&grammar(), stranger.to_string().as_bytes(), 0)[0].outcome, Outcome::Reject { at: 0, .. }));
        }
    }
}
