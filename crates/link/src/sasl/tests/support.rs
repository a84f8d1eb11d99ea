//! A client in a log-in, and a server that knows the password.

use ::sasl::common::scram::{ScramProvider as _, Sha256};
use ::sasl::common::{Password, xor};

use super::super::profile::NS;
use super::super::*;
use crate::mechanism::Offer;

pub(super) const BOTH: &str = "SCRAM-SHA-256 SCRAM-SHA-256-PLUS";
pub(super) const ROUNDS: &str = "s=c2FsdA==,i=4096";

pub(super) fn credentials() -> Credentials {
    Credentials {
        account: "juliet@example.org".to_owned(),
        local: "juliet".to_owned(),
        password: Some(Zeroizing::new("pencil".to_owned())),
        certificate: false,
        allow_plain: false,
    }
}

pub(super) fn with_leave() -> Credentials {
    Credentials {
        allow_plain: true,
        ..credentials()
    }
}

pub(super) fn exporter() -> Option<Exporter> {
    Some(Exporter::new(Zeroizing::new([7; 32])))
}

pub(super) fn features(mechanisms: &str, bindings: Option<&str>) -> Element {
    let names = mechanisms.split_whitespace();
    let list = names.fold(Element::new("mechanisms", NS), |list, name| {
        list.with_child(Element::new("mechanism", NS).with_text(name))
    });
    let features = Element::new("features", "http://etherx.jabber.org/streams").with_child(list);
    let Some(bindings) = bindings else {
        return features;
    };
    let ns = "urn:xmpp:sasl-cb:0";
    let types = bindings
        .split_whitespace()
        .map(|name| Element::new("channel-binding", ns).with_attr("type", name));
    let types = types.fold(
        Element::new("sasl-channel-binding", ns),
        Element::with_child,
    );
    features.with_child(types)
}

/// Begins by what is offered.
pub(super) fn start(
    features: &Element,
    credentials: &Credentials,
    exporter: Option<Exporter>,
    memory: &Memory,
    random: &[u8; 32],
) -> Result<(Exchange, Octets), SaslError> {
    let choice = Exchange::choose(features, credentials, exporter, memory, Profile::Sasl)?;
    Ok(Exchange::start(choice, credentials, random, b""))
}

/// What XEP-0474 hashes of an offer.
pub(super) fn to_hash(offered: &Element) -> Vec<u8> {
    Offer::read(offered, Profile::Sasl).to_hash()
}

/// A client in a log-in, and what it has said last.
pub(super) struct Client {
    pub(super) exchange: Exchange,
    pub(super) memory: Memory,
    pub(super) said: Element,
}

impl Client {
    pub(super) fn start(features: &Element, credentials: &Credentials, memory: Memory) -> Self {
        let started = start(features, credentials, exporter(), &memory, &[1; 32]);
        let (exchange, octets) = started.map_err(|error| error.to_string()).unwrap();
        Self {
            exchange,
            memory,
            said: read(&octets),
        }
    }

    /// The message in what it said last.
    pub(super) fn message(&self) -> String {
        decoded(&self.said)
    }

    /// Hears an element, and does the work that there is.
    pub(super) fn hear(&mut self, element: &Element) -> Result<Heard, SaslError> {
        let octets = match self.exchange.handle(element, &mut self.memory)? {
            Next::LoggedIn => return Ok(Heard::LoggedIn),
            Next::Derive(job) => {
                let octets = self.exchange.handle_keys(job.run(), &mut self.memory);
                self.said = read(&octets.unwrap());
                return Ok(Heard::Worked);
            }
            Next::Send(octets) => octets,
        };
        self.said = read(&octets);
        Ok(Heard::Answered)
    }

    fn nonce(&self) -> String {
        let message = self.message();
        message.split_once("r=").unwrap().1.to_owned()
    }

    /// The server's first message, to the client's.
    pub(super) fn challenge(&self, rest: &str) -> Element {
        challenge(&format!("r={}more,{rest}", self.nonce()))
    }
}

#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    LoggedIn,
    Worked,
    Answered,
}

pub(super) fn read(octets: &Octets) -> Element {
    Element::read(octets.as_ref(), "jabber:client").unwrap()
}

pub(super) fn decoded(element: &Element) -> String {
    let bytes = decode(&element.text()).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn said(name: &str, message: &str) -> Element {
    let mut text = Vec::new();
    base64::encode(message.as_bytes(), &mut text);
    Element::new(name, NS).with_text(String::from_utf8(text).unwrap())
}

pub(super) fn challenge(message: &str) -> Element {
    said("challenge", message)
}

pub(super) fn success(message: &str) -> Element {
    said("success", message)
}

pub(super) fn failure(condition: &str) -> Element {
    Element::new("failure", NS).with_child(Element::new(condition, NS))
}

/// What a server that knows the password says to the client's last message: the client's proof must be right.
pub(crate) fn signature(first: &str, rest: &str, last: &str) -> String {
    let bare = first.splitn(3, ',').nth(2).unwrap();
    let nonce = bare.split_once(",r=").unwrap().1;
    let (unproven, proof) = last.rsplit_once(",p=").unwrap();
    let said = format!("{bare},r={nonce}more,{rest},{unproven}");
    let password = Password::Plain("pencil".to_owned());
    let salted = Sha256::derive(&password, b"salt", 4096).unwrap();
    let stored = Sha256::hash(&Sha256::hmac(b"Client Key", &salted).unwrap());
    let proof = base64::decode(proof, Whitespace::Refuse).unwrap();
    let mask = Sha256::hmac(said.as_bytes(), &stored).unwrap();
    assert_eq!(Sha256::hash(&xor(&proof, &mask)), stored);
    let key = Sha256::hmac(b"Server Key", &salted).unwrap();
    let mut text = b"v=".to_vec();
    base64::encode(&Sha256::hmac(said.as_bytes(), &key).unwrap(), &mut text);
    String::from_utf8(text).unwrap()
}

/// A whole log-in by SCRAM, with a server that is what it should be.
pub(super) fn logged_in(features: &Element, memory: Memory) -> Client {
    let mut client = Client::start(features, &credentials(), memory);
    let first = client.message();
    client.hear(&client.challenge(ROUNDS)).unwrap();
    let proof = signature(&first, ROUNDS, &client.message());
    assert_eq!(client.hear(&success(&proof)), Ok(Heard::LoggedIn));
    client
}

pub(super) fn refused(features: &Element, credentials: &Credentials, memory: &Memory) -> SaslError {
    let started = start(features, credentials, exporter(), memory, &[1; 32]);
    started.map(|_| ()).unwrap_err()
}
