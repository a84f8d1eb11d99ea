use bytes::Bytes;

use super::*;

/// A stanza as it is recorded, and the number of tunnel bytes recorded with it.
fn recorded(xml: &str) -> (String, usize) {
    let envelope = Envelope::read(&Bytes::from(xml.to_owned())).unwrap();
    let (shown, bytes) = shown(&envelope);
    let mut out = Vec::new();
    shown.write(&mut out);
    (String::from_utf8(out).unwrap(), bytes)
}

#[test]
fn stanzas_of_other_clients_are_recorded_without_content_and_addresses() {
    let cases = [
        (
            "<message from='secret@x/secret' to='y@secret' id='secret' type='chat'><body xml:lang='secret'>secret\
             </body><x xmlns='urn:x' secret='secret'>secret<secret xmlns='urn:secret'/></x></message>",
            "<message xmlns='jabber:client' type='chat'><body/><x xmlns='urn:x'/></message>",
        ),
        (
            "<message from='secret@x' type='headline'><result xmlns='urn:xmpp:mam:2' id='secret'><forwarded \
             xmlns='urn:xmpp:forward:0'><message from='secret@x'><body>secret</body></message></forwarded></result>\
             </message>",
            "<message xmlns='jabber:client' type='headline'><result xmlns='urn:xmpp:mam:2'/></message>",
        ),
        (
            "<presence from='secret@x/secret'><show>dnd</show><status>secret</status></presence>",
            "<presence xmlns='jabber:client'><show/><status/></presence>",
        ),
        (
            "<presence from='secret@x/secret' type='unavailable'/>",
            "<presence xmlns='jabber:client' type='unavailable'/>",
        ),
        (
            "<iq from='y@x' id='secret' type='result'><query xmlns='jabber:iq:roster' ver='secret'>\
             <item jid='secret@x' name='secret'/></query></iq>",
            "<iq xmlns='jabber:client' id='' type='result'><query xmlns='jabber:iq:roster'/></iq>",
        ),
        (
            "<iq from='y@x' id='secret' type='set'><query xmlns='jabber:iq:private'>secret</query></iq>",
            "<iq xmlns='jabber:client' id='' type='set'><query xmlns='jabber:iq:private'/></iq>",
        ),
        (
            "<message from='secret@x' type='error'><body>secret</body><error type='cancel'><gone \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>secret\
             </text><app xmlns='urn:x'>secret</app></error></message>",
            "<message xmlns='jabber:client' type='error'><body/><error type='cancel'><gone \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><app xmlns='urn:x'/></error></message>",
        ),
    ];
    for (xml, wanted) in cases {
        assert_eq!(recorded(xml), (wanted.to_owned(), 0), "{xml}");
    }
}

#[test]
fn carrying_stanzas_are_recorded_without_their_bytes() {
    for (xml, bytes) in [
        (
            "<iq from='a@b/c' id='1' type='set'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>c2VjcmV0</data></iq>",
            6,
        ),
        (
            "<message from='a@b/c' id='1'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>c2VjcmV0</data>\
             <no-store xmlns='urn:xmpp:hints'/></message>",
            6,
        ),
        (
            "<iq from='a@b/c' id='1' type='set'><data xmlns='urn:xmpp:tmp:xtls' method='x509'>c2VjcmV0</data></iq>",
            6,
        ),
        ("<iq from='a@b/c' id='1' type='result'/>", 0),
    ] {
        let (shown, counted) = recorded(xml);
        assert_eq!(counted, bytes, "{xml}");
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
        assert!(
            shown.contains("from='a@b/c'") && shown.contains("id='1'"),
            "{shown}"
        );
    }
}

#[test]
fn an_error_that_answers_us_is_recorded_without_its_text() {
    let (shown, _) = recorded(
        "<iq from='a@b/c' id='1' type='error'><error type='wait'><resource-constraint \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>secret</text>\
         </error></iq>",
    );
    assert!(shown.contains("from='a@b/c'") && shown.contains("<resource-constraint"));
    assert!(!shown.contains("secret"), "{shown}");
}

fn data(direction: &'static str, sid: &str, base64: &str, streams: &mut Streams) -> String {
    let xml = format!(
        "<iq from='a@b/c' to='d@e/f' id='1' type='set'><data xmlns='http://jabber.org/protocol/ibb' sid='{sid}' seq='0'>{base64}</data></iq>"
    );
    let envelope = Envelope::read(&Bytes::from(xml)).unwrap();
    streams.records(direction, &envelope).join(" + ")
}

#[test]
fn the_records_of_streams_are_told_apart() {
    let mut streams = Streams::default();
    // 17 03 03 00 04 'a' 'b'; then 'c' 'd', and 15 03 03 00 00.
    assert_eq!(data("out", "s", "FwMDAARhYg==", &mut streams), "sealed 4");
    assert_eq!(data("in", "s", "FQMDAAA=", &mut streams), "alert 0");
    assert_eq!(data("out", "t", "FQMDAAA=", &mut streams), "alert 0");
    assert_eq!(
        data("out", "s", "Y2QVAwMAAA==", &mut streams),
        "…2 + alert 0"
    );
}

#[test]
fn streams_that_are_not_there_take_no_memory() {
    let mut streams = Streams::default();
    for nth in 0..MAX_FOLLOWED {
        data("in", &nth.to_string(), "FwMDAARhYg==", &mut streams);
    }
    assert_eq!(data("in", "more", "FwMDAARhYg==", &mut streams), "");
    assert_eq!(streams.followed.len(), MAX_FOLLOWED);
    assert_eq!(data("in", "0", "Y2Q=", &mut streams), "…2");
    let close = "<iq from='a@b/c' to='d@e/f' id='1' type='set'><close xmlns='http://jabber.org/protocol/ibb' sid='0'/></iq>";
    let close = Envelope::read(&Bytes::from(close.to_owned())).unwrap();
    streams.records("in", &close);
    assert_eq!(data("in", "more", "FwMDAARhYg==", &mut streams), "sealed 4");
}
