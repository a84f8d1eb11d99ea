//! What an XMPP client answers besides its streams, and says of those that are gone.

use rand_chacha::ChaCha20Rng;
use xtls_ibb::MAX_ID;
use xtls_stanza::disco::{Identity, Info};
use xtls_stanza::ibb::Sid;
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, Payload, PayloadError, StanzaError, ibb, xtls,
};

use super::fresh;
use super::transports::Transports;
use super::tunnels::Tunnels;

/// What a client that has never heard of XTLS answers: a stranger does not even learn that we are here.
pub(super) fn to_stranger(request: &Envelope) -> Envelope {
    request.error(StanzaError::new(
        ErrorType::Cancel,
        Condition::ServiceUnavailable,
    ))
}

/// An id that is too long to be kept: nothing is done for it but this.
pub(super) fn to_long_id(request: &Envelope) -> Envelope {
    let text = format!("the id of the request has more than {MAX_ID} bytes");
    let error = StanzaError::new(ErrorType::Modify, Condition::BadRequest).with_text(text);
    request.error(error)
}

/// Closes of all bytestreams, for their peers, if the same address is bound anew: nobody would take them from another one.
///
/// To a peer whose own server has lost nothing, an address that was bound anew looks as before. It would wait for us until it asks.
pub(super) fn farewells(
    tunnels: &Tunnels,
    transports: &Transports,
    own: &Address,
    random: &mut ChaCha20Rng,
) -> Vec<Envelope> {
    let streams = tunnels.streams().filter(|_| transports.own() == own);
    let farewells = streams.filter_map(|stream| {
        let sid = transports.bytestream(stream)?.clone();
        let tunnel = tunnels.get(tunnels.of_stream(stream)?)?;
        Some(Envelope {
            from: None,
            to: Some(tunnel.carrier().peer().clone()),
            id: fresh::id(random),
            content: Content::Set(Payload::Close(ibb::Close { sid })),
        })
    });
    farewells.collect()
}

/// Who asks to close a tunnel, and which.
pub(super) fn close_request(request: &Envelope) -> Option<(&Address, Option<&Sid>)> {
    let Content::Set(Payload::Xtls(xtls::Control::Close { sid })) = &request.content else {
        return None;
    };
    Some((request.from.as_ref()?, sid.as_ref()))
}

/// The answer to a request that belongs to no stream. `closed`: it was the `<close/>` of a tunnel that there is.
/// `features`: of the transports.
pub(super) fn to_request(
    request: &Envelope,
    payload: &Payload,
    closed: bool,
    features: impl Iterator<Item = &'static str>,
) -> Envelope {
    let set = matches!(request.content, Content::Set(_));
    let refuse = |kind, condition| request.error(StanzaError::new(kind, condition));
    let unavailable = || refuse(ErrorType::Cancel, Condition::ServiceUnavailable);
    match payload {
        Payload::DiscoQuery(query) if !set => match &query.node {
            None => request.result(Some(Payload::DiscoInfo(info(features)))),
            Some(_) => refuse(ErrorType::Cancel, Condition::ItemNotFound),
        },
        Payload::Ping if !set => request.result(None),
        Payload::Xtls(xtls::Control::Close { .. }) if set && closed => {
            request.result(Some(Payload::Xtls(xtls::Control::Closed)))
        }
        Payload::Xtls(xtls::Control::Close { .. }) if set => {
            refuse(ErrorType::Cancel, Condition::ItemNotFound)
        }
        // The flow before the letter, which is off unless asked for.
        Payload::Xtls(xtls::Control::Start { .. }) if set => {
            let error = StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable);
            request.error(error.with_text("open an In-Band Bytestream with <start/> inside"))
        }
        Payload::Xtls(xtls::Control::Data(_)) if set => {
            refuse(ErrorType::Cancel, Condition::ItemNotFound)
        }
        Payload::Xtls(_) => refuse(ErrorType::Cancel, Condition::FeatureNotImplemented),
        Payload::Malformed {
            why: PayloadError::Unknown,
            ..
        } => refuse(ErrorType::Cancel, Condition::FeatureNotImplemented),
        Payload::Malformed { .. } => refuse(ErrorType::Modify, Condition::BadRequest),
        Payload::DiscoQuery(_)
        | Payload::DiscoInfo(_)
        | Payload::Ping
        | Payload::Open(_)
        | Payload::Data(_)
        | Payload::Close(_)
        | Payload::Other(_) => unavailable(),
    }
}

/// What we can do (XEP-0030). Discovery is a hint, and nothing rests on it.
fn info(features: impl Iterator<Item = &'static str>) -> Info {
    let ours = ["urn:xmpp:ping", xtls::NS];
    let features = std::iter::once("http://jabber.org/protocol/disco#info")
        .chain(features)
        .chain(ours);
    Info {
        node: None,
        identities: vec![Identity {
            category: "client".to_owned(),
            type_: "pc".to_owned(),
            name: Some("xtls".to_owned()),
        }],
        features: features.map(ToOwned::to_owned).collect(),
    }
}

/// Bytes of answers outside of streams that wait for the link; more are dropped.
pub(super) const ANSWERS: usize = 262_144;
