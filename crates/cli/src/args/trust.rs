//! The verbs that manage keys.

use clap::{Args, Subcommand};

use super::account::Account;
use crate::complete;
use crate::peer::Peer;

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
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare, add = complete::peers())]
    pub(crate) peer: Peer,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustPin {
    /// Bare address of the peer, or the URI that their `xtls id` shows.
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare, add = complete::peers())]
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
    #[arg(value_name = "PEER", value_parser = Peer::parse_bare, add = complete::peers())]
    pub(crate) peer: Peer,
    /// Key to revoke, pinned or not. Default: every key pinned for the peer.
    #[arg(value_name = "FINGERPRINT", num_args = 0..)]
    pub(crate) fingerprint: Vec<String>,
    #[command(flatten)]
    pub(crate) account: Account,
}
