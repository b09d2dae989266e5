//! Manifests: what one lot of one dataset holds. JSON flows in and out; the shapes are the contract of the design and,
//! for the state copy, of Clusterless, whose readers refuse any other field.

use std::ops::AddAssign;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, DatasetId};
use crate::lot::Lot;

/// The state of a lot of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All there is.
    Complete,
    /// Nothing came.
    #[default]
    Empty,
    /// Some input could not be read; the comment says which.
    Partial,
    /// Was there and has been taken away.
    Removed,
}

impl State {
    /// All four, in the order of listings.
    pub const ALL: [State; 4] = [State::Complete, State::Empty, State::Partial, State::Removed];

    /// As it stands in paths and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Complete => "complete",
            State::Empty => "empty",
            State::Partial => "partial",
            State::Removed => "removed",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the `uris` of a manifest name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UriType {
    /// One object each.
    #[default]
    Identifier,
    /// Folders, ending in `/`.
    Path,
    /// Prefixes of object names.
    Prefix,
}

/// One object of a lot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestObject {
    /// Where it lies.
    pub uri: String,
    /// Bytes.
    pub size: u64,
    /// The store's mark of its content, where the store gives one.
    pub etag: Option<String>,
    /// The store's version, where it keeps versions.
    pub version_id: Option<String>,
    /// When it arrived (boundaries only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<DateTime<Utc>>,
    /// Rows inside (arcs only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Earliest event time inside (arcs only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_min: Option<DateTime<Utc>>,
    /// Latest event time inside (arcs only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_max: Option<DateTime<Utc>>,
}

/// What became of the input of a run. `lines = rows + blank + header + continuation + rejected + filtered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Objects read.
    pub objects: u64,
    /// Lines met, those of decoding problems included.
    pub lines: u64,
    /// Rows written.
    pub rows: u64,
    /// Lines with nothing on them.
    pub blank: u64,
    /// Header lines.
    pub header: u64,
    /// Lines that continue a record.
    pub continuation: u64,
    /// Lines that could not be read, each a row of the rejects.
    pub rejected: u64,
    /// Lines that could be read and that the arc does not want: the condition of its `select` is not true of them.
    pub filtered: u64,
    /// Rows that needed more than the plain reading.
    pub recovered: u64,
    /// Rows with fields that the format does not know.
    pub extra: u64,
    /// Bytes read, as stored.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes that a service read for the run and bills: those of Athena.
    #[serde(skip_serializing_if = "is_nothing")]
    pub bytes_scanned: u64,
}

fn is_nothing(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    /// Whether every line is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.lines == self.rows + self.blank + self.header + self.continuation + self.rejected + self.filtered
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.objects += other.objects;
        self.lines += other.lines;
        self.rows += other.rows;
        self.blank += other.blank;
        self.header += other.header;
        self.continuation += other.continuation;
        self.rejected += other.rejected;
        self.filtered += other.filtered;
        self.recovered += other.recovered;
        self.extra += other.extra;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.bytes_scanned += other.bytes_scanned;
    }
}

/// A commit that a run read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceCommit {
    /// The dataset.
    pub dataset: DatasetId,
    /// The lot of that dataset.
    pub lot: Lot,
    /// The generation; 0 where the dataset has state copies alone (Clusterless), or where a deadline passed without it.
    pub generation: u32,
}

/// What a run did: the part of an arc's manifest that `arc audit` recomputes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The arc's name.
    pub arc: String,
    /// The attempt that committed, from 1.
    pub attempt: u32,
    /// The commits that were read, sorted.
    pub sources: Vec<SourceCommit>,
    /// What became of the lines.
    #[serde(flatten)]
    pub counts: Counts,
    /// Seconds from the first read to the last byte written.
    pub seconds: f64,
}

/// What one lot of one dataset holds: the content of `commit-{generation:06}.json`.
///
/// Invariants: `objects` stands in the order of `uris`; `empty` has none; `generation` is at least 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The state.
    pub state: State,
    /// A word for people, or null.
    pub comment: Option<String>,
    /// The lot.
    pub lot_id: Lot,
    /// What `uris` name.
    pub uri_type: UriType,
    /// The data.
    pub uris: Vec<String>,
    /// Whose data.
    pub dataset: Dataset,
    /// From 1; a replay is the next.
    pub generation: u32,
    /// The data with what is known of it, in the order of `uris`.
    pub objects: Vec<ManifestObject>,
    /// For an arc's dataset, what the run did; null for a boundary's.
    pub receipt: Option<Receipt>,
    /// Of an arc that rejects: where its rejects lie, in the main sink's commit alone. Where rejects have a dataset of
    /// their own, its commit follows from this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<ManifestObject>,
    /// The columns of the files, partition folders apart; none where nobody said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<NamedType>,
}

