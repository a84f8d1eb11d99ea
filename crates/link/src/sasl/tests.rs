pub(crate) mod support;

use ::sasl::common::scram::{ScramProvider as _, Sha256};

use xtls_stanza::base64;

use self::support::*;
use super::profile::NS;
use super::*;
use crate::scram::Fault;

#[test]
fn a_plain_only_server_never_sees_the_password() {
    let features = features("PLAIN EXTERNAL", None);
    let error = refused(&features, &credentials(), &Memory::default());
    assert_eq!(
        error.to_string(),
        "the server offers no acceptable way to log in, only PLAIN, EXTERNAL; PLAIN shows the server the password, and is used only \
         if it is allowed"
    );
    let nothing = Element::new("features", "http://etherx.jabber.org/streams");
    let error = refused(&nothing, &with_leave(), &Memory::default());
    assert_eq!(
        error.to_string(),
        "the server offers no acceptable way to log in"
    );
}

#[test]
fn a_refused_password_is_final_and_the_exchange_over() {
    let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let text = Element::new("text", NS).with_text("no");
    let failure = Element::new("failure", NS)
        .with_child(text)
        .with_child(Element::new("not-authorized", NS));
    let error = client.hear(&failure).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server refuses the log-in: not-authorized (no)"
    );
    for late in [client.challenge(ROUNDS), success(""), success("v=AAAA")] {
        let error = client.hear(&late).unwrap_err();
        assert!(matches!(error, SaslError::Unexpected { .. }), "{error}");
    }
}

#[test]
fn a_condition_of_a_failure_is_told_and_one_of_another_namespace_is_none() {
    let refused = |element: &Element| {
        let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
        let error = client.hear(element).unwrap_err();
        let SaslError::Refused { condition, .. } = error else {
            panic!("{error:?}")
        };
        condition
    };
    for condition in [
        "temporary-auth-failure",
        "not-authorized",
        "account-disabled",
    ] {
        assert_eq!(refused(&failure(condition)), condition);
    }
    let foreign = Element::new("temporary-auth-failure", "urn:example");
    let foreign = Element::new("failure", NS).with_child(foreign);
    assert_eq!(refused(&foreign), "undefined-condition");
}

#[test]
fn the_words_of_a_server_are_cut_and_do_nothing_to_a_terminal() {
    let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let words = format!("\u{9b}2Jno \"Größe\"\n\u{202e}{}", "x".repeat(70_000));
    let text = Element::new("text", NS).with_text(words);
    let failure = failure("not-authorized").with_child(text);
    let text = client.hear(&failure).unwrap_err().to_string();
    let begin = r#"the server refuses the log-in: not-authorized (\u{9b}2Jno "Größe"\n\u{202e}xxx"#;
    assert!(text.starts_with(begin), "{text}");
    assert!(
        text.ends_with("xxx…)") && text.len() < 1_100,
        "{}",
        text.len()
    );
}

#[test]
fn the_client_says_whether_it_could_have_bound() {
    let start = |mechanisms| {
        Client::start(
            &features(mechanisms, None),
            &credentials(),
            Memory::default(),
        )
    };
    let client = start("SCRAM-SHA-256");
    assert!(client.message().starts_with("y,,n=juliet,r="));
    // A server that binds in its own ways only hears no promise, and is not guessed at.
    let client = start(BOTH);
    assert_eq!(client.said.attr("mechanism"), Some("SCRAM-SHA-256"));
    assert!(client.message().starts_with("n,,n=juliet,r="));
}

#[test]
fn what_fails_bound_is_not_tried_unbound() {
    let features = features(BOTH, Some("tls-exporter"));
    let mut client = Client::start(&features, &credentials(), Memory::default());
    assert_eq!(client.said.attr("mechanism"), Some("SCRAM-SHA-256-PLUS"));
    assert!(client.message().starts_with("p=tls-exporter,,n=juliet,r="));
    client.hear(&failure("not-authorized")).unwrap_err();
}

#[test]
fn a_link_that_was_bound_once_is_not_logged_in_unbound() {
    // Without a binding it goes, as long as there was none.
    let client = logged_in(&features(BOTH, None), Memory::default());
    let client = logged_in(&features(BOTH, Some("tls-exporter")), client.memory);
    let client = logged_in(&features(BOTH, Some("tls-exporter")), client.memory);
    for offered in [features(BOTH, None), features("PLAIN", None)] {
        let error = refused(&offered, &with_leave(), &client.memory);
        assert_eq!(error, SaslError::Unbound);
    }
}

#[test]
fn a_link_that_had_a_strong_hash_once_takes_no_weaker_one() {
    let client = logged_in(&features("SCRAM-SHA-256", None), Memory::default());
    for mechanisms in ["SCRAM-SHA-1", "PLAIN"] {
        let error = refused(&features(mechanisms, None), &with_leave(), &client.memory);
        assert_eq!(error, SaslError::Weaker);
    }
}

