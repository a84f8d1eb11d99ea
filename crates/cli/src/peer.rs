//! Addresses as users write them: `name@domain`, or the `xmpp:` URI that `xtls id` prints.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::OnceLock;

use xtls_client::tls::Fingerprint;
use xtls_client::uplink::normalise;
use xtls_stanza::Address;
use xtls_stanza::uri::XmppUri;

/// An address, and its key if it was given as a URI that names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    address: Address,
    key: Option<Fingerprint>,
}

impl Peer {
    /// Parses an address or a URI. A service may have a domain with a resource as its address; a domain alone is most likely
    /// an incomplete account.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(peer) = Self::known(text)? {
            return Ok(peer);
        }
        let peer = if XmppUri::is(text) {
            Self::of_uri(text)?
        } else {
            let address = address(text).map_err(|why| unknown(text).unwrap_or(why))?;
            Self { address, key: None }
        };
        if peer.local().is_none() && !peer.is_full() {
            return Err(unknown(text).unwrap_or_else(|| WANTED.to_owned()));
        }
        Ok(peer)
    }

    /// The same for an account, which has no resource.
    pub(crate) fn parse_bare(text: &str) -> Result<Self, String> {
        let peer = Self::parse(text)?;
        if peer.local().is_none() {
            return Err(WANTED.to_owned());
        }
        if peer.is_full() {
            return Err(format!(
                "expected an address without a resource: {}",
                peer.bare()
            ));
        }
        Ok(peer)
    }

    /// The peer whose name in the configuration this is, if it looks like one: `juliet`, or `juliet/phone`.
    fn known(text: &str) -> Result<Option<Self>, String> {
        let (name, resource) = match text.split_once('/') {
            Some((name, resource)) => (name, Some(resource)),
            None => (text, None),
        };
        let Some(peer) = KNOWN.get().and_then(|known| known.get(name)) else {
            return Ok(None);
        };
        let Some(resource) = resource else {
            return Ok(Some(peer.clone()));
        };
        let address = peer
            .address
            .with_resource(resource)
            .map_err(|error| error.to_string())?;
        Ok(Some(Self {
            address: address.into(),
            key: peer.key,
        }))
    }

    fn of_uri(text: &str) -> Result<Self, String> {
        let uri = XmppUri::parse(text).map_err(|error| error.to_string())?;
        let ours = uri.action.as_deref() == Some(ACTION);
        let key = match uri.field(FIELD).filter(|_| ours) {
            Some(key) => Some(Fingerprint::parse(key).map_err(|error| error.to_string())?),
            None => None,
        };
        let address = address(&uri.address)?;
        Ok(Self { address, key })
    }

    /// The key that the URI names.
    pub(crate) fn key(&self) -> Option<Fingerprint> {
        self.key
    }

    /// The address without the key.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

/// Names of peers, from now on and for good.
pub(crate) fn know(peers: &BTreeMap<String, Peer>) {
    // The first configuration is the only one.
    let _ = KNOWN.set(peers.clone());
}

/// Whether a text can be the name of a peer, and not an address.
pub(crate) fn is_alias(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

static KNOWN: OnceLock<BTreeMap<String, Peer>> = OnceLock::new();

/// For callers that only need the address.
impl Deref for Peer {
    type Target = Address;

    fn deref(&self) -> &Address {
        &self.address
    }
}

/// The URI with which others can pin a key (RFC 5122). Everything but letters, digits and `-._~@` is percent-encoded, so
/// that the URI survives in links and QR codes.
pub(crate) fn uri(account: &Address, key: &Fingerprint) -> String {
    let mut uri = "xmpp:".to_owned();
    for octet in account.bare().bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~@".contains(&octet) {
            uri.push(char::from(octet));
        } else {
            uri.push_str(&format!("%{octet:02X}"));
        }
    }
    uri.push_str(&format!("?{ACTION};{FIELD}={}", key.hex()));
    uri
}