/// A column of data files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedType {
    /// Its name.
    pub name: String,
    /// Its type, in words of SQL: `bigint`, `string`, `timestamp`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Manifest {
    /// A manifest of objects, generation 1, whose state is `complete`, or `empty` where there are none.
    pub fn new(dataset: Dataset, lot: Lot, objects: Vec<ManifestObject>) -> Manifest {
        Manifest {
            state: if objects.is_empty() { State::Empty } else { State::Complete },
            comment: None,
            lot_id: lot,
            uri_type: UriType::Identifier,
            uris: objects.iter().map(|object| object.uri.clone()).collect(),
            dataset,
            generation: 1,
            objects,
            receipt: None,
            rejects: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// The five fields that people and other tools read.
    pub fn state_copy(&self) -> StateCopy {
        StateCopy {
            state: self.state,
            comment: self.comment.clone(),
            lot_id: self.lot_id,
            uri_type: self.uri_type,
            uris: self.uris.clone(),
        }
    }

    /// Bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }

    /// All files that it names, rejects included.
    pub fn files(&self) -> impl Iterator<Item = &ManifestObject> {
        self.objects.iter().chain(&self.rejects)
    }

    /// Whether the other manifest says the same of the data: all but generation, attempt, seconds and comment.
    pub fn is_same_data(&self, other: &Manifest) -> bool {
        let sources = |manifest: &Manifest| manifest.receipt.as_ref().map(|receipt| (receipt.sources.clone(), receipt.counts));
        self.state == other.state
            && self.uris == other.uris
            && are_same_files(&self.objects, &other.objects)
            && are_same_files(&self.rejects, &other.rejects)
            && self.columns == other.columns
            && sources(self) == sources(other)
    }
}

fn are_same_files(ours: &[ManifestObject], theirs: &[ManifestObject]) -> bool {
    let facts = |object: &ManifestObject| (object.uri.clone(), object.size, object.rows);
    ours.iter().map(facts).eq(theirs.iter().map(facts))
}

/// The copy under `state={state}/manifest.json`: exactly the fields that Clusterless writes and reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateCopy {
    /// The state.
    pub state: State,
    /// A word for people, or null.
    pub comment: Option<String>,
    /// The lot.
    pub lot_id: Lot,
    /// What `uris` name.
    pub uri_type: UriType,
    /// The data.
    pub uris: Vec<String>,
}

impl StateCopy {
    /// The manifest of a dataset that has state copies alone: sizes unknown (0), generation 0.
    pub fn into_manifest(self, dataset: Dataset) -> Manifest {
        let objects = self.uris.iter().map(|uri| ManifestObject { uri: uri.clone(), ..ManifestObject::default() }).collect();
        Manifest {
            state: self.state,
            comment: self.comment,
            lot_id: self.lot_id,
            uri_type: self.uri_type,
            uris: self.uris,
            dataset,
            generation: 0,
            objects,
            receipt: None,
            rejects: Vec::new(),
            columns: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    fn dataset() -> Dataset {
        Dataset { name: "s3-access-logs".into(), version: "20230817".into(), path_uri: "s3://logs/".into() }
    }

    #[test]
    fn a_commit_as_the_design_shows_it() {
        let object = ManifestObject {
            uri: "s3://logs/a".into(),
            size: 5120,
            etag: Some("e".into()),
            arrived: Some("2023-07-17T20:51:07.113Z".parse().unwrap()),
            ..ManifestObject::default()
        };
        let manifest = Manifest::new(dataset(), "20230717PT5M250".parse().unwrap(), vec![object]);
        expect![[r#"{"state":"complete","comment":null,"lotId":"20230717PT5M250","uriType":"identifier","uris":["s3://logs/a"],"dataset":{"name":"s3-access-logs","version":"20230817","pathURI":"s3://logs/"},"generation":1,"objects":[{"uri":"s3://logs/a","size":5120,"etag":"e","versionId":null,"arrived":"2023-07-17T20:51:07.113Z"}],"receipt":null}"#]]
        .assert_eq(&serde_json::to_string(&manifest).unwrap());
        expect![[r#"{"state":"complete","comment":null,"lotId":"20230717PT5M250","uriType":"identifier","uris":["s3://logs/a"]}"#]]
            .assert_eq(&serde_json::to_string(&manifest.state_copy()).unwrap());
    }

    proptest! {
        #[test]
        fn a_manifest_reads_back(uris in proptest::collection::vec(".{0,30}", 0..5), size: u64, seconds in 0u32..1_000_000, rows: Option<u64>) {
            let objects = uris.into_iter().map(|uri| ManifestObject { uri, size, rows, ..ManifestObject::default() }).collect();
            let mut manifest = Manifest::new(dataset(), "20230717PT5M250".parse().unwrap(), objects);
            manifest.receipt = Some(Receipt {
                arc: "a".into(),
                attempt: 3,
                sources: vec![SourceCommit { dataset: dataset().id(), lot: manifest.lot_id, generation: 2 }],
                counts: Counts { lines: size, ..Counts::default() },
                seconds: f64::from(seconds) / 8.0,
            });
            let text = serde_json::to_string(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest.clone());
            let copy = serde_json::to_string(&manifest.state_copy()).unwrap();
            prop_assert_eq!(serde_json::from_str::<StateCopy>(&copy).unwrap(), manifest.state_copy());
        }
    }
}
