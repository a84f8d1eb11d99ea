//! Logging in (RFC 6120 §6): SCRAM, bound to the TLS channel where the server can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sasl::client::mechanisms::{Plain, Scram};
use sasl::client::{Mechanism, MechanismError};
use sasl::common::ChannelBinding;
use sasl::common::scram::{Sha1, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use xtls_stanza::Element;
use xtls_stanza::base64::{self, Whitespace};
use zeroize::Zeroizing;

use super::error::ConnectError;
use super::header::condition;
use super::login::LoginStream;
use super::tls::Exporter;

const NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const NS_BINDING: &str = "urn:xmpp:sasl-cb:0";
pub(super) const DURING: &str = "while logging in";

/// PBKDF2 rounds that we do for a server: RFC 5802 §5.1 wants 4,096 at least, and a million take a second or so.
const ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

/// More than any mechanism needs.
const MAX_CHALLENGES: usize = 4;

/// Who logs in.
#[derive(Clone)]
pub(super) struct Login {
    /// The bare address, for errors.
    pub(super) account: String,
    pub(super) local: String,
    pub(super) domain: String,
    pub(super) password: Zeroizing<String>,
    pub(super) allow_plain: bool,
    /// A log-in of this link was bound: from then on none goes without.
    pub(super) bound: Arc<AtomicBool>,
}

/// What is used of what a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Sha256(ChannelBinding),
    Sha1(ChannelBinding),
    Plain,
}

impl Choice {
    fn binds(&self) -> bool {
        match self {
            Self::Sha256(binding) | Self::Sha1(binding) => match binding {
                ChannelBinding::TlsExporter(_) | ChannelBinding::TlsUnique(_) => true,
                ChannelBinding::None | ChannelBinding::Unsupported => false,
            },
            Self::Plain => false,
        }
    }
}

