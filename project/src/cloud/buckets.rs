//! Buckets of an account: templates and names flow in; which buckets are there already, and what was deleted in them, flow
//! out. What a bucket holds is never read.

use std::collections::BTreeSet;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use serde_json::Value;

use super::{Change, ChangeKind, Cloud, said};
use crate::command::Trouble;

/// The policy that keeps a thing whatever becomes of its stack.
const RETAIN: &str = "Retain";
/// Deleted versions after which progress is told.
const TOLD_EVERY: u64 = 10_000;

/// A bucket of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its logical id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it outlives its stack.
    pub is_kept: bool,
}

impl Declared {
    /// The buckets of a template that have a name of their own.
    pub fn of(template: &Value) -> Vec<Declared> {
        let resources = template["Resources"].as_object().into_iter().flatten();
        let declared = |(id, resource): (&String, &Value)| {
            let name = resource["Properties"]["BucketName"].as_str().filter(|_| resource["Type"] == "AWS::S3::Bucket")?;
            Some(Declared { id: id.clone(), name: name.to_owned(), is_kept: is_kept(resource) })
        };
        resources.filter_map(declared).collect()
    }
}

/// Whether a resource of a template outlives its stack.
fn is_kept(resource: &Value) -> bool {
    resource["DeletionPolicy"].as_str().is_some_and(|policy| policy.starts_with("Retain"))
}

/// Writes into a template that what is taken over stays even where the deployment that takes it over fails, and what was once
/// taken over so stays so: rolling back deletes what it takes for new.
pub fn keep_taken(template: &mut Value, deployed: &Value, taken: &[Declared]) {
    for (id, resource) in template["Resources"].as_object_mut().into_iter().flatten() {
        let is_taken = taken.iter().any(|bucket| {
            let is_policy = resource["Type"] == "AWS::S3::BucketPolicy" && resource["Properties"]["Bucket"] == bucket.name.as_str();
            bucket.id == *id || is_policy
        });
        let was_taken = deployed["Resources"][id]["DeletionPolicy"] == RETAIN;
        if is_kept(resource) && (is_taken || was_taken) {
            resource["DeletionPolicy"] = RETAIN.into();
        }
    }
}

/// Whether a bucket of a name is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is not.
    No,
    /// It is, in this account.
    Ours,
    /// It is, and these credentials may not look at it.
    Closed,
}

/// Says of changes that would make a bucket which is there that they take it over.
pub fn mark_taken(changes: &mut [Change], taken: &[Declared]) {
    for change in changes.iter_mut().filter(|change| change.kind == ChangeKind::Add) {
        if taken.iter().any(|bucket| bucket.id == change.id) {
            change.kind = ChangeKind::TakeOver;
        }
    }
}

/// The taken buckets whose policies the changes make: an earlier stack left one, and CloudFormation makes none beside it.
pub fn with_new_policy<'a>(template: &Value, changes: &[Change], taken: &'a [Declared]) -> Vec<&'a str> {
    let is_added = |id: &String| changes.iter().any(|change| change.id == *id && change.kind == ChangeKind::Add);
    let is_made = |bucket: &&Declared| {
        let mut resources = template["Resources"].as_object().into_iter().flatten();
        resources.any(|(id, resource)| {
            resource["Type"] == "AWS::S3::BucketPolicy" && resource["Properties"]["Bucket"] == bucket.name.as_str() && is_added(id)
        })
    };
    taken.iter().filter(is_made).map(|bucket| bucket.name.as_str()).collect()
}

impl Cloud {
    /// Deletes the policy of a bucket; nothing happens where it has none.
    pub async fn delete_policy(&self, bucket: &str) -> Result<(), Trouble> {
        let done = self.s3().delete_bucket_policy().bucket(bucket).send().await;
        done.map(|_| ()).map_err(|error| said(&format!("delete the policy of bucket {bucket}"), &error))
    }

