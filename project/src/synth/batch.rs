//! What jobs run on, and a job definition for each arc. The project flows in, parts flow out.
//!
//! Jobs of built-in workloads run the same `arc run` as an engineer does, from one image, with a read-only root and as
//! nobody. Jobs of a user's image get what Clusterless gives them: the event in their arguments, the rest in
//! `CLS_ARC_PROPS_JSON`.

use ::boundary::aws::EXIT_TRANSIENT;
use manifests::ArcSpec;
use serde_json::{Map, Value, json};

use super::ProjectOptions;
use super::function::add_logs;
use super::grants;
use super::iam;
use super::image::{self, Image, Repository};
use super::names::{ProjectNames, logical};
use super::part::{Group, Parts, arn_of, object, reference};
use super::resources;
use super::runtime::{self, Runtime};
use super::user_image::{parameters, user_command, user_environment};
use crate::file::Project;

/// Logical id of the queue of jobs.
pub(crate) const JOB_QUEUE: &str = "JobQueue";
/// Logical id of the role that starts containers.
const EXECUTION: &str = "ExecutionRole";
/// Logical id of the log group of jobs.
const JOB_LOGS: &str = "JobLogs";
/// vCPUs that all jobs of a kind of capacity have together.
const VCPUS_MAX: u32 = 256;
/// Repositories that the role which starts containers names one by one; with more, their common beginning.
const REPOSITORIES_MAX: usize = 50;
/// The user that workers run as.
const NOBODY: &str = "65532";
/// The only folder that a worker can write to, and how much it holds.
const SCRATCH: &str = "/tmp";
/// GiB of scratch; Fargate takes 21 to 200.
const SCRATCH_GIB: u32 = 40;

/// Adds the compute environments, the queue, the log group and the role that starts containers.
pub(crate) fn add_base(parts: &mut Parts, names: &ProjectNames, project: &Project, options: &ProjectOptions) {
    let compute = resources::compute(project);
    let mut order = Vec::new();
    for kind in compute.kinds {
        let id = format!("Compute{}", logical(kind));
        let (name, place) = (names.compute_environment(&compute.name, kind), &names.placement);
        let imported = |what: &str| json!({"Fn::Split": [",", {"Fn::ImportValue": place.export(what)}]});
        let (subnets, groups) = match &options.network {
            Some(network) => (json!(network.subnets), json!(network.security_groups)),
            None => (imported("subnets"), imported("security-groups")),
        };
        let properties = object(json!({
            "ComputeEnvironmentName": name,
            "Type": "MANAGED",
            "State": "ENABLED",
            "ReplaceComputeEnvironment": false,
            "ServiceRole": options.batch_service_role,
            "ComputeResources": {
                "Type": if *kind == "spot" { "FARGATE_SPOT" } else { "FARGATE" },
                "MaxvCpus": VCPUS_MAX,
                "Subnets": subnets,
                "SecurityGroupIds": groups,
            },
        }));
        let arn = place.arn("batch", &format!("compute-environment/{name}"));
        parts.add(&id, "AWS::Batch::ComputeEnvironment", arn.clone(), arn, properties);
        order.push(json!({"Order": order.len() + 1, "ComputeEnvironment": reference(&id)}));
    }
    let arn = names.placement.arn("batch", &format!("job-queue/{}", names.job_queue()));
    let queue = json!({"JobQueueName": names.job_queue(), "State": "ENABLED", "Priority": 1, "ComputeEnvironmentOrder": order});
    parts.add(JOB_QUEUE, "AWS::Batch::JobQueue", arn.clone(), arn, queue);
    add_logs(parts, names, JOB_LOGS, names.job_logs(), options);
    let images = image::images(project, options);
    let statements = grants::execution(names, &repositories(names, &images), &secrets(project), options.kms_key.as_deref());
    iam::role(parts, &names.placement, EXECUTION, names.role("execution"), "ecs-tasks.amazonaws.com", statements);
    images.iter().filter(|image| !image.folder.is_empty()).for_each(|image| add_repository(parts, names, image));
    parts.output("JobQueue", "The queue that all jobs are submitted to", reference(JOB_QUEUE));
}

