//! Payloads: whose they are, in every spelling.

use super::*;

fn payload(ns: &str, name: &str) -> Violation {
    Violation::Payload {
        ns: ns.to_owned(),
        name: name.to_owned(),
    }
}

/// Payloads that carry a server's authority or open a tunnel: namespace and element.
const FORBIDDEN: &[(&str, &str)] = &[
    ("jabber:iq:roster", "query"),
    ("jabber:iq:private", "query"),
    ("jabber:iq:privacy", "query"),
    ("urn:xmpp:blocking", "block"),
    ("urn:xmpp:blocking", "unblock"),
    ("urn:xmpp:carbons:2", "received"),
    ("urn:xmpp:carbons:2", "sent"),
    ("urn:xmpp:carbons:1", "received"),
    ("urn:xmpp:mam:0", "result"),
    ("urn:xmpp:mam:2", "result"),
    ("urn:xmpp:sm:3", "enable"),
    ("urn:xmpp:sm:2", "resume"),
    ("urn:ietf:params:xml:ns:xmpp-bind", "bind"),
    ("urn:ietf:params:xml:ns:xmpp-session", "session"),
    ("urn:ietf:params:xml:ns:xmpp-sasl", "auth"),
    ("urn:xmpp:sasl:2", "authenticate"),
    ("urn:xmpp:bind:0", "bind"),
    ("http://jabber.org/protocol/ibb", "open"),
    ("http://jabber.org/protocol/ibb", "data"),
    ("http://jabber.org/protocol/ibb", "close"),
    ("urn:xmpp:tmp:xtls", "start"),
    ("urn:xmpp:tmp:xtls", "proceed"),
    ("urn:xmpp:tmp:xtls", "data"),
    ("urn:xmpp:tmp:xtls", "close"),
    ("urn:xmpp:tmp:xtls", "closed"),
    ("urn:xmpp:tmp:xtls#early", "hello"),
    ("urn:xmpp:tmp:xtls#verify", "commit"),
];

/// Payloads for servers, which are taken off in both directions.
const FOR_SERVERS: &[(&str, &str)] = &[
    ("urn:xmpp:hints", "no-copy"),
    ("urn:xmpp:hints", "no-store"),
    ("urn:xmpp:hints", "no-permanent-store"),
    ("urn:xmpp:hints", "store"),
    ("urn:xmpp:sid:0", "stanza-id"),
    ("http://jabber.org/protocol/address", "addresses"),
    ("urn:xmpp:eme:0", "encryption"),
    ("urn:xmpp:carbons:2", "private"),
];

/// Ways to say the same element.
fn spellings(ns: &str, name: &str) -> Vec<(String, String)> {
    let first = ns.chars().next().unwrap();
    let tail = &ns[first.len_utf8()..];
    let element = |xml: String| (String::new(), xml);
    vec![
        element(format!("<{name} xmlns='{ns}'/>")),
        element(format!("<{name} xmlns=\"{ns}\" a='b'><c/></{name}>")),
        element(format!("<x:{name} xmlns:x='{ns}'/>")),
        element(format!("<{name} xmlns='&#{};{tail}'/>", u32::from(first))),
        element(format!(
            "<{name} xmlns='&#x{:X};{tail}'/>",
            u32::from(first)
        )),
        element(format!("<{name} xmlns='{}'/>", ns.replace(':', "&#58;"))),
        element(format!("<{name}\n\txmlns = '{ns}'\n/>")),
        // The prefix is declared on the stanza itself, where the children do not show it.
        (format!(" xmlns:x='{ns}'"), format!("<x:{name}/>")),
        (
            format!(" xmlns:x='&#{};{tail}'", u32::from(first)),
            format!("<x:{name}/>"),
        ),
    ]
}

#[test]
fn what_only_ones_own_server_may_send_is_dropped_in_every_spelling() {
    for (ns, name) in FORBIDDEN {
        for (head, child) in spellings(ns, name) {
            for kind in [
                "message",
                "message type='chat'",
                "presence",
                "iq type='result' id='1'",
            ] {
                let tag = kind.split(' ').next().unwrap();
                let xml = format!("<{kind}{head}><body>x</body>{child}</{tag}>");
                assert_eq!(dropped(&xml), payload(ns, name), "{xml}");
            }
        }
    }
}

#[test]
fn a_request_that_only_ones_own_server_may_make_is_refused_in_every_spelling() {
    for (ns, name) in FORBIDDEN {
        for (head, child) in spellings(ns, name) {
            for type_ in ["get", "set"] {
                let xml = format!("<iq type='{type_}' id='a&amp;b'{head}>{child}</iq>");
                let refused = (Condition::ServiceUnavailable, payload(ns, name));
                assert_eq!(answered(&xml), refused, "{xml}");
            }
        }
    }
}

