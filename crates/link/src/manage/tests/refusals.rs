//! Limits, faults, and what comes when it should not.

use super::*;

#[test]
fn a_number_that_is_missing_or_none_ends_the_session() {
    for h in ["", "h='x'", "h='-1'", "h='4294967296'"] {
        let mut link = Link::on();
        let heard = link.hear(&format!("<a {h}/>"));
        assert_eq!(heard, Err(Miscount::NoNumber("a")), "{h}");
        let mut link = Link::on();
        link.cut_and_resume().unwrap();
        let heard = link.hear(&format!("<resumed previd='first' {h}/>"));
        assert_eq!(heard, Err(Miscount::NoNumber("resumed")), "{h}");
        assert_eq!(link.cut_and_resume(), None);
    }
}

#[test]
fn fewer_stanzas_than_before_end_the_session() {
    let mut link = Link::on();
    link.send(&["<iq/>", "<iq/>"]);
    link.hear("<a h='2'/>").unwrap();
    link.cut_and_resume().unwrap();
    let heard = link.hear("<resumed previd='first' h='1'/>");
    assert_eq!(heard, Err(Miscount::TooHigh { h: 1, sent: 2 }));
}

#[test]
fn another_session_than_was_asked_for_is_none_of_ours() {
    let mut link = Link::on();
    link.cut_and_resume().unwrap();
    let heard = link.hear("<resumed previd='second' h='0'/>");
    assert_eq!(heard, Err(Miscount::Another));
    assert_eq!(link.cut_and_resume(), None);
}

#[test]
fn a_fault_names_the_numbers_to_the_server() {
    let fault = Miscount::TooHigh { h: 10, sent: 8 };
    let mut out = Vec::new();
    fault.detail().unwrap().write("", &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>"
    );
    assert_eq!(Miscount::Another.detail(), None);
}

#[test]
fn what_is_not_expected_changes_nothing() {
    let mut link = Link::on();
    link.send(&["<iq/>"]);
    link.take(1);
    for xml in [
        "<enabled id='second' resume='true'/>",
        "<resumed previd='first' h='1'/>",
        "<failed h='1'/>",
        "<enable/>",
        "<a xmlns='urn:xmpp:sm:2' h='9'/>",
    ] {
        assert_eq!(link.hear(xml), Ok(Heard::Nothing), "{xml}");
    }
    assert_eq!(link.cut_and_resume(), resume("first", 1));
    for xml in ["<enabled/>", "<a h='9'/>", "<r/>"] {
        assert_eq!(link.hear(xml), Ok(Heard::Nothing), "{xml}");
    }
    assert_eq!(link.said(), [""; 0]);
    assert_eq!(link.manage.rebind(), ["<iq/>"]);
}

#[test]
fn a_connection_is_asked_for_one_session() {
    let mut link = Link::new();
    assert!(link.manage.enable().is_some());
    assert_eq!(link.manage.enable(), None);
    link.hear("<enabled/>").unwrap();
    assert_eq!(link.manage.enable(), None);
    link.manage.on_disconnected(link.now);
    assert_eq!(link.manage.enable(), None, "not before it is bound anew");
    assert!(link.manage.rebind().is_empty());
    assert!(link.manage.enable().is_some());
}

#[test]
fn after_the_granted_time_resume_is_skipped() {
    for (wait, resumes) in [(299_999, true), (300_000, false)] {
        let mut link = Link::on();
        link.manage.on_disconnected(link.now);
        link.wait(wait);
        // Attempts that fail do not make it longer.
        link.manage.on_disconnected(link.now);
        assert_eq!(link.manage.can_resume(link.now), resumes, "{wait} ms");
        assert_eq!(link.manage.resume(link.now).is_some(), resumes, "{wait} ms");
    }
    let mut link = Link::with("id='x' resume='true' max='0'");
    assert_eq!(link.cut_and_resume(), None);
    let mut link = Link::with("id='x' resume='true' max='18446744073709551615'");
    assert!(link.cut_and_resume().is_some(), "longer than time itself");
}

#[test]
fn without_a_promise_to_resume_there_are_acknowledgements_only() {
    let mut link = Link::new();
    link.manage.enable().unwrap();
    let heard = link.hear("<enabled/>");
    assert_eq!(heard, Ok(Heard::Enabled { resumable: None }));
    link.send(&["<iq id='1'/>", "<iq id='2'/>"]);
    assert_eq!(link.said(), [R]);
    link.hear("<a h='1'/>").unwrap();
    assert_eq!(link.cut_and_resume(), None);
    assert_eq!(link.manage.rebind(), ["<iq id='2'/>"]);
}

#[test]
fn stanzas_that_a_connection_took_with_it_before_it_had_a_session_are_reported() {
    let mut link = Link::new();
    link.manage.enable().unwrap();
    link.send(&["<iq/>"]);
    assert_eq!(link.cut_and_resume(), None);
    assert!(!link.manage.may_send());
    assert_eq!(link.manage.rebind(), ["<iq/>"]);
}

#[test]
fn the_location_is_tried_first_and_once_an_outage_and_only_to_resume() {
    let session = "id='first' resume='true' max='300' location='host:1'";
    let mut link = Link::with(session);
    assert_eq!(link.manage.take_location(link.now), None, "no outage");
    for _ in 0..2 {
        link.manage.on_disconnected(link.now);
        let location = link.manage.take_location(link.now).unwrap();
        assert_eq!((&*location.host, location.port), ("host", Some(1)));
        link.manage.on_disconnected(link.now);
        assert_eq!(link.manage.take_location(link.now), None);
        assert!(link.cut_and_resume().is_some(), "elsewhere");
        link.hear("<resumed previd='first' h='0'/>").unwrap();
    }
    link.manage.on_disconnected(link.now);
    link.wait(300_000);
    assert_eq!(link.manage.take_location(link.now), None, "too late");
}

