//! Every name that a deployment gives to a thing on AWS. A placement and the names of a project flow in; physical names,
//! ARNs and URIs flow out, the same for ever, so that whoever looks for a thing computes its name and asks nobody.
//!
//! Invariants: a name is never longer than its service allows, and has only characters that it allows; a name that had to be
//! shortened ends in a hash of the whole, so that two long names stay two.

use std::collections::BTreeSet;

use arcs::workload::AthenaPlace;
use manifests::{ArcId, DatasetId};

use super::runtime::Architecture;
use crate::file::{Placement, Project};

/// The longest name of a Lambda function, a role or a rule, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest name of a queue, in bytes.
const QUEUE_BYTES_MAX: usize = 80;
/// The longest name of a job definition, a job queue or a compute environment, in bytes.
const BATCH_BYTES_MAX: usize = 128;
/// The longest name of a stack, in bytes.
const STACK_BYTES_MAX: usize = 128;
/// What a project's further stacks hold.
pub(crate) const STACK_KINDS: [&str; 2] = ["boundaries", "arcs"];
/// The most stacks of a kind that a project may have.
pub(crate) const STACKS_MAX: usize = 100;
/// The kinds of stores, as their buckets name them.
pub const STORES: [&str; 4] = ["manifest", "arc-state", "metadata", "artifact"];
/// The longest name of a topic, an alarm, a database or a repository that is given here, in bytes.
const LONG_BYTES_MAX: usize = 250;

/// The folder of the artifact bucket for results of Athena on their way.
pub(crate) const ATHENA_FOLDER: &str = "athena/";

/// Names of what a placement has once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The stage; empty where there is none.
    pub stage: String,
    /// The account's twelve digits.
    pub account: String,
    /// The region, `us-east-2`.
    pub region: String,
}

impl Names {
    /// The names of a placement on AWS; `None` for another.
    pub fn new(placement: &Placement) -> Option<Names> {
        match placement {
            Placement::Aws { stage, account, region } => {
                Some(Names { stage: stage.clone(), account: account.clone(), region: region.clone() })
            }
            Placement::Local { .. } => None,
        }
    }

    /// The placement and the kind of store that a bucket's name says it is of; `None` for any other bucket.
    pub fn of_bucket(bucket: &str) -> Option<(Names, &'static str)> {
        STORES.iter().find_map(|kind| {
            let infix = format!("clusterless-{kind}-");
            let (stage, rest) = bucket.split_once(&infix)?;
            let (account, region) = rest.split_once('-')?;
            let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            let stage = if stage.is_empty() { "" } else { stage.strip_suffix('-').filter(|stage| !stage.is_empty())? };
            let names = Names { stage: stage.to_owned(), account: account.to_owned(), region: region.to_owned() };
            (is_account && !region.is_empty()).then_some((names, *kind))
        })
    }

    fn staged(&self, name: &str) -> String {
        if self.stage.is_empty() { name.to_owned() } else { format!("{}-{name}", self.stage) }
    }

    fn store(&self, store: &str) -> String {
        self.staged(&format!("clusterless-{store}-{}-{}", self.account, self.region))
    }

    /// The bucket of commits and state copies.
    pub fn manifest_bucket(&self) -> String {
        self.store("manifest")
    }

    /// The bucket of attempts.
    pub fn arc_state_bucket(&self) -> String {
        self.store("arc-state")
    }

    /// The bucket of projects and dataset owners.
    pub fn metadata_bucket(&self) -> String {
        self.store("metadata")
    }

    /// The bucket of code, deployment documents and results of Athena.
    pub fn artifact_bucket(&self) -> String {
        self.store("artifact")
    }

    /// The four buckets, manifest first.
    pub fn store_buckets(&self) -> [String; 4] {
        [self.manifest_bucket(), self.arc_state_bucket(), self.metadata_bucket(), self.artifact_bucket()]
    }

    /// The bus of availability events.
    pub fn event_bus(&self) -> String {
        let name = format!("arc-events-{}", self.region);
        if self.stage.is_empty() { name } else { format!("{}-{name}", self.stage.to_uppercase()) }
    }

    /// The stack that every project of the stage builds on.
    pub fn bootstrap_stack(&self) -> String {
        fit(&stack_name(&self.staged("clusterless-bootstrap")), STACK_BYTES_MAX)
    }

    /// The name that the bootstrap stack exports something under, and projects import it by.
    pub fn export(&self, what: &str) -> String {
        format!("{}-{what}", self.bootstrap_stack())
    }

    /// The repository of the worker's image.
    pub fn worker_repository(&self) -> String {
        self.staged("arclake").to_lowercase()
    }

