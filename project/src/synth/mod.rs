//! Synth: what a project, or the bootstrap of a placement, is on AWS. A checked project and options flow in; CloudFormation
//! templates flow out, byte for byte the same for the same input. Nothing here calls AWS, reads the clock or a file.
//!
//! | file | makes |
//! |---|---|
//! | [`names`] | every name |
//! | `part`, `split` | templates out of parts |
//! | `iam`, `grants` | policies, and which function gets which |
//! | `boundary`, `arrival`, `queue`, `function` | where objects enter |
//! | `dispatch`, `batch`, `user_image`, `image`, `activities` | what runs |
//! | `up` | what there is instead of functions and jobs, where `arc up` does the work |
//! | `resources`, `bucket`, `tables` | what the file declares, and tables of what it produces |
//! | `clashes` | what two things of a file would both be |
//! | `key` | keys, and what their policies have to say |
//! | `alarms`, `cost` | what is watched, and what costs money with no traffic |
//! | `bootstrap`, `network` | what all projects of a placement share |
//! | `subscription` | what another team needs to build on a dataset |

mod activities;
mod alarms;
mod arrival;
mod batch;
mod bootstrap;
mod boundary;
mod bucket;
mod clashes;
mod cost;
mod deployment;
mod dispatch;
#[cfg(test)]
mod fixture;
mod function;
mod grants;
mod iam;
mod image;
mod key;
pub mod names;
mod network;
mod notes;
mod part;
mod queue;
mod resources;
pub(crate) mod runtime;
mod split;
mod subscription;
mod tables;
#[cfg(test)]
mod tests;
mod up;
mod user_image;
#[cfg(test)]
mod walk_tests;

use std::collections::{BTreeMap, BTreeSet};

use ::boundary::BoundarySpec;
use manifests::ArcSpec;
use serde_json::{Value, json};

use crate::columns::Known;
use crate::file::{Problem, Project};
use crate::verify::nearest;
pub(crate) use activities::{is_export, is_job};
pub(crate) use arrival::{Arrival, declared_bucket};
pub use bootstrap::{BootstrapOptions, CREATE_KEY, JobNetwork, KEY, bootstrap};
pub(crate) use boundary::{arrival_bucket, arrival_prefix};
pub(crate) use clashes::clashes;
pub use cost::{CostLine, PRICES_AS_OF, PRICES_SOURCE, cost_at_rest};
pub use deployment::deployment;
pub(crate) use image::is_uri as is_image_uri;
pub use image::{Image, image, images};
pub use key::{check_bucket_key, check_key, key_note};
pub(crate) use names::logical;
pub use names::{Names, ProjectNames};
pub use network::{Network, subnet_blocks};
pub use notes::notes;
use part::{Group, Parts};
pub use resources::declared_databases;
pub(crate) use resources::{COMPUTE, DATA_FORMATS};
pub use runtime::{Architecture, is_user_image};
pub use split::{Move, RESOURCES_MAX, TEMPLATE_BYTES_MAX, homes, moves};
pub use subscription::{SUBSCRIBER_ACCOUNT, Subscription, sample_detail};
pub use tables::untold;
pub(crate) use user_image::{EVENT_PREFIX, parameter_of, user_environment};

/// Days that logs are kept where nothing else is said.
pub const LOG_RETENTION_DAYS_DEFAULT: u32 = 30;

/// A stack of CloudFormation.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// What it holds, in a phrase.
    pub description: String,
    /// Its template; keys stand in the order in which they were made, always the same.
    pub template: Value,
    /// Names of the stacks that have to be deployed before it.
    pub after: Vec<String>,
    /// Tags of the stack, which CloudFormation puts on all in it. Those of a project are in its template.
    pub tags: BTreeMap<String, String>,
}

/// Where the packages of the functions lie. `{arch}` in a key stands for `arm64` or `x86_64`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeLocation {
    /// The bucket.
    pub bucket: String,
    /// The key of the boundary's package.
    pub key_boundary: String,
    /// The key of the dispatch function's package.
    pub key_dispatch: String,
}

