//! The verbs that talk to a peer.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::account::{Account, Server};
use super::tunnel::{ListenArgs, TunnelArgs};
use crate::complete;
use crate::peer::Peer;

#[derive(Debug, Clone, Args)]
pub(crate) struct Chat {
    /// Go on with a conversation that is cut: call again, or wait for the peer to, for five minutes at most.
    ///
    /// With a line editor it is always so. The peer has to prove the same key; lines that it has not confirmed are sent again
    /// once, and shown once. Otherwise a cut is the end, and the exit code is 6.
    #[arg(long)]
    pub(crate) reconnect: bool,
    /// Append what is said to a file, as JSON lines. Without this option nothing is kept.
    ///
    /// The file is created for you alone (mode 600). A line of yours is written once it is known whether it was delivered.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) history: Option<PathBuf>,
    /// Show when the peer is writing, and let it know when you are, if it does the same (XEP-0085).
    #[arg(long)]
    pub(crate) chat_states: bool,
    /// Folder for files that the peer sends you with /send, once you have said yes.
    ///
    /// Nothing is overwritten. In a chat, /send FILE offers one of yours.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) talk: ConversationArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Stanzas {
    /// Exit once your input has been delivered.
    #[arg(short = 'N', long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) talk: ConversationArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Pipe {
    /// Exit once your input has been taken.
    #[arg(short = 'N', long)]
    pub(crate) no_wait: bool,
    /// Only send: what the peer sends is refused.
    #[arg(long, conflicts_with = "recv_only")]
    pub(crate) send_only: bool,
    /// Only receive: standard input is not read.
    #[arg(long)]
    pub(crate) recv_only: bool,
    #[command(flatten)]
    pub(crate) talk: ConversationArgs,
    /// With --listen: run this for each tunnel, and talk to that.
    ///
    /// Callers can neither choose nor change it. Their address is in XTLS_PEER.
    #[arg(last = true, help_heading = "Arguments", hide_short_help = true, value_name = "COMMAND", requires = "listen", conflicts_with_all = ["send_only", "recv_only", "no_wait"], value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<String>,
}

/// Options of every verb that talks to a peer.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConversationArgs {
    /// Whom to call: an address, a name from your configuration, or a URI.
    ///
    /// Without a resource: PEER/xtls, where listeners are. The URI is the one that their `xtls id` shows; its key must already
    /// be pinned.
    #[arg(value_name = "PEER", value_parser = Peer::parse, required_unless_present = "listen", conflicts_with = "listen", add = complete::peers())]
    pub(crate) peer: Option<Peer>,
    /// Wait for the peers in --accept.
    #[arg(long)]
    pub(crate) listen: bool,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) calls: ListenArgs,
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
