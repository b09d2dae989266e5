//! What each function and each worker may do: its own datasets, in the ways in which it works on them, and nothing else.
//! An arc or a boundary flows in, statements flow out. No role may delete a commit or an attempt: those are the truth.

use std::collections::BTreeSet;

use boundary::BoundarySpec;
use manifests::paths;
use manifests::{ArcSpec, Dataset, DatasetId};
use serde_json::{Value, json};

use super::ProjectOptions;
use super::iam::{Area, allow, allow_anywhere, listing, logging, on_keys, packed, publishing, with_keys};
use super::names::{Names, ProjectNames};
use super::runtime;

const READ: [&str; 1] = ["s3:GetObject"];
const READ_WRITE: [&str; 2] = ["s3:GetObject", "s3:PutObject"];
const DATA_READ: [&str; 2] = ["s3:GetObject", "s3:GetObjectVersion"];
const DATA_WRITE: [&str; 5] = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"];
/// Keys of state copies below a dataset: they are replaced when the state changes. Commits lie beside them.
const STATE_COPIES: &str = "lot=*/state=*";
/// Keys of documents of arrivals that wait, below a dataset's metadata: they go when commits hold what they tell of.
const WAITING: &str = "waiting-*";
/// Policies of `arc up`; a role takes ten.
const UP_POLICIES_MAX: usize = 5;
/// Policies of the dispatch function for its arcs, of the ten that a role takes; the others are left for exports.
const DISPATCH_POLICIES_MAX: usize = 5;

fn manifest_area(names: &Names, dataset: &DatasetId) -> Area {
    Area::below(names.manifest_bucket(), &paths::dataset_dir(dataset))
}

fn metadata_area(names: &Names, dataset: &DatasetId) -> Area {
    Area::below(names.metadata_bucket(), &paths::dataset_dir(dataset))
}

fn data_area(dataset: &Dataset) -> Option<Area> {
    Area::of_uri(&dataset.path_uri)
}

/// The keys of buckets that are declared elsewhere.
fn bucket_keys<'a>(options: &'a ProjectOptions, areas: &[Area]) -> BTreeSet<&'a str> {
    areas.iter().filter_map(|area| options.bucket_keys.get(&area.bucket)).map(String::as_str).collect()
}

/// Use of the keys: those of stores and declared buckets, and those of other buckets that are read or written.
fn with_all_keys(options: &ProjectOptions, read: &[Area], written: &[Area]) -> Vec<Value> {
    let written: BTreeSet<&str> = bucket_keys(options, written).into_iter().chain(options.keys()).collect();
    let read: Vec<Value> = bucket_keys(options, read).difference(&written).map(|key| Value::from(*key)).collect();
    let decrypting = (!read.is_empty()).then(|| allow(&["kms:Decrypt"], read));
    with_keys(&Vec::from_iter(written)).into_iter().chain(decrypting).collect()
}

/// Committing and announcing of datasets.
fn committing(names: &Names, datasets: &[Area]) -> Vec<Value> {
    let writing = on_keys(names, &READ_WRITE, datasets, "*");
    let tidying = on_keys(names, &["s3:DeleteObject"], datasets, STATE_COPIES);
    writing.into_iter().chain(tidying).collect()
}

/// A boundary's function: its queue, its dataset's manifests and metadata, the bus, its log. It reads no data.
pub(crate) fn boundary(
    names: &ProjectNames,
    boundary: &BoundarySpec,
    function: &str,
    queue: Value,
    undelivered: Value,
    options: &ProjectOptions,
) -> Vec<Value> {
    let place = &names.placement;
    let id = boundary.dataset.id();
    let manifests = [manifest_area(place, &id)];
    let metadata = [metadata_area(place, &id)];
    let actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"];
    let mut statements = vec![allow(&actions, vec![queue]), allow(&["sqs:SendMessage"], vec![undelivered])];
    statements.extend(committing(place, &manifests));
    statements.extend(on_keys(place, &READ_WRITE, &metadata, "*"));
    statements.extend(on_keys(place, &["s3:DeleteObject"], &metadata, WAITING));
    statements.extend(on_keys(place, &READ, &Vec::from_iter(Area::folder_of(&options.deployment_uri)), "*"));
    statements.extend(listing(place, &[manifests, metadata].concat()));
    statements.extend([publishing(place), logging(place, &names.function_logs(function))]);
    statements.extend(with_keys(&options.keys()));
    statements
}

