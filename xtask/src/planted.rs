//! Bugs that are planted in a copy of the code, for the simulated world and for the link's models of XEP-0198 to find: the
//! checkers are checked.
//!
//! Each is a patch in `tests/sim/planted`, or for the models in the folder `link` there, named for what it breaks. What it adds
//! asks `planted::is("its-name")`, which only the copy has, so that many bugs share one build and each is hunted alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xshell::cmd;

use crate::properties;
use crate::workspace::{Workspace, text};

/// Says which bug is in.
const SWITCH: &str = "XTLS_PLANTED";
/// Seeds of the world in which a bug must show itself.
const SEEDS: u64 = 10_000;
/// Rounds of a model in which one must: a million steps.
const ROUNDS: u64 = 10;
/// The property that the link's models test.
const LAW: &str = "what_is_sent_arrives_in_order_and_once_or_is_reported_lost";
/// What a crate of the copy has beside the patches.
const MODULE: &str = r#"//! Which bug is in.

pub(crate) fn is(bug: &str) -> bool {
    static BUG: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("XTLS_PLANTED").ok());
    BUG.as_deref() == Some(bug)
}
"#;

/// What has to find a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hunter {
    /// The simulated world.
    World,
    /// The link's models of XEP-0198.
    Link,
}

impl Hunter {
    const ALL: [Self; 2] = [Self::World, Self::Link];

    fn name(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Link => "link",
        }
    }

    /// Where the patches are.
    fn patches(self) -> &'static str {
        match self {
            Self::World => "tests/sim/planted",
            Self::Link => "tests/sim/planted/link",
        }
    }

    /// How far a bug may get, in words.
    fn patience(self) -> String {
        match self {
            Self::World => format!("{SEEDS} seeds"),
            Self::Link => format!("{ROUNDS} rounds"),
        }
    }
}

/// A bug and its patch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bug {
    hunter: Hunter,
    name: String,
    patch: PathBuf,
}

impl Bug {
    fn is_meant(&self, word: &str) -> bool {
        let rest = self.name.strip_prefix(word);
        self.hunter.name() == word
            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

/// Patches that do not apply, and those that plant something else than their name says.
pub(crate) fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for bug in bugs(&workspace.root)? {
        let Bug {
            hunter,
            name,
            patch,
        } = bug;
        let content = fs::read_to_string(&patch)?;
        let place = format!("{}/{name}.patch", hunter.patches());
        if planted(&content) != BTreeSet::from([name.as_str()]) {
            faults.push(format!("{place}: plants something else than {name}"));
        }
        let output = cmd!(workspace.sh, "git apply --check {patch}")
            .quiet()
            .ignore_status()
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            faults.push(format!("{place}: does not apply: {}", why.trim()));
        }
    }
    Ok(faults)
}

/// Hunts all bugs, those whose names begin with this word, or those of the hunter of this name; fails when one is not found.
pub(crate) fn hunt(workspace: &Workspace, only: Option<&str>) -> Result<()> {
    let mut bugs = bugs(&workspace.root)?;
    bugs.retain(|bug| only.is_none_or(|only| bug.is_meant(only)));
    ensure!(
        !bugs.is_empty(),
        "no planted bug and no hunter has this name: {}",
        only.unwrap_or_default()
    );
    let all = bugs.len();
    let mut missed = Vec::new();
    for hunter in Hunter::ALL {
        let own = bugs.iter().filter(|bug| bug.hunter == hunter);
        missed.extend(hunt_by(workspace, hunter, own.cloned().collect())?);
    }
    eprintln!("{} of {all} planted bugs found", all - missed.len());
    ensure!(missed.is_empty(), "not found: {}", missed.join(", "));
    Ok(())
}

/// Hunts those of one hunter. Gives those that it did not find.
fn hunt_by(workspace: &Workspace, hunter: Hunter, mut bugs: Vec<Bug>) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    while !bugs.is_empty() {
        // Two that change the same lines do not fit into one copy.
        let (planted, left) = plant(workspace, bugs)?;
        let Some(first) = planted.first() else {
            let names: Vec<_> = left.iter().map(|bug| bug.name.as_str()).collect();
            bail!("the patches of {} do not apply", names.join(", "));
        };
        eprintln!("{} bugs in a copy, from {}", planted.len(), first.name);
        let program = match hunter {
            Hunter::World => build_world(workspace)?,
            Hunter::Link => build_models(workspace)?,
        };
        missed.extend(hunt_in(hunter, &program, &planted)?);
        bugs = left;
    }
    Ok(missed)
}

fn bugs(root: &Path) -> Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for hunter in Hunter::ALL {
        let folder = root.join(hunter.patches());
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let patch = entry?.path();
            let name = patch.file_stem().and_then(|name| name.to_str());
            let end = patch.extension().and_then(|end| end.to_str());
            if let (Some(name), Some("patch")) = (name, end) {
                let name = name.to_owned();
                bugs.push(Bug {
                    hunter,
                    name,
                    patch,
                });
            }
        }
    }
    bugs.sort();
    Ok(bugs)
}

/// The bugs whose names the added lines of a patch ask for.
fn planted(patch: &str) -> BTreeSet<&str> {
    let added = patch.lines().filter(|line| line.starts_with('+'));
    added
        .flat_map(|line| line.split("planted::is(\"").skip(1))
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect()
}

fn copy(workspace: &Workspace) -> PathBuf {
    workspace.target.join("planted").join("copy")
}

