//! Partitions of a Glue table: files of a lot flow in, the partitions that their folders name are added to the table. Adding
//! one that is there is no error. Each says which lot added it, so a redone run lists the same ones as added, whoever died
//! between adding and committing.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use aws_sdk_glue::Client;
use aws_sdk_glue::error::ProvideErrorMetadata;
use aws_sdk_glue::types::{Partition, PartitionInput, PartitionValueList, StorageDescriptor};
use manifests::{ArcId, ArcSpec, Counts, Lot, MAIN_ROLE, ManifestObject};
use serde::Deserialize;

use super::{Parameter, ParameterKind, Problem, RunInput, SinkFiles, Work, Workload, check_sinks};
use crate::error::ArcsError;
use crate::read::ObjectProblem;

/// Partitions of one call, as Glue has it.
const PARTITIONS_PER_CALL: usize = 100;

/// The parameter of a partition that says which lot of which arc added it.
const ADDED_BY: &str = "arclake.added-by";

/// Times that Glue is asked for what it left out of an answer.
const ASKINGS_MAX: usize = 5;

/// What Glue says that no further attempt mends.
const LASTING: [&str; 4] = ["EntityNotFoundException", "AccessDeniedException", "InvalidInputException", "ValidationException"];

/// The workload.
pub struct Glue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    #[serde(default)]
    partition_type: PartitionType,
    #[serde(default = "delimiter")]
    named_partition_delimiter: String,
    #[serde(default)]
    partition_results: PartitionResults,
}

fn delimiter() -> String {
    "=".to_owned()
}

/// How folders say the values of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PartitionType {
    /// `dt=2023-07-17/`: by the name of the column.
    #[default]
    Named,
    /// `2023-07-17/`: by their place.
    Value,
}

/// Which partitions the sink's manifest lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PartitionResults {
    #[default]
    None,
    All,
    Added,
}

/// The partitions of an input, by their values, each with its folder.
type Partitions = BTreeMap<Vec<String>, String>;

/// A table of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    catalog: Option<String>,
    database: String,
    name: String,
}

impl Table {
    /// Reads `glue://[catalog]/database/table`.
    fn read(uri: &str) -> Option<Table> {
        let mut parts = uri.strip_prefix("glue://")?.trim_end_matches('/').split('/');
        let (catalog, database, name) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none() && !database.is_empty() && !name.is_empty();
        let catalog = (!catalog.is_empty()).then(|| catalog.to_owned());
        is_whole.then(|| Table { catalog, database: database.to_owned(), name: name.to_owned() })
    }
}

#[async_trait]
impl Workload for Glue {
    fn name(&self) -> &'static str {
        "glue"
    }

    fn summary(&self) -> &'static str {
        "adds the partitions that files lie in to a table of the Glue catalog"
    }

    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter {
                name: "partitionType",
                kind: ParameterKind::Text,
                default: "\"named\"",
                meaning: "how folders say values: named (dt=2023-07-17/) or value (2023-07-17/, in the order of the table's keys)",
            },
            Parameter {
                name: "namedPartitionDelimiter",
                kind: ParameterKind::Text,
                default: "\"=\"",
                meaning: "what stands between name and value",
            },
            Parameter {
                name: "partitionResults",
                kind: ParameterKind::Text,
                default: "\"none\"",
                meaning: "which partitions the sink's manifest lists: none, all of the lot, or those that the lot has added",
            },
        ];
        PARAMETERS
    }

    fn check(&self, arc: &ArcSpec) -> Vec<Problem> {
        let mut problems = check_sinks(arc, &[MAIN_ROLE]);
        if let Err(error) = Parameters::deserialize(&arc.workload) {
            problems.push(Problem::new("workload", error.to_string()));
        }
        let sink = arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE);
        if sink.is_some_and(|sink| Table::read(&sink.dataset.path_uri).is_none()) {
            problems.push(Problem::new("sinks.main.pathURI", "is no table of Glue").fix("glue:///database/table"));
        }
        problems
    }

    async fn run(&self, input: &RunInput<'_>) -> Result<Work, ArcsError> {
        let parameters: Parameters = input.parameters()?;
        let sink = input.arc.sinks.iter().find(|sink| sink.role == MAIN_ROLE).map(|sink| sink.dataset.path_uri.as_str());
        let table = sink.and_then(Table::read).ok_or_else(|| ArcsError::Job { message: "the main sink is no table of Glue".into() })?;
        let aws = input.context.aws.as_ref().ok_or_else(|| ArcsError::Job { message: "there is no Glue on a local placement".into() })?;
        let client = Client::new(aws.config());
        let (keys, storage) = describe(&client, &table).await?;
        let (found, problems) = found(input, &parameters, &keys);
        let adding = Adding { client, table, storage, by: added_by(&input.arc.id, input.lot) };
        let there = adding.add(&found).await?;
        let listed: Vec<&String> = match parameters.partition_results {
            PartitionResults::None => Vec::new(),
            PartitionResults::All => found.values().collect(),
            PartitionResults::Added => {
                let older = adding.of_others(there).await?;
                found.iter().filter(|(values, _)| !older.contains(*values)).map(|(_, folder)| folder).collect()
            }
        };
        let objects = listed.into_iter().map(|uri| ManifestObject { uri: uri.clone(), ..ManifestObject::default() }).collect();
        let counts = Counts { objects: found.len() as u64, ..Counts::default() };
        let files = vec![SinkFiles { role: MAIN_ROLE.to_owned(), objects, columns: Vec::new() }];
        Ok(Work { counts, problems, staged: Box::new(files) })
    }
}

