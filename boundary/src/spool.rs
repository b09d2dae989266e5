//! Objects that a backfill has found and no commit holds yet, on disk: a listing of millions flows in, one lot's worth flows
//! out, in the order of arrival. Memory does not grow with the listing. Made anew by every backfill and gone with it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use manifests::{Lot, LotUnit, Manifest};
use rusqlite::{Connection, Row, params};

use crate::arrivals::{Arrival, Taker};
use crate::error::BoundaryError;
use crate::index::{identities, remove_database};

/// Microseconds in a minute.
const MINUTE_MICROSECONDS: i64 = 60_000_000;

/// The objects of a time that wait for their lots.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    connection: Connection,
    after: DateTime<Utc>,
    before: DateTime<Utc>,
}

/// Objects and bytes that belong to one lot by their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LotShare {
    pub(crate) lot: Lot,
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    pub(crate) uri_bytes: usize,
}

impl Spool {
    /// An empty one at `path`, in place of what may be there, for objects that arrived at `after` or later and before
    /// `before`.
    pub fn create(path: &Path, after: DateTime<Utc>, before: DateTime<Utc>) -> Result<Spool, BoundaryError> {
        if let Some(folder) = path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        remove_database(path);
        let made = Connection::open(path).and_then(|connection| {
            // It need not outlast the process: no log, no waiting for the disk.
            connection.pragma_update(None, "journal_mode", "OFF")?;
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.execute_batch(
                "CREATE TABLE waiting (uri TEXT, mark TEXT, arrived INTEGER, size INTEGER, etag TEXT, version TEXT,
                     PRIMARY KEY (uri, mark)) WITHOUT ROWID;
                 CREATE INDEX by_time ON waiting (arrived, uri);",
            )?;
            // It goes with the process, however that ends.
            remove_database(path);
            Ok(connection)
        });
        let path = path.to_owned();
        match made {
            Ok(connection) => Ok(Spool { path, connection, after, before }),
            Err(source) => Err(BoundaryError::Spool { path: path.display().to_string(), source }),
        }
    }

    fn with<T>(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, BoundaryError> {
        let done = self.connection.transaction().and_then(|transaction| {
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.map_err(|source| BoundaryError::Spool { path: self.path.display().to_string(), source })
    }

    fn add(&mut self, arrivals: &[Arrival]) -> Result<(), BoundaryError> {
        let (after, before) = (self.after, self.before);
        self.with(|connection| {
            let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO waiting VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for arrival in arrivals.iter().filter(|arrival| after <= arrival.arrived && arrival.arrived < before) {
                let (arrived, size) = (arrival.arrived.timestamp_micros(), arrival.size.cast_signed());
                insert.execute(params![arrival.uri, arrival.mark(), arrived, size, arrival.etag, arrival.version_id])?;
            }
            Ok(())
        })
    }

    /// Takes out what a commit holds.
    pub(crate) fn remove(&mut self, manifest: &Manifest) -> Result<(), BoundaryError> {
        self.with(|connection| {
            let mut delete = connection.prepare_cached("DELETE FROM waiting WHERE uri = ?1 AND mark = ?2")?;
            identities(manifest).try_for_each(|(uri, mark)| delete.execute(params![uri, mark]).map(|_| ()))
        })
    }

    /// Takes out what was uploaded in parts and begun at `from` or later. Gives how many objects that are, and the last one's
    /// begin.
    pub(crate) fn leave_parts(&mut self, from: DateTime<Utc>) -> Result<Option<(usize, DateTime<Utc>)>, BoundaryError> {
        // The etag of such an object ends with the number of its parts.
        const IN_PARTS: &str = "FROM waiting WHERE arrived >= ?1 AND rtrim(etag, '\"') GLOB '*-[0-9]*'";
        let from = from.timestamp_micros();
        self.with(|connection| {
            let last: Option<i64> = connection.query_row(&format!("SELECT max(arrived) {IN_PARTS}"), [from], |row| row.get(0))?;
            let objects = connection.execute(&format!("DELETE {IN_PARTS}"), [from])?;
            Ok(last.and_then(DateTime::from_timestamp_micros).map(|last| (objects, last)))
        })
    }

    /// The earliest of those that arrived before `end`, at most so many.
    pub(crate) fn before(&mut self, end: DateTime<Utc>, objects_max: usize) -> Result<Vec<Arrival>, BoundaryError> {
        let (end, limit) = (end.timestamp_micros(), i64::try_from(objects_max).unwrap_or(i64::MAX));
        self.with(|connection| {
            let sql = "SELECT uri, arrived, size, etag, version FROM waiting WHERE arrived < ?1 ORDER BY arrived, uri LIMIT ?2";
            connection.prepare_cached(sql)?.query_map(params![end, limit], arrival)?.collect()
        })
    }

    /// What there is for each lot of `unit`, in order; lots without anything are left out.
    pub(crate) fn shares(&mut self, unit: LotUnit) -> Result<Vec<LotShare>, BoundaryError> {
        let length = i64::from(unit.minutes()) * MINUTE_MICROSECONDS;
        self.with(|connection| {
            // Integers are divided towards zero: times before 1970 have to be brought to the start of their lot first.
            let sql = "SELECT arrived - ((arrived % ?1) + ?1) % ?1 AS start, count(*), sum(size), sum(octet_length(uri)) FROM waiting
                 GROUP BY start ORDER BY start";
            let read = |row: &Row| {
                let start = DateTime::from_timestamp_micros(row.get(0)?).unwrap_or_default();
                let (objects, bytes, uri_bytes): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
                let count = |number| usize::try_from(number).unwrap_or(0);
                let lot = Lot::containing(unit, start);
                Ok(LotShare { lot, objects: count(objects), bytes: bytes.cast_unsigned(), uri_bytes: count(uri_bytes) })
            };
            connection.prepare(sql)?.query_map([length], read)?.collect()
        })
    }
}

fn arrival(row: &Row) -> rusqlite::Result<Arrival> {
    let arrived = DateTime::from_timestamp_micros(row.get(1)?).unwrap_or_default();
    let size = row.get::<_, i64>(2)?.cast_unsigned();
    Ok(Arrival { uri: row.get(0)?, size, etag: row.get(3)?, version_id: row.get(4)?, arrived })
}

#[async_trait]
impl Taker for Spool {
    async fn take(&mut self, batch: Vec<Arrival>) -> Result<(), BoundaryError> {
        self.add(&batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifests::Dataset;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn arrival(uri: &str, second: i64) -> Arrival {
        Arrival { uri: uri.into(), size: 2, etag: Some("e".into()), version_id: None, arrived: at(second) }
    }

    #[tokio::test]
    async fn what_waits_comes_in_the_order_of_arrival_and_goes_with_its_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/spool.sqlite");
        let mut spool = Spool::create(&path, at(-700), at(900)).unwrap();
        let all = [("d", 899), ("a", 300), ("b", -1), ("c", -700), ("too early", -701), ("too late", 900), ("a", 300)];
        spool.take(all.map(|(uri, second)| arrival(uri, second)).to_vec()).await.unwrap();
        let uris = |arrivals: Vec<Arrival>| arrivals.into_iter().map(|arrival| arrival.uri).collect::<String>();
        assert_eq!(uris(spool.before(at(900), 9).unwrap()), "cbad");
        assert_eq!(uris(spool.before(at(300), 9).unwrap()), "cb");
        assert_eq!(uris(spool.before(at(900), 1).unwrap()), "c");
        let shares = spool.shares(LotUnit::Twelfths).unwrap();
        let told: Vec<String> = shares.iter().map(|share| format!("{} {} {}", share.lot, share.objects, share.bytes)).collect();
        assert_eq!(told, ["19691231PT5M285 1 2", "19691231PT5M287 1 2", "19700101PT5M001 1 2", "19700101PT5M002 1 2"]);
        let dataset = Dataset { name: "raw".into(), version: "1".into(), path_uri: "memory:///raw/".into() };
        let held = ["c", "x"].map(|uri| arrival(uri, -700).into_object()).to_vec();
        spool.remove(&Manifest::new(dataset, shares[0].lot, held)).unwrap();
        assert_eq!(uris(spool.before(at(900), 9).unwrap()), "bad");
        let in_parts = |(uri, etag, second)| Arrival { etag: Some(String::from(etag)), ..arrival(uri, second) };
        spool.take([("e", "\"0a-2\"", 299), ("f", "0a-17", 300), ("g", "\"0a-2\"", 898)].map(in_parts).to_vec()).await.unwrap();
        assert_eq!(spool.leave_parts(at(300)).unwrap(), Some((2, at(898))));
        assert_eq!(spool.leave_parts(at(300)).unwrap(), None);
        assert_eq!(uris(spool.before(at(900), 9).unwrap()), "bead");
        assert!(!path.exists());
    }
}
