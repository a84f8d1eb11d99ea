//! Bugs of other implementations, by what must hold instead.

use super::*;

// legastero/stanza #494, #495
#[test]
fn the_inbound_count_survives_a_resumption() {
    let mut link = Link::on();
    link.take(3);
    assert_eq!(link.cut_and_resume(), resume("first", 3));
    link.hear("<resumed previd='first' h='0'/>").unwrap();
    link.take(2);
    assert_eq!(link.cut_and_resume(), resume("first", 5));
}

// strophe/libstrophe #222
#[test]
fn a_stanza_is_counted_when_written_and_sent_again_if_the_server_has_less() {
    let mut link = Link::on();
    link.send(&["<iq id='1'/>", "<iq id='2'/>"]);
    link.send(&["<iq id='3'/>"]);
    assert_eq!(link.said(), [R]);
    link.cut_and_resume().unwrap();
    let heard = link.hear("<resumed previd='first' h='1'/>");
    assert_eq!(heard, Ok(Heard::Resumed { acked: 1 }));
    assert_eq!(link.said(), [R, "<iq id='2'/>", "<iq id='3'/>"]);
    link.hear("<a h='3'/>").unwrap();
    assert!(link.manage.rebind().is_empty());
}

// strophe/libstrophe #215, #230
#[test]
fn a_failed_resumption_empties_the_queue_and_old_stanzas_are_never_sent_days_later() {
    let mut link = Link::on();
    link.send(&["<iq id='old'/>"]);
    link.cut_and_resume().unwrap();
    assert_eq!(link.hear("<failed/>"), Ok(Heard::NotResumed));
    assert_eq!(link.bind("id='second' resume='true'"), ["<iq id='old'/>"]);
    link.send(&["<iq id='new'/>"]);
    link.wait(3 * 24 * 3_600_000);
    link.cut_and_resume().unwrap();
    link.hear("<resumed previd='second' h='0'/>").unwrap();
    assert_eq!(link.said(), [R, "<iq id='new'/>"]);
    assert_eq!(link.manage.rebind(), ["<iq id='new'/>"]);
}

// strophe/libstrophe #211
#[test]
fn a_new_connection_begins_without_stream_management() {
    let mut link = Link::on();
    link.send(&["<iq/>"]);
    link.hear("<r/>").unwrap();
    link.wait(5_000);
    link.manage.on_disconnected(link.now);
    assert_eq!(link.manage.poll_timeout(), None);
    assert_eq!(link.said(), [""; 0]);
    assert!(!link.manage.may_send());
    // Nor once it is bound, before the server has agreed.
    assert_eq!(link.manage.rebind(), ["<iq/>"]);
    link.manage.enable().unwrap();
    link.send(&["<iq/>"]);
    assert_eq!(link.hear("<r/>"), Ok(Heard::Nothing));
    link.wait(5_000);
    assert_eq!(link.said(), [""; 0]);
    assert_eq!(link.manage.poll_timeout(), None);
}

// dino/dino #1164, moxxy #4
#[test]
fn no_r_is_sent_while_stream_management_is_off() {
    let mut link = Link::new();
    link.manage.enable().unwrap();
    link.send(&["<iq/>"]);
    assert_eq!(link.hear("<failed/>"), Ok(Heard::NotEnabled));
    link.send(&["<iq/>"]);
    link.take(300);
    assert_eq!(link.hear("<r/>"), Ok(Heard::Nothing));
    assert_eq!(link.hear("<a h='7'/>"), Ok(Heard::Nothing));
    assert!(!link.manage.ask(link.now));
    link.wait(5_000);
    assert_eq!(link.manage.poll_timeout(), None);
    assert_eq!(link.said(), [""; 0]);
    assert_eq!(link.manage.close(), None);
    assert!(link.manage.rebind().is_empty(), "nothing is kept");
}

// dino/dino #1164, moxxy #4
#[test]
fn a_previd_is_tried_once() {
    for answer in ["<failed/>", "<failed h='0'/>"] {
        let mut link = Link::on();
        link.cut_and_resume().unwrap();
        assert_eq!(link.hear(answer), Ok(Heard::NotResumed));
        assert_eq!(link.cut_and_resume(), None, "{answer:?}");
        assert!(!link.manage.can_resume(link.now));
    }
}

