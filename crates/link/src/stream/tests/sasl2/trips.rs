//! How often a log-in waits for the server.

use super::*;

#[test]
fn a_login_by_sasl2_takes_three_round_trips_and_one_by_sasl_five() {
    let offer = format!(
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms>{}",
        sasl2("SCRAM-SHA-256", &all())
    );
    /// Counts what the client waits for, up to stanzas.
    fn count(server: &mut Peer, offer: &str, address: &str, inside: &str) -> usize {
        let mut trips = 0;
        let mut first = String::new();
        while !server.stream.is_open() {
            let said = server.said();
            assert!(!said.is_empty() && trips < 9, "{trips}: {:?}", server.end);
            trips += 1;
            let behind = features(BIND_AND_SM);
            if said.ends_with("version='1.0'>") && trips == 1 {
                server.say(format!("{HEADER}{}", features(offer)));
            } else if said.ends_with("version='1.0'>") {
                server.say(format!("{HEADER}{behind}"));
            } else if said.starts_with("<auth") {
                first = decoded(
                    said.split_once("<initial-response")
                        .map_or(&*said, |(_, rest)| rest),
                );
                let ns = said.split('\'').nth(1).unwrap();
                let nonce = first.split_once(",r=").unwrap().1;
                server.say(encoded(
                    "challenge",
                    ns,
                    &format!("r={nonce}more,s=c2FsdA==,i=4096"),
                ));
            } else if said.starts_with("<response xmlns='urn:xmpp:sasl:2'") {
                let proof = signature(&first, "s=c2FsdA==,i=4096", &decoded(&said));
                let proof = encoded("additional-data", NS2, &proof);
                server.say(format!(
                    "{}{behind}",
                    success(address, &format!("{proof}{inside}"))
                ));
            } else if said.starts_with("<response") {
                let proof = signature(&first, "s=c2FsdA==,i=4096", &decoded(&said));
                server.say(encoded(
                    "success",
                    "urn:ietf:params:xml:ns:xmpp-sasl",
                    &proof,
                ));
            } else if said.starts_with("<resume ") {
                server.say(RESUMED);
            } else {
                server.said = said;
                let id = server.id();
                server.say(bound(&id, address));
            }
        }
        trips
    }
    let old = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms>";
    for (offer, trips) in [(old, 5), (offer.as_str(), 3)] {
        let mut server = Peer::new(Cutting::Even(usize::MAX));
        assert_eq!(count(&mut server, offer, BOUND, &bound2(ENABLED)), trips);
        server.said();
        if trips == 5 {
            server.say(ENABLED);
        }
        let mut server = server.again();
        assert_eq!(
            count(&mut server, offer, BOUND, RESUMED),
            trips,
            "to resume"
        );
        assert_eq!(server.error(), None);
    }
}
