//! Cutting stanzas out of a stream: the framer beside the parsers that could do it instead, on the same bytes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a benchmark that cannot go on says so by failing"
)]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rxml::Parse as _;
use xtls_framer::{Cutter, Framer, Limits};

/// How much arrives at once: what a client reads from its socket.
const PIECE: usize = 8192;

fn framing(criterion: &mut Criterion) {
    for (name, stream) in xtls_benches::workloads() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter("framer"),
            &stream,
            |bench, stream| {
                bench.iter(|| framer(black_box(stream)));
            },
        );
        group.bench_with_input(
            BenchmarkId::from_parameter("cutter"),
            &stream,
            |bench, stream| {
                bench.iter_batched_ref(
                    || BytesMut::from(stream.as_slice()),
                    |buffer| cutter(black_box(buffer)),
                    BatchSize::LargeInput,
                );
            },
        );
        group.bench_with_input(
            BenchmarkId::from_parameter("quick-xml"),
            &stream,
            |bench, stream| {
                bench.iter(|| quick_xml(black_box(stream)));
            },
        );
        group.bench_with_input(
            BenchmarkId::from_parameter("rxml"),
            &stream,
            |bench, stream| {
                bench.iter(|| rxml(black_box(stream)));
            },
        );
        group.finish();
    }
}

fn framer(stream: &[u8]) -> usize {
    let mut framer = Framer::new(Limits::default());
    let mut stanzas = 0;
    for piece in stream.chunks(PIECE) {
        framer.push(piece);
        while let Some(frame) = framer.next().expect("a good stream") {
            black_box(frame.as_bytes());
            stanzas += 1;
        }
    }
    stanzas
}

fn cutter(buffer: &mut BytesMut) -> usize {
    let mut cutter = Cutter::new(Limits::default());
    let mut stanzas = 0;
    while let Some(frame) = cutter.cut(buffer).expect("a good stream") {
        black_box(frame.as_bytes());
        stanzas += 1;
    }
    stanzas
}

/// The borrowed reader: the fastest face of quick-xml, which checks end names and little else.
fn quick_xml(stream: &[u8]) -> usize {
    use quick_xml::events::Event;
    let text = std::str::from_utf8(stream).expect("UTF-8");
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut depth, mut stanzas) = (0_u32, 0);
    loop {
        match reader.read_event().expect("a good stream") {
            Event::Start(_) => depth += 1,
            Event::End(_) => {
                depth -= 1;
                stanzas += usize::from(depth == 0);
            }
            Event::Empty(_) => stanzas += usize::from(depth == 0),
            Event::Eof => return stanzas,
            other => drop(black_box(other)),
        }
    }
}

/// The parser of XMPP in Rust, driven as xmpp-rs drives it. It wants one root.
fn rxml(stream: &[u8]) -> usize {
    let mut parser = rxml::Parser::default();
    let (mut depth, mut stanzas) = (0_u32, 0);
    let mut pieces: Vec<&[u8]> = vec![b"<stream>"];
    pieces.extend(stream.chunks(PIECE));
    for mut piece in pieces {
        loop {
            match parser.parse(&mut piece, false) {
                Ok(Some(rxml::Event::StartElement(..))) => depth += 1,
                Ok(Some(rxml::Event::EndElement(..))) => {
                    depth -= 1;
                    stanzas += usize::from(depth == 1);
                }
                Ok(Some(other)) => drop(black_box(other)),
                Ok(None) => return stanzas,
                Err(rxml::error::EndOrError::NeedMoreData) => break,
                Err(rxml::error::EndOrError::Error(error)) => panic!("{error}"),
            }
        }
    }
    stanzas
}

criterion_group!(benches, framing);
criterion_main!(benches);
