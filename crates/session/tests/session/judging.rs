//! Verdicts: nothing goes in or out before them.

use xtls_session::{By, Event, JudgeError, SendError, Verdict, Why};
use xtls_tls::trust::{Level, Policy, Store, TrustError};
use xtls_tls::{Alert, Fingerprint, Role, Tls, TlsError};

use super::support::{
    End as _, JULIET, Ours, ROMEO, Setup, Stranger, address, bodies, message, settle,
};

/// Two who have never met, both waiting for their owners.
fn introduced() -> (Ours, Ours) {
    let setup = Setup::stanzas().strangers();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["judge"]);
    assert_eq!(juliet.names(), ["judge"]);
    (romeo, juliet)
}

fn judging_juliet() -> (Ours, Stranger) {
    let setup = Setup::stanzas().strangers();
    let (mut juliet, mut stranger) = (setup.juliet(), setup.stranger(Role::Client));
    settle(&mut juliet, &mut stranger);
    assert_eq!(juliet.names(), ["judge"]);
    (juliet, stranger)
}

fn accept(end: &mut Ours) {
    end.judge(Verdict::Accept).unwrap();
    end.collect();
}

#[test]
fn an_introduction_names_the_peer_of_the_binding_and_its_key() {
    let (romeo, _) = introduced();
    let Event::Judge(introduction) = &romeo.events[0] else {
        panic!("no introduction")
    };
    let config = Setup::stanzas().tls_config(Role::Server);
    assert_eq!(introduction.peer, address(JULIET));
    assert_eq!(introduction.fingerprint, config.identity().fingerprint());
}

#[test]
fn both_verdicts_open_the_session() {
    let (mut romeo, mut juliet) = introduced();
    accept(&mut romeo);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["judge", "ready"]);
    assert_eq!(juliet.names(), ["judge"]);
    accept(&mut juliet);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["judge", "ready", "established"]);
    assert_eq!(juliet.names(), ["judge", "established"]);
    assert_eq!(juliet.established().unwrap().address, address(ROMEO));
    assert!(juliet.established().unwrap().bound);
}

#[test]
fn nothing_goes_out_before_the_verdict() {
    let (mut juliet, stranger) = judging_juliet();
    let mut key = [0; 32];
    assert_eq!(
        juliet.session.send(&message("early")),
        Err(SendError::NotOpen)
    );
    assert_eq!(
        juliet.session.export("EXPERIMENTAL-test", b"", &mut key),
        Err(SendError::NotOpen)
    );
    assert_eq!(key, [0; 32]);
    assert!(juliet.take().is_empty());
    assert!(stranger.plain.is_empty());
}

#[test]
fn nothing_comes_in_before_the_verdict() {
    let (mut juliet, mut stranger) = judging_juliet();
    stranger.say("<message><body>one</body></message>", &mut juliet);
    stranger.say(
        "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
        &mut juliet,
    );
    stranger.say("<message><body>two</body></message>", &mut juliet);
    assert_eq!(juliet.names(), ["judge"]);
    assert!(stranger.plain.is_empty());
    accept(&mut juliet);
    assert_eq!(juliet.names(), ["judge", "established", "stanza", "stanza"]);
    assert_eq!(bodies(&juliet.stanzas()), ["one", "two"]);
    settle(&mut juliet, &mut stranger);
    assert_eq!(
        stranger.heard(),
        " <iq xmlns='jabber:client' id='p' type='result'/>"
    );
}

#[test]
fn a_refused_peer_is_not_heard_and_told_no_more_than_that() {
    let (mut juliet, mut stranger) = judging_juliet();
    stranger.say("<message><body>one</body></message>", &mut juliet);
    juliet.judge(Verdict::Refuse).unwrap();
    settle(&mut juliet, &mut stranger);
    let close = juliet.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Us, Why::Refused, false)
    );
    assert_eq!(juliet.names(), ["judge", "closed"]);
    assert!(stranger.plain.is_empty());
    let denied = TlsError::Alert(Alert::ACCESS_DENIED);
    assert_eq!(stranger.tls.failure(), Some(&denied));
}

#[test]
fn one_who_refuses_waits_no_longer_than_for_any_last_word() {
    let (mut juliet, _stranger) = judging_juliet();
    juliet.judge(Verdict::Refuse).unwrap();
    juliet.collect();
    assert_eq!(juliet.names(), ["judge"], "the alert waits to be taken");
    assert_eq!(juliet.expire(), "last words");
    assert_eq!(juliet.closed().why, Why::Refused);
    assert_eq!(juliet.session.poll_wire(usize::MAX), None);
}

#[test]
fn one_who_has_not_judged_yet_hears_that_it_is_refused() {
    for refused in [Role::Client, Role::Server] {
        let (mut romeo, mut juliet) = introduced();
        let (slow, quick) = match refused {
            Role::Client => (&mut romeo, &mut juliet),
            Role::Server => (&mut juliet, &mut romeo),
        };
        quick.judge(Verdict::Refuse).unwrap();
        settle(quick, slow);
        slow.cut();
        let close = slow.closed();
        let denied = Why::Tls(TlsError::Alert(Alert::ACCESS_DENIED));
        assert_eq!((close.by, close.why), (By::Peer, denied));
        assert!(slow.established().is_none() && !close.clean);
    }
}

