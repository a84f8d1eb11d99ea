//! Thirty and more ways to change a run. None succeeds, and none is taken for another fault than it is.

use super::{
    CLIENT, Code, Context, Fault, Message, Run, SERVER, agree, bytes, context, contexts, honest,
    pass, secret, words_of,
};
use crate::{Fingerprint, Role};
use zeroize::Zeroizing;

/// One end's context with one thing in it that the other end sees otherwise.
fn skewed(role: Role, what: &str) -> Context {
    let key = |text: &str| Fingerprint::of_spki(text.as_bytes());
    let other = |part: &str, own: &'static str| {
        if what == part {
            "mallory@example.net"
        } else {
            own
        }
    };
    let (client, server) = (other("client's jid", CLIENT), other("server's jid", SERVER));
    let client_key = key(other("client's key", CLIENT));
    let server_key = key(other("server's key", SERVER));
    let connection = bytes("connection", if what == "connection" { 2 } else { 1 });
    Context::new(
        role,
        (client, &client_key),
        (server, &server_key),
        Zeroizing::new(connection),
    )
}

const PARTS: [&str; 5] = [
    "connection",
    "client's jid",
    "server's jid",
    "client's key",
    "server's key",
];

/// Both ends by words, with `alter` between them until the words, and the proofs after that.
fn by_words(
    contexts: [Context; 2],
    alter: &mut dyn FnMut(Role, Message) -> Option<Message>,
) -> Result<(), Fault> {
    let [client, server] = words_of(contexts, 1);
    let [mut client, mut server] = pass(client, server, alter)?;
    for (from, run) in [(Role::Client, &mut client), (Role::Server, &mut server)] {
        assert!(run.short_words().is_some(), "{from:?} has come to no words");
    }
    let proofs = [client.agree().unwrap(), server.agree().unwrap()];
    let [to_server, to_client] = proofs;
    if let Some(proof) = alter(Role::Client, to_server) {
        server.handle(&proof)?;
    }
    if let Some(proof) = alter(Role::Server, to_client) {
        client.handle(&proof)?;
    }
    assert!(client.is_done() && server.is_done());
    Ok(())
}

fn by_code(
    contexts: [Context; 2],
    alter: &mut dyn FnMut(Role, Message) -> Option<Message>,
) -> Result<(), Fault> {
    let code = Code::new("correct horse").unwrap();
    let [client, server] = contexts;
    let client = Run::code(client, &code, &secret("client's seed", 1));
    let server = Run::code(server, &code, &secret("server's seed", 1));
    let runs = pass(client, server, alter)?;
    assert!(runs.iter().all(Run::is_done));
    Ok(())
}

#[test]
fn an_end_with_another_view_of_the_connection_never_confirms() {
    for what in PARTS {
        for role in [Role::Client, Role::Server] {
            let [client, server] = contexts(1);
            let both = match role {
                Role::Client => [skewed(Role::Client, what), server],
                Role::Server => [client, skewed(Role::Server, what)],
            };
            let failed = by_words(both.clone(), &mut honest);
            assert_eq!(failed, Err(Fault::Commitment), "{what}, {role:?}");
            let failed = by_code(both, &mut honest);
            assert_eq!(failed, Err(Fault::Confirmation), "{what}, {role:?}");
        }
    }
}

/// One bit of the message of this kind from this end.
fn flip(kind: &'static str, from: Role) -> impl FnMut(Role, Message) -> Option<Message> {
    move |sender, mut message| {
        if sender == from && message.name() == kind {
            match &mut message {
                Message::Commit(bytes)
                | Message::Nonce(bytes)
                | Message::Reveal(bytes)
                | Message::Confirm(bytes) => bytes[17] ^= 4,
                Message::Pake(bytes) => bytes[17] ^= 4,
            }
        }
        Some(message)
    }
}

#[test]
fn one_changed_bit_in_any_message_fails() {
    use Role::{Client, Server};
    for (kind, from, fault) in [
        ("commit", Client, Fault::Commitment),
        ("reveal", Client, Fault::Commitment),
        ("confirm", Client, Fault::Confirmation),
        ("confirm", Server, Fault::Confirmation),
    ] {
        let failed = by_words(contexts(1), &mut flip(kind, from));
        assert_eq!(failed, Err(fault), "{kind} of the {from:?}");
    }
    // A changed nonce of the server's is what a man in the middle would send: the words differ, and so do the proofs.
    let [client, server] = words_of(contexts(1), 1);
    let mut runs = pass(client, server, &mut flip("nonce", Server)).unwrap();
    assert_ne!(runs[0].short_words(), runs[1].short_words());
    assert_eq!(agree(&mut runs), Err(Fault::Confirmation));
    for from in [Client, Server] {
        for kind in ["pake", "confirm"] {
            let failed = by_code(contexts(1), &mut flip(kind, from));
            let named = matches!(failed, Err(Fault::Confirmation | Fault::Exchange));
            assert!(named, "{kind} of the {from:?}: {failed:?}");
        }
    }
}

