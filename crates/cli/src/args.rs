//! The command line, as `--help` shows it.

mod account;
mod doctor;
mod examples;
mod files;
mod forward;
mod papers;
mod path;
mod talk;
mod trace;
mod trust;
mod tunnel;

use clap::{Args, Parser, Subcommand};

pub(crate) use account::{Account, AccountAdd, AccountName, AccountRemove, Accounts, Server};
pub(crate) use doctor::Doctor;
pub(crate) use examples::MORE;
pub(crate) use files::{Existing, Receive, Send};
pub(crate) use forward::Forward;
pub(crate) use papers::{Completions, Man, Shell};
pub(crate) use path::PathArgs;
pub(crate) use talk::{Chat, ConversationArgs, Pipe, Stanzas, Verify};
pub(crate) use trace::Trace;
pub(crate) use trust::{Trust, TrustPeer, TrustPin, TrustRevoke};
pub(crate) use tunnel::{Acceptable, ListenArgs, Transport, TrustPolicy, TunnelArgs};

/// Encrypted end to end between XMPP accounts, through any servers.
#[derive(Debug, Parser)]
#[command(name = "xtls", version, help_template = TEMPLATE, after_help = examples::XTLS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// The help of the program is a list of its verbs, and theirs has the options.
const TEMPLATE: &str = "\
{about}

{usage-heading} xtls VERB …

Verbs:
{subcommands}
{after-help}";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Shows what a server sees of a conversation, and what it does not.
    #[command(after_help = examples::DEMO)]
    Demo(Demo),
    /// Adds, lists and removes accounts, and chooses the default one.
    #[command(subcommand, after_help = examples::ACCOUNT)]
    Account(Accounts),
    /// Shows your address and the fingerprint of your key.
    #[command(after_help = examples::ID)]
    Id(Id),
    /// Talks to somebody, line by line.
    #[command(after_help = examples::CHAT)]
    Chat(Chat),
    /// Carries bytes: standard input → the peer's standard output, and back.
    #[command(after_help = examples::PIPE)]
    Pipe(Pipe),
    /// Sends files and folders; goes on after any interruption.
    #[command(after_help = examples::SEND)]
    Send(Send),
    /// Receives them, and never overwrites anything.
    #[command(after_help = examples::RECEIVE)]
    Receive(Receive),
    /// Carries TCP connections, as ssh forwards them.
    #[command(after_help = examples::FORWARD)]
    Forward(Forward),
    /// Carries XML stanzas between standard input and output, for scripts.
    #[command(after_help = examples::STANZAS)]
    Stanzas(Stanzas),
    /// Lists, pins, forgets and revokes the keys of others.
    #[command(subcommand, after_help = examples::TRUST)]
    Trust(Trust),
    /// Makes sure, together with a peer, that no one intercepts you.
    #[command(after_help = examples::VERIFY)]
    Verify(Verify),
    /// Tells what works on the way to a peer, and what to do.
    #[command(after_help = examples::DOCTOR)]
    Doctor(Doctor),
    /// Draws a recorded session as a ladder, in text or as a picture.
    #[command(after_help = examples::TRACE)]
    Trace(Trace),
    /// Prints what a shell needs to complete verbs, options and peers.
    #[command(hide = true, after_help = examples::COMPLETIONS)]
    Completions(Completions),
    /// Prints the manual pages.
    #[command(hide = true, after_help = examples::MAN)]
    Man(Man),
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
    /// Show every stanza in full.
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
