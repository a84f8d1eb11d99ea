//! The test vectors of docs/PROTOCOL.md, held to the code.

use rand_core::RngCore as _;
use zeroize::Zeroizing;

use super::super::code::Stream;
use super::{CLIENT, Code, Context, Message, Run, SERVER, honest, pass};
use crate::{Fingerprint, Role};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn context(role: Role) -> Context {
    let key = |digit: &str| Fingerprint::parse(&digit.repeat(64)).unwrap();
    let (client, server) = (key("a"), key("b"));
    let secret = Zeroizing::new([1; 32]);
    Context::new(role, (CLIENT, &client), (SERVER, &server), secret)
}

/// Runs both ends, and notes what they say.
fn run(
    begin: impl Fn(Context, Role) -> (Run, Option<Message>),
) -> ([Run; 2], Vec<(Role, Message)>) {
    let mut said = Vec::new();
    let mut note = |role, message: Message| {
        said.push((role, message.clone()));
        honest(role, message)
    };
    let [client, server] = [Role::Client, Role::Server].map(|role| begin(context(role), role));
    let runs = pass(client, server, &mut note).unwrap();
    (runs, said)
}

fn seed(role: Role) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(match role {
        Role::Client => [2; 32],
        Role::Server => [3; 32],
    })
}

fn proof(said: &[(Role, Message)], from: Role) -> String {
    let mut proofs = said.iter().filter_map(|(role, message)| match message {
        Message::Confirm(proof) if *role == from => Some(hex(proof)),
        Message::Confirm(_)
        | Message::Commit(_)
        | Message::Nonce(_)
        | Message::Reveal(_)
        | Message::Pake(_) => None,
    });
    proofs.next().unwrap()
}

fn vectors() -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let ends = context(Role::Client).hash("", b"");
    rows.push(("SHA-256(secret \\| ends)", hex(&ends)));
    let (mut runs, said) = run(|context, role| Run::words(context, seed(role)));
    let Message::Commit(commit) = &said[0].1 else {
        panic!("{:?}", said[0])
    };
    rows.push(("commit", hex(commit)));
    let numbers = runs[0].short_words().unwrap().numbers();
    rows.push(("words", numbers.map(|number| number.to_string()).join(" ")));
    for (run, what) in runs
        .iter_mut()
        .zip(["proof of the client", "proof of the server"])
    {
        let Some(Message::Confirm(proof)) = run.agree() else {
            panic!("no proof")
        };
        rows.push((what, hex(&proof)));
    }
    for (what, label) in [
        ("identity of the client", "xtls verify code client 1"),
        ("identity of the server", "xtls verify code server 1"),
    ] {
        rows.push((what, hex(&context(Role::Client).hash(label, b""))));
    }
    for (what, role) in [
        ("random of the client", Role::Client),
        ("random of the server", Role::Server),
    ] {
        let mut random = [0; 64];
        Stream::new(&seed(role)).fill_bytes(&mut random);
        rows.push((what, hex(&random)));
    }
    let code = Code::new("Ho\u{308}hle-12 34").unwrap();
    let (_, said) = run(|context, role| Run::code(context, &code, &seed(role)));
    for (what, from) in [
        ("side of the client", Role::Client),
        ("side of the server", Role::Server),
    ] {
        let side = said.iter().find_map(|(role, message)| match message {
            Message::Pake(side) if *role == from => Some(hex(side)),
            Message::Pake(_)
            | Message::Confirm(_)
            | Message::Commit(_)
            | Message::Nonce(_)
            | Message::Reveal(_) => None,
        });
        rows.push((what, side.unwrap()));
    }
    rows.push(("proof of the client, by code", proof(&said, Role::Client)));
    rows.push(("proof of the server, by code", proof(&said, Role::Server)));
    rows
}

#[test]
fn the_test_vectors_of_the_page_are_what_is_computed() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: String = vectors()
        .iter()
        .map(|(what, value)| format!("| {what} | `{value}` |\n"))
        .collect();
    assert!(page.contains(&rows), "the page should have:\n{rows}");
}
