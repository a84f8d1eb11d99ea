//! Speed: the benchmarks, and the ratios that must hold.

mod build;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::packages;
use crate::python;
use crate::server::{Kind, Server};
use crate::workspace::Workspace;

/// The features of the benches package that are built: nothing above stanzas.
const FEATURES: [&str; 3] = ["--no-default-features", "--features", "stanza"];

/// What to measure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Options {
    /// All groups, in detail, or those whose name contains the filter.
    Groups(Vec<OsString>),
    /// The ratios, against the bars.
    Check,
    /// The TLS adapter compared with rustls; `check` fails below the bars.
    Tls { check: bool },
    /// Bytestreams through a real server; `check` fails below the bars.
    Ibb { check: bool },
    /// The link through a real server, beside a client written by hand; `check` fails below the bars.
    Link { check: bool },
    /// Many bulk streams at once through real servers; `check` fails below the bars.
    Citizens { check: bool },
    /// Pipes, files and forwards through real servers, beside the bare tunnel; `check` fails below the bars.
    Verbs { check: bool },
    /// Tunnels beside real servers: through their relays beside bare sockets, and straight beside tokio-rustls; `check` fails below the
    /// bars.
    Paths { check: bool },
    /// The program by itself, and a file by it through a real server, beside magic-wormhole and nc; `check` fails below the bars.
    Files { check: bool },
    /// What a clean build of the program costs, beside an older commit's; `check` fails above the bar.
    Build { check: bool },
    /// The whole stack in memory, and what sessions hold; `check` fails below the bars.
    Session { check: bool },
}

impl Options {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self> {
        let check = args.iter().any(|arg| arg == "--check");
        match args {
            _ if check && args.len() == 1 => Ok(Self::Check),
            [layer] if layer == "tls" => Ok(Self::Tls { check }),
            [layer, flag] if layer == "tls" && flag == "--check" => Ok(Self::Tls { check }),
            [layer] if layer == "ibb" => Ok(Self::Ibb { check }),
            [layer, flag] if layer == "ibb" && flag == "--check" => Ok(Self::Ibb { check }),
            [layer] if layer == "link" => Ok(Self::Link { check }),
            [layer, flag] if layer == "link" && flag == "--check" => Ok(Self::Link { check }),
            [layer] if layer == "citizens" => Ok(Self::Citizens { check }),
            [layer, flag] if layer == "citizens" && flag == "--check" => {
                Ok(Self::Citizens { check })
            }
            [layer] if layer == "paths" => Ok(Self::Paths { check }),
            [layer, flag] if layer == "paths" && flag == "--check" => Ok(Self::Paths { check }),
            [layer] if layer == "verbs" => Ok(Self::Verbs { check }),
            [layer, flag] if layer == "verbs" && flag == "--check" => Ok(Self::Verbs { check }),
            [layer] if layer == "files" => Ok(Self::Files { check }),
            [layer, flag] if layer == "files" && flag == "--check" => Ok(Self::Files { check }),
            [layer] if layer == "build" => Ok(Self::Build { check }),
            [layer, flag] if layer == "build" && flag == "--check" => Ok(Self::Build { check }),
            [layer] if layer == "session" => Ok(Self::Session { check }),
            [layer, flag] if layer == "session" && flag == "--check" => Ok(Self::Session { check }),
            [] => Ok(Self::Groups(Vec::new())),
            [filter] if !filter.as_encoded_bytes().starts_with(b"-") => {
                Ok(Self::Groups(vec![filter.clone()]))
            }
            _ => bail!(
                "cargo xtask bench takes --check, or tls, ibb, link, citizens, verbs, paths, files, build or session with or without --check, or a FILTER"
            ),
        }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    match options {
        Options::Groups(filter) => groups(workspace, filter),
        Options::Check => check(workspace),
        Options::Tls { check } => layer(workspace, "tls", "tls", *check),
        Options::Session { check } => {
            // All results are shown, even if the first benchmark fails.
            let speed = layer(workspace, "session", "session", *check);
            let memory = layer(workspace, "memory", "session", *check);
            layer(workspace, "first_use", "session", *check)
                .and(memory)
                .and(speed)
        }
        Options::Ibb { check } => ibb(workspace, *check),
        Options::Link { check } => link(workspace, *check),
        Options::Citizens { check } => through_both(workspace, "citizens", *check),
        Options::Files { check } => files(workspace, *check),
        Options::Paths { check } => through_both(workspace, "paths", *check),
        Options::Build { check } => build::run(workspace, *check),
        Options::Verbs { check } => through_both(workspace, "verbs", *check),
    }
}

/// With the release profile, as users build the program.
const LIVE: [&str; 9] = live("ibb");

/// An example that needs real servers.
const fn live(example: &'static str) -> [&'static str; 9] {
    [
        "--release",
        "--locked",
        "-p",
        "xtls-benches",
        "--example",
        example,
        "--no-default-features",
        "--features",
        "live",
    ]
}

fn ibb(workspace: &Workspace, check: bool) -> Result<()> {
    let sh = &workspace.sh;
    let program = LIVE;
    cmd!(sh, "cargo build {program...}").run()?;
    let python = python::ensure(workspace)?;
    let server = Server::start(workspace, Kind::Quiet)?;
    let flag = check.then_some("--check");
    cmd!(sh, "cargo run --quiet {program...} -- {flag...}")
        .env(Kind::Quiet.variable(), server.facts())
        .env(python::VARIABLE, python)
        .run()?;
    server.discard()
}

fn link(workspace: &Workspace, check: bool) -> Result<()> {
    let sh = &workspace.sh;
    cmd!(sh, "cargo build {LIVE...}").run()?;
    let python = python::ensure(workspace)?;
    let server = Server::start(workspace, Kind::Ejabberd)?;
    let flag = check.then_some("--check");
    let rates = cmd!(sh, "cargo run --quiet {LIVE...} -- link {flag...}")
        .env(Kind::Ejabberd.variable(), server.facts())
        .env(python::VARIABLE, python)
        .run();
    // All results are shown, even if the first ones fail.
    let memory = live("links");
    let memory = cmd!(sh, "cargo run --quiet {memory...} -- {flag...}")
        .env(Kind::Ejabberd.variable(), server.facts())
        .run();
    rates.and(memory)?;
    server.discard()
}

/// A part of the live benchmarks through one server after the other: both have all of the machine.
fn through_both(workspace: &Workspace, part: &str, check: bool) -> Result<()> {
    let sh = &workspace.sh;
    cmd!(sh, "cargo build {LIVE...}").run()?;
    let mut outcome = Ok(());
    for kind in [Kind::Quiet, Kind::Ejabberd] {
        let server = Server::start(workspace, kind)?;
        let flag = check.then_some("--check");
        let ran = cmd!(sh, "cargo run --quiet {LIVE...} -- {part} {flag...}")
            .env(kind.variable(), server.facts())
            .run();
        // All results are shown, even if the first server's fail.
        outcome = outcome.and(ran);
        server.discard()?;
    }
    Ok(outcome?)
}

/// The program as users build it.
fn files(workspace: &Workspace, check: bool) -> Result<()> {
    let sh = &workspace.sh;
    cmd!(sh, "cargo build --release --locked -p xtls").run()?;
    let python = python::wormhole(workspace)?;
    let server = Server::start(workspace, Kind::Quiet)?;
    let script = workspace.root.join("benches/files.py");
    let flag = check.then_some("--check");
    cmd!(sh, "{python} {script} {flag...}")
        .env(Kind::Quiet.variable(), server.facts())
        .env("XTLS_BIN", workspace.target.join("release/xtls"))
        .env("XTLS_WORMHOLE", workspace.target.join("wormhole/bin"))
        .run()?;
    server.discard()
}

fn layer(workspace: &Workspace, name: &str, features: &str, check: bool) -> Result<()> {
    let sh = &workspace.sh;
    let flag = check.then_some("--check");
    Ok(cmd!(
        sh,
        "cargo run --quiet --locked --profile bench -p xtls-benches --example {name} --no-default-features --features {features} -- {flag...}"
    )
    .run()?)
}

fn groups(workspace: &Workspace, filter: &[OsString]) -> Result<()> {
    let sh = &workspace.sh;
    let expat = expat(workspace)?;
    for group in ["framer", "stanza", "base64"] {
        cmd!(
            sh,
            "cargo bench --locked -p xtls-benches --bench {group} {FEATURES...} -- {filter...}"
        )
        .env("XTLS_BENCH_EXPAT", &expat)
        .run()?;
    }
    Ok(())
}

fn check(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    let (expat, folder) = (expat(workspace)?, folder(workspace));
    Ok(cmd!(
        sh,
        "cargo run --quiet --locked --profile bench -p xtls-benches --example check {FEATURES...} -- {expat} {folder}"
    )
    .run()?)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bench")
}

/// Builds the driver program for expat.
fn expat(workspace: &Workspace) -> Result<PathBuf> {
    let sh = &workspace.sh;
    fs::create_dir_all(folder(workspace))?;
    let program = folder(workspace).join("expat");
    packages::ensure_expat(sh)?;
    let source = workspace.root.join("benches/expat.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    cmd!(
        sh,
        "{compiler} -O2 -Wall -Wextra -o {program} {source} -lexpat"
    )
    .run()?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        Options::parse(&args)
    }

