//! Logging in by SASL2, and what is done within (XEP-0388, XEP-0386, XEP-0198 §9).

mod refusals;
mod safety;
mod trips;

use super::login::{decoded, encoded};
use super::*;
use crate::sasl::tests::support::signature;

const BOUND: &str = "juliet@example.org/xtls~1";
const SM_FEATURE: &str = "<feature var='urn:xmpp:sm:3'/>";
const NS2: &str = "urn:xmpp:sasl:2";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true' max='600'/>";
const FAILED: &str = "<failed xmlns='urn:xmpp:sm:3'/>";
const RESUMED: &str = "<resumed xmlns='urn:xmpp:sm:3' previd='first' h='0'/>";

/// The feature of these mechanisms, with this inside its `<inline/>`.
pub(super) fn sasl2(mechanisms: &str, inline: &str) -> String {
    let names = mechanisms.split_whitespace();
    let names = names.map(|name| format!("<mechanism>{name}</mechanism>"));
    let names: String = names.collect();
    format!("<authentication xmlns='{NS2}'>{names}<inline>{inline}</inline></authentication>")
}

/// A binding within the log-in, with these features.
fn bind2(more: &str) -> String {
    format!("<bind xmlns='urn:xmpp:bind:0'><inline>{more}</inline></bind>")
}

/// All that can be done within a log-in.
pub(super) fn all() -> String {
    format!("{}{SM}", bind2(SM_FEATURE))
}

pub(super) fn success(address: &str, inside: &str) -> String {
    format!(
        "<success xmlns='{NS2}'><authorization-identifier>{address}</authorization-identifier>{inside}</success>"
    )
}

pub(super) fn bound2(inside: &str) -> String {
    format!("<bound xmlns='urn:xmpp:bind:0'>{inside}</bound>")
}

/// What is asked for beside the mechanism's message and the name of the client.
fn asked(said: &str) -> &str {
    let (_, asked) = said.split_once("</user-agent>").expect(said);
    asked.strip_suffix("</authenticate>").expect(said)
}

/// A client whose next connection resumes a session that SASL 1 has begun.
fn away(server: Peer) -> Peer {
    server.open_with_sm().again()
}

impl Peer {
    /// With an exact resource.
    fn at_the_balcony(self) -> Self {
        let session = session().resource("balcony");
        Self::of(session, self.now, self.cutting)
    }

    /// Up to what is asked for within a log-in by PLAIN.
    fn ask(&mut self, inline: &str) -> String {
        self.greet(&format!("{}{PLAIN}", sasl2("PLAIN", inline)));
        self.said()
    }

    /// Stanzas pass, and nothing else has happened.
    #[track_caller]
    fn has_bound(&mut self, address: &str) -> Vec<String> {
        assert_eq!(self.error(), None);
        let Opened::Bound {
            address: ours,
            lost,
        } = self.opened()
        else {
            panic!()
        };
        assert_eq!(ours.as_str(), address);
        let lost = lost
            .iter()
            .map(|stanza| String::from_utf8(stanza.to_vec()).unwrap());
        lost.collect()
    }

    /// Logs in by SCRAM: what the server says within its success, and behind it.
    fn scram2(&mut self, address: &str, inside: &str, behind: &str) {
        let first = decoded(self.said().split_once("<initial-response").unwrap().1);
        let nonce = first.split_once(",r=").unwrap().1;
        let rounds = "s=c2FsdA==,i=4096";
        self.say(encoded(
            "challenge",
            NS2,
            &format!("r={nonce}more,{rounds}"),
        ));
        let last = decoded(&self.said());
        let proof = encoded("additional-data", NS2, &signature(&first, rounds, &last));
        self.say(format!(
            "{}{behind}",
            success(address, &format!("{proof}{inside}"))
        ));
    }
}

