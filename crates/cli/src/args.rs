//! The command line, as `--help` shows it.

mod account;
mod talk;
mod trust;
mod tunnel;

use clap::{Args, Parser, Subcommand};

pub(crate) use account::{Account, AccountAdd, AccountName, AccountRemove, Accounts, Server};
pub(crate) use talk::{ConversationArgs, Stanzas, Verify};
pub(crate) use trust::{Trust, TrustPeer, TrustPin, TrustRevoke};
pub(crate) use tunnel::{Acceptable, Transport, TrustPolicy, TunnelArgs};

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
    /// Manages the accounts in the configuration.
    #[command(subcommand)]
    Account(Accounts),
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
}
