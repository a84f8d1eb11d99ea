//! Which way to log in: what the server offers, what we can do, and what we have seen of it before.

#[cfg(test)]
mod tests;

use xtls_stanza::Element;

use crate::sasl::Profile;
use crate::scram::{Binding, Exporter, Hash};

const NS_BINDING: &str = "urn:xmpp:sasl-cb:0";

/// A way to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// By the certificate that we presented in the TLS handshake (RFC 4422, appendix A).
    External,
    Scram {
        hash: Hash,
        binding: Binding,
    },
    /// By showing the password (RFC 4616).
    Plain,
}

impl Mechanism {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::External => EXTERNAL,
            Self::Scram { hash, binding } if binding.binds() => plus(*hash),
            Self::Scram { hash, .. } => scram(*hash),
            Self::Plain => PLAIN,
        }
    }

    /// What is known of a server that let us in this way.
    pub(crate) fn shows(&self) -> Seen {
        match self {
            Self::External => Seen::Certificate,
            Self::Scram { hash, binding } => Seen::Scram {
                hash: *hash,
                bound: binding.binds(),
            },
            Self::Plain => Seen::Nothing,
        }
    }

    /// Which of two is the better one: what is tried first.
    fn strength(&self) -> (u8, Option<Hash>) {
        match self {
            Self::External => (3, None),
            Self::Scram { hash, binding } => (1 + u8::from(binding.binds()), Some(*hash)),
            Self::Plain => (0, None),
        }
    }
}

/// What a server offers in one profile of SASL, as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    mechanisms: Vec<String>,
    /// It binds in some mechanism, of this profile or of the other one.
    plus: bool,
    /// The ways of channel binding that it knows, if it says anything about them (XEP-0440).
    bindings: Option<Vec<String>>,
}

impl Offer {
    /// Reads a stream's features.
    pub(crate) fn read(features: &Element, profile: Profile) -> Self {
        let mechanisms = names(features, profile);
        let others = names(features, profile.other());
        let mut all = mechanisms.iter().chain(&others);
        let bindings = features
            .child("sasl-channel-binding", NS_BINDING)
            .map(|list| {
                let types = list.elements();
                let types = types.filter(|child| child.is("channel-binding", NS_BINDING));
                types
                    .filter_map(|child| child.attr("type"))
                    .map(str::to_owned)
                    .collect()
            });
        Self {
            plus: all.any(|name| name.ends_with("-PLUS")),
            mechanisms,
            bindings,
        }
    }

    /// The names of the mechanisms.
    pub(crate) fn names(self) -> Vec<String> {
        self.mechanisms
    }

    /// What XEP-0474 (§5.1) hashes.
    pub(crate) fn to_hash(&self) -> Vec<u8> {
        let mut text = sorted(&self.mechanisms);
        if let Some(bindings) = &self.bindings {
            text.push('\x1f');
            text.push_str(&sorted(bindings));
        }
        text.into_bytes()
    }

    fn has(&self, name: &str) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism == name)
    }

    /// Whether it knows our way of binding. One that says nothing may know `tls-unique` alone (ejabberd 23.01 does, even with
    /// TLS 1.3), and to guess wrong is to be refused.
    fn knows_exporter(&self) -> bool {
        let types = self.bindings.iter().flatten();
        types.into_iter().any(|name| name == "tls-exporter")
    }
}

/// The mechanisms of one profile.
fn names(features: &Element, profile: Profile) -> Vec<String> {
    let list = features.child(profile.list(), profile.ns());
    let children = list.into_iter().flat_map(Element::elements);
    let names = children.filter(|child| child.is("mechanism", profile.ns()));
    names.map(|child| child.text().trim().to_owned()).collect()
}

fn sorted(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.join("\x1e")
}

/// What we can log in by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Means {
    /// A certificate was presented in the TLS handshake.
    pub(crate) certificate: bool,
    pub(crate) password: bool,
    /// The server may see the password.
    pub(crate) plain: bool,
    pub(crate) exporter: Option<Exporter>,
}

/// What the log-ins of a link have shown of its server. From then on nothing less will do: a server does not forget how to prove
/// itself, but who stands in between would like it to (RFC 5802 §6, XEP-0474 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Seen {
    #[default]
    Nothing,
    /// It let us in without the password, so it need not be shown.
    Certificate,
    /// It proved that it knows the password.
    Scram { hash: Hash, bound: bool },
}

impl Seen {
    /// Adds what a log-in has shown that came to its end.
    pub(crate) fn learn(&mut self, new: Self) {
        *self = match (*self, new) {
            (seen, Self::Nothing) | (seen @ Self::Scram { .. }, Self::Certificate) => seen,
            (Self::Nothing | Self::Certificate, new) => new,
            (
                Self::Scram { hash, bound },
                Self::Scram {
                    hash: new,
                    bound: newly,
                },
            ) => Self::Scram {
                hash: hash.max(new),
                bound: bound || newly,
            },
        };
    }

