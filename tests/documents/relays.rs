//! The table of what relays do, row by row, against a router.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use xtls_client::router::PipeId;
use xtls_ibb::Payload;
use xtls_path::Stay;
use xtls_reach::{Reach, may_dial};
use xtls_s5b::{Dial, DialEvent};
use xtls_stanza::path::{Because, Candidate, CandidateKind, Cid, Signal, Takes};
use xtls_stanza::s5b::{Host, Query, Sid};
use xtls_stanza::{Condition, Content, Envelope, ErrorType, StanzaError};
use xtls_tests::keys::{self, JULIET, ROMEO};

use crate::markdown::{quoted, table};
use crate::meeting::{Meeting, hints, relay_of_juliet};

const PROTOCOL: &str = "docs/PROTOCOL.md";

fn error(to: &Envelope, condition: Condition) -> Envelope {
    to.error(StanzaError::new(ErrorType::Cancel, condition))
}

/// Says where it is, and activates nothing.
fn relay(activation: Option<Condition>) -> impl FnMut(&Envelope) -> Envelope {
    move |asked| match (&asked.content, activation) {
        (Content::Get(_), _) => {
            let hosts = Query::Hosts(vec![relay_of_juliet()]);
            asked.result(Some(Payload::Other(hosts.to_element())))
        }
        (_, Some(condition)) => error(asked, condition),
        (_, None) => panic!("{asked:?}"),
    }
}

/// The one relay that Juliet hints in this attempt, which Romeo begins or answers.
fn hinted(meeting: &mut Meeting, attempt: u64) -> Vec<Cid> {
    meeting.signal(&hints(attempt, Vec::new()));
    let mut cids = Vec::new();
    for signal in meeting.heard() {
        if let Signal::Hints(hints) = signal
            && hints.attempt == attempt
        {
            cids.extend(hints.candidates.iter().map(|candidate| candidate.cid));
        }
    }
    cids
}

/// Romeo has joined the relay of this attempt, and so has Juliet: she asks it for activation.
fn joined(meeting: &mut Meeting, attempt: u64, cid: Cid) {
    meeting.signal(&Signal::Joined { attempt, cid });
    let pipe = meeting.dialled();
    meeting.duel.juliet.connected(meeting.duel.now, pipe);
    meeting.duel.run();
}

/// The reason that Juliet gives for a candidate that is out.
fn failed(meeting: &mut Meeting, cid: Cid) -> Because {
    let signals = meeting.heard();
    let because = signals.iter().find_map(|signal| match signal {
        Signal::Failed {
            cid: of, because, ..
        } if *of == cid => Some(*because),
        _ => None,
    });
    because.unwrap_or_else(|| panic!("{signals:?}"))
}

fn because(cell: &str) -> Because {
    let cell = quoted(cell).find_map(|words| {
        let name = words.strip_prefix("<failed because='")?;
        name.strip_suffix("'/>")
    });
    let name = cell.expect("what is signalled");
    let all = [Because::Activation, Because::Address, Because::Socks];
    let found = all.into_iter().find(|because| because.name() == name);
    found.expect("a reason that a row is about")
}

/// Juliet may meet Romeo at a relay that he has hinted: the socket, and the relay's name.
fn target() -> (Meeting, PipeId, Cid) {
    let mut meeting = Meeting::new(Takes::Proxy);
    meeting.serve(&mut |asked| error(asked, Condition::ItemNotFound));
    let cid = Cid::new("r1").expect("a name");
    let kind = CandidateKind::Relay {
        jid: keys::address("proxy.montague.example"),
        host: Host::new("192.0.2.9").expect("a host"),
        port: NonZeroU16::new(5_000).expect("a port"),
        sid: Sid::new("k3v9x2c7q1m4").expect("a sid"),
    };
    let priority = kind.priority();
    let candidate = Candidate {
        cid,
        kind,
        priority,
    };
    meeting.signal(&hints(1, vec![candidate]));
    let pipe = meeting.dialled();
    (meeting, pipe, cid)
}

/// How a socket to a relay fails, and what both people are told.
fn fails(why: Because) -> Because {
    let (mut meeting, pipe, cid) = target();
    meeting
        .duel
        .juliet
        .connect_failed(meeting.duel.now, pipe, why);
    meeting.duel.run();
    let told = failed(&mut meeting, cid);
    meeting.signal(&Signal::Over { attempt: 1 });
    meeting.duel.run();
    assert_eq!(meeting.stayed(), [Stay::Failed(why)], "the owner is told");
    told
}

/// Holds a row of the table of relays, by its first cell, to its second one.
type Consequence = fn(&str, &str);

