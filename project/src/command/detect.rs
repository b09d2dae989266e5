//! `arc detect`: which format logs are in. Files of any origin flow in; the likeliest format flows out, for each file or, for
//! people, once for all files that are alike, with what speaks for it and what to put into a project file.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arcs::decode::{Decoder, InflationLimit};
use arcs::detect::{Candidate, SAMPLE_BYTES, detect};
use serde_json::{Value, json};

use super::{Context, Exit, Trouble};
use crate::logs;
use crate::output::{self, Cell, Output, escape, plural};

/// Candidates that are told of.
const TOLD_MAX: usize = 3;
/// Values of the first row that are shown.
const VALUES_SHOWN: usize = 8;
/// Characters of such a value that are shown.
const VALUE_CHARACTERS: usize = 50;

/// Arguments of `arc detect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  arc detect /var/log/nginx/access.log")]
pub struct Args {
    /// Logs, plain or compressed; their first 64 KiB are looked at.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Detects.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let (mut found, mut empty) = (Vec::new(), Vec::new());
    for file in &args.files {
        let head = head(file)?;
        match head.is_empty() {
            true => empty.push(file.display().to_string()),
            false => found.push((file.as_path(), detect(&head))),
        }
    }
    let unknown: Vec<String> = found.iter().filter(|(_, found)| found.is_empty()).map(|(file, _)| file.display().to_string()).collect();
    if context.output == Output::Table {
        output::write(&grouped(&found).iter().map(story).collect::<String>())?;
    } else {
        let rows = found.iter().flat_map(|(file, candidates)| candidates.iter().map(|candidate| row(file, candidate))).collect();
        output::print(context.output, &["file", "format", "share", "rows", "doubtful", "rejected", "headers", "spec"], rows)?;
    }
    if !empty.is_empty() && !context.quiet {
        logs::say(&format!("empty: {}", escape(&empty.join(", "))));
    }
    if found.is_empty() {
        return Err(nothing().into());
    }
    if unknown.is_empty() {
        return Ok(Exit::Done);
    }
    let trouble = Trouble::not_found(format!("no format reads half of {}", escape(&unknown.join(", "))));
    Err(trouble.next("arc formats, which lists them; `regex` and `grok` read what nothing else does").into())
}

/// The start of a log, decompressed.
pub fn head(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(|error| Trouble::not_found(format!("{}: {error}", path.display())))?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        let message = format!("{} is a folder", path.display());
        return Err(Trouble::usage(message).next(format!("arc detect {}/*", path.display())).into());
    }
    let read = || format!("cannot read {}", path.display());
    let decoder = Decoder::new(file, InflationLimit::default()).with_context(read)?;
    let mut head = Vec::new();
    decoder.take(SAMPLE_BYTES as u64 + 1).read_to_end(&mut head).with_context(read)?;
    Ok(head)
}

fn row(file: &Path, candidate: &Candidate) -> Vec<Cell> {
    let share = format!("{:.3}", candidate.share());
    let counts = [candidate.rows, candidate.doubtful, candidate.rejected, candidate.headers].map(Cell::from);
    let start: [Cell; 3] = [file.display().to_string().into(), candidate.format.name.into(), share.into()];
    start.into_iter().chain(counts).chain([candidate.spec.to_string().into()]).collect()
}

/// Files that are in the same format, with the same options.
struct Group<'a> {
    first: &'a Path,
    others: usize,
    /// The candidates that all of them have; the evidence is that of all together.
    candidates: Vec<Candidate>,
}

impl Group<'_> {
    fn add(&mut self, candidates: &[Candidate]) {
        self.others += 1;
        self.candidates.retain_mut(|sum| match candidates.iter().find(|candidate| candidate.spec == sum.spec) {
            None => false,
            Some(same) => {
                sum.rows += same.rows;
                sum.doubtful += same.doubtful;
                sum.rejected += same.rejected;
                sum.headers += same.headers;
                sum.equals.retain(|name| same.equals.contains(name));
                true
            }
        });
    }
}

/// The files by their likeliest format, in the order in which formats are met; without those that have none.
fn grouped<'a>(found: &[(&'a Path, Vec<Candidate>)]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (file, candidates) in found {
        let Some(best) = candidates.first() else { continue };
        match groups.iter_mut().find(|group| group.candidates.first().is_some_and(|known| known.spec == best.spec)) {
            Some(group) => group.add(candidates),
            None => groups.push(Group { first: file, others: 0, candidates: candidates.clone() }),
        }
    }
    groups
}