/// What a deployment decides beside the project file.
#[derive(Clone, Debug, Default)]
pub struct ProjectOptions {
    /// No arcs, nothing that runs them.
    pub exclude_all_arcs: bool,
    /// Arcs that are left out.
    pub exclude_arcs: Vec<String>,
    /// Only this resource of the file. The template holds nothing else: see [`overlay`].
    pub only_resource: Option<String>,
    /// The image of built-in workloads; [`Names::worker_image`] where not given. `{arch}` stands for `arm64` or `x86_64`.
    pub image: Option<String>,
    /// The packages of the functions.
    pub code: CodeLocation,
    /// The deployment document that the functions read, an S3 URI.
    pub deployment_uri: String,
    /// The evaluated project that the workers read, an S3 URI.
    pub project_uri: String,
    /// The key that everything is encrypted with, an ARN; AWS's own keys where not given.
    pub kms_key: Option<String>,
    /// The key that the placement's stores are encrypted with, an ARN, where that is known: roles need it as well.
    pub store_key: Option<String>,
    /// Keys, ARNs, of buckets that the project reads or writes and does not declare, where they have any: see
    /// [`foreign_buckets`].
    pub bucket_keys: BTreeMap<String, String>,
    /// The role that Batch works with, an ARN; where not given its own service-linked role, which AWS makes when it is first
    /// needed. Some doubles of AWS want one.
    pub batch_service_role: Option<String>,
    /// Reserve no concurrency for functions: a new account may have none to spare. The protocol does without; invocations that
    /// could have been spared then find a commit made.
    pub no_reserved_concurrency: bool,
    /// Tags for everything that takes tags.
    pub tags: BTreeMap<String, String>,
    /// Days that logs are kept; 0 is [`LOG_RETENTION_DAYS_DEFAULT`].
    pub log_retention_days: u32,
    /// Columns of datasets, by id, that only their data tells.
    pub tables: BTreeMap<String, Known>,
    /// The network that jobs run in, as the bootstrap put it out. Where not given, templates import it; then the bootstrap cannot
    /// change it any more, since CloudFormation guards what is imported.
    pub network: Option<JobNetwork>,
    /// Databases of the file that are there and in no stack of the project, because they outlived one: they are used as
    /// they are.
    pub present_databases: BTreeSet<String>,
    /// The stacks that things are deployed in, by logical id: [`homes`]. They stay there, as far as there is room.
    pub homes: BTreeMap<String, String>,
}

impl ProjectOptions {
    /// The keys that whoever works on stores and on what the project declares needs.
    pub(crate) fn keys(&self) -> Vec<&str> {
        let store_key = self.store_key.iter().filter(|key| Some(*key) != self.kms_key.as_ref());
        self.kms_key.iter().chain(store_key).map(String::as_str).collect()
    }

    /// Options with which a template can be looked at before anything was uploaded: places are where a deployment puts
    /// them, hashes are left out.
    pub fn preview(names: &ProjectNames) -> ProjectOptions {
        let bucket = names.placement.artifact_bucket();
        let folder = names.deployment_folder();
        ProjectOptions {
            deployment_uri: format!("s3://{bucket}/{folder}/deployment.json"),
            project_uri: format!("s3://{bucket}/{folder}/project.json"),
            code: CodeLocation {
                bucket,
                key_boundary: "code/boundary-{arch}.zip".to_owned(),
                key_dispatch: "code/dispatch-{arch}.zip".to_owned(),
            },
            ..ProjectOptions::default()
        }
    }
}

/// The stacks of a project, in the order of their deployment. Problems are options that name nothing, queries that do not
/// fit, and projects too large for stacks.
pub fn project(project: &Project, options: &ProjectOptions) -> Result<Vec<Stack>, Vec<Problem>> {
    let Some(names) = ProjectNames::of(project) else {
        let fix = Some("use a project file whose placement has `provider: 'aws'`".to_owned());
        return Err(vec![Problem { path: "placement.provider".into(), message: "is local: there is nothing to deploy".into(), fix }]);
    };
    let mut options = options.clone();
    if options.log_retention_days == 0 {
        options.log_retention_days = LOG_RETENTION_DAYS_DEFAULT;
    }
    let mut problems = unknown_names(project, &options);
    let mut parts = Parts::new();
    problems.extend(add(&mut parts, &names, project, &options));
    problems.extend(clashes::of_parts(&parts.all, &project.document));
    problems.extend(too_large_roles(&parts));
    if !problems.is_empty() {
        return Err(problems);
    }
    part::tag(&mut parts.all, &options.tags);
    split::stacks(parts, &names, &names.description(), &options.homes)
}

