use super::super::recording;
use super::*;

/// A carrying stanza as it is recorded.
pub(in super::super) fn carrying(us: u64, direction: &str, xml: &str, records: &[&str]) -> String {
    serde_json::json!({
        "layer": "carrying", "direction": direction, "length": 100, "data": 0, "records": records, "xml": xml, "us": us,
    })
    .to_string()
}

pub(in super::super) fn ladder(lines: &[String]) -> Ladder {
    Ladder::new(recording::read(lines.join("\n").as_bytes()).unwrap())
}

pub(in super::super) fn chunk(us: u64, direction: &str, seq: u64) -> String {
    let xml = format!(
        "<iq to='juliet@capulet.example/xtls' from='juliet@capulet.example/xtls' id='1' type='set'><data \
         xmlns='http://jabber.org/protocol/ibb' sid='s' seq='{seq}'/></iq>"
    );
    carrying(us, direction, &xml, &["sealed 90"])
}

pub(in super::super) fn result(us: u64, direction: &str) -> String {
    let xml = "<iq to='juliet@capulet.example/xtls' from='juliet@capulet.example/xtls' id='1' type='result'/>";
    carrying(us, direction, xml, &[])
}

fn labels(ladder: &Ladder) -> Vec<&str> {
    let steps = ladder.steps.iter();
    steps.map(|step| step.label.as_str()).collect()
}

#[test]
fn what_others_have_written_is_made_safe() {
    let inner = r#"{"layer":"inner","direction":"in","kind":"message","id":"\u001b[31m\nx","length":8,"us":7}"#;
    let ladder = ladder(&[
        carrying(1, "in", "<iq", &[]),
        carrying(
            2,
            "in",
            "<iq id='1' type='set'><x xmlns='&#x85;'/></iq>",
            &["\u{9b}2J"],
        ),
        inner.to_owned(),
    ]);
    let texts = ladder
        .steps
        .iter()
        .flat_map(|step| step.records.iter().chain([&step.label]));
    for text in texts {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert_eq!(labels(&ladder)[0], "a stanza that cannot be read");
}

#[test]
fn steps_are_named_after_what_they_do() {
    let from = "from='juliet@capulet.example/xtls' id='1'";
    let open = format!(
        "<iq {from} type='set'><open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='4096'><start \
         xmlns='urn:xmpp:tmp:xtls'/></open></iq>"
    );
    let error = format!(
        "<iq {from} type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         </error></iq>"
    );
    let ladder = ladder(&[
        carrying(1, "in", &open, &[]),
        result(2, "out"),
        chunk(3, "in", 7),
        carrying(4, "in", &error, &[]),
        carrying(5, "in", "<presence/>", &[]),
    ]);
    assert_eq!(
        labels(&ladder),
        [
            "open, start",
            "result",
            "data 7",
            "error, item-not-found",
            "presence"
        ]
    );
    assert_eq!(ladder.peers, ["juliet@capulet.example/xtls"]);
    assert_eq!(
        ladder.carrying,
        Sum {
            stanzas: 5,
            bytes: 500
        }
    );
}

#[test]
fn long_runs_of_chunks_and_answers_are_folded() {
    let pairs = |n: u64| -> Vec<String> {
        (0..n)
            .flat_map(|at| [chunk(2 * at, "out", at), result(2 * at + 1, "in")])
            .collect()
    };
    assert_eq!(ladder(&pairs(4)).rungs(false).len(), 8);
    let longer = ladder(&pairs(5));
    assert_eq!(longer.rungs(true).len(), 10);
    let rungs = longer.rungs(false);
    assert_eq!(rungs.len(), 5);
    assert!(
        matches!(
            rungs[2],
            Rung::Many {
                chunks: 3,
                answers: 3,
                bytes: 600
            }
        ),
        "{rungs:?}"
    );
}

#[test]
fn peers_have_numbers_where_there_are_several() {
    let of = |name: &str| {
        let xml = format!("<iq to='{name}@capulet.example/xtls' id='1' type='result'/>");
        carrying(1, "out", &xml, &[])
    };
    let one = ladder(&[of("juliet"), of("juliet")]);
    assert_eq!(one.number(&one.steps[0]), None);
    let two = ladder(&[of("juliet"), of("nurse"), of("juliet")]);
    let numbers: Vec<_> = two.steps.iter().map(|step| two.number(step)).collect();
    assert_eq!(numbers, [Some(1), Some(2), Some(1)]);
}
