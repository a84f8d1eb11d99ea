//! The link beside a client written by hand, through ejabberd: `cargo xtask bench link` runs this.

use std::process::ExitCode;

use crate::hand::Hand;
use crate::link::Server;
use crate::ours::Ours;
use crate::raw::{Fixed, Raw};
use crate::slix::Slixmpp;
use crate::{SLIXMPP, median, rate, reaches, sweep};

/// Interleaved rounds.
const ROUNDS: usize = 21;

/// Block and window, bytes of one run, and the least share of the hand-written client's rate.
const PAIRS: [(usize, usize, usize, f64); 3] = [
    (65_535, 8, 16 << 20, 0.87),
    (4_096, 64, 8 << 20, 0.85),
    (4_096, 1, 2 << 20, 0.85),
];

/// The least share of the first of them without XEP-0198, which the hand-written client does not have.
const UNMANAGED: f64 = 0.90;

/// Interleaved rounds of whole streams, bytes of one, and of one that has hardly found its pace when it ends.
const WHOLE_ROUNDS: usize = 7;
const WHOLE: usize = 64 << 20;
const SHORT: usize = 4 << 20;

/// The least shares of a whole stream: of the best fixed pair over the same link, and of the hand-written client with it.
const OF_FIXED: f64 = 0.85;
const OF_HAND: f64 = 0.75;

/// A ratio is the median of the ratios of each round, in which both take turns.
pub(crate) async fn run(check: bool) -> ExitCode {
    let Some(server) = Server::named_in("XTLS_EJABBERD") else {
        eprintln!("please run `cargo xtask bench link`");
        return ExitCode::from(2);
    };
    let mut link = Raw::start(&server).await;
    let mut hand = Hand::start(&server).await;
    let mut met = true;
    for pair @ (_, _, _, least) in PAIRS {
        met &= in_turns(pair, "link", &mut link, &mut hand, least).await;
    }
    let mut unmanaged = Raw::start_unmanaged(&server).await;
    let what = "link without XEP-0198";
    met &= in_turns(PAIRS[0], what, &mut unmanaged, &mut hand, UNMANAGED).await;
    met &= whole_streams(&server, &mut link, &mut hand).await;
    if met || !check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Bare iqs over a link and from the client written by hand, of one pair: whether the link reaches its least share.
async fn in_turns(
    (block, window, size, _): (usize, usize, usize, f64),
    what: &str,
    link: &mut Raw,
    hand: &mut Hand,
    least: f64,
) -> bool {
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
        format!("{block:>6} × {window:<2} {what} {ours:6.2} MB/s, by hand {theirs:6.2} MB/s");
    reaches(&what, ratios, least)
}

/// A stream at its defaults from its open to its last answer, beside bare iqs of the best fixed pair over a link and from the
/// client written by hand, and beside slixmpp where there is one.
async fn whole_streams(server: &Server, link: &mut Raw, hand: &mut Hand) -> bool {
    let best = sweep(link).await;
    let mut ours = Ours::start(server).await;
    let mut slixmpp = match std::env::var("XTLS_INTEROP_PYTHON") {
        Ok(python) => Some(Slixmpp::start(server, &python).await),
        Err(_) => None,
    };
    let mut met = true;
    for (size, barred) in [(SHORT, false), (WHOLE, true)] {
        let mut rates: [Vec<f64>; 3] = Default::default();
        let mut theirs = Vec::new();
        for round in 0..=WHOLE_ROUNDS {
            // Who goes first changes.
            let mut figures = [0.0; 3];
            for turn in 0..3 {
                let who = (round + turn) % 3;
                let time = match who {
                    0 => ours.default(size).await.0,
                    1 => link.run(size, best).await,
                    _ => hand.run(size, best).await,
                };
                figures[who] = rate(size, time);
            }
            if let Some(slixmpp) = &mut slixmpp {
                theirs.push(rate(SLIXMPP, slixmpp.run(SLIXMPP).await));
            }
            // The first round warms up.
            if round > 0 {
                for (rates, figure) in rates.iter_mut().zip(figures) {
                    rates.push(figure);
                }
            }
        }
        let [whole, fixed, by_hand] = rates;
        let ratios = |beside: &[f64]| whole.iter().zip(beside).map(|(a, b)| a / b).collect();
        let (of_fixed, of_hand) = (ratios(&fixed), ratios(&by_hand));
        println!(
            "\na stream at its defaults, {} MiB: {:6.2} MB/s; {best:?} over the link {:6.2}, by hand {:6.2}; slixmpp {:.2}",
            size >> 20,
            median(whole.clone()),
            median(fixed),
            median(by_hand),
            median(theirs),
        );
        let least = |bar| if barred { bar } else { 0.0 };
        met &= reaches("default / best fixed", of_fixed, least(OF_FIXED));
        met &= reaches("default / by hand", of_hand, least(OF_HAND));
    }
    met
}
