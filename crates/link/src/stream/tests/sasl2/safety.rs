//! What a log-in by SASL2 must not make worse.

use super::*;

fn sasl1(mechanisms: &str) -> String {
    let names = mechanisms.split_whitespace();
    let names = names.map(|name| format!("<mechanism>{name}</mechanism>"));
    let names: String = names.collect();
    format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{names}</mechanisms>")
}

const EXPORTER: &str = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>";

#[test]
fn the_strongest_mechanism_of_both_profiles_is_taken_and_sasl2_where_it_does_more() {
    let (plus, scram) = ("SCRAM-SHA-256-PLUS SCRAM-SHA-256", "SCRAM-SHA-256");
    for (old, new, inline, chosen) in [
        // A weaker offer in either profile takes nothing away from the other one.
        (plus, scram, all(), "<auth SCRAM-SHA-256-PLUS"),
        (
            plus,
            "PLAIN SCRAM-SHA-1-PLUS",
            all(),
            "<auth SCRAM-SHA-256-PLUS",
        ),
        (scram, "PLAIN", all(), "<auth SCRAM-SHA-256"),
        (
            scram,
            plus,
            String::new(),
            "<authenticate SCRAM-SHA-256-PLUS",
        ),
        ("PLAIN", scram, String::new(), "<authenticate SCRAM-SHA-256"),
        // Where they are as strong as each other, it matters what is done within.
        (plus, plus, all(), "<authenticate SCRAM-SHA-256-PLUS"),
        (plus, plus, bind2(""), "<authenticate SCRAM-SHA-256-PLUS"),
        (plus, plus, SM.to_owned(), "<auth SCRAM-SHA-256-PLUS"),
        (plus, plus, String::new(), "<auth SCRAM-SHA-256-PLUS"),
        ("PLAIN", "PLAIN", all(), "<authenticate PLAIN"),
        // And where there is one only, it is taken.
        ("", scram, String::new(), "<authenticate SCRAM-SHA-256"),
        (scram, "", all(), "<auth SCRAM-SHA-256"),
    ] {
        let mut server = Peer::new(Cutting::Even(usize::MAX));
        server.greet(&format!("{}{}{EXPORTER}", sasl1(old), sasl2(new, &inline)));
        let said = server.said();
        let (name, mechanism) = chosen.split_once(' ').unwrap();
        assert!(
            said.starts_with(&format!("{name} "))
                && said.contains(&format!(" mechanism='{mechanism}'")),
            "{old} and {new}: {said}"
        );
    }
}

#[test]
fn a_link_that_was_bound_to_tls_by_one_profile_is_not_logged_in_unbound_by_the_other() {
    in_every_cutting(|mut server| {
        let bound = sasl2("SCRAM-SHA-256-PLUS", &all());
        server.greet(&format!("{bound}{EXPORTER}"));
        server.scram2(BOUND, &bound2(ENABLED), &features(""));
        server.has_bound(BOUND);
        let mut server = server.again();
        server.greet(&format!(
            "{}{}",
            sasl1("SCRAM-SHA-256"),
            sasl2("SCRAM-SHA-256", &all())
        ));
        let end = server.error();
        assert!(matches!(end, Some(ConnectError::Weaker { .. })), "{end:?}");
        assert_eq!(server.said(), "");
    });
}

#[test]
fn the_server_hears_that_we_could_bind_only_if_it_offers_that_in_neither_profile() {
    for (old, flag) in [
        ("SCRAM-SHA-256", "y,,"),
        ("SCRAM-SHA-256 SCRAM-SHA-1-PLUS", "n,,"),
    ] {
        let mut server = Peer::new(Cutting::Even(usize::MAX));
        server.greet(&format!("{}{}", sasl1(old), sasl2("SCRAM-SHA-256", &all())));
        let said = server.said();
        let first = decoded(said.split_once("<initial-response").unwrap().1);
        assert!(first.starts_with(flag), "{old}: {first}");
    }
}

#[test]
fn an_offer_of_sasl2_that_was_tampered_with_is_final() {
    in_every_cutting(|mut server| {
        server.greet(&format!("{}{EXPORTER}", sasl2("SCRAM-SHA-256", &all())));
        let first = decoded(server.said().split_once("<initial-response").unwrap().1);
        let nonce = first.split_once(",r=").unwrap().1;
        // What SASL 1 offers does not count (XEP-0474 §5.1), and this is another list than that of SASL2.
        let hash = "h=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let challenge = format!("r={nonce}more,s=c2FsdA==,i=4096,{hash}");
        server.say(encoded("challenge", NS2, &challenge));
        let end = server.error();
        assert!(
            matches!(end, Some(ConnectError::Tampered { .. })),
            "{end:?}"
        );
    });
}

