//! Everything that two programs say, log and connect to, under each `--path` at both ends: no address beyond what both allow.

use std::net::Ipv4Addr;

use futures::{StreamExt as _, stream};
use xtls_tests::live::canary::{Canary, Log};
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Ended, Running, end_both};
use xtls_tests::live::server::Server;
use xtls_tests::live::way::Way;

const POLICIES: [&str; 5] = ["in-band", "own", "proxy", "direct", "any"];

/// Two people who meet once.
#[derive(Debug, Clone, Copy)]
struct Meeting {
    /// Of no other one in the test.
    number: u8,
    /// What the caller allows, and the listener.
    policies: [&'static str; 2],
    /// Both know each other's key.
    known: bool,
    /// Both connect to addresses of this machine if the other one names them.
    private: bool,
}

impl Meeting {
    /// Whether both let the other one connect to them.
    fn tells(&self) -> bool {
        let direct = |policy: &str| matches!(policy, "direct" | "any");
        self.known && self.policies.iter().all(|policy| direct(policy))
    }

    fn dials(&self) -> bool {
        self.tells() && self.private
    }

    fn in_band(&self) -> bool {
        self.policies.contains(&"in-band")
    }

    /// Where their tunnel goes.
    fn path(&self) -> Option<&'static str> {
        match self.in_band() {
            true => None,
            false if self.dials() => Some("direct"),
            false => Some("relay"),
        }
    }

    /// Where an end listens, and nobody is told of that.
    fn own(&self, end: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 100 + self.number, 1 + end, 1)
    }

    /// Where it says that it can be reached.
    fn told(&self, end: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 100 + self.number, 1 + end, 2)
    }
}

/// What was recorded of a meeting.
struct Record {
    meeting: Meeting,
    ends: [Ended; 2],
    /// Connections to the address of each end.
    taken: [usize; 2],
}

async fn meet(server: &Server, meeting: Meeting) -> Record {
    let (romeo, juliet) = match meeting.known {
        true => Person::pair(server),
        false => Person::strangers(server),
    };
    let ways = [
        Way::before(meeting.told(0), meeting.own(0)).await,
        Way::before(meeting.told(1), meeting.own(1)).await,
    ];
    let options = |end: u8| {
        let way = &ways[usize::from(end)];
        let listen = format!("{}:{}", meeting.own(end), way.port());
        let mut options = vec![
            "--path".to_owned(),
            meeting.policies[usize::from(end)].to_owned(),
            "--path-listen".to_owned(),
            listen,
            "--path-advertise".to_owned(),
            way.address().to_string(),
            "--trust".to_owned(),
            "tofu".to_owned(),
        ];
        options.extend(meeting.private.then(|| "--path-private".to_owned()));
        options
    };
    let resource = format!("recorder-{}", meeting.number);
    let accept = romeo.address().to_string();
    let mut listener = juliet
        .online(&["pipe", "--listen", "--once", "--resource", &resource])
        .args(["--accept", &accept])
        .args(options(1))
        .logging()
        .start();
    listener.event("listening").await;
    let to = juliet.at(&resource).to_string();
    let caller = romeo.online(&["pipe", &to]).args(options(0)).logging();
    let mut caller = caller.start();
    caller.say("one\n").await;
    assert_eq!(listener.text().await, "one");
    for end in [&mut caller, &mut listener] {
        goes(end, meeting).await;
    }
    listener.say("two\n").await;
    assert_eq!(caller.text().await, "two");
    let ends = end_both(caller, listener).await;
    for end in &ends {
        end.expect(0);
    }
    let taken = [ways[0].taken(), ways[1].taken()];
    Record {
        meeting,
        ends,
        taken,
    }
}

/// Waits until the tunnel has gone where both may have it.
async fn goes(end: &mut Running, meeting: Meeting) {
    if let Some(path) = meeting.path() {
        let went = end.event("path").await;
        assert_eq!(went["path"], path, "{meeting:?}");
    }
}

/// Has them meet, some at a time.
async fn record(server: &Server, meetings: Vec<Meeting>) -> Vec<Record> {
    let all = meetings.into_iter().map(|meeting| meet(server, meeting));
    stream::iter(all).buffer_unordered(5).collect().await
}

