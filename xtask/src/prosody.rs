//! Prosody's configuration and accounts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::server::{ACCOUNTS, COMPONENT, DOMAIN, Kind, Ports, RELAY, new_password};
use crate::workspace::Workspace;
use crate::{backports, packaged, packages};

/// Writes the configuration, creates the accounts, and returns what to run.
pub(crate) fn command(
    workspace: &Workspace,
    folder: &Path,
    ports: Ports,
    kind: Kind,
) -> Result<Command> {
    let file = folder.join("prosody.cfg.lua");
    let programs = match kind {
        Kind::Sasl2 => Some(backports::prosody(workspace)?),
        Kind::Free
        | Kind::Quiet
        | Kind::Stock
        | Kind::Ejabberd
        | Kind::PackagedProsody
        | Kind::PackagedEjabberd => None,
    };
    let program = |name: &str| match &programs {
        Some(folder) => Ok(folder.join(name)),
        None => packages::find(name).with_context(|| format!("{name} is not installed")),
    };
    match kind {
        Kind::PackagedProsody => packaged::prosody(folder, ports, &program("prosodyctl")?)?,
        Kind::Free
        | Kind::Quiet
        | Kind::Stock
        | Kind::Sasl2
        | Kind::Ejabberd
        | Kind::PackagedEjabberd => fs::write(&file, config(folder, ports, kind)?)?,
    }
    register(workspace, folder, &program("prosodyctl")?)?;
    let mut command = Command::new(program("prosody")?);
    command.arg("-F").arg("--config").arg(file);
    Ok(command)
}

fn config(folder: &Path, ports: Ports, kind: Kind) -> Result<String> {
    let (modules, settings, level) = match kind {
        Kind::Free => ("\"stanza_debug\";", "", "debug"),
        Kind::Quiet => ("", "", "info"),
        Kind::Stock => (
            "\"stanza_debug\"; \"limits\";",
            "limits = { c2s = { rate = \"10kb/s\" }, s2sin = { rate = \"30kb/s\" } }",
            "debug",
        ),
        Kind::Sasl2 => (
            // And with what XEP-0474 wants.
            "\"stanza_debug\"; \"sasl2\"; \"sasl2_bind2\"; \"sasl2_sm\"; \"sasl_ssdp\";",
            "",
            "debug",
        ),
        Kind::Ejabberd | Kind::PackagedProsody | Kind::PackagedEjabberd => {
            bail!("{kind:?} has its own configuration")
        }
    };
    let relay = match kind.has_relay() {
        true => format!("Component \"{RELAY}\" \"proxy65\"\n\tproxy65_address = \"127.0.0.1\""),
        false => String::new(),
    };
    let secret = new_password(folder, COMPONENT)?;
    let folder = folder
        .to_str()
        .context("the target folder's name is not UTF-8")?;
    Ok(include_str!("../prosody/prosody.cfg.lua")
        .replace("@FOLDER@", folder)
        .replace("@STARTTLS_PORT@", &ports.starttls.to_string())
        .replace("@TLS_PORT@", &ports.tls.to_string())
        .replace("@COMPONENT_PORT@", &ports.component.to_string())
        .replace("@RELAY_PORT@", &ports.relay.to_string())
        .replace("@RELAY@", &relay)
        .replace("@DOMAIN@", DOMAIN)
        .replace("@COMPONENT@", COMPONENT)
        .replace("@SECRET@", &secret)
        .replace("@LOG_LEVEL@", level)
        .replace("@MORE_MODULES@", modules)
        .replace("@MORE_SETTINGS@", settings))
}

/// Creates the accounts, each with its own password in a file named after it.
fn register(workspace: &Workspace, folder: &Path, prosodyctl: &Path) -> Result<()> {
    let sh = &workspace.sh;
    let config = folder.join("prosody.cfg.lua");
    for account in ACCOUNTS {
        let password = new_password(folder, account)?;
        cmd!(
            sh,
            "{prosodyctl} --config {config} register {account} {DOMAIN} {password}"
        )
        .quiet()
        .ignore_stdout()
        .run()?;
    }
    Ok(())
}