#[test]
fn a_log_in_that_comes_to_nothing_leaves_the_session_to_be_resumed() {
    let offer = sasl2("SCRAM-SHA-256", &all());
    // More often than a server may leave a resumption without an answer.
    in_every_cutting(|server| {
        let mut server = away(server);
        for round in 0..9 {
            server.greet(&offer);
            let said = server.said();
            assert!(asked(&said).starts_with("<resume "), "{round}: {said}");
            if round % 2 == 0 {
                server.say(format!(
                    "<failure xmlns='{NS2}'><temporary-auth-failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>"
                ));
                assert!(!server.error().unwrap().is_final());
            }
            server = server.again();
        }
        server.greet(&offer);
        server.scram2(RESOURCE, RESUMED, "");
        assert_eq!(server.opened(), Opened::Resumed { acked: 0 });
    });
}

#[test]
fn a_server_that_hangs_up_on_each_resumption_is_bound_anew() {
    in_every_cutting(|server| {
        let mut server = away(server);
        for _ in 0..4 {
            // By PLAIN the server can do all of it at once.
            let said = server.ask(&all());
            assert!(asked(&said).starts_with("<resume "), "{said}");
            server = server.again();
        }
        let said = server.ask(&all());
        assert!(asked(&said).starts_with("<bind "), "{said}");
    });
}

#[test]
fn what_was_not_asked_for_is_not_believed() {
    // A resumption of nothing, and the end of what was not begun.
    in_every_cutting(|mut server| {
        server.ask(&all());
        server.say(success(BOUND, &format!("{RESUMED}{}", bound2(ENABLED))));
        server.say(features(""));
        server.has_bound(BOUND);
    });
    // A binding, where an exact resource is to be had.
    in_every_cutting(|server| {
        let mut server = server.at_the_balcony();
        server.greet(&sasl2("PLAIN", &all()));
        server.said();
        server.say(success(BOUND, &bound2(ENABLED)));
        server.say(features(BIND_AND_SM));
        server.bind(RESOURCE);
        assert_eq!(server.said(), ENABLE);
    });
    // A session, where the binding was asked for none.
    in_every_cutting(|mut server| {
        server.ask(&bind2(""));
        server.say(success(BOUND, &bound2(ENABLED)));
        server.say(features(""));
        server.has_bound(BOUND);
        server.send("<message id='1'/>");
        assert_eq!(server.said(), "<message id='1'/>");
    });
}

#[test]
fn silence_about_what_was_asked_for_is_a_no() {
    for answer in ["", FAILED] {
        in_every_cutting(|server| {
            let mut server = server.open_with_sm();
            server.send("<message id='1'/>");
            let mut server = server.again();
            server.ask(&all());
            server.say(success(BOUND, &format!("{answer}{}", bound2(answer))));
            server.say(features(BIND_AND_SM));
            assert_eq!(server.has_bound(BOUND), ["<message id='1'/>"]);
            assert_eq!(server.said(), "", "it is not asked twice");
            // Nothing counts, and nothing is kept.
            server.send("<message id='2'/>");
            assert_eq!(server.said(), "<message id='2'/>");
            let mut session = server.stream.into_session(server.now);
            assert!(session.take_unacknowledged().is_empty());
        });
    }
}

#[test]
fn a_binding_that_nobody_has_heard_of_is_not_resumed_and_what_it_replaced_is_reported() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.send("<message id='1'/>");
        let mut server = server.again();
        server.ask(&all());
        let enabled = ENABLED.replace("first", "second");
        server.say(success(BOUND, &format!("{FAILED}{}", bound2(&enabled))));
        assert!(server.events.is_empty());
        let mut server = server.again();
        let said = server.ask(&all());
        assert!(asked(&said).starts_with("<bind "), "{said}");
        server.say(format!(
            "{}{}",
            success(BOUND, &bound2(ENABLED)),
            features("")
        ));
        assert_eq!(server.has_bound(BOUND), ["<message id='1'/>"]);
    });
}