impl Record {
    /// Nobody has connected or logged beyond what both allow.
    fn assert_within_the_policy(&self) {
        let meeting = self.meeting;
        for end in 0..2_u8 {
            let taken = self.taken[usize::from(end)];
            assert!(
                meeting.dials() || taken == 0,
                "{meeting:?}: {taken} at {end}"
            );
        }
        if meeting.tells() && !meeting.private {
            // The recorder sees what there is to be seen.
            let lines = self.ends.iter().flat_map(|ended| &ended.log);
            let told = [0, 1].map(|end| meeting.told(end).to_string());
            let mut named = lines.filter(|line| told.iter().any(|told| line.contains(told)));
            assert!(named.next().is_some(), "nobody is told where not to go");
        }
        let taken: usize = self.taken.iter().sum();
        assert!(
            !meeting.dials() || taken > 0,
            "{meeting:?}: nobody connects"
        );
        for (end, ended) in (0..2_u8).zip(&self.ends) {
            let events = ended.heard.iter().map(|line| (line, false));
            let logged = ended.log.iter().map(|line| (line, is_for_developers(line)));
            for (line, debug) in events.chain(logged) {
                for of in 0..2 {
                    for address in [meeting.own(of), meeting.told(of)] {
                        let known = of == end || (meeting.tells() && address == meeting.told(of));
                        let may = debug && known;
                        let found = line.contains(&address.to_string());
                        assert!(may || !found, "{meeting:?}: {end} says {line:?}");
                    }
                }
            }
            let logs = ended.log.iter().any(|line| line.contains("TRACE"));
            assert!(logs, "it logs everything: {:?}", ended.log);
            for line in &ended.output {
                assert!(matches!(&line[..], b"one" | b"two"));
            }
        }
    }

    /// The server has seen none of their addresses.
    fn assert_unseen(&self, seen: &[u8]) {
        for end in 0..2_u8 {
            for address in [self.meeting.own(end), self.meeting.told(end)] {
                let found = Canary::of(&address.to_string()).found_in(seen);
                assert!(found.is_empty(), "{:?}: {address} {found:?}", self.meeting);
            }
        }
    }
}

/// Whether a line of the log is of the level `debug` or below.
fn is_for_developers(line: &str) -> bool {
    let level = |name| line.split_whitespace().any(|word| word.contains(name));
    level("DEBUG") || level("TRACE")
}

#[tokio::test]
async fn no_address_leaves_the_program_beyond_the_policy() {
    let server = Server::free();
    let pairs = POLICIES.into_iter().flat_map(|caller| {
        let listeners = POLICIES.into_iter();
        listeners.map(move |listener| [caller, listener])
    });
    let mut meetings: Vec<_> = (0..)
        .zip(pairs)
        .map(|(number, policies)| Meeting {
            number,
            policies,
            known: true,
            private: true,
        })
        .collect();
    let any = |number, known, private| Meeting {
        number,
        policies: ["any"; 2],
        known,
        private,
    };
    // Whoever is in the middle of a first contact must not get an address by it; and nobody sends us to this machine.
    meetings.extend([any(25, false, true), any(26, true, false)]);
    let (in_band, others): (Vec<_>, Vec<_>) = meetings.into_iter().partition(Meeting::in_band);
    let begin = Log::begin(&server);
    let mut records = record(&server, in_band).await;
    // The relay's own words for whoever connects to it.
    let socks = |log: &[u8]| !Canary::of("SOCKS5 greeting").found_in(log).is_empty();
    assert!(!socks(&begin.read()), "nobody has connected to a relay");
    records.extend(record(&server, others).await);
    let seen = begin.read();
    assert!(socks(&seen), "the relay says who connects");
    assert!(
        !Canary::of("urn:xmpp:tmp:xtls#path")
            .found_in(&seen)
            .is_empty()
    );
    assert_eq!(records.len(), POLICIES.len() * POLICIES.len() + 2);
    for record in records {
        record.assert_within_the_policy();
        record.assert_unseen(&seen);
    }
}
