//! What a deployment uploads: the packages of the functions, the evaluated project, the document that functions read, large
//! templates. Everything lies under a name made of its content, so that what runs is never changed under it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use manifests::{Root, Stores};
use project::Project;
use project::synth::{self, Architecture, CodeLocation, Names, ProjectNames, ProjectOptions, Stack};
use sha2::{Digest, Sha256};

use crate::command::Trouble;

/// The functions that have a package.
const FUNCTIONS: [&str; 2] = ["boundary", "dispatch"];
/// Bytes of a hash that stand for content in a name.
const MARK_BYTES: usize = 16;

/// The packages of the functions.
#[derive(Clone, Debug)]
pub struct Code {
    /// File, key.
    packages: Vec<(PathBuf, String)>,
    /// Where templates find them.
    pub location: CodeLocation,
}

/// What goes to the artifact bucket.
#[derive(Clone, Debug)]
pub struct Documents {
    /// Options with the places of everything.
    pub options: ProjectOptions,
    bucket: String,
    code: Code,
    texts: Vec<(String, Vec<u8>)>,
}

impl Code {
    /// Finds the packages in `folder`: `boundary-arm64.zip` and so on, those that the project needs.
    pub fn find(folder: &Path, project: &Project, bucket: &str) -> anyhow::Result<Code> {
        let architectures: BTreeSet<Architecture> = synth::function_architectures(project);
        let mut packages = Vec::new();
        let mut hash = Sha256::new();
        for (function, architecture) in FUNCTIONS.iter().flat_map(|function| architectures.iter().map(move |one| (function, one))) {
            let name = format!("{function}-{}.zip", architecture.lambda());
            let file = folder.join(&name);
            let bytes = std::fs::read(&file).map_err(|error| {
                Trouble::not_found(format!("cannot read {}: {error}", file.display()))
                    .next("--code FOLDER, with the packages that docker/functions builds")
            })?;
            hash.update(format!("{name}/{}\n", bytes.len()));
            hash.update(&bytes);
            packages.push((file, name));
        }
        let prefix = format!("code/{}", hexadecimal(&hash.finalize()));
        let packages = packages.into_iter().map(|(file, name)| (file, format!("{prefix}/{name}"))).collect();
        let key = |function: &str| format!("{prefix}/{function}-{{arch}}.zip");
        let location = CodeLocation { bucket: bucket.to_owned(), key_boundary: key("boundary"), key_dispatch: key("dispatch") };
        Ok(Code { packages, location })
    }
}

impl Documents {
    /// Everything that a deployment of the project uploads; asks nobody.
    pub fn new(project: &Project, names: &ProjectNames, code: Code, options: ProjectOptions) -> anyhow::Result<Documents> {
        let bucket = names.placement.artifact_bucket();
        let options = ProjectOptions { code: code.location.clone(), ..options };
        let document = serde_json::to_vec(&project.document)?;
        let deployment = synth::deployment(project, &options).ok_or_else(|| anyhow::anyhow!("the placement is not on AWS"))?;
        let deployment = serde_json::to_vec(&deployment)?;
        let folder = names.deployment_folder();
        let (project_key, deployment_key) = (
            format!("{folder}/project-{}.json", content_mark(&document)),
            format!("{folder}/deployment-{}.json", content_mark(&deployment)),
        );
        let uri = |key: &str| format!("s3://{bucket}/{key}");
        let options = ProjectOptions { project_uri: uri(&project_key), deployment_uri: uri(&deployment_key), ..options };
        Ok(Documents { options, bucket, code, texts: vec![(project_key, document), (deployment_key, deployment)] })
    }

    /// Uploads what is not there yet.
    pub async fn upload(&self, stores: &Stores) -> anyhow::Result<()> {
        for (key, body) in &self.texts {
            stores.artifact.create(key, body.clone()).await?;
        }
        for (file, key) in &self.code.packages {
            stores.artifact.create(key, std::fs::read(file)?).await?;
        }
        Ok(())
    }

    /// Uploads a template that is too large for a call; its URL as CloudFormation takes it.
    pub async fn template_url(&self, artifact: &Root, stack: &Stack, text: &str, names: &Names) -> anyhow::Result<String> {
        let key = format!("templates/{}-{}.json", stack.name, content_mark(text.as_bytes()));
        artifact.create(&key, text.to_owned()).await?;
        Ok(format!("https://{}.s3.{}.{}/{key}", self.bucket, names.region, names.url_suffix()))
    }
}

/// What stands for content in a name.
fn content_mark(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().take(MARK_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_in_every_build() {
        assert_eq!(content_mark(b"abc"), "ba7816bf8f01cfea414140de5dae2223");
    }
}
