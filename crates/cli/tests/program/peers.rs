//! Addresses and URIs as arguments.

use std::net::TcpListener;

use super::*;

/// The URI that `xtls id` prints for Juliet, from her own home.
fn uri() -> (Stage, String) {
    let stage = Stage::new();
    let ended = stage.run(&["id", "--json", "--account", JULIET]);
    let uri = objects(&ended.output())[0]["uri"]
        .as_str()
        .unwrap()
        .to_owned();
    (stage, uri)
}

#[test]
fn half_an_address_is_refused_before_any_login() {
    let stage = Stage::settled();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap().to_string();
    for args in [
        ["chat", "juliet"].as_slice(),
        &["stanzas", "capulet.example"],
        &["verify", "xmpp:juliet"],
        &["chat", "--listen", "--accept", "juliet"],
        &["chat", JULIET, "--account", "romeo"],
    ] {
        let mut command = stage.command(args);
        command
            .args(["--server", &address])
            .env("XTLS_PASSWORD", "x");
        Ended(command.output().unwrap())
            .expect(2)
            .saying("expected name@domain");
    }
    for verb in ["show", "forget", "revoke", "pin"] {
        stage
            .run(&["trust", verb, "juliet"])
            .expect(2)
            .saying("expected name@domain");
    }
    assert!(server.accept().is_err(), "something has connected");
}

#[test]
fn the_uri_that_id_prints_is_accepted_wherever_a_peer_is() {
    let (_juliet, uri) = uri();
    let stage = Stage::settled();
    let ended = |args: &[&str]| stage.run(args);
    let call = |verb: &str, uri: &str| {
        let mut command = stage.login(&[verb, uri]);
        Ended(command.env("XTLS_PASSWORD", "x").output().unwrap())
    };
    // The URI selects its key, so a first contact must not accept another one.
    for verb in ["chat", "stanzas"] {
        let refused = call(verb, &uri);
        refused.expect(5).saying("the key in the URI is not pinned");
        assert_eq!(refused.commands().len(), 1);
    }
    let [pin] = call("chat", &uri).commands().try_into().unwrap();
    stage.paste(&pin).expect(0);
    ended(&["trust", "forget", JULIET]).expect(0);

    ended(&["trust", "pin", &uri]).expect(0);
    let shown = objects(&ended(&["trust", "show", &uri, "--json"]).output());
    assert!(uri.ends_with(shown[0]["fingerprint"].as_str().unwrap()));
    for verb in ["chat", "stanzas"] {
        call(verb, &uri).expect(3);
    }
    let (address, _) = uri.split_once('?').unwrap();
    call("chat", address).expect(3);
    // Another key of the same peer is treated as another key by every verb.
    let other = format!("{address}?xtls;fp={}", "0a".repeat(32));
    call("chat", &other).expect(5);
    ended(&["trust", "show", &other])
        .expect(1)
        .saying("this key is not pinned");
    ended(&["trust", "forget", &other]).expect(1);
    ended(&["trust", "pin", &other]).expect(5);
    ended(&["trust", "pin", "--another", &other]).expect(0);
    ended(&["trust", "forget", &other])
        .expect(0)
        .saying("1 key");
    assert_eq!(
        objects(&ended(&["trust", "list", "--json"]).output()),
        shown
    );

    ended(&["trust", "revoke", &uri]).expect(0);
    ended(&["trust", "forget", &uri]).expect(0).saying("0 keys");
    let left = objects(&ended(&["trust", "show", &uri, "--json"]).output());
    assert_eq!(left[0]["level"], "revoked");
    call("chat", &uri).expect(5);
}

#[test]
fn a_pin_needs_one_fingerprint() {
    let (_juliet, uri) = uri();
    let stage = Stage::settled();
    let before = stage.tree();
    let other = "0a".repeat(32);
    stage
        .run(&["trust", "pin", JULIET])
        .expect(2)
        .saying("the fingerprint is missing");
    stage
        .run(&["trust", "pin", &uri, &other])
        .expect(2)
        .saying("another fingerprint");
    // The placeholder of a hint, not filled in.
    stage
        .run(&["trust", "pin", JULIET, "<the fingerprint they give you>"])
        .expect(2);
    stage
        .run(&["chat", "--listen", "--accept", &uri])
        .expect(2)
        .saying("trust pin");
    assert_eq!(stage.tree(), before);
}

#[test]
fn your_own_key_cannot_belong_to_a_peer() {
    let stage = Stage::settled();
    let own = objects(&stage.run(&["id", "--json"]).output());
    let key = own[0]["fingerprint"].as_str().unwrap();
    stage
        .run(&["trust", "pin", JULIET, key])
        .expect(5)
        .saying("your own key");
    stage
        .run(&["trust", "pin", own[0]["uri"].as_str().unwrap()])
        .expect(5);
}

#[test]
fn pinning_a_revoked_key_or_the_key_of_another_peer_says_so() {
    let stage = Stage::settled();
    let key = "0a".repeat(32);
    stage.run(&["trust", "revoke", JULIET, &key]).expect(0);
    let ended = stage.run(&["trust", "pin", JULIET, &key]);
    ended.expect(5).saying("stays refused for good");
    assert_eq!(ended.commands().len(), 0);
    let other = "0b".repeat(32);
    stage
        .run(&["trust", "pin", "--another", JULIET, &other])
        .expect(0);
    let ended = stage.run(&["trust", "pin", "nurse@capulet.example", &other]);
    let [show] = ended.expect(5).commands().try_into().unwrap();
    assert!(stage.paste(&show).expect(0).output().contains(JULIET));
}
