use bytes::Bytes;

use xtls_stanza::verify::{Method, NS, Reason, Step};
use xtls_stanza::{PayloadError, Stanza};

fn stanza(xml: &str) -> Stanza {
    Stanza::read(&Bytes::copy_from_slice(xml.as_bytes())).unwrap()
}

fn read(xml: &str) -> Option<Result<Step, PayloadError>> {
    Step::in_stanza(&stanza(xml))
}

/// A message with this element in the namespace.
fn message(element: &str) -> String {
    format!("<message><{element}</message>")
}

fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::Ready(Method::Words),
        Step::Ready(Method::Code),
        Step::Commit([1; 32]),
        Step::Nonce([2; 32]),
        Step::Reveal([3; 32]),
        Step::Pake([4; 33]),
        Step::Confirm([5; 32]),
    ];
    let reasons = [
        Reason::Declined,
        Reason::Mismatch,
        Reason::Method,
        Reason::Locked,
        Reason::Timeout,
        Reason::Failed,
    ];
    steps.extend(reasons.map(Step::Cancel));
    steps
}

#[test]
fn bytes_of_another_length_or_in_other_letters_are_refused() {
    let good = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let commit = |text: &str| read(&message(&format!("commit xmlns='{NS}'>{text}</commit>")));
    assert_eq!(commit(good), Some(Ok(Step::Commit([1; 32]))));
    for wrong in [
        "",
        "AQEB",
        &good[4..],
        &format!("AQEB{good}"),
        &good.replace('=', ""),
        &good.replace("E=", "F="),
        &format!(" {good}"),
        &good.replacen('A', "-", 1),
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
    ] {
        let refused = commit(wrong);
        let named = matches!(
            refused,
            Some(Err(PayloadError::Base64 {
                element: "commit",
                ..
            }))
        );
        assert!(named, "{wrong}: {refused:?}");
    }
}

#[test]
fn a_method_that_is_not_known_is_refused_and_a_reason_is_not() {
    for ready in ["ready", "ready method='song'", "ready method=''"] {
        let refused = read(&message(&format!("{ready} xmlns='{NS}'/>")));
        assert!(matches!(refused, Some(Err(PayloadError::Attribute { .. }))));
    }
    for cancel in ["cancel", "cancel reason='rain'"] {
        let read = read(&message(&format!("{cancel} xmlns='{NS}'/>")));
        assert_eq!(read, Some(Ok(Step::Cancel(Reason::Failed))));
    }
}

#[test]
fn a_step_stands_alone_in_a_message() {
    let ready = format!("<ready xmlns='{NS}' method='words'/>");
    let in_message = Some(Ok(Step::Ready(Method::Words)));
    assert_eq!(read(&format!("<message>{ready}</message>")), in_message);
    let unknown = Some(Err(PayloadError::Unknown));
    for wrong in [
        format!("<message>{ready}{ready}</message>"),
        format!("<message><body>x</body>{ready}</message>"),
        format!("<iq type='set' id='1'>{ready}</iq>"),
        format!("<presence>{ready}</presence>"),
        format!("<message><steady xmlns='{NS}'/></message>"),
    ] {
        assert_eq!(read(&wrong), unknown, "{wrong}");
    }
    // Hidden from a search of the bytes.
    let hidden = ready.replace("#verify", "&#35;verify");
    assert_eq!(read(&format!("<message>{hidden}</message>")), in_message);
    assert_eq!(
        read(&format!(
            "<message xmlns:v='{NS}'><v:ready method='words'/></message>"
        )),
        in_message
    );
}

#[test]
fn other_stanzas_are_none_of_it() {
    for other in [
        "<message/>".to_owned(),
        "<message><body>words &amp; code</body></message>".to_owned(),
        format!("<message><body>{NS}</body></message>"),
        format!(
            "<message><forwarded xmlns='urn:xmpp:forward:0'><ready xmlns='{NS}'/></forwarded></message>"
        ),
        "<message><start xmlns='urn:xmpp:tmp:xtls'/></message>".to_owned(),
    ] {
        assert_eq!(read(&other), None, "{other}");
    }
}

#[test]
fn what_is_written_reads_back() {
    for step in steps() {
        let mut wire = Vec::new();
        step.to_stanza().write(&mut wire);
        let stanza = Stanza::read(&Bytes::from(wire)).unwrap();
        assert_eq!(Step::in_stanza(&stanza), Some(Ok(step.clone())), "{step:?}");
    }
}

#[test]
fn debug_shows_no_bytes() {
    let shown: Vec<_> = steps().iter().map(|step| format!("{step:?}")).collect();
    assert_eq!(
        shown[..8],
        [
            "ready(Words)",
            "ready(Code)",
            "commit",
            "nonce",
            "reveal",
            "pake",
            "confirm",
            "cancel(Declined)"
        ]
    );
}
