//! Loading a project: the one place of this library that reads files. A path flows in; a checked project flows out, or
//! everything that is wrong with it.

use std::path::Path;

use serde_json::Value;

use crate::error::ProjectError;
use crate::file::{Problem, Project};
use crate::jsonnet::{Origin, PROJECT_BYTES_MAX, render};
use crate::verify::judge;

/// What a project file is, at its shortest.
const OBJECT: &str = "{ project: {…}, placement: {…}, boundaries: […], arcs: […] }";

/// Reads, evaluates and judges a project file. `current` is the current folder, absolute; `variables` are what
/// `std.extVar` finds.
pub fn load(origin: &Origin, variables: &[(String, String)], current: &Path) -> Result<Project, ProjectError> {
    let mut document = render(origin, variables)?;
    let folder = current.join(origin.folder());
    let mut problems = include_queries(&mut document, &folder);
    match judge(document, &folder) {
        Ok(project) if problems.is_empty() => Ok(project),
        Ok(_) => Err(ProjectError::Problems { path: origin.name(), problems }),
        Err(more) => {
            problems.extend(more.into_iter().map(placed));
            Err(ProjectError::Problems { path: origin.name(), problems })
        }
    }
}

/// A problem of the file as a whole has no place in it.
fn placed(problem: Problem) -> Problem {
    match problem.path.is_empty() {
        true => Problem { path: "the file".to_owned(), fix: problem.fix.or_else(|| Some(OBJECT.to_owned())), ..problem },
        false => problem,
    }
}

/// Puts the text of every arc's `workload.sqlFile` into its `workload.sql`, for files that are plain JSON.
fn include_queries(document: &mut Value, folder: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let arcs = document.get_mut("arcs").and_then(Value::as_array_mut);
    for (at, arc) in arcs.into_iter().flatten().enumerate() {
        let Some(workload) = arc.get_mut("workload").and_then(Value::as_object_mut) else { continue };
        let Some(Value::String(name)) = workload.get("sqlFile").cloned() else { continue };
        match read_query(&folder.join(&name)) {
            Ok(text) => {
                workload.remove("sqlFile");
                workload.insert("sql".to_owned(), Value::String(text));
            }
            Err(error) => problems.push(Problem {
                path: format!("arcs[{at}].workload.sqlFile"),
                message: format!("cannot read `{name}`: {error}"),
                fix: Some("the path is relative to the project file".to_owned()),
            }),
        }
    }
    problems
}

fn read_query(path: &Path) -> std::io::Result<String> {
    match std::fs::metadata(path)?.len() > PROJECT_BYTES_MAX {
        true => Err(std::io::Error::other(format!("it has more than {PROJECT_BYTES_MAX} bytes"))),
        false => std::fs::read_to_string(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn example() -> Origin {
        Origin::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/s3-access-logs.jsonnet"))
    }

    #[test]
    fn the_example_is_good_and_so_is_its_json() {
        let project = load(&example(), &[], Path::new("/")).unwrap();
        assert_eq!((project.boundaries.len(), project.arcs.len(), project.notes.len()), (1, 3, 0));
        let folder = tempfile::tempdir().unwrap();
        let twin = folder.path().join("twin.json");
        std::fs::write(&twin, render(&example(), &[]).unwrap().to_string()).unwrap();
        let json = load(&Origin::File(twin), &[], Path::new("/")).unwrap();
        assert_eq!(json.document, project.document);
        assert_eq!(json.arcs.len(), project.arcs.len());
    }

    #[test]
    fn a_query_knows_the_columns_that_a_conversion_writes() {
        let project = load(&example(), &[], Path::new("/")).unwrap();
        assert_eq!(project.arc("countErrors").unwrap().workload["schemas"]["main"], "s3-access");
    }

    #[test]
    fn a_file_that_is_no_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("project.json");
        std::fs::write(&path, "[]").unwrap();
        let error = load(&Origin::File(path), &[], Path::new("/")).unwrap_err();
        let ProjectError::Problems { problems, .. } = error else { panic!("{error}") };
        let told: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
        assert_eq!(told, ["the file: must be an object, not a list"]);
        assert_eq!(problems[0].fix.as_deref(), Some(OBJECT));
    }

    #[test]
    fn a_query_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut document = render(&example(), &[]).unwrap();
        document["arcs"][1]["workload"] = serde_json::json!({"sqlFile": "q.sql"});
        let path = folder.path().join("project.json");
        std::fs::write(&path, document.to_string()).unwrap();
        let error = load(&Origin::File(path.clone()), &[], Path::new("/")).unwrap_err();
        let ProjectError::Problems { problems, .. } = error else { panic!("{error}") };
        expect![[r#"
            [
                Problem {
                    path: "arcs[1].workload.sqlFile",
                    message: "cannot read `q.sql`: No such file or directory (os error 2)",
                    fix: Some(
                        "the path is relative to the project file",
                    ),
                },
            ]"#]]
        .assert_eq(&format!("{problems:#?}"));
        std::fs::write(folder.path().join("q.sql"), "SELECT * FROM main").unwrap();
        let project = load(&Origin::File(path), &[], Path::new("/")).unwrap();
        assert_eq!(project.arc("countErrors").unwrap().workload["sql"], "SELECT * FROM main");
    }
}
