//! The end of a stream.

use super::*;

const END: &str = "</stream:stream>";

#[test]
fn the_last_acknowledgement_stands_before_the_end_and_nothing_behind_it() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.say("<message id='a'/>");
        server.queue("<presence type='unavailable'/>");
        server.stream.close(server.now);
        server.write();
        let said = server.said();
        assert_eq!(said, format!("<presence type='unavailable'/>{}{END}", a(1)));
        // Whatever the server or the owner does.
        assert!(!server.stream.has_room());
        assert_eq!(server.offer("<message/>"), Err(NotSent::NotNow));
        server.stream.ask_for_software();
        server.stream.close(server.now);
        server.say(format!("{R}<message id='late'/><iq type='get' id='q'/>"));
        server.wait(s(600));
        assert_eq!(server.said(), "");
        assert_eq!(server.stream.poll_timeout(), None);
        assert_eq!(server.stanzas().len(), 1, "what came before");
        server.say(END);
        assert!(matches!(server.events.pop_front(), Some(Event::Closed)));
        assert_eq!((server.error(), server.said()), (None, String::new()));
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        assert!(!server.said().contains("<resume"), "it was the end");
    });
}

#[test]
fn a_stream_that_is_not_open_closes_at_once() {
    for greeted in [false, true] {
        in_every_cutting(|mut server| {
            if greeted {
                server.greet(PLAIN);
            }
            server.said();
            server.stream.close(server.now);
            server.write();
            assert_eq!(server.said(), END);
            server.say(format!("{HEADER}{}{SUCCESS}", features(PLAIN)));
            assert_eq!((server.error(), server.said()), (None, String::new()));
            assert!(server.events.is_empty());
        });
    }
}

#[test]
fn an_end_without_a_reason_is_a_loss_and_answered() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.say(format!("<message/>{END}"));
        assert_eq!(server.stanzas(), ["<message/>"]);
        let error = server.error().unwrap();
        assert!(matches!(error, ConnectError::Broken { .. }) && !error.is_final());
        assert_eq!(server.said(), END);
        let mut server = server.again();
        server.log_in(BIND_AND_SM);
        assert!(server.said().contains("<resume "));
    });
    in_every_cutting(|mut server| {
        server.greet(PLAIN);
        server.said();
        server.say(END);
        assert!(matches!(server.error(), Some(ConnectError::Broken { .. })));
    });
}

#[test]
fn a_stream_error_ends_it_wherever_it_comes() {
    let reset = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    for step in 0..4 {
        in_every_cutting(|mut server| {
            match step {
                0 => server.say(HEADER),
                1 => server.greet(PLAIN),
                2 => server.log_in(BIND),
                _ => server = server.open_with_sm(),
            }
            server.said();
            server.say(format!("{reset}<message/>"));
            let end = server.error();
            assert!(
                matches!(&end, Some(ConnectError::Stream(error)) if error.condition == "reset"),
                "{end:?}"
            );
            assert_eq!(server.said(), "");
            assert!(server.events.is_empty());
        });
    }
}
