//! What is said of the path of a tunnel.

use serde_json::Value;
use xtls_client::tunnel::path::Kind;
use xtls_client::{PathState, Paths};
use xtls_stanza::Address;

use crate::say::Say;

/// Reports which path carries a tunnel, until it ends.
pub(crate) async fn report(mut paths: Paths, peer: Address, say: Say) {
    let peer_field = ("peer", Value::from(peer.as_str()));
    let mut before = PathState::default();
    while let Some(state) = paths.changed().await {
        match state.carrying {
            same if same == before.carrying => {}
            Some(kind) => {
                let (name, text) = words(kind);
                let fields = [peer_field.clone(), ("path", Value::from(name))];
                let (goes, now) = match before.carrying {
                    None => ("goes on", ""),
                    Some(_) => ("goes", " now"),
                };
                let text = format_args!("the tunnel with {peer} {goes} {text}{now}");
                say.event("path", &fields, text);
            }
            None => {
                let text = format_args!(
                    "what carried the tunnel with {peer} is gone; looking for another path. What was sent is not lost"
                );
                say.warn("path_lost", std::slice::from_ref(&peer_field), text);
            }
        }
        if let Some(why) = state.stayed.filter(|_| state.stayed != before.stayed) {
            let fields = [peer_field.clone(), ("why", Value::from(why.to_string()))];
            say.data("path_stayed", &fields);
        }
        before = state;
    }
}

/// The name of a path, and what it means.
fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::InBand => ("in-band", "through both servers, in stanzas"),
        Kind::Relay => ("relay", "through a relay of one of the servers"),
        Kind::Direct => ("direct", "directly, without a server in between"),
    }
}
