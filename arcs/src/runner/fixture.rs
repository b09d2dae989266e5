//! What tests of runs share: a lake in memory or on disk, an arc, its source lots.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta};
use futures::TryStreamExt;
use manifests::{
    ArcId, ArcSink, ArcSource, ArcSpec, Dataset, Lot, LotUnit, Manifest, ManifestObject, MemoryBus, ObjectStores, RunPlan, SourceCommit,
    Stores,
};
use object_store::ObjectStoreExt;
use serde_json::Value;

use super::{RunContext, RunOptions};

/// A lot of five minutes.
pub(crate) const LOT: &str = "20230717PT5M250";

/// A dataset below `root`.
pub(crate) fn dataset_at(root: &str, name: &str) -> Dataset {
    Dataset { name: name.into(), version: "1".into(), path_uri: format!("{root}/{name}/") }
}

/// An arc from `raw` to `main` and `rejects`, in memory.
pub(crate) fn arc(kind: &str, workload: Value) -> ArcSpec {
    arc_at("memory:///data", kind, workload)
}

/// The same with its datasets below `root`.
pub(crate) fn arc_at(root: &str, kind: &str, workload: Value) -> ArcSpec {
    let sink = |role: &str| ArcSink { role: role.into(), dataset: dataset_at(root, role) };
    ArcSpec {
        id: ArcId { project: "p".into(), version: "1".into(), arc: kind.into() },
        unit: LotUnit::Twelfths,
        sources: vec![ArcSource { role: "main".into(), dataset: dataset_at(root, "raw"), unit: LotUnit::Twelfths, subscribe: true }],
        sinks: vec![sink("rejects"), sink("main")],
        deadline: None,
        retries: 3,
        kind: kind.into(),
        workload,
    }
}

/// A worker whose clock moves one second at every look.
pub(crate) fn context(stores: &Stores, spill_folder: &std::path::Path) -> RunContext {
    let seconds = AtomicI64::new(1_700_000_000);
    RunContext {
        stores: stores.clone(),
        bus: Arc::new(MemoryBus::default()),
        clock: Arc::new(move || DateTime::from_timestamp(seconds.fetch_add(1, Ordering::SeqCst), 0).unwrap_or_default()),
        owner: "me".into(),
        is_dead: Arc::new(|_| false),
        lease: TimeDelta::seconds(300),
        options: RunOptions::new(2, spill_folder.to_owned()),
        environment: Arc::new(|name| (name == "REDACT_KEY").then(|| "a key for the tests".to_owned())),
        aws: None,
        athena: None,
        progress: None,
    }
}

/// Stores below a folder, data included.
pub(crate) fn disk(folder: &std::path::Path) -> (Stores, String) {
    let root = format!("file://{}", folder.display());
    (Stores::below(ObjectStores::local(), &format!("{root}/lake")).unwrap(), root)
}

/// Writes an object of a dataset.
pub(crate) async fn object(stores: &Stores, dataset: &Dataset, name: &str, bytes: impl Into<bytes::Bytes>) -> ManifestObject {
    let (uri, bytes) = (format!("{}{name}", dataset.path_uri), bytes.into());
    let (place, size) = (stores.objects.locate(&uri).unwrap(), bytes.len() as u64);
    let put = place.store.put(&place.path, bytes.into()).await.unwrap();
    ManifestObject { uri, size, etag: put.e_tag, ..ManifestObject::default() }
}

/// Commits a generation of a lot.
pub(crate) async fn commit(stores: &Stores, dataset: &Dataset, lot: &str, generation: u32, objects: Vec<ManifestObject>) {
    let manifest = Manifest { generation, ..Manifest::new(dataset.clone(), lot.parse().unwrap(), objects) };
    stores.commit(&manifest).await.unwrap();
}

/// The plan that reads this generation of every source.
pub(crate) fn plan(arc: &ArcSpec, generation: u32, replay: bool) -> RunPlan {
    let lot: Lot = LOT.parse().unwrap();
    let sources = arc.sources.iter().map(|source| SourceCommit { dataset: source.dataset.id(), lot, generation }).collect();
    RunPlan { lot, sources, replay }
}

/// A line of an S3 access log.
pub(crate) fn line(second: u32, operation: &str, status: u16, error: &str, milliseconds: u32, id: &str) -> String {
    let start = format!("owner bucket-a [17/Jul/2023:20:50:{second:02} +0000] 192.0.2.1 arn:aws:iam::1:user/u {id} {operation} key");
    format!(
        "{start} \"GET /key HTTP/1.1\" {status} {error} 100 200 {milliseconds} 5 \"-\" \"agent\" - host= SigV4 TLS AuthHeader h TLSv1.2 - -\n"
    )
}

/// Everything below a root, by path: sizes and a sum of the bytes.
pub(crate) async fn contents(stores: &Stores, root: &str) -> Vec<(String, usize, u64)> {
    let place = stores.objects.locate(root).unwrap();
    let listed: Vec<_> = place.store.list(Some(&place.path)).try_collect().await.unwrap();
    let mut all = Vec::new();
    for meta in listed {
        let bytes = place.store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        let sum = bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        all.push((meta.location.to_string(), bytes.len(), sum));
    }
    all.sort();
    all
}
