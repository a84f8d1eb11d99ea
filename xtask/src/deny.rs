//! cargo-deny: licences, bans and sources. Installed under the target folder if it is missing.

use std::ffi::OsString;
use std::fs;

use anyhow::Result;
use xshell::cmd;

use crate::workspace::Workspace;

const VERSION: &str = "0.20.2";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    let program = program(workspace)?;
    Ok(cmd!(sh, "{program} --locked check bans licenses sources").run()?)
}

/// The program in the pinned version: the one on the path, or our own.
fn program(workspace: &Workspace) -> Result<OsString> {
    let sh = &workspace.sh;
    let version = cmd!(sh, "cargo-deny --version")
        .quiet()
        .ignore_stderr()
        .read();
    if version.is_ok_and(|version| version == format!("cargo-deny {VERSION}")) {
        return Ok("cargo-deny".into());
    }
    let home = workspace
        .target
        .join("tools")
        .join(format!("cargo-deny-{VERSION}"));
    let program = home.join("bin").join("cargo-deny");
    if !program.is_file() {
        install(workspace, home.as_os_str().to_owned())?;
    }
    Ok(program.into())
}

fn install(workspace: &Workspace, home: OsString) -> Result<()> {
    let sh = &workspace.sh;
    let build = workspace.target.join("tools").join("build");
    // It runs for a second, so the fastest build is the best one.
    cmd!(sh, "cargo install --locked --debug --version ={VERSION} --root {home} --target-dir {build} --no-track cargo-deny")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_INCREMENTAL", "0")
        .run()?;
    Ok(fs::remove_dir_all(build)?)
}
