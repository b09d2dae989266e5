//! Receipts: what a run says it did with every line. The counts are held against the files and, where the source objects
//! are still what they were, against a second conversion whose output goes nowhere.

use std::sync::Arc;

use arcs::partition::{Partition, PartitionKey};
use arcs::read::SourceObject;
use arcs::shape::{RedactKey, Shaping};
use arcs::write::{Target, WriteOptions};
use arcs::{ConvertJob, ConvertLimits, convert};
use manifests::{ArcSpec, Counts, MAIN_ROLE, Manifest, ManifestObject, REJECTS_ROLE, State};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use project::Produced;

use super::Audit;
use super::discard::Discard;
use crate::engine;

/// The kind of arc whose lines can be counted again.
const CONVERT: &str = "convert";

impl Audit<'_> {
    /// Looks at the receipts of one sink of an arc.
    pub(super) async fn look_at_receipts(
        &mut self,
        produced: &Produced,
        arc: &str,
        role: &str,
        manifests: &[Manifest],
    ) -> anyhow::Result<()> {
        let Some(arc) = self.project.arc(arc) else { return Ok(()) };
        for manifest in manifests {
            let (name, lot) = (produced.dataset.name.as_str(), manifest.lot_id);
            let Some(receipt) = &manifest.receipt else {
                // Another tool's state copy has none.
                if manifest.generation > 0 {
                    self.find(name, Some(lot), "its commit has no receipt", self.redo(produced, lot));
                }
                continue;
            };
            if let Some(what) = disagreement(arc, role, manifest, &receipt.counts) {
                self.find(name, Some(lot), what, self.redo(produced, lot));
            }
            let is_repeatable = role == MAIN_ROLE && arc.kind == CONVERT && manifest.state != State::Partial && !self.scope.is_quick;
            if is_repeatable && let Some(what) = self.count_again(arc, manifest, &receipt.counts).await? {
                self.find(name, Some(lot), what, self.redo(produced, lot));
            }
        }
        Ok(())
    }

    /// Converts the sources again and compares; `None` where the counts agree, or cannot be had any more.
    async fn count_again(&mut self, arc: &ArcSpec, manifest: &Manifest, promised: &Counts) -> anyhow::Result<Option<String>> {
        let Some(sources) = self.sources(manifest).await? else {
            self.looked.unrepeatable += 1;
            return Ok(None);
        };
        let Some(mut job) = job(arc, manifest, sources) else {
            self.looked.unrepeatable += 1;
            return Ok(None);
        };
        let has_learned = self.keep_columns(&mut job, manifest).await?;
        let staged = convert(job).await?;
        let counted = *staged.counts();
        let is_readable = staged.problems.is_empty();
        staged.abort().await;
        if !is_readable {
            self.looked.unrepeatable += 1;
            return Ok(None);
        }
        self.looked.lines += counted.lines;
        // Where rejects were read again, the lot may have learned columns since its first rows were written: what those have in
        // `extra` would stand in columns now.
        let extra = if has_learned { counted.extra.max(promised.extra) } else { counted.extra };
        Ok(difference(promised, &Counts { extra, ..counted }))
    }

    /// Gives the conversion the columns that the lot was written with, where the logs told them: lots since may have
    /// taught the dataset more. Whether there are such.
    async fn keep_columns(&self, job: &mut ConvertJob, manifest: &Manifest) -> anyhow::Result<bool> {
        let (_, mut known) = self.stores.learned_columns(&manifest.dataset.id()).await?;
        known.retain(|learned| manifest.columns.iter().any(|column| column.name == learned.column));
        if !known.is_empty()
            && let Some(grammar) = job.grammar.inferred_after(&known, &[])
        {
            job.grammar = grammar.into();
        }
        Ok(!known.is_empty())
    }

    /// The objects that a run read, where all of them are still there and the same.
    async fn sources(&self, manifest: &Manifest) -> anyhow::Result<Option<Vec<SourceObject>>> {
        let mut objects = Vec::new();
        for commit in manifest.receipt.iter().flat_map(|receipt| &receipt.sources) {
            let Some(source) = self.stores.read_commit(&commit.dataset, commit.lot, commit.generation).await? else { return Ok(None) };
            for object in &source.objects {
                match self.source(object).await? {
                    Some(source) => objects.push(source),
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(objects))
    }

    async fn source(&self, object: &ManifestObject) -> anyhow::Result<Option<SourceObject>> {
        let place = self.stores.objects.locate(&object.uri)?;
        let meta = match place.store.head(&place.path).await {
            Ok(meta) => meta,
            Err(error) if manifests::is_transient(&error) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let is_same = meta.size == object.size && (object.etag.is_none() || meta.e_tag == object.etag);
        let (uri, etag) = (object.uri.clone(), object.etag.clone());
        Ok(is_same.then_some(SourceObject { uri, size: object.size, etag, version: None, store: place.store, path: place.path }))
    }
}

/// What a conversion of the arc's parameters does, with its output going nowhere. `None` where a parameter says nothing any
/// more, or the key of its hashes is not here.
fn job(arc: &ArcSpec, manifest: &Manifest, sources: Vec<SourceObject>) -> Option<ConvertJob> {
    let grammar = arcs::format::compile(arc.workload.get("format")?).ok()?;
    let shaping = counted(Shaping::read(&arc.workload).ok()?);
    let key = shaping.redact_key_env.as_deref().map(|name| RedactKey::read(name, |name| std::env::var(name).ok()));
    let redact_key = key.transpose().ok()?;
    let nowhere = || Target { store: Arc::new(Discard), base: Path::default(), uri_base: "memory:///".into() };
    Some(ConvertJob {
        grammar,
        lot: manifest.lot_id,
        sources,
        main: nowhere(),
        rejects: nowhere(),
        shaping,
        redact_key,
        limits: ConvertLimits::new(engine::threads(), std::env::temp_dir()),
        write: WriteOptions::default(),
        progress: None,
    })
}

/// The same counts with as few files as can be: order, filters and, where no value can be lost in them, folders do not matter.
fn counted(shaping: Shaping) -> Shaping {
    let is_computed = shaping.partitions.iter().all(|partition| matches!(partition, Partition::Key(_)));
    let partitions = match is_computed && shaping.select.is_none() {
        true => vec![PartitionKey::Lot.into()],
        false => shaping.partitions,
    };
    Shaping { partitions, sort_by: Vec::new(), bloom: None, ..shaping }
}

/// What in a receipt does not add up, by itself or with the files of its sink.
fn disagreement(arc: &ArcSpec, role: &str, manifest: &Manifest, counts: &Counts) -> Option<String> {
    if !counts.is_balanced() {
        let Counts { lines, rows, blank, header, continuation, rejected, filtered, .. } = counts;
        return Some(format!(
            "{lines} lines are not {rows} rows + {blank} blank + {header} header + {continuation} continued + {rejected} rejected + {filtered} filtered"
        ));
    }
    let promised = match role {
        MAIN_ROLE => counts.rows,
        REJECTS_ROLE if arc.kind == CONVERT => counts.rejected,
        _ => return None,
    };
    let rows = |files: &[ManifestObject]| files.iter().map(|object| object.rows).sum::<Option<u64>>();
    let wrong = rows(&manifest.objects).filter(|rows| *rows != promised);
    let wrong = wrong.map(|rows| format!("its files have {rows} rows, its receipt says {promised}"));
    let is_main = role == MAIN_ROLE && arc.kind == CONVERT;
    wrong.or_else(|| {
        let rejected = rows(&manifest.rejects).filter(|rejected| is_main && *rejected != counts.rejected)?;
        Some(format!("its files of rejects have {rejected} rows, its receipt says {}", counts.rejected))
    })
}

fn difference(promised: &Counts, counted: &Counts) -> Option<String> {
    let pairs = [
        ("objects", promised.objects, counted.objects),
        ("lines", promised.lines, counted.lines),
        ("rows", promised.rows, counted.rows),
        ("blank", promised.blank, counted.blank),
        ("header", promised.header, counted.header),
        ("continuation", promised.continuation, counted.continuation),
        ("rejected", promised.rejected, counted.rejected),
        ("filtered", promised.filtered, counted.filtered),
        ("recovered", promised.recovered, counted.recovered),
        ("extra", promised.extra, counted.extra),
    ];
    let off: Vec<String> =
        pairs.iter().filter(|pair| pair.1 != pair.2).map(|(what, said, is)| format!("{what} {is}, not {said}")).collect();
    (!off.is_empty()).then(|| format!("counted again, its sources give {}", off.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_is_off() {
        let promised = Counts { lines: 3, rows: 3, ..Counts::default() };
        assert_eq!(difference(&promised, &promised), None);
        let counted = Counts { lines: 3, rows: 2, rejected: 1, ..Counts::default() };
        assert_eq!(difference(&promised, &counted).unwrap(), "counted again, its sources give rows 2, not 3, rejected 1, not 0");
    }
}
