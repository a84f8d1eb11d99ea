//! Bugs that are planted for the simulated world: checks that each is hunted, and that no program contains one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Where the hunted bugs are listed.
const HUNTED: &str = "tests/sim/planted.rs";
/// The variable that says which bug is active.
const SWITCH: &str = concat!("XTLS_", "PLANTED");
/// A text that every program of ours contains: if it is not found, the search itself is broken.
const OURS: &str = "urn:xmpp:tmp:xtls";

/// Bugs that are planted but not hunted, or hunted but not planted.
pub(crate) fn faults<'a>(
    workspace: &Workspace,
    files: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>> {
    let hunted = hunted(workspace)?;
    let mut planted = BTreeSet::new();
    for path in files.filter(|path| path.starts_with("crates/") && path.ends_with(".rs")) {
        if let Ok(content) = fs::read_to_string(workspace.root.join(path)) {
            planted.extend(names(&content));
        }
    }
    let hidden = planted
        .difference(&hunted)
        .map(|bug| format!("{HUNTED}: does not hunt {bug}"));
    let gone = hunted
        .difference(&planted)
        .map(|bug| format!("{HUNTED}: {bug} is planted nowhere"));
    Ok(hidden.chain(gone).collect())
}

/// Fails if a program contains the name of a bug, or of the variable that activates one.
pub(crate) fn absent(workspace: &Workspace, program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| program.display().to_string())?;
    let found = found(&bytes, &hunted(workspace)?)?;
    if !found.is_empty() {
        bail!(
            "{} holds planted bugs: {}",
            program.display(),
            found.join(", ")
        );
    }
    Ok(())
}

fn found(program: &[u8], bugs: &BTreeSet<String>) -> Result<Vec<String>> {
    let holds = |needle: &str| memchr::memmem::find(program, needle.as_bytes()).is_some();
    if !holds(OURS) {
        bail!("no program of ours: {OURS} is not in it");
    }
    let names = bugs.iter().map(String::as_str).chain([SWITCH]);
    Ok(names
        .filter(|name| holds(name))
        .map(ToOwned::to_owned)
        .collect())
}

fn hunted(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let content = fs::read_to_string(workspace.root.join(HUNTED))?;
    let list = content
        .split_once("const BUGS")
        .and_then(|(_, rest)| rest.split_once("];"));
    let (list, _) = list.with_context(|| format!("{HUNTED} has no list"))?;
    Ok(list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect())
}

/// The bugs planted in one file of a crate.
fn names(content: &str) -> BTreeSet<String> {
    let marks = [concat!("planted", "!(\""), concat!("planted::", "is(\"")];
    let places = marks.iter().flat_map(|mark| content.split(mark).skip(1));
    places
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bugs() -> BTreeSet<String> {
        ["no-seq-check".to_owned(), "not-stamped".to_owned()].into()
    }

    #[test]
    fn a_bug_in_a_program_is_found() {
        let program = [OURS.as_bytes(), b"\0\x7fELF", b"not-stamped", b"\0"].concat();
        assert_eq!(found(&program, &bugs()).unwrap(), ["not-stamped"]);
    }

    #[test]
    fn the_switch_in_a_program_is_found() {
        let program = [OURS.as_bytes(), SWITCH.as_bytes()].concat();
        assert_eq!(found(&program, &bugs()).unwrap(), [SWITCH]);
    }

    #[test]
    fn a_clean_program_passes_and_something_else_does_not() {
        assert!(found(OURS.as_bytes(), &bugs()).unwrap().is_empty());
        assert!(found(b"\x7fELF", &bugs()).is_err());
    }

    #[test]
    fn planted_bugs_are_seen_in_both_forms() {
        let content = concat!("if planted", "!(\"a-b\") {} planted::", "is(\"c\")");
        assert_eq!(names(content), ["a-b".to_owned(), "c".to_owned()].into());
    }

    #[test]
    fn every_planted_bug_is_hunted() {
        let workspace = Workspace::open().unwrap();
        assert!(hunted(&workspace).unwrap().len() >= 38);
    }
}
