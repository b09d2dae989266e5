//! Queues: encrypted, TLS only, open to exactly those services that deliver into them. Names flow in, parts flow out.

use serde_json::{Value, json};

use super::ProjectOptions;
use super::iam::{self, tls_only};
use super::names::ProjectNames;
use super::part::{Parts, arn_of, object, reference};

/// Seconds that queues keep what nobody took: the longest that SQS has.
pub const RETENTION_SECONDS: u32 = 14 * 24 * 3600;
/// Times that a message is taken without being done before it goes to the dead letters. High, because a store that is
/// unreachable for hours must not cost a single arrival. A message that cannot be read goes the same way: SQS alone sets it
/// aside, after as many receipts, each with a warning in the function's log.
pub const RECEIVES_MAX: u32 = 100;

/// The service of topics.
pub(crate) const SNS: &str = "sns.amazonaws.com";

/// A service that may send to a queue, for things with these ARNs.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// `s3.amazonaws.com`.
    pub service: &'static str,
    /// Patterns of ARNs.
    pub sources: Vec<String>,
}

/// A queue to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    /// Its name.
    pub name: String,
    /// Seconds that a message taken stays hidden; 0 for SQS's own.
    pub visibility_seconds: u64,
    /// The logical id of the queue of dead letters; empty for none.
    pub dead_letters: String,
    /// Who may send.
    pub senders: Vec<Sender>,
}

impl Queue {
    /// Adds the queue and its policy.
    pub fn add(self, parts: &mut Parts, names: &ProjectNames, id: &str, options: &ProjectOptions) {
        let arn = names.placement.arn("sqs", &self.name);
        let redrive = json!({"deadLetterTargetArn": arn_of(&self.dead_letters), "maxReceiveCount": RECEIVES_MAX});
        let properties = object(json!({
            "QueueName": self.name,
            "MessageRetentionPeriod": RETENTION_SECONDS,
            "VisibilityTimeout": if self.visibility_seconds == 0 { Value::Null } else { self.visibility_seconds.into() },
            "RedrivePolicy": if self.dead_letters.is_empty() { Value::Null } else { redrive },
            "SqsManagedSseEnabled": if options.kms_key.is_none() { true.into() } else { Value::Null },
            "KmsMasterKeyId": options.kms_key,
        }));
        parts.add(id, "AWS::SQS::Queue", names.queue_url(&self.name), arn, properties).removed();
        let mut statements = vec![tls_only("sqs:*", vec![arn_of(id)])];
        statements.extend(self.senders.iter().map(|sender| sending(sender, id, &names.placement.account)));
        let policy = json!({"Queues": [reference(id)], "PolicyDocument": iam::document(statements)});
        parts.leaf(&format!("{id}Policy"), "AWS::SQS::QueuePolicy", policy);
    }
}

fn sending(sender: &Sender, id: &str, account: &str) -> Value {
    let mut condition = json!({"ArnLike": {"aws:SourceArn": sender.sources}});
    // A topic is named with its account, which may be another.
    if sender.service != SNS {
        condition["StringEquals"] = json!({"aws:SourceAccount": account});
    }
    json!({
        "Effect": "Allow", "Principal": {"Service": sender.service}, "Action": "sqs:SendMessage", "Resource": arn_of(id),
        "Condition": condition,
    })
}
