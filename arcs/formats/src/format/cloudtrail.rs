//! AWS CloudTrail events. A document `{"Records":[…]}` of many events, or events one after the other, flow in; an event
//! each flows out. What a call asked for and what it was answered differ from service to service: both stay JSON, and so
//! does who called, beside the columns that say it for most.
//!
//! Digest files and Insights lie beside the events, often below the same prefix: they belong to CloudTrail, and are no
//! events.

use std::borrow::Cow;

use crate::columns::{Cell, Kind, Row};
use crate::format::json_fields::{Json, members};
use crate::format::json_record::{Field, Fields};
use crate::format::{Column, Example, Format, Framing, Grammar, Parsed, Reject, Scope, Values};

/// The format.
pub static FORMAT: Format = Format {
    name: "cloudtrail",
    summary: "AWS CloudTrail management, data and network activity events",
    page: "https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html",
    options: &[],
    examples: EXAMPLES,
    compile: |_| Ok(Box::new(CloudTrail(Fields::new(FIELDS)))),
};

use Kind::{Boolean, Text, Time};
use Values::{Distinct, Identifying, Repeating};

static FIELDS: &[Field] = &[
    Field::new("eventVersion", Column::fixed("event_version", Text, "", Repeating, "version of the event's format")),
    Field::new(
        "eventTime",
        Column::fixed("time", Time, "", Repeating, "field eventTime: when the call was finished, by the service's clock"),
    ),
    Field::new("eventSource", Column::fixed("event_source", Text, "", Repeating, "service that was called, such as s3.amazonaws.com")),
    Field::new("eventName", Column::fixed("event_name", Text, "", Repeating, "action that was called")),
    Field::new("awsRegion", Column::fixed("aws_region", Text, "", Repeating, "AWS Region that was called")),
    Field::new(
        "sourceIPAddress",
        Column::fixed("source_ip_address", Text, "", Repeating, "address of the caller, or the name of an AWS service"),
    ),
    Field::new("userAgent", Column::fixed("user_agent", Text, "", Repeating, "tool or service that called")),
    Field::new("errorCode", Column::fixed("error_code", Text, "", Repeating, "error of the service; null if the call succeeded")),
    Field::new("errorMessage", Column::fixed("error_message", Text, "", Repeating, "description of the error; null if the call succeeded")),
    Field::inside(
        "userIdentity",
        "type",
        Column::fixed("user_identity_type", Text, "", Repeating, "Root, IAMUser, AssumedRole, AWSService, AWSAccount and others"),
    ),
    Field::inside("userIdentity", "principalId", Column::fixed("user_identity_principal_id", Text, "", Repeating, "id of who called")),
    Field::inside("userIdentity", "arn", Column::fixed("user_identity_arn", Text, "", Repeating, "ARN of who called")),
    Field::inside("userIdentity", "accountId", Column::fixed("user_identity_account_id", Text, "", Repeating, "account of who called")),
    Field::inside(
        "userIdentity",
        "accessKeyId",
        Column::fixed(
            "user_identity_access_key_id",
            Text,
            "",
            Repeating,
            "access key that signed the call; null if none did, or for security reasons",
        ),
    ),
    Field::inside("userIdentity", "userName", Column::fixed("user_identity_user_name", Text, "", Repeating, "friendly name of who called")),
    Field::inside(
        "userIdentity",
        "invokedBy",
        Column::fixed("user_identity_invoked_by", Text, "", Repeating, "AWS service that called; null for other callers"),
    ),
    Field::json("userIdentity", Column::fixed("user_identity", Text, "", Repeating, "all about who called, a JSON object")),
    Field::json(
        "requestParameters",
        Column::fixed("request_parameters", Text, "", Distinct, "parameters of the call as JSON, at most 100 KB; null if it had none"),
    ),
    Field::json(
        "responseElements",
        Column::fixed("response_elements", Text, "", Distinct, "response of a call that changed something, as JSON; null for reads"),
    ),
    Field::json(
        "additionalEventData",
        Column::fixed(
            "additional_event_data",
            Text,
            "",
            Distinct,
            "what is part of neither request nor response, as JSON; null if nothing",
        ),
    ),
    Field::new("requestID", Column::fixed("request_id", Text, "", Identifying, "id that the service gave the call")),
    Field::new("eventID", Column::fixed("event_id", Text, "", Identifying, "id of the event, the same in copies of it")),
    Field::new("readOnly", Column::fixed("read_only", Boolean, "", Repeating, "whether the call changed nothing")),
    Field::json(
        "resources",
        Column::fixed("resources", Text, "", Distinct, "resources that were accessed, a JSON array; null if none are named"),
    ),
    Field::new("eventType", Column::fixed("event_type", Text, "", Repeating, "AwsApiCall, AwsServiceEvent, AwsConsoleSignIn and others")),
    Field::new("apiVersion", Column::fixed("api_version", Text, "", Repeating, "version of the API; null for most services")),
    Field::new("managementEvent", Column::fixed("management_event", Boolean, "", Repeating, "whether it is a management event")),
    Field::new("recipientAccountId", Column::fixed("recipient_account_id", Text, "", Repeating, "account that got the event")),
    Field::json(
        "serviceEventDetails",
        Column::fixed("service_event_details", Text, "", Distinct, "what led to a service event, as JSON; null for calls"),
    ),
    Field::new(
        "sharedEventID",
        Column::fixed(
            "shared_event_id",
            Text,
            "",
            Identifying,
            "id that the events of one call have in several accounts; null for one account",
        ),
    ),
    Field::new("vpcEndpointId", Column::fixed("vpc_endpoint_id", Text, "", Repeating, "VPC endpoint of the call; null if it used none")),
    Field::new(
        "vpcEndpointAccountId",
        Column::fixed("vpc_endpoint_account_id", Text, "", Repeating, "account of the VPC endpoint; null if the call used none"),
    ),
    Field::new("eventCategory", Column::fixed("event_category", Text, "", Repeating, "Management, Data or NetworkActivity")),
    Field::json(
        "addendum",
        Column::fixed("addendum", Text, "", Repeating, "why an event was late or changed, a JSON object; null if it was not"),
    ),
    Field::json(
        "eventContext",
        Column::fixed("event_context", Text, "", Repeating, "tags and context keys added to the event, as JSON; null if none"),
    ),
    Field::new(
        "sessionCredentialFromConsole",
        Column::fixed(
            "session_credential_from_console",
            Boolean,
            "",
            Repeating,
            "true if the call came from a console session; null if not",
        ),
    ),
    Field::json(
        "edgeDeviceDetails",
        Column::fixed("edge_device_details", Text, "", Repeating, "edge device that was called, a JSON object; null for all other calls"),
    ),
    Field::inside(
        "tlsDetails",
        "tlsVersion",
        Column::fixed("tls_version", Text, "", Repeating, "TLS version of the call; null if unknown"),
    ),
    Field::inside(
        "tlsDetails",
        "cipherSuite",
        Column::fixed("tls_cipher_suite", Text, "", Repeating, "TLS cipher of the call; null if unknown"),
    ),
    Field::inside(
        "tlsDetails",
        "clientProvidedHostHeader",
        Column::fixed("tls_client_provided_host_header", Text, "", Repeating, "host name that the client called; null if unknown"),
    ),
    Field::inside(
        "tlsDetails",
        "keyExchange",
        Column::fixed("tls_key_exchange", Text, "", Repeating, "key exchange of the call; null if unknown"),
    ),
];