#[test]
fn a_log_in_binds_and_begins_a_session_in_every_cutting() {
    in_every_cutting(|mut server| {
        let said = server.ask(&all());
        assert!(
            said.starts_with(
                "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>"
            ),
            "{said}"
        );
        assert_eq!(
            asked(&said),
            format!("<bind xmlns='urn:xmpp:bind:0'><tag>xtls</tag>{ENABLE}</bind>")
        );
        server.say(success(BOUND, &bound2(ENABLED)));
        assert!(!server.stream.is_open(), "the features are due");
        server.say(features(BIND_AND_SM));
        assert!(server.has_bound(BOUND).is_empty());
        assert_eq!(server.said(), "", "there is nothing left to do");
        server.say("<message id='m'/>");
        assert_eq!(server.stanzas(), ["<message id='m'/>"]);
        server.send("<presence/>");
        assert_eq!(server.said(), format!("<presence/>{R}"));
        assert_eq!(server.stream.session().bound().unwrap().as_str(), BOUND);
    });
}

// processone/fluux-messenger #380
#[test]
fn inline_enabled_and_resumed_count_as_the_stand_alone_ones() {
    in_every_cutting(|server| {
        let alone = |server: &mut Peer| {
            server.log_in(BIND_AND_SM);
            server.bind(BOUND);
            server.say(ENABLED);
        };
        let inline = |server: &mut Peer| {
            server.ask(&all());
            server.say(format!(
                "{}{}",
                success(BOUND, &bound2(ENABLED)),
                features(BIND_AND_SM)
            ));
            server.has_bound(BOUND);
        };
        let alone_again = |server: &mut Peer, answer: &str| {
            server.log_in(BIND_AND_SM);
            let said = server.said();
            server.say(answer);
            said
        };
        let inline_again = |server: &mut Peer, answer: &str| {
            let said = server.ask(&all());
            server.say(success("juliet@example.org", answer));
            asked(&said).split_once("<bind ").unwrap().0.to_owned()
        };
        type Begin<'a> = &'a dyn Fn(&mut Peer);
        type Again<'a> = &'a dyn Fn(&mut Peer, &str) -> String;
        let ways: [(Begin<'_>, Again<'_>); 4] = [
            (&alone, &alone_again),
            (&inline, &inline_again),
            (&alone, &inline_again),
            (&inline, &alone_again),
        ];
        let transcripts = ways.map(|(begin, again)| {
            let mut server = Peer::new(server.cutting.clone());
            let mut transcript = Vec::new();
            begin(&mut server);
            server.said();
            // Two go each way, and one of each is acknowledged.
            server.say("<message id='a'/>");
            server.say(R);
            server.say("<iq id='b' type='result'/>");
            server.send("<message id='1'/>");
            server.send("<message id='2'/>");
            server.say(a(1));
            server.wait(s(1));
            transcript.push(server.said());
            assert_eq!(server.stanzas().len(), 2);
            let mut server = server.again();
            transcript.push(again(
                &mut server,
                "<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/>",
            ));
            assert_eq!(server.opened(), Opened::Resumed { acked: 0 });
            server.say("<message id='c'/>");
            server.send("<message id='3'/>");
            server.say(format!("{R}{}", a(3)));
            server.wait(s(1));
            transcript.push(server.said());
            assert_eq!(server.stanzas(), ["<message id='c'/>"]);
            assert_eq!(server.error(), None);
            let mut session = server.stream.into_session(server.now);
            assert!(session.take_unacknowledged().is_empty());
            transcript
        });
        assert!(transcripts[0][1].contains("h='2'"), "{transcripts:?}");
        assert!(
            transcripts[0][2].contains("<a xmlns='urn:xmpp:sm:3' h='3'/>"),
            "{transcripts:?}"
        );
        for transcript in &transcripts {
            assert_eq!(*transcript, transcripts[0]);
        }
    });
}

#[test]
fn a_session_goes_on_within_the_log_in_and_no_features_are_waited_for() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.send("<message id='1'/>");
        let mut server = server.again();
        let said = server.ask(&all());
        let (resume, bind) = asked(&said).split_once("<bind ").unwrap();
        assert_eq!(
            resume,
            "<resume xmlns='urn:xmpp:sm:3' previd='first' h='0'/>"
        );
        assert!(
            bind.ends_with(&format!("{ENABLE}</bind>")),
            "if the session is gone: {said}"
        );
        server.say(format!("{}<message id='a'/>", success(RESOURCE, RESUMED)));
        assert_eq!(server.opened(), Opened::Resumed { acked: 0 });
        assert_eq!(server.stanzas(), ["<message id='a'/>"]);
        assert_eq!(server.said(), format!("{R}<message id='1'/>"));
        // Some servers send features all the same.
        server.say(features(BIND_AND_SM));
        assert_eq!((server.error(), server.said()), (None, String::new()));
        assert_eq!(server.stream.session().bound().unwrap().as_str(), RESOURCE);
    });
}

