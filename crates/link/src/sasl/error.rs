//! Why a log-in failed.

use xtls_stanza::{Element, base64};

use super::Profile;
use super::profile::{NS, NS2};
use crate::mechanism::Offer;
use crate::scram::{Fault, NoProof};

/// Why nobody is logged in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SaslError {
    #[error("the server offers no acceptable way to log in{}", only(.offered))]
    NoMechanism {
        /// The names, separated by commas.
        offered: String,
    },
    #[error(
        "the server bound the log-in to the TLS connection before and does not offer it now; somebody may be tampering with the \
         connection"
    )]
    Unbound,
    #[error(
        "the server offers only weaker ways to log in than before; somebody may be tampering with the connection"
    )]
    Weaker,
    #[error("{}", Fault::Tampered)]
    Tampered,
    /// The account, its password or its certificate is not accepted.
    #[error("the server refuses the log-in: {condition}{}", in_brackets(.text))]
    Refused {
        /// RFC 6120 §6.5.
        condition: String,
        /// What the server adds, or nothing.
        text: String,
    },
    /// RFC 5802 §5: it said that the password is right.
    #[error("the server did not prove that it knows the password: {0}")]
    Impostor(#[from] NoProof),
    #[error("a bad SCRAM challenge: {0}")]
    Challenge(Fault),
    /// XEP-0388 §2.6.3: the password is not enough.
    #[error("the server asks for more than the password: {tasks}")]
    Tasks {
        /// Their names, separated by commas.
        tasks: String,
    },
    #[error("bad base64: {0}")]
    Base64(base64::Error),
    #[error("<{name}/> of {ns:?} was not expected")]
    Unexpected { name: String, ns: String },
}

impl SaslError {
    pub(super) fn no_mechanism(features: &Element) -> Self {
        let mut names = Offer::read(features, Profile::Sasl).names();
        for name in Offer::read(features, Profile::Sasl2).names() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self::NoMechanism {
            offered: shown(&names.join(", ")),
        }
    }

    pub(super) fn refused(failure: &Element) -> Self {
        // Both profiles have the conditions of RFC 6120 §6.5 in its namespace, and each has the text in its own.
        let mut conditions = failure
            .elements()
            .filter(|child| child.ns == NS && child.name != "text");
        let condition = conditions.next().map(|child| shown(&child.name));
        let text = failure.child("text", &failure.ns).map(Element::text);
        Self::Refused {
            condition: condition.unwrap_or_else(|| "undefined-condition".to_owned()),
            text: shown(&text.unwrap_or_default()),
        }
    }

    pub(super) fn tasks(element: &Element) -> Self {
        let list = element.child("tasks", NS2);
        let tasks = list.into_iter().flat_map(Element::elements);
        let tasks = tasks.filter(|child| child.is("task", NS2));
        let names: Vec<String> = tasks.map(|task| task.text().trim().to_owned()).collect();
        Self::Tasks {
            tasks: shown(&names.join(", ")),
        }
    }

    pub(super) fn unexpected(element: &Element) -> Self {
        Self::Unexpected {
            name: shown(&element.name),
            ns: shown(&element.ns),
        }
    }
}

impl From<Fault> for SaslError {
    fn from(fault: Fault) -> Self {
        if fault == Fault::Tampered {
            Self::Tampered
        } else {
            Self::Challenge(fault)
        }
    }
}

/// A server's words as they may stand in an error: of a length that can be read, and without what acts on a terminal.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= MAX_SHOWN {
            shown.push('…');
            break;
        }
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            c if c.is_alphanumeric() => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}

fn only(offered: &str) -> String {
    if offered.is_empty() {
        return String::new();
    }
    let hint = if offered.split(", ").any(|mechanism| mechanism == "PLAIN") {
        "; PLAIN shows the server the password, and is used only if it is allowed"
    } else {
        ""
    };
    format!(", only {offered}{hint}")
}

/// What is shown of a server's words, in bytes.
const MAX_SHOWN: usize = 1_024;
