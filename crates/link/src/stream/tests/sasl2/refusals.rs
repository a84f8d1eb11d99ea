//! What ends a log-in.

use super::*;

fn impostor(server: &mut Peer) -> String {
    match server.error() {
        Some(ConnectError::Impostor { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_success_without_a_proof_is_an_impostors() {
    let inside = bound2(ENABLED);
    // Before any challenge.
    in_every_cutting(|mut server| {
        server.greet(&sasl2("SCRAM-SHA-256", &all()));
        server.said();
        server.say(success(BOUND, &inside));
        impostor(&mut server);
        assert_eq!(server.said(), "");
        assert_eq!(server.stream.session().bound(), None);
    });
    // Instead of the proof, or with one that is made up.
    for proof in ["", "v=AAAA"] {
        in_every_cutting(|mut server| {
            server.greet(&sasl2("SCRAM-SHA-256", &all()));
            let first = decoded(server.said().split_once("<initial-response").unwrap().1);
            let nonce = first.split_once(",r=").unwrap().1;
            let challenge = format!("r={nonce}more,s=c2FsdA==,i=4096");
            server.say(encoded("challenge", NS2, &challenge));
            assert!(
                server
                    .said()
                    .starts_with("<response xmlns='urn:xmpp:sasl:2'>")
            );
            let proof = match proof {
                "" => String::new(),
                proof => encoded("additional-data", NS2, proof),
            };
            server.say(success(BOUND, &format!("{proof}{inside}")));
            impostor(&mut server);
            assert_eq!(server.stream.session().bound(), None);
        });
    }
    // In the dress of the other profile.
    in_every_cutting(|mut server| {
        server.greet(&sasl2("PLAIN", &all()));
        server.said();
        server.say(SUCCESS);
        server.protocol();
    });
}

#[test]
fn an_address_of_somebody_else_is_refused() {
    for address in [
        "romeo@example.org/xtls~1",
        "juliet@example.net/xtls~1",
        "example.org",
        "juliet@example.org",
        "@",
        "",
    ] {
        in_every_cutting(|mut server| {
            server.ask(&all());
            server.say(success(address, &bound2(ENABLED)));
            let end = server.error();
            assert!(
                matches!(end, Some(ConnectError::Bind { .. })),
                "{address}: {end:?}"
            );
            server.say(features(BIND));
            assert_eq!(server.said(), "");
            assert_eq!(server.stream.session().bound(), None);
        });
    }
    // Also where it is not for a binding, and where there is none.
    for success in [
        success("romeo@example.org", ""),
        success("romeo@example.org", RESUMED),
        format!("<success xmlns='{NS2}'/>"),
    ] {
        in_every_cutting(|server| {
            let mut server = away(server);
            server.ask(&all());
            server.say(&success);
            let end = server.error();
            assert!(matches!(end, Some(ConnectError::Bind { .. })), "{end:?}");
        });
    }
}

#[test]
fn a_second_success_is_refused() {
    for first in [
        success(BOUND, &bound2(ENABLED)),
        success("juliet@example.org", ""),
    ] {
        in_every_cutting(|mut server| {
            server.ask(&all());
            server.say(&first);
            assert_eq!(server.error(), None);
            server.say(success(BOUND, &bound2(ENABLED)));
            assert_eq!(server.protocol(), "an unexpected <success/>");
        });
    }
}

#[test]
fn nothing_but_features_follows_a_binding() {
    for early in [
        "<message/>",
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ] {
        in_every_cutting(|mut server| {
            server.ask(&all());
            server.say(success(BOUND, &bound2(ENABLED)));
            server.say(early);
            server.protocol();
        });
    }
}

#[test]
fn a_server_that_counts_what_was_not_sent_is_left_and_bound_anew_without_counting() {
    for answer in [
        RESUMED.replace("h='0'", "h='7'"),
        RESUMED.replace("h='0'", ""),
        RESUMED.replace("first", "other"),
    ] {
        in_every_cutting(|server| {
            let mut server = away(server);
            server.ask(&all());
            server.say(success(RESOURCE, &answer));
            let end = server.error();
            assert!(
                matches!(end, Some(ConnectError::Acknowledgement(_))),
                "{end:?}"
            );
            let mut server = server.again();
            let said = server.ask(&all());
            assert_eq!(
                asked(&said),
                "<bind xmlns='urn:xmpp:bind:0'><tag>xtls</tag></bind>"
            );
            server.say(format!(
                "{}{}",
                success(BOUND, &bound2("")),
                features(BIND_AND_SM)
            ));
            server.has_bound(BOUND);
            assert_eq!(server.said(), "");
        });
    }
}

#[test]
fn tasks_beside_the_password_are_named_and_refused() {
    in_every_cutting(|mut server| {
        server.ask(&all());
        server.say(format!(
            "<continue xmlns='{NS2}'><tasks><task>HOTP-EXAMPLE</task><task> TOTP-EXAMPLE</task><x xmlns='urn:other'/></tasks></continue>"
        ));
        let end = server.error().unwrap();
        assert_eq!(
            end.to_string(),
            "example.org asks for more than the password (HOTP-EXAMPLE, TOTP-EXAMPLE), which this program can't give"
        );
        assert!(end.is_final());
        assert_eq!(server.said(), "");
    });
}

#[test]
fn a_refused_password_is_tried_once() {
    in_every_cutting(|mut server| {
        server.ask(&all());
        server.say(format!(
            "<failure xmlns='{NS2}'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><text>no</text></failure>"
        ));
        let Some(ConnectError::Authentication {
            condition, text, ..
        }) = server.error()
        else {
            panic!("{:?}", server.end)
        };
        assert_eq!(
            (condition.as_str(), text.as_str()),
            ("not-authorized", "no")
        );
        // Not by the other profile either.
        server.say(features(PLAIN));
        assert_eq!(server.said(), "");
    });
}
