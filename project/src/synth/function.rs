//! Functions, their roles and logs, and the schedules that call them. What a function is flows in, its parts flow out.

use serde_json::{Map, Value, json};

use super::ProjectOptions;
use super::iam;
use super::names::ProjectNames;
use super::part::{Parts, arn_of, object, reference};
use super::runtime::Architecture;

/// The longest description of a function; names are ASCII.
const DESCRIPTION_MAX: usize = 256;
/// Tries that Lambda makes by itself after an event has failed.
const RETRIES: u32 = 2;
/// Seconds that an event may wait for a function that is busy.
const EVENT_SECONDS_MAX: u32 = 3600;
/// Seconds that EventBridge goes on trying to deliver: the longest that it has.
const DELIVERY_SECONDS_MAX: u32 = 24 * 3600;
/// Times that EventBridge tries to deliver: the most that it has.
const DELIVERY_TRIES: u32 = 185;

/// A function to be made.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// Its name.
    pub name: String,
    /// Its role's name.
    pub role: String,
    /// What it does, in a sentence without full stop.
    pub description: String,
    /// The key of its package in the bucket of code.
    pub code_key: String,
    /// Variables.
    pub environment: Vec<(&'static str, Value)>,
    /// What its role may do.
    pub statements: Vec<Value>,
    /// Invocations at once.
    pub concurrency: u32,
    /// Memory.
    pub memory_mb: u64,
    /// The longest that an invocation takes.
    pub seconds: u64,
    /// The processor.
    pub architecture: Architecture,
}

impl Function {
    /// Adds the function, its role, its log group, and where events go that it fails on.
    pub fn add(self, parts: &mut Parts, names: &ProjectNames, id: &str, options: &ProjectOptions) {
        let place = &names.placement;
        let (role, logs) = (format!("{id}Role"), format!("{id}Logs"));
        iam::role(parts, place, &role, self.role, "lambda.amazonaws.com", self.statements);
        add_logs(parts, names, &logs, names.function_logs(&self.name), options);
        let variables: Map<String, Value> = self.environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let properties = object(json!({
            "FunctionName": self.name,
            "Description": self.description.chars().take(DESCRIPTION_MAX).collect::<String>(),
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Architectures": [self.architecture.lambda()],
            "Code": {"S3Bucket": options.code.bucket, "S3Key": package(&self.code_key, self.architecture)},
            "Role": arn_of(&role),
            "MemorySize": self.memory_mb,
            "Timeout": self.seconds,
            "ReservedConcurrentExecutions": (!options.no_reserved_concurrency).then_some(self.concurrency),
            "Environment": {"Variables": variables},
            "KmsKeyArn": options.kms_key,
            // Text is handed on as it is written: lines that are metrics stay metrics.
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": reference(&logs)},
        }));
        let arn = place.arn("lambda", &format!("function:{}", self.name));
        parts.add(id, "AWS::Lambda::Function", self.name, arn, properties);
        let failing = json!({
            "FunctionName": reference(id), "Qualifier": "$LATEST", "MaximumRetryAttempts": RETRIES,
            "MaximumEventAgeInSeconds": EVENT_SECONDS_MAX,
            "DestinationConfig": {"OnFailure": {"Destination": arn_of(super::dispatch::UNDELIVERED)}},
        });
        parts.leaf(&format!("{id}Failures"), "AWS::Lambda::EventInvokeConfig", failing);
    }
}

/// The key of the package for a processor: `{arch}` in the key stands for it.
fn package(key: &str, architecture: Architecture) -> String {
    key.replace("{arch}", architecture.lambda())
}

/// Adds a log group.
pub(crate) fn add_logs(parts: &mut Parts, names: &ProjectNames, id: &str, name: String, options: &ProjectOptions) {
    let properties = object(json!({"LogGroupName": name, "RetentionInDays": options.log_retention_days, "KmsKeyId": options.kms_key}));
    let arn = names.placement.arn("logs", &format!("log-group:{name}:*"));
    parts.add(id, "AWS::Logs::LogGroup", name, arn, properties).removed();
}

/// A target of a rule: tried for a day, then kept in the queue `dead_letters`. `input` is what it gets; null for the event.
pub(crate) fn target(id: &str, arn: Value, input: Value, dead_letters: &str) -> Value {
    object(json!({
        "Id": id,
        "Arn": arn,
        "Input": if input.is_null() { Value::Null } else { input.to_string().into() },
        "RetryPolicy": patience(),
        "DeadLetterConfig": {"Arn": arn_of(dead_letters)},
    }))
}

/// How long EventBridge goes on trying.
pub(crate) fn patience() -> Value {
    json!({"MaximumEventAgeInSeconds": DELIVERY_SECONDS_MAX, "MaximumRetryAttempts": DELIVERY_TRIES})
}

/// A rule that calls a function by the clock.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The rule's name.
    pub rule: String,
    /// What it is for.
    pub description: String,
    /// `cron(…)` or `rate(…)`.
    pub expression: String,
    /// What the function gets.
    pub input: Value,
    /// Whether it is switched on.
    pub is_enabled: bool,
}

impl Schedule {
    /// Adds the rule and the permission to call the function.
    pub fn add(self, parts: &mut Parts, names: &ProjectNames, id: &str, function: &str) {
        let properties = json!({
            "Name": self.rule,
            "Description": self.description,
            "ScheduleExpression": self.expression,
            "State": if self.is_enabled { "ENABLED" } else { "DISABLED" },
            "Targets": [target("function", arn_of(function), self.input, super::dispatch::UNDELIVERED)],
        });
        let arn = names.placement.arn("events", &format!("rule/{}", self.rule));
        parts.add(id, "AWS::Events::Rule", self.rule, arn, properties);
        add_permission(parts, id, function);
    }
}

/// Lets a rule call a function.
pub(crate) fn add_permission(parts: &mut Parts, rule: &str, function: &str) {
    let properties = json!({
        "FunctionName": reference(function), "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com", "SourceArn": arn_of(rule),
    });
    parts.leaf(&format!("{rule}Permission"), "AWS::Lambda::Permission", properties);
}