    /// The worker's image of this version of the program, for an architecture.
    pub fn worker_image(&self, architecture: Architecture) -> String {
        format!("{}/{}:{}-{}", self.registry(), self.worker_repository(), env!("CARGO_PKG_VERSION"), architecture.lambda())
    }

    /// The account's registry of images.
    pub fn registry(&self) -> String {
        format!("{}.dkr.ecr.{}.{}", self.account, self.region, self.url_suffix())
    }

    /// The part of AWS that the region is in, as ARNs begin with it.
    pub fn partition(&self) -> &'static str {
        match &self.region {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }

    /// What host names end in.
    pub fn url_suffix(&self) -> &'static str {
        if self.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    /// The ARN of a thing of this account and region.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition(), self.region, self.account)
    }

    /// The ARN of a role of this account.
    pub fn role_arn(&self, role: &str) -> String {
        format!("arn:{}:iam::{}:role/{role}", self.partition(), self.account)
    }

    /// The ARN of a policy of this account.
    pub fn policy_arn(&self, policy: &str) -> String {
        format!("arn:{}:iam::{}:policy/{policy}", self.partition(), self.account)
    }

    /// The ARN of a bucket, or of keys in it: `bucket`, `bucket/folder/*`.
    pub fn s3_arn(&self, path: &str) -> String {
        format!("arn:{}:s3:::{path}", self.partition())
    }

    /// The names of a project's things.
    pub fn project(&self, name: &str, version: &str) -> ProjectNames {
        let prefix = clean(&self.staged(&format!("{name}-{version}")));
        ProjectNames { placement: self.clone(), project: name.to_owned(), version: version.to_owned(), prefix }
    }
}

/// Names of what a project has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectNames {
    /// Those of its placement.
    pub placement: Names,
    project: String,
    version: String,
    /// `{stage-}{project}-{version}`, with `-` for everything but letters, digits, `-` and `_`.
    pub prefix: String,
}

impl ProjectNames {
    /// The names of a project; `None` where its placement is not on AWS.
    pub fn of(project: &Project) -> Option<ProjectNames> {
        Some(Names::new(&project.placement)?.project(&project.name, &project.version))
    }

    /// An arc of the project, as paths name it.
    pub fn arc_id(&self, arc: &str) -> ArcId {
        ArcId { project: self.project.clone(), version: self.version.clone(), arc: arc.to_owned() }
    }

    fn named(&self, name: &str, bytes_max: usize) -> String {
        fit(&format!("{}-{}", self.prefix, clean(name)), bytes_max)
    }

    /// The project's stack; the first of several where it takes several.
    pub fn stack(&self) -> String {
        self.stack_part("")
    }

    /// What the descriptions of the project's stacks begin with.
    pub fn description(&self) -> String {
        format!("Arclake project {} {}", self.project, self.version)
    }

    /// The names of all stacks that the project may ever have, the first one's among them.
    pub fn stacks(&self) -> BTreeSet<String> {
        let numbered = STACK_KINDS.iter().flat_map(|kind| (0..=STACKS_MAX).map(move |at| format!("{kind}-{at}")));
        let parts = STACK_KINDS.iter().map(|kind| (*kind).to_owned()).chain(numbered);
        parts.map(|part| self.stack_part(&part)).chain([self.stack()]).collect()
    }

    /// A further stack: `boundaries-1`, `arcs-3`.
    pub fn stack_part(&self, part: &str) -> String {
        let name = if part.is_empty() { self.prefix.clone() } else { format!("{}-{part}", self.prefix) };
        fit(&stack_name(&name), STACK_BYTES_MAX)
    }

    /// Where documents that functions and workers read lie in the artifact bucket. Roles may read this folder, so documents
    /// that are named by their content go directly into it: `deployments/test-lake-1/{sha256}.json`.
    pub fn deployment_folder(&self) -> String {
        format!("deployments/{}", self.prefix)
    }

    /// The function of a boundary.
    pub fn boundary_function(&self, boundary: &str) -> String {
        self.named(&format!("boundary-{boundary}"), NAME_BYTES_MAX)
    }

    /// The function that starts what is due.
    pub fn dispatch_function(&self) -> String {
        self.named("dispatch", NAME_BYTES_MAX)
    }

    /// The queue of a boundary's arrivals.
    pub fn queue(&self, boundary: &str) -> String {
        self.named(boundary, QUEUE_BYTES_MAX)
    }

    /// The queue of arrivals that could not be taken.
    pub fn dead_letters(&self, boundary: &str) -> String {
        self.named(&format!("{boundary}-dead-letters"), QUEUE_BYTES_MAX)
    }

    /// The queue of events that could not be delivered.
    pub fn undelivered(&self) -> String {
        self.named("undelivered", QUEUE_BYTES_MAX)
    }

    /// The URL of a queue of this account.
    pub fn queue_url(&self, queue: &str) -> String {
        let place = &self.placement;
        format!("https://sqs.{}.{}/{}/{queue}", place.region, place.url_suffix(), place.account)
    }

