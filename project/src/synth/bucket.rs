//! Buckets: encrypted, TLS only, closed to the public, uploads that nobody finishes taken away. What a bucket is called and
//! whom it notifies flows in, its parts flow out.

use serde_json::{Value, json};

use super::iam::{self, tls_only};
use super::names::Names;
use super::part::{Parts, object};

/// Days after which an upload that nobody finished is taken away.
const ABORT_DAYS: u32 = 7;
/// Days that a version which was replaced or deleted is kept.
const NONCURRENT_DAYS: u32 = 30;
/// Days that what nobody will ask for again is kept: longer than any run takes.
const PASSING_DAYS: u32 = 7;

/// A bucket to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bucket {
    /// Its name.
    pub name: String,
    /// Whether it keeps what is replaced.
    pub is_versioned: bool,
    /// Whether it outlives its stack.
    pub is_kept: bool,
    /// The key it is encrypted with, an ARN or a reference; S3's own where null.
    pub kms_key: Value,
    /// Tags as a template lists them, or null.
    pub tags: Value,
    /// `QueueConfigurations` or `EventBridgeConfiguration`, or null.
    pub notifications: Value,
    /// What must be there before the bucket notifies anybody.
    pub after: Vec<String>,
    /// A folder for what only a run on its way has a use for; none where empty.
    pub passing_folder: &'static str,
    /// Statements of its policy beside TLS.
    pub statements: Vec<Value>,
}

impl Bucket {
    /// Adds the bucket and its policy.
    pub fn add(self, parts: &mut Parts, names: &Names, id: &str) {
        let arn = names.s3_arn(&self.name);
        let properties = object(json!({
            "BucketName": self.name,
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption(&self.kms_key)]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "VersioningConfiguration": if self.is_versioned { json!({"Status": "Enabled"}) } else { Value::Null },
            "LifecycleConfiguration": {"Rules": lifecycle(self.is_versioned, self.passing_folder)},
            "NotificationConfiguration": self.notifications,
            "Tags": self.tags,
        }));
        parts.add(id, "AWS::S3::Bucket", self.name.clone(), arn.clone(), properties).kept(self.is_kept).after(self.after);
        let mut statements = vec![tls_only("s3:*", vec![arn.clone().into(), format!("{arn}/*").into()])];
        statements.extend(self.statements);
        // By name: a bucket that outlived its stack is taken in again together with its policy, and that is found by name.
        let policy = json!({"Bucket": self.name, "PolicyDocument": iam::document(statements)});
        parts.leaf(&format!("{id}Policy"), "AWS::S3::BucketPolicy", policy).kept(self.is_kept).after([id.to_owned()]);
    }
}

fn encryption(kms_key: &Value) -> Value {
    match kms_key {
        Value::Null => json!({"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}),
        key => json!({"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, "BucketKeyEnabled": true}),
    }
}

fn lifecycle(is_versioned: bool, passing_folder: &str) -> Value {
    let abort = json!({
        "Id": "abort-uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_DAYS},
    });
    let expire = json!({
        "Id": "expire-replaced", "Status": "Enabled", "ExpiredObjectDeleteMarker": true,
        "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
    });
    let pass = json!({
        "Id": "expire-passing", "Status": "Enabled", "Prefix": passing_folder, "ExpirationInDays": PASSING_DAYS,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    });
    let rules = [(true, abort), (is_versioned, expire), (!passing_folder.is_empty(), pass)];
    rules.into_iter().filter_map(|(is_wanted, rule)| is_wanted.then_some(rule)).collect()
}
