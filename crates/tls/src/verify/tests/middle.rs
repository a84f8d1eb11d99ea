//! A man in the middle, who has one connection with each, in every order in which he can let the messages pass.

use zeroize::Zeroizing;

use super::super::{context::same, words};
use super::{CLIENT, Context, Message, Run, SERVER, bytes, context};
use crate::Role;

/// The bits that are compared here, so that chance can be counted.
const BITS: u32 = 8;

/// Runs for each order.
const RUNS: u64 = 4096;

/// One of his two connections: an honest run at the other end.
struct Leg {
    honest: Run,
    /// Whom the honest end is in TLS. He is the other.
    role: Role,
    context: Context,
    nonce: [u8; 32],
    /// What the honest end has said last.
    heard: Option<Message>,
    /// What he knows of the honest end's nonce.
    known: Option<[u8; 32]>,
    moves: usize,
}

impl Leg {
    fn new(role: Role, number: u64) -> Self {
        let context = context(role, CLIENT, SERVER, bytes("leg", number));
        let secret = Zeroizing::new(bytes("honest", number));
        let (honest, heard) = Run::words(context.clone(), secret);
        Self {
            honest,
            role,
            context,
            nonce: bytes("his", number),
            heard,
            known: None,
            moves: 0,
        }
    }

    /// His moves: as the client he commits and reveals, as the server he gives a nonce.
    fn moves(role: Role) -> usize {
        match role {
            Role::Server => 2,
            Role::Client => 1,
        }
    }

    /// What this leg would show with `nonce` as his, as far as he knows; he takes zeros for what he does not.
    fn guess(&self, nonce: &[u8; 32]) -> u64 {
        let context = &self.context;
        let honest = self.known.unwrap_or_default();
        let shown = match self.role {
            Role::Client => words::shown(context, &honest, nonce),
            Role::Server => words::shown(context, nonce, &honest),
        };
        low(shown)
    }

    /// Makes his next move. Where he may still choose he tries nonces until the words are those of the other leg.
    fn go(&mut self, wanted: Option<u64>) {
        let message = match (self.role, self.moves) {
            (Role::Client, _) => {
                self.choose(wanted);
                Message::Nonce(self.nonce)
            }
            (Role::Server, 0) => {
                self.choose(wanted);
                Message::Commit(words::commit(&self.context, &self.nonce))
            }
            (Role::Server, _) => Message::Reveal(self.nonce),
        };
        self.moves += 1;
        self.heard = self.honest.handle(&message).expect("he keeps the rules");
        if let Some(Message::Nonce(nonce) | Message::Reveal(nonce)) = &self.heard {
            self.known = Some(*nonce);
        }
    }

    fn choose(&mut self, wanted: Option<u64>) {
        assert!(self.known.is_none(), "he chooses before he knows");
        let Some(wanted) = wanted else { return };
        for _ in 0..4 {
            if self.guess(&self.nonce) == wanted {
                return;
            }
            self.nonce = bytes(
                "another",
                u64::from_be_bytes(*self.nonce.first_chunk().unwrap()),
            );
        }
    }

    fn shown(&self) -> u64 {
        let context = &self.context;
        let honest = self.known.expect("the run has come to words");
        let shown = match self.role {
            Role::Client => words::shown(context, &honest, &self.nonce),
            Role::Server => words::shown(context, &self.nonce, &honest),
        };
        low(shown)
    }
}

fn low(bits: u64) -> u64 {
    bits & ((1 << BITS) - 1)
}

/// Every order of `first` moves on one leg and `second` on the other.
fn orders(first: usize, second: usize) -> Vec<Vec<usize>> {
    if first == 0 || second == 0 {
        return vec![[vec![0; first], vec![1; second]].concat()];
    }
    let mut all = Vec::new();
    for (leg, rest) in [
        (0, orders(first - 1, second)),
        (1, orders(first, second - 1)),
    ] {
        all.extend(rest.into_iter().map(|rest| [vec![leg], rest].concat()));
    }
    all
}

#[test]
fn in_every_order_he_succeeds_by_chance_only() {
    let roles = [Role::Client, Role::Server];
    let (mut total, mut count) = (0, 0);
    for (first, second) in roles
        .into_iter()
        .flat_map(|first| roles.map(|second| (first, second)))
    {
        for order in orders(Leg::moves(first), Leg::moves(second)) {
            let mut hits = 0_u32;
            for number in count..count + RUNS {
                let mut legs = [
                    Leg::new(first, 2 * number),
                    Leg::new(second, 2 * number + 1),
                ];
                for &leg in &order {
                    let other = &legs[1 - leg];
                    let wanted = (other.moves > 0).then(|| other.guess(&other.nonce));
                    legs[leg].go(wanted);
                }
                hits += u32::from(legs[0].shown() == legs[1].shown());
            }
            within_three_sigma(hits, RUNS, &format!("{first:?} {second:?} {order:?}"));
            (total, count) = (total + hits, count + RUNS);
        }
    }
    assert_eq!(count, 14 * RUNS);
    within_three_sigma(total, count, "all orders");
}

fn within_three_sigma(hits: u32, runs: u64, what: &str) {
    let runs = f64::from(u32::try_from(runs).unwrap());
    let chance = 1.0 / f64::from(1_u32 << BITS);
    let (mean, sigma) = (runs * chance, (runs * chance * (1.0 - chance)).sqrt());
    let off = (f64::from(hits) - mean) / sigma;
    println!("{what}: {hits} of {runs}, {off:+.2} sigma");
    assert!(
        off.abs() <= 3.0,
        "{what}: {hits}, and {mean} ± {sigma} is chance"
    );
}

#[test]
fn comparing_takes_all_bytes() {
    let one = bytes("one", 1);
    assert!(same(&one, &one));
    for at in 0..32 {
        let mut other = one;
        other[at] ^= 1;
        assert!(!same(&one, &other), "byte {at}");
    }
}
