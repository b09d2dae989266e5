//! What the demo lays down: a project file and an hour of log objects whose modification times say when they arrived.
//! A folder and a time flow in, files flow out. A folder that holds anything else than an earlier demo is refused.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use manifests::{Lot, LotUnit};

use super::Trouble;
use crate::synth_logs::{Random, log_name, log_text};

/// Marks a folder that the demo made and may replace.
const MARKER: &str = ".arclake-demo";
/// What the demo makes in its folder.
const OWN: [&str; 4] = ["logs", "lake", "parquet", "demo.jsonnet"];
/// Lots with logs: an hour.
const LOTS: i32 = 12;
/// In this lot nothing arrives.
const EMPTY_LOT: i32 = 6;
/// In this lot an object arrives whose end is missing.
const TRUNCATED_LOT: i32 = 9;
/// The late object holds requests of this lot.
const LATE_LOT: i32 = 3;
/// Log objects a lot.
const OBJECTS: i32 = 2;
/// Requests an object.
const LINES: u32 = 5_500;
/// Requests of the small objects: the late one and the truncated one.
const FEW_LINES: u32 = 1_200;
/// How long after its last request a log object arrives, in seconds.
const DELIVERY_SECONDS: i64 = 20;
/// The seed of everything random.
const SEED: u64 = 20_260_817;

/// A demo on disk.
#[derive(Debug)]
pub struct DemoFiles {
    /// Its folder.
    pub root: PathBuf,
    /// The project file.
    pub project: PathBuf,
    /// The end of the hour of logs: what arrives then belongs to the lot that starts here.
    pub end: DateTime<Utc>,
    random: Random,
}

impl DemoFiles {
    /// Makes the folder and everything that arrives in time.
    pub fn write(root: &Path, now: DateTime<Utc>) -> anyhow::Result<DemoFiles> {
        clear(root)?;
        // Two lots are left for what arrives later, so that all of it lies in the past.
        let end = Lot::containing(LotUnit::Twelfths, now).start() - LotUnit::Twelfths.duration() * 2;
        let mut files = DemoFiles { root: root.to_owned(), project: root.join("demo.jsonnet"), end, random: Random::new(SEED) };
        let from = files.lot_start(0).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        fs::write(&files.project, include_str!("demo.jsonnet").replace("@FROM@", &from))?;
        fs::create_dir_all(root.join("logs"))?;
        for lot in (0..LOTS).filter(|lot| *lot != EMPTY_LOT) {
            (0..OBJECTS).try_for_each(|number| files.object(lot, number))?;
        }
        files.truncated()?;
        Ok(files)
    }

    fn lot_start(&self, lot: i32) -> DateTime<Utc> {
        self.end - LotUnit::Twelfths.duration() * (LOTS - lot)
    }

    /// An object in the middle of a lot; every second one is compressed.
    fn object(&mut self, lot: i32, number: i32) -> anyhow::Result<()> {
        let span = (LotUnit::Twelfths.duration() - TimeDelta::seconds(2 * DELIVERY_SECONDS)) / OBJECTS;
        let start = self.lot_start(lot) + span * number;
        let text = log_text(&mut self.random, start, span, LINES);
        let arrived = start + span + TimeDelta::seconds(DELIVERY_SECONDS);
        let name = log_name(&mut self.random, arrived);
        match number % 2 {
            0 => self.lay(&name, text.as_bytes(), arrived),
            _ => self.lay(&format!("{name}.gz"), &gzip(text.as_bytes())?, arrived),
        }
    }

    /// A compressed object of which the last third never came.
    fn truncated(&mut self) -> anyhow::Result<()> {
        let arrived = self.lot_start(TRUNCATED_LOT) + TimeDelta::seconds(100);
        let text = log_text(&mut self.random, arrived - TimeDelta::seconds(90), TimeDelta::seconds(60), FEW_LINES);
        let whole = gzip(text.as_bytes())?;
        let name = format!("{}-truncated.gz", log_name(&mut self.random, arrived));
        self.lay(&name, &whole[..whole.len() * 2 / 3], arrived)
    }

    /// What comes after the first run: an object that carries an old time, and one that is delivered a second time.
    pub fn write_late(&mut self) -> anyhow::Result<()> {
        let arrived = self.lot_start(LATE_LOT) + TimeDelta::seconds(200);
        let text = log_text(&mut self.random, arrived - TimeDelta::seconds(120), TimeDelta::seconds(60), FEW_LINES);
        let name = format!("{}-late", log_name(&mut self.random, arrived));
        self.lay(&name, text.as_bytes(), arrived)?;
        let logs = fs::read_dir(self.root.join("logs"))?.collect::<Result<Vec<_>, _>>()?;
        let first = logs.iter().map(fs::DirEntry::path).min().context("there are no logs")?;
        let (body, modified) = (fs::read(&first)?, fs::metadata(&first)?.modified()?);
        fs::write(&first, body)?;
        Ok(File::options().write(true).open(&first)?.set_modified(modified)?)
    }

    fn lay(&self, name: &str, body: &[u8], arrived: DateTime<Utc>) -> anyhow::Result<()> {
        let path = self.root.join("logs").join(name);
        let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(body)?;
        Ok(file.set_modified(SystemTime::from(arrived))?)
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Makes the folder empty, where an earlier demo made what is in it.
fn clear(root: &Path) -> anyhow::Result<()> {
    let refuse = |why: &str| Trouble::usage(format!("{} {why}", root.display())).next("arc demo --root A-NEW-FOLDER");
    if fs::symlink_metadata(root).is_ok_and(|found| !found.is_dir()) {
        return Err(refuse("is no folder").into());
    }
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    let is_empty = fs::read_dir(root)?.next().is_none();
    if !is_empty && !root.join(MARKER).is_file() {
        return Err(refuse("holds files that are not of a demo; nothing was touched").into());
    }
    fs::write(root.join(MARKER), "Made by `arc demo`, which replaces it when it runs again.\n")?;
    for name in OWN {
        let path = root.join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path)?,
            Ok(_) => fs::remove_file(&path)?,
            Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let now = Utc::now();
        let files = DemoFiles::write(&folder.path().join("demo"), now).unwrap();
        assert!(files.end < now - TimeDelta::minutes(9));
        DemoFiles::write(&files.root, now).unwrap();
        fs::write(folder.path().join("mine"), "x").unwrap();
        let refused = DemoFiles::write(folder.path(), now).unwrap_err().to_string();
        assert!(refused.contains("nothing was touched"), "{refused}");
        assert!(folder.path().join("mine").exists());
    }

    #[test]
    fn what_comes_late_looks_old_and_what_comes_again_looks_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = DemoFiles::write(folder.path(), Utc::now()).unwrap();
        let look = || -> std::collections::BTreeMap<_, _> {
            let entry = |entry: fs::DirEntry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap());
            fs::read_dir(folder.path().join("logs")).unwrap().map(|found| entry(found.unwrap())).collect()
        };
        let before = look();
        files.write_late().unwrap();
        let after = look();
        assert_eq!(after.len(), before.len() + 1);
        assert!(before.iter().all(|(name, modified)| after[name] == *modified));
        assert!(after.values().all(|modified| *modified < SystemTime::from(files.end)));
    }
}
