//! Reading chat stanzas strictly: framer and strict reader to a typed head and checked children, compared with
//! event-based parsers on the same bytes.

#![allow(missing_docs, reason = "criterion's macros document nothing")]

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use xtls_benches::expat::Expat;
use xtls_benches::{framing, strict};

fn reading(criterion: &mut Criterion) {
    let mut expat = std::env::var_os("XTLS_BENCH_EXPAT")
        .map(|program| Expat::start(&program, Path::new(env!("CARGO_TARGET_TMPDIR"))));
    for (number, (name, stream)) in xtls_benches::workloads().iter().enumerate() {
        let mut group = criterion.benchmark_group(format!("stanza/{name}"));
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function("framer + strict", |bench| {
            bench.iter(|| strict::framer(black_box(stream)));
        });
        group.bench_function("cutter + strict", |bench| {
            bench.iter_batched_ref(
                || framing::buffer(stream),
                |buffer| strict::cutter(black_box(buffer)),
                BatchSize::LargeInput,
            );
        });
        let frames = strict::frames(stream);
        group.bench_function("envelopes", |bench| {
            bench.iter(|| strict::envelopes(black_box(&frames)));
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

criterion_group!(benches, reading);
criterion_main!(benches);
