//! The command line, as `--help` shows it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use xtls_client::tls::trust::Policy;
use xtls_stanza::{Address, Bare};

use crate::peer::Peer;

/// End-to-end encrypted conversations between two XMPP accounts, by plain TLS through servers that need not be trusted.
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

Exit codes: 0 ok · 1 failed · 2 usage · 3 own server refused or unreachable · 4 peer unavailable or refused
            5 identity mismatch · 6 truncated or corrupt · 7 timeout · 130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Two peers in this process talk through a tunnel; shows what the server saw beside what they said.
    Demo(Demo),
    /// Shows one's own address and the fingerprint of one's key, which is made on first use.
    Id(Id),
    /// XML stanzas on standard input → tunnel → XML stanzas on standard output, one a line.
    Stanzas(Stanzas),
    /// A conversation: lines in, lines out.
    Chat(Talk),
    /// The keys of one's peers.
    #[command(subcommand)]
    Trust(Trust),
    /// Compares four short words with a peer, or one code: if they are the same, nobody is between the two of you.
    Verify(Verify),
}

/// How the program speaks, whatever it does.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// Events as JSON, one a line, on standard error.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// More detail on standard error; twice for still more. Never plaintext.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Nothing on standard error but errors.
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
    /// One-way delay of the relay between the two, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub(crate) latency: u64,
    /// Bytes a second that the relay reads from each peer, as a server throttles.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(500..))]
    pub(crate) rate: Option<u32>,
    /// Shows every carrying stanza whole.
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Id {
    #[command(flatten)]
    pub(crate) account: Account,
    /// Also as a QR code.
    #[arg(long)]
    pub(crate) qr: bool,
}

/// Whose key and pins.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Account")]
pub(crate) struct Account {
    /// One's own address, without a resource. May be left out where only one account has been used.
    #[arg(long, value_name = "JID", env = "XTLS_ACCOUNT", value_parser = bare)]
    pub(crate) account: Option<Address>,
    /// The folder of keys and pins.
    #[arg(long, value_name = "DIR", env = "XTLS_HOME")]
    pub(crate) home: Option<PathBuf>,
}

