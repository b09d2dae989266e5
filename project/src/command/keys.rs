//! Keys that commands have to know of: what is given, what the bootstrap made and what buckets say of theirs flow in; the
//! keys that templates name flow out. Nothing is encrypted here.

use std::collections::BTreeMap;

use project::Project;
use project::synth::{self, Names, ProjectOptions};

use super::{Context, Trouble};
use crate::cloud::Cloud;
use crate::output::escape;

/// How the key is called that S3 has of its own in every account; nobody has to be allowed it.
const S3_OWN: &str = "alias/aws/s3";

/// Refuses what is no key of the placement's region.
pub fn check(names: &Names, key: &str) -> Result<(), Trouble> {
    synth::check_key(names, key).map_err(|message| Trouble::usage(format!("--kms: {message}")))
}

/// The options with the key that the placement's stores are encrypted with. What a project encrypts, it encrypts with that
/// one too, unless it was given another.
pub async fn with_store_key(cloud: &Cloud, options: ProjectOptions) -> anyhow::Result<ProjectOptions> {
    options.kms_key.iter().try_for_each(|key| check(&cloud.names, key))?;
    let store_key = of_stores(cloud).await?;
    Ok(ProjectOptions { kms_key: options.kms_key.or_else(|| store_key.clone()), store_key, ..options })
}

/// Keys of buckets as the command line gives them.
pub fn of_arguments(names: &Names, given: &[String]) -> Result<BTreeMap<String, String>, Trouble> {
    let pair = |text: &String| {
        let wrong = |message: String| Trouble::usage(format!("--bucket-key {text}: {message}"));
        let (bucket, key) = text.split_once('=').ok_or_else(|| wrong("use BUCKET=ARN".to_owned()))?;
        synth::check_bucket_key(names, key).map_err(wrong)?;
        Ok((bucket.to_owned(), key.to_owned()))
    };
    given.iter().map(pair).collect()
}

/// The options with the keys of buckets that are made elsewhere, as they say themselves; what was given goes before. Of one
/// that cannot be asked a note is written.
pub async fn with_bucket_keys(project: &Project, cloud: &Cloud, mut options: ProjectOptions, context: &Context) -> ProjectOptions {
    for bucket in synth::foreign_buckets(project, &options) {
        if options.bucket_keys.contains_key(&bucket) {
            continue;
        }
        let asked = of_bucket(cloud, &bucket).await.map_err(|error| error.message);
        let read = |key: String| synth::check_bucket_key(&cloud.names, &key).map(|()| key);
        match asked.and_then(|key| key.map(read).transpose()) {
            Ok(Some(key)) => drop(options.bucket_keys.insert(bucket, key)),
            Ok(None) => {}
            Err(message) if !context.quiet => {
                eprintln!("note: {}; if it is encrypted with a key of its own, nothing here may use that", escape(&message));
                eprintln!("  try: --bucket-key {}=ARN", escape(&bucket));
            }
            Err(_) => {}
        }
    }
    options
}

/// The key of the stores: what the bootstrap puts out, or where it says nothing, what a store says.
async fn of_stores(cloud: &Cloud) -> anyhow::Result<Option<String>> {
    let outputs = cloud.stack(&cloud.names.bootstrap_stack()).await?.map(|state| state.outputs).unwrap_or_default();
    let key = match outputs.get(synth::KEY) {
        Some(key) => Some(key.clone()),
        None => of_bucket(cloud, &cloud.names.manifest_bucket()).await?,
    };
    if let Some(Err(message)) = key.as_deref().map(|key| synth::check_key(&cloud.names, key)) {
        let message = format!("nothing can be allowed the key that the stores are encrypted with: {message}");
        return Err(Trouble::failed(message).next("arc bootstrap --kms ARN").into());
    }
    Ok(key)
}

/// The key that a bucket encrypts with, where it is not S3's own.
pub async fn of_bucket(cloud: &Cloud, bucket: &str) -> Result<Option<String>, Trouble> {
    Ok(cloud.key_of(bucket).await?.filter(|key| !key.ends_with(S3_OWN)))
}
