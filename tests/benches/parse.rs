//! How fast each format is read: MB/s of text on one core, from blocks in memory to counted rows ("read": lines found,
//! fields split and typed) and on to arrow arrays ("arrays"). `cargo bench -p tests --bench parse [-- FORMAT…]`.
//!
//! A format is read on the real logs of `../shared/data` that `arc detect` takes for it, as far as they lie beside the
//! checkout; otherwise on its own examples. Either is repeated to a few MiB.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcs::detect::detect;
use arcs::format::{self, FORMATS, Grammar};
use arcs::parse::{read_only, read_through};
use serde_json::Value;

/// Text that is read at a time, in bytes, as a conversion cuts it.
const BLOCK_BYTES: usize = 1 << 20;

/// Text of a format, in bytes; less where logs cannot be repeated.
const TEXT_BYTES: usize = 4 << 20;

/// Bytes of a log by which its format is detected.
const HEAD_BYTES: usize = 256 << 10;

const ROUNDS: usize = 7;

/// A log, and how it reads.
struct Sample {
    grammar: Arc<dyn Grammar>,
    text: Vec<u8>,
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut real = real_samples();
    println!("{:<18} {:>9} {:>9} {:>9} {:>8}  text", "format", "read MB/s", "arrays", "B a row", "rejects");
    for format in FORMATS.iter().filter(|format| wanted.is_empty() || wanted.iter().any(|name| name == format.name)) {
        let (samples, text) = match real.remove(format.name) {
            Some(samples) => (samples, "real logs"),
            None => (examples(format), "examples"),
        };
        report(format.name, &samples, text);
    }
}

fn report(name: &str, samples: &[Sample], text: &str) {
    let blocks: Vec<(&Arc<dyn Grammar>, Vec<u8>)> =
        samples.iter().map(|sample| (&sample.grammar, filled(&sample.text, TEXT_BYTES / samples.len()))).collect();
    let bytes: usize = blocks.iter().map(|(_, text)| text.len()).sum();
    let (mut rows, mut rejects) = (0, 0);
    let read = median(
        || (),
        |()| {
            let found = blocks.iter().map(|(grammar, text)| read_only(grammar.as_ref(), text));
            (rows, rejects) = found.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        },
    );
    let copies = || blocks.iter().map(|(grammar, text)| (*grammar, text.clone())).collect::<Vec<_>>();
    let arrays = median(copies, |copies| {
        for (grammar, text) in copies {
            let _counts = std::hint::black_box(read_through(grammar.as_ref(), text));
        }
    });
    let speed = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!("{name:<18} {:>9.0} {:>9.0} {:>9} {rejects:>8}  {text}", speed(read), speed(arrays), bytes as u64 / rows.max(1));
}

/// A text over and over, as whole blocks would have it: at least once.
fn filled(text: &[u8], bytes: usize) -> Vec<u8> {
    let mut text = text.to_vec();
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let times = (bytes.min(BLOCK_BYTES) / text.len()).max(1);
    text.repeat(times)
}

fn examples(format: &'static format::Format) -> Vec<Sample> {
    let sample = |example: &format::Example| {
        let mut spec: Value = serde_json::from_str(if example.options.is_empty() { "{}" } else { example.options }).ok()?;
        spec["name"] = format.name.into();
        sample(&format::compile(&spec).ok()?, example.text.as_bytes().to_vec())
    };
    format.examples.iter().filter_map(sample).collect()
}

fn sample(grammar: &Arc<dyn Grammar>, text: Vec<u8>) -> Option<Sample> {
    let inferred = grammar.inferred(&[&text]).map(Arc::from);
    Some(Sample { grammar: inferred.unwrap_or_else(|| grammar.clone()), text })
}

/// The logs beside the checkout, by the format that they are detected as.
fn real_samples() -> BTreeMap<&'static str, Vec<Sample>> {
    let mut samples: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_log = path.extension().is_some_and(|end| end == "log" || end == "txt") || path.to_string_lossy().contains("apache_logs");
            if path.is_dir() {
                folders.push(path);
            } else if let Some(text) = std::fs::read(&path).ok().filter(|text| is_log && text.len() > 2_000) {
                let best = detect(&text[..text.len().min(HEAD_BYTES)]).into_iter().next();
                if let Some((best, sample)) = best.and_then(|best| Some((best.format.name, sample(&best.grammar, text)?))) {
                    samples.entry(best).or_default().push(sample);
                }
            }
        }
    }
    samples
}

/// The median time of what follows `prepare`.
fn median<T>(mut prepare: impl FnMut() -> T, mut run: impl FnMut(T)) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let prepared = prepare();
            let start = Instant::now();
            run(prepared);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}
