//! The command line, as `--help` shows it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use xtls_client::tls::trust::Policy;
use xtls_client::xmpp::Pin;
use xtls_stanza::busy::Limit;
use xtls_stanza::{Address, Bare};

use crate::peer::Peer;

/// End-to-end encrypted conversations between two XMPP accounts: plain TLS through servers you need not trust.
#[derive(Debug, Parser)]
#[command(name = "xtls", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) output: Output,
}

const EXIT_CODES: &str = "\
Data goes to standard output, everything else to standard error.

Exit codes: 0 ok · 1 failed · 2 usage · 3 server refused or unreachable
            4 peer unavailable or refused · 5 identity mismatch
            6 truncated or corrupt · 7 timeout · 130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Runs two peers in this process; shows what the server sees beside what they say.
    Demo(Demo),
    /// Shows your address and your key's fingerprint; creates the key on first use.
    Id(Id),
    /// XML stanzas: standard input → tunnel → standard output, one per line.
    Stanzas(Stanzas),
    /// Text chat: lines in, lines out.
    Chat(ConversationArgs),
    /// Manages peers' keys.
    #[command(subcommand)]
    Trust(Trust),
    /// Compares four words or a code with a peer: if they match, no one is intercepting you.
    Verify(Verify),
}

/// How the program reports what it does.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// JSON events on standard error, one per line.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Log more to standard error; repeat for even more. Never plaintext.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Print only warnings and errors.
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Output"
    )]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Demo {
    /// One-way delay through the relay, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) latency: u64,
    /// Bytes per second the relay reads from each peer, as if throttling.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(500..))]
    pub(crate) rate: Option<u32>,
    /// Show carrying stanzas in full.
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Id {
    #[command(flatten)]
    pub(crate) account: Account,
    /// Show a QR code.
    #[arg(long)]
    pub(crate) qr: bool,
}

/// Whose key and pins to use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Account")]
pub(crate) struct Account {
    /// Your address, without a resource. Optional if only one account has a key here.
    #[arg(long, value_name = "JID", env = "XTLS_ACCOUNT", value_parser = bare)]
    pub(crate) account: Option<Address>,
    /// Folder for keys and pins.
    #[arg(long, value_name = "DIR", env = "XTLS_HOME")]
    pub(crate) home: Option<PathBuf>,
}

/// How to reach your server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Server {
    /// File whose first line is the password. Otherwise XTLS_PASSWORD or a prompt is used.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Host and port, if DNS has no record of them.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) server: Option<(String, u16)>,
    /// Use TLS from the first byte, not STARTTLS.
    #[arg(long, requires = "server")]
    pub(crate) direct_tls: bool,
    /// Also trust the certificates in this file: your server's own, or its authority's.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Accept exactly this key of your server (SHA-256), whatever its certificate says.
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "ca_file")]
    pub(crate) pin_server: Option<Pin>,
    /// Resource to bind. Default: `xtls` for listeners, a random one for initiators.
    #[arg(long, value_name = "NAME")]
    pub(crate) resource: Option<String>,
    /// Allow logins that show your server the password.
    #[arg(long)]
    pub(crate) allow_plain: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Stanzas {
    /// Exit once your input has ended and been delivered; don't wait for the peer to finish.
    #[arg(short = 'N', long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) talk: ConversationArgs,
}

/// Options of every verb that talks to a peer.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConversationArgs {
    /// Peer to call: an address, or the URI that their `xtls id` shows. Without a resource: PEER/xtls. A key in a URI must
    /// already be pinned.
    #[arg(value_name = "PEER", value_parser = Peer::parse, required_unless_present = "listen", conflicts_with = "listen")]
    pub(crate) peer: Option<Peer>,
    /// Wait for the peers in --accept to open tunnels.
    #[arg(long, requires = "accept")]
    pub(crate) listen: bool,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) tunnel: TunnelArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Verify {
    /// Compare a code you have agreed on over another channel. You enter it at a prompt.
    #[arg(long)]
    pub(crate) code: bool,
    /// Like --code, with the code from a file's first line.
    #[arg(long, value_name = "FILE")]
    pub(crate) code_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) talk: ConversationArgs,
}

