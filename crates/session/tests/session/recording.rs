//! What goes over the wire for a seed, byte for byte, with one stanza at a time; and which events and deadlines go with it.
//!
//! The digests were recorded once. A change that means to leave the wire alone leaves them alone.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use xtls_session::{Compare, Config, Event, Verdict, Verify};
use zeroize::Zeroizing;

use crate::support::{End as _, Ours, Setup, long, message, stanza};

/// Follows a conversation.
struct Recording {
    romeo: Ours,
    juliet: Ours,
    hash: Sha256,
}

impl Recording {
    fn of(setup: &Setup) -> Self {
        let (romeo, juliet) = (setup.romeo(), setup.juliet());
        let mut recording = Self {
            romeo,
            juliet,
            hash: Sha256::new(),
        };
        recording.carry();
        recording
    }

    /// Carries bytes until both ends are silent, and notes them.
    fn carry(&mut self) {
        loop {
            let (to_juliet, to_romeo) = (self.romeo.take(), self.juliet.take());
            if to_juliet.is_empty() && to_romeo.is_empty() {
                break;
            }
            for wire in [&to_juliet, &to_romeo] {
                self.hash.update(wire.len().to_be_bytes());
                self.hash.update(wire);
            }
            self.juliet.feed(&to_juliet);
            self.romeo.feed(&to_romeo);
        }
        for end in [&self.romeo, &self.juliet] {
            self.hash.update(format!("{:?}", end.names()));
            let deadline = end.session.poll_timeout();
            let left = deadline.map(|due| (due.at.saturating_duration_since(end.now), due.why));
            self.hash.update(format!("{left:?}"));
        }
    }

    /// Both ends are told of the time that passes.
    fn wait(&mut self, time: Duration) {
        for end in [&mut self.romeo, &mut self.juliet] {
            end.now += time;
            end.session.handle_timeout(end.now);
            end.collect();
        }
        self.carry();
    }

    fn digest(mut self) -> String {
        for end in [&mut self.romeo, &mut self.juliet] {
            let close = end.closed();
            let told = (close.by, close.why, close.clean, close.unconfirmed);
            self.hash.update(format!("{told:?} {:?}", close.receipt));
            let traffic = end.session.traffic();
            self.hash
                .update(format!("{} {}", traffic.written, traffic.read));
        }
        let mut hex = String::new();
        for byte in self.hash.finalize() {
            write!(hex, "{byte:02x}").unwrap();
        }
        hex
    }
}

const WELCOME: Duration = Duration::from_secs(3);

#[test]
fn stanzas_between_strangers() {
    let setup = Setup::stanzas().strangers();
    let mut recording = Recording::of(&setup.with(Config::default().padding(256)));
    recording.romeo.judge(Verdict::Accept).unwrap();
    recording.carry();
    recording.juliet.judge(Verdict::Accept).unwrap();
    recording.carry();
    for length in [20, 1000, 20_000] {
        recording.romeo.send(&long(length));
        recording.carry();
        recording.juliet.send(&long(length));
        recording.carry();
    }
    for xml in [
        "<iq type='get' id='v'><query xmlns='jabber:iq:version'/></iq>",
        "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'/></iq>",
        "<message><body>a &amp; b</body><private xmlns='urn:xmpp:carbons:2'/></message>",
        "<presence><show>away</show></presence>",
    ] {
        recording.romeo.send(&stanza(xml));
        recording.carry();
    }
    recording.juliet.send(&stanza(
        "<iq type='result' id='v'><query xmlns='jabber:iq:version'/></iq>",
    ));
    recording.carry();
    recording.wait(Duration::from_secs(301));
    recording.wait(Duration::from_secs(86_400));
    let now = recording.romeo.now;
    recording.romeo.session.refresh_keys(now);
    recording.romeo.send(&message("new keys"));
    recording.carry();
    recording.romeo.session.finish(now);
    recording.carry();
    recording.juliet.send(&message("a last word"));
    recording.juliet.session.close(recording.juliet.now);
    recording.carry();
    assert_eq!(
        recording.digest(),
        "2bc6a2bd3ea021a3f136e9850c8e51a944d0ffd9e01f5d317ddb6d1d9747e32c"
    );
}

#[test]
fn bytes() {
    let mut recording = Recording::of(&Setup::bytes());
    for length in [1, 1000, 16_384, 60_000] {
        let block = vec![7; length];
        assert_eq!(recording.romeo.session.write(&block), Ok(length));
        recording.carry();
        assert_eq!(recording.juliet.session.write(&block), Ok(length));
        recording.carry();
        for end in [&mut recording.romeo, &mut recording.juliet] {
            while end.session.read(5000).is_some() {}
            end.collect();
        }
    }
    // One end holds its peer back for a while, and shows that it lives.
    assert_eq!(recording.romeo.session.write(&[9; 60_000]), Ok(60_000));
    recording.carry();
    recording.wait(Duration::from_secs(241));
    recording.wait(Duration::from_secs(86_400));
    while recording.juliet.session.read(5000).is_some() {}
    let now = recording.romeo.now;
    recording
        .romeo
        .session
        .close_after(now, b"the end")
        .unwrap();
    recording.carry();
    while recording.juliet.session.read(5000).is_some() {}
    recording.juliet.session.finish(recording.juliet.now);
    recording.carry();
    assert_eq!(
        recording.digest(),
        "7f029ac3cc7093818b5a7fbdb631c3e7cda6200dcefb621f375022dd042a2c37"
    );
}

#[test]
fn a_verification_by_words_before_the_verdict() {
    let mut recording = Recording::of(&Setup::stanzas().strangers());
    let seed = |number| Zeroizing::new([number; 32]);
    let now = recording.romeo.now;
    let (romeo, juliet) = (1, 2);
    let session = &mut recording.romeo.session;
    let run = session.verify(now, Compare::Words, seed(romeo)).unwrap();
    recording.carry();
    recording.wait(WELCOME);
    let asked = recording
        .juliet
        .events
        .iter()
        .find_map(|event| match event {
            Event::Verify(Verify::Asked { run, .. }) => Some(*run),
            _ => None,
        });
    let (later, theirs) = (recording.juliet.now, asked.unwrap());
    let session = &mut recording.juliet.session;
    session
        .verify_join(later, theirs, Compare::Words, seed(juliet))
        .unwrap();
    recording.carry();
    let now = recording.romeo.now;
    recording.romeo.session.verify_go(now, run).unwrap();
    recording.carry();
    recording.juliet.session.verify_go(later, theirs).unwrap();
    recording.carry();
    recording.romeo.session.verify_agree(now, run).unwrap();
    recording.carry();
    recording
        .juliet
        .session
        .verify_agree(later, theirs)
        .unwrap();
    recording.carry();
    recording.romeo.judge(Verdict::Accept).unwrap();
    recording.carry();
    recording.wait(Duration::from_secs(100));
    recording.juliet.judge(Verdict::Accept).unwrap();
    recording.carry();
    recording.romeo.send(&message("words"));
    recording.carry();
    let later = recording.juliet.now;
    let session = &mut recording.juliet.session;
    session.verify(later, Compare::Words, seed(3)).unwrap();
    recording.carry();
    recording.wait(Duration::from_secs(180));
    recording.romeo.session.abort();
    recording.juliet.cut();
    recording.carry();
    assert_eq!(
        recording.digest(),
        "6daafb90024bade8923d7c3c37c255d0e28d6b76e70053069506ef5877d4197b"
    );
}
