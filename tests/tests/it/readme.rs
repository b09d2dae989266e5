//! What the README shows is what the program takes: its snippets of project files verify, and its commands have the
//! subcommands and options that they name. A statement for another reader runs in `readers.rs`.

use std::path::Path;

use tests::program::{Finished, arc, finish};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");

/// What the snippets of a project on AWS stand in: a boundary, and an arc that makes the dataset that they read.
const LAKE: &str = "{
  project: { name: 'lake', version: '1' },
  placement: { provider: 'aws', stage: 'test', account: '123456789012', region: 'us-east-2' },
  boundaries: [{ type: 'aws:core:s3PutListenerBoundary', name: 'ingress', lotUnit: 'Twelfths',
                 dataset: { name: 'raw-logs', version: '1', pathURI: 's3://my-raw-logs/s3/' } }],
  arcs: [{ type: 'convert', name: 'convert', sources: { main: { name: 'raw-logs', version: '1' } },
           sinks: { main: { name: 'access-logs', version: '1', pathURI: 's3://my-data/access/' } },
           workload: { format: 's3-access' } }],
}";

/// What the snippets of a convert arc stand in.
const LOCAL: &str = "local lake = {
  project: { name: 'lake', version: '1' },
  placement: { provider: 'local', root: 'lake' },
  boundaries: [{ type: 'watch', name: 'in', lotUnit: 'Twelfths', dataset: { name: 'raw', version: '1', pathURI: 'logs/' } }],
  arcs: [{ type: 'convert', name: 'convert', sources: { main: { name: 'raw', version: '1' } },
           sinks: { main: { name: 'rows', version: '1', pathURI: 'rows/' } } }],
};";

/// The fenced blocks of the README in a language.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(README).expect("the README is there");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// A whole project around a snippet.
fn project(snippet: &str) -> String {
    if snippet.starts_with("workload:") {
        return format!("{LOCAL} lake {{ arcs: [lake.arcs[0] {{ {snippet} }}] }}");
    }
    if snippet.starts_with("{ type:") {
        return format!("local lake = {LAKE}; lake {{ arcs+: [ {snippet} ] }}");
    }
    format!("{LAKE} + {{ {snippet} }}")
}

fn verify(folder: &Path, project: &str) -> Finished {
    let file = folder.join("lake.jsonnet");
    std::fs::write(&file, project).expect("a project");
    finish(arc(&["verify", "-p"]).arg(file))
}

#[test]
fn every_snippet_of_a_project_file_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut count = 0;
    for block in blocks("jsonnet") {
        // Where there are several workloads, each is one of its own.
        let alternatives = block.split("\nworkload:").count() > 1;
        let snippets: Vec<&str> = if alternatives { block.lines().collect() } else { vec![block.trim_end()] };
        for snippet in snippets.into_iter().filter(|snippet| !snippet.is_empty()) {
            let done = verify(folder.path(), &project(snippet));
            assert_eq!(done.code, Some(0), "{snippet}\n{}{}", done.out, done.err);
            count += 1;
        }
    }
    assert_eq!(count, 10, "snippets that were verified");
}

/// The subcommand and the options of each command of the program that a text shows.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let lines = text.replace("\\\n", " ");
    let command = |line: &str| {
        let words = line.trim_start().strip_prefix("$ ")?.split("  #").next()?.strip_prefix("arc ")?.to_owned();
        let option = |word: &str| word.starts_with("--").then(|| word.split('=').next().unwrap_or_default().to_owned());
        let name = words.split_whitespace().next()?.to_owned();
        Some((name, words.split_whitespace().filter_map(option).collect()))
    };
    lines.lines().filter_map(command).collect()
}

#[test]
fn every_command_has_the_options_that_are_shown() {
    let shown: Vec<_> = blocks("console").iter().flat_map(|block| commands(block)).collect();
    assert!(shown.len() > 30, "{shown:?}");
    for (name, options) in shown {
        let help = finish(&mut arc(&[&name, "--help"]));
        assert_eq!(help.code, Some(0), "arc {name}: {help:?}");
        let known: Vec<&str> = help.out.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-')).collect();
        for option in options {
            assert!(known.contains(&option.as_str()), "arc {name} has no {option}");
        }
    }
}

#[test]
fn the_table_of_commands_has_all_of_them() {
    let help = finish(&mut arc(&["--help"])).out;
    let listed = help.split("Commands:\n").nth(1).expect("commands").split("\n\n").next().unwrap_or_default().to_owned();
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty()).collect();
    assert!(names.len() > 20, "{names:?}");
    let text = std::fs::read_to_string(README).expect("the README is there");
    let table = text.split("## Commands").nth(1).expect("the section");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(table.contains(&format!("`arc {name}`")), "the README's table lacks arc {name}");
    }
}
