//! What the person deploying has to know or to do, beside what a template does by itself. The project and options flow in,
//! notes flow out.

use serde_json::Value;

use super::image::{Image, Repository};
use super::names::ProjectNames;
use super::{ProjectOptions, activities, batch, deployed_arcs, image, key, tables};
use crate::file::{Problem, Project};

/// The notes of a deployment, those of the project file first.
pub fn notes(project: &Project, options: &ProjectOptions) -> Vec<Problem> {
    let Some(names) = ProjectNames::of(project) else { return project.notes.clone() };
    let mut notes = project.notes.clone();
    let given = options.kms_key.iter().filter(|key| Some(*key) != options.store_key.as_ref());
    notes.extend(given.map(|given| key::key_note(&names.placement, given)));
    notes.extend(key::bucket_notes(&names.placement, &options.bucket_keys));
    if project.is_served_by_up() {
        notes.extend(served(project, options));
        return notes;
    }
    let note = |path: String, message: String, fix: Option<String>| Problem { path, message, fix };
    let is_whole = options.only_resource.is_none();
    let images: Vec<Image> = image::images(project, options).into_iter().filter(|_| is_whole).collect();
    notes.extend(images.iter().any(|image| !image.repository.is_empty()).then(|| to_log_in(&names)));
    notes.extend(images.iter().map(|image| of_image(&names, image)));
    for variable in batch::secrets(project) {
        let name = names.secret_parameter(&variable);
        let fix = format!("aws ssm put-parameter --type SecureString --name {name} --value …");
        notes.push(note("arcs".into(), format!("workers get {variable} from the parameter {name}"), Some(fix)));
    }
    notes.extend(without_tables(project, options));
    for job in activities::jobs(project) {
        let message = format!("activity {}: its role {} may reach nothing yet", job.name, names.role(&format!("activity-{}", job.name)));
        notes.push(note("activities".into(), message, Some("attach a policy to the role".into())));
    }
    notes.extend(activities::export_notes(&names, project));
    notes.extend(other_environments(project));
    if super::grants::is_widened(&names, &deployed_arcs(project, options), options) {
        let message = "there are more datasets than a policy has room for: the dispatch function may reach all manifests of the placement";
        notes.push(note("arcs".into(), message.into(), Some("make two projects of it".into())));
    }
    notes
}

/// How the registry lets one in who pushes.
fn to_log_in(names: &ProjectNames) -> Problem {
    let (registry, region) = (names.placement.registry(), &names.placement.region);
    let login = format!("aws ecr get-login-password --region {region} | podman login --username AWS --password-stdin {registry}");
    let message = format!("the registry wants to know who pushes, every twelve hours: {registry}");
    Problem { path: "images".into(), message, fix: Some(login) }
}

/// What has to be done for an image.
fn of_image(names: &ProjectNames, image: &Image) -> Problem {
    let uri = &image.uri;
    let note = |message: String, fix: String| Problem { path: "images".into(), message, fix: Some(fix) };
    if !image.repository.is_empty() {
        let platform = format!("linux/{}", image.architecture.container());
        let (whose, build) = match image.folder.as_str() {
            "" => ("the worker's", format!("docker/image {uri} ARC, where ARC is `arc` built for {platform}")),
            folder => ("an arc's", format!("podman build --platform {platform} -t {uri} {folder}")),
        };
        let message = format!("{whose} image has to be in the registry before jobs run: {uri}");
        return note(message, format!("{build}; then podman push {uri}"));
    }
    match Repository::of(uri) {
        Some(theirs) if theirs.account != names.placement.account => note(
            format!("{uri} is in the registry of account {}, whose policy has to let it be pulled", theirs.account),
            format!(
                "in the policy of repository {}, allow {} ecr:BatchCheckLayerAvailability, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer",
                theirs.name,
                names.placement.role_arn(&names.role("execution"))
            ),
        ),
        Some(there) => note(
            format!("{uri} is pulled from {}: jobs without a way out, as in private subnets, cannot reach it", there.region),
            format!("replicate it to the registry of {}", names.placement.region),
        ),
        None => note(
            format!("{uri} is pulled from a public registry: jobs without a way out, as in private subnets, cannot reach it"),
            format!("copy it to {}, if the subnets have none", names.placement.registry()),
        ),
    }
}

/// What `arc up` needs that a deployment does not make.
fn served(project: &Project, options: &ProjectOptions) -> Vec<Problem> {
    let role = Problem {
        path: "placement.workers".into(),
        message: "arc up does the work: start it, under a role with the policies that the stack puts out as UpPolicies".into(),
        fix: Some("arc up -p FILE --listen 0.0.0.0:9090, or the chart in docker/helm".into()),
    };
    let variable = |name: String| Problem { path: "arcs".into(), message: format!("arc up needs {name} in its environment"), fix: None };
    let variables = batch::secrets(project).into_iter().map(variable);
    std::iter::once(role).chain(variables).chain(without_tables(project, options)).collect()
}

/// Arcs whose tables have to wait for their first lot.
fn without_tables(project: &Project, options: &ProjectOptions) -> Vec<Problem> {
    let message =
        |arc: &str| format!("arc {arc}: its columns are told only by its logs; it gets a table when it is deployed after its first lot");
    let arcs = deployed_arcs(project, options).into_iter().filter(|arc| tables::is_unknown(project, arc, options));
    arcs.map(|arc| Problem { path: "arcs".into(), message: message(&arc.id.arc), fix: None }).collect()
}

/// Compute environments that are declared beside the first.
fn other_environments(project: &Project) -> Vec<Problem> {
    let kind = "aws:core:computeEnvironment";
    let all: Vec<(usize, &Value)> = project.resources.iter().enumerate().filter(|(_, resource)| resource["type"] == kind).collect();
    let first = all.first().and_then(|(_, resource)| resource["name"].as_str()).unwrap_or_default();
    let note = |(at, _): &(usize, &Value)| Problem {
        path: format!("resources[{at}]"),
        message: format!("is not made: all arcs share the queue of `{first}`"),
        fix: None,
    };
    all.iter().skip(1).map(note).collect()
}
