//! A query in Athena: sources with their committed files flow in, staged rows flow out. Athena writes its result beside the
//! lake, where nobody reads, below a folder of the attempt; its rows then pass through here into the same file, with the same
//! names and types, that a query on this machine writes. So nothing can be read before the run publishes, times are not what
//! Athena writes (96 bits), and a replay never shows a part of one result with a part of another. They are sorted on their way,
//! because Athena gives them in no order.

use futures::{StreamExt, TryStreamExt};
use manifests::{Dataset, ManifestObject};
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};

use super::Source;
use super::execution::{self, Ended, Statement};
use super::order;
use super::rows::{self, StagedRows};
use super::statement::{self, Table};
use crate::committed::{CommittedFiles, LotFiles};
use crate::error::ArcsError;
use crate::partition::PartitionKey;
use crate::read::ObjectProblem;
use crate::runner::list_below;
use crate::sql;
use crate::workload::RunInput;

/// What Athena's result is called while it is read.
const RESULT: &str = "result";

/// Objects of an attempt that are removed side by side.
const REMOVALS_IN_FLIGHT: usize = 16;

/// The longest name of a workgroup, in bytes.
const WORKGROUP_BYTES_MAX: usize = 128;

/// What a project has in Athena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AthenaPlace {
    /// Its workgroup.
    pub workgroup: String,
    /// The database with the tables of its datasets.
    pub database: String,
    /// Where results lie until they are committed: an S3 URI that ends in a slash, with a folder an arc below it.
    pub results: String,
}

/// Whether Athena takes the name for a workgroup.
pub(super) fn is_workgroup(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=WORKGROUP_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

/// Leaves out the files in folders that Athena's tables do not know, and says which: the lot is partial without them.
pub(super) fn leave_out_unknown(input: &RunInput<'_>, sources: &mut [Source<'_>]) -> Vec<ObjectProblem> {
    let (now, mut problems) = ((input.context.clock)(), Vec::new());
    let reason = "Athena's table knows no such folder; engine: 'datafusion' reads it";
    for source in sources {
        let dataset = &source.lots.dataset;
        let (found, lost): (Vec<_>, Vec<_>) =
            std::mem::take(&mut source.objects).into_iter().partition(|object| statement::is_found(dataset, &object.uri, now));
        problems.extend(lost.into_iter().map(|object| ObjectProblem { uri: object.uri, reason: reason.to_owned() }));
        source.objects = found;
    }
    problems
}

/// A query on its way through Athena.
pub(super) struct Run<'a> {
    input: &'a RunInput<'a>,
    client: aws_sdk_athena::Client,
    database: &'a str,
    workgroup: &'a str,
    /// The folder of the lot's attempts, and that of this one; both end in a slash.
    lot_folder: String,
    folder: String,
}

impl<'a> Run<'a> {
    /// A run in the given workgroup, or in the project's own.
    pub fn new(input: &'a RunInput<'a>, workgroup: Option<&'a str>) -> Result<Run<'a>, ArcsError> {
        let (Some(aws), Some(place)) = (&input.context.aws, &input.context.athena) else {
            return Err(ArcsError::Job { message: "there is no Athena on a local placement; leave `engine` out".into() });
        };
        let lot_folder = format!("{}{}/{}/", place.results, input.arc.id.arc, input.lot);
        let folder = attempt_folder(&lot_folder, input.attempt);
        let client = aws_sdk_athena::Client::new(aws.config());
        Ok(Run { input, client, database: &place.database, workgroup: workgroup.unwrap_or(&place.workgroup), lot_folder, folder })
    }

    /// Runs the query and stages its rows; also gives the bytes that Athena read.
    pub async fn stage(&self, text: &str, sources: &[Source<'_>], keys: &[PartitionKey]) -> Result<(StagedRows, u64), ArcsError> {
        let tables: Vec<Table<'_>> = sources.iter().map(|source| self.table(source)).collect();
        let statement = statement::unload(text, &tables, &self.rows_folder())?;
        self.remove_earlier().await?;
        let staged = self.run(&statement, text, keys).await;
        // What stays after all is removed by the next attempt, or by the bucket itself after some days.
        if let Err(error) = self.remove(|uri| uri.starts_with(&self.folder)).await {
            tracing::warn!("Athena's result of {} stays for now: {error}", self.input.lot);
        }
        staged
    }

    async fn run(&self, statement: &str, text: &str, keys: &[PartitionKey]) -> Result<(StagedRows, u64), ArcsError> {
        let (output, token) = (format!("{}said/", self.folder), token(self.input));
        let statement = Statement { text: statement, workgroup: self.workgroup, output: &output, token: &token };
        let ended = execution::run(&self.client, &statement).await?;
        Ok((self.collect(&ended, text, keys).await?, ended.scanned_bytes))
    }

    fn table<'b>(&'b self, source: &'b Source<'b>) -> Table<'b> {
        let files = source.objects.iter().map(|object| object.uri.as_str()).collect();
        Table { names: source.names(), database: self.database, dataset: &source.lots.dataset, files }
    }

