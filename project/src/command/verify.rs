//! `arc verify`: every problem of a project file at once, or the pipeline that it describes.

use std::io::Write;

use manifests::ArcSpec;
use project::{Placement, Problem, Project, ProjectError, columns};

use super::{Context, Exit, ProjectArgs};
use crate::logs;
use crate::output::{self, Cell, Output, escape, plural};

/// Arguments of `arc verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    project: ProjectArgs,
}

/// Judges the file; problems go to stdout as a listing.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    match with_queries(args.project.read()?, &args.project).await {
        Ok(project) => {
            describe(&project, context.output)?;
            if !context.quiet {
                project.notes.iter().for_each(tell);
            }
            Ok(Exit::Done)
        }
        Err(ProjectError::Problems { path, problems }) => {
            let count = problems.len();
            print_problems(problems, context.output)?;
            logs::fail(&format!("{} has {}", escape(&path), plural(count, "problem")), None);
            Ok(Exit::Usage)
        }
        Err(error) => Err(super::usage(error).into()),
    }
}

/// Says something about the file that is no problem.
pub fn tell(note: &Problem) {
    logs::note(&format!("{}: {}", escape(&note.path), escape(&note.message)), note.fix.as_deref().map(escape).as_deref());
}

/// Also plans every query over the columns of its sources, as far as they are known from the file.
async fn with_queries(read: Result<Project, ProjectError>, args: &ProjectArgs) -> Result<Project, ProjectError> {
    let project = read?;
    let mut problems = Vec::new();
    for arc in &project.arcs {
        if let Some(Err(error)) = columns::planned(&project, arc).await {
            let listed = project.document["arcs"].as_array().into_iter().flatten();
            let at = listed.zip(0..).find(|(found, _)| found["name"] == arc.id.arc.as_str()).map_or(0, |(_, at)| at);
            problems.push(Problem { path: format!("arcs[{at}].workload.sql"), message: error.to_string(), fix: None });
        }
    }
    match problems.is_empty() {
        true => Ok(project),
        false => Err(ProjectError::Problems { path: args.project.display().to_string(), problems }),
    }
}

fn print_problems(problems: Vec<Problem>, output: Output) -> std::io::Result<()> {
    if output == Output::Table {
        let mut stdout = std::io::stdout().lock();
        for problem in problems {
            writeln!(stdout, "{}: {}", escape(&problem.path), escape(&problem.message))?;
            if let Some(fix) = problem.fix {
                writeln!(stdout, "  try: {}", escape(&fix))?;
            }
        }
        return Ok(());
    }
    let row = |problem: Problem| vec![Cell::Text(problem.path), Cell::Text(problem.message), problem.fix.into()];
    output::print(output, &["path", "problem", "try"], problems.into_iter().map(row).collect())
}

fn describe(project: &Project, output: Output) -> std::io::Result<()> {
    if output == Output::Table {
        return std::io::stdout().lock().write_all(pipeline(project).as_bytes());
    }
    let boundaries = project.boundaries.iter().map(|boundary| {
        let unit = boundary.unit.name();
        vec![
            "boundary".into(),
            boundary.name.clone().into(),
            "watch".into(),
            unit.into(),
            Cell::Null,
            boundary.dataset.id().to_string().into(),
        ]
    });
    let arcs = project.arcs.iter().map(|arc| {
        let sources: Vec<String> = arc.sources.iter().map(|source| source.dataset.id().to_string()).collect();
        let sinks: Vec<String> = arc.sinks.iter().map(|sink| sink.dataset.id().to_string()).collect();
        let names: [Cell; 4] = ["arc".into(), arc.id.arc.clone().into(), super::kind(arc).into(), arc.unit.name().into()];
        names.into_iter().chain([sources.join(" ").into(), sinks.join(" ").into()]).collect()
    });
    output::print(output, &["step", "name", "type", "unit", "sources", "sinks"], boundaries.chain(arcs).collect())
}

/// The pipeline as a tree: datasets, below each the arcs that read it.
fn pipeline(project: &Project) -> String {
    let place = match &project.placement {
        Placement::Local { root_uri } => root_uri.clone(),
        Placement::Aws { account, region, .. } => format!("AWS account {account} in {region}"),
    };
    let mut text = format!("{} {} on {}\n", project.name, project.version, escape(&place));
    for boundary in &project.boundaries {
        let dataset = boundary.dataset.id().to_string();
        text += &format!("\n{} (boundary, {})  {}\n", boundary.name, boundary.unit, escape(&boundary.dataset.path_uri));
        branch(project, &dataset, "", true, &mut text);
    }
    text
}

fn branch(project: &Project, dataset: &str, indent: &str, is_last: bool, text: &mut String) {
    let (fork, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    *text += &format!("{indent}{fork}{dataset}\n");
    // An arc with several sources stands below the first; there is no circle, so this ends.
    let reads = |arc: &&ArcSpec| arc.sources.first().is_some_and(|source| source.dataset.id().to_string() == dataset);
    let arcs: Vec<&ArcSpec> = project.arcs.iter().filter(reads).collect();
    for (at, arc) in arcs.iter().enumerate() {
        let is_last_arc = at + 1 == arcs.len();
        let indent = format!("{indent}{below}");
        let others: Vec<String> = arc.sources.iter().skip(1).map(|source| source.dataset.id().to_string()).collect();
        let with = if others.is_empty() { String::new() } else { format!(" with {}", others.join(", ")) };
        *text += &format!("{indent}{}{} ({}, {}){with}\n", if is_last_arc { "└─ " } else { "├─ " }, arc.id.arc, super::kind(arc), arc.unit);
        for (at, sink) in arc.sinks.iter().enumerate() {
            let indent = format!("{indent}{}", if is_last_arc { "   " } else { "│  " });
            branch(project, &sink.dataset.id().to_string(), &indent, at + 1 == arc.sinks.len(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_example_as_a_tree() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let origin = project::Origin::File(folder.join("s3-access-logs.jsonnet"));
        let project = project::load(&origin, &[], std::path::Path::new("/")).unwrap();
        let text = pipeline(&project).replace(&folder.display().to_string(), "…");
        expect![[r#"
            s3-access-logs 1 on file://…/lake

            incoming (boundary, Twelfths)  file://…/incoming/
            └─ s3-access-logs/1
               └─ toParquet (convert, Twelfths)
                  ├─ s3-access-rejects/1
                  └─ s3-access-parquet/1
                     ├─ countErrors (query, Twelfths)
                     │  └─ s3-access-errors/1
                     └─ hourlyReport (query, Hours)
                        └─ s3-access-hourly/1
        "#]]
        .assert_eq(&text);
    }
}
