//! A chunk of an In-Band Bytestream from the text of its stanza to its payload and back, compared with the bare base64
//! crate.

#![allow(missing_docs, reason = "criterion's macros document nothing")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use xtls_benches::chunk::Chunk;

fn chunks(criterion: &mut Criterion) {
    for block in [4096, 65_535] {
        let mut group = criterion.benchmark_group(format!("base64/{block}"));
        group.throughput(Throughput::Bytes(block as u64));
        let mut chunk = Chunk::new(block);
        group.bench_function("read", |bench| bench.iter(|| chunk.read()));
        group.bench_function("bare decode", |bench| bench.iter(|| chunk.bare_decode()));
        group.bench_function("write", |bench| bench.iter(|| chunk.write()));
        group.bench_function("bare encode", |bench| bench.iter(|| chunk.bare_encode()));
        group.finish();
    }
}

criterion_group!(benches, chunks);
criterion_main!(benches);