/// The ARNs of the repositories that images are pulled from.
fn repositories(names: &ProjectNames, images: &[Image]) -> Vec<String> {
    let place = &names.placement;
    let arn = |name: &str| place.arn("ecr", &format!("repository/{name}"));
    let (own, others): (Vec<&Image>, Vec<&Image>) = images.iter().partition(|image| !image.repository.is_empty());
    let mut arns: Vec<String> = match own.len() > REPOSITORIES_MAX {
        true => vec![arn(&format!("{}-*", names.image_repository("")))],
        false => own.iter().map(|image| arn(&image.repository)).collect(),
    };
    arns.push(arn(&place.worker_repository()));
    arns.extend(others.iter().filter_map(|image| Some(Repository::of(&image.uri)?.arn(place))));
    arns.sort();
    arns.dedup();
    arns
}

fn add_repository(parts: &mut Parts, names: &ProjectNames, image: &Image) {
    let id = format!("Repository{}", logical(&image.repository));
    if parts.all.iter().any(|part| part.id == id && part.name == image.repository) {
        return;
    }
    let properties = json!({
        "RepositoryName": image.repository, "EmptyOnDelete": true, "ImageScanningConfiguration": {"ScanOnPush": true},
        "EncryptionConfiguration": {"EncryptionType": "AES256"},
    });
    let arn = names.placement.arn("ecr", &format!("repository/{}", image.repository));
    parts.add(&id, "AWS::ECR::Repository", image.repository.clone(), arn, properties).removed();
}

