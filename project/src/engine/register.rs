//! Who owns what, written down once: the project's document, and an owner for each dataset it produces. A dataset that
//! belongs to another project, or lies elsewhere than it did, is an error before anything runs.

use manifests::{Dataset, Stores, paths};
use project::{Owner, Produced, Project};
use serde::{Deserialize, Serialize};

use crate::command::Trouble;

/// `dataset.json`: the one owner of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetOwner {
    /// The dataset.
    pub dataset: Dataset,
    /// The name of the project.
    pub project: String,
    /// `boundary` or `arc`.
    pub kind: String,
    /// The boundary's or the arc's name.
    pub name: String,
    /// The sink's role; null for a boundary.
    pub role: Option<String>,
}

/// Fails where a dataset of the project belongs to another, or lies elsewhere; writes nothing.
pub async fn check_owners(project: &Project, stores: &Stores) -> anyhow::Result<()> {
    for produced in project.produced() {
        let owner = owner_of(project, produced);
        let path = paths::dataset_owner(&owner.dataset.id());
        if let Some(body) = stores.metadata.get(&path).await? {
            check_owner(&read_owner(stores, &path, &body)?, &owner)?;
        }
    }
    Ok(())
}

fn read_owner(stores: &Stores, path: &str, body: &[u8]) -> Result<DatasetOwner, Trouble> {
    let unread = |error| Trouble::failed(format!("{} does not read as an owner: {error}", stores.metadata.uri(path)));
    serde_json::from_slice(body).map_err(unread)
}

/// Registers the project and its datasets; safe to repeat, and by several processes at once.
pub async fn register(project: &Project, stores: &Stores) -> anyhow::Result<()> {
    for produced in project.produced() {
        let owner = owner_of(project, produced);
        let path = paths::dataset_owner(&owner.dataset.id());
        let known = match stores.metadata.get(&path).await? {
            Some(body) => Some(body),
            None if stores.metadata.create(&path, serde_json::to_vec_pretty(&owner)?).await? => None,
            None => stores.metadata.get(&path).await?,
        };
        if let Some(body) = known {
            check_owner(&read_owner(stores, &path, &body)?, &owner)?;
        }
    }
    let path = paths::project(&project.name, &project.version);
    let document = serde_json::to_vec_pretty(&project.document)?;
    let is_known = stores.metadata.get(&path).await?.is_some_and(|body| body == document);
    if !is_known {
        stores.metadata.put(&path, document).await?;
    }
    Ok(())
}

fn owner_of(project: &Project, produced: Produced) -> DatasetOwner {
    let (kind, name, role) = match produced.owner {
        Owner::Boundary(name) => ("boundary", name, None),
        Owner::Arc { name, role } => ("arc", name, Some(role)),
    };
    DatasetOwner { dataset: produced.dataset, project: project.name.clone(), kind: kind.into(), name, role }
}

fn check_owner(known: &DatasetOwner, own: &DatasetOwner) -> Result<(), Trouble> {
    let id = own.dataset.id();
    if (&known.project, &known.kind, &known.name, &known.role) != (&own.project, &own.kind, &own.name, &own.role) {
        let message = format!(
            "dataset {id} belongs to {} {} of project {}, not to {} {} of project {}",
            known.kind, known.name, known.project, own.kind, own.name, own.project
        );
        return Err(Trouble::usage(message).next("another name or version for the dataset: each has one owner for good"));
    }
    if known.dataset.path_uri != own.dataset.path_uri {
        let message = format!("dataset {id} lies in {}, not in {}", known.dataset.path_uri, own.dataset.path_uri);
        return Err(Trouble::usage(message).next("a new version for the dataset, or its old pathURI"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(project: &str, path_uri: &str) -> DatasetOwner {
        let dataset = Dataset { name: "a".into(), version: "1".into(), path_uri: path_uri.into() };
        DatasetOwner { dataset, project: project.into(), kind: "arc".into(), name: "convert".into(), role: Some("main".into()) }
    }

    #[test]
    fn a_dataset_has_one_owner_and_one_place() {
        let own = owner("p", "file:///a/");
        assert!(check_owner(&own, &own).is_ok());
        assert!(check_owner(&owner("q", "file:///a/"), &own).unwrap_err().message.contains("belongs to arc convert of project q"));
        assert!(check_owner(&owner("p", "file:///b/"), &own).unwrap_err().message.contains("lies in file:///b/"));
    }
}
