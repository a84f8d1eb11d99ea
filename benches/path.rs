//! A mebibyte from one wire to the other in memory, both ends on one thread: over a leg, over leg 0, and a mere copy of it.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark has a clock, and one that cannot go on says so by failing"
)]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use xtls_path::{Beginning, Keys, LegId, Place, Role, Wire};

/// As large as a TLS record.
const RECORD: usize = 16_384;
const RECORDS: usize = 64;

struct Pair {
    client: (Wire, LegId),
    server: (Wire, LegId),
}

impl Pair {
    fn on_leg_zero() -> Self {
        let wire = |role| {
            let mut wire = Wire::new(Instant::now(), role);
            wire.bind(Keys::new(&[7; 32], b"both ends", role));
            wire
        };
        Self {
            client: (wire(Role::Client), LegId::ZERO),
            server: (wire(Role::Server), LegId::ZERO),
        }
    }

    fn on_a_leg() -> Self {
        let mut pair = Self::on_leg_zero();
        let how = |place, salt| Beginning {
            place,
            attempt: 1,
            cid: "r1".into(),
            salt,
            relayed: false,
        };
        for (end, how) in [
            (&mut pair.client, how(Place::First, [1; 32])),
            (&mut pair.server, how(Place::Second, [2; 32])),
        ] {
            end.1 = end.0.begin(Instant::now(), how).expect("a fresh wire");
        }
        pair.pass();
        let (client, leg) = &mut pair.client;
        client.choose(Instant::now(), *leg).expect("it stands");
        pair.pass();
        pair
    }

    /// What both ends have for each other, as pieces that a socket would take.
    fn pass(&mut self) {
        for _ in 0..4 {
            let now = Instant::now();
            let (client, near) = &mut self.client;
            let (server, far) = &mut self.server;
            while let Some(bytes) = client.poll_leg(now, *near, 65_536) {
                server.handle_leg(now, *far, &bytes);
                if *near == LegId::ZERO {
                    client.handle_zero_acknowledged(now, bytes.len() as u64);
                }
            }
            while let Some(bytes) = server.poll_leg(now, *far, 65_536) {
                client.handle_leg(now, *near, &bytes);
            }
        }
    }

    fn carry(&mut self, record: &Bytes) {
        for _ in 0..RECORDS / 4 {
            for _ in 0..4 {
                let taken = self.client.0.write(record.clone());
                assert_eq!(taken, RECORD, "there is room");
            }
            self.pass();
            while let Some(bytes) = self.server.0.read(Instant::now(), RECORD) {
                black_box(bytes);
            }
        }
        self.pass();
    }
}

fn carrying(criterion: &mut Criterion) {
    let record = Bytes::from(vec![7; RECORD]);
    let mut group = criterion.benchmark_group("path");
    group.throughput(Throughput::Bytes((RECORD * RECORDS) as u64));
    for (name, mut pair) in [("leg", Pair::on_a_leg()), ("leg 0", Pair::on_leg_zero())] {
        group.bench_function(name, |bench| bench.iter(|| pair.carry(&record)));
    }
    group.bench_function("copy", |bench| {
        bench.iter(|| {
            for _ in 0..RECORDS {
                black_box(Bytes::copy_from_slice(black_box(&record)));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, carrying);
criterion_main!(benches);
