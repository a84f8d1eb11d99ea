//! The link beside a client written by hand, through ejabberd: `cargo xtask bench link` runs this.

use std::process::ExitCode;

use crate::hand::Hand;
use crate::link::Server;
use crate::raw::{Fixed, Raw};
use crate::{median, rate, reaches};

/// Interleaved rounds.
const ROUNDS: usize = 21;

/// Block and window, bytes of one run, and the least share of the hand-written client's rate.
const PAIRS: [(usize, usize, usize, f64); 3] = [
    (65_535, 8, 16 << 20, 0.87),
    (4_096, 64, 8 << 20, 0.85),
    (4_096, 1, 2 << 20, 0.85),
];

/// A ratio is the median of the ratios of each round, in which both take turns.
pub(crate) async fn run(check: bool) -> ExitCode {
    let Some(server) = Server::named_in("XTLS_EJABBERD") else {
        eprintln!("please run `cargo xtask bench link`");
        return ExitCode::from(2);
    };
    let mut link = Raw::start(&server).await;
    let mut hand = Hand::start(&server).await;
    let mut met = true;
    for (block, window, size, least) in PAIRS {
        let fixed = Fixed { block, window };
        let mut rates: [Vec<f64>; 3] = Default::default();
        for round in 0..=ROUNDS {
            // Who goes first changes.
            let (ours, theirs) = match round % 2 {
                0 => {
                    let ours = link.run(size, fixed).await;
                    (ours, hand.run(size, fixed).await)
                }
                _ => {
                    let theirs = hand.run(size, fixed).await;
                    (link.run(size, fixed).await, theirs)
                }
            };
            let (ours, theirs) = (rate(size, ours), rate(size, theirs));
            // The first round warms up.
            if round > 0 {
                for (rates, figure) in rates.iter_mut().zip([ours, theirs, ours / theirs]) {
                    rates.push(figure);
                }
            }
        }
        let [ours, theirs, ratios] = rates;
        let (ours, theirs) = (median(ours), median(theirs));
        let what =
            format!("{block:>6} × {window:<2} link {ours:6.2} MB/s, by hand {theirs:6.2} MB/s");
        met &= reaches(&what, ratios, least);
    }
    if met || !check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
