//! Whose account it is, and how to reach its server.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use xtls_client::xmpp::Pin;
use xtls_stanza::Address;

use crate::complete;
use crate::peer::Peer;

/// Whose key and pins to use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Account")]
pub(crate) struct Account {
    /// Your address, if it is not the default one.
    ///
    /// Without a resource. Optional if there is only one, in the configuration or with a key here.
    #[arg(long, value_name = "JID", value_parser = bare, add = complete::accounts())]
    pub(crate) account: Option<Address>,
    /// Folder for keys, pins and, without --config, the configuration.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) home: Option<PathBuf>,
    /// Configuration file. Default: `config.toml` in --home, or where your system keeps configuration.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// How to reach your server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Server {
    /// File whose first line is the password. Otherwise XTLS_PASSWORD or a prompt is used.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// Command that prints the password on its first line.
    #[arg(long, value_name = "COMMAND", conflicts_with = "password_file", value_hint = ValueHint::CommandString)]
    pub(crate) password_command: Option<String>,
    /// Host and port, if DNS has no record of them.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_port)]
    pub(crate) server: Option<(String, u16)>,
    /// Use TLS from the first byte, not STARTTLS.
    #[arg(long, requires = "server")]
    pub(crate) direct_tls: bool,
    /// Also trust the certificates in this file: your server's own, or its authority's.
    #[arg(long, value_name = "PEM", value_hint = ValueHint::FilePath)]
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

fn bare(text: &str) -> Result<Address, String> {
    Peer::parse_bare(text).map(|account| account.address().clone())
}

pub(super) fn host_port(text: &str) -> Result<(String, u16), String> {
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

/// The accounts in the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Accounts {
    /// Adds an account once its login has worked.
    Add(AccountAdd),
    /// Lists the accounts.
    List(Account),
    /// Removes an account from the configuration; its keys stay.
    Remove(AccountRemove),
    /// Makes an account the one to use without --account.
    Default(AccountName),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AccountAdd {
    /// Address of the account.
    #[arg(value_name = "JID", value_parser = bare)]
    pub(crate) jid: Address,
    /// Keep the password in a file that only you can read, without asking.
    #[arg(long, conflicts_with_all = ["password_file", "password_command"])]
    pub(crate) save_password: bool,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AccountRemove {
    /// Address of the account.
    #[arg(value_name = "JID", value_parser = bare, add = complete::accounts())]
    pub(crate) jid: Address,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AccountName {
    /// Address of the account.
    #[arg(value_name = "JID", value_parser = bare, add = complete::accounts())]
    pub(crate) jid: Address,
    #[command(flatten)]
    pub(crate) account: Account,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_hosts_are_checked() {
        assert_eq!(host_port("[::1]:5222"), Ok(("::1".to_owned(), 5222)));
        for wrong in ["host", "host:", "host:0", "host:70000", ":5222"] {
            assert!(host_port(wrong).is_err(), "{wrong}");
        }
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