/// The dispatch function: the manifests of what its arcs read and write, their attempts, their jobs. Of data it may only
/// take away what a lot that has become empty no longer has, and look at what a user's image has left.
pub(crate) fn dispatch(names: &ProjectNames, arcs: &[&ArcSpec], topic: Value, undelivered: Value, options: &ProjectOptions) -> Vec<Value> {
    let areas = dispatch_areas(names, arcs);
    let exact = dispatch_on(names, &areas, &topic, &undelivered, arcs, options);
    match is_too_much(&exact) {
        false => exact,
        true => dispatch_on(names, &areas.widened(), &topic, &undelivered, arcs, options),
    }
}

/// Hundreds of arcs name more datasets than a role's policies have room for. Then the dispatch function reaches whole stores.
fn is_too_much(statements: &[Value]) -> bool {
    packed(statements.to_vec()).len() > DISPATCH_POLICIES_MAX
}

/// Whether that is so.
pub(crate) fn is_widened(names: &ProjectNames, arcs: &[&ArcSpec], options: &ProjectOptions) -> bool {
    is_too_much(&dispatch_on(names, &dispatch_areas(names, arcs), &"".into(), &"".into(), arcs, options))
}

#[derive(Clone, Debug, Default)]
struct DispatchAreas {
    read: Vec<Area>,
    written: Vec<Area>,
    metadata: Vec<Area>,
    made: Vec<Area>,
    looked_at: Vec<Area>,
}

impl DispatchAreas {
    fn widened(self) -> DispatchAreas {
        let folder = |areas: Vec<Area>| areas.into_iter().map(|area| Area { prefix: "datasets/".to_owned(), ..area }).collect();
        let bucket = |areas: Vec<Area>| areas.into_iter().map(|area| Area { prefix: String::new(), ..area }).collect();
        DispatchAreas {
            read: folder(self.read),
            written: folder(self.written),
            metadata: folder(self.metadata),
            made: bucket(self.made),
            looked_at: bucket(self.looked_at),
        }
    }
}

fn dispatch_areas(names: &ProjectNames, arcs: &[&ArcSpec]) -> DispatchAreas {
    let place = &names.placement;
    let mut areas = DispatchAreas::default();
    for arc in arcs {
        areas.read.extend(arc.sources.iter().map(|source| manifest_area(place, &source.dataset.id())));
        areas.written.extend(arc.sinks.iter().map(|sink| manifest_area(place, &sink.dataset.id())));
        areas.metadata.extend(arc.sources.iter().map(|source| metadata_area(place, &source.dataset.id())));
        let made = arc.sinks.iter().filter_map(|sink| data_area(&sink.dataset));
        areas.made.extend(made.clone());
        areas.looked_at.extend(made.filter(|_| runtime::is_user_image(arc)));
    }
    areas
}

fn dispatch_on(
    names: &ProjectNames,
    areas: &DispatchAreas,
    topic: &Value,
    undelivered: &Value,
    arcs: &[&ArcSpec],
    options: &ProjectOptions,
) -> Vec<Value> {
    let place = &names.placement;
    let state = attempts_area(names, "");
    let definitions = if arcs.len() > 20 {
        vec![format!("{}-*", names.prefix)]
    } else {
        arcs.iter().map(|arc| names.job_definition(&arc.id.arc)).collect()
    };
    let mut jobs: Vec<Value> = definitions.iter().map(|name| place.arn("batch", &format!("job-definition/{name}")).into()).collect();
    jobs.extend(definitions.iter().map(|name| Value::from(place.arn("batch", &format!("job-definition/{name}:*")))));
    jobs.push(place.arn("batch", &format!("job-queue/{}", names.job_queue())).into());
    let mut statements = Vec::from_iter(on_keys(place, &READ, &areas.read, "*"));
    statements.extend(committing(place, &areas.written));
    statements.extend(on_keys(place, &READ_WRITE, std::slice::from_ref(&state), "*"));
    statements.extend(on_keys(place, &READ, &areas.metadata, "*"));
    statements.extend(on_keys(place, &["s3:DeleteObject"], &areas.made, "*"));
    statements.extend(on_keys(place, &READ, &areas.looked_at, "*"));
    statements.extend(on_keys(place, &READ, &Vec::from_iter(Area::folder_of(&options.deployment_uri)), "*"));
    let listed = [&areas.read[..], &areas.written, &[state], &areas.metadata, &areas.looked_at].concat();
    statements.extend(listing(place, &listed));
    statements.extend([allow(&["batch:SubmitJob"], jobs), allow_anywhere(&["batch:DescribeJobs", "batch:ListJobs"])]);
    statements.extend([allow(&["sns:Publish"], vec![topic.clone()]), allow(&["sqs:SendMessage"], vec![undelivered.clone()])]);
    statements.extend([publishing(place), logging(place, &names.function_logs(&names.dispatch_function()))]);
    statements.extend(with_all_keys(options, &areas.looked_at, &[]));
    statements
}