    /// A role: `boundary-NAME`, `dispatch`, `arc-NAME`, `execution`, `schedule`, `activity-NAME`; or a policy, `up-1`.
    pub fn role(&self, of: &str) -> String {
        self.named(of, NAME_BYTES_MAX)
    }

    /// A rule: `dispatch-sweep`, `boundary-NAME-tick`.
    pub fn rule(&self, of: &str) -> String {
        self.named(of, NAME_BYTES_MAX)
    }

    /// The queue that all jobs of the project are submitted to.
    pub fn job_queue(&self) -> String {
        fit(&self.prefix, BATCH_BYTES_MAX)
    }

    /// The job definition of an arc.
    pub fn job_definition(&self, arc: &str) -> String {
        self.named(arc, BATCH_BYTES_MAX)
    }

    /// The job definition of an activity.
    pub fn activity_definition(&self, activity: &str) -> String {
        self.named(&format!("activity-{activity}"), BATCH_BYTES_MAX)
    }

    /// A compute environment: `spot` or `fargate` of what the project calls it.
    pub fn compute_environment(&self, name: &str, kind: &str) -> String {
        self.named(&format!("{name}-{kind}"), BATCH_BYTES_MAX)
    }

    /// The log group of a function.
    pub fn function_logs(&self, function: &str) -> String {
        format!("/aws/lambda/{function}")
    }

    /// The log group of all jobs; a stream's name begins with its arc.
    pub fn job_logs(&self) -> String {
        format!("/arclake/{}/arcs", self.prefix)
    }

    /// The topic of failures.
    pub fn topic(&self) -> String {
        self.named("failures", LONG_BYTES_MAX)
    }

    /// An alarm.
    pub fn alarm(&self, of: &str) -> String {
        self.named(of, LONG_BYTES_MAX)
    }

    /// The workgroup of queries that Athena runs.
    pub fn workgroup(&self) -> String {
        fit(&self.prefix, BATCH_BYTES_MAX)
    }

    /// What workers have to know of Athena.
    pub fn athena(&self) -> AthenaPlace {
        let results = format!("s3://{}/{ATHENA_FOLDER}{}/{}/", self.placement.artifact_bucket(), self.project, self.version);
        AthenaPlace { workgroup: self.workgroup(), database: self.database(), results }
    }

    /// Where Athena leaves the results of an arc's queries, an S3 URI that ends in a slash.
    pub fn athena_results(&self, arc: &str) -> String {
        format!("{}{arc}/", self.athena().results)
    }

    /// The database of the tables of what the project produces. Its version is part of the name, because two versions
    /// stand side by side and a stack owns its database.
    pub fn database(&self) -> String {
        let text = self.placement.staged(&format!("{}-{}", self.project, self.version)).to_lowercase();
        fit(&text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect::<String>(), LONG_BYTES_MAX)
    }

    /// The table of a dataset that the project produces.
    pub fn table(&self, dataset: &DatasetId) -> String {
        crate::athena::table_name(&dataset.name)
    }

    /// The repository of a user's image that a folder of this name is built to.
    pub fn image_repository(&self, folder: &str) -> String {
        let text = clean(&self.placement.staged(&format!("{}-{}", self.project, folder.trim_matches(['.', '/'])))).to_lowercase();
        let mut name = String::new();
        for letter in text.chars().map(|letter| if letter == '_' { '-' } else { letter }) {
            if letter != '-' || !name.ends_with('-') {
                name.push(letter);
            }
        }
        fit(name.trim_matches('-'), LONG_BYTES_MAX)
    }

    /// The parameter that holds the value of a secret variable of the workers.
    pub fn secret_parameter(&self, variable: &str) -> String {
        format!("/arclake/{}/{variable}", clean(&self.placement.staged(&self.project)))
    }
}

/// Names of stacks have no underscores and begin with a letter.
fn stack_name(name: &str) -> String {
    let name = name.replace('_', "-");
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) { name } else { format!("arclake-{name}") }
}

/// `-` for everything that only some services take in names.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') { letter } else { '-' }).collect()
}

/// The name, or where it is too long its beginning and a hash of it. Names are ASCII by now.
pub(crate) fn fit(name: &str, bytes_max: usize) -> String {
    match name.get(..bytes_max.saturating_sub(9)) {
        Some(start) if name.len() > bytes_max => format!("{start}-{:08x}", hash(name) >> 32),
        _ => name.to_owned(),
    }
}

