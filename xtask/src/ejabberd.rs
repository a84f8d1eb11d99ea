//! ejabberd's configuration and accounts.
//!
//! It runs in a plain Erlang of ours: `ejabberdctl` insists on a system user and system folders, and on a daemon that
//! connects Erlang nodes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::server::{ACCOUNTS, COMPONENT, DOMAIN, Kind, Ports, RELAY, new_password};
use crate::{packaged, packages};

/// The file that marks that the accounts exist.
pub(crate) const REGISTERED: &str = "registered";

/// Creates the accounts from their password files. A server that is started again has them.
const REGISTER: &str = r#"
Register = fun(Account) ->
    {ok, Password} = file:read_file(Account),
    case ejabberd_auth:try_register(list_to_binary(Account), <<"@DOMAIN@">>, string:trim(Password)) of
        ok -> ok;
        {error, exists} -> ok
    end
end,
lists:foreach(Register, [@ACCOUNTS@]),
ok = file:write_file("@REGISTERED@", <<>>).
"#;

/// Writes the configuration, and returns what to run: the server, which then creates the accounts.
pub(crate) fn command(folder: &Path, ports: Ports, kind: Kind) -> Result<Command> {
    let home = folder
        .to_str()
        .context("the target folder's name is not UTF-8")?;
    match kind {
        Kind::PackagedEjabberd => packaged::ejabberd(folder, ports)?,
        Kind::Free
        | Kind::Quiet
        | Kind::Stock
        | Kind::Sasl2
        | Kind::Ejabberd
        | Kind::PackagedProsody => fs::write(folder.join("ejabberd.yml"), config(folder, ports)?)?,
    }
    for account in ACCOUNTS {
        new_password(folder, account)?;
    }
    let accounts = ACCOUNTS.map(|account| format!("\"{account}\"")).join(", ");
    let register = REGISTER
        .replace("@DOMAIN@", DOMAIN)
        .replace("@ACCOUNTS@", &accounts)
        .replace("@REGISTERED@", REGISTERED);

    let mut command = Command::new(packages::find("erl").context("erl is not installed")?);
    command
        .args(["-noinput", "-mnesia", "dir"])
        .arg(format!("\"{home}/data\""))
        .args(["-s", "ejabberd", "-eval", &register])
        .env("EJABBERD_CONFIG_PATH", folder.join("ejabberd.yml"))
        .env("EJABBERD_LOG_PATH", folder.join("ejabberd.log"))
        .env("ERL_CRASH_DUMP", folder.join("erl_crash.dump"))
        .env("HOME", home);
    if let Some(libraries) = libraries()? {
        command.env("ERL_LIBS", libraries);
    }
    Ok(command)
}

fn config(folder: &Path, ports: Ports) -> Result<String> {
    let secret = new_password(folder, COMPONENT)?;
    let home = folder
        .to_str()
        .context("the target folder's name is not UTF-8")?;
    Ok(include_str!("../ejabberd/ejabberd.yml")
        .replace("@FOLDER@", home)
        .replace("@STARTTLS_PORT@", &ports.starttls.to_string())
        .replace("@TLS_PORT@", &ports.tls.to_string())
        .replace("@COMPONENT_PORT@", &ports.component.to_string())
        .replace("@RELAY_PORT@", &ports.relay.to_string())
        .replace("@RELAY@", RELAY)
        .replace("@DOMAIN@", DOMAIN)
        .replace("@COMPONENT@", COMPONENT)
        .replace("@SECRET@", &secret))
}

/// Where the distribution keeps ejabberd, according to its own script.
fn libraries() -> Result<Option<String>> {
    let script = packages::find("ejabberdctl").context("ejabberdctl is not installed")?;
    let script = fs::read_to_string(script)?;
    let line = script
        .lines()
        .find_map(|line| line.strip_prefix("ERL_LIBS="));
    Ok(line.map(|path| path.trim_matches(['\'', '"']).to_owned()))
}