/// The attempts of an arc, or of all arcs of the project where `arc` is empty.
fn attempts_area(names: &ProjectNames, arc: &str) -> Area {
    let id = names.arc_id(arc);
    let folder = paths::arc_dir(&id);
    let folder = if arc.is_empty() { folder.trim_end_matches("arc=").trim_end_matches('/') } else { &folder };
    Area::below(names.placement.arc_state_bucket(), folder)
}

/// The worker of an arc: the data and manifests of its sources and sinks, its attempts, the bus.
pub(crate) fn worker(names: &ProjectNames, arc: &ArcSpec, options: &ProjectOptions) -> Vec<Value> {
    let place = &names.placement;
    let sources: Vec<Area> = arc.sources.iter().filter_map(|source| data_area(&source.dataset)).collect();
    let sinks: Vec<Area> = arc.sinks.iter().filter_map(|sink| data_area(&sink.dataset)).collect();
    let read: Vec<Area> = arc.sources.iter().map(|source| manifest_area(place, &source.dataset.id())).collect();
    let written: Vec<Area> = arc.sinks.iter().map(|sink| manifest_area(place, &sink.dataset.id())).collect();
    let described: Vec<Area> = arc.sources.iter().map(|source| metadata_area(place, &source.dataset.id())).collect();
    let learned: Vec<Area> = arc.sinks.iter().map(|sink| metadata_area(place, &sink.dataset.id())).collect();
    let state = attempts_area(names, &arc.id.arc);
    let mut statements = Vec::from_iter(on_keys(place, &DATA_READ, &sources, "*"));
    statements.extend(on_keys(place, &DATA_WRITE, &sinks, "*"));
    if arc.kind == "copy" {
        statements.extend(on_keys(place, &["s3:GetObjectTagging"], &sources, "*"));
        statements.extend(on_keys(place, &["s3:PutObjectTagging"], &sinks, "*"));
    }
    statements.extend(on_keys(place, &READ, &read, "*"));
    statements.extend(committing(place, &written));
    statements.extend(on_keys(place, &READ_WRITE, std::slice::from_ref(&state), "*"));
    statements.extend(on_keys(place, &READ, &described, "*"));
    statements.extend(on_keys(place, &READ_WRITE, &learned, "*"));
    statements.extend(on_keys(place, &READ, &Vec::from_iter(Area::folder_of(&options.project_uri)), "*"));
    statements.extend(with_all_keys(options, &sources, &sinks));
    statements.extend(listing(place, &[sources, sinks, read, written, described, learned, vec![state]].concat()));
    statements.push(publishing(place));
    statements.extend(glue(place, arc));
    statements.extend(athena(names, arc));
    statements
}

/// `arc up`, which is the functions and all workers in one: the queues, what boundaries and arcs read and write, their
/// attempts, the documents that it registers the project with, the bus. One list of statements for each policy that they fill;
/// where that would be too many, whole stores.
pub(crate) fn up(
    names: &ProjectNames,
    boundaries: &[BoundarySpec],
    arcs: &[&ArcSpec],
    queues: &[Value],
    options: &ProjectOptions,
) -> Vec<Vec<Value>> {
    let areas = UpAreas::of(names, boundaries, arcs);
    let exact = packed(up_on(names, areas.clone(), arcs, queues, options));
    if exact.len() > UP_POLICIES_MAX { packed(up_on(names, areas.widened(), arcs, queues, options)) } else { exact }
}

#[derive(Clone, Debug, Default)]
struct UpAreas {
    read: Vec<Area>,
    written: Vec<Area>,
    metadata: Vec<Area>,
    sources: Vec<Area>,
    sinks: Vec<Area>,
}

