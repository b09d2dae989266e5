//! Notifications of S3 in the shapes in which they come: the text of a message flows in, arrivals flow out. Keys are
//! decoded where their shape encodes them. What is no notification is an error that names no content.
//!
//! Shapes: S3 to SQS (`Records`), the same inside an SNS envelope, and S3 to EventBridge (`Object Created`). Sources:
//! the user guides of Amazon S3 ("Event message structure", "EventBridge event message structure") and SNS.

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::arrivals::Arrival;

/// Envelopes inside one another that are opened.
const ENVELOPES_MAX: usize = 3;
/// The longest key of S3, in bytes.
const KEY_BYTES_MAX: usize = 1_024;
/// The longest sequencer, in digits. S3 gives 16 to 18.
const SEQUENCER_DIGITS_MAX: usize = 32;

/// Why a message is no notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON.
    #[error("it is not JSON")]
    NotJson,
    /// JSON of another kind.
    #[error("it is no notification of S3, plain, from SNS or from EventBridge")]
    OtherShape,
    /// A field that must be there is not, or reads wrong.
    #[error("its field `{0}` is missing or not as it must be")]
    Field(&'static str),
}

/// An object that a message says was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// The object.
    pub arrival: Arrival,
    /// The number of this write among those of the same key, where the message says it.
    pub sequencer: Option<u128>,
}

/// The objects that a message says were created; none for a test event, and for events of other kinds.
pub fn read(text: &str) -> Result<Vec<Notified>, Unreadable> {
    open(text, ENVELOPES_MAX)
}

/// The objects of a message that is JSON already: an event as a function is called with it.
pub fn read_value(value: &Value) -> Result<Vec<Notified>, Unreadable> {
    objects(value, ENVELOPES_MAX)
}

fn open(text: &str, envelopes: usize) -> Result<Vec<Notified>, Unreadable> {
    objects(&serde_json::from_str(text).map_err(|_| Unreadable::NotJson)?, envelopes)
}

fn objects(value: &Value, envelopes: usize) -> Result<Vec<Notified>, Unreadable> {
    if let Some(records) = value.get("Records").and_then(Value::as_array) {
        let of_record = |record: &Value| match record.get("Sns").and_then(|sns| sns.get("Message")).and_then(Value::as_str) {
            Some(inner) if envelopes > 0 => open(inner, envelopes - 1),
            Some(_) => Err(Unreadable::OtherShape),
            None => Ok(record_of_s3(record)?.into_iter().collect()),
        };
        return records.iter().map(of_record).collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().flatten().collect());
    }
    if value.get("source").and_then(Value::as_str) == Some("aws.s3") {
        return Ok(event_of_bridge(value)?.into_iter().collect());
    }
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Vec::new());
    }
    match value.get("Message").and_then(Value::as_str) {
        Some(inner) if envelopes > 0 && value.get("Type").is_some() => open(inner, envelopes - 1),
        _ => Err(Unreadable::OtherShape),
    }
}

fn text<'a>(value: &'a Value, pointer: &'static str) -> Result<&'a str, Unreadable> {
    value.pointer(pointer).and_then(Value::as_str).ok_or(Unreadable::Field(pointer))
}

fn time(value: &Value, pointer: &'static str) -> Result<DateTime<Utc>, Unreadable> {
    let read = DateTime::parse_from_rfc3339(text(value, pointer)?);
    read.map(|time| time.to_utc()).map_err(|_| Unreadable::Field(pointer))
}

fn record_of_s3(record: &Value) -> Result<Option<Notified>, Unreadable> {
    if !text(record, "/eventName")?.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let key = text(record, "/s3/object/key")?.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8().map_err(|_| Unreadable::Field("/s3/object/key"))?;
    let object = record.pointer("/s3/object").unwrap_or(&Value::Null);
    arrival(text(record, "/s3/bucket/name")?, &key, object, ["eTag", "versionId"], time(record, "/eventTime")?).map(Some)
}

fn event_of_bridge(event: &Value) -> Result<Option<Notified>, Unreadable> {
    if text(event, "/detail-type")? != "Object Created" {
        return Ok(None);
    }
    let object = event.pointer("/detail/object").unwrap_or(&Value::Null);
    let (bucket, key) = (text(event, "/detail/bucket/name")?, text(event, "/detail/object/key")?);
    arrival(bucket, key, object, ["etag", "version-id"], time(event, "/time")?).map(Some)
}

/// The arrival of an object. Its etag is in quotes, as S3 answers with it.
fn arrival(bucket: &str, key: &str, object: &Value, names: [&str; 2], arrived: DateTime<Utc>) -> Result<Notified, Unreadable> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Unreadable::Field("/s3/object/key"));
    }
    let field = |name: &str| object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let etag = field(names[0]).map(|etag| format!("\"{}\"", etag.trim_matches('"')));
    let version_id = field(names[1]).filter(|version| *version != "null").map(str::to_owned);
    let size = object.get("size").and_then(Value::as_u64).ok_or(Unreadable::Field("/s3/object/size"))?;
    let arrival = Arrival { uri: format!("s3://{bucket}/{key}"), size, etag, version_id, arrived };
    Ok(Notified { arrival, sequencer: field("sequencer").and_then(sequencer) })
}