/// FNV-1a of 64 bits: a hash that no release of anything changes. It keeps names apart and guards nothing.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A name as part of a logical id, which has letters and digits alone: `access-logs` is `AccessLogs`.
pub(crate) fn logical(text: &str) -> String {
    let mut id = String::new();
    for part in text.split(|letter: char| !letter.is_ascii_alphanumeric()) {
        let mut letters = part.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    fn names(stage: &str, project: &str) -> ProjectNames {
        let placement = Names { stage: stage.into(), account: "123456789012".into(), region: "us-east-2".into() };
        placement.project(project, "20261101-00")
    }

    fn all(names: &ProjectNames) -> String {
        let place = &names.placement;
        let mut lines: Vec<String> = place.store_buckets().into();
        lines.extend([place.event_bus(), place.bootstrap_stack(), place.export("subnets"), place.worker_repository()]);
        lines.extend([names.stack(), names.stack_part("arcs-3"), names.boundary_function("in.gress"), names.dispatch_function()]);
        lines.extend([names.queue("in"), names.dead_letters("in"), names.undelivered(), names.role("arc-x"), names.job_queue()]);
        lines.extend([names.job_definition("convert"), names.compute_environment("main", "spot"), names.job_logs(), names.topic()]);
        lines.extend([names.database(), names.image_repository("./my_app/"), names.queue_url("q"), names.secret_parameter("KEY")]);
        lines.join("\n")
    }

    #[test]
    fn with_a_stage_and_without() {
        expect![[r#"
            test-clusterless-manifest-123456789012-us-east-2
            test-clusterless-arc-state-123456789012-us-east-2
            test-clusterless-metadata-123456789012-us-east-2
            test-clusterless-artifact-123456789012-us-east-2
            TEST-arc-events-us-east-2
            test-clusterless-bootstrap
            test-clusterless-bootstrap-subnets
            test-arclake
            test-EdgeLogs-20261101-00
            test-EdgeLogs-20261101-00-arcs-3
            test-EdgeLogs-20261101-00-boundary-in-gress
            test-EdgeLogs-20261101-00-dispatch
            test-EdgeLogs-20261101-00-in
            test-EdgeLogs-20261101-00-in-dead-letters
            test-EdgeLogs-20261101-00-undelivered
            test-EdgeLogs-20261101-00-arc-x
            test-EdgeLogs-20261101-00
            test-EdgeLogs-20261101-00-convert
            test-EdgeLogs-20261101-00-main-spot
            /arclake/test-EdgeLogs-20261101-00/arcs
            test-EdgeLogs-20261101-00-failures
            test_edgelogs_20261101_00
            test-edgelogs-my-app
            https://sqs.us-east-2.amazonaws.com/123456789012/q
            /arclake/test-EdgeLogs/KEY"#]]
        .assert_eq(&all(&names("test", "EdgeLogs")));
        let bare = all(&names("", "1st"));
        assert!(bare.starts_with("clusterless-manifest-") && bare.contains("\narc-events-us-east-2\n"), "{bare}");
        assert!(bare.contains("\narclake-1st-20261101-00\n"), "a stack's name begins with a letter: {bare}");
        assert!(all(&names("1dev", "Logs")).contains("\narclake-1dev-clusterless-bootstrap\n"));
    }

    #[test]
    fn a_bucket_names_its_placement() {
        for stage in ["", "test", "a-b"] {
            let names = Names { stage: stage.into(), account: "123456789012".into(), region: "us-east-2".into() };
            let read = names.store_buckets().map(|bucket| Names::of_bucket(&bucket).unwrap());
            assert_eq!(read, STORES.map(|kind| (names.clone(), kind)));
        }
        for other in [
            "logs",
            "test-clusterless-manifest-1-us-east-2",
            "xclusterless-manifest-123456789012-us-east-2",
            "-clusterless-manifest-123456789012-x",
        ] {
            assert_eq!(Names::of_bucket(other), None, "{other}");
        }
    }

    #[test]
    fn long_names_stay_apart() {
        let names = names("test", "EdgeLogs");
        let (one, other) = (names.role(&format!("arc-{}", "x".repeat(100))), names.role(&format!("arc-{}y", "x".repeat(99))));
        assert_eq!((one.len(), other.len()), (64, 64));
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_its_service_takes(stage in "[a-z]{0,10}", project in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}", part in "[A-Za-z0-9][A-Za-z0-9._-]{0,127}") {
            let names = names(&stage, &project);
            let plain = |text: &str, bytes_max: usize| {
                (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            };
            prop_assert!(plain(&names.boundary_function(&part), 64) && plain(&names.role(&part), 64) && plain(&names.rule(&part), 64));
            prop_assert!(plain(&names.queue(&part), 80) && plain(&names.dead_letters(&part), 80));
            prop_assert!(plain(&names.job_definition(&part), 128) && plain(&names.job_queue(), 128));
            prop_assert!(names.stack_part(&part.replace('.', "-")).bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
            prop_assert!(logical(&part).bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }
}
