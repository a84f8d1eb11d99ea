//! Whether a peer is there, and what is known of its key.

use std::time::Duration;

use xtls_client::Pins;
use xtls_client::tls::trust::{Level, Store};
use xtls_stanza::disco::Query;
use xtls_stanza::{Address, Condition, Payload, xtls};

use super::desk::{Desk, Unanswered};
use super::report::Report;
use crate::failure::{Code, Failure};
use crate::link::{exact, pinned};
use crate::peer::Peer;
use crate::suggest::{Suggest, THEIR_FINGERPRINT};

/// Reports on a peer.
pub(super) async fn examine(
    own: &Address,
    peer: &Peer,
    pins: Option<&Pins>,
    suggest: &Suggest,
    desk: &mut Desk,
    report: &mut Report,
) -> Result<(), Failure> {
    let address = exact(peer)?;
    let query = Payload::DiscoQuery(Query::default());
    let answer = desk.ask(&address, query, PATIENCE).await?;
    match answer {
        Ok(Some(Payload::DiscoInfo(info))) if info.has(xtls::NS) => {
            report.fine("peer", format!("{address} is online and speaks XTLS"))?;
        }
        Ok(_) => {
            let what = format!("{address} is online, but its program does not speak XTLS");
            let hint = "is the part behind the slash right? Listeners are at /xtls".to_owned();
            report.wrong("peer", Failure::new(Code::Peer, what).hint(hint))?;
        }
        Err(why) => report.wrong("peer", absent(own, &address, &why))?,
    }
    resources(peer, desk, report)?;
    key(peer, pins, suggest, report)
}

fn absent(own: &Address, peer: &Address, why: &Unanswered) -> Failure {
    let failure = |what: &str| Failure::new(Code::Peer, format!("{peer}: {what}"));
    match why {
        Unanswered::Silence => failure("no answer").hint(
            "they, or their server, may have lost the connection: try again in a few minutes",
        ),
        Unanswered::Refused(error)
            if matches!(
                error.condition,
                Condition::RemoteServerNotFound | Condition::RemoteServerTimeout
            ) =>
        {
            let condition = error.condition.name();
            failure(&format!("your server does not reach theirs ({condition})")).hint(
                "is the part behind the @ right? If it is, whoever runs your server can tell why",
            )
        }
        // Servers say so of those who are away, and listeners to those whom they do not accept.
        Unanswered::Refused(_) => {
            failure("nobody is there, or it does not accept you").hint(format!(
                "is `xtls … --listen --accept {}` running there as exactly {peer}?",
                own.bare()
            ))
        }
    }
}

/// Servers tell only those who have subscribed to each other.
fn resources(peer: &Peer, desk: &Desk, report: &Report) -> Result<(), Failure> {
    let resources = desk.resources(peer.bare());
    if resources.is_empty() {
        return report.unknown(
            "resources",
            "their other clients are not shown to you: that takes a subscription to their presence",
        );
    }
    report.fine(
        "resources",
        format!("of {}: {}", peer.bare(), resources.join(", ")),
    )
}

fn key(
    peer: &Peer,
    pins: Option<&Pins>,
    suggest: &Suggest,
    report: &mut Report,
) -> Result<(), Failure> {
    let store = pins.map(Pins::store);
    // As every call does.
    if let Err(failure) = pinned(peer, store.as_deref(), suggest) {
        return report.wrong("key", failure);
    }
    let Some(store) = store else {
        return first_contact(peer, suggest, report);
    };
    let bare = peer.bare();
    if !store.doubts(bare).is_empty() {
        let show = suggest.line(&["trust", "show"], &[bare]);
        let hint = format!(
            "this shows which, and since when:{}",
            Suggest::block(&[show])
        );
        let what = format!("a key presented as {bare}'s has failed a comparison");
        let failure = Failure::new(Code::Identity, what).hint(hint);
        return report.wrong("key", failure);
    }
    known(peer, &store, suggest, report)
}

fn known(
    peer: &Peer,
    store: &Store,
    suggest: &Suggest,
    report: &mut Report,
) -> Result<(), Failure> {
    let bare = peer.bare();
    let pins = store.of(bare);
    let live = || pins.iter().filter(|pin| pin.level != Level::Revoked);
    let Some(first) = live().next() else {
        if pins.is_empty() {
            return first_contact(peer, suggest, report);
        }
        let forget = suggest.line(&["trust", "forget"], &[bare]);
        let hint = format!(
            "they need a new key; when they have one, this makes room for it:{}",
            Suggest::block(&[forget])
        );
        let what = format!("every key of {bare} is revoked");
        return report.wrong("key", Failure::new(Code::Identity, what).hint(hint));
    };
    let keys = match live().count() {
        1 => format!("{bare} has the key {}", short(&first.fingerprint.grouped())),
        n => format!("{bare} has {n} keys"),
    };
    if live().all(|pin| matches!(pin.level, Level::Verified(_))) {
        return report.fine("key", format!("{keys}, pinned and verified"));
    }
    let verify = suggest.line(&["verify"], &[bare]);
    let remedy = format!("make sure that it is theirs:{}", Suggest::block(&[verify]));
    report.remark(
        "key",
        format!("{keys}, pinned at first use and never compared"),
        &remedy,
    )
}

fn first_contact(peer: &Peer, suggest: &Suggest, report: &Report) -> Result<(), Failure> {
    let pin = suggest.line(&["trust", "pin"], &[peer.bare(), THEIR_FINGERPRINT]);
    let remedy = format!(
        "the first contact will ask you about it; better, compare and pin it before:{}",
        Suggest::block(&[pin])
    );
    report.remark(
        "key",
        format!("no key of {} is pinned yet", peer.bare()),
        &remedy,
    )
}

/// Enough of a fingerprint to recognise it, and too little to compare it.
fn short(grouped: &str) -> String {
    let head: String = grouped.chars().take(17).collect();
    format!("{head} …")
}

/// How long the answer of a peer may take, whose server may have to be connected to first.
const PATIENCE: Duration = Duration::from_secs(15);
