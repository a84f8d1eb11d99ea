//! Verification between two sessions: before the verdict and after it, by words and by code, right and wrong.

use std::time::Duration;

use xtls_session::{Broken, Compare, Config, Event, Run, Verdict, Verify, VerifyError};
use xtls_stanza::verify::{Method as OnWire, Reason, Step};
use xtls_tls::Role;
use xtls_tls::verify::{Code, Fault, Method};
use zeroize::Zeroizing;

use crate::support::{Ours, Setup, bodies, message, settle, settle_cut};

impl Ours {
    pub(crate) fn verify(&mut self, compare: Compare) -> Result<Run, VerifyError> {
        let seed = match self.session.binding().role {
            Role::Client => 1,
            Role::Server => 2,
        };
        self.session
            .verify(self.now, compare, Zeroizing::new([seed; 32]))
    }

    /// The run that was told of last.
    pub(crate) fn run(&self) -> Run {
        self.told().run()
    }

    pub(crate) fn go(&mut self) -> Result<(), VerifyError> {
        self.session.verify_go(self.now, self.run())
    }

    pub(crate) fn agree(&mut self) -> Result<(), VerifyError> {
        self.session.verify_agree(self.now, self.run())
    }

    pub(crate) fn cancel(&mut self, reason: Reason) -> Result<(), VerifyError> {
        self.session.verify_cancel(self.now, self.run(), reason)
    }

    /// The last thing that was told about a verification.
    pub(crate) fn told(&self) -> Verify {
        let told = self.events.iter().rev().find_map(|event| match event {
            Event::Verify(verify) => Some(verify.clone()),
            _ => None,
        });
        told.unwrap()
    }

    fn words(&self) -> [u16; 4] {
        match self.told() {
            Verify::Compare { words, .. } => words.numbers(),
            other => panic!("{other:?} where words are due"),
        }
    }

    fn broken(&self) -> (Broken, bool) {
        match self.told() {
            Verify::Failed { why, counted, .. } => (why, counted),
            other => panic!("{other:?} where a failure is due"),
        }
    }
}

fn code(text: &str) -> Compare {
    Compare::Code(Code::new(text).unwrap())
}

/// Both want it, and both attempts are counted.
pub(crate) fn begin(romeo: &mut Ours, juliet: &mut Ours, compare: [Compare; 2]) {
    let [romeos, juliets] = compare;
    romeo.verify(romeos).unwrap();
    settle(romeo, juliet);
    juliet.verify(juliets).unwrap();
    settle(romeo, juliet);
    for end in [&mut *romeo, &mut *juliet] {
        assert!(matches!(end.told(), Verify::Due { .. }), "{:?}", end.told());
        end.go().unwrap();
    }
    settle(romeo, juliet);
}

fn strangers() -> (Ours, Ours) {
    let setup = Setup::stanzas().strangers();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["judge"]);
    assert_eq!(juliet.names(), ["judge"]);
    (romeo, juliet)
}

pub(crate) fn agree(romeo: &mut Ours, juliet: &mut Ours) {
    for end in [&mut *romeo, &mut *juliet] {
        end.agree().unwrap();
    }
    settle(romeo, juliet);
}

#[test]
fn strangers_see_the_same_words_and_nothing_else_passes_before_the_verdict() {
    let (mut romeo, mut juliet) = strangers();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    assert_eq!(romeo.words(), juliet.words());
    agree(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["judge", "due", "compare", "done"]);
    assert_eq!(juliet.names(), ["judge", "asked", "due", "compare", "done"]);
    let Verify::Done { method, key, .. } = juliet.told() else {
        panic!("{:?}", juliet.told());
    };
    assert_eq!(method, Method::Words);
    let Some(Event::Judge(introduction)) = juliet.events.first() else {
        panic!("an introduction comes first");
    };
    assert_eq!(key, introduction.fingerprint, "the key of the handshake");

    // It is not the verdict: that is the owner's, who has to store the key first.
    assert!(romeo.session.send(&message("too early")).is_err());
    for end in [&mut romeo, &mut juliet] {
        end.events.clear();
        end.judge(Verdict::Accept).unwrap();
    }
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["ready", "established"]);
    assert_eq!(juliet.names(), ["established"]);
}