/// How to set up the tunnel.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tunnel")]
pub(crate) struct TunnelArgs {
    /// What to do with unpinned keys. Default: ask on a terminal, pinned otherwise.
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) trust: Option<TrustPolicy>,
    /// Who may call you: a bare address, or `any`. Repeatable.
    #[arg(long, value_name = "JID", value_parser = acceptable)]
    pub(crate) accept: Vec<Acceptable>,
    /// Listen: exit after one session.
    #[arg(long, requires = "listen", conflicts_with = "peer")]
    pub(crate) once: bool,
    /// Set a listener's limit; a wrong NAME lists them all. Repeatable.
    #[arg(long, value_name = "NAME=N", requires = "listen", value_parser = limit)]
    pub(crate) limit: Vec<(Limit, u32)>,
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
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Record plaintext too. Anyone with the file can read everything.
    #[arg(long, requires = "record")]
    pub(crate) record_plaintext: bool,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// Lists pinned keys.
    List(Account),
    /// Shows a peer's keys.
    Show(TrustPeer),
    /// Pins a key you have compared over another channel.
    Pin(TrustPin),
    /// Forgets a peer's keys: the next contact is a first contact again.
    Forget(TrustPeer),
    /// Refuses a peer's keys for good, because someone else may have them.
    Revoke(TrustRevoke),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustPeer {
    /// Bare address of the peer, or the URI that their `xtls id` shows, which selects its key.
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustPin {
    /// Bare address of the peer, or the URI that their `xtls id` shows.
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare)]
    pub(crate) peer: Peer,
    /// Fingerprint as `xtls id` shows it, in hex, with or without spaces. A URI includes it.
    #[arg(value_name = "FINGERPRINT", num_args = 0..)]
    pub(crate) fingerprint: Vec<String>,
    /// Add a key to a peer that already has one: a second device.
    #[arg(long)]
    pub(crate) another: bool,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustRevoke {
    /// Bare address of the peer, or the URI that their `xtls id` shows, which selects its key.
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare)]
    pub(crate) peer: Peer,
    /// Key to revoke, pinned or not. Default: every key pinned for the peer.
    #[arg(value_name = "FINGERPRINT", num_args = 0..)]
    pub(crate) fingerprint: Vec<String>,
    #[command(flatten)]
    pub(crate) account: Account,
}

fn bare(text: &str) -> Result<Address, String> {
    Peer::parse_bare(text).map(|account| account.address().clone())
}

fn acceptable(text: &str) -> Result<Acceptable, String> {
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

fn limit(text: &str) -> Result<(Limit, u32), String> {
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

fn host_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
    let port = port
        .parse::<u16>()
        .map_err(|_| format!("{port:?} is not a port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == 0 {
        return Err("expected HOST:PORT".to_owned());
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_peer_and_listening_exclude_each_other() {
        assert!(Cli::try_parse_from(["xtls", "stanzas", "a@b", "--listen"]).is_err());
        assert!(Cli::try_parse_from(["xtls", "stanzas"]).is_err());
        assert!(Cli::try_parse_from(["xtls", "stanzas", "a@b", "--once"]).is_err());
    }

    #[test]
    fn passwords_are_not_arguments() {
        assert!(Cli::try_parse_from(["xtls", "stanzas", "a@b", "--password", "x"]).is_err());
    }

    #[test]
    fn codes_are_not_arguments() {
        assert!(Cli::try_parse_from(["xtls", "verify", "a@b", "--code", "123456"]).is_err());
        assert!(Cli::try_parse_from(["xtls", "verify", "a@b", "--code"]).is_ok());
        assert!(Cli::try_parse_from(["xtls", "verify", "--code"]).is_err());
    }

    #[test]
    fn ports_and_hosts_are_checked() {
        assert_eq!(host_port("[::1]:5222"), Ok(("::1".to_owned(), 5222)));
        for wrong in ["host", "host:", "host:0", "host:70000", ":5222"] {
            assert!(host_port(wrong).is_err(), "{wrong}");
        }
    }

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

    #[test]
    fn an_account_is_a_bare_address() {
        assert!(bare("romeo@montague.example/orchard").is_err());
        assert!(bare("montague.example").is_err());
        assert_eq!(
            bare("Romeo@Montague.example").unwrap().as_str(),
            "romeo@montague.example"
        );
    }
}
