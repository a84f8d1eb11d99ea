//! Connections that are cut and servers that die, at full length: what `cargo xtask test` does in short.

use std::ffi::OsString;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::check;
use crate::server::{Kind, Server};
use crate::workspace::Workspace;

/// Modules of the test `outages`.
const PARTS: [&str; 4] = ["cuts", "kills", "moves", "tunnels"];

/// The parts that are named, or all.
pub(crate) fn parse(args: &[OsString]) -> Result<Vec<&'static str>> {
    let part = |arg: &OsString| PARTS.into_iter().find(|part| arg == part);
    match args {
        [] => Ok(PARTS.to_vec()),
        [arg] => match part(arg) {
            Some(part) => Ok(vec![part]),
            None => bail!("cargo xtask outages has no part {}", arg.display()),
        },
        _ => bail!("cargo xtask outages takes one part"),
    }
}

/// Each server on its own, so that the other takes none of its time.
pub(crate) fn run(workspace: &Workspace, parts: &[&str]) -> Result<()> {
    let sh = &workspace.sh;
    // In the whole workspace, as the other tests are built, but fast: five hundred clients share the machine with the server.
    let features = format!("{},xtls-tests/live", check::features(workspace));
    let tests = [
        "--release",
        "--locked",
        "--workspace",
        "--features",
        &features,
        "--test",
        "outages",
    ];
    cmd!(sh, "cargo test {tests...} --no-run").run()?;
    for (kind, name) in [(Kind::Quiet, "prosody"), (Kind::Ejabberd, "ejabberd")] {
        for part in parts {
            let server = Server::start(workspace, kind)?.with_switch()?;
            let filter = format!("{part}::");
            let other = match kind.is_ejabberd() {
                true => "prosody",
                false => "ejabberd",
            };
            eprintln!("\n{part}, {name}");
            cmd!(
                sh,
                "cargo test {tests...} -- --nocapture --test-threads=1 --skip {other} {filter}"
            )
            .env(kind.variable(), server.facts())
            .env("XTLS_OUTAGES", "full")
            .run()?;
            server.discard()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_part_is_refused() {
        assert!(parse(&["cutz".into()]).is_err());
        assert!(parse(&["cuts".into(), "kills".into()]).is_err());
    }

    #[test]
    fn without_a_part_all_of_them_run() {
        assert_eq!(parse(&[]).unwrap(), PARTS);
        assert_eq!(parse(&["kills".into()]).unwrap(), ["kills"]);
    }
}
