use proptest::prelude::*;

use super::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const BOUND: &str = "<iq type='result' id='resource-binding'/>";

/// What passes and what is seen when the text comes in pieces of this size.
fn screened(text: &str, piece: usize) -> (Result<String, Fault>, Vec<Sighting>) {
    let mut screen = Screen::new(Numbers::default());
    let mut out = BytesMut::new();
    let mut seen = Vec::new();
    for piece in text.as_bytes().chunks(piece) {
        if let Err(fault) = screen.push(piece, &mut out, |sighting| seen.push(sighting)) {
            return (Err(fault), seen);
        }
    }
    (Ok(String::from_utf8(out.to_vec()).unwrap()), seen)
}

fn passed(text: &str) -> String {
    screened(text, usize::MAX).0.unwrap()
}

#[test]
fn before_the_binding_everything_passes() {
    let text = format!("{HEADER}<stream:features/><iq id='x'/><message id='5'/><enabled/>");
    assert_eq!(passed(&text), text);
}

#[test]
fn after_the_binding_stanzas_are_set_aside() {
    let (out, seen) = screened(
        &format!(
            "{HEADER}{BOUND}<r/><message id='9'><x/></message><a h='1'/><presence/><iq/><iqs/>"
        ),
        usize::MAX,
    );
    let rest = "<r/><message id='0'/><a h='1'/><message id='1'/><message id='2'/><iqs/>";
    assert_eq!(out.unwrap(), format!("{HEADER}{BOUND}{rest}"));
    let aside: Vec<_> = seen
        .iter()
        .map(|sighting| {
            let Sighting::Stanza(number, xml) = sighting else {
                panic!("{sighting:?}")
            };
            (*number, std::str::from_utf8(xml).unwrap())
        })
        .collect();
    assert_eq!(
        aside,
        [
            (0, "<message id='9'><x/></message>"),
            (1, "<presence/>"),
            (2, "<iq/>")
        ]
    );
}

#[test]
fn a_resumed_stream_is_bound() {
    assert_eq!(
        passed(&format!("{HEADER}<resumed/><message id='x'/>")),
        format!("{HEADER}<resumed/><message id='0'/>")
    );
}

#[test]
fn a_refused_binding_does_not_bind() {
    let refused = "<iq type='error' id='resource-binding'><error type='cancel'>\
        <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    let text = format!("{HEADER}{refused}<message id='x'/>");
    let (out, seen) = screened(&text, usize::MAX);
    assert_eq!(out.unwrap(), text);
    assert!(
        matches!(&seen[..], [Sighting::BindRefused(error)] if error.condition == Condition::Conflict)
    );
}

#[test]
fn a_stream_error_is_seen_and_passes() {
    let error =
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let text = format!("{HEADER}{BOUND}{error}</stream:stream>");
    let (out, seen) = screened(&text, usize::MAX);
    assert_eq!(out.unwrap(), text);
    assert!(matches!(&seen[..], [Sighting::StreamError(condition, _)] if condition == "conflict"));
}

#[test]
fn an_error_that_is_no_stream_error_is_not_seen() {
    let (_, seen) = screened(
        &format!("{HEADER}{BOUND}<error><conflict/></error>"),
        usize::MAX,
    );
    assert!(seen.is_empty());
    // Nor is one inside of somebody's message.
    let inside =
        "<message><error xmlns='http://etherx.jabber.org/streams'><conflict/></error></message>";
    let (_, seen) = screened(&format!("{HEADER}{BOUND}{inside}"), usize::MAX);
    assert!(matches!(&seen[..], [Sighting::Stanza(0, _)]));
}

#[test]
fn nothing_passes_after_the_end() {
    let text = format!("{HEADER}{BOUND}</stream:stream>");
    assert_eq!(passed(&format!("{text}<message/>garbage")), text);
}

#[test]
fn faults_are_seen_once_and_stay() {
    for text in ["<!-- -->", "<?x?>", "text", "<![CDATA[x]]>", "<!DOCTYPE x>"] {
        let (out, seen) = screened(&format!("{HEADER}{BOUND}{text}<message/><message/>"), 1);
        assert!(matches!(out, Err(Fault::Frame(_))), "{text}");
        assert!(matches!(&seen[..], [Sighting::Fault(_)]), "{text}");
    }
    assert!(matches!(screened("HTTP/1.1", 1).0, Err(Fault::Header(_))));
    let long = format!("{HEADER}{BOUND}<x a='{}'/>", "a".repeat(MAX_OTHER));
    assert!(matches!(screened(&long, 999).0, Err(Fault::TooLong { .. })));
}

#[test]
fn a_stanza_without_end_is_a_fault() {
    let long = format!("{HEADER}{BOUND}<message><body>{}", "a".repeat(MAX_STANZA));
    assert!(matches!(
        screened(&long, 16_384).0,
        Err(Fault::Frame(FrameError::TooLong { .. }))
    ));
}

#[test]
fn a_stanza_on_its_way_keeps_the_timers_quiet() {
    let mut screen = Screen::new(Numbers::default());
    let mut out = BytesMut::new();
    screen
        .push(format!("{HEADER}{BOUND}").as_bytes(), &mut out, |_| {})
        .unwrap();
    out.clear();
    screen.push(b"<message><body>", &mut out, |_| {}).unwrap();
    assert_eq!(out, b" "[..]);
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_does_not_matter(piece in 1_usize..80) {
        let text = format!(
            "{HEADER}<stream:features/>{BOUND}<r/> <message a='>'>x</message>\n<iq/><a h='1'/></stream:stream>"
        );
        let (whole, all) = screened(&text, usize::MAX);
        let (pieces, some) = screened(&text, piece);
        // Spaces between elements say only that something came.
        let squeezed = pieces.unwrap().replace("> <", "><").replace("> ", ">");
        prop_assert_eq!(squeezed.replace(' ', ""), whole.unwrap().replace(' ', ""));
        prop_assert_eq!(format!("{some:?}"), format!("{all:?}"));
    }
}