/// Makes a copy of the workspace with as many of the bugs in it as go together. Gives those that are in it, and the others.
fn plant(workspace: &Workspace, bugs: Vec<Bug>) -> Result<(Vec<Bug>, Vec<Bug>)> {
    let copy = copy(workspace);
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let files = workspace.files(&[])?;
    for file in files.lines() {
        let (from, to) = (workspace.root.join(file), copy.join(file));
        if from.is_file() {
            fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
            fs::copy(&from, &to)?;
        }
    }
    let (mut planted, mut left) = (Vec::new(), Vec::new());
    for bug in bugs {
        // No repository but the copy itself: git would take the paths for those of the workspace.
        let applied = Command::new("git")
            .args(["apply", "--whitespace=nowarn"])
            .arg(&bug.patch)
            .current_dir(&copy)
            .env("GIT_CEILING_DIRECTORIES", copy.parent().unwrap_or(&copy))
            .output()?;
        match applied.status.success() {
            true => planted.push(bug),
            false => left.push(bug),
        }
    }
    for entry in fs::read_dir(copy.join("crates"))? {
        let source = entry?.path().join("src");
        let root = source.join("lib.rs");
        if root.is_file() {
            let content = fs::read_to_string(&root)?;
            let module =
                "\n#[allow(dead_code, reason = \"not every crate has bugs\")]\nmod planted;\n";
            fs::write(&root, content + module)?;
            fs::write(source.join("planted.rs"), MODULE)?;
        }
    }
    Ok((planted, left))
}

/// Builds the simulated world of the copy.
fn build_world(workspace: &Workspace) -> Result<PathBuf> {
    let target = workspace.target.join("planted").join("build");
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--profile", "sim"])
        .args(["-p", "xtls-sim", "--bin", "sim", "--target-dir"])
        .arg(&target)
        .current_dir(copy(workspace))
        .status()?;
    ensure!(status.success(), "the copy with the bugs does not build");
    Ok(target.join("sim").join("sim"))
}

/// Builds the link's models of the copy, with the tests around them. What they depend on is shared with the workspace.
fn build_models(workspace: &Workspace) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["test", "--quiet", "--locked", "-p", "xtls-link", "--lib"])
        .args(["--no-default-features", "--no-run", "--target-dir"])
        .arg(&workspace.target)
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(copy(workspace))
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(
        output.status.success(),
        "the copy with the bugs does not build"
    );
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let program = text(&message, "executable").to_owned();
        (!program.is_empty()).then_some(program)
    });
    Ok(program.context("cargo names no program")?.into())
}

/// Runs the hunter with each of the bugs alone. Gives those that it did not find.
fn hunt_in(hunter: Hunter, program: &Path, bugs: &[Bug]) -> Result<Vec<String>> {
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hunt = || -> Result<()> {
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = match hunter {
                Hunter::World => in_world(program, bug)?,
                Hunter::Link => in_models(program, bug)?,
            };
            if let Some(line) = found {
                eprintln!("{:<26} {line}", bug.name);
            } else {
                eprintln!("{:<26} NOT FOUND in {}", bug.name, hunter.patience());
                if let Ok(mut missed) = missed.lock() {
                    missed.push(bug.name.clone());
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(hunt);
        hunt()?;
        match second.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a hunter panicked"),
        }
    })?;
    let mut missed = missed.into_inner().unwrap_or_default();
    missed.sort();
    Ok(missed)
}

/// What the world says about a bug, if it finds it.
fn in_world(program: &Path, bug: &Bug) -> Result<Option<String>> {
    let run = Command::new(program)
        .args(["--seeds", &SEEDS.to_string(), "--threads", "1"])
        .env(SWITCH, &bug.name)
        .output()?;
    let said = String::from_utf8_lossy(&run.stdout);
    let found = said.lines().next();
    let found = found.filter(|line| line.starts_with("VIOLATION") && !run.status.success());
    Ok(found.map(ToOwned::to_owned))
}

/// What the models say about a bug, if they find it: by new cases alone, and not by one that is kept.
fn in_models(program: &Path, bug: &Bug) -> Result<Option<String>> {
    for round in 1..=ROUNDS {
        let run = Command::new(program)
            .arg(LAW)
            .env(SWITCH, &bug.name)
            .env(properties::SEED, round.to_string())
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .output()?;
        let said = String::from_utf8_lossy(&run.stdout);
        ensure!(
            !said.contains("running 0 tests"),
            "no test has the name {LAW}"
        );
        if !run.status.success() {
            let why = said.lines().find(|line| line.starts_with("Test failed: "));
            let why = why.with_context(|| format!("{}: the models end: {said}", bug.name))?;
            return Ok(Some(format!("round {round}: {why}")));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bug_that_a_patch_plants_is_read_from_what_it_adds() {
        let patch = "-    if planted::is(\"old\") {\n+    if a && !crate::planted::is(\"no-seq-check\") {\n context planted::is(\"c\")\n";
        assert_eq!(planted(patch), BTreeSet::from(["no-seq-check"]));
    }

    #[test]
    fn bugs_are_hunted_by_the_first_words_of_their_names_or_by_hunter() {
        let bug = Bug {
            hunter: Hunter::World,
            name: "path-falls-silent".to_owned(),
            patch: PathBuf::new(),
        };
        let meant = ["path", "path-falls", "path-falls-silent", "world"];
        assert!(meant.iter().all(|word| bug.is_meant(word)));
        let others = ["pat", "silent", "link", "path-falls-silently"];
        assert!(!others.iter().any(|word| bug.is_meant(word)));
    }

    #[test]
    fn every_patch_applies_and_plants_the_bug_of_its_name() {
        let workspace = Workspace::open().unwrap();
        assert!(bugs(&workspace.root).unwrap().len() >= 64);
        assert_eq!(faults(&workspace).unwrap(), Vec::<String>::new());
    }
}