impl UpAreas {
    fn of(names: &ProjectNames, boundaries: &[BoundarySpec], arcs: &[&ArcSpec]) -> UpAreas {
        let place = &names.placement;
        let mut areas = UpAreas::default();
        let sources = || arcs.iter().flat_map(|arc| &arc.sources).map(|source| &source.dataset);
        let sinks = || arcs.iter().flat_map(|arc| &arc.sinks).map(|sink| &sink.dataset);
        let own = boundaries.iter().map(|boundary| &boundary.dataset);
        areas.read.extend(sources().map(|dataset| manifest_area(place, &dataset.id())));
        areas.written.extend(own.chain(sinks()).map(|dataset| manifest_area(place, &dataset.id())));
        areas.read.retain(|area| !areas.written.contains(area));
        let described = boundaries.iter().map(|boundary| &boundary.dataset).chain(sources()).chain(sinks());
        areas.metadata.extend(described.map(|dataset| metadata_area(place, &dataset.id())));
        areas.sources.extend(sources().filter_map(data_area));
        areas.sinks.extend(sinks().filter_map(data_area));
        areas
    }

    fn widened(self) -> UpAreas {
        let folder = |areas: Vec<Area>| areas.into_iter().map(|area| Area { prefix: "datasets/".to_owned(), ..area }).collect();
        let bucket = |areas: Vec<Area>| areas.into_iter().map(|area| Area { prefix: String::new(), ..area }).collect();
        UpAreas {
            read: folder(self.read),
            written: folder(self.written),
            metadata: folder(self.metadata),
            sources: bucket(self.sources),
            sinks: bucket(self.sinks),
        }
    }
}

fn up_on(names: &ProjectNames, areas: UpAreas, arcs: &[&ArcSpec], queues: &[Value], options: &ProjectOptions) -> Vec<Value> {
    let place = &names.placement;
    let UpAreas { read, written, metadata, sources, sinks } = areas;
    let state = attempts_area(names, "");
    let id = names.arc_id("");
    let document = format!("s3://{}/{}", place.metadata_bucket(), paths::project(&id.project, &id.version));
    let own = [Some(state), Area::folder_of(&document)];
    let actions = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];
    let mut statements = Vec::from_iter((!queues.is_empty()).then(|| allow(&actions, queues.to_vec())));
    statements.extend(on_keys(place, &DATA_READ, &sources, "*"));
    statements.extend(on_keys(place, &DATA_WRITE, &sinks, "*"));
    if arcs.iter().any(|arc| arc.kind == "copy") {
        statements.extend(on_keys(place, &["s3:GetObjectTagging"], &sources, "*"));
        statements.extend(on_keys(place, &["s3:PutObjectTagging"], &sinks, "*"));
    }
    statements.extend(on_keys(place, &READ, &read, "*"));
    statements.extend(committing(place, &written));
    let described: Vec<Area> = metadata.iter().cloned().chain(own.into_iter().flatten()).collect();
    statements.extend(on_keys(place, &READ_WRITE, &described, "*"));
    statements.extend(on_keys(place, &["s3:DeleteObject"], &metadata, WAITING));
    statements.extend(with_all_keys(options, &sources, &sinks));
    statements.extend(listing(place, &[sources, sinks, read, written, described].concat()));
    statements.push(publishing(place));
    arcs.iter().for_each(|arc| statements.extend(glue(place, arc).into_iter().chain(athena(names, arc))));
    statements
}

/// The table that a sink `glue://[catalog]/db/table` names: account, database, table.
fn glue_table(names: &Names, uri: &str) -> Option<(String, String, String)> {
    let mut parts = uri.strip_prefix("glue://")?.split('/');
    let catalog = parts.next().filter(|catalog| !catalog.is_empty()).unwrap_or(&names.account).to_owned();
    let (database, table) = (parts.next()?, parts.next()?);
    let is_all = parts.all(str::is_empty) && !database.is_empty() && !table.is_empty();
    is_all.then(|| (catalog, database.to_owned(), table.to_owned()))
}

fn table_arns(names: &Names, catalog: &str, database: &str, table: &str) -> Vec<Value> {
    let arn = |rest: String| Value::from(format!("arn:{}:glue:{}:{catalog}:{rest}", names.partition(), names.region));
    vec![arn("catalog".into()), arn(format!("database/{database}")), arn(format!("table/{database}/{table}"))]
}

/// Partitions of exactly the table that the arc's sink is.
fn glue(names: &Names, arc: &ArcSpec) -> Vec<Value> {
    let actions = [
        "glue:GetTable",
        "glue:GetPartition",
        "glue:GetPartitions",
        "glue:BatchGetPartition",
        "glue:CreatePartition",
        "glue:BatchCreatePartition",
    ];
    let tables = arc.sinks.iter().filter_map(|sink| glue_table(names, &sink.dataset.path_uri));
    tables.map(|(catalog, database, table)| allow(&actions, table_arns(names, &catalog, &database, &table))).collect()
}

