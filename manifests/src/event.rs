//! Availability events: "this lot of this dataset is at this manifest". The detail is the contract of Clusterless.

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::lot::Lot;
use crate::manifest::Manifest;

/// The `source` of our events on EventBridge.
pub const EVENT_SOURCE: &str = "clusterless.arc";
/// The `detail-type` of our events on EventBridge.
pub const EVENT_DETAIL_TYPE: &str = "Clusterless Arc Notification";

/// The detail of an availability event, exactly these fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvailabilityEvent {
    /// Whose lot.
    pub dataset: Dataset,
    /// Which lot.
    pub lot: Lot,
    /// URI of the state copy.
    pub manifest: String,
    /// `name/version`.
    #[serde(rename = "datasetId")]
    pub dataset_id: String,
}

impl AvailabilityEvent {
    /// The event of a committed manifest whose state copy is at `copy_uri`.
    pub fn new(manifest: &Manifest, copy_uri: String) -> AvailabilityEvent {
        AvailabilityEvent {
            dataset: manifest.dataset.clone(),
            lot: manifest.lot_id,
            manifest: copy_uri,
            dataset_id: manifest.dataset.id().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_detail_is_exactly_the_contract() {
        let dataset = Dataset { name: "a".into(), version: "1".into(), path_uri: "s3://b/".into() };
        let manifest = Manifest::new(dataset, "20230717PT5M250".parse().unwrap(), vec![]);
        let event = AvailabilityEvent::new(&manifest, "s3://m/x".into());
        let text = serde_json::to_string(&event).unwrap();
        expect![[
            r#"{"dataset":{"name":"a","version":"1","pathURI":"s3://b/"},"lot":"20230717PT5M250","manifest":"s3://m/x","datasetId":"a/1"}"#
        ]]
        .assert_eq(&text);
        assert_eq!(serde_json::from_str::<AvailabilityEvent>(&text).unwrap(), event);
    }
}