#[test]
fn strangers_with_one_code_are_done_without_a_question() {
    let (mut romeo, mut juliet) = strangers();
    let both = [code("correct horse"), code("Correct-Horse")];
    begin(&mut romeo, &mut juliet, both);
    assert_eq!(romeo.names(), ["judge", "due", "done"]);
    assert_eq!(juliet.names(), ["judge", "asked", "due", "done"]);
}

#[test]
fn another_code_fails_at_both_ends_and_counts() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    let both = [code("correct horse"), code("correct house")];
    begin(&mut romeo, &mut juliet, both);
    let mut mismatches = 0;
    for end in [&romeo, &juliet] {
        let (why, counted) = end.broken();
        assert!(why.is_mismatch(), "{why}");
        assert!(counted);
        mismatches += u32::from(why == Broken::Fault(Fault::Confirmation));
    }
    assert!(mismatches >= 1, "one end has found it");
    // The session goes on as it was.
    romeo.send(&message("still here"));
    settle(&mut romeo, &mut juliet);
    assert_eq!(bodies(&juliet.stanzas()), ["still here"]);
}

#[test]
fn words_that_differ_to_a_person_fail_at_both_ends() {
    let (mut romeo, mut juliet) = strangers();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    romeo.agree().unwrap();
    settle(&mut romeo, &mut juliet);
    juliet.cancel(Reason::Mismatch).unwrap();
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.broken(), (Broken::There(Reason::Mismatch), true));
    assert_eq!(juliet.broken(), (Broken::Here(Reason::Mismatch), true));
    assert!(!romeo.names().contains(&"done"));
    // Agreeing afterwards is too late.
    let before = juliet.names().len();
    let run = juliet.run();
    assert_eq!(juliet.agree(), Err(VerifyError::Stale(run)));
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.names().len(), before);
}

#[test]
fn what_was_said_before_the_verdict_comes_after_it_in_order() {
    let mut setup = Setup::stanzas();
    setup.juliet_knows = false;
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names(), ["ready"]);
    assert_eq!(juliet.names(), ["judge"]);
    romeo.send(&message("one"));
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    romeo.send(&message("two"));
    agree(&mut romeo, &mut juliet);
    romeo.send(&message("three"));
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.stanzas(), []);
    // Steps from the responder are no confirmation.
    assert_eq!(romeo.names(), ["ready", "due", "compare", "done"]);
    juliet.judge(Verdict::Accept).unwrap();
    settle(&mut romeo, &mut juliet);
    assert_eq!(bodies(&juliet.stanzas()), ["one", "two", "three"]);
    assert_eq!(romeo.names().last(), Some(&"established"));
}

/// A space from the responder would say that it has accepted us.
#[test]
fn what_is_padded_is_not_padded_before_the_verdict() {
    let setup = Setup::stanzas()
        .strangers()
        .with(Config::default().padding(256));
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    settle(&mut romeo, &mut juliet);
    romeo.judge(Verdict::Accept).unwrap();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    settle(&mut romeo, &mut juliet);
    agree(&mut romeo, &mut juliet);
    assert!(romeo.established().is_none(), "juliet has given no verdict");
    juliet.judge(Verdict::Accept).unwrap();
    settle(&mut romeo, &mut juliet);
    assert!(romeo.established().is_some());
}

#[test]
fn any_cutting_of_the_wire_gives_the_same() {
    for cut in [1, 2, 3, 7, 64] {
        let (mut romeo, mut juliet) = strangers();
        romeo.verify(Compare::Words).unwrap();
        juliet.verify(Compare::Words).unwrap();
        settle_cut(&mut romeo, &mut juliet, cut);
        for end in [&mut romeo, &mut juliet] {
            end.go().unwrap();
        }
        settle_cut(&mut romeo, &mut juliet, cut);
        assert_eq!(romeo.words(), juliet.words());
        romeo.agree().unwrap();
        juliet.agree().unwrap();
        settle_cut(&mut romeo, &mut juliet, cut);
        for end in [&romeo, &juliet] {
            assert_eq!(end.names(), ["judge", "due", "compare", "done"], "{cut}");
        }
    }
}

