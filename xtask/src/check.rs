//! The checks that do not run the code.

use anyhow::Result;
use xshell::cmd;

use crate::steps::Steps;
use crate::workspace::{Workspace, packages, text};
use crate::{deny, tidy};

/// Whether to run cargo-deny.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deny {
    Run,
    Skip,
}

/// Builds each crate as its own users do: in a build of the whole workspace features are unified, which hides missing
/// ones.
const ALONE: &[(&str, &[&str])] = &[
    ("xtls-framer", &[]),
    ("xtls-stanza", &[]),
    ("xtls-ibb", &[]),
    ("xtls-ibb", &["--features", "stream"]),
    ("xtls-tls", &[]),
    ("xtls-tls", &["--no-default-features"]),
    ("xtls-tls", &["--features", "tokio"]),
    ("xtls-session", &[]),
    ("xtls-session", &["--no-default-features"]),
    ("xtls-session", &["--features", "tokio"]),
    ("xtls-tunnel", &[]),
    ("xtls-keys", &[]),
    ("xtls-link", &[]),
    ("xtls-link", &["--no-default-features"]),
    (
        "xtls-link",
        &["--no-default-features", "--features", "component,serve"],
    ),
    ("xtls-link", &["--features", "component"]),
    ("xtls-link", &["--features", "serve"]),
    ("xtls-files", &[]),
    ("xtls-files", &["--no-default-features"]),
    (
        "xtls-files",
        &["--no-default-features", "--features", "tokio"],
    ),
    ("xtls-forward", &[]),
    ("xtls-forward", &["--no-default-features"]),
    ("xtls-path", &[]),
    ("xtls-reach", &[]),
    ("xtls-s5b", &[]),
    ("xtls-s5b", &["--features", "tokio"]),
    ("xtls-pipe", &[]),
    ("xtls-pipe", &["--no-default-features"]),
    ("xtls-client", &[]),
    (
        "xtls-client",
        &["--no-default-features", "--features", "aws-lc-rs"],
    ),
    (
        "xtls-client",
        &["--no-default-features", "--features", "ring,xmpp"],
    ),
    (
        "xtls-client",
        &["--no-default-features", "--features", "aws-lc-rs,paths"],
    ),
    ("xtls-client", &["--features", "stream"]),
    ("xtls-client", &["--features", "tower"]),
    ("xtls-client", &["--features", "hyper"]),
    ("xtls-client", &["--features", "axum"]),
];

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps, deny: Deny) -> Result<()> {
    let sh = &workspace.sh;
    steps.run("tidy", || tidy::run(workspace))?;
    steps.run("fmt", || Ok(cmd!(sh, "cargo fmt --all --check").run()?))?;
    if deny == Deny::Run {
        steps.run("deny", || deny::run(workspace))?;
    }
    steps.run("clippy", || {
        let features = features(workspace);
        Ok(cmd!(sh, "cargo clippy --locked --workspace --features {features},xtls-benches/live,xtls-tests/live --all-targets -- -D warnings").run()?)
    })?;
    steps.run("clippy, each crate alone", || {
        for &(package, flags) in ALONE {
            cmd!(
                sh,
                "cargo clippy --locked -p {package} --lib {flags...} -- -D warnings"
            )
            .run()?;
        }
        Ok(cmd!(sh, "cargo clippy --locked -p xtls -- -D warnings").run()?)
    })?;
    steps.run("doc", || {
        let features = features(workspace);
        let doc = cmd!(
            sh,
            "cargo doc --locked --workspace --no-deps --features {features}"
        );
        Ok(doc.env("RUSTDOCFLAGS", "-D warnings").run()?)
    })
}

/// All optional features of the library crates, for builds of the whole workspace. Not included are `ring`, the other
/// provider, and `seeded`, which the tests that need it enable themselves.
pub(crate) fn features(workspace: &Workspace) -> String {
    let mut features = Vec::new();
    for package in packages(&workspace.metadata).filter(|package| package["publish"].is_null()) {
        let names = package["features"]
            .as_object()
            .into_iter()
            .flat_map(|features| features.keys());
        let names = names.filter(|name| !["default", "ring", "seeded"].contains(&name.as_str()));
        features.extend(names.map(|name| format!("{}/{name}", text(package, "name"))));
    }
    features.join(",")
}
