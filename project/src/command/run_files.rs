//! `arc run --format`: files flow in; Parquet, rejects and a receipt flow out. No project, no manifests: the names of the
//! files alone say which lot they are of, so files of a lot that the sink already has are either made anew (the lot was
//! given) or left alone (the next free lot is taken).

use std::path::{Path, PathBuf};
use std::time::Instant;

use arcs::read::SourceObject;
use arcs::shape::{RedactKey, Shaping};
use arcs::write::{Target, WriteOptions};
use arcs::{ConvertJob, ConvertLimits, Published, convert};
use futures::TryStreamExt;
use manifests::{Counts, Located, Lot, LotUnit, ObjectStores, State};
use object_store::ObjectStoreExt;

use super::formats::Named;
use super::run::counted;
use super::shaping::misshapen;
use super::{Context, Exit, Trouble};
use crate::engine::{self, Progress};
use crate::logs;
use crate::output::{Cell, escape, print_record};

/// Where rejects go, below the sink.
const REJECTS_FOLDER: &str = "_rejects";
/// Lots that are tried, from the lot of now on, for one that the sink does not have.
const FREE_LOTS_MAX: usize = 10_000;
/// Problems of objects that are told one by one.
const PROBLEMS_TOLD: usize = 20;
/// Lines that may be rejected before the exit code says so, in percent.
const REJECT_LIMIT_PERCENT: u64 = 5;

/// What to convert.
#[derive(Debug)]
pub struct Files<'a> {
    /// How the files read.
    pub format: &'a Named,
    /// Files and globs.
    pub inputs: &'a [String],
    /// Folder of the Parquet.
    pub sink: &'a Path,
    /// The lot; the lot of now or the next free one where not given.
    pub lot: Option<Lot>,
    /// How rows of the format become rows of the table.
    pub shaping: Shaping,
    /// How Parquet is cut and encoded.
    pub write: WriteOptions,
}

/// Converts, and writes the receipt.
pub async fn run(files: &Files<'_>, context: &Context) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let grammar = files.format.grammar.clone();
    let wrong = files.shaping.check(grammar.as_ref());
    if !wrong.is_empty() {
        return Err(misshapen(wrong).into());
    }
    let key = files.shaping.redact_key_env.as_deref().map(|name| RedactKey::read(name, |name| std::env::var(name).ok()));
    let redact_key = key.transpose().map_err(Trouble::usage)?;
    let objects = engine::local_objects();
    let (sources, folders) = sources(&objects, files.inputs)?;
    let main = target(&objects, files.sink)?;
    let rejects = below(&main);
    let held = Held::list(&main).await?;
    let lot = files.lot.unwrap_or_else(|| held.free_lot(Lot::containing(LotUnit::Twelfths, context.now)));
    let progress = Progress::new(context.progress);
    let line = progress.is_shown().then(|| progress.spinner(format!("{lot} {}", files.format.format.name)));
    let job = ConvertJob {
        grammar,
        lot,
        sources,
        main: main.clone(),
        rejects,
        shaping: files.shaping.clone(),
        redact_key,
        limits: ConvertLimits::new(engine::threads(), files.sink.to_owned()),
        write: files.write,
        progress: line
            .map(|line| -> std::sync::Arc<dyn Fn(arcs::Progress) + Send + Sync> { std::sync::Arc::new(move |at| line.show(&at)) }),
    };
    let staged = convert(job).await?;
    let counts = *staged.counts();
    let problems = staged.problems.clone();
    let published = staged.publish().await?;
    held.remove_others(lot, &published).await?;
    tell(&problems, context);
    let state = state(&counts, !(problems.is_empty() && folders.is_empty()));
    print(lot, state, &counts, started.elapsed().as_secs_f64(), &published, &main, context)?;
    let is_past_limit = counts.rejected * 100 > REJECT_LIMIT_PERCENT * counts.lines;
    Ok(if state == State::Partial || is_past_limit { Exit::Partial } else { Exit::Done })
}

/// The files, each once, in the order given; those of one glob by name. Folders are told and left out.
fn sources(objects: &ObjectStores, inputs: &[String]) -> anyhow::Result<(Vec<SourceObject>, Vec<PathBuf>)> {
    let mut seen = std::collections::HashSet::new();
    let (mut sources, mut folders) = (Vec::new(), Vec::new());
    for input in inputs {
        for path in expand(input)? {
            let path = std::path::absolute(&path)?;
            let path = path.canonicalize().unwrap_or(path);
            if !seen.insert(path.clone()) {
                continue;
            }
            match path.is_dir() {
                true => folders.push(path),
                false => sources.push(source(objects, &path)?),
            }
        }
    }
    for folder in &folders {
        let shown = folder.display().to_string();
        let message = format!("{} is a folder, not a file", escape(&shown));
        if sources.is_empty() {
            return Err(Trouble::usage(message).next(format!("--input '{shown}/*'")).into());
        }
        logs::say(&format!("{message}: it is left out; --input '{}/*' reads what is in it", escape(&shown)));
    }
    Ok((sources, folders))
}

/// The files that the arguments name; folders are left out.
pub fn paths(inputs: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for input in inputs {
        paths.extend(expand(input)?.into_iter().filter(|path| !path.is_dir()));
    }
    Ok(paths)
}

