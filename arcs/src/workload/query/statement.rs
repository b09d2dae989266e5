//! The statement that Athena is given: a query and the committed files of its sources flow in, one UNLOAD flows out. The
//! query sees its sources and no other table, and of them the committed files alone, whatever lies beside them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chrono::{DateTime, Days, NaiveDate, Utc};
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Query, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Whitespace};
use manifests::Dataset;

use crate::committed::keys_of;
use crate::error::ArcsError;
use crate::partition::{FIRST_DAY, NO_VALUE, PartitionKey};
use crate::sql;

/// Bytes of a statement. Source: Athena user guide, "Service Quotas", maximum allowed query string length.
const STATEMENT_BYTES_MAX: usize = 262_144;

/// Functions of Athena whose values differ from run to run.
const UNREPEATABLE: [&str; 10] =
    ["now", "current_timestamp", "current_date", "current_time", "localtime", "localtimestamp", "rand", "random", "shuffle", "uuid"];

/// A source as Athena has it.
pub(super) struct Table<'a> {
    /// What the query may call it.
    pub names: Vec<String>,
    /// The database of the table.
    pub database: &'a str,
    /// The dataset.
    pub dataset: &'a Dataset,
    /// URIs of its files.
    pub files: Vec<&'a str>,
}

/// Whether Athena can run the query over tables of these names; otherwise says what to change.
pub(super) fn check(text: &str, names: &[String]) -> Result<(), String> {
    let query = sql::parse_select(text)?;
    let mut named = Named::default();
    let _ = query.visit(&mut named);
    if let Some(function) = named.functions.iter().find(|function| UNREPEATABLE.contains(&function.as_str())) {
        return Err(super::unrepeatable(function));
    }
    let is_known = |relation: &&String| named.queries.contains(*relation) || names.iter().any(|name| name.to_lowercase() == **relation);
    match named.relations.iter().find(|relation| !is_known(relation)) {
        Some(relation) => Err(format!("`{relation}` is no source of this arc: its tables are {}", names.join(", "))),
        None => Ok(()),
    }
}

/// What a query names, in lower case, as Athena reads names.
#[derive(Default)]
struct Named {
    relations: Vec<String>,
    queries: BTreeSet<String>,
    functions: Vec<String>,
}

impl Visitor for Named {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.queries.extend(tables.map(|table| table.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let parts = relation.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), |name| name.value.clone()));
        self.relations.push(parts.collect::<Vec<_>>().join(".").to_lowercase());
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.functions.push(function.name.to_string().to_lowercase());
        }
        ControlFlow::Continue(())
    }
}

