//! `arc ddl`: the statement that makes a dataset a table of Athena, with partition projection, so that no crawler and no
//! `MSCK REPAIR` is ever needed. Columns come from the format, or from the newest committed file.

use std::io::Write;

use arcs::partition::Partition;
use arcs::shape::{Shape, Shaping};
use arcs::write::Codec;
use manifests::Stores;
use project::athena::{self, COMMENT_CHARACTERS_MAX, FIRST_DAY, athena_type, named, properties, table_name};
use project::columns::{self, Known};
use project::{Owner, Produced, Project};

use super::lots::find_dataset;
use super::shaping::misshapen;
use super::{Context, Exit, ProjectArgs, Trouble, formats};
use crate::cloud::CloudArgs;
use crate::known;
use crate::logs;

/// Arguments of `arc ddl`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The dataset, by name or name/version.
    #[arg(long, required_unless_present = "format", conflicts_with_all = ["format", "location"])]
    dataset: Option<String>,
    /// Without a project: the log format that was converted.
    #[arg(long, requires = "location")]
    format: Option<String>,
    /// Without a project: an option of the format; may be given more than once.
    #[arg(long = "format-option", value_name = "KEY=VALUE", requires = "format")]
    format_options: Vec<String>,
    /// Without a project: where its Parquet lies, s3://bucket/folder/.
    #[arg(long, value_name = "URI", requires = "format")]
    location: Option<String>,
    /// Without a project: the partition folders, outermost first.
    #[arg(long, visible_alias = "partition", value_delimiter = ',', default_value = "dt")]
    partitions: Vec<String>,
    /// Without a project: the `select` of the conversion.
    #[arg(long, value_name = "SQL", requires = "format")]
    select: Option<String>,
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
    #[command(flatten)]
    cloud: CloudArgs,
}

fn day(text: &str) -> Result<String, String> {
    text.parse::<chrono::NaiveDate>().map(|day| day.to_string()).map_err(|_| "use a date such as 2023-07-17".to_owned())
}

/// A table of Athena.
#[derive(Debug)]
struct Table {
    name: String,
    comment: String,
    known: Known,
    codec: Codec,
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
        logs::note(&format!("Athena reads from S3; put the files of {} there and change LOCATION", table.location), None);
    }
    std::io::stdout().lock().write_all(statement(&table).as_bytes())?;
    Ok(Exit::Done)
}

fn of_format(args: &Args, format: &str, location: &str) -> Result<Table, Trouble> {
    let named = formats::named(format, &args.format_options)?;
    let partitions = args.partitions.iter().map(|name| Partition::named(name)).collect();
    let shaping = Shaping { partitions, select: args.select.clone(), ..Shaping::default() };
    let shape = Shape::new(&shaping, named.grammar.as_ref()).map_err(misshapen)?;
    Ok(Table {
        name: table_name(args.table.as_deref().unwrap_or(named.format.name)),
        comment: named.format.summary.to_owned(),
        known: columns::of_shape(&shape),
        codec: Codec::default(),
        location: format!("{}/", location.trim_end_matches('/')),
        first_day: args.first_day.clone(),
    })
}

async fn of_dataset(args: &Args) -> anyhow::Result<Table> {
    let file = args.project.clone().ok_or_else(|| Trouble::usage("--dataset needs the project file").next("-p FILE"))?;
    let from = ProjectArgs { project: file, ext_str: args.ext_str.clone(), cloud: args.cloud.clone() };
    let project = from.load()?;
    let produced = find_dataset(&project, args.dataset.as_deref().unwrap_or_default())?;
    let table = table_of(&project, &from.stores(&project).await?, &produced).await?;
    Ok(Table { name: table_name(args.table.as_deref().unwrap_or(&produced.dataset.name)), first_day: args.first_day.clone(), ..table })
}

async fn table_of(project: &Project, stores: &Stores, produced: &Produced) -> anyhow::Result<Table> {
    let arc = producer(project, produced)?.to_owned();
    let codec = project.arc(&arc).map(athena::codec).unwrap_or_default();
    let known = known::of_dataset(project, stores, produced).await?;
    let unknown = || Trouble::not_found(format!("{} has no file yet that would show its columns", produced.dataset.id()));
    Ok(Table {
        name: table_name(&produced.dataset.name),
        comment: format!("{} by arc {arc} of {} {}", produced.dataset.id(), project.name, project.version),
        known: known.ok_or_else(|| unknown().next("arc up --once -p FILE, then again"))?,
        codec,
        location: produced.dataset.path_uri.clone(),
        first_day: FIRST_DAY.to_owned(),
    })
}

/// The statement for a dataset of a project, with everything as it is where nothing is said.
pub async fn usual_statement(project: &Project, stores: &Stores, produced: &Produced) -> anyhow::Result<String> {
    Ok(statement(&table_of(project, stores, produced).await?))
}

