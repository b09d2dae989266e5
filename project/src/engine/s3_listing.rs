//! What lies in a bucket, listed side by side: a boundary's path flows in, arrivals flow out in no order. Keys are taken as
//! S3 has them, as from a notification: one that no path of `object_store` can be (`a//b`) would end a listing there. It is in
//! its lot, and a problem of that object to every arc.
//!
//! Folders are looked for level by level while there is too little to do; then each is listed whole.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{Object, ObjectStorageClass};
use boundary::{ARRIVALS_PER_BATCH, Arrival, Arrivals, BoundaryError, BoundarySpec, Filter, Index, Scanned, Taker};
use chrono::DateTime;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, TryStreamExt};
use manifests::Stores;

use super::Line;

/// Requests under way at once. Each brings a thousand keys.
const LISTINGS_AT_ONCE: usize = 32;
/// Folders that are open before further ones are listed whole, whatever they have inside.
const FOLDERS_OPEN_MAX: usize = 256;

/// Lists buckets.
#[derive(Debug)]
pub struct S3Listing {
    client: Client,
    line: Line,
}

/// A request for up to a thousand keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    prefix: String,
    /// Whether all below is listed, or one level of folders.
    is_whole: bool,
    token: Option<String>,
}

/// What a request brought.
struct Listed {
    objects: Vec<Object>,
    /// What is to be asked next: first of all the folders.
    pages: Vec<Page>,
}

impl S3Listing {
    /// Lists with a client, and shows how far it is.
    pub fn new(client: Client, line: Line) -> S3Listing {
        S3Listing { client, line }
    }
}

async fn list(client: &Client, bucket: &str, page: Page) -> Result<Listed, BoundaryError> {
    let call = client.list_objects_v2().bucket(bucket).prefix(&page.prefix).set_continuation_token(page.token.clone());
    let call = if page.is_whole { call } else { call.delimiter("/") };
    let answer = call.send().await.map_err(|error| {
        let name = format!("s3://{bucket}/{}", page.prefix);
        BoundaryError::Service { action: "list", name, reason: manifests::reason(&error), transient: true }
    })?;
    let mut pages = Vec::new();
    if let Some(token) = answer.next_continuation_token.filter(|_| answer.is_truncated == Some(true)) {
        pages.push(Page { token: Some(token), ..page.clone() });
    }
    let folders = answer.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
    pages.extend(folders.map(|prefix| Page { prefix, is_whole: false, token: None }));
    Ok(Listed { objects: answer.contents.unwrap_or_default(), pages })
}

/// The object as an arrival, where the boundary wants it.
fn arrival(spec: &BoundarySpec, filter: &Filter, bucket: &str, object: Object) -> Option<Arrival> {
    let uri = format!("s3://{bucket}/{}", object.key?);
    if !spec.wants(filter, &uri) {
        return None;
    }
    let modified = object.last_modified?;
    let arrived = DateTime::from_timestamp(modified.secs(), modified.subsec_nanos())?;
    Some(Arrival { uri, size: u64::try_from(object.size?).ok()?, etag: object.e_tag, version_id: None, arrived })
}

fn is_archived(object: &Object) -> bool {
    matches!(object.storage_class, Some(ObjectStorageClass::Glacier | ObjectStorageClass::DeepArchive))
}

#[async_trait]
impl Arrivals for S3Listing {
    async fn scan(
        &mut self,
        spec: &BoundarySpec,
        filter: &Filter,
        _stores: &Stores,
        taker: &mut dyn Taker,
    ) -> Result<Scanned, BoundaryError> {
        let place = spec.dataset.path_uri.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let mut open = vec![Page { prefix: prefix.to_owned(), is_whole: false, token: None }];
        let (client, mut under_way, mut scanned) = (self.client.clone(), FuturesUnordered::new(), Scanned::default());
        let mut archived = 0;
        loop {
            while under_way.len() < LISTINGS_AT_ONCE
                && let Some(page) = open.pop()
            {
                let is_whole = page.is_whole || (page.token.is_none() && open.len() >= FOLDERS_OPEN_MAX);
                under_way.push(list(&client, bucket, Page { is_whole, ..page }).boxed());
            }
            let Some(listed) = under_way.try_next().await? else { break };
            open.extend(listed.pages);
            let objects = listed.objects.into_iter().inspect(|object| archived += usize::from(is_archived(object)));
            let arrivals: Vec<Arrival> = objects.filter_map(|object| arrival(spec, filter, bucket, object)).collect();
            scanned.objects += arrivals.len();
            self.line.note(&format!("{} objects", scanned.objects));
            for batch in arrivals.chunks(ARRIVALS_PER_BATCH) {
                taker.take(batch.to_vec()).await?;
            }
        }
        if archived > 0 {
            tracing::warn!("{archived} objects below {} are archived: restore them before arcs are to read them", spec.dataset.path_uri);
        }
        Ok(scanned)
    }

    async fn forget(&mut self, _stores: &Stores, _index: &mut dyn Index) -> Result<(), BoundaryError> {
        Ok(())
    }
}
