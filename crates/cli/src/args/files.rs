//! The verbs that carry files.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use xtls_stanza::busy::Limit;

use super::account::{Account, Server};
use super::talk::ConversationArgs;
use super::tunnel::{Acceptable, ListenArgs, TunnelArgs, acceptable, limit};
use crate::complete;
use crate::peer::Peer;

#[derive(Debug, Clone, Args)]
pub(crate) struct Send {
    /// Peer who gets them: an address, a name from your configuration, or a URI.
    ///
    /// Without a resource: PEER/xtls, where `xtls receive` is.
    #[arg(value_name = "PEER", value_parser = Peer::parse, add = complete::peers())]
    pub(crate) peer: Peer,
    /// Files and folders to send.
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
    /// Wait until the peer is there.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Compare a code with the peer first, as `xtls verify --code`.
    #[arg(long)]
    pub(crate) code: bool,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) tunnel: TunnelArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Receive {
    /// Folder to put them in.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Take what is offered without asking.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Go on after a transfer, until you end it.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Compare a code with the peer first, as `xtls verify --code`.
    #[arg(long)]
    pub(crate) code: bool,
    /// Who may send: an address, or `any`. Repeatable.
    #[arg(long, value_name = "JID", value_parser = acceptable, add = complete::peers())]
    pub(crate) accept: Vec<Acceptable>,
    /// What to do with a file whose name is taken. Nothing is ever overwritten.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Existing::Rename, help_heading = "Files")]
    pub(crate) existing: Existing,
    /// Take names that begin with a dot too.
    #[arg(long, help_heading = "Files")]
    pub(crate) hidden: bool,
    /// Set a limit; a wrong NAME lists them all. Repeatable.
    #[arg(long, value_name = "NAME=N", value_parser = limit, help_heading = "Tunnel")]
    pub(crate) limit: Vec<(Limit, u32)>,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) tunnel: TunnelArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Existing {
    /// Give the new one another name: `report (2).pdf`.
    Rename,
    /// Refuse it.
    Refuse,
}

impl Send {
    /// As the options of a call.
    pub(crate) fn talk(&self) -> ConversationArgs {
        ConversationArgs {
            peer: Some(self.peer.clone()),
            listen: false,
            account: self.account.clone(),
            server: self.server.clone(),
            calls: ListenArgs::default(),
            tunnel: self.tunnel.clone(),
        }
    }
}

impl Receive {
    /// As the options of a listener.
    pub(crate) fn talk(&self) -> ConversationArgs {
        ConversationArgs {
            peer: None,
            listen: true,
            account: self.account.clone(),
            server: self.server.clone(),
            calls: ListenArgs {
                accept: self.accept.clone(),
                once: false,
                limit: self.limit.clone(),
            },
            tunnel: self.tunnel.clone(),
        }
    }
}
