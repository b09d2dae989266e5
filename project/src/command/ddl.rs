//! `arc ddl`: the statement that makes a dataset a table of Athena, with partition projection, so that no crawler and no
//! `MSCK REPAIR` is ever needed. Columns come from the format, or from the newest committed file.

use std::io::Write;

use arcs::partition::PartitionKey;
use arrow::datatypes::{DataType, Field, TimeUnit};
use manifests::{ArcSpec, Stores};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::async_reader::ParquetObjectReader;
use project::{Owner, Produced, Project};
use serde_json::Value;

use super::lots::find_dataset;
use super::{Context, Exit, ProjectArgs, Trouble, formats};
use crate::engine;

/// The longest comment that Athena keeps, in characters.
const COMMENT_CHARACTERS_MAX: usize = 255;
/// The first day that partitions are looked for, where nothing else is said: before the first cloud log was written.
const FIRST_DAY: &str = "2006-01-01";

/// Arguments of `arc ddl`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The dataset, by name or name/version.
    #[arg(long, required_unless_present = "format", conflicts_with_all = ["format", "location"])]
    dataset: Option<String>,
    /// Without a project: the log format that was converted.
    #[arg(long, requires = "location")]
    format: Option<String>,
    /// Without a project: where its Parquet lies, s3://bucket/folder/.
    #[arg(long, value_name = "URI", requires = "format")]
    location: Option<String>,
    /// Without a project: the partition folders, outermost first.
    #[arg(long, value_delimiter = ',', default_value = "dt", value_parser = partition)]
    partitions: Vec<PartitionKey>,
    /// The table's name; the dataset's, or the format's, where not given.
    #[arg(long)]
    table: Option<String>,
    /// The first day of the table; earlier rows are not found by it.
    #[arg(long, value_name = "DATE", default_value = FIRST_DAY, value_parser = day)]
    first_day: String,
    /// The project file, JSON or Jsonnet; `-` reads stdin.
    #[arg(short, long = "project", value_name = "FILE", env = "ARC_PROJECT")]
    project: Option<std::path::PathBuf>,
    /// A Jsonnet external variable; may be given more than once.
    #[arg(long = "ext-str", value_name = "KEY=VALUE")]
    ext_str: Vec<String>,
}

fn partition(text: &str) -> Result<PartitionKey, String> {
    PartitionKey::find(text).ok_or_else(|| format!("use {}", PartitionKey::ALL.map(PartitionKey::as_str).join(", ")))
}

fn day(text: &str) -> Result<String, String> {
    text.parse::<chrono::NaiveDate>().map(|day| day.to_string()).map_err(|_| "use a date such as 2023-07-17".to_owned())
}

/// A table of Athena.
#[derive(Debug)]
struct Table {
    name: String,
    comment: String,
    /// Name, type, comment.
    columns: Vec<(String, String, String)>,
    partitions: Vec<PartitionKey>,
    location: String,
    first_day: String,
}

/// Writes the statement.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let table = match (&args.format, &args.location) {
        (Some(format), Some(location)) => of_format(&args, format, location)?,
        _ => of_dataset(&args).await?,
    };
    if !table.location.starts_with("s3://") && !context.quiet {
        eprintln!("note: Athena reads from S3; put the files of {} there and change LOCATION", table.location);
    }
    std::io::stdout().lock().write_all(statement(&table).as_bytes())?;
    Ok(Exit::Done)
}

fn of_format(args: &Args, format: &str, location: &str) -> Result<Table, Trouble> {
    let format = formats::find(format)?;
    let columns = arcs::output_columns(format, &args.partitions);
    Ok(Table {
        name: table_name(args.table.as_deref().unwrap_or(format.name)),
        comment: format.summary.to_owned(),
        columns: described(&columns),
        partitions: args.partitions.clone(),
        location: format!("{}/", location.trim_end_matches('/')),
        first_day: args.first_day.clone(),
    })
}

async fn of_dataset(args: &Args) -> anyhow::Result<Table> {
    let file = args.project.clone().ok_or_else(|| Trouble::usage("--dataset needs the project file").next("-p FILE"))?;
    let project = ProjectArgs { project: file, ext_str: args.ext_str.clone() }.load()?;
    let produced = find_dataset(&project, args.dataset.as_deref().unwrap_or_default())?;
    let arc = producer(&project, &produced)?;
    let (columns, partitions) = columns(&project, arc, &produced).await?;
    Ok(Table {
        name: table_name(args.table.as_deref().unwrap_or(&produced.dataset.name)),
        comment: format!("{} by arc {} of {} {}", produced.dataset.id(), arc.id.arc, project.name, project.version),
        columns,
        partitions,
        location: produced.dataset.path_uri.clone(),
        first_day: args.first_day.clone(),
    })
}