/// Queries that Athena runs: in the arc's workgroup, over the tables of the arc's sources, with results of its own. Athena
/// wants to see the catalog and the database `default` beside, whatever a query is about.
fn athena(names: &ProjectNames, arc: &ArcSpec) -> Vec<Value> {
    if !runtime::is_athena(arc) {
        return Vec::new();
    }
    let place = &names.placement;
    let workgroup = runtime::workgroup(arc).map_or_else(|| names.workgroup(), str::to_owned);
    let workgroup = place.arn("athena", &format!("workgroup/{workgroup}"));
    let actions = [
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:GetWorkGroup",
    ];
    let results = Vec::from_iter(Area::of_uri(&names.athena_results(&arc.id.arc)));
    let tables =
        arc.sources.iter().flat_map(|source| table_arns(place, &place.account, &names.database(), &names.table(&source.dataset.id())));
    let mut tables: Vec<Value> = tables.collect();
    tables.sort_by_key(Value::to_string);
    tables.dedup();
    let default = ["catalog", "database/default"].map(|thing| Value::from(place.arn("glue", thing)));
    let mut buckets: Vec<String> = arc
        .sources
        .iter()
        .map(|source| &source.dataset)
        .chain(arc.sinks.iter().map(|sink| &sink.dataset))
        .filter_map(data_area)
        .map(|area| area.bucket)
        .collect();
    buckets.push(place.artifact_bucket());
    buckets.sort();
    buckets.dedup();
    let mut statements = vec![
        allow(&actions, vec![workgroup.into()]),
        allow(&["glue:GetDatabase", "glue:GetTable", "glue:GetPartition", "glue:GetPartitions"], tables),
        allow(&["glue:GetDatabase"], default.to_vec()),
        allow(&["s3:GetBucketLocation"], buckets.iter().map(|bucket| place.s3_arn(bucket).into()).collect()),
    ];
    statements.extend(on_keys(place, &DATA_WRITE, &results, "*"));
    statements.extend(listing(place, &results));
    statements
}

/// Somebody who reads a dataset by its manifests: them and the data, where that is in a bucket.
pub(crate) fn reader(names: &Names, dataset: &Dataset) -> Vec<Value> {
    let manifests = manifest_area(names, &dataset.id());
    let areas: Vec<Area> = data_area(dataset).into_iter().chain([manifests]).collect();
    let reading = on_keys(names, &DATA_READ, &areas, "*");
    reading.into_iter().chain(listing(names, &areas)).collect()
}

/// What starts a container: its image out of repositories (ARNs), its log streams, the values of secret variables.
pub(crate) fn execution(names: &ProjectNames, repositories: &[String], secrets: &[String], kms_key: Option<&str>) -> Vec<Value> {
    let place = &names.placement;
    let arns = repositories.iter().map(|arn| arn.as_str().into()).collect();
    let mut statements = vec![
        allow_anywhere(&["ecr:GetAuthorizationToken"]),
        allow(&["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], arns),
        logging(place, &names.job_logs()),
    ];
    if !secrets.is_empty() {
        let parameter = |name: &String| Value::from(place.arn("ssm", &format!("parameter{}", names.secret_parameter(name))));
        statements.push(allow(&["ssm:GetParameters"], secrets.iter().map(parameter).collect()));
    }
    statements.extend(with_keys(&Vec::from_iter(kms_key)));
    statements
}

/// Asking for exports of log groups into folders. CloudWatch Logs writes them itself, and wants whoever asks to be allowed it.
pub(crate) fn exporting(names: &Names, log_groups: &[String], folders: &[Area], options: &ProjectOptions) -> Vec<Value> {
    if log_groups.is_empty() {
        return Vec::new();
    }
    let groups = log_groups.iter().map(|group| json!(names.arn("logs", &format!("log-group:{group}:*")))).collect();
    let asking = [allow(&["logs:CreateExportTask"], groups), allow_anywhere(&["logs:DescribeExportTasks"])];
    let keys = with_keys(&Vec::from_iter(bucket_keys(options, folders)));
    asking.into_iter().chain(on_keys(names, &["s3:PutObject"], folders, "*")).chain(keys).collect()
}
