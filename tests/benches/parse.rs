//! How fast lines are read, apart from everything else: MB/s of text on one core, from a block in memory to arrow
//! arrays. `cargo bench --bench parse`.
#![allow(missing_docs)] // criterion's macro makes a public function

use std::fmt::Write as _;
use std::hint::black_box;

use arcs::format;
use arcs::parse::read_through;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Text of a block, in bytes, as a conversion cuts it.
const BLOCK_BYTES: usize = 1 << 20;

/// S3 access log lines of the usual length; every `odd`-th has quotes in its user agent.
fn s3_access(odd: usize) -> Vec<u8> {
    let mut text = String::new();
    for n in 0.. {
        let agent = if n % odd == 0 {
            "Mozilla/5.0 (\"quoted\" agent) x"
        } else {
            "aws-sdk-java/2.25.11 Linux/5.10.216 Java/17.0.11 vendor/Amazon.com_Inc."
        };
        let _ = writeln!(
            text,
            "{owner:064x} lake-bucket [20/Nov/2026:20:{:02}:{:02} +0000] 10.{}.7.9 arn:aws:sts::123456789012:assumed-role/etl/i-{n:08x} {id:016X} REST.GET.OBJECT data/clicks/dt=2026-11-20/part-{n:05}-{id:012x}.snappy.parquet \"GET /lake-bucket/data/clicks/dt=2026-11-20/part-{n:05}-{id:012x}.snappy.parquet HTTP/1.1\" 206 - {} {} {} {} \"-\" \"{agent}\" - {id:076x} SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader lake-bucket.s3.us-east-1.amazonaws.com TLSv1.2 - - us-east-1",
            n / 60 % 60,
            n % 60,
            n % 256,
            n * 4099,
            n * 8191,
            n % 900,
            n % 300,
            owner = 7,
            id = n.wrapping_mul(0x9E37_79B9_7F4A),
        );
        if text.len() >= BLOCK_BYTES {
            break;
        }
    }
    text.into_bytes()
}

fn parse(criterion: &mut Criterion) {
    let grammar = format::compile(&"s3-access".into()).expect("a format without options");
    let mut group = criterion.benchmark_group("parse s3-access");
    for (name, odd) in [("usual lines", 1_000), ("every line recovered", 1)] {
        let text = s3_access(odd);
        assert_eq!(read_through(grammar.as_ref(), text.clone()).rejected, 0);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(|| text.clone(), |text| black_box(read_through(grammar.as_ref(), text)), BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
