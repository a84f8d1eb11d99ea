//! What a clean build of the program costs, beside the last commit that logged in by tokio-xmpp.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::workspace::Workspace;

/// The commit that is built for comparison.
const BEFORE: &str = "8075264";

/// The most that a build may take, of the CPU of that commit's.
const MOST: f64 = 0.70;

/// One build after the other, each with one job and in a checkout and a target folder of its own: committed code only.
pub(super) fn run(workspace: &Workspace, check: bool) -> Result<()> {
    let folder = workspace.target.join("bench/build");
    let measure = |commit: &str| {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let seconds = seconds(workspace, commit, &folder)?;
        eprintln!("{commit}: {seconds:.1} s of CPU");
        anyhow::Ok(seconds)
    };
    let before = measure(BEFORE)?;
    let now = measure("HEAD")?;
    fs::remove_dir_all(&folder)?;
    let ratio = now / before;
    let verdict = if ratio <= MOST { "met" } else { "MISSED" };
    eprintln!(
        "clean build {now:.1} s of CPU, {BEFORE} {before:.1} s: {ratio:.3}, at most {MOST:.2}: {verdict}"
    );
    match ratio > MOST && check {
        true => bail!("a clean build costs too much"),
        false => Ok(()),
    }
}

fn seconds(workspace: &Workspace, commit: &str, folder: &Path) -> Result<f64> {
    let sh = Shell::new()?;
    let root = &workspace.root;
    cmd!(
        sh,
        "git clone --quiet --shared --no-checkout {root} {folder}"
    )
    .run()?;
    sh.change_dir(folder);
    cmd!(sh, "git checkout --quiet --detach {commit}").run()?;
    // What is needed is there before it is measured.
    cmd!(sh, "cargo fetch --quiet --locked").run()?;
    let script = "cargo build --quiet --release --locked --jobs 1 -p xtls 1>&2 && times";
    let times = cmd!(sh, "sh -c {script}")
        // Ours, by `.cargo/config.toml`: the other commit has its own.
        .env_remove("AWS_LC_SYS_NO_JITTER_ENTROPY")
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .read()?;
    children(&times).context("the shell says nothing of its children's times")
}

/// The seconds, of users and of the system, in the second line of what `times` says: `1m2.5s 0m3.25s`.
fn children(times: &str) -> Option<f64> {
    let line = times.lines().nth(1)?;
    let seconds = |word: &str| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    line.split_whitespace().map(seconds).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_children_are_added_up() {
        assert_eq!(children("0m0.00s 0m0.00s\n1m2.50s 0m3.25s\n"), Some(65.75));
        for times in ["", "0m0.00s 0m0.00s\n", "0m0s 0m0s\n12 13\n"] {
            assert_eq!(children(times), None, "{times}");
        }
    }
}
