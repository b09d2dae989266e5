//! What a convert arc asks for: its parameters flow in; a [`Shaping`] and how Parquet is written flow out, or everything
//! that is wrong with them by itself, whatever the format.

use serde_json::Value;

use super::redact::Redaction;
use crate::format::Grammar;
use crate::partition::{Partition, PartitionKey};
use crate::shape::Shape;
use crate::workload::Problem;
use crate::write::{Codec, WriteOptions};

/// Partition keys of an arc.
const PARTITIONS_MAX: usize = 8;

/// MiB of a row group's text at most: with `sortBy` it is held in memory.
pub(crate) const ROW_GROUP_MIB_MAX: u32 = 512;

/// MiB of a file's text at most.
pub(crate) const FILE_MIB_MAX: u32 = 1 << 16;

/// Names of codecs.
const CODECS: [(&str, Codec); 3] = [("zstd", Codec::Zstd), ("snappy", Codec::Snappy), ("none", Codec::None)];

/// A column that rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Its name.
    pub column: String,
    /// Whether the greatest value is first; nulls are last either way.
    pub is_descending: bool,
}

impl SortKey {
    /// `name`, or `-name` for descending.
    pub fn named(text: &str) -> SortKey {
        let name = text.strip_prefix('-');
        SortKey { column: name.unwrap_or(text).to_owned(), is_descending: name.is_some() }
    }
}

/// How the rows of a format become the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shaping {
    /// What rows are partitioned by, outermost first.
    pub partitions: Vec<Partition>,
    /// One SELECT over the table `log`.
    pub select: Option<String>,
    /// What rows of a row group are sorted by.
    pub sort_by: Vec<SortKey>,
    /// Columns of the format that must not be kept as they are.
    pub redact: Vec<(String, Redaction)>,
    /// The environment variable with the key of hashes; empty for hashes without key.
    pub redact_key_env: Option<String>,
    /// Whether rejects keep their bytes, where that is said.
    pub rejects_raw: Option<bool>,
    /// Columns that get a Bloom filter, in place of those that the format has for ids.
    pub bloom: Option<Vec<String>>,
}

impl Default for Shaping {
    /// Rows as they are, partitioned by the day of the event.
    fn default() -> Self {
        Shaping::by(&[PartitionKey::Dt])
    }
}

impl Shaping {
    /// Rows as they are, partitioned by these keys.
    pub fn by(keys: &[PartitionKey]) -> Shaping {
        Shaping {
            partitions: keys.iter().copied().map(Partition::from).collect(),
            select: None,
            sort_by: Vec::new(),
            redact: Vec::new(),
            redact_key_env: None,
            rejects_raw: None,
            bloom: None,
        }
    }

    /// What the parameters of a workload say; parameters of another kind than they must be are passed over.
    pub fn read(workload: &Value) -> Result<Shaping, Vec<Problem>> {
        let mut problems = Vec::new();
        let texts = |key: &str| -> Option<Vec<String>> {
            Some(workload.get(key)?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let text = |key: &str| workload.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut shaping = Shaping {
            select: text("select"),
            sort_by: texts("sortBy").unwrap_or_default().iter().map(|key| SortKey::named(key)).collect(),
            redact_key_env: text("redactKeyEnv"),
            bloom: texts("bloom"),
            ..Shaping::default()
        };
        if let Some(partitions) = texts("partitions") {
            shaping.partitions = partitions.iter().map(|name| Partition::named(name)).collect();
        }
        if shaping.partitions.len() > PARTITIONS_MAX {
            problems.push(Problem::new("workload.partitions", format!("has more than {PARTITIONS_MAX} keys")).fix("use fewer"));
        }
        for (name, way) in workload.get("redact").and_then(Value::as_object).into_iter().flatten() {
            match Redaction::read(way) {
                Ok(way) => shaping.redact.push((name.clone(), way)),
                Err(message) => problems.push(Problem::new(format!("workload.redact.{name}"), message)),
            }
        }
        match text("rejectsRaw").as_deref() {
            None => {}
            Some("keep") => shaping.rejects_raw = Some(true),
            Some("drop") => shaping.rejects_raw = Some(false),
            Some(other) => problems.push(Problem::new("workload.rejectsRaw", format!("is `{other}`")).fix("'keep' or 'drop'")),
        }
        problems.extend(shaping.check_key());
        if problems.is_empty() { Ok(shaping) } else { Err(problems) }
    }

    /// Whether hashes have a key, or do without one on purpose.
    pub fn check_key(&self) -> Option<Problem> {
        let hashes = self.redact.iter().any(|redaction| redaction.1 == Redaction::Hash);
        match (&self.redact_key_env, hashes) {
            (None, true) => {
                let problem = Problem::new("workload.redactKeyEnv", "is missing: without a key, who can guess a value can check the guess");
                Some(problem.fix("name an environment variable that holds a key, or '' for hashes without one"))
            }
            (Some(_), false) => Some(Problem::new("workload.redactKeyEnv", "has no use: nothing is hashed").fix("remove it")),
            _ => None,
        }
    }

    /// Whether rejects keep their bytes: unless something is redacted, which could be among them.
    pub fn keeps_raw(&self) -> bool {
        self.rejects_raw.unwrap_or(self.redact.is_empty())
    }

    /// Everything that is wrong with it for a format. Where the columns are in the logs, only what does not need them.
    pub fn check(&self, grammar: &dyn Grammar) -> Vec<Problem> {
        if grammar.inferred(&[]).is_some() {
            let wrong = self.select.as_deref().and_then(|sql| super::select::check(sql).err());
            return wrong.map(|message| Problem::new("workload.select", message)).into_iter().collect();
        }
        Shape::new(self, grammar).err().unwrap_or_default()
    }
}

/// How the parameters of a workload say that Parquet is cut and encoded; parameters of another kind than they must be are
/// passed over.
pub fn parquet(workload: &Value) -> Result<WriteOptions, Vec<Problem>> {
    let (mut options, mut problems) = (WriteOptions::default(), Vec::new());
    let mut whole = |key: &str, max: u32| {
        let number = workload.get(key)?.as_f64()?;
        let is_right = number.fract() == 0.0 && (1.0..=f64::from(max)).contains(&number);
        if !is_right {
            problems.push(Problem::new(format!("workload.{key}"), format!("must be a whole number from 1 to {max}")));
        }
        is_right.then_some(number as u32)
    };
    if let Some(level) = whole("zstdLevel", 22) {
        options.zstd_level = level as i32;
    }
    if let Some(mib) = whole("rowGroupMiB", ROW_GROUP_MIB_MAX) {
        options.row_group_text_bytes = (mib as usize) << 20;
    }
    if let Some(mib) = whole("fileMiB", FILE_MIB_MAX) {
        options.part_text_bytes = u64::from(mib) << 20;
    }
    if let Some(name) = workload.get("compression").and_then(Value::as_str) {
        match CODECS.iter().find(|codec| codec.0 == name) {
            Some((_, codec)) => options.codec = *codec,
            None => {
                let known = CODECS.map(|codec| codec.0).join(", ");
                problems.push(Problem::new("workload.compression", format!("`{name}` is no compression")).fix(format!("use {known}")));
            }
        }
        if workload.get("zstdLevel").is_some() && name != "zstd" {
            problems.push(Problem::new("workload.zstdLevel", "is for compression zstd").fix("remove it"));
        }
    }
    if problems.is_empty() { Ok(options) } else { Err(problems) }
}