/// Logs in on a stream whose features have come.
pub(super) async fn log_in<T: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut LoginStream<T>,
    features: &Element,
    login: &Login,
    exporter: Option<Exporter>,
) -> Result<(), ConnectError> {
    let Some(choice) = choose(features, exporter, login.allow_plain) else {
        return Err(ConnectError::NoMechanism {
            domain: login.domain.clone(),
            offered: mechanisms(features).join(", "),
        });
    };
    let binds = choice.binds();
    if !binds && login.bound.load(Ordering::Relaxed) {
        return Err(ConnectError::Unbound {
            domain: login.domain.clone(),
        });
    }
    tracing::debug!(binds, "logging in");
    // The `sasl` crate does not wipe its copy, which lives as long as the exchange.
    // The user name is what SCRAM escapes (RFC 5802 §5.1) and PLAIN does not.
    let escaped = login.local.replace('=', "=3D").replace(',', "=2C");
    let password = prepared(&login.password);
    match choice {
        Choice::Sha256(binding) => {
            let scram = Scram::<Sha256>::new(escaped, password, binding);
            run(stream, login, scram.map_err(|_| no_randomness())?, true).await
        }
        Choice::Sha1(binding) => {
            let scram = Scram::<Sha1>::new(escaped, password, binding);
            run(stream, login, scram.map_err(|_| no_randomness())?, true).await
        }
        Choice::Plain => {
            run(
                stream,
                login,
                Plain::new(login.local.clone(), password),
                false,
            )
            .await
        }
    }?;
    if binds {
        login.bound.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// The best that both ends can do. It is tried once: what fails bound is not tried again without.
///
/// We bind where the server says that it knows our way of binding, `tls-exporter`, and offers a `-PLUS` mechanism for
/// it (RFC 9266, XEP-0440). Where it should and does not offer one, we say that we could have: to a server that can, this
/// is a sign of tampering (flag `y`, RFC 5802 §6). One that binds only in ways unknown to us would take it for the
/// same, so it hears that we cannot (flag `n`, XEP-0440 §3).
fn choose(features: &Element, exporter: Option<Exporter>, allow_plain: bool) -> Option<Choice> {
    let offered = mechanisms(features);
    let has = |name: &str| offered.iter().any(|mechanism| mechanism == name);
    let offers_binding = offered.iter().any(|mechanism| mechanism.ends_with("-PLUS"));
    let binds = binds_to_exporter(features);
    if let Some(data) = exporter
        && binds
    {
        let binding = || ChannelBinding::TlsExporter(data.to_vec());
        if has("SCRAM-SHA-256-PLUS") {
            return Some(Choice::Sha256(binding()));
        }
        if has("SCRAM-SHA-1-PLUS") {
            return Some(Choice::Sha1(binding()));
        }
    }
    let binding = if exporter.is_some() && (binds || !offers_binding) {
        ChannelBinding::Unsupported
    } else {
        ChannelBinding::None
    };
    if has("SCRAM-SHA-256") {
        Some(Choice::Sha256(binding))
    } else if has("SCRAM-SHA-1") {
        Some(Choice::Sha1(binding))
    } else if has("PLAIN") && allow_plain {
        Some(Choice::Plain)
    } else {
        None
    }
}

fn mechanisms(features: &Element) -> Vec<String> {
    let Some(mechanisms) = features.child("mechanisms", NS) else {
        return Vec::new();
    };
    let names = mechanisms
        .elements()
        .filter(|child| child.is("mechanism", NS));
    names.map(|child| child.text().trim().to_owned()).collect()
}

/// XEP-0440 says which bindings a server knows. One that says nothing may know `tls-unique` alone (ejabberd 23.01 does,
/// even with TLS 1.3), and to guess wrong is to be refused.
fn binds_to_exporter(features: &Element) -> bool {
    features
        .child("sasl-channel-binding", NS_BINDING)
        .is_some_and(|types| {
            types.elements().any(|child| {
                child.is("channel-binding", NS_BINDING)
                    && child.attr("type") == Some("tls-exporter")
            })
        })
}

async fn run<T, M>(
    stream: &mut LoginStream<T>,
    login: &Login,
    mut mechanism: M,
    proves: bool,
) -> Result<(), ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
    M: Mechanism + Send + 'static,
{
    let name = mechanism.name().to_owned();
    let first = Zeroizing::new(mechanism.initial());
    let nonce = nonce(&first);
    let auth = Element::new("auth", NS)
        .with_attr("mechanism", name)
        .with_text(encode(&first));
    stream.write(&auth).await?;

    let mut proven = !proves;
    for round in 0..MAX_CHALLENGES {
        let answer = stream.next().await?;
        if answer.is("failure", NS) {
            let (condition, text) = condition(&answer);
            return Err(ConnectError::Authentication {
                account: login.account.clone(),
                condition,
                text,
            });
        }
        let data = decode(&answer)?;
        if answer.is("success", NS) {
            if !proven {
                mechanism
                    .success(&data)
                    .map_err(|error| impostor(login, &error))?;
            }
            return Ok(());
        }
        if !answer.is("challenge", NS) {
            return Err(stream.unexpected(&answer));
        }
        let response = if round == 0 && proves {
            check_challenge(&data, &nonce).map_err(|why| {
                ConnectError::protocol(DURING, format_args!("a bad SCRAM challenge: {why}"))
            })?;
            // Half a second of arithmetic would hold up every other task of this thread.
            let (back, response) = tokio::task::spawn_blocking(move || {
                let response = mechanism.response(&data);
                (mechanism, response)
            })
            .await
            .map_err(|error| ConnectError::Broken {
                during: DURING,
                why: error.to_string(),
            })?;
            mechanism = back;
            response.map_err(|error| ConnectError::protocol(DURING, error))?
        } else if proven {
            return Err(stream.unexpected(&answer));
        } else {
            // A server may send its proof in a challenge of its own.
            mechanism
                .success(&data)
                .map_err(|error| impostor(login, &error))?;
            proven = true;
            Vec::new()
        };
        let response = Element::new("response", NS).with_text(encode(&response));
        stream.write(&response).await?;
    }
    Err(ConnectError::protocol(
        DURING,
        "more challenges than any mechanism has",
    ))
}

/// What the `sasl` crate does not check: the server's nonce begins with ours, and the work it asks for is bounded.
fn check_challenge(challenge: &[u8], own_nonce: &str) -> Result<(), &'static str> {
    let text = std::str::from_utf8(challenge).map_err(|_| "not UTF-8")?;
    let mut fields = text.split(',');
    let nonce = fields
        .next()
        .and_then(|field| field.strip_prefix("r="))
        .ok_or("no nonce first")?;
    if own_nonce.is_empty() || nonce.len() <= own_nonce.len() || !nonce.starts_with(own_nonce) {
        return Err("the nonce does not continue ours");
    }
    let salt = fields
        .next()
        .and_then(|field| field.strip_prefix("s="))
        .ok_or("no salt second")?;
    if salt.is_empty() {
        return Err("an empty salt");
    }
    let rounds = fields
        .next()
        .and_then(|field| field.strip_prefix("i="))
        .ok_or("no iteration count third")?;
    let rounds: u32 = rounds
        .parse()
        .map_err(|_| "an unreadable iteration count")?;
    if !ROUNDS.contains(&rounds) {
        return Err("an iteration count outside of 4096 to 1000000");
    }
    Ok(())
}

fn nonce(first: &[u8]) -> String {
    let text = String::from_utf8_lossy(first);
    text.rsplit_once(",r=")
        .map(|(_, nonce)| nonce.to_owned())
        .unwrap_or_default()
}

fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    // Base64 is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

fn decode(element: &Element) -> Result<Bytes, ConnectError> {
    let text = element.text();
    match text.trim() {
        "" | "=" => Ok(Bytes::new()),
        text => base64::decode(text, Whitespace::Refuse)
            .map_err(|error| ConnectError::protocol(DURING, format_args!("bad base64: {error}"))),
    }
}

/// SASLprep (RFC 4013). Text that it has no answer for, younger than its Unicode, goes as it is.
fn prepared(password: &str) -> String {
    stringprep::saslprep(password).map_or_else(|_| password.to_owned(), |text| text.into_owned())
}

fn impostor(login: &Login, error: &MechanismError) -> ConnectError {
    ConnectError::Impostor {
        domain: login.domain.clone(),
        why: error.to_string(),
    }
}

fn no_randomness() -> ConnectError {
    ConnectError::Broken {
        during: DURING,
        why: "the system gives no random numbers".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN";
    const EXPORTER: Option<Exporter> = Some([7; 32]);

    fn features(mechanisms: &str, bindings: Option<&str>) -> Element {
        let list = mechanisms
            .split_whitespace()
            .fold(Element::new("mechanisms", NS), |list, name| {
                list.with_child(Element::new("mechanism", NS).with_text(name))
            });
        let features =
            Element::new("features", "http://etherx.jabber.org/streams").with_child(list);
        let Some(bindings) = bindings else {
            return features;
        };
        let types = bindings.split_whitespace().fold(
            Element::new("sasl-channel-binding", NS_BINDING),
            |list, name| {
                list.with_child(Element::new("channel-binding", NS_BINDING).with_attr("type", name))
            },
        );
        features.with_child(types)
    }

    fn bound() -> ChannelBinding {
        ChannelBinding::TlsExporter(vec![7; 32])
    }

    #[test]
    fn a_server_that_names_no_binding_is_not_guessed_at() {
        // What ejabberd 23.01 says, which then refuses tls-exporter.
        assert_eq!(
            choose(&features(ALL, None), EXPORTER, false),
            Some(Choice::Sha256(ChannelBinding::None))
        );
        assert_eq!(
            choose(&features(ALL, Some("")), EXPORTER, false),
            Some(Choice::Sha256(ChannelBinding::None))
        );
    }

    #[test]
    fn a_binding_that_the_server_does_not_know_is_not_used() {
        let features = features(ALL, Some("tls-server-end-point tls-unique"));
        assert_eq!(
            choose(&features, EXPORTER, false),
            Some(Choice::Sha256(ChannelBinding::None))
        );
    }

    #[test]
    fn a_server_that_should_offer_binding_and_does_not_is_told() {
        for stripped in [
            features("SCRAM-SHA-256 SCRAM-SHA-1", None),
            features("SCRAM-SHA-256 SCRAM-SHA-1", Some("tls-exporter")),
            features("SCRAM-SHA-256 SCRAM-SHA-512-PLUS", Some("tls-exporter")),
        ] {
            assert_eq!(
                choose(&stripped, EXPORTER, false),
                Some(Choice::Sha256(ChannelBinding::Unsupported))
            );
        }
    }

    #[test]
    fn binding_is_used_where_the_server_knows_it() {
        let types = Some("tls-server-end-point tls-exporter");
        assert_eq!(
            choose(&features(ALL, types), EXPORTER, false),
            Some(Choice::Sha256(bound()))
        );
        assert_eq!(
            choose(
                &features("SCRAM-SHA-256 SCRAM-SHA-1-PLUS", types),
                EXPORTER,
                false
            ),
            Some(Choice::Sha1(bound()))
        );
    }

    #[test]
    fn before_tls_13_nothing_binds() {
        let all = features(ALL, Some("tls-exporter"));
        assert_eq!(
            choose(&all, None, false),
            Some(Choice::Sha256(ChannelBinding::None))
        );
    }

    #[test]
    fn plain_needs_leave_and_comes_last() {
        assert_eq!(choose(&features("PLAIN", None), EXPORTER, false), None);
        assert_eq!(
            choose(&features("PLAIN", None), EXPORTER, true),
            Some(Choice::Plain)
        );
        assert_eq!(
            choose(&features("PLAIN SCRAM-SHA-1", None), EXPORTER, true),
            Some(Choice::Sha1(ChannelBinding::Unsupported))
        );
        assert_eq!(
            choose(
                &features("ANONYMOUS DIGEST-MD5 EXTERNAL", None),
                EXPORTER,
                true
            ),
            None
        );
        assert_eq!(choose(&Element::new("features", ""), EXPORTER, true), None);
    }

    #[test]
    fn a_challenge_that_does_not_continue_our_nonce_is_refused() {
        assert_eq!(check_challenge(b"r=abcX,s=c2FsdA==,i=4096", "abc"), Ok(()));
        for nonce in ["", "abc", "xabc", "ABCx"] {
            let challenge = format!("r={nonce},s=c2FsdA==,i=4096");
            assert!(
                check_challenge(challenge.as_bytes(), "abc").is_err(),
                "{nonce}"
            );
        }
        assert!(check_challenge(b"r=abcX,s=c2FsdA==,i=4096", "").is_err());
    }

    #[test]
    fn work_without_measure_is_refused() {
        for rounds in [
            "0",
            "1",
            "4095",
            "1000001",
            "4294967295",
            "4294967296",
            "-1",
            "many",
            "",
        ] {
            let challenge = format!("r=abcX,s=c2FsdA==,i={rounds}");
            assert!(
                check_challenge(challenge.as_bytes(), "abc").is_err(),
                "{rounds}"
            );
        }
    }

    #[test]
    fn a_mandatory_extension_is_refused() {
        assert!(check_challenge(b"m=x,r=abcX,s=c2FsdA==,i=4096", "abc").is_err());
    }

    #[test]
    fn our_nonce_is_found_in_our_first_message() {
        let mut scram = Scram::<Sha256>::new("a=2Cr=3Db", "p", ChannelBinding::None).unwrap();
        let first = scram.initial();
        let nonce = nonce(&first);
        assert_eq!(nonce.len(), 44);
        assert!(first.ends_with(nonce.as_bytes()));
    }

    #[test]
    fn passwords_are_prepared() {
        assert_eq!(prepared("I\u{AD}X"), "IX");
        assert_eq!(prepared("\u{AA}"), "a");
        assert_eq!(prepared("crab 🦀"), "crab 🦀");
    }
}
