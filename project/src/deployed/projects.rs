//! Projects as their documents in the metadata store tell of them.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use manifests::{ManifestsError, Stores, paths};
use project::Project;
use serde_json::Value;

use super::IN_FLIGHT;

/// Where a document is read that came from an unknown folder. What is relative to it is not taken from there: where datasets
/// lie stands in their own documents.
const NO_FOLDER: &str = "/-/-/-/-/-/-/-/-";

/// A project of a placement.
#[derive(Clone, Debug)]
pub struct DeployedProject {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it was deployed last.
    pub deployed: Option<DateTime<Utc>>,
    /// The document, as it lies there; null where it is not there or no JSON.
    pub document: Value,
    /// The same as a project; `Err` says why it does not read as one.
    pub project: Result<Box<Project>, String>,
}

impl DeployedProject {
    /// `name/version`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    /// Names of what the document lists under a key, as far as it can be read.
    pub fn names(&self, key: &str) -> Vec<String> {
        let entries = self.document[key].as_array().into_iter().flatten();
        entries.filter_map(|entry| entry["name"].as_str()).map(str::to_owned).collect()
    }
}

/// All projects of the placement, by name and version.
pub async fn projects(stores: &Stores) -> Result<Vec<DeployedProject>, ManifestsError> {
    let listed = stores.metadata.list(paths::PROJECTS_DIR).await?;
    let ids: BTreeSet<(String, String)> = listed.iter().filter_map(paths::parse_project_dir).collect();
    futures::stream::iter(ids.into_iter().map(|(name, version)| read(stores, name, version))).buffered(IN_FLIGHT).try_collect().await
}

async fn read(stores: &Stores, name: String, version: String) -> Result<DeployedProject, ManifestsError> {
    let found = stores.metadata.get_dated(&paths::project(&name, &version)).await?;
    let deployed = found.as_ref().map(|found| found.1);
    let document: Value = found.as_ref().and_then(|(body, _)| serde_json::from_slice(body).ok()).unwrap_or_default();
    let project = match (&document, found.is_some()) {
        (_, false) => Err("another tool's: it has no project.json".to_owned()),
        (Value::Object(_), true) => judged(&document),
        (_, true) => Err("another tool's: its project.json is no project file".to_owned()),
    };
    Ok(DeployedProject { name, version, deployed, document, project })
}

fn judged(document: &Value) -> Result<Box<Project>, String> {
    let judged = project::judge(document.clone(), Path::new(NO_FOLDER)).map(Box::new);
    judged.map_err(|problems| match problems.first() {
        Some(first) => format!("not read by this version: {}: {}", first.path, first.message),
        None => "not read by this version".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "project": {"name": "lake", "version": "1"}, "placement": {"provider": "local", "root": "../lake"},
            "boundaries": [{"type": "watch", "name": "in", "lotUnit": "Twelfths",
                            "dataset": {"name": "logs", "version": "1", "pathURI": "../logs/"}}],
            "arcs": [{"type": "copy", "name": "keep", "sources": {"main": {"name": "logs", "version": "1"}},
                      "sinks": {"main": {"name": "kept", "version": "1", "pathURI": "../kept/"}}}],
        })
    }

    #[tokio::test]
    async fn ours_are_read_and_others_are_shown() {
        let stores = Stores::memory().unwrap();
        let stores = &stores;
        let put = |path: String, body: String| async move { stores.metadata.put(&path, body).await.unwrap() };
        put(paths::project("lake", "1"), document().to_string()).await;
        put(paths::project("later", "1"), json!({"project": {}, "arcs": [{"name": "a"}, {"name": "b"}]}).to_string()).await;
        put(paths::project("list", "1"), "[]".into()).await;
        put("projects/name=theirs/version=2/provider=aws/meta.json".into(), "{}".into()).await;
        put("projects/readme.txt".into(), "hello".into()).await;
        let mut told = String::new();
        for found in projects(stores).await.unwrap() {
            let read = found.project.as_ref().map(|project| project.arcs.len());
            told += &format!("{} {:?} {:?} {read:?}\n", found.id(), found.names("boundaries"), found.names("arcs"));
        }
        expect![[r#"
            lake/1 ["in"] ["keep"] Ok(1)
            later/1 [] ["a", "b"] Err("not read by this version: project.name: is missing")
            list/1 [] [] Err("another tool's: its project.json is no project file")
            theirs/2 [] [] Err("another tool's: it has no project.json")
        "#]]
        .assert_eq(&told);
    }
}