#[test]
fn a_resumption_that_is_cut_before_its_answer_is_tried_again_a_few_times() {
    let mut link = Link::on();
    let first = link.cut_and_resume().unwrap();
    for _ in 0..MAX_UNANSWERED {
        assert_eq!(link.cut_and_resume(), Some(first.clone()));
    }
    assert_eq!(
        link.cut_and_resume(),
        None,
        "nobody hangs up by chance each time"
    );
}

// horazont/aioxmpp #382, #383
#[test]
fn a_failed_without_condition_does_not_loop() {
    let condition = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
    for inside in ["", condition] {
        for h in ["", "h='1'", "h='9'", "h='x'"] {
            let failed = format!("<failed {h}>{inside}</failed>");
            let mut link = Link::on();
            link.send(&["<iq id='1'/>", "<iq id='2'/>"]);
            link.cut_and_resume().unwrap();
            assert_eq!(link.hear(&failed), Ok(Heard::NotResumed), "{failed}");
            assert_eq!(link.hear(&failed), Ok(Heard::Nothing), "only once");
            // It trims by a number that makes sense.
            let lost = if h == "h='1'" { 1 } else { 2 };
            assert_eq!(link.manage.rebind().len(), lost, "{failed}");
            link.manage.enable().unwrap();
            assert_eq!(link.hear(&failed), Ok(Heard::NotEnabled), "{failed}");
            assert_eq!(link.manage.enable(), None, "not a second time");
            assert_eq!(link.hear(&failed), Ok(Heard::Nothing));
        }
    }
}

// xmppjs/xmpp.js #822
#[test]
fn stanzas_between_enable_and_enabled_are_stanzas() {
    let mut link = Link::new();
    link.manage.enable().unwrap();
    let early = link.manage.on_stanza();
    link.take(1);
    link.hear("<enabled id='first' resume='true'/>").unwrap();
    assert!(link.manage.on_stanza_taken(link.now, early));
    link.take(1);
    assert_eq!(
        link.cut_and_resume(),
        resume("first", 1),
        "the server counts only what it sends behind its word"
    );
}

// xmppjs/xmpp.js #1119, ejabberd #205, xmpp_dart #70
#[test]
fn an_h_above_what_was_sent_ends_the_session_once() {
    let fault = Miscount::TooHigh { h: 2, sent: 1 };
    for resumed in [false, true] {
        let mut link = Link::on();
        link.send(&["<iq/>"]);
        let heard = if resumed {
            link.cut_and_resume().unwrap();
            link.hear("<resumed previd='first' h='2'/>")
        } else {
            link.hear("<a h='2'/>")
        };
        assert_eq!(heard, Err(fault.clone()));
        assert_eq!(link.hear("<a h='2'/>"), Ok(Heard::Nothing), "said once");
        assert_eq!(link.said(), [""; 0]);
        assert_eq!(link.cut_and_resume(), None);
        assert_eq!(link.manage.rebind(), ["<iq/>"]);
        // The next connection cannot end like this: it has no session.
        assert_eq!(link.manage.enable(), None);
        link.send(&["<iq/>"]);
        assert_eq!(link.hear("<a h='2'/>"), Ok(Heard::Nothing));
        // The one after it tries again.
        link.manage.on_disconnected(link.now);
        assert!(link.bind("id='x' resume='true'").is_empty());
    }
}

// esl/MongooseIM #408, Conversations #2661, Monal #263
#[test]
fn counting_starts_at_enable_and_enabled_and_nonzas_do_not_count() {
    let mut link = Link::new();
    link.send(&["<iq id='before'/>"]);
    link.take(1);
    link.manage.enable().unwrap();
    link.send(&["<iq id='1'/>"]);
    link.take(1);
    link.hear("<enabled id='first' resume='true'/>").unwrap();
    link.take(1);
    assert_eq!(link.said(), [R]);
    for nonza in ["<r/>", "<a h='0'/>", "<r/>", "<x xmlns='urn:other'/>"] {
        link.hear(nonza).unwrap();
    }
    link.wait(20);
    assert_eq!(link.said(), [a(1)]);
    assert_eq!(link.cut_and_resume(), resume("first", 1));
    link.hear("<resumed previd='first' h='0'/>").unwrap();
    assert_eq!(link.said(), [R, "<iq id='1'/>"]);
    let fault = link.hear("<a h='2'/>");
    assert_eq!(fault, Err(Miscount::TooHigh { h: 2, sent: 1 }));
}

