//! The namespaces in use.

/// Stanzas of a client, outside and inside a tunnel.
pub const CLIENT: &str = "jabber:client";
/// Conditions of a stanza error (RFC 6120 §8.3).
pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// In-Band Bytestreams (XEP-0047).
pub const IBB: &str = "http://jabber.org/protocol/ibb";
/// XTLS, as named in the letter of December 2008.
pub const XTLS: &str = "urn:xmpp:tmp:xtls";
/// The early hello, an extension to the letter.
pub const XTLS_EARLY: &str = "urn:xmpp:tmp:xtls#early";
/// The limit that a request ran into, an extension to the letter.
pub const XTLS_LIMIT: &str = "urn:xmpp:tmp:xtls#limit";
/// Verification inside a tunnel, an extension to the letter.
pub const XTLS_VERIFY: &str = "urn:xmpp:tmp:xtls#verify";
/// How one end finishes sending, an extension to the letter.
pub const XTLS_FINISH: &str = "urn:xmpp:tmp:xtls#finish";
/// Paths beside the server, an extension to the letter.
pub const XTLS_PATH: &str = "urn:xmpp:tmp:xtls#path";
/// Service discovery (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// The items of an entity (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// SOCKS5 bytestreams (XEP-0065).
pub const BYTESTREAMS: &str = "http://jabber.org/protocol/bytestreams";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Stream limits (XEP-0478).
pub const LIMITS: &str = "urn:xmpp:stream-limits:0";
/// Message processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Message carbons (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// Delivery receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// The prefix `xml` (Namespaces in XML 1.0 §3).
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The prefix `xmlns` (Namespaces in XML 1.0 §3).
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
