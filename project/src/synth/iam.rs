//! Statements of policies and roles made of them. Actions and places flow in, JSON flows out.
//!
//! Listing is allowed by `s3:prefix` where the request has one (`StringLikeIfExists`): S3 answers a read of a key that is
//! not there with 404 only to who may list, and such a read has no prefix. Without that, a file that somebody has just
//! removed would look like a refusal. What it opens is a listing of the names in a whole bucket; no content.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::Names;
use super::part::{Part, Parts, reference};

/// Bytes of all inline policies of a role that IAM takes, less some for what it adds.
pub(crate) const POLICY_BYTES_MAX: usize = 10_000;

/// Characters of a managed policy that IAM takes, white space left out, less some for what references become.
pub(crate) const MANAGED_POLICY_BYTES_MAX: usize = 5_600;

/// Managed policies that a role takes.
pub(crate) const POLICIES_MAX: usize = 10;

/// Actions that know no resource to be restricted to, and why a role here needs them. A test holds every `*` against it.
pub(crate) const UNRESTRICTED: [(&str, &str); 4] = [
    ("ecr:GetAuthorizationToken", "the token is the registry's, not a repository's"),
    ("batch:DescribeJobs", "Batch takes no resource here; needed to see what became of a job"),
    ("batch:ListJobs", "Batch takes no resource here; needed to see whether a job was submitted already"),
    ("logs:DescribeExportTasks", "CloudWatch Logs takes no resource here; needed to wait for an export"),
];

/// Keys of a bucket below a prefix, which is empty or ends in a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Area {
    /// The bucket.
    pub bucket: String,
    /// The prefix.
    pub prefix: String,
}

