//! What earlier lots hold: commits are folded in, arrivals are asked after. A cache: it can be deleted at any time and
//! is rebuilt from the commits; nothing is ever decided by it that the commits do not say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use manifests::{DatasetId, Lot, Manifest};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::arrivals::Arrival;
use crate::error::BoundaryError;

/// How long one process waits for another that writes to the same index.
const BUSY_SECONDS_MAX: u64 = 30;

/// How long it waits before it asks again, where the database does not wait by itself.
const BUSY_MILLISECONDS: u64 = 20;
/// Raised when the tables change; an index of another version is thrown away.
const VERSION: u32 = 1;

/// How far an index has come: the last lot folded in, and a mark of that lot's commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The last lot folded in.
    pub lot: Lot,
    /// The mark of its commit; `None` where the index is the commits themselves, and cannot speak of others.
    pub mark: Option<String>,
}

/// What is known of earlier lots. On disk for watchers ([`SqliteIndex`]), in the commits themselves for queues
/// ([`CommitIndex`](crate::CommitIndex)), in memory for the simulator.
#[async_trait]
pub trait Index: Send {
    /// How far it has come; `None` when it holds nothing.
    async fn folded(&mut self) -> Result<Option<Folded>, BoundaryError>;
    /// Adds a commit's objects, all or nothing. Safe to repeat.
    async fn fold(&mut self, manifest: &Manifest) -> Result<(), BoundaryError>;
    /// Those of the arrivals that no folded lot holds, in their order.
    async fn unknown(&mut self, arrivals: Vec<Arrival>) -> Result<Vec<Arrival>, BoundaryError>;
    /// Forgets everything.
    async fn clear(&mut self) -> Result<(), BoundaryError>;
}

/// A mark that tells one commit of a lot from another: count, bytes, first and last URI.
pub fn mark(manifest: &Manifest) -> String {
    let ends = [manifest.uris.first(), manifest.uris.last()].map(|uri| uri.cloned().unwrap_or_default());
    format!("{} {} {} {}", manifest.uris.len(), manifest.bytes(), ends[0], ends[1])
}

/// The index of a process that keeps nothing.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    seen: BTreeSet<(String, String)>,
    folded: Option<Folded>,
}

#[async_trait]
impl Index for MemoryIndex {
    async fn folded(&mut self) -> Result<Option<Folded>, BoundaryError> {
        Ok(self.folded.clone())
    }

    async fn fold(&mut self, manifest: &Manifest) -> Result<(), BoundaryError> {
        self.seen.extend(identities(manifest));
        self.folded = Some(Folded { lot: manifest.lot_id, mark: Some(mark(manifest)) });
        Ok(())
    }

    async fn unknown(&mut self, arrivals: Vec<Arrival>) -> Result<Vec<Arrival>, BoundaryError> {
        Ok(arrivals.into_iter().filter(|arrival| !self.seen.contains(&(arrival.uri.clone(), arrival.mark()))).collect())
    }

    async fn clear(&mut self) -> Result<(), BoundaryError> {
        *self = MemoryIndex::default();
        Ok(())
    }
}

pub(crate) fn identities(manifest: &Manifest) -> impl Iterator<Item = (String, String)> + '_ {
    manifest.objects.iter().map(|object| {
        let modified = object.arrived.map(|arrived| arrived.timestamp_micros()).unwrap_or_default();
        (object.uri.clone(), object.etag.clone().unwrap_or_else(|| format!("{}-{modified}", object.size)))
    })
}

/// An index in one SQLite file, shared by the processes of a host.
///
/// Invariant: it answers only while it holds all that it held when [`Index::folded`] was last asked; where another
/// process has emptied it, or it was damaged, every call fails with [`BoundaryError::IndexLost`] until it is asked again.
#[derive(Debug)]
pub struct SqliteIndex {
    path: PathBuf,
    dataset: DatasetId,
    connection: Connection,
    /// The last lot that it is known to hold, with all before it.
    reached: Option<Lot>,
}

/// What came of some work on the tables.
enum Done<T> {
    Well(T),
    /// They no longer hold what they should.
    Lost,
}

