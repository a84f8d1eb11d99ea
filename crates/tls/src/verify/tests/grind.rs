//! Why there is a commitment: the proof of the attack on a short string that does without.

use super::super::words;
use super::{CLIENT, Run, SERVER, bytes, context, secret};
use crate::Role;

/// The bits that are compared here. An attack of one core and a second on 20 or more is the same, only longer.
const BITS: u32 = 12;

fn short(connection: [u8; 32], clients: &[u8; 32], servers: &[u8; 32]) -> u64 {
    let context = context(Role::Client, CLIENT, SERVER, connection);
    words::shown(&context, clients, servers) & ((1 << BITS) - 1)
}

/// How many tries it takes until `trial` hits `wanted`.
fn ground(wanted: u64, trial: impl Fn(u64) -> u64) -> u64 {
    (0..1 << (BITS + 4))
        .find(|number| trial(*number) == wanted)
        .expect("sixteen times as many tries as there are strings")
        + 1
}

#[test]
fn without_a_commitment_a_short_string_is_ground_out() {
    let nonces = [bytes("romeo's nonce", 1), bytes("juliet's nonce", 1)];
    // First: a string from the connection's secret alone. The man in the middle has finished with Juliet. Toward Romeo, as
    // the TLS server, he tries signatures until that connection's secret shows what Juliet sees.
    let none = [0; 32];
    let wanted = short(bytes("to juliet", 1), &none, &none);
    let by_secret = ground(wanted, |n| short(bytes("to romeo", n), &none, &none));
    // Second: nonces, sent in the clear. He has Romeo's before he chooses his own, and all of the other leg.
    let wanted = short(bytes("to juliet", 1), &bytes("mallory's", 0), &nonces[1]);
    let by_nonce = ground(wanted, |n| {
        short(bytes("to romeo", 1), &nonces[0], &bytes("mallory's", n))
    });
    println!("{BITS} bits ground out after {by_secret} secrets, and after {by_nonce} nonces");

    // With the commitment he must give his nonce first: what he then learns fits no better than by chance, and another
    // nonce than the promised one is refused. `middle.rs` counts it.
    let client = context(Role::Client, CLIENT, SERVER, bytes("to romeo", 1));
    let (_, commit) = Run::words(client, secret("romeo's nonce", 1));
    let name = commit.map(|message| message.name());
    assert_eq!(name, Some("commit"), "Romeo's nonce is not given away");
}
