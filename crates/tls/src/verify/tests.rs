//! Two honest ends, and what the other tests share.

mod code;
mod grind;
mod middle;
mod tamper;
mod vectors;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Code, Context, Fault, Message, Run, ShortWords};
use crate::{Fingerprint, Role};

pub(super) const CLIENT: &str = "romeo@montague.example";
pub(super) const SERVER: &str = "juliet@capulet.example";

/// 32 bytes that follow from a text and a number: what random bytes are in these tests.
pub(super) fn bytes(label: &str, number: u64) -> [u8; 32] {
    Sha256::new()
        .chain_update(label)
        .chain_update(number.to_be_bytes())
        .finalize()
        .into()
}

pub(super) fn secret(label: &str, number: u64) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(bytes(label, number))
}

/// One end of the connection whose exporter gives `connection`, between two people by their names and keys.
pub(super) fn context(role: Role, client: &str, server: &str, connection: [u8; 32]) -> Context {
    let key = |jid: &str| Fingerprint::of_spki(jid.as_bytes());
    Context::new(
        role,
        (client, &key(client)),
        (server, &key(server)),
        Zeroizing::new(connection),
    )
}

/// Both ends of one connection.
pub(super) fn contexts(number: u64) -> [Context; 2] {
    let connection = bytes("connection", number);
    [Role::Client, Role::Server].map(|role| context(role, CLIENT, SERVER, connection))
}

/// Passes messages between a client's and a server's run until there are none. `alter` may change any of them; `None` is
/// a message that it keeps. Says who failed how.
pub(super) fn pass(
    mut client: (Run, Option<Message>),
    mut server: (Run, Option<Message>),
    alter: &mut dyn FnMut(Role, Message) -> Option<Message>,
) -> Result<[Run; 2], Fault> {
    loop {
        let to_server = client
            .1
            .take()
            .and_then(|message| alter(Role::Client, message));
        let to_client = server
            .1
            .take()
            .and_then(|message| alter(Role::Server, message));
        if to_server.is_none() && to_client.is_none() {
            return Ok([client.0, server.0]);
        }
        if let Some(message) = to_server {
            server.1 = server.0.handle(&message)?;
        }
        if let Some(message) = to_client {
            // A server that has just answered has nothing else to say.
            let answer = client.0.handle(&message)?;
            client.1 = answer.or(client.1);
        }
    }
}

pub(super) fn honest(_: Role, message: Message) -> Option<Message> {
    Some(message)
}

/// Both people agree, and the proofs cross.
pub(super) fn agree(runs: &mut [Run; 2]) -> Result<(), Fault> {
    let [client, server] = runs;
    let proofs = [client.agree().unwrap(), server.agree().unwrap()];
    server.handle(&proofs[0])?;
    client.handle(&proofs[1])?;
    Ok(())
}

pub(super) fn words_of(contexts: [Context; 2], number: u64) -> [(Run, Option<Message>); 2] {
    let [client, server] = contexts;
    [
        Run::words(client, secret("client's nonce", number)),
        Run::words(server, secret("server's nonce", number)),
    ]
}

fn shown(runs: &[Run; 2]) -> [ShortWords; 2] {
    [&runs[0], &runs[1]].map(|run| run.short_words().unwrap())
}

#[test]
fn ten_thousand_honest_runs_show_the_same_words() {
    let mut first = std::collections::BTreeSet::new();
    for number in 0..10_000 {
        let [client, server] = words_of(contexts(number), number);
        let mut runs = pass(client, server, &mut honest).unwrap();
        let [one, other] = shown(&runs);
        assert_eq!(one.numbers(), other.numbers(), "run {number}");
        assert!(one.numbers().iter().all(|number| *number < 2048));
        first.insert(one.numbers()[0]);
        assert!(!runs[0].is_done() && !runs[1].is_done());
        agree(&mut runs).unwrap();
        assert!(runs[0].is_done() && runs[1].is_done());
    }
    // 2 048 × (1 − e^(−10 000 ÷ 2 048)) = 2 032 of the 2 048 words are met.
    assert!(
        first.len() > 2000,
        "only {} words are ever shown",
        first.len()
    );
}

#[test]
fn nothing_is_verified_before_both_have_agreed() {
    let [client, server] = words_of(contexts(1), 1);
    let mut runs = pass(client, server, &mut honest).unwrap();
    let [client, server] = &mut runs;
    let proof = client.agree().unwrap();
    assert!(client.agree().is_none(), "a second agreement is none");
    server.handle(&proof).unwrap();
    assert!(!client.is_done() && !server.is_done());
    let proof = server.agree().unwrap();
    assert!(server.is_done() && !client.is_done());
    client.handle(&proof).unwrap();
    assert!(client.is_done());
}

#[test]
fn there_are_no_words_before_the_commitment_is_opened() {
    let [(mut client, commit), (mut server, none)] = words_of(contexts(1), 1);
    assert!(none.is_none());
    assert!(client.short_words().is_none() && client.agree().is_none());
    let nonce = server.handle(&commit.unwrap()).unwrap().unwrap();
    assert!(server.short_words().is_none() && server.agree().is_none());
    let reveal = client.handle(&nonce).unwrap().unwrap();
    assert!(client.short_words().is_some());
    assert!(server.handle(&reveal).unwrap().is_none());
    assert!(server.short_words().is_some());
}

#[test]
fn debug_shows_no_code_nonce_or_words() {
    let [(client, commit), (server, _)] = words_of(contexts(1), 1);
    assert_eq!(
        format!("{client:?}"),
        r#"Run(Words(Words { step: "Committed", .. }))"#
    );
    assert_eq!(
        format!("{server:?}"),
        r#"Run(Words(Words { step: "Listening", .. }))"#
    );
    assert_eq!(
        format!("{:?}", commit.as_ref().unwrap()),
        r#"Message("commit")"#
    );
    let runs = pass((client, commit), (server, None), &mut honest).unwrap();
    assert_eq!(
        format!("{:?} {:?}", runs[0], shown(&runs)[0]),
        r#"Run(Words(Words { step: "Comparing", .. })) ShortWords(..)"#
    );
    let code = Code::new("correct horse").unwrap();
    let [context, _] = contexts(1);
    assert_eq!(
        format!("{code:?} {context:?}"),
        "Code(..) Context { role: Client, .. }"
    );
    let (run, side) = Run::code(context, &code, &secret("seed", 1));
    assert_eq!(
        format!("{run:?} {:?}", side.unwrap()),
        r#"Run(Code(Exchange { step: "Sent", .. })) Message("pake")"#
    );
}
