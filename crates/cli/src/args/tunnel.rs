//! How tunnels are set up, and who may open them.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use xtls_client::tls::trust::Policy;
use xtls_stanza::Bare;
use xtls_stanza::busy::Limit;

use super::path::PathArgs;
use crate::complete;
use crate::peer::Peer;

/// How to set up the tunnel.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tunnel")]
pub(crate) struct TunnelArgs {
    /// Unpinned keys: ask, tofu (pin the first), pinned.
    ///
    /// Default: ask on a terminal, pinned otherwise.
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    pub(crate) trust: Option<TrustPolicy>,
    /// Maximum bytes per carrying stanza, before base64. Filled as far as the path allows.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(256..))]
    pub(crate) block_size: Option<u16>,
    /// Bytes in flight; adaptive by default.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(256..=16_777_216))]
    pub(crate) window: Option<u32>,
    /// Which stanzas carry the stream.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Transport::Iq)]
    pub(crate) transport: Transport,
    /// Send no TLS with the open: one more round trip, for servers that can't handle it.
    #[arg(long)]
    pub(crate) no_early_hello: bool,
    /// Pad stanzas with spaces to a multiple of this many bytes (256 if omitted), so that short ones look alike. Their
    /// number, timing and rough length stay visible.
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "256",
        value_parser = clap::value_parser!(u16).range(2..=16_384))]
    pub(crate) pad: Option<u16>,
    /// Refuse peers without a post-quantum key exchange. It is preferred in any case.
    #[arg(long)]
    pub(crate) require_post_quantum: bool,
    /// Record the session as JSON lines, without payload.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<PathBuf>,
    /// Record plaintext too. Anyone with the file can read everything.
    #[arg(long, requires = "record")]
    pub(crate) record_plaintext: bool,
    #[command(flatten)]
    pub(crate) path: PathArgs,
}

/// Whose calls are taken, and how many.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Tunnel")]
pub(crate) struct ListenArgs {
    /// Who may call you: an address, or `any`. Repeatable.
    #[arg(long, value_name = "JID", value_parser = acceptable, add = complete::peers())]
    pub(crate) accept: Vec<Acceptable>,
    /// Listen: exit after one session.
    #[arg(long, requires = "listen", conflicts_with = "peer")]
    pub(crate) once: bool,
    /// Set a listener's limit; a wrong NAME lists them all. Repeatable.
    #[arg(long, value_name = "NAME=N", conflicts_with = "peer", value_parser = limit)]
    pub(crate) limit: Vec<(Limit, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrustPolicy {
    /// Ask at first contact.
    Ask,
    /// Pin the first key you see.
    Tofu,
    /// Accept only pinned keys.
    Pinned,
}

impl From<TrustPolicy> for Policy {
    fn from(policy: TrustPolicy) -> Self {
        match policy {
            TrustPolicy::Ask => Self::Ask,
            TrustPolicy::Tofu => Self::Tofu,
            TrustPolicy::Pinned => Self::Pinned,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// In-Band Bytestream in IQ stanzas: acknowledged, never stored, never copied.
    Iq,
    /// In-Band Bytestream in messages: no acknowledgements.
    Message,
    /// The flow before the letter, without a bytestream: slow, one tunnel per peer. Both ends must choose it.
    Original,
}

/// A value of `--accept`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Acceptable {
    Any,
    One(Bare),
}

pub(super) fn acceptable(text: &str) -> Result<Acceptable, String> {
    if text == "any" {
        return Ok(Acceptable::Any);
    }
    let peer = Peer::parse(text)?;
    if peer.key().is_some() {
        return Err(format!(
            "--accept takes an address without a key: pin the key with `xtls trust pin`, and accept {}",
            peer.bare()
        ));
    }
    Ok(Acceptable::One(peer.to_bare()))
}

pub(super) fn limit(text: &str) -> Result<(Limit, u32), String> {
    let (name, most) = text.split_once('=').ok_or("expected NAME=N")?;
    let limit = name.parse::<Limit>().map_err(|_| {
        let all = Limit::ALL.map(Limit::name).join(", ");
        format!("{name:?} is no limit; the limits are {all}")
    })?;
    let most = most
        .parse::<u32>()
        .ok()
        .filter(|most| *most > 0)
        .ok_or_else(|| format!("{most:?} is not a number above 0"))?;
    Ok((limit, most))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_limit_has_a_name_and_a_number() {
        assert_eq!(limit("incoming=100"), Ok((Limit::Incoming, 100)));
        for wrong in ["incoming", "incoming=", "incoming=0", "incoming=-1", "=4"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        let unknown = limit("sessions=4").unwrap_err();
        assert!(unknown.contains("opens-per-minute-known"), "{unknown}");
        let listener = ["xtls", "chat", "--listen", "--accept", "any"];
        let with = |rest: &[&'static str]| Cli::try_parse_from(listener.iter().chain(rest));
        assert!(with(&["--limit", "streams=9", "--limit", "pending=3"]).is_ok());
        assert!(Cli::try_parse_from(["xtls", "chat", "a@b", "--limit", "streams=9"]).is_err());
    }

    #[test]
    fn accept_takes_neither_a_domain_alone_nor_a_key() {
        assert!(acceptable("juliet").is_err());
        let key = "0a".repeat(32);
        assert!(acceptable(&format!("xmpp:juliet@capulet.example?xtls;fp={key}")).is_err());
        let one = acceptable("xmpp:juliet@capulet.example/balcony").unwrap();
        assert!(
            matches!(one, Acceptable::One(address) if address.as_str() == "juliet@capulet.example")
        );
    }
}