    /// The buckets that a template adds to what is deployed, and that are there already: an earlier stack left them. Fails
    /// where one cannot be taken over, because CloudFormation would fail in the middle of things.
    pub async fn taken_over(&self, deployed: &Value, wanted: &Value) -> Result<Vec<Declared>, Trouble> {
        let known: BTreeSet<String> = Declared::of(deployed).into_iter().map(|bucket| bucket.name).collect();
        let mut taken = Vec::new();
        for bucket in Declared::of(wanted).into_iter().filter(|bucket| !known.contains(&bucket.name)) {
            match self.find_bucket(&bucket.name).await? {
                Found::No => {}
                Found::Ours if bucket.is_kept => taken.push(bucket),
                Found::Ours => {
                    let message = format!("bucket {} is there already, and `removeOnDestroy` would delete it with the stack", bucket.name);
                    return Err(Trouble::failed(message).next("another bucketName, or removeOnDestroy: false to have it taken over"));
                }
                Found::Closed => {
                    let message = format!("bucket {} is there already, and these credentials may not look at it", bucket.name);
                    return Err(Trouble::failed(message).next("another name, if it is somebody else's"));
                }
            }
        }
        Ok(taken)
    }

    async fn find_bucket(&self, name: &str) -> Result<Found, Trouble> {
        let error = match self.s3().head_bucket().bucket(name).send().await {
            Ok(_) => return Ok(Found::Ours),
            Err(error) => error,
        };
        // A HEAD has no body that would say more than its status.
        match error.raw_response().map(|response| response.status().as_u16()) {
            Some(404) => Ok(Found::No),
            Some(301 | 403) => Ok(Found::Closed),
            _ => Err(said(&format!("look for bucket {name}"), &error)),
        }
    }

    /// The key that a bucket encrypts with by itself; `None` where that is S3's own, or there is no such bucket.
    pub async fn key_of(&self, bucket: &str) -> Result<Option<String>, Trouble> {
        let answer = match self.s3().get_bucket_encryption().bucket(bucket).send().await {
            Ok(answer) => answer,
            Err(error) if matches!(error.code(), Some("NoSuchBucket" | "ServerSideEncryptionConfigurationNotFoundError")) => {
                return Ok(None);
            }
            Err(error) => return Err(said(&format!("ask how bucket {bucket} is encrypted"), &error)),
        };
        let rules = answer.server_side_encryption_configuration().map(|all| all.rules()).unwrap_or_default();
        let keys = rules.iter().filter_map(|rule| rule.apply_server_side_encryption_by_default()?.kms_master_key_id());
        Ok(keys.map(str::to_owned).next())
    }

    /// Deletes everything in a bucket: uploads that were begun, every version of every object. Nothing happens where there is
    /// no such bucket.
    pub async fn empty_bucket(&self, bucket: &str, tell: &dyn Fn(&str)) -> anyhow::Result<()> {
        if self.find_bucket(bucket).await? == Found::No {
            return Ok(());
        }
        self.abort_uploads(bucket).await?;
        let (mut gone, mut told) = (0, 0);
        loop {
            let batch = self.delete_versions(bucket).await?;
            gone += batch;
            if gone - told >= TOLD_EVERY || (batch == 0 && gone > told) {
                tell(&format!("bucket {bucket}: {gone} versions deleted"));
                told = gone;
            }
            if batch == 0 {
                return Ok(());
            }
        }
    }

    async fn abort_uploads(&self, bucket: &str) -> Result<(), Trouble> {
        let s3 = self.s3();
        loop {
            let listed = s3.list_multipart_uploads().bucket(bucket).send().await;
            let listed = listed.map_err(|error| said(&format!("list uploads to bucket {bucket}"), &error))?;
            for upload in listed.uploads() {
                let call = s3.abort_multipart_upload().bucket(bucket).set_key(upload.key.clone()).set_upload_id(upload.upload_id.clone());
                match call.send().await {
                    Ok(_) => {}
                    Err(SdkError::ServiceError(error)) if error.err().is_no_such_upload() => {}
                    Err(error) => return Err(said(&format!("end an upload to bucket {bucket}"), &error)),
                }
            }
            if !listed.is_truncated().unwrap_or(false) {
                return Ok(());
            }
        }
    }

