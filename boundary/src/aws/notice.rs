//! What a person is told of a run or an activity that failed: project, what it was, cause, where the log is, what to do
//! next.

use aws_sdk_sns::Client;
use manifests::{Aws, Lot};
use serde_json::{Value, json};

use super::job_state::FailedJob;
use super::service;
use crate::error::BoundaryError;

/// The longest subject of SNS, in characters.
const SUBJECT_MAX: usize = 100;
/// Text of a cause that is passed on, in characters.
const CAUSE_MAX: usize = 2_000;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed<'a> {
    /// An arc on a lot.
    Run {
        arc: &'a str,
        lot: Lot,
        /// Whether it is tried again by itself.
        is_transient: bool,
    },
    /// A job that ran by the clock.
    Activity { name: &'a str, job: &'a FailedJob },
}

/// A failure as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice<'a> {
    pub project: &'a str,
    pub version: &'a str,
    pub region: &'a str,
    pub what: Failed<'a>,
    pub cause: &'a str,
    pub log_group: &'a str,
    pub log_stream: Option<&'a str>,
}

impl Notice<'_> {
    /// The subject of a mail: one line of printable ASCII, as SNS wants it.
    pub(super) fn subject(&self) -> String {
        let line = match self.what {
            Failed::Run { arc, lot, .. } => format!("arc {arc} failed on {lot} ({})", self.project),
            Failed::Activity { name, .. } => format!("activity {name} failed ({})", self.project),
        };
        line.chars().map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).take(SUBJECT_MAX).collect()
    }

    /// The text.
    pub(super) fn text(&self) -> String {
        let cause: String = self.cause.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(CAUSE_MAX).collect();
        let (project, version, log) = (self.project, self.version, self.log_link());
        match self.what {
            Failed::Run { arc, lot, .. } => {
                format!(
                    "project: {project} {version}\narc:     {arc}\nlot:     {lot}\ncause:   {cause}\nlog:     {log}\n\n{}\n",
                    self.next()
                )
            }
            Failed::Activity { name, job } => format!(
                "project:  {project} {version}\nactivity: {name}\njob:      {}\ncause:    {cause}\nlog:      {log}\n\n{}\n",
                job.job,
                self.next()
            ),
        }
    }

    /// What becomes of it, and what a person can do.
    fn next(&self) -> String {
        match self.what {
            Failed::Run { is_transient: true, .. } => "It is tried again by itself.".to_owned(),
            Failed::Run { arc, lot, .. } => {
                format!("It is not tried again by itself. Once the cause is mended:\n  arc retry --arc {arc} --lot {lot} -p PROJECT_FILE")
            }
            Failed::Activity { name, job } => format!(
                "It runs again when its schedule says so, and not before. To have it run at once, when the cause is mended:\n  \
                 aws batch submit-job --job-name {name} --job-queue {} --job-definition {} --region {}",
                job.queue, job.definition, self.region
            ),
        }
    }

    /// The same for a program.
    fn structured(&self) -> Value {
        let mut said = json!({"project": self.project, "version": self.version, "cause": self.cause});
        let what = match self.what {
            Failed::Run { arc, lot, .. } => [("arc", arc.to_owned()), ("lot", lot.to_string())],
            Failed::Activity { name, job } => [("activity", name.to_owned()), ("job", job.job.clone())],
        };
        what.into_iter().for_each(|(key, value)| said[key] = value.into());
        said
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
            "lambda": self.structured().to_string(),
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
            what: Failed::Run { arc: "convert", lot: "20230717PT5M250".parse().unwrap(), is_transient: false },
            cause: "the store\r\nBcc: x refused",
            log_group: "/arclake/EdgeLogs/convert",
            log_stream: Some("convert/default/1"),
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
        expect![[
            r#"{"project":"EdgeLogs","version":"20261101","cause":"the store\r\nBcc: x refused","arc":"convert","lot":"20230717PT5M250"}"#
        ]]
        .assert_eq(&notice.structured().to_string());
    }

    #[test]
    fn of_an_activity_too() {
        let job = FailedJob {
            job: "0c2e".into(),
            definition: "test-EdgeLogs-20261101-activity-tidy".into(),
            queue: "test-EdgeLogs-20261101".into(),
            cause: "exit code 3: Essential container in task exited".into(),
            log_stream: None,
        };
        let notice = Notice {
            project: "EdgeLogs",
            version: "20261101",
            region: "us-east-2",
            what: Failed::Activity { name: "tidy", job: &job },
            cause: &job.cause,
            log_group: "/arclake/EdgeLogs",
            log_stream: job.log_stream.as_deref(),
        };
        expect![[r#"
            activity tidy failed (EdgeLogs)
            project:  EdgeLogs 20261101
            activity: tidy
            job:      0c2e
            cause:    exit code 3: Essential container in task exited
            log:      https://us-east-2.console.aws.amazon.com/cloudwatch/home?region=us-east-2#logsV2:log-groups/log-group/$252Farclake$252FEdgeLogs

            It runs again when its schedule says so, and not before. To have it run at once, when the cause is mended:
              aws batch submit-job --job-name tidy --job-queue test-EdgeLogs-20261101 --job-definition test-EdgeLogs-20261101-activity-tidy --region us-east-2
            {"project":"EdgeLogs","version":"20261101","cause":"exit code 3: Essential container in task exited","activity":"tidy","job":"0c2e"}
        "#]].assert_eq(&format!("{}\n{}{}\n", notice.subject(), notice.text(), notice.structured()));
    }
}