// Conversations #1258, node-red #876
#[test]
fn two_hundred_stanzas_are_acknowledged_at_once() {
    let mut link = Link::on();
    link.take(199);
    assert_eq!((link.manage.poll_timeout(), link.said()), (None, vec![]));
    link.take(1);
    assert_eq!(link.manage.poll_timeout(), Some(link.now));
    assert_eq!(link.said(), [a(200)]);
    link.take(199);
    assert_eq!(link.said(), [""; 0]);
    link.take(1);
    assert_eq!(link.said(), [a(400)]);
}

// monal-im/Monal #264
#[test]
fn no_request_while_one_is_unanswered() {
    let mut link = Link::on();
    link.send(&["<iq/>"]);
    assert_eq!(link.said(), [R]);
    for _ in 0..9 {
        link.wait(100);
        link.send(&["<iq/>"; 300]);
        assert_eq!(link.said(), [""; 0]);
    }
    link.wait(100);
    assert_eq!(link.manage.poll_timeout(), Some(link.now));
    assert_eq!(link.said(), [R], "a second is enough");
    link.hear("<a h='2701'/>").unwrap();
    link.wait(20);
    link.send(&["<iq/>"]);
    assert_eq!(link.said(), [R]);
}

// monal-im/Monal #264
#[test]
fn an_a_goes_before_the_end() {
    let mut link = Link::on();
    link.send(&["<iq/>"]);
    link.take(2);
    assert_eq!(link.manage.close().unwrap(), a(2));
    link.hear("<a h='1'/>").unwrap();
    assert_eq!(link.cut_and_resume(), None, "it was the end");
    assert!(link.manage.rebind().is_empty());
}

// legastero/stanza #423, MongooseIM #1881
#[test]
fn stanzas_of_a_refused_session_are_reported_lost_and_not_acked() {
    let mut link = Link::on();
    link.send(&["<iq id='1'/>", "<iq id='2'/>", "<iq id='3'/>"]);
    let untaken = link.manage.on_stanza();
    link.cut_and_resume().unwrap();
    link.hear("<failed h='1'/>").unwrap();
    assert_eq!(
        link.bind("id='second' resume='true'"),
        ["<iq id='2'/>", "<iq id='3'/>"]
    );
    // What that session brought is no part of the new one's number,
    assert!(!link.manage.on_stanza_taken(link.now, untaken));
    assert_eq!(link.manage.close().unwrap(), a(0));
    // and its stanzas are not acknowledged by the new one's.
    assert_eq!(
        link.hear("<a h='1'/>"),
        Err(Miscount::TooHigh { h: 1, sent: 0 })
    );
}

// Prosody 0.12: the parser of the connection that was cut is the one that reads the next, from the middle of a stanza on
#[test]
fn a_server_that_resumes_a_session_and_takes_nothing_in_is_given_up_and_bound_anew() {
    let mut link = Link::on();
    link.send(&["<iq id='1'/>", "<iq id='2'/>"]);
    link.cut_and_resume().unwrap();
    link.hear("<resumed previd='first' h='1'/>").unwrap();
    // It is asked before it gets anything again, so that its answer does not wait for that.
    assert_eq!(link.said(), [R, "<iq id='2'/>"]);
    // What it sends itself is no answer.
    link.take(1);
    link.hear("<r/>").unwrap();
    link.wait(9_999);
    assert_eq!(link.manage.handle_timeout(link.now), Ok(()));
    link.said();
    link.wait(1);
    assert_eq!(link.manage.poll_timeout(), Some(link.now));
    let deaf = Err(Miscount::Deaf(PATIENCE));
    assert_eq!(link.manage.handle_timeout(link.now), deaf);
    assert_eq!(link.cut_and_resume(), None);
    assert_eq!(
        link.bind("id='second' resume='true'"),
        ["<iq id='2'/>"],
        "with a session"
    );
}

#[test]
fn a_server_that_has_answered_or_owes_no_answer_is_not_given_up() {
    for (sent, answer) in [(&["<iq id='1'/>"][..], "<a h='0'/>"), (&[], "<r/>")] {
        let mut link = Link::on();
        link.send(sent);
        link.cut_and_resume().unwrap();
        link.hear("<resumed previd='first' h='0'/>").unwrap();
        link.hear(answer).unwrap();
        link.wait(3_600_000);
        assert_eq!(link.manage.handle_timeout(link.now), Ok(()));
    }
}
