//! The same stanzas, in order, however the wire is cut, and however little is held.

use proptest::prelude::*;
use xtls_session::{Config, Event, SendError, Session, Why};
use xtls_stanza::Stanza;

use super::support::{Ours, Setup, long, message, settle, settle_cut};

/// An owner that does as it is told: no wire that is not wanted, and one step at a time.
struct Owner {
    end: Ours,
    to_send: Vec<Stanza>,
    heard: Vec<Stanza>,
    /// What the transport holds for it.
    inbox: Vec<u8>,
    /// The most plaintext and ciphertext that it was ever asked to take after it had enough.
    pushed: usize,
}

impl Owner {
    fn new(end: Ours, to_send: Vec<Stanza>) -> Self {
        let (heard, inbox) = (Vec::new(), Vec::new());
        Self {
            end,
            to_send,
            heard,
            inbox,
            pushed: 0,
        }
    }

    /// Does what can be done; whether anything was.
    fn step(&mut self, cut: usize, to: &mut Vec<u8>, pipe: usize) -> bool {
        let session: &mut Session = &mut self.end.session;
        let mut moved = false;
        let wanted = session.wants_wire();
        if wanted && !self.inbox.is_empty() {
            let length = self.inbox.len().min(cut);
            let piece: Vec<_> = self.inbox.drain(..length).collect();
            session.handle_wire(self.end.now, &piece);
            self.pushed = self.pushed.max(piece.len());
            moved = true;
        }
        if let Some(stanza) = self.to_send.first() {
            match session.send(stanza) {
                Ok(()) => {
                    self.to_send.remove(0);
                    moved = true;
                }
                Err(error) => assert!(matches!(error, SendError::Full | SendError::NotOpen)),
            }
        } else {
            session.finish(self.end.now);
        }
        if let Some(wire) = session.poll_wire(pipe.saturating_sub(to.len()).min(cut)) {
            to.extend_from_slice(&wire);
            moved = true;
        }
        if let Some(event) = session.poll_event() {
            if let Event::Stanza(stanza) = &event {
                self.heard.push(stanza.clone());
            }
            if event == Event::PeerFinished {
                session.took(self.end.now);
            }
            self.end.events.push(event);
            moved = true;
        }
        // Asked for an event that it has not all of yet, a session wants wire beyond the backlog.
        moved || (!wanted && session.wants_wire() && !self.inbox.is_empty())
    }
}

/// Everything is sent both ways through a narrow pipe, by owners that respect every limit.
fn converse(setup: &Setup, there: Vec<Stanza>, back: Vec<Stanza>, cut: usize, pipe: usize) {
    let (sent_there, sent_back) = (there.clone(), back.clone());
    let mut romeo = Owner::new(setup.romeo(), there);
    let mut juliet = Owner::new(setup.juliet(), back);
    // The handshake first: what waits to be sent is sent only once it may be, and `finish` must not come before.
    settle(&mut romeo.end, &mut juliet.end);
    loop {
        let mut moved = romeo.step(cut, &mut juliet.inbox, pipe);
        moved |= juliet.step(cut, &mut romeo.inbox, pipe);
        if !moved {
            break;
        }
    }
    let same = |heard: &[Stanza], sent: &[Stanza]| {
        assert_eq!(heard.len(), sent.len(), "stanzas got stuck");
        for (heard, sent) in heard.iter().zip(sent) {
            assert_eq!((&heard.id, &heard.children), (&sent.id, &sent.children));
        }
    };
    same(&juliet.heard, &sent_there);
    same(&romeo.heard, &sent_back);
    assert_eq!(romeo.end.closed().why, Why::Finished);
    assert_eq!(juliet.end.closed().why, Why::Finished);
}

fn numbered(lengths: &[usize]) -> Vec<Stanza> {
    let numbered = lengths.iter().enumerate();
    numbered
        .map(|(n, length)| long(*length).with_id(n.to_string()))
        .collect()
}

#[test]
fn a_stanza_larger_than_backlog_queue_and_pipe_gets_through() {
    let config = Config::default().backlog(100).queue(100);
    let setup = Setup::stanzas().with(config);
    let lengths = [250_000, 20, 250_000];
    converse(&setup, numbered(&lengths), numbered(&lengths), 997, 500);
}

