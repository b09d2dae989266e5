//! Images that jobs run. An arc flows in; the URI flows out, and whether somebody has to build it first. Jobs of one project
//! may have two architectures, so an image that is built has its own in its tag.

use manifests::ArcSpec;
use serde_json::Value;

use super::ProjectOptions;
use super::names::{Names, ProjectNames};
use super::runtime::{self, Architecture};
use crate::file::Project;

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// What jobs pull.
    pub uri: String,
    /// The repository in the account's registry; empty for an image of elsewhere.
    pub repository: String,
    /// The folder it is built from; empty for the worker's image and for an image of elsewhere.
    pub folder: String,
    /// The architecture it is pulled for.
    pub architecture: Architecture,
}

/// The image of an arc's jobs; `None` where the project is not on AWS.
pub fn image(project: &Project, arc: &ArcSpec, options: &ProjectOptions) -> Option<Image> {
    let names = ProjectNames::of(project)?;
    let architecture = runtime::of_arc(project, arc).architecture;
    match arc.workload.get("imagePath").and_then(Value::as_str).filter(|_| runtime::is_user_image(arc)) {
        Some(path) => Some(of_path(&names, path, &project.version, architecture)),
        None => Some(of_worker(&names, options, architecture)),
    }
}

/// The images of all jobs of a project, each once.
pub fn images(project: &Project, options: &ProjectOptions) -> Vec<Image> {
    let mut all: Vec<Image> = project.arcs.iter().filter_map(|arc| image(project, arc, options)).collect();
    if let Some(names) = ProjectNames::of(project) {
        all.extend(
            super::activities::jobs(project)
                .filter_map(|job| Some(of_path(&names, job.image?, &project.version, job.runtime.architecture))),
        );
    }
    all.sort();
    all.dedup();
    all
}

/// The worker's image, unless the options name another.
fn of_worker(names: &ProjectNames, options: &ProjectOptions, architecture: Architecture) -> Image {
    let place = &names.placement;
    let given = options.image.as_ref().map(|uri| uri.replace("{arch}", architecture.lambda()));
    let uri = given.unwrap_or_else(|| place.worker_image(architecture));
    Image { repository: repository_of(names, &uri), uri, folder: String::new(), architecture }
}

/// The image that a path names: itself where it is a URI, else one that is built from the folder.
pub(crate) fn of_path(names: &ProjectNames, path: &str, version: &str, architecture: Architecture) -> Image {
    if is_uri(path) {
        return Image { repository: repository_of(names, path), uri: path.to_owned(), folder: String::new(), architecture };
    }
    let repository = names.image_repository(path);
    let uri = format!("{}/{repository}:{version}-{}", names.placement.registry(), architecture.lambda());
    Image { uri, repository, folder: path.to_owned(), architecture }
}

/// Whether a path is an image's URI: it has a tag or a digest, or begins with a host.
pub(crate) fn is_uri(path: &str) -> bool {
    let host = path.split_once('/').map(|split| split.0);
    path.contains([':', '@']) || host.is_some_and(|host| host.contains('.') && host.bytes().any(|byte| byte.is_ascii_alphanumeric()))
}

/// A repository of some account's registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Repository {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// Its name.
    pub name: String,
}

impl Repository {
    /// The repository of an image in any registry of ECR; `None` for an image of elsewhere.
    pub fn of(uri: &str) -> Option<Repository> {
        let (host, rest) = uri.split_once('/')?;
        let parts: Vec<&str> = host.split('.').collect();
        let (account, region) = match parts[..] {
            [account, "dkr", "ecr" | "ecr-fips", region, "amazonaws", "com"] => (account, region),
            [account, "dkr", "ecr" | "ecr-fips", region, "amazonaws", "com", "cn"] => (account, region),
            [account, "dkr-ecr" | "dkr-ecr-fips", region, "on", "aws"] => (account, region),
            _ => return None,
        };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let name = rest.split([':', '@']).next().filter(|name| !name.is_empty())?;
        is_account.then(|| Repository { account: account.to_owned(), region: region.to_owned(), name: name.to_owned() })
    }

    /// Its ARN.
    pub fn arn(&self, names: &Names) -> String {
        format!("arn:{}:ecr:{}:{}:repository/{}", names.partition(), self.region, self.account, self.name)
    }
}

/// The repository, where the image lies in the account's own registry.
fn repository_of(names: &ProjectNames, uri: &str) -> String {
    let rest = uri.strip_prefix(&names.placement.registry()).and_then(|rest| rest.strip_prefix('/'));
    rest.map(|rest| rest.split([':', '@']).next().unwrap_or(rest).to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_of_any_account_and_region() {
        let names = Names { stage: String::new(), account: "123456789012".into(), region: "us-east-2".into() };
        let uris = [
            "123456789012.dkr.ecr.us-east-2.amazonaws.com/team/app:1.0",
            "210987654321.dkr.ecr.eu-west-1.amazonaws.com/app@sha256:00",
            "210987654321.dkr.ecr.eu-west-1.amazonaws.com/app:1@sha256:00",
            "210987654321.dkr-ecr.eu-west-1.on.aws/app",
            "210987654321.dkr.ecr.eu-west-1.amazonaws.com",
            "public.ecr.aws/a/b",
            "app:1",
        ];
        let found = uris.map(|uri| Repository::of(uri).map_or("-".to_owned(), |repository| repository.arn(&names)));
        expect_test::expect![[r#"
            arn:aws:ecr:us-east-2:123456789012:repository/team/app
            arn:aws:ecr:eu-west-1:210987654321:repository/app
            arn:aws:ecr:eu-west-1:210987654321:repository/app
            arn:aws:ecr:eu-west-1:210987654321:repository/app
            -
            -
            -"#]]
        .assert_eq(&found.join("\n"));
    }

    #[test]
    fn folders_and_uris() {
        for path in ["app", "./app", "docker/app", "../app/"] {
            assert!(!is_uri(path), "{path}");
        }
        for path in ["app:1", "public.ecr.aws/a/b", "123.dkr.ecr.eu-west-1.amazonaws.com/x", "app@sha256:00"] {
            assert!(is_uri(path), "{path}");
        }
    }
}
