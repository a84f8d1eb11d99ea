//! While stanzas pass, and how that ends.

use super::*;

#[test]
fn nothing_is_sent_before_there_is_a_resource() {
    let mut client = Peer::new(usize::MAX).logged_in();
    assert!(!client.serving.has_room());
    let sent = client.serving.send_with(|out| out.push(b'x'));
    assert_eq!(sent, Err(NotSent::NotNow));
}

#[test]
fn stanzas_pass_octet_for_octet() {
    let stanzas = [
        "<message to=\"a@b\"  id='1'><body>a &#x26; b</body></message>",
        "<presence />",
        "<iq type='get' id='q' from='somebody@else'><x xmlns='urn:x'><![CDATA[<]]></x></iq>",
        "<iq type='set' id='b'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
    ];
    in_every_cutting(|client| {
        let mut client = client.open();
        client.say(stanzas.join(" \n"));
        assert_eq!(client.stanzas, stanzas);
        for stanza in stanzas {
            client.send(stanza);
        }
        client.write();
        assert_eq!(client.said(), stanzas.concat());
    });
}

#[test]
fn what_is_no_stanza_is_passed_over() {
    in_every_cutting(|client| {
        let mut client = client.open();
        client.say("<active xmlns='urn:xmpp:csi:0'/><x xmlns='urn:other'/>");
        client.say(format!("<r {SM}/><a {SM} h='7'/>"));
        assert_eq!((client.said(), &client.end), (String::new(), &None));
        assert_eq!(client.stanzas, [""; 0]);
    });
}

#[test]
fn a_session_is_granted_once() {
    in_every_cutting(|client| {
        let mut client = client.open_with_sm();
        client.say(format!("<enable {SM}/>"));
        let stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas";
        let failed = format!("<failed {SM}><unexpected-request xmlns='{stanzas}'/></failed>");
        assert_eq!(client.said(), failed);
        assert_eq!(client.end, None);
    });
}

#[test]
fn both_ends_count_from_the_grant() {
    in_every_cutting(|client| {
        let mut client = client.open();
        client.say("<message id='before'/>");
        client.send("<message id='before'/>");
        client.say(format!("<enable {SM}/><message id='1'/><message id='2'/>"));
        let said = client.said();
        assert_eq!(said, format!("<message id='before'/><enabled {SM}/>"));
        client.say(format!("<r {SM}/>"));
        client.wait(Duration::from_millis(20));
        assert_eq!(client.said(), format!("<a {SM} h='2'/>"));
        client.send("<message id='1'/>");
        client.send("<message id='2'/>");
        client.write();
        let two = "<message id='1'/><message id='2'/>";
        assert_eq!(client.said(), format!("{two}<r {SM}/>"));
        client.say(format!("<a {SM} h='1'/>"));
        let left = client.serving.into_unacknowledged(client.now);
        assert_eq!(left, ["<message id='2'/>"]);
    });
}

#[test]
fn a_client_that_acknowledges_nothing_holds_the_sender_back() {
    let mut client = Peer::new(usize::MAX).open_with_sm();
    let mut sent = 0;
    while client.serving.has_room() {
        client.send("<message/>");
        client.write();
        sent += 1;
    }
    assert_eq!(sent, 8_192);
    client.said();
    client.say(format!("<a {SM} h='1'/>"));
    assert!(client.serving.has_room());
}

#[test]
fn the_end_of_a_client_is_answered_behind_what_was_sent() {
    for sm in [false, true] {
        in_every_cutting(|client| {
            let mut client = match sm {
                true => client.open_with_sm(),
                false => client.open(),
            };
            client.say("<message/>");
            client.send("<message/>");
            client.say("</stream:stream>");
            let acknowledged = match sm {
                true => format!("<a {SM} h='1'/>"),
                false => String::new(),
            };
            let said = client.said();
            assert_eq!(said, format!("<message/>{acknowledged}</stream:stream>"));
            assert!(client.closed && client.end.is_none());
        });
    }
    in_every_cutting(|mut client| {
        client.say(format!("{HEADER}</stream:stream>"));
        assert!(client.said().ends_with("</stream:stream>"));
        assert!(client.closed && client.end.is_none());
    });
}

#[test]
fn an_end_of_ours_waits_for_the_clients() {
    in_every_cutting(|client| {
        let mut client = client.open();
        client.send("<message/>");
        client.serving.close(client.now);
        client.write();
        assert_eq!(client.said(), "<message/></stream:stream>");
        assert!(!client.closed && !client.serving.has_room());
        client.say("<message/></stream:stream>");
        assert!(client.closed && client.stanzas.is_empty());
    });
}

#[test]
fn an_end_for_a_reason_is_one() {
    for begun in [false, true] {
        let mut client = Peer::new(usize::MAX);
        if begun {
            client = client.open();
            client.send("<message/>");
        }
        client.serving.end("conflict");
        client.write();
        assert_eq!(client.said.starts_with("<message/>"), begun);
        assert_eq!(client.said.starts_with("<?xml"), !begun);
        client.end = Some(ServeError::NotLoggedIn);
        client.is_ended_by("conflict");
    }
}
