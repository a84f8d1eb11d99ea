//! The resource.

use super::*;

fn refused(server: &Peer) -> String {
    match &server.end {
        Some(ConnectError::Bind { why }) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn features_without_a_binding_are_refused() {
    for inside in ["", SM, "<bind/>", "<bind xmlns='urn:xmpp:bind:0'/>"] {
        in_every_cutting(|mut server| {
            server.log_in(inside);
            assert_eq!(server.protocol(), "it offers no resource binding");
            assert_eq!(server.said(), "");
        });
    }
}

// mellium/xmpp #47
#[test]
fn features_without_required_ones_are_not_the_end() {
    let optional = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><optional/></bind>\
        <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session><ver xmlns='urn:xmpp:features:rosterver'/>";
    in_every_cutting(|mut server| {
        server.log_in(optional);
        assert!(!server.stream.is_open() && !server.stream.has_room());
        assert!(server.events.is_empty());
        // Nothing is ready before it is bound.
        let early = server.offer("<message id='early'/>");
        assert_eq!(early, Err(NotSent::NotNow));
        server.bind(RESOURCE);
        assert!(server.stream.is_open());
        assert_eq!(server.said(), "");
    });
}

#[test]
fn an_address_that_is_not_the_accounts_is_refused() {
    for (address, shown) in [
        (
            "romeo@example.org/balcony",
            "is not an address of juliet@example.org",
        ),
        (
            "juliet@example.net/balcony",
            "is not an address of juliet@example.org",
        ),
        (
            "example.org/balcony",
            "is not an address of juliet@example.org",
        ),
        ("juliet@example.org", "has no resource"),
        ("", "is not an address"),
        ("juliet@@example.org/x", "is not an address"),
    ] {
        in_every_cutting(|mut server| {
            server.log_in(BIND);
            let id = server.id();
            server.say(bound(&id, address));
            let why = refused(&server);
            assert!(why.contains(shown), "{address}: {why}");
            assert!(server.error().unwrap().is_final());
        });
    }
    let long = format!("{}@example.org/x", "a".repeat(1_000));
    let mut server = Peer::new(Cutting::Even(usize::MAX));
    server.log_in(BIND);
    let id = server.id();
    server.say(bound(&id, &long));
    assert!(refused(&server).len() < 300);
}

#[test]
fn a_resource_younger_than_unicode_3_2_is_taken_as_it_is() {
    in_every_cutting(|mut server| {
        server.log_in(BIND);
        let id = server.id();
        server.say(bound(&id, " Juliet@EXAMPLE.org/\u{1F980} "));
        let Opened::Bound { address, lost } = server.opened() else {
            panic!()
        };
        assert_eq!(address.as_str(), "juliet@example.org/\u{1F980}");
        assert!(lost.is_empty());
    });
}

#[test]
fn an_answer_from_a_stranger_or_to_another_request_is_none() {
    in_every_cutting(|mut server| {
        server.log_in(BIND);
        let id = server.id();
        let answer = bound(&id, "juliet@example.org/theirs");
        for (from, to) in [
            ("<iq ", "<iq from='romeo@example.net/x' "),
            ("<iq ", "<iq from='example.net' "),
            ("<iq ", "<iq from='romeo@example.org' "),
            (&*id, "guessed"),
            ("'result'", "'get'"),
            ("<iq ", "<message "),
        ] {
            server.say(answer.replace(from, to).replace(
                "</iq>",
                if to == "<message " {
                    "</message>"
                } else {
                    "</iq>"
                },
            ));
            assert!(!server.stream.is_open(), "{to}");
            assert_eq!(server.error(), None);
        }
        server.say(
            answer
                .replace("<iq ", "<iq from='example.org' ")
                .replace("theirs", "ours"),
        );
        let Opened::Bound { address, .. } = server.opened() else {
            panic!()
        };
        assert_eq!(address.as_str(), "juliet@example.org/ours");
    });
}

#[test]
fn an_address_that_is_in_use_is_told_when_it_is_the_first() {
    in_every_cutting(|mut server| {
        server.log_in(BIND);
        let id = server.id();
        server.say(error(&id, "conflict"));
        let address = "juliet@example.org".to_owned();
        assert_eq!(server.error(), Some(ConnectError::Conflict { address }));
    });
}

#[test]
fn an_address_that_is_still_in_use_later_is_given_up_for_any_other_once() {
    let later = |cutting: &Cutting| {
        let mut server = Peer::of(
            session().resource("balcony"),
            Instant::now(),
            cutting.clone(),
        );
        server.log_in(BIND);
        server.bind(RESOURCE);
        let mut server = server.again();
        server.log_in(BIND);
        let said = server.said.clone();
        assert!(said.contains("<resource>balcony</resource>"), "{said}");
        let id = server.id();
        server.say(error(&id, "conflict"));
        let said = server.said.clone();
        assert!(
            said.contains("<bind ") && !said.contains("resource"),
            "{said}"
        );
        assert!(!said.contains(&id));
        server
    };
    in_every_cutting(|server| {
        let mut server = later(&server.cutting);
        server.bind("juliet@example.org/orchard");
    });
    in_every_cutting(|server| {
        let mut server = later(&server.cutting);
        let id = server.id();
        server.say(error(&id, "conflict"));
        let end = server.error();
        assert!(
            matches!(end, Some(ConnectError::Conflict { .. })),
            "{end:?}"
        );
        assert_eq!(server.said(), "");
    });
}

#[test]
fn a_server_without_room_is_told_and_other_refusals_are_shown() {
    in_every_cutting(|mut server| {
        server.log_in(BIND);
        let id = server.id();
        server.say(error(&id, "resource-constraint"));
        assert_eq!(server.error(), Some(ConnectError::Busy));
    });
    in_every_cutting(|mut server| {
        server.log_in(BIND);
        let id = server.id();
        server.say(error(&id, "not-allowed"));
        let why = refused(&server);
        assert!(why.contains("not-allowed"), "{why}");
    });
    in_every_cutting(|mut server| {
        server.log_in(BIND);
        let id = server.id();
        server.say(format!("<iq type='error' id='{id}'/>"));
        assert_eq!(refused(&server), "it refuses, and does not say why");
    });
}

#[test]
fn features_after_the_log_in_may_name_bindings_that_nobody_knows() {
    let strange = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-of-tomorrow'/><channel-binding/>\
        <x xmlns='urn:other'/></sasl-channel-binding>";
    in_every_cutting(|mut server| {
        server.log_in(&format!("{strange}{BIND}<unheard-of xmlns='urn:example'/>"));
        server.bind(RESOURCE);
        server.send("<presence/>");
        assert_eq!(server.said(), "<presence/>");
    });
}

#[test]
fn the_session_of_rfc_3921_is_asked_for_where_it_is_required_and_not_waited_for() {
    in_every_cutting(|mut server| {
        server.log_in(&format!(
            "{BIND}<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"
        ));
        server.bind(RESOURCE);
        assert!(server.said.contains("<session "), "{}", server.said);
        let id = server.id();
        for answer in [
            format!("<iq type='result' id='{id}'/>"),
            "<message/>".to_owned(),
        ] {
            server.say(answer);
        }
        assert_eq!(
            server.stanzas(),
            ["<message/>"],
            "the answer is nobody else's business"
        );
    });
}
