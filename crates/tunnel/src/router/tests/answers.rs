//! What is answered to whom: exactly once to every request, never to an answer.

use proptest::prelude::*;
use xtls_stanza::{Condition, ErrorType, StanzaError};

use super::*;

pub(super) const STRANGER: &str = "mallory@evil.example/den";
pub(super) const FRIEND: &str = NAMES[A];

pub(super) const IBB: &str = "xmlns='http://jabber.org/protocol/ibb'";
pub(super) const XTLS: &str = "xmlns='urn:xmpp:tmp:xtls'";

pub(super) fn iq(type_: &str, child: &str) -> String {
    format!("<iq type='{type_}' id='i1'>{child}</iq>")
}

pub(super) fn open_with(attributes: &str, children: &str) -> String {
    iq(
        "set",
        &format!("<open {IBB} {attributes}>{children}</open>"),
    )
}

pub(super) fn start() -> String {
    format!("<start {XTLS}/>")
}

/// The one error that answers the stanza.
fn error(world: &mut World, from: Option<&str>, xml: &str) -> StanzaError {
    let answers = world.inject(B, from, xml);
    let [answer] = answers.as_slice() else {
        panic!("{} answers to {xml}: {answers:?}", answers.len());
    };
    assert_eq!(answer.id, "i1");
    assert_eq!(answer.to, from.map(address));
    match &answer.content {
        Content::Error(error) => error.clone(),
        other => panic!("{xml}: {other:?}"),
    }
}

pub(super) fn assert_error(
    world: &mut World,
    from: &str,
    xml: &str,
    condition: Condition,
    kind: ErrorType,
) {
    let error = error(world, Some(from), xml);
    assert_eq!((error.condition, error.kind), (condition, kind), "{xml}");
}

/// Requests of every sort, those that no client knows among them.
fn requests() -> Vec<String> {
    let sid = "sid='s1' block-size='4096'";
    let children = [
        format!("<open {IBB} {sid}>{}</open>", start()),
        format!("<open {IBB} {sid}/>"),
        format!("<open {IBB} sid='s1' block-size='0'>{}</open>", start()),
        format!("<open {IBB} {sid} stanza='message'>{}</open>", start()),
        format!("<data {IBB} sid='s1' seq='0'>AAAA</data>"),
        format!("<data {IBB} sid='s1' seq='x'>AAAA</data>"),
        format!("<close {IBB} sid='s1'/>"),
        format!("<anything {IBB}/>"),
        start(),
        format!("<proceed {XTLS}/>"),
        format!("<data {XTLS} method='x509'>AAAA</data>"),
        format!("<data {XTLS}>!</data>"),
        format!("<close {XTLS}/>"),
        format!("<close {XTLS} sid='s1'/>"),
        format!("<close {XTLS} sid=''/>"),
        format!("<closed {XTLS}/>"),
        format!("<anything {XTLS}/>"),
        "<query xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
        "<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>".to_owned(),
        "<query xmlns='http://jabber.org/protocol/disco#info'><identity/></query>".to_owned(),
        "<ping xmlns='urn:xmpp:ping'/>".to_owned(),
        "<query xmlns='jabber:iq:roster'><item jid='mallory@evil.example'/></query>".to_owned(),
        "<anything xmlns='urn:example'/>".to_owned(),
    ];
    let types = ["get", "set"].into_iter();
    types
        .flat_map(|type_| children.iter().map(move |child| iq(type_, child)))
        .collect()
}

#[test]
fn a_stranger_is_answered_as_by_a_client_without_all_this() {
    let strangers = [
        STRANGER,
        "mallory@evil.example",
        "evil.example",
        "a@east.example/one",
    ];
    for request in requests() {
        for from in strangers {
            let mut world = World::new();
            let kind = ErrorType::Cancel;
            assert_error(
                &mut world,
                from,
                &request,
                Condition::ServiceUnavailable,
                kind,
            );
            assert!(world.ends[B].events.is_empty(), "{request}");
            assert_eq!(world.ends[B].router.leftovers(), 0, "{request}");
        }
    }
}

#[test]
fn strangers_do_not_use_up_the_opens_of_friends() {
    let mut world = World::new();
    for number in 0..1000 {
        let from = format!("m{number}@evil.example/den");
        let open = open_with("sid='s1' block-size='4096'", &start());
        let kind = ErrorType::Cancel;
        assert_error(
            &mut world,
            &from,
            &open,
            Condition::ServiceUnavailable,
            kind,
        );
    }
    world.establish(A);
}

#[test]
fn nobody_is_accepted_unless_told() {
    let nobody = config(B).accept(Accept::NoOne);
    let mut world = World::with(config(A), nobody);
    let a = world.open(A);
    world.settle();
    let closed = world.closed(A, a);
    assert!(matches!(closed.why, Why::Unavailable(_)), "{closed:?}");
    assert!(world.ends[B].events.is_empty());
}