/// A sequencer as a number. They are hexadecimal and of different lengths; the shorter one is filled up on the right with
/// zeros before two are compared.
fn sequencer(text: &str) -> Option<u128> {
    let is_read = text.len() <= SEQUENCER_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_read.then(|| u128::from_str_radix(&format!("{text:0<SEQUENCER_DIGITS_MAX$}"), 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(name: &str, key: &str) -> Value {
        json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventTime": "2023-07-17T20:51:07.113Z", "eventName": name,
            "s3": {"bucket": {"name": "logs"}, "object": {"key": key, "size": 12, "eTag": "d41d", "versionId": "v1", "sequencer": "0055"}}})
    }

    fn shown(text: &str) -> String {
        match read(text) {
            Ok(arrivals) => arrivals
                .iter()
                .map(|notified| &notified.arrival)
                .map(|a| format!("{} {} {:?} {:?} {}\n", a.uri, a.size, a.etag, a.version_id, a.arrived))
                .collect(),
            Err(error) => format!("{error}\n"),
        }
    }

    #[test]
    fn every_shape_reads_the_same() {
        let plain = json!({"Records": [record("ObjectCreated:Put", "a/b+c%2Bd%C3%BC.gz"), record("s3:ObjectCreated:CompleteMultipartUpload", "e")]});
        let sns = json!({"Type": "Notification", "TopicArn": "arn:x", "Message": plain.to_string()});
        let called = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": plain.to_string()}}]});
        let bridge = json!({"version": "0", "source": "aws.s3", "detail-type": "Object Created", "time": "2023-07-17T20:51:07Z",
            "detail": {"bucket": {"name": "logs"}, "object": {"key": "a/b c+dü.gz", "size": 12, "etag": "d41d", "version-id": "v1"}}});
        assert_eq!(shown(&plain.to_string()), shown(&sns.to_string()));
        assert_eq!(shown(&plain.to_string()), shown(&called.to_string()));
        expect![[r#"
            s3://logs/a/b c+dü.gz 12 Some("\"d41d\"") Some("v1") 2023-07-17 20:51:07.113 UTC
            s3://logs/e 12 Some("\"d41d\"") Some("v1") 2023-07-17 20:51:07.113 UTC
            s3://logs/a/b c+dü.gz 12 Some("\"d41d\"") Some("v1") 2023-07-17 20:51:07 UTC
        "#]]
        .assert_eq(&(shown(&plain.to_string()) + &shown(&bridge.to_string())));
    }

    #[test]
    fn what_is_nothing_and_what_is_wrong() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs"});
        let removed = json!({"Records": [record("ObjectRemoved:Delete", "a")]});
        assert_eq!((read(&test.to_string()), read(&removed.to_string())), (Ok(vec![]), Ok(vec![])));
        let deep = (0..9).fold(json!({"Records": []}), |inner, _| json!({"Type": "Notification", "Message": inner.to_string()}));
        let mut timeless = record("ObjectCreated:Put", "a");
        timeless["eventTime"] = json!("yesterday");
        let wrong = [
            "{",
            "[]",
            "{}",
            &deep.to_string(),
            &json!({"Records": [timeless]}).to_string(),
            &json!({"Records": [record("ObjectCreated:Put", "%ff")]}).to_string(),
        ];
        expect![[r#"
            it is not JSON
            it is no notification of S3, plain, from SNS or from EventBridge
            it is no notification of S3, plain, from SNS or from EventBridge
            it is no notification of S3, plain, from SNS or from EventBridge
            its field `/eventTime` is missing or not as it must be
            its field `/s3/object/key` is missing or not as it must be
        "#]]
        .assert_eq(&wrong.map(shown).concat());
    }

    #[test]
    fn a_later_write_has_a_greater_sequencer_whatever_its_length() {
        let numbers = ["0055AED6DCD90281E5", "0055AED6DCD90281E6", "0055AED6DCD903", "005e"].map(|text| sequencer(text).unwrap());
        assert!(numbers.is_sorted() && numbers[0] != numbers[1], "{numbers:?}");
        assert_eq!(read(&json!({"Records": [record("ObjectCreated:Put", "a")]}).to_string()).unwrap()[0].sequencer, sequencer("0055"));
        assert_eq!(["0x1", "-1", "+1", "1".repeat(33).as_str()].map(sequencer), [None; 4]);
    }

    proptest! {
        #[test]
        fn keys_survive_their_encoding(key in "\\PC{1,80}") {
            let encoded = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC).to_string().replace("%20", "+");
            let text = json!({"Records": [record("ObjectCreated:Put", &encoded)]}).to_string();
            prop_assert_eq!(&read(&text).unwrap()[0].arrival.uri, &format!("s3://logs/{key}"));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}", place in 0usize..400) {
            let _ = read(&text);
            let mut good = json!({"Records": [record("ObjectCreated:Put", "a")]}).to_string();
            if let Some((at, _)) = good.char_indices().nth(place) {
                good.insert_str(at, &text);
            }
            let _ = read(&good);
        }
    }
}