    fn rows_folder(&self) -> String {
        format!("{}rows/", self.folder)
    }

    /// Reads Athena's files into the file of the sink, in the order of the query's text.
    async fn collect(&self, ended: &Ended, text: &str, keys: &[PartitionKey]) -> Result<StagedRows, ArcsError> {
        let files = self.written(ended).await?;
        let (stores, options) = (&self.input.context.stores, &self.input.context.options);
        let session = sql::session(options, 1)?;
        let dataset = Dataset { name: RESULT.into(), version: String::new(), path_uri: self.rows_folder() };
        let lot = LotFiles { columns: &[], files: files.iter().collect() };
        let opened = CommittedFiles::open_all(&session.state(), stores, &dataset, &[lot]).await.map_err(sql::plan_error)?;
        let Some(table) = opened else { return Ok(StagedRows::default()) };
        session.register_table(RESULT, std::sync::Arc::new(table)).map_err(sql::plan_error)?;
        let frame = session.table(RESULT).await.map_err(sql::plan_error)?;
        let order = order::order(text, frame.schema().as_arrow());
        let frame = if order.is_empty() { frame } else { frame.sort(order).map_err(sql::plan_error)? };
        rows::stage(frame, self.input, keys).await
    }

    /// The files that Athena says it wrote, in the order of their names. A task of Athena's that was tried again may have
    /// left others beside them.
    async fn written(&self, ended: &Ended) -> Result<Vec<ManifestObject>, ArcsError> {
        let stores = &self.input.context.stores;
        let mut there = list_below(stores, &self.rows_folder()).await?;
        there.sort_by(|a, b| a.uri.cmp(&b.uri));
        if let Some(uri) = &ended.written {
            let place = stores.objects.locate(uri)?;
            let fail = |source| ArcsError::Store { action: "read", uri: uri.clone(), source };
            let bytes = place.store.get(&place.path).await.map_err(fail)?.bytes().await.map_err(fail)?;
            let text = String::from_utf8_lossy(&bytes);
            let said: Vec<&str> = text.lines().map(|line| line.trim().trim_matches('"')).filter(|line| !line.is_empty()).collect();
            if let Some(lost) = said.iter().find(|said| !there.iter().any(|object| object.uri == **said)) {
                let message = format!("Athena says that it wrote `{lost}`, and it is not there");
                return Err(ArcsError::Work { message, is_transient: true });
            }
            there.retain(|object| said.contains(&object.uri.as_str()));
        }
        there.retain(|object| object.size > 0);
        Ok(there)
    }

    /// Removes what earlier attempts left. A later one may be at work already, where this one was overtaken.
    async fn remove_earlier(&self) -> Result<(), ArcsError> {
        self.remove(|uri| uri.starts_with(&self.lot_folder) && uri < self.folder.as_str()).await
    }

    async fn remove(&self, is_old: impl Fn(&str) -> bool) -> Result<(), ArcsError> {
        let stores = &self.input.context.stores;
        let listed = list_below(stores, &self.lot_folder).await?.into_iter().filter(|object| is_old(&object.uri));
        let removals = listed.map(|object| async move {
            let place = stores.objects.locate(&object.uri)?;
            match place.store.delete(&place.path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(source) => Err(ArcsError::Store { action: "remove", uri: object.uri, source }),
            }
        });
        let removals: Vec<_> = removals.collect();
        futures::stream::iter(removals).buffer_unordered(REMOVALS_IN_FLIGHT).try_collect::<()>().await
    }
}

/// Folders of attempts sort as the attempts do.
fn attempt_folder(lot_folder: &str, attempt: u32) -> String {
    format!("{lot_folder}{attempt:06}/")
}

/// The same for every submission of the same attempt, and no other's.
fn token(input: &RunInput<'_>) -> String {
    let id = &input.arc.id;
    let digest = Sha256::digest(format!("{}/{}/{}/{}/{}", id.project, id.version, id.arc, input.lot, input.attempt));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
