//! XEP-0198 on a stream.

use super::*;
use crate::manage::Miscount;

const RESUME_0: &str = "<resume xmlns='urn:xmpp:sm:3' previd='first' h='0'/>";

// ChatSecure-iOS #361, MongooseIM #4220
#[test]
fn resume_goes_before_bind() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm().again();
        server.log_in(BIND_AND_SM);
        assert_eq!(server.said(), RESUME_0, "alone");
        assert!(!server.stream.is_open() && !server.stream.has_room());
        server.say("<failed xmlns='urn:xmpp:sm:3'/>");
        let said = server.said.clone();
        assert!(
            said.starts_with("<iq ") && said.contains("<bind "),
            "{said}"
        );
        assert!(!said.contains("<resume"), "once");
        server.bind(RESOURCE);
        assert!(server.said().contains("<enable "), "in the same stream");
    });
}

#[test]
fn who_wants_no_stream_management_asks_for_none_and_answers_none() {
    in_every_cutting(|server| {
        let (now, cutting) = (server.now, server.cutting);
        let mut server = Peer::of(session().stream_management(false), now, cutting);
        server.log_in(BIND_AND_SM);
        server.bind(RESOURCE);
        server.send("<presence/>");
        server.say(R);
        server.wait(s(1));
        assert_eq!(server.said(), "<presence/>");
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        server.bind(RESOURCE);
        assert_eq!(server.said(), "", "nor after a loss");
    });
}

#[test]
fn a_session_is_not_resumed_where_the_server_knows_none() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.send("<message id='1'/>");
        let mut server = server.again();
        server.log_in(BIND);
        let id = server.id();
        server.say(bound(&id, RESOURCE));
        let Opened::Bound { lost, .. } = server.opened() else {
            panic!()
        };
        assert_eq!(lost, ["<message id='1'/>"]);
        assert_eq!(server.said(), "");
    });
}

#[test]
fn what_is_no_answer_to_a_resumption_is_refused() {
    for answer in [
        "<message/>",
        "<enabled xmlns='urn:xmpp:sm:3'/>",
        "<x xmlns='urn:other'/>",
    ] {
        in_every_cutting(|server| {
            let mut server = server.open_with_sm().again();
            server.log_in(BIND_AND_SM);
            server.say(answer);
            server.protocol();
        });
    }
    in_every_cutting(|server| {
        let mut server = server.open_with_sm().again();
        server.log_in(BIND_AND_SM);
        server.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='7'/>");
        let end = server.error();
        assert!(
            matches!(end, Some(ConnectError::Acknowledgement(_))),
            "{end:?}"
        );
        // It is over, and the next connection binds.
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        assert!(server.said().contains("<bind "));
    });
}

#[test]
fn a_session_goes_on_with_what_was_lost_and_then_what_is_new() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.say("<message id='a'/><iq id='b' type='result'/>");
        assert_eq!(server.stanzas().len(), 2);
        server.send("<message id='1'/>");
        server.send("<message id='2'/>");
        // It never leaves before the connection does.
        server.queue("<message id='3'/>");
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        assert_eq!(server.said(), RESUME_0.replace("h='0'", "h='2'"));
        server.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/><message id='c'/>");
        assert_eq!(server.opened(), Opened::Resumed { acked: 1 });
        assert_eq!(server.stanzas(), ["<message id='c'/>"]);
        server.send("<message id='4'/>");
        let said = server.said().replace(R, "");
        assert_eq!(said, "<message id='2'/><message id='3'/><message id='4'/>");
        server.say(a(4));
        assert_eq!(server.error(), None);
        assert!(
            server
                .again()
                .stream
                .into_session(Instant::now())
                .take_unacknowledged()
                .is_empty()
        );
    });
}

#[test]
fn the_end_of_a_stream_is_not_written_again_with_the_stanzas_before_it() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.queue("<message id='1'/>");
        let piece = "</stream:stream>";
        server.stream.handle_bytes(server.now, piece.as_bytes());
        server.read();
        let end = server.error();
        assert!(matches!(end, Some(ConnectError::Broken { .. })), "{end:?}");
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        server.said();
        server.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='0'/>");
        server.opened();
        assert_eq!(server.said().replace(R, ""), "<message id='1'/>");
    });
}

#[test]
fn a_server_that_resumes_and_takes_nothing_in_is_given_up_although_it_talks() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.send("<message id='1'/>");
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        server.said();
        server.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='0'/>");
        server.opened();
        assert!(
            server.said().starts_with(R),
            "it is asked before it gets more"
        );
        for second in 0..10 {
            assert_eq!(server.error(), None, "after {second} s");
            server.say(R);
            server.wait(s(1));
        }
        let end = server.error();
        assert!(
            matches!(end, Some(ConnectError::Acknowledgement(Miscount::Deaf(_)))),
            "{end:?}"
        );
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        assert!(server.said().contains("<bind "));
    });
}