impl Area {
    /// The place of an S3 URI; `None` for what is no S3 URI.
    pub fn of_uri(uri: &str) -> Option<Area> {
        let (bucket, prefix) = uri.strip_prefix("s3://")?.split_once('/')?;
        Some(Area { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// The folder that the object of an S3 URI lies in.
    pub fn folder_of(uri: &str) -> Option<Area> {
        let area = Area::of_uri(uri)?;
        let prefix = area.prefix.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        Some(Area { prefix, ..area })
    }

    /// A folder of a bucket.
    pub fn below(bucket: String, folder: &str) -> Area {
        Area { bucket, prefix: format!("{}/", folder.trim_end_matches('/')) }
    }

    /// The ARN of the keys below, or of those of them that end so.
    pub fn keys(&self, names: &Names, rest: &str) -> Value {
        names.s3_arn(&format!("{}/{}{rest}", self.bucket, literal(&self.prefix))).into()
    }
}

/// Text that policies take as it is: what is a pattern or a variable to them may be part of a key.
fn literal(text: &str) -> String {
    text.chars().fold(String::new(), |text, letter| match letter {
        '*' | '?' | '$' => text + "${" + &letter.to_string() + "}",
        letter => text + &letter.to_string(),
    })
}

/// A statement that allows.
pub(crate) fn allow(actions: &[&str], resources: Vec<Value>) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": resources})
}

/// The same under a condition.
pub(crate) fn allow_if(actions: &[&str], resources: Vec<Value>, condition: Value) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": resources, "Condition": condition})
}

/// An action of [`UNRESTRICTED`].
pub(crate) fn allow_anywhere(actions: &[&str]) -> Value {
    debug_assert!(actions.iter().all(|action| UNRESTRICTED.iter().any(|known| known.0 == *action)), "{actions:?}");
    allow(actions, vec!["*".into()])
}

/// What is done with the keys of areas; none where there are no areas.
pub(crate) fn on_keys(names: &Names, actions: &[&str], areas: &[Area], rest: &str) -> Option<Value> {
    let mut areas: Vec<Area> = areas.to_vec();
    areas.sort();
    areas.dedup();
    (!areas.is_empty()).then(|| allow(actions, areas.iter().map(|area| area.keys(names, rest)).collect()))
}

/// Listing of areas, a statement for each bucket.
pub(crate) fn listing(names: &Names, areas: &[Area]) -> Vec<Value> {
    let mut buckets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for area in areas {
        buckets.entry(&area.bucket).or_default().push(&area.prefix);
    }
    let statement = |(bucket, mut prefixes): (&str, Vec<&str>)| {
        prefixes.sort_unstable();
        prefixes.dedup();
        let resources = vec![Value::from(names.s3_arn(bucket))];
        if prefixes.contains(&"") {
            return allow(&["s3:ListBucket"], resources);
        }
        let patterns: Vec<String> = prefixes
            .iter()
            .map(|prefix| literal(prefix))
            .flat_map(|prefix| [format!("{prefix}*"), prefix.trim_end_matches('/').to_owned()])
            .collect();
        allow_if(&["s3:ListBucket"], resources, json!({"StringLikeIfExists": {"s3:prefix": patterns}}))
    };
    buckets.into_iter().map(statement).collect()
}

/// Use of the keys that things are encrypted with; none without one.
pub(crate) fn with_keys(keys: &[&str]) -> Option<Value> {
    let arns = || keys.iter().map(|key| Value::from(*key)).collect();
    (!keys.is_empty()).then(|| allow(&["kms:Decrypt", "kms:GenerateDataKey"], arns()))
}

/// Publishing of availability events on the bus of the placement.
pub(crate) fn publishing(names: &Names) -> Value {
    let bus = names.arn("events", &format!("event-bus/{}", names.event_bus()));
    allow(&["events:PutEvents"], vec![bus.into()])
}

/// Writing to a log group that is there already.
pub(crate) fn logging(names: &Names, log_group: &str) -> Value {
    allow(&["logs:CreateLogStream", "logs:PutLogEvents"], vec![names.arn("logs", &format!("log-group:{log_group}:*")).into()])
}

/// A document of statements.
pub(crate) fn document(statements: Vec<Value>) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Refuses everybody who comes without TLS.
pub(crate) fn tls_only(action: &str, resources: Vec<Value>) -> Value {
    json!({
        "Sid": "OnlyWithTls", "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": action, "Resource": resources,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    })
}

fn bytes(statements: &[Value]) -> usize {
    document(statements.to_vec()).to_string().len()
}

/// Statements in their order, as many together as a managed policy has room for.
pub(crate) fn packed(statements: Vec<Value>) -> Vec<Vec<Value>> {
    let mut policies: Vec<Vec<Value>> = vec![Vec::new()];
    for statement in statements.into_iter().flat_map(cut) {
        let last = policies.last().map(Vec::as_slice).unwrap_or_default();
        let is_full = !last.is_empty() && bytes(last) + statement.to_string().len() + 1 > MANAGED_POLICY_BYTES_MAX;
        match policies.last_mut().filter(|_| !is_full) {
            Some(policy) => policy.push(statement),
            None => policies.push(vec![statement]),
        }
    }
    policies
}

/// A statement in pieces that each fit into a managed policy: its resources, or the prefixes that it lists, are shared out.
fn cut(statement: Value) -> Vec<Value> {
    if bytes(std::slice::from_ref(&statement)) <= MANAGED_POLICY_BYTES_MAX {
        return vec![statement];
    }
    let is_long = |pointer: &&str| statement.pointer(pointer).and_then(Value::as_array).is_some_and(|list| list.len() > 1);
    let Some(pointer) = ["/Resource", "/Condition/StringLikeIfExists/s3:prefix"].into_iter().find(is_long) else {
        return vec![statement];
    };
    let list = statement.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let part = |entries: &[Value]| {
        let mut part = statement.clone();
        part.pointer_mut(pointer).into_iter().for_each(|there| *there = entries.into());
        part
    };
    list.chunks(list.len().div_ceil(2)).flat_map(|entries| cut(part(entries))).collect()
}

/// Whether statements are more than a role has room for, however they are shared out.
pub(crate) fn is_too_much(statements: &[Value]) -> bool {
    bytes(statements) > POLICY_BYTES_MAX && packed(statements.to_vec()).len() > POLICIES_MAX
}

/// Adds a role that a service takes on. What does not fit into it becomes managed policies of its own.
pub(crate) fn role<'a>(parts: &'a mut Parts, names: &Names, id: &str, name: String, service: &str, statements: Vec<Value>) -> &'a mut Part {
    let mut trust = json!({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"});
    // Lambda names no source account when it takes a role on.
    if service != "lambda.amazonaws.com" {
        trust["Condition"] = json!({"StringEquals": {"aws:SourceAccount": names.account}});
    }
    let mut properties = json!({"RoleName": name, "AssumeRolePolicyDocument": document(vec![trust])});
    if bytes(&statements) > POLICY_BYTES_MAX {
        properties["ManagedPolicyArns"] = managed(parts, names, id, &name, statements);
    } else if !statements.is_empty() {
        properties["Policies"] = json!([{"PolicyName": "own", "PolicyDocument": document(statements)}]);
    }
    let arn = names.role_arn(&name);
    parts.add(id, "AWS::IAM::Role", name, arn, properties)
}

fn managed(parts: &mut Parts, names: &Names, id: &str, role: &str, statements: Vec<Value>) -> Value {
    let add = |(at, statements): (usize, Vec<Value>)| {
        let (id, name) = (format!("{id}Policy{}", at + 1), format!("{role}-{}", at + 1));
        let arn = names.policy_arn(&name);
        let properties = json!({
            "ManagedPolicyName": name, "Description": format!("What role {role} may do"), "PolicyDocument": document(statements),
        });
        parts.add(&id, "AWS::IAM::ManagedPolicy", arn.clone(), arn, properties);
        reference(&id)
    };
    packed(statements).into_iter().enumerate().map(add).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_widens_a_policy() {
        let names = Names { stage: String::new(), account: "123456789012".into(), region: "us-east-2".into() };
        let area = Area::of_uri("s3://bucket/a*/${aws:username}?/").unwrap();
        assert_eq!(area.keys(&names, "*"), "arn:aws:s3:::bucket/a${*}/${$}{aws:username}${?}/*");
        let listed = listing(&names, &[area]);
        assert_eq!(listed[0]["Condition"]["StringLikeIfExists"]["s3:prefix"][0], "a${*}/${$}{aws:username}${?}/*");
    }
}
