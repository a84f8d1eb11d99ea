//! The shared code.

use super::super::{CodeError, MAX_CODE, MIN_CODE};
use super::{
    CLIENT, Code, Context, Fault, Message, Run, SERVER, bytes, context, contexts, honest, pass,
    secret,
};
use crate::Role;

fn code(text: &str) -> Code {
    Code::new(text).unwrap()
}

fn begin(context: Context, text: &str, seed: u64) -> (Run, Option<Message>) {
    Run::code(context, &code(text), &secret("seed", seed))
}

#[test]
fn another_code_fails_at_both_ends() {
    let [client, server] = contexts(1);
    let (mut client, from_client) = begin(client, "correct horse", 1);
    let (mut server, from_server) = begin(server, "correct house", 2);
    let proof_of_client = client.handle(&from_server.unwrap()).unwrap().unwrap();
    let proof_of_server = server.handle(&from_client.unwrap()).unwrap().unwrap();
    assert_eq!(client.handle(&proof_of_server), Err(Fault::Confirmation));
    assert_eq!(server.handle(&proof_of_client), Err(Fault::Confirmation));
    assert!(!client.is_done() && !server.is_done());
    // A run that has failed stays so, whatever comes.
    assert_eq!(
        client.handle(&proof_of_server),
        Err(Fault::Order("confirm"))
    );
}

#[test]
fn a_man_in_the_middle_without_the_code_fails() {
    // He passes everything on between two connections of his, which have two secrets.
    let one = context(Role::Client, CLIENT, SERVER, bytes("first leg", 1));
    let other = context(Role::Server, CLIENT, SERVER, bytes("second leg", 1));
    let failed = pass(
        begin(one, "correct horse", 1),
        begin(other, "correct horse", 2),
        &mut honest,
    );
    assert_eq!(failed.err(), Some(Fault::Confirmation));
    // Or he shows keys of his own on one connection that he does not hold the ends of.
    let one = context(Role::Client, CLIENT, "mallory@example.net", bytes("leg", 1));
    let other = context(Role::Server, CLIENT, SERVER, bytes("leg", 1));
    let failed = pass(
        begin(one, "correct horse", 1),
        begin(other, "correct horse", 2),
        &mut honest,
    );
    assert_eq!(failed.err(), Some(Fault::Confirmation));
}

#[test]
fn a_man_in_the_middle_tests_one_guess_a_run() {
    let guesses = ["123456", "password", "correct horse", "letmein now"];
    let found: Vec<_> = guesses
        .into_iter()
        .filter(|guess| {
            let [client, server] = contexts(1);
            pass(
                begin(client, "correct horse", 1),
                begin(server, guess, 2),
                &mut honest,
            )
            .is_ok()
        })
        .collect();
    assert_eq!(found, ["correct horse"]);
}

#[test]
fn a_reflected_side_is_refused_in_both_roles() {
    for context in contexts(1) {
        let (mut run, own) = begin(context, "correct horse", 1);
        assert_eq!(run.handle(&own.unwrap()), Err(Fault::Exchange));
    }
}

#[test]
fn a_reflected_proof_is_refused_in_both_roles() {
    for reflected in [Role::Client, Role::Server] {
        let [client, server] = contexts(1);
        let (mut client, from_client) = begin(client, "correct horse", 1);
        let (mut server, from_server) = begin(server, "correct horse", 2);
        let proofs = [
            client.handle(&from_server.unwrap()).unwrap().unwrap(),
            server.handle(&from_client.unwrap()).unwrap().unwrap(),
        ];
        let failed = match reflected {
            Role::Client => client.handle(&proofs[0]),
            Role::Server => server.handle(&proofs[1]),
        };
        assert_eq!(failed, Err(Fault::Confirmation));
    }
}

#[test]
fn the_same_code_verifies_both_ends() {
    for number in 0..20 {
        let [client, server] = contexts(number);
        let runs = pass(
            begin(client, "Correct Horse", 2 * number),
            begin(server, "correct-horse ", 2 * number + 1),
            &mut honest,
        )
        .unwrap();
        assert!(runs.iter().all(Run::is_done));
        assert!(runs.iter().all(|run| run.short_words().is_none()));
    }
}

#[test]
fn codes_are_read_as_people_say_them() {
    assert_eq!(code(" Abandon ability-ABLE\n"), code("abandonabilityable"));
    assert_ne!(code("abandonabilityable"), code("abandonabilityablf"));
    assert_eq!(code("Æ-ΣIGMA"), code("æσigma"));
    // Typed on two keyboards.
    assert_eq!(
        code("A\u{308}pfel-u\u{308}ber"),
        code("\u{c4}pfel\u{2011}\u{dc}BER")
    );
    assert_eq!(code("\u{130}stanbul"), code("i\u{307}stanbul"));
    for hyphen in [
        '-', '\u{ad}', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2015}',
        '\u{2212}', '\u{a0}', '\u{3000}', '\u{2009}', '\t',
    ] {
        assert_eq!(
            code(&format!("12 34{hyphen}56")),
            code("123456"),
            "{hyphen:?}"
        );
    }
    for other in ['_', '.', '\u{200b}', '\u{2043}'] {
        assert_ne!(code(&format!("1234{other}56")), code("123456"), "{other:?}");
    }
    for (text, characters) in [
        ("", 0),
        ("12 34-5", 5),
        (&"x".repeat(MAX_CODE + 1), MAX_CODE + 1),
    ] {
        assert_eq!(Code::new(text), Err(CodeError::Length { characters }));
    }
    assert!(Code::new(&"x".repeat(MIN_CODE)).is_ok());
    assert!(Code::new(&"x".repeat(MAX_CODE)).is_ok());
}

#[test]
fn tags_tell_codes_apart() {
    assert_eq!(code("correct horse").tag(), code("Correct-Horse").tag());
    let tags: std::collections::BTreeSet<_> = (100_000..101_000)
        .map(|n| code(&format!("{n}")).tag())
        .collect();
    assert!(tags.len() > 950, "{} of 1000", tags.len());
}