/// The files that an argument names: itself where there is such a file, else what matches it.
fn expand(input: &str) -> anyhow::Result<Vec<PathBuf>> {
    if Path::new(input).symlink_metadata().is_ok() {
        return Ok(vec![input.into()]);
    }
    if !input.contains(['*', '?', '[']) {
        return Err(Trouble::not_found(format!("there is no file {input}"))
            .next("a path that exists, or a glob in quotes: --input 'logs/*.gz'")
            .into());
    }
    let found = glob::glob(input).map_err(|error| Trouble::usage(format!("`{input}` is no glob: {}", error.msg)))?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| Trouble::failed(format!("cannot look into {}: {}", error.path().display(), error.error())))?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    match paths.is_empty() {
        true => Err(Trouble::not_found(format!("nothing matches {input}")).next("** for folders at any depth: --input 'logs/**/*'").into()),
        false => Ok(paths),
    }
}

fn source(objects: &ObjectStores, path: &Path) -> anyhow::Result<SourceObject> {
    let located = locate(objects, path)?;
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    Ok(SourceObject { uri: uri(path)?, size, etag: None, version: None, store: located.store, path: located.path })
}

fn uri(path: &Path) -> Result<String, Trouble> {
    let text =
        path.to_str().ok_or_else(|| Trouble::usage(format!("the name of {} is not UTF-8", path.display())).next("another name for it"));
    Ok(format!("file://{}", text?))
}

fn locate(objects: &ObjectStores, path: &Path) -> Result<Located, Trouble> {
    objects.locate(&uri(path)?).map_err(|error| Trouble::usage(error.to_string()))
}

fn target(objects: &ObjectStores, sink: &Path) -> anyhow::Result<Target> {
    let fail = |error: std::io::Error| {
        Trouble::failed(format!("cannot write to {}: {error}", sink.display())).next("a --sink folder that can be written to")
    };
    std::fs::create_dir_all(sink).map_err(fail)?;
    let folder = sink.canonicalize().map_err(fail)?;
    let located = locate(objects, &folder)?;
    Ok(Target { store: located.store, base: located.path, uri_base: format!("{}/", uri(&folder)?.trim_end_matches('/')) })
}

fn below(main: &Target) -> Target {
    Target {
        store: main.store.clone(),
        base: main.base.clone().join(REJECTS_FOLDER),
        uri_base: format!("{}{REJECTS_FOLDER}/", main.uri_base),
    }
}

fn state(counts: &Counts, is_partial: bool) -> State {
    match (is_partial, counts.lines) {
        (true, _) => State::Partial,
        (false, 0) => State::Empty,
        (false, _) => State::Complete,
    }
}

/// The Parquet files that a sink holds already.
struct Held {
    target: Target,
    paths: Vec<object_store::path::Path>,
}

impl Held {
    async fn list(target: &Target) -> anyhow::Result<Held> {
        let listed: Vec<_> = target.store.list(Some(&target.base)).try_collect().await?;
        let paths = listed.into_iter().map(|meta| meta.location).filter(|path| path.as_ref().ends_with(".parquet")).collect();
        Ok(Held { target: target.clone(), paths })
    }

    fn is_of(path: &object_store::path::Path, lot: Lot) -> bool {
        path.filename().is_some_and(|name| name.starts_with(&format!("{lot}-")))
    }

    fn free_lot(&self, first: Lot) -> Lot {
        let lots = std::iter::successors(Some(first), |lot| Some(lot.next()));
        lots.take(FREE_LOTS_MAX).find(|lot| !self.paths.iter().any(|path| Held::is_of(path, *lot))).unwrap_or(first)
    }

    /// Removes files of the lot that an earlier run wrote and this one did not.
    async fn remove_others(&self, lot: Lot, published: &Published) -> anyhow::Result<()> {
        let kept: Vec<&str> = published.main.iter().chain(&published.rejects).map(|object| object.uri.as_str()).collect();
        for path in self.paths.iter().filter(|path| Held::is_of(path, lot)) {
            let relative = path.as_ref().strip_prefix(self.target.base.as_ref()).unwrap_or_default().trim_start_matches('/');
            if !kept.contains(&self.target.uri(relative).as_str()) {
                self.target.store.delete(path).await?;
            }
        }
        Ok(())
    }
}

fn tell(problems: &[arcs::read::ObjectProblem], context: &Context) {
    if context.quiet {
        return;
    }
    for problem in problems.iter().take(PROBLEMS_TOLD) {
        logs::say(&format!("{}: {}", escape(&problem.uri), escape(&problem.reason)));
    }
    if problems.len() > PROBLEMS_TOLD {
        logs::say(&format!("and {} more objects", problems.len() - PROBLEMS_TOLD));
    }
}

fn print(
    lot: Lot,
    state: State,
    counts: &Counts,
    seconds: f64,
    published: &Published,
    main: &Target,
    context: &Context,
) -> std::io::Result<()> {
    let mut fields = vec![("lot", Cell::Text(lot.to_string())), ("state", state.as_str().into())];
    fields.extend(counted(counts));
    fields.push(("seconds", seconds.into()));
    fields.push(("files", (published.main.len() + published.rejects.len()).into()));
    fields.push(("sink", main.uri_base.as_str().into()));
    print_record(context.output, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_argument_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.log", "b.log", "c[1].log"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join("d.log")).unwrap();
        let names = |pattern: &str| -> Vec<String> {
            let found = expand(&format!("{}/{pattern}", folder.path().display())).unwrap();
            found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names("*.log"), ["a.log", "b.log", "c[1].log"]);
        assert_eq!(names("c[1].log"), ["c[1].log"], "a file of that very name goes first");
        assert_eq!(names("[ab].log"), ["a.log", "b.log"]);
        for (pattern, exit) in [("none", Exit::NotFound), ("*.gz", Exit::NotFound), ("***", Exit::Usage)] {
            let error = expand(&format!("{}/{pattern}", folder.path().display())).unwrap_err();
            assert_eq!(error.downcast::<Trouble>().unwrap().exit, exit, "{pattern}");
        }
    }
}