#[test]
fn nothing_is_said_before_the_attempt_is_counted() {
    let setup = Setup::stanzas();
    let (mut juliet, mut stranger) = setup.juliet_and_stranger();
    let mut say = |step: &Step, juliet: &mut Ours| {
        let mut xml = Vec::new();
        step.to_stanza().write(&mut xml);
        stranger.say(xml, juliet);
        std::mem::take(&mut stranger.plain)
    };
    say(&Step::Ready(OnWire::Code), &mut juliet);
    juliet.verify(code("correct horse")).unwrap();
    let heard = say(&Step::Pake([7; 33]), &mut juliet);
    let heard = String::from_utf8(heard.to_vec()).unwrap();
    assert!(
        heard.contains("<ready") && !heard.contains("<pake"),
        "{heard}"
    );
    assert!(matches!(juliet.told(), Verify::Due { tag: Some(_), .. }));
    // The owner has counted three already.
    juliet.cancel(Reason::Locked).unwrap();
    juliet.collect();
    assert_eq!(juliet.broken(), (Broken::Here(Reason::Locked), false));
    let heard = say(&Step::Pake([7; 33]), &mut juliet);
    let heard = String::from_utf8(heard.to_vec()).unwrap();
    assert!(
        heard.contains("reason='locked'") && !heard.contains("<pake"),
        "{heard}"
    );
}

#[test]
fn an_end_that_is_quicker_is_waited_for() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    for (compare, last) in [(Compare::Words, "compare"), (code("correct horse"), "done")] {
        romeo.verify(compare.clone()).unwrap();
        juliet.verify(compare).unwrap();
        settle(&mut romeo, &mut juliet);
        romeo.go().unwrap();
        settle(&mut romeo, &mut juliet);
        juliet.go().unwrap();
        settle(&mut romeo, &mut juliet);
        assert_eq!(romeo.names().last(), Some(&last));
        assert_eq!(juliet.names().last(), Some(&last));
        // Words are still to be compared; a code is done.
        assert_eq!(romeo.cancel(Reason::Failed).is_ok(), last == "compare");
        settle(&mut romeo, &mut juliet);
    }
}

#[test]
fn different_methods_are_told_to_both() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    romeo.verify(Compare::Words).unwrap();
    juliet.verify(code("correct horse")).unwrap();
    settle(&mut romeo, &mut juliet);
    for end in [&romeo, &juliet] {
        let (why, counted) = end.broken();
        let method = matches!(
            why,
            Broken::Here(Reason::Method) | Broken::There(Reason::Method)
        );
        assert!(method, "{why}");
        assert!(!counted);
    }
    // Who is asked first can only say yes to what was asked.
    romeo.verify(Compare::Words).unwrap();
    settle(&mut romeo, &mut juliet);
    let refused = juliet.verify(code("correct horse"));
    assert_eq!(refused, Err(VerifyError::Method(Method::Words)));
    juliet.verify(Compare::Words).unwrap();
}

#[test]
fn one_at_a_time_and_only_in_a_session_with_stanzas() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    romeo.verify(Compare::Words).unwrap();
    assert_eq!(romeo.verify(Compare::Words), Err(VerifyError::Busy));
    settle(&mut romeo, &mut juliet);
    juliet.verify(Compare::Words).unwrap();
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.verify(Compare::Words), Err(VerifyError::Busy));

    let (mut romeo, _) = Setup::bytes().connected();
    assert_eq!(romeo.verify(Compare::Words), Err(VerifyError::Mode));
    let mut romeo = Setup::stanzas().romeo();
    assert_eq!(romeo.verify(Compare::Words), Err(VerifyError::NotOpen));
}

#[test]
fn it_takes_no_longer_than_its_limit_and_the_verdict_waits_meanwhile() {
    let limit = Duration::from_secs(180);
    let (mut romeo, mut juliet) = strangers();
    let start = romeo.now;
    // The limit of the verdict is nearly over when it begins.
    romeo.now += Duration::from_secs(299);
    romeo.verify(Compare::Words).unwrap();
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.expire(), "verification");
    assert_eq!(romeo.now, start + Duration::from_secs(299) + limit);
    assert_eq!(romeo.broken(), (Broken::Timeout, false));
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.broken(), (Broken::There(Reason::Timeout), false));
    // There is time for a verdict all the same, and then no more.
    assert!(romeo.is_open());
    assert_eq!(romeo.expire(), "verdict");
    assert!(!romeo.is_open());
    assert_eq!(Config::default(), Config::default().verifying(limit));
}

