//! Keys of KMS: names flow in; the key that a bootstrap makes, and what the policy of a given one has to say, flow out. Whose
//! a key is decides nothing: a role is allowed the key by its own policy, a service by the key's.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::iam;
use super::names::Names;
use super::network::exported;
use super::part::{Parts, arn_of};
use crate::file::Problem;

/// A key as its ARN says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key<'a> {
    region: &'a str,
    account: &'a str,
}

/// Reads the ARN of a key: policies and log groups know keys by it alone, and an alias in a policy allows nothing.
fn read<'a>(names: &Names, text: &'a str) -> Result<Key<'a>, String> {
    let wrong = |why: &str| Err(refused(names, text, why));
    let parts: Vec<&str> = text.split(':').collect();
    let ["arn", partition, "kms", region, account, thing] = parts[..] else { return wrong("is no ARN of a key") };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if thing.starts_with("alias/") {
        return wrong("is an alias, which allows nothing in a policy");
    }
    if partition != names.partition() || region.is_empty() || !is_account || !thing.strip_prefix("key/").is_some_and(is_id) {
        return wrong("is no ARN of a key");
    }
    Ok(Key { region, account })
}

fn refused(names: &Names, text: &str, why: &str) -> String {
    format!("`{text}` {why}: use the ARN of a key, {}", names.arn("kms", "key/…"))
}

/// What is wrong with a key that things of the placement are to be encrypted with.
pub fn check_key(names: &Names, text: &str) -> Result<(), String> {
    let key = read(names, text)?;
    if key.region != names.region {
        return Err(refused(names, text, &format!("is a key of {}, and everything here is in {}", key.region, names.region)));
    }
    Ok(())
}

/// What is wrong with a key that a bucket of somebody's is encrypted with, wherever the bucket is.
pub fn check_bucket_key(names: &Names, text: &str) -> Result<(), String> {
    read(names, text).map(drop)
}

/// What owners of keys in other accounts have to do, so that what they encrypt can be read, or written, here.
pub(crate) fn bucket_notes(names: &Names, bucket_keys: &BTreeMap<String, String>) -> Vec<Problem> {
    let is_theirs = |key: &str| read(names, key).is_ok_and(|key| key.account != names.account);
    let statement = json!({
        "Effect": "Allow", "Principal": account_statement(names)["Principal"], "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*",
    });
    let note = |(bucket, key): (&String, &String)| Problem {
        path: "arcs".to_owned(),
        message: format!("{bucket} is encrypted with {key}, whose policy has to let in account {}", names.account),
        fix: Some(format!("add to the key's policy: {statement}")),
    };
    bucket_keys.iter().filter(|(_, key)| is_theirs(key)).map(note).collect()
}

/// What the policy of a key has to say so that services can encrypt what they hold for the placement: messages in queues
/// and topics, log groups, exports of logs into buckets.
fn service_statements(names: &Names) -> Vec<Value> {
    let account = json!({"StringEquals": {"aws:SourceAccount": names.account}});
    let services = ["s3", "events", "sns", "sqs", "cloudwatch"].map(|service| format!("{service}.amazonaws.com"));
    let logs = json!({"Service": format!("logs.{}.{}", names.region, names.url_suffix())});
    let groups = json!({"ArnLike": {"kms:EncryptionContext:aws:logs:arn": names.arn("logs", "*")}});
    // What an export writes is encrypted by S3, with a bucket or an object as the context.
    let objects = json!({"ArnLike": {"kms:EncryptionContext:aws:s3:arn": names.s3_arn("*")}});
    vec![
        json!({
            "Sid": "Services", "Effect": "Allow", "Principal": {"Service": services},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*", "Condition": account,
        }),
        json!({
            "Sid": "Logs", "Effect": "Allow", "Principal": logs,
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
            "Resource": "*", "Condition": groups,
        }),
        json!({
            "Sid": "LogExports", "Effect": "Allow", "Principal": logs,
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*", "Condition": objects,
        }),
    ]
}

/// What the account of a key has to have said in it, so that the policies of its users and roles count.
fn account_statement(names: &Names) -> Value {
    json!({
        "Sid": "Account", "Effect": "Allow", "Principal": {"AWS": format!("arn:{}:iam::{}:root", names.partition(), names.account)},
        "Action": "kms:*", "Resource": "*",
    })
}

/// What the owner of a given key has to do.
pub fn key_note(names: &Names, key: &str) -> Problem {
    let account = json!({
        "Sid": "Roles", "Effect": "Allow", "Principal": account_statement(names)["Principal"],
        "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant"], "Resource": "*",
    });
    let statements: Vec<Value> = std::iter::once(account).chain(service_statements(names)).collect();
    Problem {
        path: "--kms".to_owned(),
        message: format!("the policy of {key} has to let in the roles of account {} and the services that encrypt with it", names.account),
        fix: Some(format!("add to the key's policy: {}", Value::from(statements))),
    }
}

/// Adds the key that everything is encrypted with.
pub(crate) fn add(parts: &mut Parts, names: &Names, id: &str) {
    let statements = std::iter::once(account_statement(names)).chain(service_statements(names)).collect();
    let properties = json!({
        "Description": format!("What Arclake keeps in {}", names.bootstrap_stack()), "EnableKeyRotation": true,
        "KeyPolicy": iam::document(statements),
    });
    parts.leaf(id, "AWS::KMS::Key", properties).retained();
    parts.output(id, "The key that everything is encrypted with", exported(names, "key", arn_of(id)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn keys_that_are_none() {
        let names = Names { stage: String::new(), account: "123456789012".into(), region: "us-east-2".into() };
        for key in ["arn:aws:kms:us-east-2:123456789012:key/0-a", "arn:aws:kms:us-east-2:210987654321:key/mrk-1"] {
            assert_eq!(check_key(&names, key), Ok(()), "{key}: the account may be another");
        }
        let keys = [
            "",
            "foo",
            "alias/aws/s3",
            "arn:aws:kms:us-east-2:123456789012:alias/lake",
            "arn:aws:kms:eu-west-1:123456789012:key/0",
            "arn:aws:kms:us-east-2:1234:key/0",
            "arn:aws:kms:us-east-2:123456789012:key/",
            "arn:aws:kms:us-east-2:123456789012:key/*",
            "arn:aws-cn:kms:us-east-2:123456789012:key/0",
        ];
        let said: Vec<String> = keys.iter().filter_map(|key| check_key(&names, key).err()).collect();
        assert_eq!(said.len(), keys.len());
        expect![[r#"
            `` is no ARN of a key: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `foo` is no ARN of a key: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `alias/aws/s3` is no ARN of a key: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `arn:aws:kms:us-east-2:123456789012:alias/lake` is an alias, which allows nothing in a policy: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `arn:aws:kms:eu-west-1:123456789012:key/0` is a key of eu-west-1, and everything here is in us-east-2: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `arn:aws:kms:us-east-2:1234:key/0` is no ARN of a key: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `arn:aws:kms:us-east-2:123456789012:key/` is no ARN of a key: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `arn:aws:kms:us-east-2:123456789012:key/*` is no ARN of a key: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…
            `arn:aws-cn:kms:us-east-2:123456789012:key/0` is no ARN of a key: use the ARN of a key, arn:aws:kms:us-east-2:123456789012:key/…"#]].assert_eq(&said.join("\n"));
    }
}