#[test]
fn a_miscount_is_told_to_the_server_and_what_waits_is_reported_lost() {
    for queued in [false, true] {
        in_every_cutting(|server| {
            let mut server = server.open_with_sm();
            server.send("<message id='1'/>");
            server.said();
            if queued {
                server.queue("<message id='2'/>");
            }
            server.stream.handle_bytes(server.now, a(9).as_bytes());
            server.read();
            let error = server.error().unwrap();
            assert!(
                matches!(error, ConnectError::Acknowledgement(_)),
                "{error:?}"
            );
            server.stream.fail(&error);
            server.write();
            let said = server.said();
            let sent = 1 + u32::from(queued);
            let told = "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                <handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='1'/></stream:error></stream:stream>";
            assert!(said.ends_with(told), "{said}");
            let mut server = server.again();
            server.log_in(BIND_AND_SM);
            let id = server.id();
            server.say(bound(&id, RESOURCE));
            let Opened::Bound { lost, .. } = server.opened() else {
                panic!()
            };
            assert_eq!(lost.len(), sent as usize, "{lost:?}");
            assert_eq!(server.said(), "", "and this connection does without");
        });
    }
}

#[test]
fn what_was_sent_before_a_failed_resumption_is_reported_and_not_sent() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.send("<message id='1'/>");
        server.send("<message id='2'/>");
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        server.said();
        server.say("<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
        let id = server.id();
        server.say(bound(&id, RESOURCE));
        let Opened::Bound { lost, .. } = server.opened() else {
            panic!()
        };
        assert_eq!(lost, ["<message id='2'/>"]);
        server.send("<message id='3'/>");
        assert!(!server.said().contains("'2'"));
    });
}

#[test]
fn a_request_of_the_links_own_is_nobody_elses_business_after_a_loss_either() {
    let asked = |server: Peer| {
        let mut server = server.open_with_sm();
        server.send("<message id='1'/>");
        server.stream.ask_for_software();
        server.write();
        let id = server.id();
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        (server, id)
    };
    in_every_cutting(|server| {
        let (mut server, id) = asked(server);
        server.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='0'/>");
        server.opened();
        server.say(error(&id, "service-unavailable"));
        assert!(matches!(server.events.pop_front(), Some(Event::Software)));
    });
    in_every_cutting(|server| {
        let (mut server, asked) = asked(server);
        server.say("<failed xmlns='urn:xmpp:sm:3'/>");
        let id = server.id();
        server.say(bound(&id, RESOURCE));
        let Opened::Bound { lost, .. } = server.opened() else {
            panic!()
        };
        assert_eq!(lost, ["<message id='1'/>"]);
        let late = error(&asked, "service-unavailable");
        server.say(&late);
        assert_eq!(server.stanzas(), [late], "it was another resource's");
    });
}

#[test]
fn stanzas_before_enabled_are_stanzas_and_not_counted() {
    in_every_cutting(|mut server| {
        server.log_in(BIND_AND_SM);
        server.bind(RESOURCE);
        server.said();
        server.say(format!(
            "<message id='a'/><presence/>{ENABLED}<message id='b'/>{R}"
        ));
        assert_eq!(
            server.stanzas(),
            ["<message id='a'/>", "<presence/>", "<message id='b'/>"]
        );
        server.wait(Duration::from_millis(20));
        assert_eq!(server.said(), a(1));
    });
}

#[test]
fn a_stanza_counts_when_it_is_taken() {
    let mut server = Peer::new(Cutting::Even(usize::MAX)).open_with_sm();
    let text = "<message id='a'/><message id='b'/>";
    server.stream.handle_bytes(server.now, text.as_bytes());
    let event = server.stream.poll_event(server.now).unwrap();
    assert!(matches!(event, Some(Event::Stanza(_))), "{event:?}");
    let mut server = server.again();
    server.log_in(BIND_AND_SM);
    assert_eq!(server.said(), RESUME_0.replace("h='0'", "h='1'"));
}

#[test]
fn a_stream_closed_before_all_is_written_again_writes_it_first() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.send("<message id='1'/>");
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        server.said();
        let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='first' h='0'/>";
        server.stream.handle_bytes(server.now, resumed.as_bytes());
        server.read();
        server.stream.close(server.now);
        server.write();
        let said = server.said().replace(R, "");
        assert_eq!(said, format!("<message id='1'/>{}</stream:stream>", a(0)));
    });
}
