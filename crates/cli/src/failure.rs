//! Every way to fail: an exit code, what happened, and what to do next.

use xtls_client::router::{Closed, OpenError, Why};
use xtls_client::session::{Receipt, Why as Session};
use xtls_client::tls::TlsError;
use xtls_client::transport::StreamEnd;
use xtls_client::{HomeError, JudgeError, LinkError, PinsError};

use xtls_stanza::{Condition, StanzaError};

use crate::mend;
use crate::suggest::{Suggest, THEIR_FINGERPRINT};

/// Why the program ends with an exit code other than 0.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// What happened, and to which peer: lower case, no full stop.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// It has already been reported.
    pub(crate) reported: bool,
    /// A tunnel has ended because the connection to the server was lost.
    pub(crate) by_lost_link: bool,
}

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    Failed = 1,
    Usage = 2,
    Server = 3,
    Peer = 4,
    Identity = 5,
    Corrupt = 6,
    Timeout = 7,
    Interrupted = 130,
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            hint: None,
            reported: false,
            by_lost_link: false,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Marks it as already reported, so that it only determines the exit code.
    pub(crate) fn reported(mut self) -> Self {
        self.reported = true;
        self
    }

    /// Standard output failed. A reader that has gone has read as much as it wanted, and needs no message.
    pub(crate) fn of_output(error: &std::io::Error) -> Self {
        let failure = Self::failed(format!("standard output: {error}"));
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            failure.reported()
        } else {
            failure
        }
    }

    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Code::Failed, what)
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Code::Usage, what)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Code::Interrupted, "interrupted")
    }

    /// How a tunnel ended, unless it ended in order.
    pub(crate) fn of_close(closed: &Closed, suggest: &Suggest) -> Option<Self> {
        let peer = &closed.peer;
        let (code, hint): (Code, Option<String>) = match &closed.why {
            Why::Session(Session::Finished) if closed.clean && closed.unconfirmed == 0 => {
                return None;
            }
            Why::Superseded => (
                if closed.unconfirmed > 0 {
                    Code::Corrupt
                } else {
                    Code::Peer
                },
                Some("try again: the peer, or a server in its name, has started over".to_owned()),
            ),
            // A drained tunnel continues under its old name, and has no end.
            Why::Replaced => (
                Code::Corrupt,
                Some(
                    "the peer reconnected before this had ended: ask what it sent last".to_owned(),
                ),
            ),
            Why::Unavailable(_) => (
                Code::Peer,
                Some(format!(
                    "is `{}` running there as exactly {peer}, and does it accept you (--accept)?",
                    suggest.listener()
                )),
            ),
            Why::Declined(error) | Why::Unreachable(error) if is_of_a_server(error) => (
                Code::Peer,
                Some(format!(
                    "is the address right? A server on the way does not let you reach {}",
                    peer.domain()
                )),
            ),
            Why::Declined(_) => (
                Code::Peer,
                Some("the peer does not want a tunnel with you now".to_owned()),
            ),
            Why::Unreachable(_) if closed.why.busy().is_some() => (
                Code::Peer,
                closed.why.busy().map(|busy| {
                    format!("the peer can set this with --limit {}=N", busy.limit.name())
                }),
            ),
            Why::Unreachable(_) => (
                Code::Peer,
                Some("try again when the peer is online".to_owned()),
            ),
            Why::HandshakeAborted | Why::Stream(_) | Why::Second => (Code::Peer, None),
            Why::NoAnswer => (
                Code::Timeout,
                Some("is the peer online with this resource?".to_owned()),
            ),
            Why::Impostor => (Code::Identity, None),
            Why::Setup(_) | Why::Busy(_) => (Code::Failed, None),
            Why::Unasked | Why::LongFlight { .. } => (
                Code::Peer,
                Some("a server on the path may not cope with it: try --no-early-hello".to_owned()),
            ),
            Why::Session(why) | Why::Cut { session: why, .. } => {
                of_session(why, peer.bare(), suggest)
            }
            _ => (Code::Failed, None),
        };
        let mut what = format!("{peer}: {}", closed.why);
        if closed.is_cut() && !says_that_it_is_cut(&closed.why) {
            what.push_str("; the end of the conversation may be missing");
        }
        if closed.unconfirmed > 0 {
            let stanzas = match closed.unconfirmed {
                1 => "1 stanza".to_owned(),
                n => format!("{n} stanzas"),
            };
            what.push_str(&match closed.receipt {
                Receipt::Unaccepted => {
                    format!("; {stanzas} sent before the peer accepted you may not have been read")
                }
                Receipt::Accepted | Receipt::Taken => {
                    format!(
                        "; {stanzas} sent, but the peer has not confirmed that it took everything"
                    )
                }
                Receipt::Read => {
                    format!("; {stanzas} sent, which the peer has read but cannot confirm")
                }
            });
        }
        // A cut after the tunnel was established is not a refusal.
        let code = if code == Code::Peer && closed.is_cut() {
            Code::Corrupt
        } else {
            code
        };
        Some(Self {
            code,
            what,
            hint,
            reported: false,
            by_lost_link: is_by_lost_link(&closed.why),
        })
    }
}

