//! Who is let in, and under which address.

use super::*;

fn failure(condition: &str) -> String {
    format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>")
}

#[test]
fn a_wrong_password_may_be_tried_three_times() {
    in_every_cutting(|mut client| {
        client.say(HEADER);
        client.said();
        for _ in 0..2 {
            client.say(WRONG);
            assert_eq!(client.said(), failure("not-authorized"));
        }
        client.say(WRONG);
        assert!(client.said.starts_with(&failure("not-authorized")));
        assert_eq!(client.end, Some(ServeError::NotLoggedIn));
        client.is_ended_by("policy-violation");
    });
}

#[test]
fn other_attempts_count_as_well() {
    let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    let scram = RIGHT.replace("PLAIN", "SCRAM-SHA-1");
    let cases = [
        (scram, "invalid-mechanism"),
        (RIGHT.replace(" mechanism='PLAIN'", ""), "invalid-mechanism"),
        (RIGHT.replace("AHJ", "A!J"), "incorrect-encoding"),
        (
            RIGHT.replace("AHJvbWVvAHBlbmNpbA==", "cm9tZW8="),
            "malformed-request",
        ),
        (
            RIGHT.replace("AHJvbWVvAHBlbmNpbA==", "YUBiAGEAYg=="),
            "invalid-authzid",
        ),
        (
            format!("<response {sasl}>AHJvbWVvAHBlbmNpbA==</response>"),
            "malformed-request",
        ),
        (format!("<abort {sasl}/>"), "aborted"),
        (format!("<success {sasl}/>"), "malformed-request"),
    ];
    for (text, condition) in &cases {
        in_every_cutting(|mut client| {
            client.say(HEADER);
            client.said();
            client.say(text);
            client.say(text);
            assert_eq!(client.said(), failure(condition).repeat(2), "{text}");
            client.say(text);
            client.is_ended_by("policy-violation");
        });
    }
}

#[test]
fn the_second_stream_is_at_the_domain_of_the_log_in() {
    in_every_cutting(|mut client| {
        client.say(HEADER);
        client.say(RIGHT);
        client.said();
        client.say(HEADER.replace("example.org", "example.net"));
        client.is_ended_by("host-unknown");
    });
}

#[test]
fn a_resource_that_is_none_or_taken_is_refused_and_another_may_be_asked_for() {
    in_every_cutting(|client| {
        let mut client = client.logged_in();
        let long = format!("<resource>{}</resource>", "a".repeat(1_024));
        client.say(bind(&long));
        let said = client.said();
        assert!(
            said.starts_with("<iq type='error' id='b'>") && said.contains("<bad-request "),
            "{said}"
        );
        client.conflict = true;
        client.say(bind("<resource>orchard</resource>"));
        let said = client.said();
        assert!(said.contains("<conflict "), "{said}");
        client.conflict = false;
        client.say(bind("<resource>tomb</resource>"));
        assert!(client.serving.is_open());
        let asked: Vec<_> = client.asked.iter().map(Address::as_str).collect();
        assert_eq!(
            asked,
            ["romeo@example.org/orchard", "romeo@example.org/tomb"]
        );
    });
}

#[test]
fn an_earlier_session_is_not_known() {
    let resume = format!("<resume {SM} previd='x' h='0'/>");
    let stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas";
    let failed = format!("<failed {SM}><item-not-found xmlns='{stanzas}'/></failed>");
    in_every_cutting(|client| {
        let mut client = client.logged_in();
        client.say(&resume);
        assert_eq!(client.said(), failed);
        client.say(bind(""));
        client.said();
        client.say(&resume);
        assert_eq!(client.said(), failed);
    });
}

#[test]
fn a_client_logs_in_and_gets_the_resource_that_it_asks_for() {
    in_every_cutting(|mut client| {
        client.say(HEADER);
        let said = client.said();
        assert!(said.contains(" from='example.org' id='l"), "{said}");
        assert!(said.ends_with("<mechanism>PLAIN</mechanism></mechanisms></stream:features>"));
        client.say(RIGHT);
        let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
        assert_eq!(client.said(), success);
        client.say(HEADER);
        let said = client.said();
        assert!(said.contains("<sm xmlns='urn:xmpp:sm:3'/>") && !said.contains("PLAIN"));
        client.say(bind("<resource>orchard</resource>"));
        let bound = "<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
            <jid>romeo@example.org/orchard</jid></bind></iq>";
        assert_eq!(client.said(), bound);
    });
}

#[test]
fn a_client_may_wait_for_a_challenge() {
    let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    in_every_cutting(|mut client| {
        client.say(HEADER);
        client.said();
        client.say(format!("<auth {sasl} mechanism='PLAIN'/>"));
        assert_eq!(client.said(), format!("<challenge {sasl}/>"));
        client.say(format!("<response {sasl}>AHJvbWVvAHBlbmNpbA==</response>"));
        assert_eq!(client.said(), format!("<success {sasl}/>"));
    });
}

#[test]
fn who_asks_for_no_resource_gets_one_that_nobody_guesses() {
    let made = |seed| {
        let mut client = Peer::new(usize::MAX);
        client.serving = Serving::new(&domains(), [seed; 32], client.now);
        let mut client = client.logged_in();
        client.say(bind(""));
        client.asked.remove(0)
    };
    let (one, other) = (made(1), made(2));
    assert_ne!(one, other);
    assert_eq!(one.resource().unwrap().len(), 33);
}

#[test]
fn a_domain_is_the_same_however_it_is_written() {
    let mut client = Peer::new(usize::MAX);
    client.say(HEADER.replace("example.org", "EXAMPLE.net"));
    assert!(client.said().contains(" from='example.net' "));
}