#[test]
fn a_roster_push_is_refused_even_from_the_bare_address() {
    let push = "<query xmlns='jabber:iq:roster'><item jid='a@b' subscription='both'/></query>";
    for from in [
        String::new(),
        format!(" from='{PEER}'"),
        " from='romeo@montague.example'".into(),
    ] {
        let xml = format!("<iq type='set' id='push'{from}>{push}</iq>");
        assert_eq!(answered(&xml).1, payload("jabber:iq:roster", "query"));
    }
}

#[test]
fn a_carbon_is_dropped_with_all_that_it_carries() {
    let forged = format!("<message xmlns='jabber:client' from='boss@example.org' to='{OWN}'/>");
    for name in ["received", "sent"] {
        let xml = format!(
            "<message from='{PEER}'><{name} xmlns='urn:xmpp:carbons:2'>\
             <forwarded xmlns='urn:xmpp:forward:0'>{forged}</forwarded></{name}></message>"
        );
        assert_eq!(dropped(&xml), payload("urn:xmpp:carbons:2", name));
    }
}

#[test]
fn an_error_answer_is_delivered_without_what_it_repeats() {
    let open = "<open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='9'/>";
    let error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let stanza = delivered(&format!("<iq type='error' id='1'>{open}{error}</iq>"));
    assert_eq!(stanza.children, error.as_bytes());
    // A message of that type answers nothing that anybody waits for.
    assert!(matches!(
        dropped(&format!("<message type='error'>{open}{error}</message>")),
        Violation::Payload { .. }
    ));
}

#[test]
fn other_payloads_are_the_applications() {
    for child in [
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        "<query xmlns='jabber:iq:version'/>",
        "<x xmlns='urn:example'/>",
        "<query/>",
        "<open/>",
        "<open xmlns='http://jabber.org/protocol/ibb2'/>",
        "<result xmlns='urn:xmpp:mamma'/>",
    ] {
        for kind in [
            "message",
            "presence",
            "iq type='get' id='1'",
            "iq type='set' id='1'",
        ] {
            let tag = kind.split(' ').next().unwrap();
            let stanza = delivered(&format!("<{kind}>{child}</{tag}>"));
            assert_eq!(stanza.children, child.as_bytes());
        }
    }
}

#[test]
fn a_ping_is_answered() {
    for (head, child) in spellings("urn:xmpp:ping", "ping") {
        let arrival = arrive(&format!("<iq type='get' id='1'{head}>{child}</iq>"));
        let reply = read("<iq type='result' id='1'/>");
        assert_eq!(
            arrival,
            Ok(Arrival::Answer {
                reply,
                refused: None
            })
        );
    }
    // Something else in its place is not.
    delivered("<iq type='get' id='1'><ping xmlns='urn:example'/></iq>");
    delivered("<iq type='set' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    delivered("<iq type='result' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    delivered("<message><ping xmlns='urn:xmpp:ping'/></message>");
}

#[test]
fn what_speaks_to_servers_is_taken_off_on_arrival() {
    for (ns, name) in FOR_SERVERS {
        for (head, child) in spellings(ns, name) {
            let xml = format!("<message id='1'{head}>{child}<body>x</body></message>");
            let stanza = delivered(&xml);
            assert_eq!(stanza.children, "<body>x</body>", "{xml}");
        }
    }
}

#[test]
fn what_speaks_to_servers_is_taken_off_before_it_is_sent() {
    for (ns, name) in FOR_SERVERS {
        for (head, child) in spellings(ns, name) {
            let xml = format!("<message id='1'{head}>{child}<body>x</body></message>");
            let (stanza, binding) = (read(&xml), binding());
            let stripped = strip(&stanza, &binding).unwrap();
            assert_eq!(stripped.children, "<body>x</body>", "{xml}");
        }
    }
}

#[test]
fn an_origin_id_and_other_children_stay() {
    let children = "<origin-id xmlns='urn:xmpp:sid:0' id='1'/><request xmlns='urn:xmpp:receipts'/>\
        <active xmlns='http://jabber.org/protocol/chatstates'/><body xml:lang='en'>a &amp; b</body>";
    let xml = format!("<message>{children}</message>");
    assert_eq!(delivered(&xml).children, children);
    assert_eq!(
        sent(&xml).unwrap(),
        format!("<message xmlns='jabber:client'>{children}</message>")
    );
}

#[test]
fn only_the_top_level_is_looked_at() {
    let children = "<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2008-12-15T00:00:00Z'/>\
        <message xmlns='jabber:client' from='nurse@capulet.example/x' to='peter@capulet.example' type='groupchat'>\
        <no-store xmlns='urn:xmpp:hints'/><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='a@b'/>\
        <query xmlns='jabber:iq:roster'/></message></forwarded>";
    let xml = format!("<message>{children}</message>");
    assert_eq!(delivered(&xml).children, children);
    assert_eq!(
        sent(&xml).unwrap(),
        format!("<message xmlns='jabber:client'>{children}</message>")
    );
}