/// The statement that writes the rows of a query below `folder` (an S3 URI that ends in a slash).
pub(super) fn unload(text: &str, tables: &[Table<'_>], folder: &str) -> Result<String, ArcsError> {
    let names: Vec<String> = tables.iter().flat_map(|table| table.names.clone()).collect();
    let job = |message| ArcsError::Job { message };
    check(text, &names).map_err(job)?;
    let (query, mut known) = (plain(text).map_err(job)?, BTreeSet::new());
    let mut with: Vec<String> = Vec::new();
    for table in tables {
        let mut own = table.names.iter().filter(|name| known.insert(name.to_lowercase()));
        let Some(first) = own.next() else { continue };
        with.push(format!("{} AS ({})", quoted(first), committed(table)?));
        with.extend(own.map(|name| format!("{} AS (SELECT * FROM {})", quoted(name), quoted(first))));
    }
    let (with, folder) = (with.join(",\n"), literal(folder));
    let statement = format!(
        "UNLOAD (SELECT * FROM (WITH\n{with}\nSELECT * FROM (\n{query}\n) AS \"query\") AS \"result\")\nTO {folder} WITH (format = 'PARQUET', compression = 'ZSTD')"
    );
    if statement.len() <= STATEMENT_BYTES_MAX {
        return Ok(statement);
    }
    let (files, bytes) = (tables.iter().map(|table| table.files.len()).sum::<usize>(), statement.len());
    Err(job(format!(
        "with the names of its {files} files the query has {bytes} bytes, and Athena takes {STATEMENT_BYTES_MAX}; read fewer and larger \
         files: let a query arc of engine datafusion and a coarser lotUnit join them, or give this arc a finer lotUnit"
    )))
}

/// The rows of exactly the files of a table. Folders are named beside the files, so that no other is looked into.
fn committed(table: &Table<'_>) -> Result<String, ArcsError> {
    let from = format!("SELECT * FROM {}.{}", quoted(table.database), quoted(&sql::table_name(&table.dataset.name)));
    let Some(first) = table.files.first() else { return Ok(format!("{from} WHERE false")) };
    let keys: Vec<&str> = keys_of(table.dataset, first).map(|found| found.0).collect();
    let mut values: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); keys.len()];
    for file in &table.files {
        let own: Vec<(&str, &str)> = keys_of(table.dataset, file).collect();
        if !own.iter().map(|found| found.0).eq(keys.iter().copied()) {
            let message = format!("`{first}` and `{file}` lie in folders of different keys, and Athena finds those of one alone");
            return Err(ArcsError::Job { message: format!("{message}; make the older lots anew with arc replay") });
        }
        for (values, (_, value)) in values.iter_mut().zip(own) {
            values.insert(value);
        }
    }
    let folders = keys.iter().zip(&values).map(|(key, values)| one_of(key, values.iter().copied()));
    let conditions: Vec<String> = folders.chain([one_of("$path", table.files.iter().copied())]).collect();
    Ok(format!("{from} WHERE {}", conditions.join(" AND ")))
}

fn one_of<'a>(column: &str, values: impl Iterator<Item = &'a str>) -> String {
    let values: Vec<String> = values.map(literal).collect();
    format!("{} IN ({})", quoted(column), values.join(", "))
}

/// Whether Athena computes the folder that a file lies in, by the projection that tables are made with: days from
/// [`FIRST_DAY`] to tomorrow, hours. Rows without a time have a folder that is no day.
pub(super) fn is_found(dataset: &Dataset, uri: &str, now: DateTime<Utc>) -> bool {
    let is_day = |text: &str, format: &str| {
        let first = NaiveDate::parse_from_str(FIRST_DAY, "%Y-%m-%d").unwrap_or_default();
        let last = now.date_naive() + Days::new(1);
        NaiveDate::parse_from_str(text, format).is_ok_and(|day| (first..=last).contains(&day))
    };
    keys_of(dataset, uri).all(|(key, value)| match PartitionKey::find(key) {
        Some(PartitionKey::Dt) => is_day(value, "%Y-%m-%d"),
        Some(PartitionKey::TimeYmd) => is_day(value, "%Y%m%d"),
        Some(PartitionKey::Hour) => value != NO_VALUE,
        Some(PartitionKey::Lot) | None => true,
    })
}