/// The arc that writes the dataset; logs as they arrive are no table.
fn producer<'a>(project: &'a Project, produced: &Produced) -> Result<&'a ArcSpec, Trouble> {
    let tables = || {
        let is_arc = |found: &Produced| matches!(found.owner, Owner::Arc { .. });
        project.produced().into_iter().filter(is_arc).map(|found| found.dataset.name).collect::<Vec<_>>().join(", ")
    };
    match &produced.owner {
        Owner::Arc { name, .. } => project.arc(name).ok_or_else(|| Trouble::not_found(format!("arc `{name}` is not run here"))),
        Owner::Boundary(name) => {
            let message = format!("{} is what boundary `{name}` takes in: log objects, not Parquet", produced.dataset.id());
            Err(Trouble::usage(message).next(format!("--dataset with one of {}", tables())))
        }
    }
}

type Columns = Vec<(String, String, String)>;

async fn columns(project: &Project, arc: &ArcSpec, produced: &Produced) -> anyhow::Result<(Columns, Vec<PartitionKey>)> {
    let role = match &produced.owner {
        Owner::Arc { role, .. } => role.as_str(),
        Owner::Boundary(_) => "",
    };
    let format = arc.workload.get("format").and_then(Value::as_str).and_then(arcs::format::find);
    match (arc.kind.as_str(), format, role) {
        ("convert", Some(format), manifests::MAIN_ROLE) => {
            let partitions = partitions_of(arc);
            Ok((described(&arcs::output_columns(format, &partitions)), partitions))
        }
        ("convert", Some(_), _) => Ok((described(&arcs::reject_columns()), Vec::new())),
        _ => {
            let stores = engine::open_stores(project)?;
            let fields = newest_file(&stores, produced).await?;
            let next = || "arc up --once -p FILE, then again";
            let fields = fields.ok_or_else(|| Trouble::not_found(format!("{} has no file yet", produced.dataset.id())).next(next()))?;
            Ok((
                fields.iter().map(|field| (field.name().clone(), athena_type(field.data_type()), String::new())).collect(),
                partitions_of(arc),
            ))
        }
    }
}

fn partitions_of(arc: &ArcSpec) -> Vec<PartitionKey> {
    match arc.workload.get("partitions").and_then(Value::as_array) {
        Some(keys) => keys.iter().filter_map(Value::as_str).filter_map(PartitionKey::find).collect(),
        None => vec![PartitionKey::Dt],
    }
}

/// The columns of the newest Parquet file of a dataset; `None` where there is none.
async fn newest_file(stores: &Stores, produced: &Produced) -> anyhow::Result<Option<Vec<Field>>> {
    let lots = stores.lots(&produced.dataset.id()).await?;
    for lot in lots.into_keys().rev() {
        let manifest = stores.latest(&produced.dataset, lot).await?;
        let Some(object) = manifest.and_then(|manifest| manifest.objects.into_iter().find(|object| object.uri.ends_with(".parquet")))
        else {
            continue;
        };
        let located = stores.objects.locate(&object.uri)?;
        let reader = ParquetObjectReader::new(located.store, located.path);
        let schema = ParquetRecordBatchStreamBuilder::new(reader).await?.schema().clone();
        return Ok(Some(schema.fields().iter().map(|field| field.as_ref().clone()).collect()));
    }
    Ok(None)
}

fn described(columns: &[arcs::format::Column]) -> Columns {
    let comment = |column: &arcs::format::Column| match column.unit {
        "" => column.meaning.to_owned(),
        unit => format!("{} ({unit})", column.meaning),
    };
    columns.iter().map(|column| (column.name.to_owned(), column.kind.as_str().to_owned(), comment(column))).collect()
}

/// The type of a column in Athena's words.
fn athena_type(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::UInt8 => "smallint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "int".into(),
        DataType::Int64 | DataType::UInt32 => "bigint".into(),
        DataType::UInt64 => "decimal(20,0)".into(),
        DataType::Float16 | DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => {
            "timestamp".into()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary".into(),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) | DataType::Decimal128(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        DataType::List(field) | DataType::LargeList(field) => format!("array<{}>", athena_type(field.data_type())),
        DataType::Struct(fields) => {
            let inner: Vec<String> = fields.iter().map(|field| format!("{}:{}", field.name(), athena_type(field.data_type()))).collect();
            format!("struct<{}>", inner.join(","))
        }
        DataType::Dictionary(_, value) => athena_type(value),
        _ => "string".into(),
    }
}

