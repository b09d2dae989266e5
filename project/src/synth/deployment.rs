//! What a deployment tells its functions. A checked project and options flow in; the document flows out.

use boundary::aws::{DeployedActivity, DeployedArc, Deployment, JobSize, LogExport, StoreUris};
use manifests::{ArcSpec, LotUnit};
use serde_json::Value;

use super::names::ProjectNames;
use super::{ProjectOptions, activities, deployed_arcs, runtime};
use crate::file::Project;

/// The document of a project; `None` where its placement is not on AWS.
pub fn deployment(project: &Project, options: &ProjectOptions) -> Option<Deployment> {
    let names = ProjectNames::of(project)?;
    let place = &names.placement;
    let uri = |bucket: String| format!("s3://{bucket}");
    Some(Deployment {
        project: project.name.clone(),
        version: project.version.clone(),
        region: place.region.clone(),
        stores: StoreUris {
            manifest: uri(place.manifest_bucket()),
            arc_state: uri(place.arc_state_bucket()),
            metadata: uri(place.metadata_bucket()),
            artifact: uri(place.artifact_bucket()),
        },
        bus: place.event_bus(),
        boundaries: project.boundaries.clone(),
        arcs: deployed_arcs(project, options).into_iter().map(|arc| deployed(project, &names, arc)).collect(),
        exports: enabled_exports(project).filter_map(|(name, entry)| export(name, entry)).collect(),
        activities: activities::jobs(project).map(|job| activity(&names, job.name)).collect(),
    })
}

fn deployed(project: &Project, names: &ProjectNames, arc: &ArcSpec) -> DeployedArc {
    DeployedArc {
        name: arc.id.arc.clone(),
        unit: arc.unit,
        sources: arc.sources.clone(),
        sinks: arc.sinks.clone(),
        deadline_seconds: arc.deadline.map(|deadline| deadline.num_seconds()),
        retries: arc.retries,
        kind: arc.kind.clone(),
        job_definition: names.job_definition(&arc.id.arc),
        log_group: names.job_logs(),
        size: size(project, arc),
        is_foreign: runtime::is_user_image(arc),
    }
}

/// What the file says that jobs get; `None` where it says nothing.
fn size(project: &Project, arc: &ArcSpec) -> Option<JobSize> {
    let props = runtime::arc_props(runtime::arc_entry(project, &arc.id.arc)?)?;
    let is_said = props.get("memorySizeMB").or_else(|| props.get("vcpu")).is_some();
    let runtime = runtime::of_arc(project, arc);
    let number = |value: u64| u32::try_from(value).ok();
    is_said.then_some(JobSize { vcpu_milli: number(runtime.vcpu_milli)?, memory_mib: number(runtime.memory_mb)? })
}

fn activity(names: &ProjectNames, name: &str) -> DeployedActivity {
    DeployedActivity { name: name.to_owned(), job_definition: names.activity_definition(name), log_group: names.job_logs() }
}

/// What is switched off is not known to the function at all: sweeps go on with every export that is.
fn enabled_exports(project: &Project) -> impl Iterator<Item = (&str, &Value)> {
    activities::exports(project).filter(|(_, entry)| entry["enabled"] != false)
}

fn export(name: &str, entry: &Value) -> Option<LogExport> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let interval: LotUnit = entry.get("interval")?.as_str()?.parse().ok()?;
    let path_uri = text("pathURI")?.trim_end_matches('/').to_owned() + "/";
    Some(LogExport {
        name: name.to_owned(),
        interval,
        log_group: text("logGroupName")?,
        log_stream_prefix: text("logStreamPrefix"),
        path_uri,
    })
}
