//! The tables of what is refused and removed inside a tunnel, child by child, against a router.

use xtls_client::router::TunnelEvent;
use xtls_session::Violation;
use xtls_tests::raw::Duel;

use crate::markdown::{quoted, table};

const PROTOCOL: &str = "docs/PROTOCOL.md";

/// The children in a table: name and namespace, with something in place of each `*`.
fn children(heading: &[&str]) -> Vec<(String, String)> {
    let mut children = Vec::new();
    for row in table(PROTOCOL, heading) {
        let names: Vec<_> = match row[0].as_str() {
            "any" => vec!["anything".to_owned(), "query".to_owned()],
            names => quoted(names)
                .map(|name| name.trim_matches(['<', '/', '>']).to_owned())
                .collect(),
        };
        for ns in quoted(&row[1]) {
            children.extend(
                names
                    .iter()
                    .map(|name| (name.clone(), ns.replace('*', "7"))),
            );
        }
    }
    children
}

/// Juliet has received one message with this child and a body.
fn hearing(name: &str, ns: &str) -> Duel {
    let mut duel = Duel::friends();
    duel.open();
    assert!(duel.established());
    duel.say(format!(
        "<message xmlns='jabber:client'><body>hark</body><{name} xmlns='{ns}'/></message>"
    ));
    duel
}

#[test]
fn every_child_that_is_refused_is_dropped_and_reported() {
    for (name, ns) in children(&["refused child", "in"]) {
        let duel = hearing(&name, &ns);
        assert!(
            duel.delivered().is_empty(),
            "<{name} xmlns='{ns}'/> is delivered"
        );
        let refused = Violation::Payload { name, ns };
        let told = duel
            .events
            .iter()
            .any(|event| event.what == TunnelEvent::Refused(refused.clone()));
        assert!(told, "{refused}: {:?}", duel.events);
    }
}

#[test]
fn every_child_that_is_removed_is_gone_and_the_rest_is_there() {
    for (name, ns) in children(&["removed child", "in"]) {
        let delivered = hearing(&name, &ns).delivered();
        assert_eq!(delivered.len(), 1, "<{name} xmlns='{ns}'/>");
        let left = delivered[0].elements().expect("readable children");
        assert_eq!(left.len(), 1, "<{name} xmlns='{ns}'/> is still there");
        assert!(left[0].is("body", "jabber:client"));
    }
}

#[test]
fn other_children_pass() {
    for (name, ns) in [
        ("query", "jabber:iq:version"),
        ("request", "urn:xmpp:receipts"),
        ("fin", "urn:xmpp:mam:2"),
    ] {
        let delivered = hearing(name, ns).delivered();
        assert_eq!(
            delivered[0].elements().expect("readable children").len(),
            2,
            "<{name} xmlns='{ns}'/>"
        );
    }
}