/// Whether the worker of an arc would have to be allowed more than a role has room for.
pub(crate) fn is_beyond_a_role(names: &ProjectNames, arc: &ArcSpec) -> bool {
    iam::is_too_much(&grants::worker(names, arc, &ProjectOptions::preview(names)))
}

/// The roles that would be allowed more than a role has room for.
fn too_large_roles(parts: &Parts) -> Vec<Problem> {
    let policies = |part: &part::Part| part.body["Properties"]["ManagedPolicyArns"].as_array().map_or(0, Vec::len);
    let large = parts.all.iter().filter(|part| policies(part) > iam::POLICIES_MAX);
    let problem = |part: &part::Part| Problem {
        path: part.name.clone(),
        message: format!("is a role with {} policies, and a role takes {}", policies(part), iam::POLICIES_MAX),
        fix: Some("make two projects, or two arcs, of it".to_owned()),
    };
    large.map(problem).collect()
}

/// The arcs that a deployment has.
pub fn deployed_arcs<'a>(project: &'a Project, options: &ProjectOptions) -> Vec<&'a ArcSpec> {
    let is_in =
        |arc: &&ArcSpec| !options.exclude_all_arcs && options.only_resource.is_none() && !options.exclude_arcs.contains(&arc.id.arc);
    project.arcs.iter().filter(is_in).collect()
}

/// The buckets that a deployment's arcs and exports read or write, and that are made elsewhere: how they are encrypted, they
/// alone can say.
pub fn foreign_buckets(project: &Project, options: &ProjectOptions) -> BTreeSet<String> {
    let arcs = deployed_arcs(project, options);
    let sources = arcs.iter().flat_map(|arc| arc.sources.iter().map(|source| &source.dataset));
    let sinks = arcs.iter().flat_map(|arc| arc.sinks.iter().map(|sink| &sink.dataset));
    let areas = sources.chain(sinks).filter_map(|dataset| iam::Area::of_uri(&dataset.path_uri));
    let areas = areas.chain(activities::export_folders(project));
    areas.map(|area| area.bucket).filter(|bucket| declared_bucket(&project.resources, bucket).is_none()).collect()
}

/// The architectures that packages of the functions are needed for: dispatch is always the default one.
pub fn function_architectures(project: &Project) -> BTreeSet<Architecture> {
    if project.is_served_by_up() {
        return BTreeSet::new();
    }
    let boundaries = project.boundaries.iter().map(|boundary| runtime::of_boundary(project, &boundary.name).architecture);
    boundaries.chain([Architecture::default()]).collect()
}

fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, options: &ProjectOptions) -> Vec<Problem> {
    let boundaries: Vec<&BoundarySpec> = project.boundaries.iter().collect();
    if options.only_resource.is_some() {
        // The queues that boundaries give a bucket are not here.
        resources::add(parts, names, project, &[], options);
        return Vec::new();
    }
    let arcs = deployed_arcs(project, options);
    let is_served = project.is_served_by_up();
    let has_jobs = !is_served && (!arcs.is_empty() || activities::jobs(project).next().is_some());
    if !is_served {
        dispatch::add_undelivered(parts, names, options);
    }
    dispatch::add_topic(parts, names, options);
    if !is_served {
        alarms::add_base(parts, names);
    }
    for boundary in &boundaries {
        parts.begin("boundaries", &boundary.name);
        boundary::add_queues(parts, names, project, boundary, options);
    }
    resources::add(parts, names, project, &boundaries, options);
    parts.end();
    if has_jobs {
        batch::add_base(parts, names, project, options);
        activities::add(parts, names, project, options);
        parts.enter(Group::Base);
        parts.end();
    }
    add_workgroup(parts, names, &arcs);
    if is_served {
        up::add(parts, names, project, &arcs, options);
        return tables::add(parts, names, project, &arcs, options);
    }
    if has_jobs || activities::exports(project).next().is_some() {
        dispatch::add(parts, names, project, &arcs, options, has_jobs);
        alarms::add_failures(parts, names, project);
    }
    for boundary in &boundaries {
        parts.begin("boundaries", &boundary.name);
        boundary::add(parts, names, project, boundary, options);
        alarms::add_boundary(parts, names, project, boundary);
    }
    for arc in &arcs {
        parts.begin("arcs", &arc.id.arc);
        batch::add(parts, names, project, arc, options);
        alarms::add_arc(parts, names, project, arc);
    }
    parts.end();
    tables::add(parts, names, project, &arcs, options)
}