/// What to say of a text that looks like the name of a peer, if there are any.
fn unknown(text: &str) -> Option<String> {
    let known = KNOWN.get().filter(|known| !known.is_empty())?;
    if !is_alias(text) {
        return None;
    }
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    Some(format!(
        "{WANTED}, or a name from the configuration: {}",
        names.join(", ")
    ))
}

fn address(text: &str) -> Result<Address, String> {
    normalise(text).map_err(|error| format!("{}; {WANTED}", error.why))
}

const WANTED: &str = "expected name@domain";

/// The query type of our URIs, and the key of the fingerprint in them.
const ACTION: &str = "xtls";
const FIELD: &str = "fp";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d";

    fn parsed(text: &str) -> (String, Option<String>) {
        let peer = Peer::parse(text).unwrap();
        (peer.as_str().to_owned(), peer.key().map(|key| key.hex()))
    }

    #[test]
    fn a_malformed_address_is_refused_with_what_was_expected() {
        for wrong in [
            "juliet",
            "capulet.example",
            "juliet@",
            "@capulet.example",
            "juliet@@capulet.example",
            "",
            "xmpp:juliet",
            "xmpp:capulet.example?xtls;fp=00",
        ] {
            let why = Peer::parse(wrong).unwrap_err();
            assert!(!why.is_empty(), "{wrong}");
            if !wrong.contains(';') {
                assert!(why.ends_with(WANTED) || wrong.starts_with("xmpp:"), "{why}");
            }
        }
        let why = Peer::parse("juliet").unwrap_err();
        assert_eq!(why, "expected name@domain");
    }

    #[test]
    fn a_malformed_uri_is_refused() {
        for wrong in [
            "xmpp:".to_owned(),
            "xmpp://juliet@capulet.example".to_owned(),
            "xmpp:juliet@capulet.example?xtls;fp=0123".to_owned(),
            format!("xmpp:juliet@capulet.example?xtls;fp={KEY}0"),
            format!("xmpp:juliet@capulet.example?xtls;fp={KEY};fp={KEY}"),
            "xmpp:juliet%40capulet.example@x".to_owned(),
        ] {
            assert!(Peer::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_and_uris_are_the_same_peers() {
        let juliet = "juliet@capulet.example".to_owned();
        assert_eq!(parsed("Juliet@Capulet.example"), (juliet.clone(), None));
        assert_eq!(
            parsed("xmpp:Juliet@capulet.example"),
            (juliet.clone(), None)
        );
        for uri in [
            format!("xmpp:juliet@capulet.example?xtls;fp={KEY}"),
            format!("XMPP:juliet@capulet.example?xtls;fp={}", KEY.to_uppercase()),
        ] {
            assert_eq!(parsed(&uri), (juliet.clone(), Some(KEY.to_owned())));
        }
        // Under another query type, a field of this name is not a key.
        let other = format!("xmpp:juliet@capulet.example?message;fp={KEY}");
        assert_eq!(parsed(&other), (juliet, None));
        let service = "xmpp:echo.example/a%20b";
        assert_eq!(parsed(service), ("echo.example/a b".to_owned(), None));
    }

    #[test]
    fn an_account_has_a_name_and_no_resource() {
        assert!(Peer::parse_bare("juliet@capulet.example/balcony").is_err());
        assert!(Peer::parse_bare("echo.example/a").is_err());
        assert!(Peer::parse_bare("capulet.example").is_err());
        Peer::parse_bare("xmpp:juliet@capulet.example").unwrap();
    }

    #[test]
    fn a_printed_uri_parses_again_for_any_account() {
        let key = Fingerprint::parse(KEY).unwrap();
        for account in [
            "juliet@capulet.example",
            "a?b;c=d#e%41@capulet.example",
            "x;{echo,ran}|cat;`$(ran)`\\^[]@evil.example",
            "bücher@bücher.example",
            "漢字+1@漢字.example",
        ] {
            let account = normalise(account).unwrap();
            let uri = uri(&account, &key);
            assert!(uri.bytes().all(|octet| octet.is_ascii_graphic()), "{uri}");
            let peer = Peer::parse_bare(&uri).unwrap();
            assert_eq!((peer.address(), peer.key()), (&account, Some(key)), "{uri}");
        }
    }
}