impl SqliteIndex {
    /// Opens or makes the index of a dataset at `path`. A file that is no index of this dataset and version is replaced.
    pub fn open(path: &Path, dataset: DatasetId) -> Result<SqliteIndex, BoundaryError> {
        if let Some(folder) = path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let fail = |source| BoundaryError::Index { path: path.display().to_string(), source };
        let connection = match connect_patiently(path, &dataset) {
            Ok(connection) => connection,
            Err(error) if is_busy(&error) => return Err(fail(error)),
            Err(error) => {
                tracing::warn!("index {} is rebuilt: {error}", path.display());
                remove_database(path);
                connect_patiently(path, &dataset).map_err(fail)?
            }
        };
        Ok(SqliteIndex { path: path.to_owned(), dataset, connection, reached: None })
    }

    /// Does some work in one transaction. An index that turns out to be damaged is replaced by an empty one, and lost.
    fn with<T>(&mut self, behavior: TransactionBehavior, work: impl Fn(&Transaction) -> rusqlite::Result<T>) -> Result<T, BoundaryError> {
        let lost = BoundaryError::IndexLost { path: self.path.display().to_string() };
        match within(&mut self.connection, behavior, self.reached, work) {
            Ok(Done::Well(done)) => Ok(done),
            Ok(Done::Lost) => Err(lost),
            Err(source) if is_damaged(&source) => {
                tracing::warn!("index {} is damaged and rebuilt: {source}", self.path.display());
                // Closed before its files go: closing removes the log by its name, which would be the new one's.
                self.connection = Connection::open_in_memory().map_err(|source| self.error(source))?;
                remove_database(&self.path);
                let reached = self.reached;
                *self = SqliteIndex { reached, ..SqliteIndex::open(&self.path, self.dataset.clone())? };
                Err(lost)
            }
            Err(source) => Err(self.error(source)),
        }
    }

    fn error(&self, source: rusqlite::Error) -> BoundaryError {
        BoundaryError::Index { path: self.path.display().to_string(), source }
    }
}

/// Works on tables that hold all up to `reached`, all or nothing.
fn within<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    reached: Option<Lot>,
    work: impl Fn(&Transaction) -> rusqlite::Result<T>,
) -> rusqlite::Result<Done<T>> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    if let Some(reached) = reached {
        let last = watermark(&transaction)?.map(|folded| folded.lot);
        if last.is_none_or(|last| last < reached) {
            return Ok(Done::Lost);
        }
    }
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(Done::Well(done))
}

fn watermark(connection: &Connection) -> rusqlite::Result<Option<Folded>> {
    let read = |row: &rusqlite::Row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?));
    let row = connection.query_row("SELECT lot, mark FROM folded", [], read).optional()?;
    Ok(row.and_then(|(lot, mark)| Some(Folded { lot: lot.parse().ok()?, mark })))
}

pub(crate) fn remove_database(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        let _ = std::fs::remove_file(file);
    }
}

/// Connects, again and again while another process makes the file or closes it: SQLite waits for locks, but not for the
/// one under which a file becomes one with a log.
fn connect_patiently(path: &Path, dataset: &DatasetId) -> rusqlite::Result<Connection> {
    let started = Instant::now();
    loop {
        match connect(path, dataset) {
            Err(error) if is_busy(&error) && started.elapsed().as_secs() < BUSY_SECONDS_MAX => {
                std::thread::sleep(Duration::from_millis(BUSY_MILLISECONDS));
            }
            done => return done,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)) || error.to_string().contains("no such table")
}

fn connect(path: &Path, dataset: &DatasetId) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(BUSY_SECONDS_MAX))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS about (version INTEGER, dataset TEXT, UNIQUE (version, dataset));
         CREATE TABLE IF NOT EXISTS seen (uri TEXT, mark TEXT, lot TEXT, PRIMARY KEY (uri, mark)) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS folded (one INTEGER PRIMARY KEY CHECK (one = 1), lot TEXT, mark TEXT);",
    )?;
    connection.execute("INSERT OR IGNORE INTO about VALUES (?1, ?2)", params![VERSION, dataset.to_string()])?;
    match connection.query_row("SELECT count(*) FROM about", [], |row| row.get::<_, u32>(0))? {
        1 => Ok(connection),
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}

#[async_trait]
impl Index for SqliteIndex {
    async fn folded(&mut self) -> Result<Option<Folded>, BoundaryError> {
        self.reached = None;
        let folded = self.with(TransactionBehavior::Deferred, |transaction| watermark(transaction))?;
        self.reached = folded.as_ref().map(|folded| folded.lot);
        Ok(folded)
    }