/// The query without comments and without a semicolon at its end, so that it can stand inside another.
fn plain(text: &str) -> Result<String, String> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).with_unescape(false).tokenize().map_err(|error| error.to_string())?;
    let written = |token: &Token| match token {
        Token::SemiColon => String::new(),
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => "\n".to_owned(),
        token => token.to_string(),
    };
    Ok(tokens.iter().map(written).collect::<String>().trim().to_owned())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn dataset() -> Dataset {
        Dataset { name: "Access-Logs".into(), version: "1".into(), path_uri: "s3://data/it's/".into() }
    }

    fn table<'a>(dataset: &'a Dataset, files: &[&'a str]) -> Table<'a> {
        let names = ["main", "Access-Logs", "access_logs"].map(str::to_owned).into();
        Table { names, database: "test_lake_1", dataset, files: files.to_vec() }
    }

    #[test]
    fn only_committed_files_are_read() {
        let (dataset, sql) = (dataset(), "-- why\nWITH few AS (SELECT * FROM main) /* ; */\nSELECT 'it''s; --' AS \"a\" FROM few; -- end");
        let files = ["s3://data/it's/dt=2026-11-20/lot=a/x.parquet", "s3://data/it's/dt=2026-11-21/lot=a/x.parquet"];
        expect![[r#"
            UNLOAD (SELECT * FROM (WITH
            "main" AS (SELECT * FROM "test_lake_1"."access_logs" WHERE "dt" IN ('2026-11-20', '2026-11-21') AND "lot" IN ('a') AND "$path" IN ('s3://data/it''s/dt=2026-11-20/lot=a/x.parquet', 's3://data/it''s/dt=2026-11-21/lot=a/x.parquet')),
            "Access-Logs" AS (SELECT * FROM "main"),
            "access_logs" AS (SELECT * FROM "main")
            SELECT * FROM (
            WITH few AS (SELECT * FROM main) 

            SELECT 'it''s; --' AS "a" FROM few
            ) AS "query") AS "result")
            TO 's3://results/1/' WITH (format = 'PARQUET', compression = 'ZSTD')"#]]
        .assert_eq(&unload(sql, &[table(&dataset, &files)], "s3://results/1/").unwrap());
        let nothing = unload("SELECT 1 AS one FROM main", &[table(&dataset, &[])], "s3://results/1/").unwrap();
        assert!(nothing.contains(r#""main" AS (SELECT * FROM "test_lake_1"."access_logs" WHERE false)"#), "{nothing}");
    }

    #[test]
    fn what_athena_cannot_do_is_said() {
        let dataset = dataset();
        let say = |sql: &str, files: &[&str]| unload(sql, &[table(&dataset, files)], "s3://r/").unwrap_err().to_string();
        let many: Vec<String> = (0..4_000).map(|at| format!("s3://data/it's/dt=2026-11-20/{at:060}.parquet")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let said = [
            say("SELECT * FROM other.t", &[]),
            say("SELECT * FROM main JOIN (SELECT * FROM elsewhere) AS e ON true", &[]),
            say("SELECT CURRENT_TIMESTAMP AS at FROM main", &[]),
            say("SELECT 1 AS n FROM main WHERE Random() > 0.5", &[]),
            say("DROP TABLE main", &[]),
            say("SELECT 1 AS n) TO 's3://elsewhere/' --", &[]),
            say("SELECT * FROM main", &["s3://data/it's/dt=2026-11-20/x", "s3://data/it's/dt=2026-11-20/bucket=b/x"]),
            say("SELECT * FROM main", &many),
        ];
        expect![[r#"
            `other.t` is no source of this arc: its tables are main, Access-Logs, access_logs
            `elsewhere` is no source of this arc: its tables are main, Access-Logs, access_logs
            current_timestamp() gives other rows when the lot is run again; use the times in the data, or `lot`
            random() gives other rows when the lot is run again; use the times in the data, or `lot`
            only SELECT is allowed: a query reads and writes nothing else
        "#]]
        .assert_eq(&(said[..5].join("\n") + "\n"));
        assert!(said[5].starts_with("the SQL does not parse"), "{}", said[5]);
        assert!(said[6].contains("lie in folders of different keys") && said[6].contains("arc replay"), "{}", said[6]);
        assert!(said[7].contains("4000 files") && said[7].contains("262144"), "{}", said[7]);
    }

    #[test]
    fn folders_that_athena_computes() {
        let (dataset, now) = (dataset(), "2026-11-21T10:00:00Z".parse().unwrap());
        let found = |folders: &str| is_found(&dataset, &format!("s3://data/it's/{folders}/x.parquet"), now);
        assert!(
            ["dt=2026-11-22", "dt=2006-01-01/hour=05", "time_ymd=20261121/lot=x", "bucket=__HIVE_DEFAULT_PARTITION__"]
                .map(found)
                .iter()
                .all(|is| *is)
        );
        let lost =
            ["dt=2026-11-23", "dt=2005-12-31", "dt=__HIVE_DEFAULT_PARTITION__", "hour=__HIVE_DEFAULT_PARTITION__", "time_ymd=2026-11-21"];
        assert_eq!(lost.map(found), [false; 5]);
    }
}
