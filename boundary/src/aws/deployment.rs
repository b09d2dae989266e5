//! What a deployment tells its functions, as one document: `arc deploy` writes it under a name made of its content, and
//! the functions' environment names it. So a function that was deployed with one project never reads another's.

use chrono::TimeDelta;
use manifests::{ArcSink, ArcSource, ArcSpec, Aws, LotUnit, ManifestsError, ObjectStores, Root, Stores};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JobSize;
use crate::error::BoundaryError;
use crate::spec::BoundarySpec;

/// A deployed project as its functions see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    /// The project's name.
    pub project: String,
    /// The project's version.
    pub version: String,
    /// The region.
    pub region: String,
    /// Where the stores are.
    pub stores: StoreUris,
    /// The name of the bus.
    pub bus: String,
    /// The boundaries.
    pub boundaries: Vec<BoundarySpec>,
    /// The arcs, in the order in which data flows.
    pub arcs: Vec<DeployedArc>,
    /// Exports of logs that run by the clock.
    #[serde(default)]
    pub exports: Vec<LogExport>,
    /// Jobs that run by the clock.
    #[serde(default)]
    pub activities: Vec<DeployedActivity>,
}

/// URIs of the four stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreUris {
    /// Commits and state copies.
    pub manifest: String,
    /// Attempts.
    pub arc_state: String,
    /// Projects and dataset owners.
    pub metadata: String,
    /// Code and deployments.
    pub artifact: String,
}

/// An arc and how its jobs are submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeployedArc {
    /// Its name.
    pub name: String,
    /// The unit of its lots.
    pub unit: LotUnit,
    /// What it reads.
    pub sources: Vec<ArcSource>,
    /// What it writes, main last.
    pub sinks: Vec<ArcSink>,
    /// How long after a lot's end it waits for sources, in seconds.
    pub deadline_seconds: Option<i64>,
    /// How many more attempts after one that failed transiently.
    pub retries: u32,
    /// The kind of work.
    pub kind: String,
    /// The job definition's name.
    pub job_definition: String,
    /// The log group of its jobs.
    pub log_group: String,
    /// What a job gets, where the project says so; else it follows from the bytes to read.
    pub size: Option<JobSize>,
    /// Whether the image is the user's, which writes its manifests itself and knows nothing of attempts.
    pub is_foreign: bool,
}

/// A scheduled export of a CloudWatch log group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogExport {
    /// The activity's name.
    pub name: String,
    /// The length of what one export holds.
    pub interval: LotUnit,
    /// The log group.
    pub log_group: String,
    /// Streams whose names begin so; all where not given.
    pub log_stream_prefix: Option<String>,
    /// Where to, `s3://bucket/folder/`.
    #[serde(rename = "pathURI")]
    pub path_uri: String,
}

/// An activity whose jobs EventBridge submits: nobody here has to start them, and somebody has to tell that one failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeployedActivity {
    /// Its name.
    pub name: String,
    /// The job definition's name, by which its jobs are known.
    pub job_definition: String,
    /// The log group of its jobs.
    pub log_group: String,
}

impl Deployment {
    /// Reads a deployment from its URI.
    pub async fn load(objects: &ObjectStores, uri: &str) -> Result<Deployment, BoundaryError> {
        let (folder, file) = uri.rsplit_once('/').unwrap_or((uri, ""));
        let body = Root::new(objects, folder)?.get(file).await?;
        let fail = |reason: String| ManifestsError::Document { path: uri.to_owned(), what: "a deployment", reason };
        let body = body.ok_or_else(|| fail("it is not there".to_owned()))?;
        Ok(serde_json::from_slice(&body).map_err(|error| fail(error.to_string()))?)
    }

    /// Its stores.
    pub fn stores(&self, aws: &Aws) -> Result<Stores, BoundaryError> {
        let objects = aws.objects();
        let open = |uri: &str| Root::new(&objects, uri);
        let (manifest, arc_state) = (open(&self.stores.manifest)?, open(&self.stores.arc_state)?);
        let (metadata, artifact) = (open(&self.stores.metadata)?, open(&self.stores.artifact)?);
        Ok(Stores { manifest, arc_state, metadata, artifact, objects })
    }

    /// Its arcs as the protocol sees them; what they do with their input is the workers' business.
    pub fn arc_specs(&self) -> Vec<ArcSpec> {
        self.arcs.iter().map(|arc| arc.spec(&self.project, &self.version)).collect()
    }
}

impl DeployedArc {
    fn spec(&self, project: &str, version: &str) -> ArcSpec {
        ArcSpec {
            id: manifests::ArcId { project: project.to_owned(), version: version.to_owned(), arc: self.name.clone() },
            unit: self.unit,
            sources: self.sources.clone(),
            sinks: self.sinks.clone(),
            deadline: self.deadline_seconds.map(TimeDelta::seconds),
            retries: self.retries,
            kind: self.kind.clone(),
            workload: Value::Null,
        }
    }
}