#[test]
fn a_run_that_is_cut_has_failed_and_counts() {
    let (mut romeo, mut juliet) = strangers();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    romeo.cut();
    assert_eq!(romeo.broken(), (Broken::Ended, true));
    assert_eq!(romeo.names().last(), Some(&"closed"));
    juliet.judge(Verdict::Refuse).unwrap();
    juliet.collect();
    assert_eq!(juliet.broken(), (Broken::Ended, true));

    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.broken(), (Broken::Ended, true));
    assert_eq!(juliet.broken(), (Broken::There(Reason::Failed), true));
}

#[test]
fn a_peer_that_asks_without_end_is_heard_eight_times() {
    let setup = Setup::stanzas();
    let (mut juliet, mut stranger) = setup.juliet_and_stranger();
    let both = [Step::Ready(OnWire::Words), Step::Cancel(Reason::Declined)];
    let mut xml = Vec::new();
    for step in both {
        step.to_stanza().write(&mut xml);
    }
    for _ in 0..20 {
        stranger.say(&xml, &mut juliet);
    }
    let asked = juliet
        .names()
        .iter()
        .filter(|name| **name == "asked")
        .count();
    assert_eq!(asked, 8);
    assert_eq!(stranger.heard().matches("reason='locked'").count(), 12);
    assert!(juliet.is_open());
}

#[test]
fn steps_out_of_order_or_unreadable_end_the_verification_and_not_the_session() {
    let ns = xtls_stanza::verify::NS;
    for wrong in [
        format!("<message><confirm xmlns='{ns}'>AAAA</confirm></message>"),
        format!("<message><commit xmlns='{ns}'/></message>"),
        format!("<message><song xmlns='{ns}'/></message>"),
        format!("<message><ready xmlns='{ns}' method='words'/></message>"),
        format!(
            "<message><nonce xmlns='{ns}'>{}=</nonce></message>",
            "A".repeat(43)
        ),
        format!("<iq type='set' id='1'><ready xmlns='{ns}' method='words'/></iq>"),
    ] {
        let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
        stranger.say(
            format!("<message><ready xmlns='{ns}' method='words'/></message>"),
            &mut juliet,
        );
        juliet.verify(Compare::Words).unwrap();
        juliet.go().unwrap();
        stranger.say(&wrong, &mut juliet);
        let (why, counted) = juliet.broken();
        assert!(counted && !why.is_mismatch(), "{wrong}: {why}");
        assert!(juliet.is_open(), "{wrong}");
        assert_eq!(juliet.stanzas(), [], "{wrong}");
        assert!(
            stranger.heard().contains("<cancel"),
            "{wrong}: {}",
            stranger.heard()
        );
    }
}

#[test]
fn a_step_with_a_false_address_ends_the_session_also_before_the_verdict() {
    let ns = xtls_stanza::verify::NS;
    let forged = format!(
        "<message from='mercutio@montague.example'><ready xmlns='{ns}' method='words'/></message>"
    );
    let setup = Setup::stanzas().strangers();
    for (mut juliet, mut stranger) in [
        Setup::stanzas().juliet_and_stranger(),
        (setup.juliet(), setup.stranger(Role::Client)),
    ] {
        settle(&mut juliet, &mut stranger);
        stranger.say(&forged, &mut juliet);
        assert!(matches!(juliet.closed().why, xtls_session::Why::Routing(_)));
        assert!(!juliet.names().contains(&"asked"));
    }
}

#[test]
fn debug_shows_no_words_and_no_code() {
    let (mut romeo, mut juliet) = strangers();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    let told = format!("{:?}", romeo.told());
    assert!(told.ends_with("words: ShortWords(..) }"), "{told}");
    let shown = format!("{:?} {:?}", code("correct horse"), romeo.session);
    assert!(!shown.contains("horse"), "{shown}");
    // A deadline may hold the same digits.
    let mut untimed = shown.split("Instant {");
    let first = untimed.next().unwrap().to_owned();
    let untimed = untimed.fold(first, |all, piece| all + piece.split_once('}').unwrap().1);
    assert!(!untimed.contains("tv_sec"), "{untimed}");
    assert!(
        !untimed.contains(&romeo.words()[0].to_string()),
        "{untimed}"
    );
}