/// The name of the arc that writes the dataset; logs as they arrive are no table.
fn producer<'a>(project: &Project, produced: &'a Produced) -> Result<&'a str, Trouble> {
    let name = match &produced.owner {
        Owner::Arc { name, .. } => return Ok(name),
        Owner::Boundary(name) => name,
    };
    let is_arc = |found: &Produced| matches!(found.owner, Owner::Arc { .. });
    let tables: Vec<String> = project.produced().into_iter().filter(is_arc).map(|found| found.dataset.name).collect();
    let message = format!("{} is what boundary `{name}` takes in: log objects, not Parquet", produced.dataset.id());
    Err(Trouble::usage(message).next(format!("--dataset with one of {}", tables.join(", "))))
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
    let column =
        |column: &columns::Described| format!("  {} {}{}", identifier(&column.name), athena_type(&column.kind), comment(&column.meaning));
    let columns: Vec<String> = table.known.columns.iter().map(column).collect();
    let mut text = format!("CREATE EXTERNAL TABLE IF NOT EXISTS {} (\n{}\n)\n", identifier(&table.name), columns.join(",\n"));
    text += &format!("COMMENT {}\n", literal(&table.comment));
    let keys: Vec<String> =
        table.known.partitions.iter().map(|key| format!("{} string{}", identifier(&key.name), comment(&named(key)))).collect();
    if !keys.is_empty() {
        text += &format!("PARTITIONED BY ({})\n", keys.join(", "));
    }
    text += &format!("STORED AS PARQUET\nLOCATION {}\nTBLPROPERTIES (\n", literal(&table.location));
    let properties: Vec<String> = properties(&table.known, table.codec, &table.location, &table.first_day)
        .iter()
        .map(|(key, value)| format!("  {} = {}", literal(key), literal(value)))
        .collect();
    text + &properties.join(",\n") + "\n);\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcs::partition::PartitionKey;
    use arcs::shape::PartitionColumn;
    use arrow::datatypes::DataType;
    use expect_test::expect;
    use project::columns::Described;

    #[test]
    fn a_table_with_hostile_words() {
        let table = Table {
            name: table_name("Access-Logs; DROP"),
            comment: "it's\n\\ over".into(),
            known: Known {
                columns: vec![
                    Described { name: "na`me".into(), kind: DataType::Utf8, meaning: "x' y".repeat(100) },
                    Described { name: "n".into(), kind: DataType::Int64, meaning: String::new() },
                ],
                partitions: ["dt", "hour"].map(|name| PartitionColumn { name: name.into(), kind: DataType::Utf8 }).into(),
            },
            codec: Codec::Snappy,
            location: "s3://bucket/it's/".into(),
            first_day: "2023-07-17".into(),
        };
        expect![[r#"
            CREATE EXTERNAL TABLE IF NOT EXISTS `access_logs__drop` (
              `na``me` string COMMENT 'x\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' yx\' ',
              `n` bigint
            )
            COMMENT 'it\'s \\ over'
            PARTITIONED BY (`dt` string, `hour` string)
            STORED AS PARQUET
            LOCATION 's3://bucket/it\'s/'
            TBLPROPERTIES (
              'parquet.compression' = 'SNAPPY',
              'projection.enabled' = 'true',
              'projection.dt.type' = 'date',
              'projection.dt.format' = 'yyyy-MM-dd',
              'projection.dt.range' = '2023-07-17,NOW+1DAYS',
              'projection.dt.interval' = '1',
              'projection.dt.interval.unit' = 'DAYS',
              'projection.hour.type' = 'integer',
              'projection.hour.range' = '0,23',
              'projection.hour.digits' = '2',
              'storage.location.template' = 's3://bucket/it\'s/dt=${dt}/hour=${hour}/'
            );
        "#]].assert_eq(&statement(&table));
    }

    #[test]
    fn every_format_is_a_table() {
        for format in arcs::format::FORMATS {
            let mut spec: serde_json::Value = match format.examples[0].options {
                "" => serde_json::json!({}),
                options => serde_json::from_str(options).unwrap(),
            };
            spec["name"] = format.name.into();
            let grammar = arcs::format::compile(&spec).unwrap();
            let shape = Shape::new(&Shaping::by(&PartitionKey::ALL), grammar.as_ref()).unwrap();
            for column in columns::of_shape(&shape).columns {
                let kind = athena_type(&column.kind);
                assert!(
                    ["string", "binary", "int", "bigint", "double", "boolean", "timestamp"].contains(&kind.as_str()),
                    "{} {kind}",
                    column.name
                );
                assert!(column.meaning.chars().count() <= COMMENT_CHARACTERS_MAX, "{}: {}", column.name, column.meaning);
                assert!(PartitionKey::find(&column.name).is_none(), "{} is a partition and a column", column.name);
            }
        }
    }
}