/// The rows of that table.
const RELAYS: [(&str, Consequence); 4] = [
    (
        "`forbidden`, `not-allowed` or `item-not-found` when a relay is asked for its address",
        |what, follows| {
            assert_eq!(follows, "it is not used on this connection");
            let conditions: Vec<_> = quoted(what).filter_map(Condition::from_name).collect();
            assert_eq!(conditions.len(), 3);
            for condition in conditions {
                let mut meeting = Meeting::new(Takes::Own);
                let mut asked = 0;
                for attempt in 1..4 {
                    let mut relay = |question: &Envelope| {
                        asked += 1;
                        error(question, condition)
                    };
                    meeting.serve(&mut relay);
                    assert_eq!(hinted(&mut meeting, attempt), []);
                }
                assert_eq!(asked, 1, "{condition:?}");
            }
        },
    ),
    (
        "an error to the activation, or no answer in 10 s",
        |_, follows| {
            let (reason, limited) = follows.split_once("; ").expect("two sentences");
            let after = "after `resource-constraint` it is not asked again for 10 min";
            assert_eq!(limited, after);
            for condition in [
                Some(Condition::NotAllowed),
                Some(Condition::ItemNotFound),
                Some(Condition::ResourceConstraint),
                None,
            ] {
                let mut meeting = Meeting::new(Takes::Own);
                let mut relay = relay(condition);
                meeting.serve(&mut relay);
                let [cid] = hinted(&mut meeting, 1)[..] else {
                    panic!("{condition:?}: no relay")
                };
                joined(&mut meeting, 1, cid);
                match condition {
                    Some(_) => meeting.serve(&mut relay),
                    None => {
                        meeting.duel.wait(Duration::from_millis(9_999));
                        assert_eq!(meeting.heard(), [], "10 s have not passed");
                        meeting.duel.wait(Duration::from_millis(1));
                    }
                }
                assert_eq!(failed(&mut meeting, cid), because(reason));
                meeting.signal(&Signal::Over { attempt: 1 });
                meeting.duel.wait(Duration::from_secs(30));
                let again = hinted(&mut meeting, 2).len();
                let limited = condition == Some(Condition::ResourceConstraint);
                assert_eq!(again, usize::from(!limited), "{condition:?}");
                meeting.signal(&Signal::Over { attempt: 2 });
                for _ in 0..10 {
                    // Not silence.
                    meeting.duel.say("<presence xmlns='jabber:client'/>");
                    meeting.duel.wait(Duration::from_secs(60));
                }
                assert_eq!(hinted(&mut meeting, 3).len(), 1, "{condition:?}");
            }
        },
    ),
    (
        "not SOCKS5, no method without a password, a refusal, an answer of more than 262 bytes",
        |what, follows| {
            let answers: [&[&[u8]]; 4] = [
                &[b"HTTP/1.1 400 Bad Request\r\n"],
                &[&[5, 255]],
                &[&[5, 0], &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]],
                // The longest that SOCKS5 can say is a name of 255 octets; no type of address says more.
                &[&[5, 0], &[5, 0, 0, 9]],
            ];
            assert_eq!(what.split(", ").count(), answers.len());
            for answer in answers {
                let now = Instant::now();
                let sid = Sid::new("k3v9x2c7q1m4").expect("a sid");
                let ends = (keys::address(ROMEO), keys::address(JULIET));
                let destination = xtls_s5b::Destination::new(&sid, &ends.0, &ends.1);
                let mut dial = Dial::new(now, destination);
                for bytes in answer {
                    while dial.poll_transmit().is_some() {}
                    dial.handle_bytes(now, bytes);
                }
                let event = dial.poll_event();
                assert!(
                    matches!(event, Some(DialEvent::Failed(_))),
                    "{answer:?}: {event:?}"
                );
            }
            assert_eq!(fails(Because::Socks), because(follows));
        },
    ),
    (
        "an address that is not dialled (see [THREATS.md](THREATS.md#who-learns-an-address))",
        |_, follows| {
            for address in ["127.0.0.1", "::1", "10.0.0.1", "169.254.1.1", "0.0.0.0"] {
                let address = address.parse().expect("an address");
                assert!(!may_dial(address, &[]), "{:?}", Reach::of(address));
            }
            assert!(follows.ends_with(", and the owner is told"));
            assert_eq!(fails(Because::Address), because(follows));
        },
    ),
];

#[test]
fn what_relays_do_has_the_consequences_in_the_table() {
    let rows = table(PROTOCOL, &["what happens", "what follows"]);
    let told: BTreeSet<_> = rows.iter().map(|row| row[0].as_str()).collect();
    let tested: BTreeSet<_> = RELAYS.iter().map(|(row, _)| *row).collect();
    assert_eq!(told, tested, "the rows of the table, and those of the test");
    assert_eq!(rows.len(), RELAYS.len());
    for row in &rows {
        let case = RELAYS.iter().find(|(name, _)| *name == row[0]);
        case.expect("compared above").1(&row[0], &row[1]);
    }
}