#[test]
fn a_stanza_whose_beginning_fills_the_backlog_behind_another_gets_through() {
    let config = Config::default().backlog(1_400).queue(57_603);
    let setup = Setup::stanzas().with(config);
    let lengths = numbered(&[28_286, 50_331]);
    converse(&setup, Vec::new(), lengths, 100_000, 28_377);
}

#[test]
fn pieces_of_one_byte_get_through() {
    let config = Config::default().backlog(1).queue(1);
    let setup = Setup::stanzas().with(config);
    converse(&setup, numbered(&[13, 300, 20]), numbered(&[2_000]), 1, 1);
}

#[test]
fn no_more_is_held_for_a_slow_application_than_the_backlog_and_one_piece() {
    let config = Config::default().backlog(10_000);
    let setup = Setup::stanzas().with(config);
    let (mut juliet, mut stranger) = setup.juliet_and_stranger();
    let mut held = 0;
    for _ in 0..1_000 {
        if !juliet.session.wants_wire() {
            break;
        }
        let said = "<message><body>a line</body></message>";
        stranger.write(said);
        let wire = stranger.tls.poll_wire(usize::MAX).unwrap();
        // The application takes nothing.
        juliet.session.handle_wire(juliet.now, &wire);
        held += said.len();
    }
    assert!((10_000..10_100).contains(&held), "{held}");
    // Taking what is whole makes room, and what is not whole is asked for.
    juliet.collect();
    assert!(juliet.session.wants_wire());
}

#[test]
fn many_stanzas_in_one_piece_and_one_stanza_in_many() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    for n in 0..50 {
        romeo.send(&message(&n.to_string()));
    }
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.stanzas().len(), 50);
    romeo.send(&long(5_000));
    settle_cut(&mut romeo, &mut juliet, 3);
    assert_eq!(juliet.stanzas().len(), 51);
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    // Log-uniform from 13 bytes to 100 kB.
    let length = (4_u32..17).prop_flat_map(|bits| (1_usize << (bits - 1))..(1 << bits));
    prop::collection::vec(length.prop_map(|length| length.max(13)), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_stanzas_in_the_same_order(
        there in lengths(),
        back in lengths(),
        cut in prop_oneof![Just(1_usize), 2..50_usize, 50..5_000_usize, Just(100_000)],
        pipe in 1..70_000_usize,
        queue in 1..70_000_usize,
        backlog in 1..70_000_usize,
    ) {
        // A byte at a time over a whole conversation is long enough with short stanzas.
        let cap = if cut < 50 { 3_000 } else { usize::MAX };
        let capped = |lengths: Vec<usize>| lengths.into_iter().map(|l| l.min(cap)).collect::<Vec<_>>();
        let setup = Setup::stanzas().with(Config::default().queue(queue).backlog(backlog));
        converse(&setup, numbered(&capped(there)), numbered(&capped(back)), cut, pipe);
    }

    #[test]
    fn the_same_events_at_any_cutting_of_the_whole_wire(
        cut in 1..400_usize,
        strangers in any::<bool>(),
    ) {
        let setup = if strangers { Setup::stanzas().strangers() } else { Setup::stanzas() };
        let whole = events(&setup, usize::MAX);
        prop_assert_eq!(events(&setup, cut), whole);
    }
}

/// What both ends tell in a short life, the wire cut after every so many bytes.
fn events(setup: &Setup, cut: usize) -> [Vec<&'static str>; 2] {
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    settle_cut(&mut romeo, &mut juliet, cut);
    for end in [&mut romeo, &mut juliet] {
        // Whoever knows the other is not asked.
        let _ = end.judge(xtls_session::Verdict::Accept);
        end.collect();
    }
    settle_cut(&mut romeo, &mut juliet, cut);
    for n in 0..3 {
        romeo.send(&message(&n.to_string()));
        juliet.send(&message(&n.to_string()));
    }
    romeo.session.finish(romeo.now);
    settle_cut(&mut romeo, &mut juliet, cut);
    juliet.session.finish(juliet.now);
    settle_cut(&mut romeo, &mut juliet, cut);
    [romeo.names(), juliet.names()]
}
