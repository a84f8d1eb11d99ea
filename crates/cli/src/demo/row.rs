//! Something to show.

use std::time::Duration;

use xtls_client::relay::Seen;
use xtls_stanza::Stanza;

#[derive(Debug, Clone)]
pub(super) enum Row {
    /// The server forwarded a stanza.
    Carrying(Seen),
    /// A stanza came out of the tunnel.
    Inner {
        at: Duration,
        who: String,
        xml: Vec<u8>,
        /// What it says, in a few words.
        gist: String,
    },
    /// One side may send now.
    Ready { at: Duration, who: String },
    /// One side has learned that both have accepted each other.
    Established {
        at: Duration,
        who: String,
        key: String,
    },
    /// Anything else.
    Note {
        at: Duration,
        who: String,
        text: String,
    },
}

impl Row {
    /// A stanza as it passed through the tunnel: this end has restored the addresses.
    pub(super) fn inner(at: Duration, who: &str, stanza: &Stanza) -> Self {
        let mut inner = stanza.clone();
        (inner.from, inner.to) = (None, None);
        let mut xml = Vec::new();
        inner.write(&mut xml);
        Self::Inner {
            at,
            who: who.to_owned(),
            xml,
            gist: gist(stanza),
        }
    }

    pub(super) fn at(&self) -> Duration {
        match self {
            Self::Carrying(Seen { at, .. })
            | Self::Inner { at, .. }
            | Self::Ready { at, .. }
            | Self::Established { at, .. }
            | Self::Note { at, .. } => *at,
        }
    }
}

/// The text of a message, or what a query is about.
fn gist(stanza: &Stanza) -> String {
    let elements = stanza.elements().unwrap_or_default();
    let Some(first) = elements.first() else {
        return stanza.kind.name().to_owned();
    };
    if first.name == "body" {
        return first.text();
    }
    let type_ = stanza.type_.as_deref().unwrap_or_default();
    format!("{} {type_}, {}", stanza.kind.name(), first.ns)
}