/// Variables of workers whose values are secret: keys that redaction hashes under.
pub(crate) fn secrets(project: &Project) -> Vec<String> {
    let mut all: Vec<String> = project.arcs.iter().filter_map(secret).map(str::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

fn secret(arc: &ArcSpec) -> Option<&str> {
    arc.workload.get("redactKeyEnv").and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// A job definition to be made.
#[derive(Clone, Debug)]
pub(crate) struct Job<'a> {
    /// The logical id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What its log streams begin with.
    pub stream: String,
    /// The name of its role.
    pub role: String,
    /// What its role may do.
    pub statements: Vec<Value>,
    /// Its image.
    pub image: String,
    /// Its program and arguments.
    pub command: Vec<String>,
    /// Its parameters and their defaults.
    pub parameters: Map<String, Value>,
    /// Variables.
    pub environment: Vec<(String, String)>,
    /// Variables whose values are secret.
    pub secrets: Vec<&'a str>,
    /// Whether it is our own program, which needs neither root nor a disk.
    pub is_own: bool,
    /// What it runs with.
    pub runtime: Runtime,
    /// Whether it has a public address while it runs.
    pub assign_public_ip: Value,
}

/// Whether jobs have a public address while they run, `ENABLED` or `DISABLED`.
pub(crate) fn assign_public_ip(names: &ProjectNames, options: &ProjectOptions) -> Value {
    let imported = || json!({"Fn::ImportValue": names.placement.export("assign-public-ip")});
    options.network.as_ref().map_or_else(imported, |network| network.assign_public_ip.as_str().into())
}

impl Job<'_> {
    /// Adds the job definition and its role.
    pub fn add(self, parts: &mut Parts, names: &ProjectNames) {
        let role = format!("{}Role", self.id);
        iam::role(parts, &names.placement, &role, self.role.clone(), "ecs-tasks.amazonaws.com", self.statements.clone());
        let place = &names.placement;
        let properties = object(json!({
            "JobDefinitionName": self.name,
            "Type": "container",
            "PlatformCapabilities": ["FARGATE"],
            "PropagateTags": true,
            "Parameters": self.parameters,
            "ContainerProperties": self.container(names, &role),
            "RetryStrategy": retries(self.runtime.attempts),
            "Timeout": {"AttemptDurationSeconds": self.runtime.minutes * 60},
        }));
        let arn = place.arn("batch", &format!("job-definition/{}", self.name));
        parts.add(&self.id, "AWS::Batch::JobDefinition", arn.clone(), arn, properties);
    }

    fn container(&self, names: &ProjectNames, role: &str) -> Value {
        let place = &names.placement;
        let variables: Vec<Value> = self.environment.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
        let secret =
            |name: &&str| json!({"Name": name, "ValueFrom": place.arn("ssm", &format!("parameter{}", names.secret_parameter(name)))});
        let secrets: Vec<Value> = self.secrets.iter().map(secret).collect();
        let own = |value: Value| if self.is_own { value } else { Value::Null };
        object(json!({
            "Image": self.image,
            "Command": self.command,
            "ResourceRequirements": [
                {"Type": "VCPU", "Value": runtime::vcpu_text(self.runtime.vcpu_milli)},
                {"Type": "MEMORY", "Value": self.runtime.memory_mb.to_string()},
            ],
            "Environment": variables,
            "Secrets": if secrets.is_empty() { Value::Null } else { secrets.into() },
            "JobRoleArn": arn_of(role),
            "ExecutionRoleArn": arn_of(EXECUTION),
            "RuntimePlatform": {"CpuArchitecture": self.runtime.architecture.batch(), "OperatingSystemFamily": "LINUX"},
            "NetworkConfiguration": {"AssignPublicIp": self.assign_public_ip},
            "EphemeralStorage": {"SizeInGiB": SCRATCH_GIB},
            "User": own(NOBODY.into()),
            "ReadonlyRootFilesystem": own(true.into()),
            "Volumes": own(json!([{"Name": "scratch"}])),
            "MountPoints": own(json!([{"SourceVolume": "scratch", "ContainerPath": SCRATCH, "ReadOnly": false}])),
            // No `awslogs-format: json/emf`: CloudWatch finds metrics in lines without that header ("it's not required",
            // docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Generation_PutLogEvents.html),
            // and AWS Batch does not list the option among those of the driver.
            "LogConfiguration": {
                "LogDriver": "awslogs",
                "Options": {"awslogs-group": reference(JOB_LOGS), "awslogs-region": place.region, "awslogs-stream-prefix": self.stream},
            },
        }))
    }
}

/// What is tried again: capacity that was taken back, a container that could not start or whose image could not be pulled,
/// what the program calls transient. Batch takes five conditions, and patterns that end in `*` alone; what none of them fits
/// it tries again, so the last one has to fit everything.
fn retries(attempts: u64) -> Value {
    if attempts <= 1 {
        return json!({"Attempts": 1});
    }
    json!({"Attempts": attempts, "EvaluateOnExit": [
        {"Action": "RETRY", "OnStatusReason": "Your Spot Task was interrupted*"},
        {"Action": "RETRY", "OnStatusReason": "ResourceInitializationError*"},
        {"Action": "RETRY", "OnStatusReason": "CannotPull*"},
        {"Action": "RETRY", "OnExitCode": EXIT_TRANSIENT.to_string()},
        {"Action": "EXIT", "OnReason": "*"},
    ]})
}

/// Adds the job definition of an arc and its role.
pub(crate) fn add(parts: &mut Parts, names: &ProjectNames, project: &Project, arc: &ArcSpec, options: &ProjectOptions) {
    parts.enter(Group::Arc(arc.id.arc.clone()));
    let is_own = !runtime::is_user_image(arc);
    let (command, parameters) = if is_own { own_command(arc) } else { user_command(arc) };
    let job = Job {
        id: format!("Arc{}", logical(&arc.id.arc)),
        name: names.job_definition(&arc.id.arc),
        stream: arc.id.arc.clone(),
        role: names.role(&format!("arc-{}", arc.id.arc)),
        statements: grants::worker(names, arc, options),
        image: image::image(project, arc, options).map(|image| image.uri).unwrap_or_default(),
        command,
        parameters,
        environment: if is_own { own_environment(options) } else { user_environment(names, arc) },
        secrets: secret(arc).into_iter().collect(),
        is_own,
        runtime: runtime::of_arc(project, arc),
        assign_public_ip: assign_public_ip(names, options),
    };
    job.add(parts, names);
}

fn own_command(arc: &ArcSpec) -> (Vec<String>, Map<String, Value>) {
    let command = ["run", "--arc", &arc.id.arc, "--lot", "Ref::lot", "--output", "json"].map(str::to_owned).to_vec();
    (command, parameters(arc, &["lot".to_owned()]))
}

fn own_environment(options: &ProjectOptions) -> Vec<(String, String)> {
    vec![("ARC_PROJECT".to_owned(), options.project_uri.clone())]
}