/// What there is to say of files that are alike.
fn story(group: &Group<'_>) -> String {
    let Some(best) = group.candidates.first() else { return String::new() };
    let first = escape(&group.first.display().to_string());
    let files = match group.others {
        0 => first,
        others => format!("{first} and {}", plural(others, "more file")),
    };
    let mut text = format!("{files}: {}, {}\n", best.format.name, evidence(best));
    text += &format!("  {}\n  {}\n\n", best.format.summary, best.format.page);
    for (column, value) in best.first.iter().flat_map(|first| &first.columns) {
        let Some(value) = value else { continue };
        if text.matches("\n    ").count() >= VALUES_SHOWN {
            break;
        }
        let shown: String = escape(value).chars().take(VALUE_CHARACTERS).collect();
        text += &format!("\n    {:20}  {shown}", column.name);
    }
    text = text.replace("\n\n\n", "\n\n");
    text += &format!("\n\n  workload: {}\n", snippet(&best.spec));
    for other in group.candidates.iter().skip(1).take(TOLD_MAX - 1) {
        text += &format!("  or {}, {}\n", shown_spec(&other.spec), evidence(other));
    }
    text + "\n"
}

fn evidence(candidate: &Candidate) -> String {
    let Candidate { rows, doubtful, rejected, headers, .. } = candidate;
    let mut parts = vec![format!("{rows} of {} records read", rows + rejected)];
    if *doubtful > 0 {
        parts.push(format!("{doubtful} of them with doubt"));
    }
    if *headers > 0 {
        parts.push(format!("{headers} header line{}", if *headers == 1 { "" } else { "s" }));
    }
    if !candidate.equals.is_empty() {
        parts.push(format!("{} reads them as well", candidate.equals.join(" or ")));
    }
    parts.join(", ")
}

/// The workload as a project file has it.
fn snippet(spec: &Value) -> String {
    json!({"format": spec}).to_string()
}

fn shown_spec(spec: &Value) -> String {
    spec.as_str().map_or_else(|| spec.to_string(), str::to_owned)
}

/// The likeliest format of logs that all are in the same; what to do where there is none.
pub fn common(files: &[PathBuf]) -> anyhow::Result<Value> {
    let mut common: Option<(Value, String)> = None;
    let mut is_empty = true;
    for file in files {
        let head = head(file)?;
        is_empty &= head.is_empty();
        let found = detect(&head);
        let Some(best) = found.first() else { continue };
        match &common {
            Some((spec, first)) if *spec != best.spec => {
                let (one, other) = (shown_spec(spec), shown_spec(&best.spec));
                let message = format!("{} looks like {one} and {} like {other}", escape(first), escape(&file.display().to_string()));
                return Err(Trouble::usage(message).next("--format NAME, or one run for each format").into());
            }
            Some(_) => {}
            None => common = Some((best.spec.clone(), file.display().to_string())),
        }
    }
    let none = || match is_empty {
        true => nothing(),
        false => Trouble::not_found("no format reads half of what is in these files").next("arc formats, then --format NAME"),
    };
    Ok(common.ok_or_else(none)?.0)
}

/// Empty files have no format.
fn nothing() -> Trouble {
    Trouble::not_found("there is nothing in these files").next("files that have lines; an empty one converts with --format NAME")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_likeliest_with_its_evidence() {
        let line = super::super::formats::find("s3-access").unwrap().examples[0].text;
        let found = detect(format!("{line}\n{line}\nnonsense\n").as_bytes());
        let told = story(&Group { first: Path::new("a.log"), others: 0, candidates: found[..1].to_vec() });
        expect![[r#"
            a.log: s3-access, 2 of 3 records read
              Amazon S3 server access logs
              https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html

                bucket_owner          7cd47ef2be
                bucket                lake
                time                  2026-02-06T00:00:38Z
                remote_ip             192.0.2.3
                requester             7cd47ef2be
                request_id            3E57427F3EXAMPLE
                operation             REST.GET.OBJECT
                key                   a%2520b.txt

              workload: {"format":"s3-access"}

        "#]]
        .assert_eq(&told);
    }

    #[test]
    fn files_that_are_alike_are_told_of_together() {
        let example = |name: &str| super::super::formats::find(name).unwrap().examples[0].text;
        let (s3, alb) = (example("s3-access"), example("alb"));
        let paths = ["a", "b", "c", "d"].map(Path::new);
        let texts = [format!("{s3}\n"), format!("{alb}\n"), format!("{s3}\nnonsense\n{s3}\n"), "\u{1}\n".to_owned()];
        let found: Vec<_> = paths.into_iter().zip(&texts).map(|(path, text)| (path, detect(text.as_bytes()))).collect();
        let told: Vec<String> = grouped(&found).iter().map(|group| story(group).lines().next().unwrap_or_default().to_owned()).collect();
        expect![[r#"
            a and 1 more file: s3-access, 3 of 4 records read
            b: alb, 1 of 1 records read"#]]
        .assert_eq(&told.join("\n"));
    }

    #[test]
    fn empty_files_are_said_to_be_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "").unwrap();
        assert!(common(&[path]).unwrap_err().to_string().contains("nothing in these files"));
    }

    #[test]
    fn files_of_two_formats_have_none_in_common() {
        let folder = tempfile::tempdir().unwrap();
        let line = super::super::formats::find("s3-access").unwrap().examples[0].text;
        let path = folder.path().join("a.log");
        std::fs::write(&path, format!("{line}\n")).unwrap();
        assert_eq!(common(std::slice::from_ref(&path)).unwrap(), json!("s3-access"));
        assert!(common(&[]).is_err());
    }
}