#[test]
fn a_session_that_is_gone_is_followed_by_another_within_the_same_log_in() {
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        for stanza in ["<message id='1'/>", "<message id='2'/>"] {
            server.send(stanza);
        }
        let mut server = server.again();
        server.ask(&all());
        let failed = "<failed xmlns='urn:xmpp:sm:3' h='1'/>";
        let enabled = ENABLED.replace("first", "second");
        server.say(success(BOUND, &format!("{failed}{}", bound2(&enabled))));
        server.say(features(BIND_AND_SM));
        assert_eq!(
            server.has_bound(BOUND),
            ["<message id='2'/>"],
            "lost, and not sent again"
        );
        assert_eq!(server.said(), "");
        // The new one counts from the beginning.
        server.send("<message id='3'/>");
        server.say(a(1));
        let mut server = server.again();
        let said = server.ask(&all());
        assert!(
            asked(&said).starts_with("<resume xmlns='urn:xmpp:sm:3' previd='second' h='0'/>"),
            "{said}"
        );
    });
}

// processone/fluux-messenger #517
#[test]
fn what_is_not_done_within_the_log_in_is_done_behind_it() {
    // A session, where the binding can't begin one.
    in_every_cutting(|mut server| {
        let said = server.ask(&bind2(""));
        assert!(!said.contains("<enable"), "{said}");
        server.say(format!("{}{}", success(BOUND, &bound2("")), features(SM)));
        server.has_bound(BOUND);
        assert_eq!(server.said(), ENABLE);
        server.say(ENABLED);
        server.send("<message id='1'/>");
        assert_eq!(server.said(), format!("<message id='1'/>{R}"));
    });
    // A binding, where the server has not made one: in the same stream.
    for inside in ["", "<failed xmlns='urn:xmpp:bind:0'/>"] {
        in_every_cutting(|mut server| {
            server.ask(&all());
            server.say(success("juliet@example.org", inside));
            assert_eq!(server.said(), "", "no stream begins");
            server.say(features(BIND_AND_SM));
            server.bind(RESOURCE);
            assert_eq!(server.said(), ENABLE);
        });
    }
    // A resumption, where it can't be had within the log-in.
    in_every_cutting(|server| {
        let mut server = away(server);
        server.greet(&sasl2("PLAIN", &bind2(SM_FEATURE)));
        assert_eq!(asked(&server.said()), "", "a binding would end the session");
        server.say(format!(
            "{}{}",
            success("juliet@example.org", ""),
            features(BIND_AND_SM)
        ));
        assert_eq!(
            server.said(),
            "<resume xmlns='urn:xmpp:sm:3' previd='first' h='0'/>"
        );
        server.say(RESUMED);
        assert_eq!(server.opened(), Opened::Resumed { acked: 0 });
    });
}

#[test]
fn no_session_is_asked_for_within_the_log_in_where_its_owner_wants_none() {
    in_every_cutting(|server| {
        let (now, cutting) = (server.now, server.cutting);
        let mut server = Peer::of(session().stream_management(false), now, cutting);
        let said = server.ask(&all());
        assert_eq!(
            asked(&said),
            "<bind xmlns='urn:xmpp:bind:0'><tag>xtls</tag></bind>"
        );
    });
}

// XEP-0386 §3.2: the server deletes the messages that it has kept for the account.
#[test]
fn no_binding_is_asked_for_within_the_log_in_unless_its_owner_allows_it() {
    in_every_cutting(|server| {
        let (now, cutting) = (server.now, server.cutting);
        let mut server = Peer::of(session().bind2(false), now, cutting);
        let said = server.ask(&all());
        assert!(said.starts_with("<auth "), "{said}");
        server.say(SUCCESS);
        server.greet(BIND_AND_SM);
        server.bind(RESOURCE);
        server.say(ENABLED);
        // Nor after a session that is gone; to resume it does no harm.
        let mut server = server.again();
        let said = server.ask(&all());
        assert_eq!(
            asked(&said),
            "<resume xmlns='urn:xmpp:sm:3' previd='first' h='0'/>"
        );
        server.say(success("juliet@example.org", FAILED));
        server.say(features(BIND_AND_SM));
        server.bind(RESOURCE);
        assert_eq!(server.said(), ENABLE);
    });
}

