//! Shaping: what a convert arc asks of its rows flows in; a [`Shape`] flows out, which says what the table's columns and
//! partitions are and makes its rows of the format's. In this order: redaction, `select`, partition values; sorting is the
//! tables' own. Looks at no store; the same rows give the same rows on any thread.

mod apply;
mod folders;
mod redact;
mod select;
mod settings;
#[cfg(test)]
mod tests;

pub(crate) use apply::Shaped;
pub(crate) use folders::KINDS as PARTITION_KINDS;
pub use folders::PartitionColumn;
pub use redact::{RedactKey, Redaction};
pub(crate) use settings::{FILE_MIB_MAX, ROW_GROUP_MIB_MAX};
pub use settings::{Shaping, SortKey, parquet};

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use crate::columns::Kind;
use crate::format::{Column, Grammar, Values};
use crate::lineage::{LINEAGE, READING};
use crate::partition::{Partition, PartitionKey};
use crate::workload::Problem;
use crate::write::Stored;
use select::Select;

/// The name under which files say the types of partition columns, as JSON: folders show text alone.
pub(crate) const PARTITION_TYPES_KEY: &str = "arclake.partitions";

/// The column of event times.
const TIME: &str = "time";

/// Fields that a format does not know.
const EXTRA: &str = "extra";

/// A column of a table that a conversion writes.
#[derive(Clone, Debug)]
pub struct TableColumn {
    /// Name and type, as files declare them.
    pub field: Field,
    /// How its values repeat.
    pub values: Values,
    /// Whether it has a Bloom filter.
    pub has_bloom: bool,
    /// What it means and its unit; empty where nobody said.
    pub meaning: String,
}

impl From<&Column> for TableColumn {
    fn from(column: &Column) -> TableColumn {
        let meaning = match column.unit {
            "" => column.meaning.clone().into_owned(),
            unit => format!("{} ({unit})", column.meaning),
        };
        let has_bloom = column.values == Values::Identifying;
        TableColumn { field: column.kind.field(&column.name), values: column.values, has_bloom, meaning }
    }
}

impl From<&TableColumn> for Stored {
    fn from(column: &TableColumn) -> Stored {
        Stored { field: column.field.clone(), values: column.values, has_bloom: column.has_bloom }
    }
}

/// A compiled [`Shaping`] of one format.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The columns of the files, lineage at their end.
    pub columns: Vec<TableColumn>,
    /// What rows are partitioned by, outermost first.
    pub partitions: Vec<Partition>,
    /// The partition columns, in the order of `partitions`.
    pub partition_columns: Vec<PartitionColumn>,
    /// What the rows of a row group are sorted by, as places among `columns`, and whether downwards.
    pub sort: Vec<(usize, bool)>,
    /// Whether rejects keep their bytes.
    pub keeps_raw: bool,
    /// What is done to columns of a block, by their places there.
    redactions: Vec<(usize, Redaction)>,
    /// Places in a block of the columns that the table `log` has, before lineage.
    log: Vec<usize>,
    select: Option<Select>,
    /// The place of the event time among the outputs; the format's own where `None`.
    time: Option<usize>,
    /// Places among the outputs of the partition columns, and of the columns of the files.
    folders: Vec<usize>,
    files: Vec<usize>,
}

impl Shape {
    /// Whether rows are written as the format gives them.
    pub fn is_plain(&self) -> bool {
        self.select.is_none() && self.redactions.is_empty() && self.folders.is_empty()
    }

    /// The partitions as columns, outermost first: keys are text.
    pub fn partition_fields(&self) -> Vec<Field> {
        let kind = |name: &str| self.partition_columns.iter().find(|column| column.name == name).map(|column| column.kind.clone());
        let field = |partition: &Partition| Field::new(partition.as_str(), kind(partition.as_str()).unwrap_or(DataType::Utf8), true);
        self.partitions.iter().map(field).collect()
    }

    /// Whether values are hashed, so that a key is needed.
    pub fn needs_key(&self) -> bool {
        self.redactions.iter().any(|redaction| redaction.1 == Redaction::Hash)
    }

    /// Whether the lot is a column of the files.
    pub(crate) fn has_lot(&self) -> bool {
        !self.partitions.contains(&PartitionKey::Lot.into())
    }

    /// Whether rows past the bound on partitions lose a value when they go to the partition without one.
    pub(crate) fn loses_values(&self) -> bool {
        let has_time = |column: &TableColumn| column.field.name() == TIME && matches!(column.field.data_type(), DataType::Timestamp(..));
        !self.folders.is_empty() || !self.columns.iter().any(has_time)
    }

