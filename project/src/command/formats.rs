//! `arc formats`: the log formats, or the options and columns of one with types, units and meaning; and the format that
//! the arguments of other commands name.

use std::sync::Arc;

use arcs::format::{FORMATS, Format, Grammar, OptionKind, compile};
use serde_json::{Map, Value};

use super::{Context, Exit, Trouble};
use crate::logs;
use crate::output::{self, Cell, Output};

/// Arguments of `arc formats`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The format whose columns to show; all formats where not given.
    name: Option<String>,
    /// An option of the format, where its columns depend on it; may be given more than once.
    #[arg(long = "format-option", value_name = "KEY=VALUE", requires = "name")]
    options: Vec<String>,
    /// Show the options of the format instead of its columns.
    #[arg(long, requires = "name", conflicts_with = "options")]
    list_options: bool,
}

/// Lists them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    match args.name {
        None => list(context.output)?,
        Some(name) if args.list_options => options(find(&name)?, context)?,
        Some(name) => columns(&named(&name, &args.options)?, context)?,
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

/// A format with its options.
#[derive(Clone, Debug)]
pub struct Named {
    /// The format.
    pub format: &'static Format,
    /// As a project file would have it.
    pub spec: Value,
    /// How it reads.
    pub grammar: Arc<dyn Grammar>,
}

/// The format that arguments name, with options as `KEY=VALUE`: a text as it is, anything else as JSON.
pub fn named(name: &str, options: &[String]) -> Result<Named, Trouble> {
    let format = find(name)?;
    let mut spec = Map::from_iter([("name".to_owned(), Value::from(name))]);
    for option in options {
        let Some((key, value)) = option.split_once('=') else {
            return Err(
                Trouble::usage(format!("--format-option {option}: use KEY=VALUE")).next(format!("arc formats {name} --list-options"))
            );
        };
        let kind = format.options.iter().find(|known| known.name == key).map(|known| known.kind);
        let json = || serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        spec.insert(key.to_owned(), if kind == Some(OptionKind::Text) { Value::from(value) } else { json() });
    }
    of_spec(&if spec.len() == 1 { Value::from(name) } else { Value::Object(spec) })
}

/// The format that a project file has: its name, or an object with its options.
pub fn of_spec(spec: &Value) -> Result<Named, Trouble> {
    let name = spec.as_str().or_else(|| spec.get("name")?.as_str()).unwrap_or_default();
    let format = find(name)?;
    match compile(spec) {
        Ok(grammar) => Ok(Named { format, spec: spec.clone(), grammar }),
        Err(problems) => {
            let problems: Vec<String> = problems.into_iter().map(|problem| format!("{} {}", problem.at, problem.message)).collect();
            let trouble = Trouble::usage(format!("format {name}: {}", problems.join("; ").trim()));
            Err(trouble.next(format!("arc formats {name} --list-options")))
        }
    }
}

fn list(output: Output) -> std::io::Result<()> {
    let row = |format: &&'static Format| -> Vec<Cell> {
        let options: Vec<&str> = format.options.iter().map(|option| option.name).collect();
        vec![format.name.into(), format.summary.into(), options.join(", ").into(), format.page.into()]
    };
    match output {
        Output::Table => {
            output::print(output, &["format", "reads"], FORMATS.iter().map(|format| row(format).into_iter().take(2).collect()).collect())
        }
        _ => output::print(output, &["format", "summary", "options", "page"], FORMATS.iter().map(row).collect()),
    }
}

fn options(format: &'static Format, context: &Context) -> std::io::Result<()> {
    let row =
        |option: &arcs::format::FormatOption| -> Vec<Cell> { vec![option.name.into(), option.kind.as_str().into(), option.meaning.into()] };
    output::print(context.output, &["option", "type", "meaning"], format.options.iter().map(row).collect())
}

fn columns(named: &Named, context: &Context) -> std::io::Result<()> {
    let columns = arcs::output_columns(named.grammar.as_ref());
    let row = |column: &arcs::format::Column| -> Vec<Cell> {
        let unit = Some(column.unit).filter(|unit| !unit.is_empty());
        vec![column.name.clone().into_owned().into(), column.kind.as_str().into(), unit.into(), column.meaning.clone().into_owned().into()]
    };
    output::print(context.output, &["column", "type", "unit", "meaning"], columns.iter().map(row).collect())?;
    if !context.quiet {
        logs::say(&format!("{}: {}", named.format.name, named.format.page));
        if !named.format.options.is_empty() {
            logs::say(&format!("options: arc formats {} --list-options", named.format.name));
        }
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