static EXAMPLES: &[Example] = &[
    Example::plain(
        r#"{"Records":[{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROA1:app","arn":"arn:aws:sts::123456789012:assumed-role/app/app","accountId":"123456789012","accessKeyId":"ASIA1","sessionContext":{"attributes":{"mfaAuthenticated":"false"}}},"eventTime":"2026-02-06T00:00:38Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.3","userAgent":"[aws-cli/2.15]","errorCode":"AccessDenied","errorMessage":"Access Denied","requestParameters":{"bucketName":"lake","key":"a\"b"},"responseElements":null,"additionalEventData":{"bytesTransferredOut":243},"requestID":"R1","eventID":"E1","readOnly":true,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::lake/a"}],"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"123456789012","sharedEventID":"S1","vpcEndpointId":"vpce-1","eventCategory":"Data","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"lake.s3.amazonaws.com"},"new":[1]},{"eventVersion":"1.08","userIdentity":{"type":"AWSService","invokedBy":"ec2.amazonaws.com"},"eventTime":"2026-02-06T00:00:39Z","eventSource":"sts.amazonaws.com","eventName":"AssumeRole"}]}"#,
    ),
    Example::plain(
        "{\"eventTime\":\"2026-02-06T00:00:38Z\",\"eventName\":\"ConsoleLogin\",\"sessionCredentialFromConsole\":\"true\"}\n{\n  \"eventTime\": \"2026-02-06T00:00:39Z\",\n  \"eventName\": \"CreateBucket\",\n  \"requestParameters\": {\n    \"bucketName\": \"lake\"\n  }\n}\n",
    ),
    Example::plain(
        r#"[{"eventTime":"2026-02-06T00:00:38Z","eventName":"RunInstances","eventCategory":"Insight","insightDetails":{"state":"Start"}},{"awsAccountId":"123456789012","digestStartTime":"2026-02-06T00:00:00Z","logFiles":[]},{"eventTime":"2026-02-06T00:00:38Z","eventName":"AssumeRole"}]"#,
    ),
];