    /// Deletes the versions and delete markers of one listing, and says how many there were. What the batch refuses is tried
    /// once more by itself.
    async fn delete_versions(&self, bucket: &str) -> anyhow::Result<u64> {
        let s3 = self.s3();
        let listed = s3.list_object_versions().bucket(bucket).send().await;
        let listed = listed.map_err(|error| said(&format!("list bucket {bucket}"), &error))?;
        let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        let identify = |(key, version): (Option<&str>, Option<&str>)| {
            ObjectIdentifier::builder().key(key.unwrap_or_default()).set_version_id(version.map(str::to_owned)).build().ok()
        };
        let all: Vec<ObjectIdentifier> = versions.chain(markers).filter_map(identify).collect();
        if all.is_empty() {
            return Ok(0);
        }
        let count = all.len() as u64;
        let delete = Delete::builder().set_objects(Some(all)).quiet(true).build()?;
        let done = s3.delete_objects().bucket(bucket).delete(delete).send().await;
        let done = done.map_err(|error| said(&format!("empty bucket {bucket}"), &error))?;
        for failed in done.errors() {
            let (key, version) = (failed.key().unwrap_or_default(), failed.version_id().map(str::to_owned));
            let again = s3.delete_object().bucket(bucket).key(key).set_version_id(version).send().await;
            again.map_err(|error| said(&format!("delete {key} in bucket {bucket}"), &error))?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_that_was_left_is_in_the_way_of_a_new_one() {
        let template = json!({"Resources": {
            "A": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": {"BucketName": "a"}},
            "APolicy": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": "a"}}}});
        let taken = Declared::of(&template);
        let mut changes = Change::between(&Value::Null, &template);
        assert_eq!(with_new_policy(&template, &changes, &taken), ["a"]);
        changes.iter_mut().for_each(|change| change.kind = ChangeKind::TakeOver);
        assert!(with_new_policy(&template, &changes, &taken).is_empty(), "CloudFormation takes it over as well");
    }

    #[test]
    fn what_is_taken_over_is_never_rolled_back() {
        let bucket =
            |name: &str, policy: &str| json!({"Type": "AWS::S3::Bucket", "DeletionPolicy": policy, "Properties": {"BucketName": name}});
        let guard = json!({"Type": "AWS::S3::BucketPolicy", "DeletionPolicy": "RetainExceptOnCreate", "Properties": {"Bucket": "a"}});
        let fresh = json!({"Resources": {"A": bucket("a", "RetainExceptOnCreate"), "APolicy": guard, "B": bucket("b", "RetainExceptOnCreate"),
                                         "C": bucket("c", "Delete")}});
        let policies = |template: &Value| -> Vec<String> {
            template["Resources"].as_object().unwrap().values().map(|one| one["DeletionPolicy"].as_str().unwrap().to_owned()).collect()
        };
        let mut taking = fresh.clone();
        keep_taken(&mut taking, &Value::Null, &Declared::of(&fresh)[..1]);
        assert_eq!(policies(&taking), ["Retain", "Retain", "RetainExceptOnCreate", "Delete"]);
        let mut again = fresh.clone();
        keep_taken(&mut again, &taking, &[]);
        assert_eq!(again, taking, "and the next deployment changes nothing of it");
    }

    #[test]
    fn buckets_of_a_template() {
        let bucket =
            |name: Value, policy: &str| json!({"Type": "AWS::S3::Bucket", "DeletionPolicy": policy, "Properties": {"BucketName": name}});
        let template = json!({"Resources": {
            "Kept": bucket("a".into(), "Retain"), "Gone": bucket("b".into(), "Delete"), "Computed": bucket(json!({"Ref": "x"}), "Retain"),
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"BucketName": "c"}}}});
        let found: Vec<_> = Declared::of(&template).into_iter().map(|bucket| (bucket.id, bucket.name, bucket.is_kept)).collect();
        assert_eq!(found, [("Kept".into(), "a".into(), true), ("Gone".into(), "b".into(), false)]);
        let mut changes = Change::between(&Value::Null, &template);
        mark_taken(&mut changes, &Declared::of(&template)[..1]);
        let lines: Vec<String> = changes.iter().map(Change::to_string).collect();
        assert_eq!(lines, ["add S3::Bucket Computed", "add S3::Bucket Gone", "take over S3::Bucket Kept", "add SQS::Queue Queue"]);
    }
}
