//! What a person answers is an answer to one run of a verification, and to no other.

use xtls_session::{Compare, Verify, VerifyError};
use xtls_stanza::verify::{Method as OnWire, Reason, Step};
use zeroize::Zeroizing;

use crate::support::{Setup, settle};
use crate::verifying::{agree, begin};

/// Whoever holds the peer's proof back may begin another run in the meantime: the answer to the first is none to the second.
#[test]
fn an_answer_reaches_only_the_run_that_it_was_about() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    let first = juliet.run();
    romeo.cancel(Reason::Timeout).unwrap();
    settle(&mut romeo, &mut juliet);
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    let second = juliet.run();
    assert_ne!(first, second);
    let (told, now) = (juliet.names(), juliet.now);
    let stale = Err(VerifyError::Stale(first));
    assert_eq!(juliet.session.verify_agree(now, first), stale);
    let no = juliet.session.verify_cancel(now, first, Reason::Mismatch);
    assert_eq!(no, stale);
    assert_eq!(juliet.session.verify_go(now, first), stale);
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.names(), told);
    assert!(matches!(romeo.told(), Verify::Compare { run, .. } if run == romeo.run()));
    agree(&mut romeo, &mut juliet);
    for end in [&romeo, &juliet] {
        assert!(
            matches!(end.told(), Verify::Done { .. }),
            "{:?}",
            end.told()
        );
    }
}

#[test]
fn a_yes_reaches_only_the_wish_that_it_answers() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    let wish = romeo.verify(Compare::Words).unwrap();
    settle(&mut romeo, &mut juliet);
    let first = juliet.run();
    romeo
        .session
        .verify_cancel(romeo.now, wish, Reason::Declined)
        .unwrap();
    settle(&mut romeo, &mut juliet);
    romeo.verify(Compare::Words).unwrap();
    settle(&mut romeo, &mut juliet);
    let second = juliet.run();
    assert!(matches!(juliet.told(), Verify::Asked { run, .. } if run == second));
    let seed = || Zeroizing::new([2; 32]);
    let joined = juliet
        .session
        .verify_join(juliet.now, first, Compare::Words, seed());
    assert_eq!(joined, Err(VerifyError::Stale(first)));
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.names().last(), Some(&"failed"), "nothing was said");
    juliet
        .session
        .verify_join(juliet.now, second, Compare::Words, seed())
        .unwrap();
    // Once is enough.
    let again = juliet
        .session
        .verify_join(juliet.now, second, Compare::Words, seed());
    assert_eq!(again, Err(VerifyError::NotDue(second)));
    settle(&mut romeo, &mut juliet);
    assert!(matches!(romeo.told(), Verify::Due { .. }));
}

#[test]
fn a_run_is_not_agreed_to_before_there_are_words_nor_twice() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    let run = romeo.verify(Compare::Words).unwrap();
    let early = romeo.session.verify_agree(romeo.now, run);
    assert_eq!(early, Err(VerifyError::NotDue(run)));
    let early = romeo.session.verify_go(romeo.now, run);
    assert_eq!(early, Err(VerifyError::NotDue(run)));
    juliet.verify(Compare::Words).unwrap();
    settle(&mut romeo, &mut juliet);
    romeo.go().unwrap();
    juliet.go().unwrap();
    assert_eq!(romeo.agree(), Err(VerifyError::NotDue(run)));
    settle(&mut romeo, &mut juliet);
    romeo.agree().unwrap();
    assert_eq!(romeo.agree(), Err(VerifyError::NotDue(run)));
}

/// In an open session the cut is found when the owner asks for what came before it.
#[test]
fn a_run_that_a_cut_breaks_off_is_told_in_an_open_session_too() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    begin(&mut romeo, &mut juliet, [Compare::Words, Compare::Words]);
    for end in [&mut romeo, &mut juliet] {
        end.cut();
        let names = end.names();
        assert!(names.ends_with(&["failed", "closed"]), "{names:?}");
    }
}

#[test]
fn sessions_with_different_numbers_have_no_run_in_common() {
    let (mut one, _) = Setup::stanzas().connected();
    let (mut other, _) = Setup::stanzas().connected();
    other.session = other.session.numbered(7);
    let (one, other) = (
        one.verify(Compare::Words).unwrap(),
        other.verify(Compare::Words).unwrap(),
    );
    assert_ne!(one, other);
    assert_eq!(
        (one.to_string(), other.to_string()),
        ("0.1".into(), "7.1".into())
    );
}

/// The peer ends its direction, by a renewal perhaps: the owner's question is over, and it hears so first.
#[test]
fn a_run_that_the_peers_end_breaks_off_is_told_before_that_end() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    let mut ready = Vec::new();
    Step::Ready(OnWire::Words).to_stanza().write(&mut ready);
    stranger.say(ready, &mut juliet);
    let run = juliet.verify(Compare::Words).unwrap();
    stranger.tls.close();
    settle(&mut stranger, &mut juliet);
    assert_eq!(juliet.names(), ["asked", "due", "failed", "peer finished"]);
    assert_eq!(juliet.go(), Err(VerifyError::Stale(run)));
}
