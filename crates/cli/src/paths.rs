//! What is said of the path of a tunnel.

use serde_json::Value;
use xtls_client::Paths;
use xtls_client::router::PathEvent;
use xtls_client::tunnel::path::Kind;
use xtls_stanza::Address;

use crate::say::Say;

/// Reports which path carries a tunnel, until it ends.
pub(crate) async fn report(mut paths: Paths, peer: Address, say: Say) {
    let peer_field = ("peer", Value::from(peer.as_str()));
    let mut lost = false;
    while let Some(event) = paths.changed().await {
        match event {
            PathEvent::Moved(kind) => {
                let (name, text) = words(kind);
                let fields = [peer_field.clone(), ("path", Value::from(name))];
                match std::mem::take(&mut lost) {
                    true => say.event(
                        "path",
                        &fields,
                        format_args!("the tunnel with {peer} goes on {text}"),
                    ),
                    false => say.event(
                        "path",
                        &fields,
                        format_args!("the tunnel with {peer} goes {text} now"),
                    ),
                }
            }
            PathEvent::Lost => {
                lost = true;
                let text = format_args!(
                    "what carried the tunnel with {peer} is gone; looking for another path. What was sent is not lost"
                );
                say.warn("path_lost", std::slice::from_ref(&peer_field), text);
            }
            PathEvent::Stayed(why) => {
                let fields = [peer_field.clone(), ("why", Value::from(why.to_string()))];
                say.data("path_stayed", &fields);
            }
            PathEvent::PeerAllows(_) | _ => {}
        }
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