fn add_workgroup(parts: &mut Parts, names: &ProjectNames, arcs: &[&ArcSpec]) {
    if !arcs.iter().any(|arc| runtime::is_athena(arc) && runtime::workgroup(arc).is_none()) {
        return;
    }
    let properties = json!({
        "Name": names.workgroup(), "State": "ENABLED", "RecursiveDeleteOption": true,
        "WorkGroupConfiguration": {"EnforceWorkGroupConfiguration": false, "PublishCloudWatchMetricsEnabled": false},
    });
    let arn = names.placement.arn("athena", &format!("workgroup/{}", names.workgroup()));
    parts.add("Workgroup", "AWS::Athena::WorkGroup", names.workgroup(), arn, properties);
}

fn unknown_names(project: &Project, options: &ProjectOptions) -> Vec<Problem> {
    let listed = |key: &str| project.document[key].as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str()).collect();
    let (arcs, resources): (Vec<&str>, Vec<&str>) = (listed("arcs"), listed("resources"));
    let unknown = |option: &str, what: &str, name: &str, known: &[&str]| Problem {
        path: option.to_owned(),
        message: format!("`{name}` is no {what} of this project"),
        fix: nearest(name, known.iter().copied()).map(|name| format!("did you mean `{name}`?")),
    };
    let excluded = options.exclude_arcs.iter().filter(|name| !arcs.contains(&name.as_str()));
    let excluded = excluded.map(|name| unknown("--exclude-arc", "arc", name, &arcs));
    let only = options.only_resource.iter().filter(|name| !resources.contains(&name.as_str()));
    let only = only.map(|name| unknown("--only-resource", "resource", name, &resources));
    let made_with_jobs = project.resources.iter().filter(|resource| {
        resource["type"] == "aws:core:computeEnvironment" && options.only_resource.as_deref().is_some_and(|only| resource["name"] == only)
    });
    let made_with_jobs = made_with_jobs.map(|_| Problem {
        path: "--only-resource".to_owned(),
        message: "compute environments are made with the arcs that run in them".to_owned(),
        fix: None,
    });
    excluded.chain(only).chain(made_with_jobs).collect()
}

/// The template that is deployed with the resources of `only` put in or replaced: what `--only-resource` deploys, so that
/// everything else stays as it is. A bucket goes on notifying the queues that it notifies.
pub fn overlay(deployed: &Value, only: &Value) -> Value {
    let mut template = deployed.clone();
    for (id, resource) in only["Resources"].as_object().into_iter().flatten() {
        let (before, mut after) = (&deployed["Resources"][id], resource.clone());
        for pointer in ["/Properties/NotificationConfiguration", "/DependsOn"] {
            let is_bucket = resource["Type"] == "AWS::S3::Bucket";
            if let Some(value) = before.pointer(pointer).filter(|_| is_bucket) {
                put(&mut after, pointer, value.clone());
            }
        }
        put(&mut template, &format!("/Resources/{id}"), after);
    }
    template
}

/// Puts a value at a pointer whose parent is an object.
fn put(value: &mut Value, pointer: &str, new: Value) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        parent.insert(key.to_owned(), new);
    }
}
