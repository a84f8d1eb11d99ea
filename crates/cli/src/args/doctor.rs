//! Whose connection to examine.

use clap::Args;

use super::account::{Account, Server};
use crate::complete;
use crate::peer::Peer;

#[derive(Debug, Clone, Args)]
pub(crate) struct Doctor {
    /// Peer to look for: an address, a name in your configuration, or a URI.
    ///
    /// Without a resource: PEER/xtls, where listeners are. It is asked for its features, and no tunnel is opened.
    #[arg(value_name = "PEER", value_parser = Peer::parse, add = complete::peers())]
    pub(crate) peer: Option<Peer>,
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) server: Server,
}
