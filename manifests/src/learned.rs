//! Columns that a dataset has learned from its logs. A format whose columns are in the logs gives each the name and type of
//! the lot that showed it first; later lots keep to that, so that the files of all lots read together. What is known is
//! `columns-{number:06}.json`, created and never changed: of two lots that learn at once one wins, and the other learns
//! from it before it writes a file.

use serde::{Deserialize, Serialize};

use crate::commits::{from_json, to_json};
use crate::dataset::DatasetId;
use crate::error::ManifestsError;
use crate::paths;
use crate::store::Stores;

/// A column and what in the logs fills it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedColumn {
    /// What the logs call it.
    pub member: String,
    /// Its name in files.
    pub column: String,
    /// What values it takes, in a word of the format; others have no column.
    pub takes: String,
}

impl Stores {
    /// What a dataset has learned, in the order of learning, and the number of that document; 0 and nothing before the first.
    pub async fn learned_columns(&self, dataset: &DatasetId) -> Result<(u32, Vec<LearnedColumn>), ManifestsError> {
        let listed = self.metadata.list(&paths::dataset_dir(dataset)).await?;
        let Some(number) = listed.iter().filter_map(paths::parse_learned_columns).max() else { return Ok((0, Vec::new())) };
        let path = paths::learned_columns(dataset, number);
        let body = self.metadata.get(&path).await?;
        let columns = body.map(|body| from_json(&self.metadata.uri(&path), "the columns of a dataset", &body)).transpose()?;
        Ok((number, columns.unwrap_or_default()))
    }

    /// Writes down what a dataset knows from now on, as document `number`; false where somebody else was first.
    pub async fn learn_columns(&self, dataset: &DatasetId, number: u32, columns: &[LearnedColumn]) -> Result<bool, ManifestsError> {
        self.metadata.create(&paths::learned_columns(dataset, number), to_json(&columns)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_learns_and_the_other_learns_from_it() {
        let (stores, id) = (Stores::memory().unwrap(), DatasetId { name: "a".into(), version: "1".into() });
        let column = |member: &str| LearnedColumn { member: member.into(), column: member.into(), takes: "integers".into() };
        assert_eq!(stores.learned_columns(&id).await.unwrap(), (0, vec![]));
        assert!(stores.learn_columns(&id, 1, &[column("n")]).await.unwrap());
        assert!(!stores.learn_columns(&id, 1, &[column("m")]).await.unwrap());
        assert_eq!(stores.learned_columns(&id).await.unwrap(), (1, vec![column("n")]));
        assert!(stores.learn_columns(&id, 2, &[column("n"), column("m")]).await.unwrap());
        assert_eq!(stores.learned_columns(&id).await.unwrap().0, 2);
    }
}
