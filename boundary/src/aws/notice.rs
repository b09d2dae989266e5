//! What a person is told of a run that failed: project, arc, lot, cause, where the log is, what to do next.

use aws_sdk_sns::Client;
use manifests::{Aws, Lot};
use serde_json::json;

use super::service;
use crate::error::BoundaryError;

/// The longest subject of SNS, in characters.
const SUBJECT_MAX: usize = 100;
/// Text of a cause that is passed on, in characters.
const CAUSE_MAX: usize = 2_000;

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice<'a> {
    pub project: &'a str,
    pub version: &'a str,
    pub region: &'a str,
    pub arc: &'a str,
    pub lot: Lot,
    pub cause: &'a str,
    pub log_group: &'a str,
    pub log_stream: Option<&'a str>,
    /// Whether it is tried again by itself.
    pub is_transient: bool,
}

impl Notice<'_> {
    /// The subject of a mail: one line of printable ASCII, as SNS wants it.
    pub(super) fn subject(&self) -> String {
        let line = format!("arc {} failed on {} ({})", self.arc, self.lot, self.project);
        line.chars().map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).take(SUBJECT_MAX).collect()
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let cause: String = self.cause.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(CAUSE_MAX).collect();
        let next = match self.is_transient {
            true => "It is tried again by itself.".to_owned(),
            false => format!(
                "It is not tried again by itself. Once the cause is mended:\n  arc retry --arc {} --lot {} -p PROJECT_FILE",
                self.arc, self.lot
            ),
        };
        format!(
            "project: {} {}\narc:     {}\nlot:     {}\ncause:   {cause}\nlog:     {}\n\n{next}\n",
            self.project,
            self.version,
            self.arc,
            self.lot,
            self.log_link()
        )
    }

    fn log_link(&self) -> String {
        // The console wants its fragment percent-encoded twice, with `$` for `%`.
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string().replace('%', "$25");
        let stream = self.log_stream.map(|stream| format!("/log-events/{}", encode(stream))).unwrap_or_default();
        let (region, group) = (self.region, encode(self.log_group));
        format!("https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}{stream}")
    }

    /// Publishes it to a topic.
    pub(super) async fn publish(&self, aws: &Aws, topic: &str) -> Result<(), BoundaryError> {
        let structured = json!({
            "default": self.text(),
            "lambda": json!({"project": self.project, "version": self.version, "arc": self.arc, "lot": self.lot.to_string(), "cause": self.cause}).to_string(),
        });
        let call = Client::new(aws.config()).publish().topic_arn(topic).subject(self.subject());
        let sent = call.message(structured.to_string()).message_structure("json").send().await;
        sent.map(|_| ()).map_err(|error| service("publish to topic", topic, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_person_learns_what_to_do() {
        let notice = Notice {
            project: "EdgeLogs",
            version: "20261101",
            region: "us-east-2",
            arc: "convert",
            lot: "20230717PT5M250".parse().unwrap(),
            cause: "the store\r\nBcc: x refused",
            log_group: "/arclake/EdgeLogs/convert",
            log_stream: Some("convert/default/1"),
            is_transient: false,
        };
        expect![[r#"
            arc convert failed on 20230717PT5M250 (EdgeLogs)
            project: EdgeLogs 20261101
            arc:     convert
            lot:     20230717PT5M250
            cause:   the store  Bcc: x refused
            log:     https://us-east-2.console.aws.amazon.com/cloudwatch/home?region=us-east-2#logsV2:log-groups/log-group/$252Farclake$252FEdgeLogs$252Fconvert/log-events/convert$252Fdefault$252F1

            It is not tried again by itself. Once the cause is mended:
              arc retry --arc convert --lot 20230717PT5M250 -p PROJECT_FILE
        "#]]
        .assert_eq(&format!("{}\n{}", notice.subject(), notice.text()));
    }
}