/// How to reach one's own server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Own server")]
pub(crate) struct Server {
    /// A file whose first line is the password. Otherwise XTLS_PASSWORD, or a prompt; never an argument.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The server's host and port, where DNS does not say.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) server: Option<(String, u16)>,
    /// TLS from the first byte instead of STARTTLS.
    #[arg(long, requires = "server")]
    pub(crate) direct_tls: bool,
    /// One more authority to trust for the server's certificate.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The resource to bind. Listeners bind `xtls` unless told otherwise, initiators a random one.
    #[arg(long, value_name = "NAME")]
    pub(crate) resource: Option<String>,
    /// Permits a login that shows the server the password.
    #[arg(long)]
    pub(crate) allow_plain: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Stanzas {
    /// End when your input has ended and the peer has taken it, without waiting for the peer to finish.
    #[arg(short = 'N', long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) talk: Talk,
}

/// Options of everything that talks to a peer.
#[derive(Debug, Clone, Args)]
pub(crate) struct Talk {
    /// Whom to open a tunnel to: an address, or the URI that `xtls id` shows there. Without a resource: PEER/xtls. The key in
    /// a URI must be pinned.
    #[arg(value_name = "PEER", value_parser = Peer::parse, required_unless_present = "listen", conflicts_with = "listen")]
    pub(crate) peer: Option<Peer>,
    /// Wait for others to open tunnels: those whom --accept names.
    #[arg(long, requires = "accept")]
    pub(crate) listen: bool,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) tunnel: Tunnel,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Verify {
    /// Compare one code that both of you have agreed on another way. It is asked for on the terminal.
    #[arg(long)]
    pub(crate) code: bool,
    /// As --code, with the code in the first line of a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) code_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) talk: Talk,
}

/// How the tunnel is made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tunnel")]
pub(crate) struct Tunnel {
    /// What to do with a key that is not pinned. Default: ask on a terminal, pinned otherwise.
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) trust: Option<TrustPolicy>,
    /// Who may open a tunnel to us: a bare address, or `any`. Repeatable.
    #[arg(long, value_name = "JID", value_parser = acceptable)]
    pub(crate) accept: Vec<Acceptable>,
    /// Listen: end after one session.
    #[arg(long, requires = "listen", conflicts_with = "peer")]
    pub(crate) once: bool,
    /// Most bytes in one carrying stanza, before base64. It is a maximum and is filled as the path allows.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(256..))]
    pub(crate) block_size: Option<u16>,
    /// Bytes in flight, instead of an adaptive window.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(256..=16_777_216))]
    pub(crate) window: Option<u32>,
    /// Which stanzas carry the stream.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Transport::Iq)]
    pub(crate) transport: Transport,
    /// No TLS in the open and its answer: one more round trip, for servers that stumble over it.
    #[arg(long)]
    pub(crate) no_early_hello: bool,
    /// Pads stanzas with spaces to a multiple of this many bytes (256 without a number), so that short ones look alike. That
    /// there are any, when, and roughly how long they are stays visible.
    #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, default_missing_value = "256",
        value_parser = clap::value_parser!(u16).range(2..=16_384))]
    pub(crate) pad: Option<u16>,
    /// No session with a peer whose key exchange does not resist quantum computers. It is preferred in any case.
    #[arg(long)]
    pub(crate) require_post_quantum: bool,
    /// Records the session as JSON lines; payload is left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Records the plaintext too. Whoever has the file has the conversation.
    #[arg(long, requires = "record")]
    pub(crate) record_plaintext: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrustPolicy {
    /// Ask the user at the first contact.
    Ask,
    /// Pin what is met first, and say so.
    Tofu,
    /// Only keys that are pinned already.
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
    /// The flow before the letter, without a bytestream: slow, one tunnel with each peer. Both ends must choose it.
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
    /// All pinned keys.
    List(Account),
    /// The keys of one peer.
    Show(TrustPeer),
    /// Pins a key that was compared over another channel.
    Pin(TrustPin),
    /// Forgets the keys of a peer: the next contact is a first one again.
    Forget(TrustPeer),
    /// Refuses keys of a peer for good, because somebody else may have them.
    Revoke(TrustRevoke),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustPeer {
    /// The peer, without a resource: an address, or the URI that `xtls id` shows there, which means that one key.
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare)]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustPin {
    /// The peer, without a resource: an address, or the URI that `xtls id` shows there.
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare)]
    pub(crate) peer: Peer,
    /// The fingerprint as `xtls id` shows it, in hex with or without spaces. A URI holds it already.
    #[arg(value_name = "FINGERPRINT", num_args = 0..)]
    pub(crate) fingerprint: Vec<String>,
    /// One more key of a peer that has one already: a second device.
    #[arg(long)]
    pub(crate) another: bool,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustRevoke {
    /// The peer, without a resource: an address, or the URI that `xtls id` shows there, which means that one key.
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare)]
    pub(crate) peer: Peer,
    /// The one key to revoke, which need not be pinned. Without, all that are pinned for the peer.
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
            "--accept takes an address and no key: pin the key with `xtls trust pin`, and accept {}",
            peer.bare()
        ));
    }
    Ok(Acceptable::One(peer.to_bare()))
}

fn host_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("HOST:PORT is wanted")?;
    let port = port
        .parse::<u16>()
        .map_err(|_| format!("{port:?} is not a port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || port == 0 {
        return Err("HOST:PORT is wanted".to_owned());
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
    fn passwords_are_no_arguments() {
        assert!(Cli::try_parse_from(["xtls", "stanzas", "a@b", "--password", "x"]).is_err());
    }

    #[test]
    fn codes_are_no_arguments() {
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
    fn a_domain_alone_is_nobody_to_accept_and_a_key_is_not_accepted_by_the_way() {
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
