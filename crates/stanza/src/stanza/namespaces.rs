//! Finds the namespaces that may occur in a stanza, without reading it again.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::Stanza;

/// How a declaration begins. Attribute names contain no references, so there is no declaration without these bytes.
static XMLNS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("xmlns"));

/// What [`Stanza::may_hold`] says.
pub(super) fn may_hold(stanza: &Stanza, namespaces: &[&str]) -> bool {
    if stanza.children.is_empty() {
        return false;
    }
    // A prefix declared on the stanza may stand for any namespace.
    let prefixed = stanza.extra.iter().any(|attr| attr.declares().is_some());
    prefixed
        || XMLNS.find_iter(&stanza.children).any(|at| {
            let value = stanza.children.get(at + "xmlns".len()..).and_then(value);
            value.is_some_and(|value| namespaces.iter().any(|ns| may_begin(value, ns)))
        })
}

/// What follows the opening quote, if the text continues like a declaration. No two calls examine the same bytes,
/// so the work is linear.
fn value(after: &[u8]) -> Option<&[u8]> {
    let after = match after {
        [b':', prefix @ ..] => {
            let ends = |b: &u8| matches!(b, b'=' | b':' | b'<' | b' ' | b'\t' | b'\r' | b'\n');
            prefix.get(prefix.iter().position(ends)?..)?
        }
        after => after,
    };
    let [b'=', after @ ..] = after.trim_ascii_start() else {
        return None;
    };
    match after.trim_ascii_start() {
        [b'\'' | b'"', value @ ..] => Some(value),
        _ => None,
    }
}

/// Whether a value that starts like this may begin with `ns`, possibly hidden by references.
fn may_begin(value: &[u8], ns: &str) -> bool {
    let value = value.get(..ns.len()).unwrap_or(value);
    value == ns.as_bytes() || value.contains(&b'&')
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Kind;

    fn may_hold(stanza: &str) -> bool {
        let stanza = Stanza::read(&Bytes::copy_from_slice(stanza.as_bytes())).unwrap();
        stanza.may_hold(&["urn:a:", "urn:bb"])
    }

    #[test]
    fn a_namespace_is_found_however_it_is_declared() {
        for inside in [
            "<x xmlns='urn:a:1'/>",
            "<x xmlns=\"urn:bb\"/>",
            "<x\nxmlns\t=\r\n'urn:bb2'/>",
            "<b>xmlns='</b><x xmlns='urn:a:'/>",
            "<b>xmlns:</b><p:x xmlns:p='urn:a:'/>",
            "<x><y a='xmlns' xmlns='urn:bb'/></x>",
            "<x xmlns:xmlnsx = 'urn:bb'/>",
            "<x xmlns='&#117;rn:bb'/>",
            "<x xmlns='urn&#x3a;a:'/>",
            "<x xmlns='urn:b&#x62;'/>",
            "<x xmlns='&#0000117;rn:a:'/>",
        ] {
            assert!(
                may_hold(&format!("<message>{inside}</message>")),
                "{inside}"
            );
        }
        assert!(may_hold("<message xmlns:p='urn:bb'><p:x/></message>"));
    }

    #[test]
    fn what_is_declared_nowhere_is_not_there() {
        for inside in [
            "",
            "<body>it&apos;s urn:a: and 'urn:bb' &amp; so on</body>",
            "<body>xmlns</body>",
            "<body>xmlns: xmlns xmlns:p xmlns=</body>",
            "<x xmlns='urn:b'/>",
            "<x xmlns='urn:c:urn:bb' a='urn:a:'/>",
            "<x xmlns=' urn:bb'/>",
        ] {
            assert!(
                !may_hold(&format!("<message>{inside}</message>")),
                "{inside}"
            );
        }
    }

    #[test]
    fn a_stanza_without_children_holds_nothing() {
        let stanza = Stanza::read(&Bytes::from_static(b"<iq xmlns:p='urn:bb' id='1'/>")).unwrap();
        assert_eq!(stanza.kind, Kind::Iq);
        assert!(!stanza.may_hold(&["urn:bb", ""]));
    }
}
