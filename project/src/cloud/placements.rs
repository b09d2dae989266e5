//! The placements of an account, found by the names of their buckets: nothing in any of them is read.

use std::collections::BTreeMap;

use aws_sdk_s3::types::Bucket;
use chrono::{DateTime, Utc};
use manifests::Aws;
use project::synth::Names;
use project::synth::names::STORES;

use super::{s3_client, said};
use crate::command::Trouble;

/// A placement that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPlacement {
    /// Its names.
    pub names: Names,
    /// Which of the four stores it has, in their order.
    pub stores: Vec<&'static str>,
    /// When the first of them was made.
    pub created: Option<DateTime<Utc>>,
}

/// All placements of the account, by region and stage.
pub async fn placements(aws: &Aws) -> Result<Vec<FoundPlacement>, Trouble> {
    let mut pages = s3_client(aws).list_buckets().into_paginator().send();
    let mut buckets = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| said("list the account's buckets", &error).next("a role that may s3:ListAllMyBuckets"))?;
        buckets.extend(page.buckets.unwrap_or_default());
    }
    let dated = |bucket: Bucket| {
        let created = bucket.creation_date.and_then(|at| DateTime::from_timestamp(at.secs(), 0));
        Some((bucket.name?, created))
    };
    Ok(found(buckets.into_iter().filter_map(dated)))
}

fn found(buckets: impl Iterator<Item = (String, Option<DateTime<Utc>>)>) -> Vec<FoundPlacement> {
    let mut placements: BTreeMap<(String, String, String), FoundPlacement> = BTreeMap::new();
    for (bucket, created) in buckets {
        let Some((names, store)) = Names::of_bucket(&bucket) else { continue };
        let key = (names.account.clone(), names.region.clone(), names.stage.clone());
        let place = placements.entry(key).or_insert(FoundPlacement { names, stores: Vec::new(), created });
        place.stores.push(store);
        place.created = place.created.into_iter().chain(created).min();
    }
    let in_order = |mut place: FoundPlacement| {
        place.stores.sort_by_key(|store| STORES.iter().position(|known| known == store));
        place
    };
    placements.into_values().map(in_order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placements_by_the_names_of_buckets() {
        let day = |day: u32| format!("2026-11-{day:02}T00:00:00Z").parse().ok();
        let buckets = [
            ("test-clusterless-metadata-123456789012-us-east-2", day(2)),
            ("my-logs", day(1)),
            ("test-clusterless-manifest-123456789012-us-east-2", day(3)),
            ("clusterless-metadata-123456789012-eu-west-1", None),
        ];
        let all = found(buckets.into_iter().map(|(name, at)| (name.to_owned(), at)));
        let told: Vec<_> = all.iter().map(|place| (place.names.stage.as_str(), place.stores.join(" "), place.created)).collect();
        assert_eq!(told, [("", "metadata".into(), None), ("test", "manifest metadata".into(), day(2))]);
    }
}
