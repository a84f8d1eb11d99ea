//! The ratios that must hold, measured in one run: `cargo xtask bench --check` runs this.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on says so by failing, and prints a table"
)]

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::BytesMut;
use xtls_benches::bars::{Bar, Contender, Table, bar, now, timed, verdict};
use xtls_benches::chunk::Chunk;
use xtls_benches::expat::Expat;
use xtls_benches::{framing, strict, workloads};

/// Reads or writes of one chunk that are timed together.
const CHUNKS: usize = 64;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(program), Some(folder)) = (args.next(), args.next()) else {
        eprintln!("please run `cargo xtask bench --check`");
        return ExitCode::from(2);
    };
    let mut expat = Expat::start(&program, Path::new(&folder));
    let mut met = true;
    for (number, (name, stream)) in workloads().iter().enumerate() {
        met &= streams(name, number, stream, &mut expat);
    }
    for (name, block, share) in [("base64 4096", 4096, 0.4), ("base64 65535", 65_535, 0.8)] {
        met &= chunk(name, block, share);
    }
    verdict(met, true)
}

fn streams(name: &str, number: usize, stream: &[u8], expat: &mut Expat) -> bool {
    let text = str::from_utf8(stream).expect("UTF-8");
    let stanzas = framing::quick_xml(text);
    assert_eq!(stanzas, framing::framer(stream));
    assert_eq!(stanzas, framing::cutter(&mut framing::buffer(stream)));
    assert_eq!(stanzas, framing::rxml(stream));
    assert_eq!(stanzas, strict::framer(stream));

    let contenders: Vec<Contender<'_>> = vec![
        ("rxml", timed(|| framing::rxml(black_box(stream)))),
        ("expat", Box::new(|| expat.parse(number, 1))),
        ("quick-xml", timed(|| framing::quick_xml(black_box(text)))),
        ("framer", timed(|| framing::framer(black_box(stream)))),
        ("cutter", in_place(stream, framing::cutter)),
        (
            "framer + strict",
            timed(|| strict::framer(black_box(stream))),
        ),
        ("cutter + strict", in_place(stream, strict::cutter)),
    ];
    let bars: &[Bar] = match name {
        "chat" => &[
            bar("cutter", 25.0, "rxml"),
            bar("framer", 25.0, "rxml"),
            bar("cutter", 2.2, "quick-xml"),
            bar("framer", 2.2, "quick-xml"),
            bar("framer + strict", 8.0, "rxml"),
            bar("framer + strict", 2.0, "expat"),
        ],
        "ibb-4096" => &[
            bar("cutter", 2.5, "quick-xml"),
            bar("cutter", 100.0, "rxml"),
            bar("framer", 100.0, "rxml"),
        ],
        _ => &[],
    };
    let table = Table {
        name,
        items: stanzas,
        bytes: stream.len(),
    };
    table.run(contenders, bars)
}

fn chunk(name: &str, block: usize, share: f64) -> bool {
    let read = Chunk::new(block);
    let [mut write, mut decode, mut encode] = [block; 3].map(Chunk::new);
    assert_eq!(read.read(), block);
    assert_eq!(decode.bare_decode(), block);

    let repeat =
        |work: &mut dyn FnMut() -> usize| (0..CHUNKS).map(|_| black_box(work())).sum::<usize>();
    let contenders: Vec<Contender<'_>> = vec![
        (
            "bare decode",
            timed(|| repeat(&mut || decode.bare_decode())),
        ),
        ("read", timed(|| repeat(&mut || read.read()))),
        (
            "bare encode",
            timed(|| repeat(&mut || encode.bare_encode())),
        ),
        ("write", timed(|| repeat(&mut || write.write()))),
    ];
    let bars = [
        bar("read", share, "bare decode"),
        bar("write", share, "bare encode"),
    ];
    let table = Table {
        name,
        items: CHUNKS,
        bytes: CHUNKS * block,
    };
    table.run(contenders, &bars)
}

/// The buffer is filled before and dropped after.
fn in_place<'a>(
    stream: &'a [u8],
    work: impl Fn(&mut BytesMut) -> usize + 'a,
) -> Box<dyn FnMut() -> Duration + 'a> {
    Box::new(move || {
        let mut buffer = framing::buffer(stream);
        let start = now();
        black_box(work(black_box(&mut buffer)));
        now() - start
    })
}