#[test]
fn a_log_in_that_fails_shows_nothing_of_the_server() {
    let mut client = Client::start(
        &features(BOTH, Some("tls-exporter")),
        &credentials(),
        Memory::default(),
    );
    client.hear(&client.challenge(ROUNDS)).unwrap();
    client.hear(&success("v=AAAA")).unwrap_err();
    logged_in(&features("SCRAM-SHA-256", None), client.memory);
}

#[test]
fn a_server_that_cannot_prove_itself_is_an_impostor() {
    for (proof, why) in [
        ("", NoProof::Missing),
        ("v=AAAA", NoProof::Wrong),
        ("e=other-error", NoProof::Error("other-error".to_owned())),
    ] {
        for say in [success, challenge] {
            let mut client =
                Client::start(&features(BOTH, None), &credentials(), Memory::default());
            client.hear(&client.challenge(ROUNDS)).unwrap();
            let error = client.hear(&say(proof)).unwrap_err();
            assert_eq!(error, SaslError::Impostor(why.clone()));
            // Nothing that it says later counts.
            client.hear(&success("")).unwrap_err();
        }
    }
}

#[test]
fn success_before_any_proof_is_an_impostor() {
    for worked in [false, true] {
        let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
        if worked {
            let next = client
                .exchange
                .handle(&client.challenge(ROUNDS), &mut client.memory);
            assert!(matches!(next, Ok(Next::Derive(_))));
        }
        let error = client.hear(&success("")).unwrap_err();
        assert_eq!(error, SaslError::Impostor(NoProof::Missing));
    }
}

#[test]
fn a_challenge_that_asks_for_endless_work_is_refused() {
    let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let challenge = client.challenge("s=c2FsdA==,i=4294967295");
    let error = client.hear(&challenge).unwrap_err();
    assert_eq!(error, SaslError::Challenge(Fault::Rounds(u32::MAX)));
}

#[test]
fn an_offer_that_was_tampered_with_is_final() {
    let offered = features(BOTH, Some("tls-exporter"));
    let said = |offered: &Element| {
        let mut hash = Vec::new();
        base64::encode(&Sha256::hash(&to_hash(offered)), &mut hash);
        format!("{ROUNDS},h={}", String::from_utf8(hash).unwrap())
    };
    // Somebody took the way to bind, or a mechanism, out of what the server said.
    for received in [
        features(BOTH, None),
        features(BOTH, Some("")),
        features("SCRAM-SHA-256", Some("tls-exporter")),
    ] {
        let mut client = Client::start(&received, &credentials(), Memory::default());
        let error = client.hear(&client.challenge(&said(&offered))).unwrap_err();
        assert_eq!(error, SaslError::Tampered);
    }
    let mut client = Client::start(&offered, &credentials(), Memory::default());
    let first = client.message();
    let rest = said(&offered);
    client.hear(&client.challenge(&rest)).unwrap();
    let proof = signature(&first, &rest, &client.message());
    assert_eq!(client.hear(&success(&proof)), Ok(Heard::LoggedIn));
}

#[test]
fn endless_challenges_are_refused() {
    let mut client = Client::start(&features("PLAIN", None), &with_leave(), Memory::default());
    client.hear(&challenge("more")).unwrap_err();

    let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let first = client.message();
    let asked = client.challenge(ROUNDS);
    client.hear(&asked).unwrap();
    let proof = signature(&first, ROUNDS, &client.message());
    client.hear(&challenge(&proof)).unwrap();
    let error = client.hear(&challenge(&proof)).unwrap_err();
    assert!(matches!(error, SaslError::Unexpected { .. }));

    // Not even while the first one is being worked on.
    let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let next = client.exchange.handle(&asked, &mut client.memory).unwrap();
    let Next::Derive(job) = next else { panic!() };
    client
        .exchange
        .handle(&asked, &mut client.memory)
        .unwrap_err();
    let late = client.exchange.handle_keys(job.run(), &mut client.memory);
    assert!(late.is_none());
}

#[test]
fn elements_that_have_no_place_in_a_log_in_are_refused() {
    for stranger in [
        Element::new("success", "jabber:client"),
        Element::new("message", "jabber:client"),
        Element::new("features", "http://etherx.jabber.org/streams"),
        Element::new("response", NS),
    ] {
        let mut client = Client::start(&features("PLAIN", None), &with_leave(), Memory::default());
        let error = client.hear(&stranger).unwrap_err();
        assert!(matches!(error, SaslError::Unexpected { .. }), "{error}");
        client.hear(&success("")).unwrap_err();
    }
}

#[test]
fn what_is_no_base64_is_refused() {
    for text in ["r=", "cj0", "c j0=", "cj1=", "==", "cj0=\u{a0}"] {
        let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
        let challenge = Element::new("challenge", NS).with_text(text);
        let error = client.hear(&challenge).unwrap_err();
        assert!(matches!(error, SaslError::Base64(_)), "{text}: {error}");
    }
    for text in ["", "=", "\n = \n"] {
        let element = Element::new("success", NS).with_text(text);
        assert_eq!(decode(&element.text()).unwrap(), "");
    }
}

