//! Cutting stanzas out of a stream: the framer, compared with parsers that could do it instead, on the same bytes.

#![allow(
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark that cannot go on says so by failing"
)]

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use xtls_benches::expat::Expat;
use xtls_benches::framing;

fn cutting(criterion: &mut Criterion) {
    let mut expat = std::env::var_os("XTLS_BENCH_EXPAT")
        .map(|program| Expat::start(&program, Path::new(env!("CARGO_TARGET_TMPDIR"))));
    for (number, (name, stream)) in xtls_benches::workloads().iter().enumerate() {
        let text = str::from_utf8(stream).expect("UTF-8");
        let mut group = criterion.benchmark_group(format!("framer/{name}"));
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function("framer", |bench| {
            bench.iter(|| framing::framer(black_box(stream)));
        });
        group.bench_function("cutter", |bench| {
            bench.iter_batched_ref(
                || framing::buffer(stream),
                |buffer| framing::cutter(black_box(buffer)),
                BatchSize::LargeInput,
            );
        });
        group.bench_function("quick-xml", |bench| {
            bench.iter(|| framing::quick_xml(black_box(text)));
        });
        group.bench_function("rxml", |bench| {
            bench.iter(|| framing::rxml(black_box(stream)));
        });
        if let Some(expat) = &mut expat {
            group.bench_function("expat", |bench| {
                bench.iter_custom(|times| expat.parse(number, times));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, cutting);
criterion_main!(benches);
