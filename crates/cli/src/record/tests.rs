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