#[test]
fn what_the_initiator_said_to_one_who_refuses_it_is_unconfirmed() {
    let (mut romeo, mut juliet) = introduced();
    accept(&mut romeo);
    romeo.send(&message("one"));
    romeo.send(&message("two"));
    settle(&mut romeo, &mut juliet);
    juliet.judge(Verdict::Refuse).unwrap();
    settle(&mut romeo, &mut juliet);
    romeo.cut();
    let close = romeo.closed();
    assert_eq!(close.unconfirmed, 2);
    let denied = Why::Tls(TlsError::Alert(Alert::ACCESS_DENIED));
    assert_eq!((close.by, close.why), (By::Peer, denied));
    assert!(romeo.established().is_none());
    assert!(juliet.stanzas().is_empty());
}

#[test]
fn a_verdict_counts_only_while_it_is_awaited() {
    let setup = Setup::stanzas();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    let early = Err(JudgeError::NotDue);
    assert_eq!(romeo.judge(Verdict::Refuse), early);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.judge(Verdict::Refuse), early);
    assert_eq!(juliet.judge(Verdict::Refuse), early);
    settle(&mut romeo, &mut juliet);
    assert!(romeo.is_open() && juliet.is_open());
}

#[test]
fn a_verdict_about_another_key_is_none() {
    let (mut romeo, mut juliet) = introduced();
    let Event::Judge(introduction) = &romeo.events[0] else {
        panic!("an introduction comes first");
    };
    let presented = introduction.fingerprint;
    let another = Fingerprint::of_spki(b"another");
    for verdict in [Verdict::Accept, Verdict::Refuse] {
        let judged = romeo.session.judge(romeo.now, another, verdict);
        assert_eq!(judged, Err(JudgeError::OtherKey(presented)));
    }
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["judge"]);
    romeo.judge(Verdict::Accept).unwrap();
    assert_eq!(romeo.judge(Verdict::Accept), Err(JudgeError::NotDue));
}

#[test]
fn a_whole_conversation_is_delivered_after_the_transport_has_gone_if_the_verdict_is_good() {
    for verdict in [Verdict::Accept, Verdict::Refuse] {
        let (mut juliet, mut stranger) = judging_juliet();
        stranger.write("<message><body>one</body></message>");
        stranger.tls.close();
        settle(&mut stranger, &mut juliet);
        juliet.cut();
        assert_eq!(juliet.names(), ["judge"]);
        juliet.judge(verdict).unwrap();
        let close = juliet.closed();
        if verdict == Verdict::Accept {
            let all = ["judge", "established", "stanza", "peer finished", "closed"];
            assert_eq!(juliet.names(), all);
            assert_eq!((close.by, close.why), (By::Transport, Why::Unfinished));
            assert!(close.clean);
        } else {
            assert_eq!(juliet.names(), ["judge", "closed"]);
            assert_eq!((close.by, close.why), (By::Us, Why::Refused));
        }
    }
}

#[test]
fn a_cut_while_the_owner_thinks_ends_the_question() {
    let setup = Setup::stanzas().strangers();
    let (mut juliet, mut stranger) = (setup.juliet(), setup.stranger(Role::Client));
    // The owner has not even seen the question.
    let mut wire = stranger.take();
    juliet.session.handle_wire(juliet.now, &wire);
    wire = juliet.session.poll_wire(usize::MAX).unwrap().to_vec();
    stranger.feed(&wire);
    stranger.write("<message/>");
    juliet.session.handle_wire(juliet.now, &stranger.take());
    juliet.session.handle_wire_end(juliet.now);
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["closed"]);
    assert_eq!((close.by, close.why), (By::Transport, Why::Truncated));
}

#[test]
fn a_key_that_is_not_the_pinned_one_ends_both() {
    let setup = Setup::stanzas();
    // Juliet knows another Romeo.
    let mut store = Store::new();
    let (bare, known) = (address(ROMEO).to_bare(), Fingerprint::of_spki(b"another"));
    store.pin(bare.as_str(), known, Level::FirstUse, 0).unwrap();
    let expect = setup.binding(Role::Server).expect(store, Policy::Ask);
    let tls = Tls::new(Role::Server, &setup.tls_config(Role::Server), expect).unwrap();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.end_over(Role::Server, tls));

    // One turn at a time: Romeo has sent something by the time the refusal arrives.
    juliet.feed(&romeo.take());
    romeo.feed(&juliet.take());
    assert_eq!(romeo.names(), ["ready"]);
    romeo.send(&message("early"));
    settle(&mut romeo, &mut juliet);

    let close = juliet.closed();
    assert_eq!(juliet.names(), ["closed"]);
    let changed = matches!(
        &close.why,
        Why::Tls(TlsError::Trust(TrustError::KeyChanged { .. }))
    );
    assert!(changed && close.by == By::Us, "{close:?}");
    let close = romeo.closed();
    assert_eq!(romeo.names(), ["ready", "closed"]);
    let refused = matches!(&close.why, Why::Tls(TlsError::Alert(alert)) if alert.refuses_us());
    assert!(refused && close.by == By::Peer, "{close:?}");
    assert_eq!(close.unconfirmed, 1);
}