/// All messages of an honest run by words, by who sent them; the proofs last.
fn recorded(number: u64) -> Vec<(Role, Message)> {
    let mut all = Vec::new();
    let mut record = |from, message: Message| {
        all.push((from, message.clone()));
        Some(message)
    };
    let [client, server] = words_of(contexts(number), number);
    let [mut client, mut server] = pass(client, server, &mut record).unwrap();
    for (from, run) in [(Role::Client, &mut client), (Role::Server, &mut server)] {
        all.push((from, run.agree().unwrap()));
    }
    all
}

#[test]
fn a_message_of_another_run_fails() {
    for (at, (from, old)) in recorded(2).into_iter().enumerate() {
        let mut replay = |sender, message: Message| {
            let same = sender == from && message.name() == old.name();
            Some(if same { old.clone() } else { message })
        };
        let failed = match old {
            Message::Nonce(_) => {
                let [client, server] = words_of(contexts(1), 1);
                let mut runs = pass(client, server, &mut replay).unwrap();
                assert_ne!(runs[0].short_words(), runs[1].short_words());
                agree(&mut runs)
            }
            Message::Commit(_) | Message::Reveal(_) | Message::Pake(_) | Message::Confirm(_) => {
                by_words(contexts(1), &mut replay)
            }
        };
        assert!(failed.is_err(), "message {at}, {}", old.name());
    }
}

#[test]
fn a_whole_run_replayed_on_another_connection_fails() {
    let old = recorded(1);
    let [_, server] = contexts(3);
    let (mut server, _) = Run::words(server, secret("fresh", 1));
    let from_client = |at: usize| &old[at].1;
    server.handle(from_client(0)).unwrap();
    assert_eq!(server.handle(from_client(2)), Err(Fault::Commitment));
}

#[test]
fn whatever_is_not_due_ends_the_run() {
    let all = [
        Message::Commit([1; 32]),
        Message::Nonce([1; 32]),
        Message::Reveal([1; 32]),
        Message::Pake([1; 33]),
        Message::Confirm([1; 32]),
    ];
    let client = || words_of(contexts(1), 1)[0].0.method();
    assert_eq!(client(), super::super::Method::Words);
    let mut cases = 0;
    for (name, due) in [("client", "nonce"), ("server", "commit")] {
        for message in all.iter().filter(|message| message.name() != due) {
            let [client, server] = words_of(contexts(1), 1).map(|(run, _)| run);
            let mut run = if name == "client" { client } else { server };
            assert_eq!(
                run.handle(message),
                Err(Fault::Order(message.name())),
                "{name}"
            );
            // Also what was due comes too late now.
            let due = all.iter().find(|message| message.name() == due).unwrap();
            assert_eq!(run.handle(due), Err(Fault::Order(due.name())));
            assert!(run.short_words().is_none() && run.agree().is_none() && !run.is_done());
            cases += 1;
        }
    }
    // At the words, only a proof is due, and that once.
    for message in &all[..4] {
        let [client, server] = words_of(contexts(1), 1);
        for mut run in pass(client, server, &mut honest).unwrap() {
            assert_eq!(run.handle(message), Err(Fault::Order(message.name())));
            assert!(run.agree().is_none(), "words that cannot be agreed to");
            cases += 1;
        }
    }
    let [client, server] = words_of(contexts(1), 1);
    let [mut client, mut server] = pass(client, server, &mut honest).unwrap();
    let proof = client.agree().unwrap();
    server.handle(&proof).unwrap();
    assert_eq!(server.handle(&proof), Err(Fault::Order("confirm")));
    // Reflected to who made it.
    assert_eq!(client.handle(&proof), Err(Fault::Confirmation));
    assert_eq!(cases, 16);
}

#[test]
fn what_is_no_element_of_the_group_is_refused() {
    let code = Code::new("correct horse").unwrap();
    let context = context(Role::Client, CLIENT, SERVER, bytes("connection", 1));
    let handle = |side: [u8; 33]| {
        let (mut run, _) = Run::code(context.clone(), &code, &secret("seed", 1));
        run.handle(&Message::Pake(side))
    };
    // Every other number is no point of the curve.
    let refused = (2..34)
        .filter(|number| {
            let mut side = [0; 33];
            (side[0], side[1]) = (b'B', *number);
            handle(side) == Err(Fault::Exchange)
        })
        .count();
    assert!((8..=24).contains(&refused), "{refused} of 32");
    // Another role's side, and no role's.
    for first in [b'A', b'S', 0, b'b'] {
        let mut side = [0; 33];
        (side[0], side[1]) = (first, 1);
        assert_eq!(handle(side), Err(Fault::Exchange), "{first}");
    }
}