    async fn fold(&mut self, manifest: &Manifest) -> Result<(), BoundaryError> {
        let lot = manifest.lot_id.to_string();
        self.with(TransactionBehavior::Immediate, |transaction| {
            let mut insert = transaction.prepare_cached("INSERT OR IGNORE INTO seen VALUES (?1, ?2, ?3)")?;
            for (uri, mark) in identities(manifest) {
                insert.execute(params![uri, mark, lot])?;
            }
            // Two processes fold the same lots: the later lot stays.
            let sql = "INSERT INTO folded VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET lot = excluded.lot, mark = excluded.mark WHERE excluded.lot >= lot";
            transaction.execute(sql, params![lot, mark(manifest)])
        })?;
        self.reached = self.reached.max(Some(manifest.lot_id));
        Ok(())
    }

    async fn unknown(&mut self, arrivals: Vec<Arrival>) -> Result<Vec<Arrival>, BoundaryError> {
        let known: Vec<bool> = self.with(TransactionBehavior::Deferred, |transaction| {
            let mut select = transaction.prepare_cached("SELECT 1 FROM seen WHERE uri = ?1 AND mark = ?2")?;
            arrivals.iter().map(|arrival| select.exists(params![arrival.uri, arrival.mark()])).collect()
        })?;
        Ok(arrivals.into_iter().zip(known).filter(|(_, known)| !known).map(|(arrival, _)| arrival).collect())
    }

    async fn clear(&mut self) -> Result<(), BoundaryError> {
        self.reached = None;
        self.with(TransactionBehavior::Immediate, |transaction| transaction.execute_batch("DELETE FROM folded; DELETE FROM seen;"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::{Dataset, ManifestObject};

    fn dataset() -> Dataset {
        Dataset { name: "raw".into(), version: "1".into(), path_uri: "memory:///raw/".into() }
    }

    fn commit(lot: u32, uri: &str) -> Manifest {
        let object = ManifestObject { uri: uri.into(), etag: Some("e".into()), ..ManifestObject::default() };
        Manifest::new(dataset(), format!("20230717PT5M{lot:03}").parse().unwrap(), vec![object])
    }

    fn arrival(uri: &str) -> Vec<Arrival> {
        let (uri, etag) = (uri.into(), Some("e".into()));
        vec![Arrival { uri, size: 0, etag, version_id: None, arrived: chrono::DateTime::UNIX_EPOCH }]
    }

    fn is_lost<T>(answer: Result<T, BoundaryError>) -> bool {
        matches!(answer, Err(error @ BoundaryError::IndexLost { .. }) if error.is_transient())
    }

    #[test]
    fn many_open_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = folder.path().join(round.to_string());
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| drop(SqliteIndex::open(&path, dataset().id()).unwrap()));
                }
            });
        }
    }

    #[tokio::test]
    async fn an_index_that_another_process_emptied_answers_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let open = || SqliteIndex::open(&folder.path().join("i.sqlite"), dataset().id()).unwrap();
        let (mut one, mut two) = (open(), open());
        one.fold(&commit(1, "a")).await.unwrap();
        two.folded().await.unwrap();
        two.clear().await.unwrap();
        assert!(is_lost(one.unknown(arrival("a")).await), "`a` would be taken a second time");
        two.fold(&commit(0, "z")).await.unwrap();
        assert!(is_lost(one.fold(&commit(2, "b")).await), "it would seem to hold lot 1");
        assert_eq!(one.folded().await.unwrap().unwrap().lot, commit(0, "z").lot_id);
        one.fold(&commit(1, "a")).await.unwrap();
        assert_eq!(one.unknown([arrival("a"), arrival("b")].concat()).await.unwrap(), arrival("b"));
    }

    #[tokio::test]
    async fn an_index_that_is_damaged_while_in_use_answers_nothing_until_it_is_asked_how_far_it_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i.sqlite");
        let mut index = SqliteIndex::open(&path, dataset().id()).unwrap();
        index.fold(&commit(1, "a")).await.unwrap();
        index.connection.execute_batch("DROP TABLE seen").unwrap();
        assert!(is_lost(index.unknown(arrival("a")).await) && is_lost(index.unknown(arrival("a")).await));
        assert_eq!(index.folded().await.unwrap(), None);
        index.fold(&commit(1, "a")).await.unwrap();
        assert_eq!(index.unknown(arrival("a")).await.unwrap(), []);
    }
}