    #[test]
    fn the_check_stands_alone() {
        assert_eq!(parse(&["--check"]).unwrap(), Options::Check);
        assert!(parse(&["--check", "chat"]).is_err());
        assert!(parse(&["--chek"]).is_err());
    }

    #[test]
    fn a_layer_may_be_checked() {
        assert_eq!(parse(&["tls"]).unwrap(), Options::Tls { check: false });
        let checked = Options::Tls { check: true };
        assert_eq!(parse(&["tls", "--check"]).unwrap(), checked);
        assert!(parse(&["tls", "chat"]).is_err());
        assert_eq!(parse(&["ibb"]).unwrap(), Options::Ibb { check: false });
        let checked = Options::Ibb { check: true };
        assert_eq!(parse(&["ibb", "--check"]).unwrap(), checked);
        assert_eq!(parse(&["link"]).unwrap(), Options::Link { check: false });
        let checked = Options::Verbs { check: true };
        assert_eq!(parse(&["verbs", "--check"]).unwrap(), checked);
        assert_eq!(parse(&["paths"]).unwrap(), Options::Paths { check: false });
        let checked = Options::Citizens { check: true };
        assert_eq!(parse(&["citizens", "--check"]).unwrap(), checked);
        assert_eq!(parse(&["files"]).unwrap(), Options::Files { check: false });
        let checked = Options::Build { check: true };
        assert_eq!(parse(&["build", "--check"]).unwrap(), checked);
    }

    #[test]
    fn a_word_is_a_filter() {
        assert_eq!(parse(&[]).unwrap(), Options::Groups(Vec::new()));
        let filter = Options::Groups(vec!["chat".into()]);
        assert_eq!(parse(&["chat"]).unwrap(), filter);
    }
}
