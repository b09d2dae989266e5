//! The bootstrap of a placement: the four stores, the bus, the repository of the worker's image, the network. Options flow
//! in, one stack flows out. Its stores outlive it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Stack;
use super::bucket::Bucket;
use super::key;
use super::names::{ATHENA_FOLDER, Names};
use super::network::{self, CIDR_DEFAULT, Network, exported};
use super::part::{self, Parts, arn_of, reference};
use super::runtime::Architecture;
use super::split;

/// What [`BootstrapOptions::kms`] is to have a key made.
pub const CREATE_KEY: &str = "create";
/// Images of the worker that are kept.
const IMAGES_KEPT: u32 = 20;
/// The logical id of the key that is made, and the output that names it or a given one.
pub const KEY: &str = "Key";

/// What a bootstrap decides.
#[derive(Clone, Debug)]
pub struct BootstrapOptions {
    /// The names of the placement: [`Names::new`].
    pub placement: Names,
    /// The network of jobs.
    pub network: Network,
    /// The addresses of a network that is made, such as [`super::subnet_blocks`] takes; `10.64.0.0/16` where not given.
    pub vpc_cidr: Option<String>,
    /// The key that the stores are encrypted with: its ARN, or [`CREATE_KEY`]; S3's own where not given.
    pub kms: Option<String>,
    /// Tags for everything that takes tags.
    pub tags: BTreeMap<String, String>,
    /// Days that logs are kept. The bootstrap has no logs: it is here for the projects, which find it among the outputs.
    pub log_retention_days: u32,
}

impl BootstrapOptions {
    /// What is made where nothing is asked for: public subnets, nothing that costs money at rest.
    pub fn new(placement: Names) -> BootstrapOptions {
        BootstrapOptions {
            placement,
            network: Network::default(),
            vpc_cidr: None,
            kms: None,
            tags: BTreeMap::new(),
            log_retention_days: super::LOG_RETENTION_DAYS_DEFAULT,
        }
    }
}

impl BootstrapOptions {
    /// What an earlier bootstrap decided, as its template says; without its tags.
    pub fn of_template(placement: Names, template: &Value) -> BootstrapOptions {
        let resources = &template["Resources"];
        let put_out = |output: &str| template["Outputs"][output]["Value"].as_str();
        let listed = |output: &str| put_out(output).map(listed).unwrap_or_default();
        let network = match (resources["Vpc"].is_object(), resources["EndpointsGroup"].is_object()) {
            (true, true) => Network::Private,
            (true, false) => Network::Public,
            (false, _) => Network::Given { subnets: listed("Subnets"), security_groups: listed("SecurityGroups") },
        };
        let is_made = resources[KEY].is_object();
        BootstrapOptions {
            network,
            vpc_cidr: resources["Vpc"]["Properties"]["CidrBlock"].as_str().map(str::to_owned),
            kms: if is_made { Some(CREATE_KEY.to_owned()) } else { put_out(KEY).map(str::to_owned) },
            ..BootstrapOptions::new(placement)
        }
    }
}

/// The network that jobs run in, as the bootstrap puts it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobNetwork {
    /// Ids of subnets.
    pub subnets: Vec<String>,
    /// Ids of security groups.
    pub security_groups: Vec<String>,
    /// `ENABLED` or `DISABLED`.
    pub assign_public_ip: String,
}

impl JobNetwork {
    /// The network that a bootstrap stack's outputs tell of; `None` where they tell of none.
    pub fn of_outputs(outputs: &BTreeMap<String, String>) -> Option<JobNetwork> {
        Some(JobNetwork {
            subnets: listed(outputs.get("Subnets")?),
            security_groups: listed(outputs.get("SecurityGroups")?),
            assign_public_ip: outputs.get("AssignPublicIp")?.clone(),
        })
    }
}

fn listed(ids: &str) -> Vec<String> {
    ids.split(',').map(str::to_owned).collect()
}

/// The bootstrap stack.
pub fn bootstrap(options: &BootstrapOptions) -> Stack {
    let names = &options.placement;
    let mut parts = Parts::new();
    let kms_key = key_of(&mut parts, options);
    let stores = [
        ("ManifestStore", "Commits and state copies", names.manifest_bucket()),
        ("ArcStateStore", "Attempts", names.arc_state_bucket()),
        ("MetadataStore", "Projects and owners of datasets", names.metadata_bucket()),
        ("ArtifactStore", "Code, deployment documents, results of Athena", names.artifact_bucket()),
    ];
    for (id, description, name) in stores {
        let passing_folder = if name == names.artifact_bucket() { ATHENA_FOLDER } else { "" };
        let bucket = Bucket { name, is_versioned: true, is_kept: true, kms_key: kms_key.clone(), passing_folder, ..Bucket::default() };
        bucket.add(&mut parts, names, id);
        parts.output(id, description, reference(id));
    }
    let arn = names.arn("events", &format!("event-bus/{}", names.event_bus()));
    parts.add("EventBus", "AWS::Events::EventBus", names.event_bus(), arn, json!({"Name": names.event_bus()}));
    parts.output("EventBus", "The bus of availability events", exported(names, "event-bus", reference("EventBus")));
    add_repository(&mut parts, names);
    let network = network::add(&mut parts, names, &options.network, options.vpc_cidr.as_deref().unwrap_or(CIDR_DEFAULT));
    parts.output("Subnets", "Where jobs run", exported(names, "subnets", network.subnets));
    parts.output("SecurityGroups", "What guards jobs", exported(names, "security-groups", network.security_groups));
    let assign = exported(names, "assign-public-ip", network.assign_public_ip.into());
    parts.output("AssignPublicIp", "Whether jobs have an address of their own while they run", assign);
    parts.output("LogRetentionDays", "Days that logs of projects are kept", options.log_retention_days.to_string().into());
    part::tag(&mut parts.all, &options.tags);
    let place = if names.stage.is_empty() { String::new() } else { format!(" of stage {}", names.stage) };
    split::single(&parts, names.bootstrap_stack(), &format!("Arclake bootstrap{place}: stores, bus, network"))
}

/// The key as properties name it; null for S3's own.
fn key_of(parts: &mut Parts, options: &BootstrapOptions) -> Value {
    match options.kms.as_deref() {
        None => Value::Null,
        Some(CREATE_KEY) => {
            key::add(parts, &options.placement, KEY);
            arn_of(KEY)
        }
        Some(given) => {
            parts.output(KEY, "The key that everything is encrypted with", exported(&options.placement, "key", given.into()));
            given.into()
        }
    }
}

fn add_repository(parts: &mut Parts, names: &Names) {
    let rule = json!({"rules": [{
        "rulePriority": 1, "description": "keep the latest", "action": {"type": "expire"},
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": IMAGES_KEPT},
    }]});
    let properties = json!({
        "RepositoryName": names.worker_repository(), "EmptyOnDelete": true, "ImageScanningConfiguration": {"ScanOnPush": true},
        "EncryptionConfiguration": {"EncryptionType": "AES256"}, "LifecyclePolicy": {"LifecyclePolicyText": rule.to_string()},
    });
    let arn = names.arn("ecr", &format!("repository/{}", names.worker_repository()));
    parts.add("WorkerRepository", "AWS::ECR::Repository", names.worker_repository(), arn, properties).removed();
    let image = names.worker_image(Architecture::default());
    parts.output("WorkerImage", "Push the image of built-in workloads here; the tag says for which architecture it is", image.into());
}