fn fail<E: ProvideErrorMetadata + std::error::Error>(table: &Table, error: &E) -> ArcsError {
    let message = format!("table {}.{} of Glue: {}", table.database, table.name, manifests::reason(error));
    let is_transient = error.code().is_none_or(|code| !LASTING.contains(&code));
    ArcsError::Work { message, is_transient }
}

/// The names of the table's partition columns, and how its files are stored.
async fn describe(client: &Client, table: &Table) -> Result<(Vec<String>, StorageDescriptor), ArcsError> {
    let call = client.get_table().set_catalog_id(table.catalog.clone()).database_name(&table.database).name(&table.name);
    let answer = call.send().await.map_err(|error| fail(table, &error))?;
    let nothing = || ArcsError::Job { message: format!("table {}.{} of Glue says nothing of its files", table.database, table.name) };
    let described = answer.table().ok_or_else(nothing)?;
    let keys = described.partition_keys().iter().map(|column| column.name().to_owned()).collect();
    Ok((keys, described.storage_descriptor().cloned().ok_or_else(nothing)?))
}

/// The partitions of the input, by their values, each with its folder; and the files that lie in none.
fn found(input: &RunInput<'_>, parameters: &Parameters, keys: &[String]) -> (Partitions, Vec<ObjectProblem>) {
    let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
    for source in &input.sources {
        for object in source.objects() {
            match partition(&source.dataset.path_uri, &object.uri, parameters, keys) {
                Some((values, folder)) => drop(found.insert(values, folder)),
                None => {
                    let reason = format!("its folders do not say {}", keys.join(", "));
                    problems.push(ObjectProblem { uri: object.uri.clone(), reason });
                }
            }
        }
    }
    (found, problems)
}

/// The values of a file's partition, in the order of the table's keys, and its folder.
fn partition(base: &str, uri: &str, parameters: &Parameters, keys: &[String]) -> Option<(Vec<String>, String)> {
    let (folders, _) = uri.strip_prefix(base)?.rsplit_once('/').unwrap_or(("", ""));
    let parts: Vec<&str> = folders.split('/').filter(|part| !part.is_empty()).collect();
    let (values, depth) = match parameters.partition_type {
        PartitionType::Value => (parts.iter().take(keys.len()).map(|part| (*part).to_owned()).collect::<Vec<_>>(), keys.len()),
        PartitionType::Named => {
            let named: Vec<(usize, &str, &str)> = parts
                .iter()
                .enumerate()
                .filter_map(|(at, part)| {
                    part.split_once(parameters.named_partition_delimiter.as_str()).map(|(name, value)| (at, name, value))
                })
                .collect();
            let of = |key: &String| named.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(key));
            let values: Option<Vec<String>> = keys.iter().map(|key| of(key).map(|found| unescaped(found.2))).collect();
            (values?, keys.iter().filter_map(|key| of(key).map(|found| found.0 + 1)).max().unwrap_or(0))
        }
    };
    let is_whole = values.len() == keys.len() && parts.len() >= depth;
    is_whole.then(|| (values, format!("{base}{}/", parts[..depth].join("/"))))
}

