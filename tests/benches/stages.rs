//! What bounds a conversion: CPU seconds of each of its stages for a million lines, on one thread, beside those of the
//! fastest library that does only that. `cargo bench -p tests --bench stages -- PLAIN GZIP`, two folders with the same S3
//! access logs, the second compressed; `tests/benches/run` makes them.
//!
//! A stage is what a run with it takes more than one without it, so the stages of ours add up to a conversion: blocks are
//! cut by `Pieces`, read by `read_only`, read into arrays by `read_through`, converted to memory, and to disk. Compression
//! is the library itself, given the pages that a conversion makes; encoding is what is left of a conversion to memory.

use std::error::Error;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arcs::convert::{ConvertJob, ConvertLimits};
use arcs::decode::{Decoder, InflationLimit};
use arcs::format::{self, Grammar};
use arcs::lines::{LineLimits, Piece, Pieces};
use arcs::parse::{read_only, read_through};
use arcs::read::SourceObject;
use arcs::shape::Shaping;
use arcs::write::{Codec, Target, WriteOptions};
use arrow::array::builder::StringViewBuilder;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use cpu_time::ProcessTime;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Logs that are measured; a round is to take seconds.
const LOGS_MAX: usize = 5;

const ROUNDS: usize = 5;

/// A difference of two runs that says nothing.
const NOISE: Duration = Duration::from_millis(5);

/// Bytes of a block and of a page.
const BLOCK_BYTES: usize = 1 << 20;

fn main() -> Fallible<()> {
    let folders: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let [plain, gzip] = folders.as_slice() else {
        println!("SKIPPED: name a folder of S3 access logs and one of the same, compressed");
        return Ok(());
    };
    let (plain, gzip) = (logs(plain)?, logs(gzip)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let grammar = format::compile(&"s3-access".into()).map_err(|problems| format!("{problems:?}"))?;
    let bytes: usize = plain.iter().map(Bytes::len).sum();
    let lines: usize = plain.iter().map(|text| memchr::memchr_iter(b'\n', text).count()).sum();
    let table = Table { bytes, lines };
    println!("{:<14} {:>8} {:>8}   {:<30} {:>8} {:>6}", "stage", "CPU s", "MB/s", "a library that does only that", "CPU s", "times");

    let decoded = cpu(|| gzip.iter().try_for_each(decode))?;
    table.line("decompression", decoded, "libdeflate", cpu(|| gzip.iter().try_for_each(inflate))?);
    let cut = cpu(|| blocks(&plain, grammar.as_ref(), |_| ()))?;
    table.line("splitting", cut, "memchr", cpu(|| count_lines(&plain))?);
    let parts = parts(&plain, grammar.as_ref())?;
    let read = cpu(|| {
        parts.iter().for_each(|part| see(read_only(grammar.as_ref(), part)));
        Ok(())
    })?;
    table.line("parsing", read, "csv", cpu(|| parts.iter().try_for_each(|part| split_fields(part)))?);
    let copied = cpu(|| {
        parts.iter().for_each(|part| see(part.clone()));
        Ok(())
    })?;
    let built = cpu(|| {
        parts.iter().for_each(|part| see(read_through(grammar.as_ref(), part.clone())));
        Ok(())
    })?;
    let fields = fields(&parts);
    let views = cpu(|| {
        parts.iter().zip(&fields).for_each(|(part, fields)| build_views(part, fields));
        Ok(())
    })?;
    table.line("building", built.saturating_sub(copied).saturating_sub(read), "arrow, views of text", views);

    let job = runtime.block_on(job(&plain, &grammar))?;
    let convert = |codec: Codec, target: &Arc<dyn ObjectStore>| {
        let mut job = job.clone();
        job.write.codec = codec;
        (job.main.store, job.rejects.store) = (target.clone(), target.clone());
        runtime.block_on(async { arcs::convert(job).await?.publish().await })
    };
    let memory = || Arc::new(InMemory::new()) as Arc<dyn ObjectStore>;
    let store = memory();
    convert(Codec::None, &store)?;
    let files = runtime.block_on(files(store.as_ref()))?;
    let batches = batches(&files)?;
    let packed = cpu(|| files.iter().try_for_each(compress))?;
    let converted = cpu(|| convert(Codec::Zstd, &memory()).map(drop).map_err(Into::into))?;
    let encoded = converted.saturating_sub(cut + built.saturating_sub(copied) + packed);
    table.line("encoding", encoded, "parquet", cpu(|| encode(&batches))?);
    table.line("compression", packed, "zstd, level 1: the same", packed);
    let folder = tempfile::tempdir()?;
    let disk: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path())?);
    let written = cpu(|| convert(Codec::Zstd, &disk).map(drop).map_err(Into::into))?;
    let files = runtime.block_on(self::files(disk.as_ref()))?;
    let plainly = cpu(|| Ok(files.iter().try_for_each(|file| std::fs::write(folder.path().join("plain"), file))?))?;
    table.line("writing", written.saturating_sub(converted), "one write of the bytes", plainly);
    table.line("all of it", decoded + written, "", Duration::ZERO);
    Ok(())
}

/// What lines of the table are for.
struct Table {
    bytes: usize,
    lines: usize,
}

impl Table {
    fn line(&self, stage: &str, ours: Duration, library: &str, theirs: Duration) {
        let million = |time: Duration| time.as_secs_f64() * 1e6 / self.lines as f64;
        let speed = match ours < NOISE {
            true => "-".to_owned(),
            false => format!("{:.0}", self.bytes as f64 / 1e6 / ours.as_secs_f64()),
        };
        print!("{stage:<14} {:>8.3} {speed:>8}", million(ours));
        match library {
            "" => println!(),
            _ => println!("   {library:<30} {:>8.3} {:>6.2}", million(theirs), ours.as_secs_f64() / theirs.as_secs_f64()),
        }
    }
}