/// Whether it is a server that has answered, and not the peer: about where the peer is, or who may send there.
fn is_of_a_server(error: &StanzaError) -> bool {
    matches!(
        error.condition,
        Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::NotAllowed
            | Condition::JidMalformed
    )
}

fn is_by_lost_link(why: &Why) -> bool {
    matches!(
        why,
        Why::Stream(StreamEnd::LinkLost)
            | Why::Cut {
                stream: StreamEnd::LinkLost,
                ..
            }
    )
}

/// Whether the reason itself reports that something is missing.
fn says_that_it_is_cut(why: &Why) -> bool {
    matches!(
        why,
        Why::Replaced
            | Why::Session(Session::Truncated)
            | Why::Cut {
                session: Session::Truncated,
                ..
            }
    )
}

fn of_session(why: &Session, peer: &str, suggest: &Suggest) -> (Code, Option<String>) {
    match why {
        Session::Tls(TlsError::Trust(error)) => (Code::Identity, trust_hint(error, peer, suggest)),
        Session::Untrusted(error) => (Code::Identity, trust_hint(error, peer, suggest)),
        Session::Tls(TlsError::NoCertificate) => {
            (Code::Identity, Some("both ends must present a key; the peer presented none".to_owned()))
        }
        Session::Tls(TlsError::NotAsked) => {
            (Code::Identity, Some("both ends must present a key; the peer did not ask for yours".to_owned()))
        }
        Session::Tls(TlsError::Alpn) => (
            Code::Identity,
            Some("do both ends run the same verb? If so, a server on the path has changed who is talking to whom".to_owned()),
        ),
        Session::Tls(TlsError::Alert(alert)) if alert.refuses_us() => (
            Code::Identity,
            Some("the peer does not accept your key: ask them to compare your `xtls id` with what they have pinned".to_owned()),
        ),
        Session::Tls(TlsError::Truncated) => (Code::Corrupt, None),
        Session::Tls(TlsError::Corrupt) => {
            (Code::Corrupt, Some("a server on the path changes what it carries".to_owned()))
        }
        Session::Tls(_) | Session::Unconfirmed => (Code::Peer, None),
        Session::Refused => (Code::Identity, None),
        Session::Routing(_) | Session::Confirmation(_) => (Code::Identity, None),
        Session::Framing(_) | Session::Xml(_) | Session::Afterthought | Session::Truncated | Session::Unfinished | Session::Finished => (Code::Corrupt, None),
        Session::HandshakeTimeout | Session::Silent | Session::JudgingTimeout | Session::CloseTimeout => (Code::Timeout, None),
        Session::Unread | Session::Aborted | _ => (Code::Failed, None),
    }
}

/// What to do about a key. The commands leave out the presented fingerprint, because the user has to compare it first.
fn trust_hint(
    error: &xtls_client::tls::trust::TrustError,
    peer: &str,
    suggest: &Suggest,
) -> Option<String> {
    use xtls_client::tls::trust::TrustError as Trust;
    let forget = || suggest.line(&["trust", "forget"], &[peer]);
    let pin = || suggest.line(&["trust", "pin"], &[peer, THEIR_FINGERPRINT]);
    match error {
        Trust::KeyChanged { .. } => Some(format!(
            "nothing was sent. Ask them for their fingerprint over another channel; if the key is theirs:{}",
            Suggest::block(&[forget(), pin()])
        )),
        Trust::NotPinned { .. } => Some(format!(
            "use --trust ask, or ask them for their fingerprint over another channel and pin it:{}",
            Suggest::block(&[pin()])
        )),
        Trust::WrongJid { .. }
        | Trust::NoJid { .. }
        | Trust::SeveralJids { .. }
        | Trust::OwnKey { .. }
        | Trust::KeyOfAnother { .. }
        | Trust::Revoked { .. }
        | Trust::SeveralCertificates { .. }
        | Trust::BadCertificate { .. }
        | Trust::NotProven { .. }
        | _ => None,
    }
}

/// An error with all that led to it, in one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let hint = match &error {
            LinkError::Conflict(_) => Some("choose another resource with --resource".to_owned()),
            LinkError::Lost(_)
            | LinkError::Protocol(_)
            | LinkError::Refused(_)
            | LinkError::Closed
            | _ => None,
        };
        Self {
            code: Code::Server,
            what: chain(&error),
            hint,
            reported: false,
            by_lost_link: false,
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let hint = mend::home(&error);
        Self::failed(error.to_string()).maybe_hint(hint)
    }
}

impl From<PinsError> for Failure {
    fn from(error: PinsError) -> Self {
        let pin = matches!(error, PinsError::Pin(_));
        let code = if pin { Code::Identity } else { Code::Failed };
        Self::new(code, error.to_string()).maybe_hint(mend::pins(&error))
    }
}

impl From<JudgeError> for Failure {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Stale(why) => Self::failed(format!("nothing was accepted: {why}")),
            JudgeError::Pins(error) => error.into(),
            other => Self::failed(format!("nothing was accepted: {other}")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match error {
            OpenError::Own(_) => Code::Usage,
            OpenError::Stopped => Code::Server,
            OpenError::Already(_) | OpenError::Stream(_) | _ => Code::Failed,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests;