#[test]
fn nothing_new_is_written_before_what_is_unacknowledged() {
    let mut link = Link::on();
    link.send(&["<iq/>"]);
    link.manage.on_disconnected(link.now);
    assert!(!link.manage.may_send());
    link.manage.resume(link.now).unwrap();
    assert!(!link.manage.may_send());
    link.hear("<resumed previd='first' h='0'/>").unwrap();
    assert!(!link.manage.may_send());
    assert_eq!(link.manage.poll(link.now).unwrap(), R);
    assert!(!link.manage.may_send());
    assert_eq!(link.manage.poll(link.now).unwrap(), "<iq/>");
    assert!(link.manage.may_send());
}

#[test]
fn a_stanza_is_taken_before_it_is_asked_for_again_or_not_at_all() {
    let mut link = Link::on();
    let (first, second) = (link.manage.on_stanza(), link.manage.on_stanza());
    link.manage.on_disconnected(link.now);
    assert!(link.manage.on_stanza_taken(link.now, first));
    let said = link.manage.resume(link.now).unwrap();
    assert_eq!(said, resume("first", 1).unwrap());
    assert!(!link.manage.on_stanza_taken(link.now, second));
    link.hear("<resumed previd='first' h='0'/>").unwrap();
    assert!(!link.manage.on_stanza_taken(link.now, second));
    link.take(1);
    assert_eq!(link.cut_and_resume(), resume("first", 2));
}

#[test]
fn a_stream_error_before_the_first_acknowledgement_is_not_provoked_again() {
    let resumed = |unacked: &[&str], then: &str| {
        let mut link = Link::on();
        link.send(unacked);
        link.cut_and_resume().unwrap();
        link.hear("<resumed previd='first' h='0'/>").unwrap();
        if !then.is_empty() {
            link.hear(then).unwrap();
        }
        link.manage.on_stream_error();
        link.cut_and_resume().is_some()
    };
    assert!(!resumed(&["<iq/>"], ""));
    assert!(!resumed(&["<iq/>"], "<r/>"));
    assert!(!resumed(&["<iq/>"], "<a h='0'/>"), "it has not had it");
    assert!(resumed(&["<iq/>"], "<a h='1'/>"));
    assert!(resumed(&[], ""), "nothing was written again");
    let mut link = Link::on();
    link.send(&["<iq/>"]);
    link.manage.on_stream_error();
    assert!(link.cut_and_resume().is_some(), "nor here");
}

#[test]
fn what_is_forgotten_is_not_resumed_and_reported() {
    let mut link = Link::on();
    link.send(&["<iq/>", "<message/>"]);
    assert_eq!(link.manage.longest_unacked(), "<message/>".len());
    link.manage.forget();
    assert_eq!(link.cut_and_resume(), None);
    let mut link = Link::on();
    link.send(&["<iq/>", "<message/>"]);
    link.manage.on_disconnected(link.now);
    link.manage.forget();
    assert!(!link.manage.can_resume(link.now));
    assert_eq!(link.manage.rebind(), ["<iq/>", "<message/>"]);
}

#[test]
fn there_is_room_for_so_many_stanzas_and_bytes() {
    let after = |stanzas: usize, bytes: usize| {
        let mut link = Link::on();
        let stanza = "x".repeat(bytes / stanzas);
        link.send(&vec![stanza.as_str(); stanzas]);
        link.manage.has_room()
    };
    assert!(after(ROOM_STANZAS - 1, ROOM_STANZAS - 1));
    assert!(!after(ROOM_STANZAS, ROOM_STANZAS));
    assert!(after(1, ROOM_BYTES - 1));
    assert!(!after(1, ROOM_BYTES));
    let mut link = Link::new();
    link.send(&[&*"x".repeat(ROOM_BYTES)]);
    assert!(link.manage.has_room(), "nothing is kept without a session");
}

#[test]
fn at_half_of_the_room_a_request_goes_at_once() {
    let half = "x".repeat(ROOM_BYTES / 2 - 1);
    let mut link = Link::on();
    link.send(&["<iq/>"]);
    assert_eq!(link.said(), [R]);
    link.hear("<a h='1'/>").unwrap();
    link.wait(20);
    link.send(&[&half]);
    assert_eq!(link.said(), [R]);
    link.send(&["x"]);
    assert_eq!(link.said(), [R], "although the last is unanswered");
    link.send(&["x"]);
    assert_eq!(link.said(), [""; 0], "once");
}

#[test]
fn after_silence_the_server_is_asked_whatever_was_sent() {
    let mut link = Link::on();
    assert!(link.manage.ask(link.now));
    assert_eq!(link.said(), [R]);
    assert_eq!(link.said(), [""; 0]);
}

#[test]
fn a_request_is_answered_once_and_twenty_milliseconds_later() {
    let mut link = Link::on();
    link.hear("<r/>").unwrap();
    link.take(1);
    link.wait(19);
    link.hear("<r/>").unwrap();
    assert_eq!(link.said(), [""; 0]);
    link.wait(1);
    assert_eq!(link.manage.poll_timeout(), Some(link.now));
    assert_eq!(link.said(), [a(1)]);
    link.wait(1_000);
    assert_eq!(link.said(), [""; 0]);
}