/// The value that a folder's name stands for: `%3A` is `:`.
fn unescaped(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// Which lot of which arc adds: the same for every attempt, and for a replay.
fn added_by(arc: &ArcId, lot: Lot) -> String {
    format!("{}/{}/{}/{lot}", arc.project, arc.version, arc.arc)
}

/// Adding to a table.
struct Adding {
    client: Client,
    table: Table,
    /// How the table's files are stored.
    storage: StorageDescriptor,
    /// What [`ADDED_BY`] says.
    by: String,
}

impl Adding {
    /// Adds partitions; the values of those that were there.
    async fn add(&self, found: &Partitions) -> Result<Vec<Vec<String>>, ArcsError> {
        let mut there = Vec::new();
        let all: Vec<(&Vec<String>, &String)> = found.iter().collect();
        for batch in all.chunks(PARTITIONS_PER_CALL) {
            let inputs = batch.iter().map(|(values, folder)| self.input(values, folder)).collect();
            let call = self.client.batch_create_partition().set_catalog_id(self.table.catalog.clone());
            let call = call.database_name(&self.table.database).table_name(&self.table.name).set_partition_input_list(Some(inputs));
            let answer = call.send().await.map_err(|error| fail(&self.table, &error))?;
            for error in answer.errors() {
                let detail = error.error_detail();
                let code = detail.and_then(|detail| detail.error_code()).unwrap_or_default();
                if code != "AlreadyExistsException" {
                    let reason = detail.and_then(|detail| detail.error_message()).unwrap_or_default();
                    return Err(self.refused(&error.partition_values().join("/"), code, reason));
                }
                there.push(error.partition_values().to_vec());
            }
        }
        Ok(there)
    }

    fn input(&self, values: &[String], folder: &str) -> PartitionInput {
        let mut stored = self.storage.clone();
        stored.location = Some(folder.to_owned());
        PartitionInput::builder().set_values(Some(values.to_vec())).storage_descriptor(stored).parameters(ADDED_BY, &self.by).build()
    }

    fn refused(&self, partition: &str, code: &str, reason: &str) -> ArcsError {
        let message = format!("partition {partition} of {}.{}: {code}: {reason}", self.table.database, self.table.name);
        ArcsError::Work { message, is_transient: !LASTING.contains(&code) }
    }

    /// Those of partitions that are there which no attempt of this lot has added.
    async fn of_others(&self, there: Vec<Vec<String>>) -> Result<BTreeSet<Vec<String>>, ArcsError> {
        let mut others: BTreeSet<Vec<String>> = there.iter().cloned().collect();
        for batch in there.chunks(PARTITIONS_PER_CALL) {
            for own in self.own(batch).await? {
                others.remove(&own);
            }
        }
        Ok(others)
    }

    /// Those of a batch that this lot has added.
    async fn own(&self, batch: &[Vec<String>]) -> Result<Vec<Vec<String>>, ArcsError> {
        let list = |values: &Vec<String>| PartitionValueList::builder().set_values(Some(values.clone())).build().ok();
        let (mut asked, mut own) = (batch.iter().filter_map(list).collect::<Vec<_>>(), Vec::new());
        for _ in 0..ASKINGS_MAX {
            let call = self.client.batch_get_partition().set_catalog_id(self.table.catalog.clone());
            let call = call.database_name(&self.table.database).table_name(&self.table.name).set_partitions_to_get(Some(asked));
            let answer = call.send().await.map_err(|error| fail(&self.table, &error))?;
            let says = |partition: &&Partition| partition.parameters().and_then(|all| all.get(ADDED_BY)) == Some(&self.by);
            own.extend(answer.partitions().iter().filter(says).map(|partition| partition.values().to_vec()));
            asked = answer.unprocessed_keys().to_vec();
            if asked.is_empty() {
                return Ok(own);
            }
        }
        let left = asked.first().map(|list| list.values().join("/")).unwrap_or_default();
        Err(self.refused(&left, "unprocessed", "Glue leaves it out of its answers"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(partition_type: PartitionType) -> Parameters {
        Parameters { partition_type, named_partition_delimiter: delimiter(), partition_results: PartitionResults::None }
    }

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn folders_say_values_by_name_or_by_place() {
        let named = |uri, names: &[&str]| partition("s3://b/t/", uri, &parameters(PartitionType::Named), &keys(names));
        assert_eq!(named("s3://b/t/dt=2023-07-17/x.parquet", &["dt"]), Some((keys(&["2023-07-17"]), "s3://b/t/dt=2023-07-17/".into())));
        assert_eq!(
            named("s3://b/t/Dt=1/in/lot=a%3Ab/deep/x", &["lot", "dt"]),
            Some((keys(&["a:b", "1"]), "s3://b/t/Dt=1/in/lot=a%3Ab/".into()))
        );
        assert_eq!((named("s3://b/t/dt=1/x", &["lot"]), named("s3://b/t/x", &["dt"]), named("s3://c/dt=1/x", &["dt"])), (None, None, None));
        let placed = |uri, names: &[&str]| partition("s3://b/t/", uri, &parameters(PartitionType::Value), &keys(names));
        assert_eq!(placed("s3://b/t/2023/07/17/x", &["y", "m"]), Some((keys(&["2023", "07"]), "s3://b/t/2023/07/".into())));
        assert_eq!(placed("s3://b/t/2023/x", &["y", "m"]), None);
    }

    #[test]
    fn tables_are_named_by_uri() {
        let table = |uri| Table::read(uri).map(|table| (table.catalog, table.database, table.name));
        assert_eq!(table("glue:///db/t"), Some((None, "db".into(), "t".into())));
        assert_eq!(table("glue://123456789012/db/t/"), Some((Some("123456789012".into()), "db".into(), "t".into())));
        assert!(["glue:///db", "glue:///db/", "s3://db/t", "glue:///a/b/c"].map(table).iter().all(Option::is_none));
    }
}