    /// Compiles; otherwise everything that is wrong with it, each with its place below `workload`.
    pub fn new(shaping: &Shaping, grammar: &dyn Grammar) -> Result<Shape, Vec<Problem>> {
        let rows: Vec<TableColumn> = grammar.columns().iter().chain(&READING).map(TableColumn::from).collect();
        let mut problems = check_redactions(shaping, &rows);
        let (log, redactions) = redacted(shaping, &rows);
        let log_columns: Vec<TableColumn> =
            log.iter().map(|column| rows[*column].clone()).chain(LINEAGE.iter().map(TableColumn::from)).collect();
        let fields: Vec<Field> = log_columns.iter().map(|column| column.field.clone()).collect();
        let planned = shaping.select.as_deref().map(|sql| Select::plan(sql, &Schema::new(fields))).transpose();
        let select = planned.map_err(|message| vec![Problem::new("workload.select", message)]);
        let (mut select, wrong) = match select {
            Ok(select) => (select, Vec::new()),
            Err(wrong) => (None, wrong),
        };
        problems.extend(wrong);
        if !problems.is_empty() {
            return Err(problems);
        }
        let outputs = outputs(select.as_mut(), &log_columns, log.len());
        problems.extend(check_outputs(&outputs, shaping));
        let (partition_columns, folders, wrong) = partition_columns(shaping, &outputs);
        problems.extend(wrong);
        let files: Vec<usize> = (0..outputs.len()).filter(|output| !folders.contains(output)).collect();
        let is_lot_folder = shaping.partitions.contains(&PartitionKey::Lot.into());
        let lineage = LINEAGE[usize::from(is_lot_folder)..].iter().map(TableColumn::from);
        let mut columns: Vec<TableColumn> = files.iter().map(|output| outputs[*output].clone()).chain(lineage).collect();
        let (sort, wrong) = sort_keys(shaping, &columns);
        problems.extend(wrong);
        problems.extend(set_blooms(shaping, &mut columns));
        if !problems.is_empty() {
            return Err(problems);
        }
        let is_time = |column: &TableColumn| column.field.name() == TIME && *column.field.data_type() == time_type();
        let time = select.as_ref().and_then(|_| outputs.iter().position(is_time));
        let (partitions, keeps_raw) = (shaping.partitions.clone(), shaping.keeps_raw());
        Ok(Shape { columns, partitions, partition_columns, sort, keeps_raw, redactions, log, select, time, folders, files })
    }
}

fn time_type() -> DataType {
    Kind::Time.data_type()
}

/// The columns of a block that stay, and what is done to which.
fn redacted(shaping: &Shaping, rows: &[TableColumn]) -> (Vec<usize>, Vec<(usize, Redaction)>) {
    let way = |column: &TableColumn| {
        let named = shaping.redact.iter().find(|redaction| redaction.0 == *column.field.name()).map(|redaction| redaction.1);
        let is_extra = column.field.name() == EXTRA && !shaping.redact.is_empty();
        named.or(is_extra.then_some(Redaction::Drop)).filter(|way| *way != Redaction::Keep)
    };
    let ways: Vec<(usize, Redaction)> =
        rows.iter().enumerate().filter_map(|(at, column)| way(column).map(|redaction| (at, redaction))).collect();
    let is_dropped = |at: &usize| ways.contains(&(*at, Redaction::Drop));
    ((0..rows.len()).filter(|at| !is_dropped(at)).collect(), ways)
}

fn check_redactions(shaping: &Shaping, rows: &[TableColumn]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, way) in &shaping.redact {
        let at = format!("workload.redact.{name}");
        let found = rows.iter().find(|column| column.field.name() == name);
        let problem = match (found, way) {
            (None, _) => unknown(at, name, rows, "of the format"),
            (Some(_), _) if name == TIME => Problem::new(at, "decides partitions and manifests").fix("leave it out with `select`"),
            (Some(_), Redaction::Keep) if name != EXTRA => {
                Problem::new(at, "is kept unless named here; `keep` is for `extra`").fix("remove it")
            }
            (Some(column), way) if way.needs_text() && *column.field.data_type() != DataType::Utf8 => {
                Problem::new(at, "is no text").fix("'drop', or change it in `select`")
            }
            _ => continue,
        };
        problems.push(problem);
    }
    problems
}

fn unknown(at: impl Into<String>, name: &str, columns: &[TableColumn], of: &str) -> Problem {
    let names: Vec<&str> = columns.iter().map(|column| column.field.name().as_str()).collect();
    Problem::new(at, format!("`{name}` is no column {of}")).fix(format!("use one of {}", names.join(", ")))
}

/// What rows have before partition columns are taken out of them: the columns of the `select`, without lineage, which
/// follows anyway; or all of the format's.
fn outputs(select: Option<&mut Select>, log: &[TableColumn], lineage: usize) -> Vec<TableColumn> {
    let Some(select) = select else { return log[..lineage].to_vec() };
    let is_lineage = |output: &select::Output| output.is.is_some_and(|is| is >= lineage && log[is].field.name() == output.field.name());
    select.retain(|output| !is_lineage(output));
    let column = |output: &select::Output| match output.is.map(|is| &log[is]) {
        Some(column) => TableColumn { field: column.field.clone().with_name(output.field.name()), ..column.clone() },
        None => TableColumn { field: output.field.clone(), values: Values::Repeating, has_bloom: false, meaning: String::new() },
    };
    select.outputs.iter().map(column).collect()
}

