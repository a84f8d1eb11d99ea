//! Everything a change must pass.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use xshell::{Cmd, cmd};

use crate::backports;
use crate::check::{self, Deny};
use crate::packaged;
use crate::packages;
use crate::python;
use crate::server::{Kind, Server};
use crate::steps::Steps;
use crate::workspace::{Workspace, list, text};

/// The package whose tests need real servers, behind its feature `live`.
const LIVE: &str = "xtls-tests";

/// The live tests on servers as Debian's packages configure them.
const PACKAGED: &str = "packaged";

/// The options of `cargo xtask test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Without the real servers and cargo-deny.
    quick: bool,
    /// Only tests whose names contain this string.
    filter: Option<String>,
}

impl Options {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self> {
        let mut options = Self::default();
        for arg in args {
            let arg = arg.to_str().context("an argument is not UTF-8")?;
            match arg {
                "--quick" => options.quick = true,
                _ if arg.starts_with('-') => bail!("unknown argument of cargo xtask test: {arg}"),
                _ if options.filter.is_some() => bail!("cargo xtask test takes one filter"),
                _ => options.filter = Some(arg.to_owned()),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, options: &Options) -> Result<()> {
    let sh = &workspace.sh;
    let features = check::features(workspace);
    if !options.quick {
        steps.run("packages", || {
            packages::ensure(sh, packages::SERVER)?;
            backports::prosody(workspace)?;
            packages::ensure(sh, packages::EJABBERD)?;
            packages::ensure_expat(sh)?;
            packages::ensure_stacks(sh)?;
            python::ensure(workspace).map(drop)
        })?;
    }
    // If you run a single test you are still working on it, so the checks are skipped.
    if options.filter.is_none() {
        check::run(
            workspace,
            steps,
            if options.quick { Deny::Skip } else { Deny::Run },
        )?;
    }
    steps.run("build", || {
        Ok(cmd!(
            sh,
            "cargo build --locked --workspace --features {features} --bins --tests"
        )
        .run()?)
    })?;
    let runner = Runner::installed(workspace);
    steps.run("tests", || {
        Ok(runner
            .command(workspace, &features, &[], options.filter.as_deref())
            .run()?)
    })?;
    steps.run("doc tests", || {
        let filter = options.filter.as_slice();
        Ok(cmd!(
            sh,
            "cargo test --locked --workspace --features {features} --doc -- {filter...}"
        )
        .run()?)
    })?;
    if options.quick {
        return Ok(());
    }
    // As users build it: without the features that only tests turn on.
    steps.run("program", || {
        Ok(cmd!(sh, "cargo build --locked -p xtls").run()?)
    })?;
    steps.run("live tests", || {
        live(workspace, &runner, &features, options.filter.as_deref())
    })
}

/// The tests that need real servers, with the most recently built program.
fn live(
    workspace: &Workspace,
    runner: &Runner,
    features: &str,
    filter: Option<&str>,
) -> Result<()> {
    let mut targets = live_targets(&workspace.metadata);
    if !packaged::are_there() {
        eprintln!(
            "no servers as Debian installs them, or not for us to read: without `{PACKAGED}`"
        );
        targets.retain(|target| target != PACKAGED);
    }
    if targets.is_empty() {
        bail!("{LIVE} has no test that requires its feature `live`");
    }
    let features = format!("{features},{LIVE}/live");
    let python = python::ensure(workspace)?;
    let free = Server::start(workspace, Kind::Free)?;
    let quiet = Server::start(workspace, Kind::Quiet)?.with_switch()?;
    let stock = Server::start(workspace, Kind::Stock)?;
    let sasl2 = Server::start(workspace, Kind::Sasl2)?;
    let ejabberd = Server::start(workspace, Kind::Ejabberd)?.with_switch()?;
    let mut packaged = Vec::new();
    if targets.iter().any(|target| target == PACKAGED) {
        for kind in [Kind::PackagedProsody, Kind::PackagedEjabberd] {
            packaged.push((kind.variable(), Server::start(workspace, kind)?));
        }
    }
    let packaged_facts = packaged
        .iter()
        .map(|(variable, server)| (variable, server.facts()));
    runner
        .command(workspace, &features, &targets, filter)
        .envs(packaged_facts)
        .env(Kind::Free.variable(), free.facts())
        .env(Kind::Quiet.variable(), quiet.facts())
        .env(Kind::Stock.variable(), stock.facts())
        .env(Kind::Sasl2.variable(), sasl2.facts())
        .env(Kind::Ejabberd.variable(), ejabberd.facts())
        .env(python::VARIABLE, python)
        .env("XTLS_BIN", workspace.target.join("debug").join("xtls"))
        .run()?;
    free.discard()?;
    quiet.discard()?;
    stock.discard()?;
    sasl2.discard()?;
    for (_, server) in packaged {
        server.discard()?;
    }
    ejabberd.discard()
}

/// Names of the test targets that require the feature `live`, according to `cargo metadata`.
fn live_targets(metadata: &serde_json::Value) -> Vec<String> {
    let package = list(metadata, "packages").find(|package| text(package, "name") == LIVE);
    let targets = package
        .into_iter()
        .flat_map(|package| list(package, "targets"));
    let live =
        targets.filter(|target| list(target, "required-features").any(|feature| feature == "live"));
    live.map(|target| text(target, "name").to_owned()).collect()
}

/// The test runner.
pub(crate) enum Runner {
    Nextest,
    Cargo,
}

impl Runner {
    pub(crate) fn installed(workspace: &Workspace) -> Self {
        let sh = &workspace.sh;
        match cmd!(sh, "cargo nextest --version")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()
        {
            Ok(()) => Self::Nextest,
            Err(_) => Self::Cargo,
        }
    }

    /// Runs the live test targets, or, if none is named, everything but doc tests. Always in the whole workspace, so
    /// that nothing is built twice with different features.
    fn command<'a>(
        &self,
        workspace: &'a Workspace,
        features: &str,
        live: &[String],
        filter: Option<&str>,
    ) -> Cmd<'a> {
        let sh = &workspace.sh;
        let common = ["--locked", "--workspace", "--features", features];
        let selection: Vec<&str> = match live {
            [] => vec!["--tests"],
            targets => targets
                .iter()
                .flat_map(|target| ["--test", target])
                .collect(),
        };
        match self {
            Self::Nextest => {
                let profile = if live.is_empty() { "default" } else { "live" };
                // A filter may match nothing in one of several runs.
                let none = if filter.is_some() { "pass" } else { "fail" };
                cmd!(
                    sh,
                    "cargo nextest run {common...} {selection...} --profile {profile} --no-tests {none} -- {filter...}"
                )
            }
            Self::Cargo => {
                // The accounts are shared: one live test at a time.
                let threads = if live.is_empty() {
                    None
                } else {
                    Some("--test-threads=1")
                };
                cmd!(
                    sh,
                    "cargo test {common...} {selection...} --no-fail-fast -- {threads...} {filter...}"
                )
            }
        }
    }
}

impl Runner {
    /// Runs the tests with exactly these names in any module, all of them even if some fail.
    pub(crate) fn only<'a>(
        &self,
        workspace: &'a Workspace,
        features: &str,
        names: &[String],
    ) -> Cmd<'a> {
        let sh = &workspace.sh;
        let common = ["--locked", "--workspace", "--tests", "--features", features];
        match self {
            Self::Nextest => {
                let named = format!("test(/(^|::)({})$/)", names.join("|"));
                cmd!(
                    sh,
                    "cargo nextest run {common...} --no-fail-fast --status-level fail --final-status-level slow -E {named}"
                )
            }
            // Matches parts of names, so it may run some others too.
            Self::Cargo => cmd!(sh, "cargo test {common...} --no-fail-fast -- {names...}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        assert!(parse(&["--quik"]).is_err());
    }

    #[test]
    fn a_second_filter_is_refused() {
        assert!(parse(&["one", "two"]).is_err());
    }

    #[test]
    fn a_flag_and_a_filter_are_distinguished() {
        let options = Options {
            quick: true,
            filter: Some("seq_wraps".to_owned()),
        };
        assert_eq!(parse(&["seq_wraps", "--quick"]).unwrap(), options);
    }

    #[test]
    fn only_targets_that_require_live_are_live() {
        let metadata = json!({ "packages": [
            { "name": "xtls-stanza", "targets": [{ "name": "other", "required-features": ["live"] }] },
            { "name": LIVE, "targets": [
                { "name": "seed" },
                { "name": "live", "required-features": ["live"] },
                { "name": "odd", "required-features": ["more"] },
            ] },
        ] });
        assert_eq!(live_targets(&metadata), ["live"]);
    }
}