/// A name that needs no quotes: lower case letters, digits and `_`.
fn table_name(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
}

fn identifier(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

fn literal(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    format!("'{}'", plain.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn comment(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(" COMMENT {}", literal(&text.chars().take(COMMENT_CHARACTERS_MAX).collect::<String>())),
    }
}

fn statement(table: &Table) -> String {
    let column = |(name, kind, meaning): &(String, String, String)| format!("  {} {kind}{}", identifier(name), comment(meaning));
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let mut text = format!("CREATE EXTERNAL TABLE IF NOT EXISTS {} (\n{}\n)\n", identifier(&table.name), columns.join(",\n"));
    text += &format!("COMMENT {}\n", literal(&table.comment));
    if !table.partitions.is_empty() {
        let keys: Vec<String> = table.partitions.iter().map(|key| format!("{} string", identifier(key.as_str()))).collect();
        text += &format!("PARTITIONED BY ({})\n", keys.join(", "));
    }
    text += &format!("STORED AS PARQUET\nLOCATION {}\nTBLPROPERTIES (\n", literal(&table.location));
    let properties: Vec<String> = properties(table).iter().map(|(key, value)| format!("  {} = {}", literal(key), literal(value))).collect();
    text + &properties.join(",\n") + "\n);\n"
}

fn properties(table: &Table) -> Vec<(String, String)> {
    let mut properties = vec![("parquet.compression".to_owned(), "ZSTD".to_owned())];
    if table.partitions.is_empty() {
        return properties;
    }
    properties.push(("projection.enabled".to_owned(), "true".to_owned()));
    for key in &table.partitions {
        let settings = projection(*key, &table.first_day);
        properties.extend(settings.into_iter().map(|(name, value)| (format!("projection.{}.{name}", key.as_str()), value)));
    }
    let folders: String = table.partitions.iter().map(|key| format!("{0}=${{{0}}}/", key.as_str())).collect();
    properties.push(("storage.location.template".to_owned(), format!("{}{folders}", table.location)));
    properties
}

/// How Athena finds the values of a key by itself. Lots have to be named in the query: there are too many to try.
fn projection(key: PartitionKey, first_day: &str) -> Vec<(&'static str, String)> {
    let date = |format: &str, first: String| {
        vec![
            ("type", "date".to_owned()),
            ("format", format.to_owned()),
            ("range", format!("{first},NOW+1DAYS")),
            ("interval", "1".to_owned()),
            ("interval.unit", "DAYS".to_owned()),
        ]
    };
    match key {
        PartitionKey::Dt => date("yyyy-MM-dd", first_day.to_owned()),
        PartitionKey::TimeYmd => date("yyyyMMdd", first_day.replace('-', "")),
        PartitionKey::Hour => {
            vec![("type", "integer".to_owned()), ("range", "0,23".to_owned()), ("digits", "2".to_owned())]
        }
        PartitionKey::Lot => vec![("type", "injected".to_owned())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_table_with_hostile_words() {
        let table = Table {
            name: table_name("Access-Logs; DROP"),
            comment: "it's\n\\ over".into(),
            columns: vec![("na`me".into(), "string".into(), "x' y".repeat(100)), ("n".into(), "bigint".into(), String::new())],
            partitions: vec![PartitionKey::Dt, PartitionKey::Hour],
            location: "s3://bucket/it's/".into(),
            first_day: "2023-07-17".into(),
        };
        expect![[r#""#]].assert_eq(&statement(&table));
    }

    #[test]
    fn every_format_is_a_table() {
        for format in arcs::format::FORMATS {
            for (name, kind, comment) in described(&arcs::output_columns(format, &PartitionKey::ALL)) {
                assert!(["string", "binary", "int", "bigint", "timestamp"].contains(&kind.as_str()), "{name} {kind}");
                assert!(comment.chars().count() <= COMMENT_CHARACTERS_MAX, "{name}: {comment}");
                assert!(PartitionKey::find(&name).is_none(), "{name} is a partition and a column");
            }
        }
    }

    #[test]
    fn types_of_results() {
        let kinds =
            [DataType::UInt64, DataType::Utf8View, DataType::Date32, DataType::Decimal128(10, 2), DataType::new_list(DataType::Int8, true)];
        assert_eq!(kinds.map(|kind| athena_type(&kind)), ["decimal(20,0)", "string", "date", "decimal(10,2)", "array<smallint>"]);
    }
}