/// Makes a result that nobody needs be made.
fn see<T>(result: T) {
    let _seen = std::hint::black_box(result);
}

/// The median CPU time of the process for a run of `work`.
fn cpu(mut work: impl FnMut() -> Fallible<()>) -> Fallible<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = ProcessTime::try_now()?;
        work()?;
        times.push(start.try_elapsed()?);
    }
    times.sort();
    Ok(times[ROUNDS / 2])
}

fn logs(folder: &str) -> Fallible<Vec<Bytes>> {
    let mut paths: Vec<_> = std::fs::read_dir(Path::new(folder))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("20")));
    paths.sort();
    paths.iter().take(LOGS_MAX).map(|path| Ok(std::fs::read(path)?.into())).collect()
}

fn decode(stored: &Bytes) -> Fallible<()> {
    let mut decoder = Decoder::new(Cursor::new(stored.clone()), InflationLimit::default())?;
    let mut block = vec![0; BLOCK_BYTES];
    while decoder.read(&mut block)? > 0 {}
    Ok(())
}

fn inflate(stored: &Bytes) -> Fallible<()> {
    let length = stored.last_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let mut plain = vec![0; length as usize];
    libdeflater::Decompressor::new().gzip_decompress(stored, &mut plain)?;
    Ok(())
}

fn blocks(logs: &[Bytes], grammar: &dyn Grammar, mut see: impl FnMut(Bytes)) -> Fallible<()> {
    for log in logs {
        let mut pieces = Pieces::new(Cursor::new(log.clone()), grammar, LineLimits::default());
        while let Some(piece) = pieces.next_piece() {
            match piece {
                Piece::Lines { text, .. } => see(text),
                other => return Err(format!("not whole lines: {other:?}").into()),
            }
        }
    }
    Ok(())
}

fn parts(logs: &[Bytes], grammar: &dyn Grammar) -> Fallible<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    blocks(logs, grammar, |part| parts.push(part.to_vec()))?;
    Ok(parts)
}

fn count_lines(logs: &[Bytes]) -> Fallible<()> {
    see(logs.iter().map(|log| memchr::memchr_iter(b'\n', log).count()).sum::<usize>());
    Ok(())
}

fn reader(text: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(b' ').has_headers(false).flexible(true).from_reader(text)
}

fn split_fields(text: &[u8]) -> Fallible<()> {
    let (mut reader, mut record) = (reader(text), csv::ByteRecord::new());
    while reader.read_byte_record(&mut record)? {}
    Ok(())
}

/// The fields of a part, column by column: where they start and how long they are.
type Fields = Vec<Vec<(usize, usize)>>;

fn fields(parts: &[Vec<u8>]) -> Vec<Fields> {
    let of = |part: &Vec<u8>| {
        let mut columns = Fields::new();
        for line in part.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (mut at, mut quoted) = (0, false);
            let start = line.as_ptr() as usize - part.as_ptr() as usize;
            let mut column = 0;
            for (n, byte) in line.iter().chain(b" ").enumerate() {
                quoted ^= *byte == b'"';
                if *byte == b' ' && !quoted {
                    if columns.len() == column {
                        columns.push(Vec::new());
                    }
                    columns[column].push((start + at, n - at));
                    (at, column) = (n + 1, column + 1);
                }
            }
        }
        columns
    };
    parts.iter().map(of).collect()
}

fn build_views(part: &[u8], fields: &Fields) {
    for column in fields {
        let mut builder = StringViewBuilder::with_capacity(column.len());
        for (start, len) in column {
            builder.append_value(std::str::from_utf8(&part[*start..start + len]).unwrap_or_default());
        }
        see(builder.finish());
    }
}

async fn job(logs: &[Bytes], grammar: &Arc<dyn Grammar>) -> Fallible<ConvertJob> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut sources = Vec::new();
    for (n, log) in logs.iter().enumerate() {
        let path = object_store::path::Path::from(format!("in/{n}"));
        store.put(&path, log.clone().into()).await?;
        let (uri, size) = (format!("memory:///in/{n}"), log.len() as u64);
        sources.push(SourceObject { uri, size, etag: None, version: None, store: store.clone(), path });
    }
    let target = |name: &str| Target { store: store.clone(), base: name.into(), uri_base: format!("memory:///{name}/") };
    Ok(ConvertJob {
        grammar: grammar.clone(),
        lot: "20261120PT5M250".parse()?,
        sources,
        main: target("main"),
        rejects: target("rejects"),
        shaping: Shaping::default(),
        redact_key: None,
        limits: ConvertLimits::new(1, std::env::temp_dir()),
        write: WriteOptions::default(),
        progress: None,
    })
}

/// The files of rows below a store.
async fn files(store: &dyn ObjectStore) -> Fallible<Vec<Bytes>> {
    let listed: Vec<_> = store.list(Some(&"main".into())).try_collect().await?;
    let mut files = Vec::new();
    for meta in listed {
        files.push(store.get(&meta.location).await?.bytes().await?);
    }
    Ok(files)
}

fn batches(files: &[Bytes]) -> Fallible<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for file in files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone())?.build()?;
        for batch in reader {
            batches.push(batch?);
        }
    }
    Ok(batches)
}

fn encode(batches: &[RecordBatch]) -> Fallible<()> {
    let Some(first) = batches.first() else { return Ok(()) };
    let mut writer = ArrowWriter::try_new(Vec::new(), first.schema(), None)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.close()?;
    Ok(())
}

fn compress(file: &Bytes) -> Fallible<()> {
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    file.chunks(BLOCK_BYTES).try_for_each(|page| compressor.compress(page).map(drop))?;
    Ok(())
}