#[test]
fn a_proof_may_come_in_a_challenge_of_its_own() {
    let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let first = client.message();
    let asked = client.challenge(ROUNDS);
    assert_eq!(client.hear(&asked), Ok(Heard::Worked));
    let proof = signature(&first, ROUNDS, &client.message());
    assert_eq!(client.hear(&challenge(&proof)), Ok(Heard::Answered));
    assert_eq!(client.message(), "");
    assert_eq!(client.hear(&success("")), Ok(Heard::LoggedIn));
}

#[test]
fn a_second_log_in_costs_no_work() {
    let mut client = Client::start(
        &features(BOTH, None),
        &credentials(),
        logged_in(&features(BOTH, None), Memory::default()).memory,
    );
    let first = client.message();
    let asked = client.challenge(ROUNDS);
    assert_eq!(client.hear(&asked), Ok(Heard::Answered));
    let proof = signature(&first, ROUNDS, &client.message());
    assert_eq!(client.hear(&success(&proof)), Ok(Heard::LoggedIn));
    // Another salt is other work.
    let mut client = Client::start(&features(BOTH, None), &credentials(), client.memory);
    let asked = client.challenge("s=U0FMVA==,i=4096");
    assert_eq!(client.hear(&asked), Ok(Heard::Worked));
}

#[test]
fn keys_that_nobody_waits_for_are_not_taken() {
    let mut client = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let mut other = Client::start(&features(BOTH, None), &credentials(), Memory::default());
    let asked = other.challenge("s=U0FMVA==,i=4096");
    let next = other.exchange.handle(&asked, &mut other.memory).unwrap();
    let Next::Derive(job) = next else { panic!() };
    let keys = job.run();
    let early = client
        .exchange
        .handle_keys(keys.clone(), &mut client.memory);
    assert!(early.is_none());
    let asked = client.challenge(ROUNDS);
    let next = client.exchange.handle(&asked, &mut client.memory).unwrap();
    let Next::Derive(job) = next else { panic!() };
    let wrong = client.exchange.handle_keys(keys, &mut client.memory);
    assert!(wrong.is_none());
    let right = client.exchange.handle_keys(job.run(), &mut client.memory);
    assert!(right.is_some());
}

#[test]
fn plain_shows_the_password_as_it_is_prepared() {
    let soft = Credentials {
        password: Some(Zeroizing::new("I\u{AD}X".to_owned())),
        ..with_leave()
    };
    let mut client = Client::start(&features("PLAIN", None), &soft, Memory::default());
    assert_eq!(client.said.attr("mechanism"), Some("PLAIN"));
    assert_eq!(client.message(), "\0juliet\0IX");
    assert_eq!(client.hear(&success("")), Ok(Heard::LoggedIn));
}

#[test]
fn a_certificate_logs_in_as_the_account() {
    let certificate = Credentials {
        password: None,
        certificate: true,
        ..credentials()
    };
    let offered = features("EXTERNAL SCRAM-SHA-1", None);
    let mut client = Client::start(&offered, &certificate, Memory::default());
    assert_eq!(client.said.attr("mechanism"), Some("EXTERNAL"));
    assert_eq!(client.message(), "juliet@example.org");
    assert_eq!(client.hear(&success("")), Ok(Heard::LoggedIn));
    let error = refused(&features("PLAIN", None), &with_leave(), &client.memory);
    assert_eq!(error, SaslError::Weaker);
}

#[test]
fn each_random_number_gives_another_nonce() {
    let first = |random| {
        let features = features(BOTH, None);
        let memory = Memory::default();
        let started = start(&features, &credentials(), None, &memory, &random);
        decoded(&read(&started.ok().unwrap().1))
    };
    assert_ne!(first([1; 32]), first([2; 32]));
    assert_eq!(first([1; 32]), first([1; 32]));
}

#[test]
fn passwords_are_prepared() {
    assert_eq!(*prepared("I\u{AD}X"), "IX");
    assert_eq!(*prepared("\u{AA}"), "a");
    assert_eq!(*prepared("crab 🦀"), "crab 🦀");
    assert_eq!(*prepared(""), "");
}

#[test]
fn debug_shows_no_secret() {
    assert!(!format!("{:?}", credentials()).contains("pencil"));
    let client = logged_in(&features(BOTH, None), Memory::default());
    assert!(format!("{:?}", client.memory).len() < 250);
    let memory = Memory::default();
    let started = start(
        &features("PLAIN", None),
        &with_leave(),
        None,
        &memory,
        &[1; 32],
    );
    let octets = started.ok().unwrap().1;
    assert_eq!(
        format!("{:?}", Next::Send(octets)),
        "Send(Octets(92 bytes))"
    );
}