/// Names have to be lower_snake and different, none may be that of a key or of lineage, and types those that every reader
/// knows.
fn check_outputs(outputs: &[TableColumn], shaping: &Shaping) -> Vec<Problem> {
    if shaping.select.is_none() {
        return Vec::new();
    }
    let is_key = |name: &str| shaping.partitions.iter().any(|key| matches!(key, Partition::Key(_)) && key.as_str() == name);
    let mut problems = Vec::new();
    for (at, column) in outputs.iter().enumerate() {
        let name = column.field.name();
        let wrong = if !crate::sql::is_plain_name(name) {
            "has to be named with AS, in lower-case letters, digits and `_`".to_owned()
        } else if is_key(name) {
            "is the name of a partition key, which folders hold; leave it out or rename it with AS".into()
        } else if LINEAGE.iter().any(|lineage| lineage.name == *name) {
            "is the name of a column that follows at the end of every table; rename it with AS".into()
        } else if outputs[..at].iter().any(|other| other.field.name() == name) {
            "is there twice; rename one with AS".into()
        } else if !is_written(column.field.data_type()) {
            format!("has type {}, which not every reader knows; cast it", column.field.data_type())
        } else {
            continue;
        };
        problems.push(Problem::new("workload.select", format!("column `{name}` {wrong}")));
    }
    problems
}

fn is_written(kind: &DataType) -> bool {
    use DataType as D;
    let is_plain = matches!(kind, D::Utf8 | D::Binary | D::Boolean | D::Int32 | D::Int64 | D::Float32 | D::Float64 | D::Date32);
    is_plain || matches!(kind, D::Timestamp(TimeUnit::Microsecond, _) | D::Decimal128(..))
}

/// The partition columns and their places among the outputs.
fn partition_columns(shaping: &Shaping, outputs: &[TableColumn]) -> (Vec<PartitionColumn>, Vec<usize>, Vec<Problem>) {
    let (mut columns, mut places, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (n, partition) in shaping.partitions.iter().enumerate() {
        let (at, name) = (format!("workload.partitions[{n}]"), partition.as_str());
        if shaping.partitions[..n].contains(partition) {
            problems.push(Problem::new(at, format!("`{name}` is there twice")).fix("remove one"));
            continue;
        }
        let Partition::Column(name) = partition else { continue };
        let Some(place) = outputs.iter().position(|column| column.field.name() == name) else {
            let keys = PartitionKey::ALL.map(PartitionKey::as_str).join(", ");
            let names: Vec<&str> = outputs.iter().map(|column| column.field.name().as_str()).collect();
            let is_lineage = LINEAGE.iter().any(|lineage| lineage.name == name.as_str());
            let what = if is_lineage {
                "is a column of lineage, which stays in the files"
            } else {
                "is neither a partition key nor a column of the output"
            };
            problems.push(Problem::new(at, format!("`{name}` {what}")).fix(format!("use {keys}, or one of {}", names.join(", "))));
            continue;
        };
        let kind = outputs[place].field.data_type();
        if !folders::is_kind(kind) {
            let known = folders::KINDS.map(|kind| kind.0).join(", ");
            problems.push(Problem::new(at, format!("`{name}` is a {kind} and folders hold {known}")).fix("cast it in `select`"));
        }
        columns.push(PartitionColumn { name: name.clone(), kind: kind.clone() });
        places.push(place);
    }
    (columns, places, problems)
}

fn sort_keys(shaping: &Shaping, columns: &[TableColumn]) -> (Vec<(usize, bool)>, Vec<Problem>) {
    let (mut keys, mut problems) = (Vec::<(usize, bool)>::new(), Vec::new());
    for (n, key) in shaping.sort_by.iter().enumerate() {
        let at = format!("workload.sortBy[{n}]");
        match columns.iter().position(|column| *column.field.name() == key.column) {
            Some(place) if keys.iter().any(|known| known.0 == place) => {
                problems.push(Problem::new(at, format!("`{}` is there twice", key.column)).fix("remove one"));
            }
            Some(place) => keys.push((place, key.is_descending)),
            None if shaping.partitions.iter().any(|partition| partition.as_str() == key.column) => {
                problems
                    .push(Problem::new(at, format!("`{}` is a partition: the same in all rows of a file", key.column)).fix("remove it"));
            }
            None => problems.push(unknown(at, &key.column, columns, "of the files")),
        }
    }
    (keys, problems)
}

fn set_blooms(shaping: &Shaping, columns: &mut [TableColumn]) -> Vec<Problem> {
    let Some(bloom) = &shaping.bloom else { return Vec::new() };
    let mut problems = Vec::new();
    for (n, name) in bloom.iter().enumerate() {
        let at = format!("workload.bloom[{n}]");
        match columns.iter().find(|column| column.field.name() == name).map(|column| column.field.data_type()) {
            None => problems.push(unknown(at, name, columns, "of the files")),
            Some(DataType::Utf8 | DataType::Int32 | DataType::Int64) => {}
            Some(_) => problems.push(Problem::new(at, format!("`{name}` is neither text nor a whole number")).fix("remove it")),
        }
    }
    columns.iter_mut().for_each(|column| column.has_bloom = bloom.contains(column.field.name()));
    problems
}