#[test]
fn an_exact_resource_is_asked_for_as_such() {
    // Bind 2 has only tags, and without it the other profile is as good.
    in_every_cutting(|server| {
        let mut server = server.at_the_balcony();
        let said = server.ask(&all());
        assert!(said.starts_with("<auth "), "{said}");
        server.say(SUCCESS);
        server.greet(BIND_AND_SM);
        assert!(server.said.contains("<resource>balcony</resource>"));
        server.bind(RESOURCE);
        server.say(ENABLED);
        // A session goes on within the log-in, and where it does not, the resource is asked for behind it.
        let mut server = server.again();
        let said = server.ask(&all());
        assert_eq!(
            asked(&said),
            "<resume xmlns='urn:xmpp:sm:3' previd='first' h='0'/>"
        );
        server.say(success("juliet@example.org", FAILED));
        server.say(features(BIND_AND_SM));
        assert!(server.said.contains("<resource>balcony</resource>"));
        assert!(!server.said.contains("<resume"), "once");
        server.bind(RESOURCE);
        assert_eq!(server.said(), ENABLE);
    });
    // Where there is only SASL2, it is good for the log-in alone.
    in_every_cutting(|server| {
        let mut server = server.at_the_balcony();
        server.greet(&sasl2("PLAIN", &all()));
        assert_eq!(asked(&server.said()), "");
        server.say(format!(
            "{}{}",
            success("juliet@example.org", ""),
            features(BIND)
        ));
        assert!(server.said.contains("<resource>balcony</resource>"));
        server.bind(RESOURCE);
    });
}

#[test]
fn a_resumed_stream_has_the_limit_that_it_had() {
    let limit = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes></limits>";
    in_every_cutting(|mut server| {
        server.ask(&all());
        server.say(format!(
            "{}{}",
            success(BOUND, &bound2(ENABLED)),
            features(limit)
        ));
        server.has_bound(BOUND);
        assert_eq!(server.stream.stanza_limit(), Some(10_000));
        let mut server = server.again();
        server.ask(&all());
        assert_eq!(server.stream.stanza_limit(), None, "not before the log-in");
        server.say(success(BOUND, RESUMED));
        server.opened();
        assert_eq!(server.stream.stanza_limit(), Some(10_000));
    });
}

#[test]
fn the_server_may_say_things_of_the_session_before_the_features() {
    in_every_cutting(|mut server| {
        server.ask(&all());
        server.say(success(BOUND, &bound2(ENABLED)));
        server.say(format!("{R}{}", features("")));
        server.has_bound(BOUND);
        server.wait(s(1));
        assert_eq!(server.said(), a(0));
    });
}

#[test]
fn the_name_of_the_client_is_random_and_lasts_as_long_as_the_link() {
    let agent = |said: &str| {
        let (_, agent) = said.split_once("<user-agent id='").unwrap();
        let (agent, rest) = agent.split_once('\'').unwrap();
        assert!(
            rest.starts_with("><software>xtls</software></user-agent>"),
            "{said}"
        );
        agent.to_owned()
    };
    let mut server = Peer::new(Cutting::Even(usize::MAX));
    let first = agent(&server.ask(&all()));
    let parts: Vec<usize> = first.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{first}");
    // RFC 9562 §5.4.
    assert_eq!((&first[14..15], &first[19..20]), ("4", "8"), "{first}");
    let mut server = server.again();
    assert_eq!(agent(&server.ask(&all())), first);
    let account = Address::new("juliet@example.org").unwrap();
    let password = Zeroizing::new("pencil".to_owned());
    let other = Session::new(&account, password, [8; 32]).unwrap();
    let now = Instant::now();
    let mut server = Peer::of(
        other.allow_plain(true).bind2(true),
        now,
        Cutting::Even(usize::MAX),
    );
    assert_ne!(agent(&server.ask(&all())), first);
}
