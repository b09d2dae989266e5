//! `arc formats`: the log formats, or the columns of one with types, units and meaning.

use arcs::format::{FORMATS, Format};
use arcs::partition::PartitionKey;

use super::{Context, Exit, Trouble};
use crate::output::{self, Cell, Output};

/// Arguments of `arc formats`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The format whose columns to show; all formats where not given.
    name: Option<String>,
}

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    match args.name {
        None => list(context.output)?,
        Some(name) => columns(find(&name)?, context)?,
    }
    Ok(Exit::Done)
}

/// The format of that name, or what to try instead.
pub fn find(name: &str) -> Result<&'static Format, Trouble> {
    let names = || FORMATS.iter().map(|format| format.name);
    arcs::format::find(name).ok_or_else(|| {
        let next = match project::nearest(name, names()) {
            Some(nearest) => nearest.to_owned(),
            None => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
        };
        Trouble::not_found(format!("`{name}` is no log format")).next(next)
    })
}

fn list(output: Output) -> std::io::Result<()> {
    let row = |format: &&'static Format| -> Vec<Cell> {
        vec![format.name.into(), format.columns.len().into(), format.summary.into(), format.page.into()]
    };
    output::print(output, &["format", "columns", "summary", "page"], FORMATS.iter().map(row).collect())
}

fn columns(format: &'static Format, context: &Context) -> std::io::Result<()> {
    let columns = arcs::output_columns(format, &[PartitionKey::Dt]);
    let row = |column: &arcs::format::Column| -> Vec<Cell> {
        let unit = Some(column.unit).filter(|unit| !unit.is_empty());
        vec![column.name.into(), column.kind.as_str().into(), unit.into(), column.meaning.into()]
    };
    output::print(context.output, &["column", "type", "unit", "meaning"], columns.iter().map(row).collect())?;
    if !context.quiet {
        eprintln!("{}: {}", format.name, format.page);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_right() {
        assert_eq!(find("s3-acces").unwrap_err().next.unwrap(), "s3-access");
        assert_eq!(find("s3-access").unwrap().name, "s3-access");
        assert_eq!(find("?").unwrap_err().exit, Exit::NotFound);
    }
}