    fn allows(self, mechanism: &Mechanism) -> bool {
        match (self, mechanism) {
            (Self::Nothing, _)
            | (Self::Certificate, Mechanism::External | Mechanism::Scram { .. }) => true,
            (Self::Certificate, Mechanism::Plain)
            | (Self::Scram { .. }, Mechanism::External | Mechanism::Plain) => false,
            (Self::Scram { hash, bound }, Mechanism::Scram { hash: new, binding }) => {
                *new >= hash && (binding.binds() || !bound)
            }
        }
    }
}

/// Why nothing of an offer is used; what weighs more comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unfit {
    /// There is nothing that we can and may do.
    Nothing,
    /// Log-ins were bound before, and none would be now.
    Unbound,
    /// Log-ins were stronger before.
    Weaker,
}

/// A way to log in, and the offer that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) profile: Profile,
    pub(crate) mechanism: Mechanism,
    pub(crate) offer: Offer,
}

/// The best of both profiles. The strength of the mechanism decides, so that neither list can be used to weaken what the other
/// one offers; where they are as strong as each other, `likes` does.
pub(crate) fn choose_profile(
    features: &Element,
    means: &Means,
    seen: Seen,
    likes: Profile,
) -> Result<Choice, Unfit> {
    let chosen = |profile| {
        let offer = Offer::read(features, profile);
        choose(&offer, means, seen).map(|mechanism| Choice {
            profile,
            mechanism,
            offer,
        })
    };
    match (chosen(likes), chosen(likes.other())) {
        (Ok(liked), Ok(other)) if liked.mechanism.strength() >= other.mechanism.strength() => {
            Ok(liked)
        }
        (_, Ok(choice)) | (Ok(choice), Err(_)) => Ok(choice),
        (Err(one), Err(other)) => Err(one.max(other)),
    }
}

/// The best that both ends can do. It is tried once: what fails is not tried again in a weaker way.
pub(crate) fn choose(offer: &Offer, means: &Means, seen: Seen) -> Result<Mechanism, Unfit> {
    let possible = possible(offer, means);
    if possible.is_empty() {
        return Err(Unfit::Nothing);
    }
    let binds = possible.iter().any(|mechanism| match mechanism {
        Mechanism::Scram { binding, .. } => binding.binds(),
        Mechanism::External | Mechanism::Plain => false,
    });
    let chosen = possible
        .into_iter()
        .find(|mechanism| seen.allows(mechanism));
    chosen.ok_or(match seen {
        Seen::Scram { bound: true, .. } if !binds => Unfit::Unbound,
        Seen::Scram { .. } | Seen::Certificate | Seen::Nothing => Unfit::Weaker,
    })
}

/// All that both ends can do, the best first.
fn possible(offer: &Offer, means: &Means) -> Vec<Mechanism> {
    let mut possible = Vec::new();
    if means.certificate && offer.has(EXTERNAL) {
        possible.push(Mechanism::External);
    }
    if !means.password {
        return possible;
    }
    if let Some(exporter) = &means.exporter
        && offer.knows_exporter()
    {
        let hashes = STRONGEST_FIRST
            .into_iter()
            .filter(|hash| offer.has(plus(*hash)));
        possible.extend(hashes.map(|hash| Mechanism::Scram {
            hash,
            binding: Binding::Exporter(exporter.clone()),
        }));
    }
    let hashes = STRONGEST_FIRST
        .into_iter()
        .filter(|hash| offer.has(scram(*hash)));
    possible.extend(hashes.map(|hash| Mechanism::Scram {
        hash,
        binding: unbound(hash, offer, means),
    }));
    if means.plain && offer.has(PLAIN) {
        possible.push(Mechanism::Plain);
    }
    possible
}

/// What a log-in without binding says of binding.
///
/// Where the server should offer it and does not, we say that we could have: to a server that can, this is a sign of tampering
/// (flag `y`, RFC 5802 §6). One that binds only in ways unknown to us would take it for the same, so it hears that we cannot
/// (flag `n`, XEP-0440 §3).
fn unbound(hash: Hash, offer: &Offer, means: &Means) -> Binding {
    let should = offer.knows_exporter() || !offer.plus;
    if means.exporter.is_some() && should && !offer.has(plus(hash)) {
        Binding::Unoffered
    } else {
        Binding::None
    }
}

const STRONGEST_FIRST: [Hash; 3] = [Hash::Sha512, Hash::Sha256, Hash::Sha1];

const EXTERNAL: &str = "EXTERNAL";
const PLAIN: &str = "PLAIN";

fn scram(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SCRAM-SHA-1",
        Hash::Sha256 => "SCRAM-SHA-256",
        Hash::Sha512 => "SCRAM-SHA-512",
    }
}

fn plus(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SCRAM-SHA-1-PLUS",
        Hash::Sha256 => "SCRAM-SHA-256-PLUS",
        Hash::Sha512 => "SCRAM-SHA-512-PLUS",
    }
}