/// The key of the array that holds the events of a document.
const RECORDS: &str = "Records";

const TIME: usize = 1;
const EVENT_NAME: usize = 3;
const EVENT_CATEGORY: usize = 32;

#[derive(Debug)]
struct CloudTrail(Fields);

impl Grammar for CloudTrail {
    fn columns(&self) -> &[Column] {
        self.0.columns()
    }

    fn framing(&self) -> Framing {
        Framing::Elements(RECORDS)
    }

    fn read(&self, event: &[u8], _: &Scope<'_>, row: &mut Row<'_>) -> Result<Parsed, Reject> {
        self.0.read(event, row)?;
        if row.bytes(row.cell(EVENT_CATEGORY)) == b"Insight" || is_digest(event, row) {
            return Ok(Parsed::Header);
        }
        if row.cell(TIME) == Cell::Null || row.cell(EVENT_NAME) == Cell::Null {
            return Err(Reject::new(0, "the JSON object is no CloudTrail event: it has no `eventTime` or no `eventName`"));
        }
        Ok(Parsed::Row)
    }
}

/// Whether an object lists the files of an hour with their hashes.
fn is_digest(object: &[u8], row: &Row<'_>) -> bool {
    let mut has_start = false;
    let look = |key: Cow<'_, [u8]>, _: Json<'_>| {
        has_start |= key.as_ref() == b"digestStartTime";
        Ok(())
    };
    row.cell(TIME) == Cell::Null && members(object, look).is_ok() && has_start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json_record::check_columns;
    use crate::format::shown::shown;
    use crate::format::{Outcome, explain_all};
    use expect_test::{Expect, expect};
    use serde_json::Value;

    fn grammar() -> CloudTrail {
        CloudTrail(Fields::new(FIELDS))
    }

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&shown(&grammar(), text));
    }

    #[test]
    fn documents_and_lines() {
        check(
            EXAMPLES[0].text,
            expect![[r#"
                row
                  event_version: 1.11
                  time: 2026-02-06T00:00:38Z
                  event_source: s3.amazonaws.com
                  event_name: GetObject
                  aws_region: us-east-1
                  source_ip_address: 192.0.2.3
                  user_agent: [aws-cli/2.15]
                  error_code: AccessDenied
                  error_message: Access Denied
                  user_identity_type: AssumedRole
                  user_identity_principal_id: AROA1:app
                  user_identity_arn: arn:aws:sts::123456789012:assumed-role/app/app
                  user_identity_account_id: 123456789012
                  user_identity_access_key_id: ASIA1
                  user_identity: {"type":"AssumedRole","principalId":"AROA1:app","arn":"arn:aws:sts::123456789012:assumed-role/app/app","accountId":"123456789012","accessKeyId":"ASIA1","sessionContext":{"attributes":{"mfaAuthenticated":"false"}}}
                  request_parameters: {"bucketName":"lake","key":"a\"b"}
                  additional_event_data: {"bytesTransferredOut":243}
                  request_id: R1
                  event_id: E1
                  read_only: true
                  resources: [{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::lake/a"}]
                  event_type: AwsApiCall
                  management_event: false
                  recipient_account_id: 123456789012
                  shared_event_id: S1
                  vpc_endpoint_id: vpce-1
                  event_category: Data
                  tls_version: TLSv1.3
                  tls_cipher_suite: TLS_AES_128_GCM_SHA256
                  tls_client_provided_host_header: lake.s3.amazonaws.com
                  extra: {"new":[1]}
                row
                  event_version: 1.08
                  time: 2026-02-06T00:00:39Z
                  event_source: sts.amazonaws.com
                  event_name: AssumeRole
                  user_identity_type: AWSService
                  user_identity_invoked_by: ec2.amazonaws.com
                  user_identity: {"type":"AWSService","invokedBy":"ec2.amazonaws.com"}
            "#]],
        );
        check(
            EXAMPLES[1].text,
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38Z
                  event_name: ConsoleLogin
                  session_credential_from_console: true
                row
                  time: 2026-02-06T00:00:39Z
                  event_name: CreateBucket
                  request_parameters: {
                    "bucketName": "lake"
                  }
            "#]],
        );
        check(
            EXAMPLES[2].text,
            expect![[r#"
                Header
                Header
                row
                  time: 2026-02-06T00:00:38Z
                  event_name: AssumeRole
            "#]],
        );
        check(r#"{"Records":[]}"#, expect![[""]]);
        assert_eq!(FIELDS.len(), grammar().columns().len());
        let named = |n: usize| grammar().columns()[n].name.to_string();
        assert_eq!([named(TIME), named(EVENT_NAME), named(EVENT_CATEGORY)], ["time", "event_name", "event_category"]);
    }

    #[test]
    fn rejects_say_where_and_why() {
        let event = r#"{"eventTime":"2026-02-06T00:00:38Z","eventName":"A"}"#;
        check(
            &format!(r#"{{"Records":[{event},{{"eventTime":"x"}},{{"a":1}},{event},{{"eventTime":"#),
            expect![[r#"
                row
                  time: 2026-02-06T00:00:38Z
                  event_name: A
                reject at 14 `x"}`: `time` is no time
                reject at 0 `{"a":1}`: the JSON object is no CloudTrail event: it has no `eventTime` or no `eventName`
                row
                  time: 2026-02-06T00:00:38Z
                  event_name: A
                reject at 13 ``: no JSON value starts here
            "#]],
        );
        check(
            &format!("{{\"eventTime\":\"2026\n{event}\nrubbish\n{event}"),
            expect![[r#"
                reject at 13 `"2026`: a JSON string has no end
                row
                  time: 2026-02-06T00:00:38Z
                  event_name: A
                reject at 0 `rubbish`: no JSON object starts here
                row
                  time: 2026-02-06T00:00:38Z
                  event_name: A
            "#]],
        );
        check(
            r#"{"eventTime":"2026-02-06T00:00:38Z","eventName":"A","readOnly":"yes"}"#,
            expect![[r#"
            reject at 64 `yes"}`: `read_only` is no `true` or `false`
        "#]],
        );
        check(
            r#"{"Records":["a",{}]}"#,
            expect![[r#"
            reject at 0 `"a",{}]}`: no JSON object starts here
        "#]],
        );
    }

    /// How many records are rows; fails for any that is a reject.
    fn rows(text: &str) -> usize {
        let records = explain_all(&grammar(), text.as_bytes(), 0);
        for record in &records {
            assert_eq!(record.outcome, Outcome::Row { mark: None, extra: None }, "{}", record.text);
        }
        records.len()
    }

    #[test]
    fn real_logs_read_whole() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cloudtrail/opensearch-catalog");
        if !folder.is_dir() {
            eprintln!("SKIPPED: no real CloudTrail events in ../shared/data/cloudtrail");
            return;
        }
        let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(rows(&read("aws_cloudtrail__raw-sample.json")), 1);
        // Some events of this list were wrapped by hand in `{"aws":{"cloudtrail":…}}`, and not all brackets match.
        let large = read("aws_cloudtrail__samples-large.json");
        assert_eq!(rows(&unwrapped(&large)), large.matches("\"eventVersion\"").count());
        // Others have put each event into one of their own.
        let samples: Vec<Value> = serde_json::from_str(&read("aws_cloudtrail__samples.json")).unwrap();
        let events: Vec<Value> = samples.into_iter().map(|mut sample| sample["aws"]["cloudtrail"].take()).collect();
        events.iter().for_each(|event| check_columns(&grammar(), FIELDS, event));
        let document = serde_json::json!({ "Records": events });
        assert_eq!(rows(&document.to_string()), events.len());
        assert_eq!(rows(&serde_json::to_string_pretty(&document).unwrap()), events.len());
        assert_eq!(events.len(), 50);
    }

    /// Takes `{ "aws": { "cloudtrail": ` away before each event that has it; what closed it is passed over.
    fn unwrapped(text: &str) -> String {
        text.split("\"cloudtrail\":").map(|part| part.trim_end().strip_suffix("{ \"aws\": {").unwrap_or(part)).collect()
    }
}