#[test]
fn what_belongs_to_no_tunnel_is_answered_so() {
    let mut world = World::new();
    let cancel = ErrorType::Cancel;
    for (request, condition, kind) in [
        (
            iq("set", &format!("<data {IBB} sid='s1' seq='0'>AAAA</data>")),
            Condition::ItemNotFound,
            cancel,
        ),
        (
            iq("set", &format!("<close {IBB} sid='s1'/>")),
            Condition::ItemNotFound,
            cancel,
        ),
        (
            iq("set", &format!("<anything {IBB}/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("get", &format!("<open {IBB}/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("get", &format!("<data {IBB} sid='s1' seq='0'/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("get", &format!("<close {IBB} sid='s1'/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (iq("set", &start()), Condition::NotAcceptable, cancel),
        (
            iq("get", &start()),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("set", &format!("<data {XTLS} method='x509'>AAAA</data>")),
            Condition::ItemNotFound,
            cancel,
        ),
        (
            iq("get", &format!("<data {XTLS} method='x509'>AAAA</data>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("set", &format!("<data {XTLS}>!</data>")),
            Condition::BadRequest,
            ErrorType::Modify,
        ),
        (
            iq("set", &format!("<close {XTLS}/>")),
            Condition::ItemNotFound,
            cancel,
        ),
        (
            iq("set", &format!("<close {XTLS} sid='s1'/>")),
            Condition::ItemNotFound,
            cancel,
        ),
        (
            iq("set", &format!("<close {XTLS} sid=''/>")),
            Condition::BadRequest,
            ErrorType::Modify,
        ),
        (
            iq("get", &format!("<close {XTLS}/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("set", &format!("<proceed {XTLS}/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("set", &format!("<closed {XTLS}/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("set", &format!("<anything {XTLS}/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("get", &format!("<anything {XTLS}/>")),
            Condition::FeatureNotImplemented,
            cancel,
        ),
        (
            iq("get", "<anything xmlns='urn:example'/>"),
            Condition::ServiceUnavailable,
            cancel,
        ),
        (
            iq("set", "<anything xmlns='urn:example'/>"),
            Condition::ServiceUnavailable,
            cancel,
        ),
        (
            iq("set", "<query xmlns='jabber:iq:roster'/>"),
            Condition::ServiceUnavailable,
            cancel,
        ),
        (
            iq("set", "<ping xmlns='urn:xmpp:ping'/>"),
            Condition::ServiceUnavailable,
            cancel,
        ),
        (
            iq(
                "set",
                "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            ),
            Condition::ServiceUnavailable,
            cancel,
        ),
        (
            iq(
                "get",
                "<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>",
            ),
            Condition::ItemNotFound,
            cancel,
        ),
    ] {
        assert_error(&mut world, FRIEND, &request, condition, kind);
    }
    assert!(world.ends[B].events.is_empty());
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

#[test]
fn the_flow_before_the_letter_is_told_what_to_do_instead() {
    let mut world = World::new();
    let error = error(&mut world, Some(FRIEND), &iq("set", &start()));
    assert_eq!(
        error.text.as_deref(),
        Some("open an In-Band Bytestream with <start/> inside")
    );
}

#[test]
fn disco_and_ping_are_answered_to_acquaintances() {
    let mut world = World::new();
    for from in [
        Some(FRIEND),
        Some(NAMES[B]),
        Some("b@east.example"),
        Some("east.example"),
        None,
    ] {
        let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        let answers = world.inject(B, from, &iq("get", query));
        let [
            Envelope {
                content: Content::Result(Some(Payload::DiscoInfo(info))),
                ..
            },
        ] = answers.as_slice()
        else {
            panic!("{from:?}: {answers:?}");
        };
        assert_eq!(
            info.features,
            [
                "http://jabber.org/protocol/disco#info",
                "http://jabber.org/protocol/ibb",
                "urn:xmpp:ping",
                "urn:xmpp:tmp:xtls"
            ]
        );
        assert_eq!(info.identities.len(), 1);
        let answers = world.inject(B, from, &iq("get", "<ping xmlns='urn:xmpp:ping'/>"));
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].content, Content::Result(None));
        assert_eq!(answers[0].id, "i1");
    }
}

#[test]
fn whom_we_talk_to_is_no_stranger() {
    let mut world = World::with(config(A).accept(Accept::NoOne), config(B));
    let [a, _] = world.establish(A);
    let ping = iq("get", "<ping xmlns='urn:xmpp:ping'/>");
    let answers = world.inject(A, Some(NAMES[B]), &ping);
    assert_eq!(answers[0].content, Content::Result(None));
    // An open of theirs is another matter.
    let open = open_with("sid='s1' block-size='4096'", &start());
    let answers = world.inject(A, Some(NAMES[B]), &open);
    assert!(
        matches!(&answers[0].content, Content::Error(e) if e.condition == Condition::ServiceUnavailable)
    );
    world.tunnel(A, a).close();
    world.wait(Duration::from_secs(60));
    let answers = world.inject(A, Some(NAMES[B]), &ping);
    assert!(
        matches!(&answers[0].content, Content::Error(e) if e.condition == Condition::ServiceUnavailable)
    );
}

#[test]
fn answers_messages_and_presence_are_never_answered() {
    let mut world = World::new();
    world.establish(A);
    let events = world.ends[B].events.len();
    for from in [Some(FRIEND), Some(STRANGER), Some("b@east.example"), None] {
        for xml in [
            "<iq type='result' id='i1'/>",
            "<iq type='result' id='i1'><closed xmlns='urn:xmpp:tmp:xtls'/></iq>",
            "<iq type='result' id='i1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            "<iq type='error' id='i1'><error type='cancel'/></iq>",
            "<iq type='error' id='i1'/>",
            "<message type='chat' id='i1'><body>psst</body></message>",
            "<message type='error' id='i1'><error type='cancel'/></message>",
            "<message id='i1'><data xmlns='http://jabber.org/protocol/ibb' sid='s1' seq='0'>AAAA</data></message>",
            "<message id='i1'><close xmlns='urn:xmpp:tmp:xtls'/></message>",
            "<presence id='i1'/>",
            "<presence type='subscribe' id='i1'/>",
            "<presence type='probe' id='i1'/>",
            "<presence type='error' id='i1'/>",
        ] {
            assert_eq!(world.inject(B, from, xml), [], "{from:?} {xml}");
        }
    }
    assert_eq!(world.ends[B].events.len(), events);
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let mut world = World::new();
    let ping = format!(
        "<iq type='get' id='i1' from='{FRIEND}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
        NAMES[B]
    );
    let ping = Envelope::read(&ping.into_bytes().into()).unwrap();
    let now = world.now;
    for _ in 0..10_000 {
        world.router(B).handle(now, ping.clone());
    }
    let waiting = std::iter::from_fn(|| world.ends[B].router.out.pop());
    let weight: usize = waiting.map(|answer| answer.weight()).sum();
    let one = ping.result(None).weight();
    assert!(weight <= 262_144 && weight + one > 262_144, "{weight}");
    world.flush(B);
    world.establish(A);
}

#[test]
fn requests_of_strangers_with_long_ids_leave_no_more_than_other_answers() {
    let mut world = World::with(config(A), config(B).accept(Accept::NoOne));
    let now = world.now;
    for number in 0..4096 {
        let id = format!("{number:020000}");
        let ping = format!(
            "<iq type='get' id='{id}' from='{STRANGER}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
            NAMES[B]
        );
        let ping = Envelope::read(&ping.into_bytes().into()).unwrap();
        world.router(B).handle(now, ping);
    }
    assert!(world.router(B).is_crowded());
    let waiting = std::iter::from_fn(|| world.ends[B].router.out.pop());
    let weight: usize = waiting.map(|answer| answer.weight()).sum();
    assert!(weight <= 262_144, "{weight}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever asks, whatever and in whatever order, gets one answer to each request in the end, and no answer gets any.
    #[test]
    fn every_request_has_one_answer_and_nothing_else_has_any(
        stanzas in proptest::collection::vec((0..5_usize, 0..60_usize, 0..3_u8), 1..30),
    ) {
        let requests = requests();
        let mut world = World::with(config(A), config(B).accept(Accept::Anyone).half_open(32, 32));
        let mut wanted = Vec::new();
        for (number, (from, which, sid)) in stanzas.into_iter().enumerate() {
            let senders = [Some(FRIEND), Some("a@west.example/three"), Some(STRANGER), Some("b@east.example"), None];
            let id = format!("i{number}");
            let xml = match requests.get(which) {
                Some(request) => request.clone(),
                None => iq(["result", "error"][which % 2], ""),
            };
            if which < requests.len() {
                wanted.push(id.clone());
            }
            let xml = xml.replace("'i1'", &format!("'{id}'")).replace("'s1'", &format!("'s{sid}'"));
            world.inject(B, senders[from], &xml);
        }
        // What streams withhold comes with their end.
        world.wait(Duration::from_secs(300));
        let said = world.log.iter().filter(|(end, _)| *end == B).map(|(_, envelope)| envelope);
        let answers = said.chain(&world.ends[B].others).filter(|envelope| {
            envelope.id.starts_with('i') && matches!(envelope.content, Content::Result(_) | Content::Error(_))
        });
        let mut answered: Vec<_> = answers.map(|envelope| envelope.id.clone()).collect();
        answered.sort();
        wanted.sort();
        prop_assert_eq!(answered, wanted);
        prop_assert_eq!(world.ends[B].router.leftovers(), 0);
    }
}
