//! House rules that a program can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::arrows;
use crate::places;
use crate::planted;
use crate::workspace::{Workspace, packages, text};

/// Lines a Rust file may have.
const MAX_FILE: usize = 500;
/// Files that may be longer, because they are one type whose fields no other file touches, and how long.
const LONG: &[(&str, usize)] = &[
    ("crates/client/src/driver.rs", 580),
    ("crates/ibb/src/mux.rs", 710),
    ("crates/ibb/src/stream.rs", 930),
    ("crates/link/src/net/link.rs", 570),
    ("crates/path/src/route.rs", 1_310),
    ("crates/path/src/wire.rs", 700),
    ("crates/session/src/session.rs", 1_530),
    ("crates/tls/src/tls.rs", 640),
    ("crates/tunnel/src/router.rs", 2_360),
    ("crates/tunnel/src/router/carrier.rs", 610),
    ("crates/tunnel/src/router/tunnels.rs", 530),
];
/// Lines the README may have.
const MAX_README: usize = 150;

/// What may stand at the top.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".config",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "benches",
    "clippy.toml",
    "crates",
    "deny.toml",
    "docs",
    "tests",
    "xtask",
];

/// Words that no Rust file may contain. Each is written in two parts, so that this file does not contain it either.
const MARKS: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("#[ig", "nore"),
    concat!("uns", "afe {"),
    concat!("uns", "afe fn"),
    concat!("uns", "afe impl"),
    // From rustls: it would do I/O within a core, and spin where it cannot.
    concat!("complete", "_io("),
];

/// A package and its features.
const FORMAT: &str = "{p} {f}";

/// First folders of paths that exist on one machine only.
const MACHINE_ROOTS: &[&str] = &["Users", "farm", "home", "root", "work"];

/// Prints every broken rule; fails if there is one.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let faults = faults(workspace)?;
    for fault in &faults {
        eprintln!("tidy: {fault}");
    }
    if !faults.is_empty() {
        bail!("{} house rules are broken", faults.len());
    }
    eprintln!("tidy: arrows and house rules hold");
    Ok(())
}

fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let sh = &workspace.sh;
    let mut faults = arrows::faults(&workspace.metadata);
    for name in arrows::WITHOUT_RUNTIME {
        let tree = cmd!(sh, "cargo tree --locked -p {name} -e normal --prefix none")
            .quiet()
            .read()?;
        faults.extend(arrows::runtimes(name, &tree));
    }

    let tree = cmd!(
        sh,
        "cargo tree --locked -p xtls -e normal --prefix none --format {FORMAT}"
    )
    .quiet()
    .read()?;
    faults.extend(arrows::seeded(&tree));

    // Not part of the workspace, so no other step reads its lock file.
    let fuzz = workspace.root.join("tests").join("fuzz").join("Cargo.toml");
    faults.extend(lock_fault(sh, &fuzz)?);

    let files = workspace.files(&[])?;
    faults.extend(top_faults(files.lines()));
    faults.extend(planted::faults(workspace)?);
    for path in files.lines() {
        // A file that was deleted but not committed is still listed; one that is not text has no lines to check.
        if let Ok(content) = fs::read_to_string(workspace.root.join(path)) {
            faults.extend(text_faults(path, &content));
            if path.ends_with(".rs") {
                faults.extend(places::faults(path, &content));
            }
        }
    }

    let root = fs::read_to_string(workspace.root.join("Cargo.toml"))?;
    if !root.contains(concat!("uns", "afe_code = \"forbid\"")) {
        faults.push("Cargo.toml: the workspace lints do not forbid unsafe code".to_owned());
    }
    for package in packages(&workspace.metadata) {
        let manifest = text(package, "manifest_path");
        let name = text(package, "name");
        if !fs::read_to_string(manifest)
            .with_context(|| manifest.to_owned())?
            .contains("[lints]\nworkspace = true")
        {
            faults.push(format!("{name}: does not take the workspace's lints"));
        }
        if text(package, "license") != "MIT OR Apache-2.0" {
            faults.push(format!("{name}: does not take the workspace's licence"));
        }
        // A published crate is read on its own page.
        if package["publish"].is_null() && !text(package, "readme").ends_with("README.md") {
            faults.push(format!("{name}: has no README.md"));
        }
    }
    Ok(faults)
}

/// What is wrong with the lock file beside `manifest`: missing, or out of date.
fn lock_fault(sh: &Shell, manifest: &Path) -> Result<Option<String>> {
    let output = cmd!(
        sh,
        "cargo metadata --locked --format-version 1 --manifest-path {manifest}"
    )
    .quiet()
    .ignore_status()
    .output()?;
    if output.status.success() {
        return Ok(None);
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Ok(Some(format!("{}: {}", manifest.display(), why.trim())))
}

fn top_faults<'a>(files: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = files.filter_map(|path| path.split('/').next()).collect();
    let strange = names.into_iter().filter(|name| !TOP.contains(name));
    strange
        .map(|name| format!("{name}: does not belong at the top"))
        .collect()
}

fn text_faults(path: &str, content: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let ours = ["crates/", "xtask/", "tests/", "benches/"]
        .iter()
        .any(|folder| path.starts_with(folder));
    let length = content.lines().count();
    let limit = match path {
        "README.md" => MAX_README,
        _ if ours && path.ends_with(".rs") => {
            let long = LONG.iter().find(|(file, _)| *file == path);
            long.map_or(MAX_FILE, |(_, lines)| *lines)
        }
        _ => usize::MAX,
    };
    if length > limit {
        faults.push(format!("{path}: {length} lines, {limit} are allowed"));
    }
    for (line, number) in content.lines().zip(1..) {
        if ours && path.ends_with(".rs") {
            let marks = MARKS.iter().filter(|mark| line.contains(**mark));
            faults.extend(marks.map(|mark| format!("{path}:{number}: says {mark}")));
        }
        if path != "Cargo.lock" && MACHINE_ROOTS.iter().any(|root| names_machine(line, root)) {
            faults.push(format!("{path}:{number}: a path of one machine"));
        }
    }
    faults
}

/// Whether `line` has an absolute path that begins with the folder `root`. After a lower-case letter the same
/// characters are the middle of a relative path or of a URL.
fn names_machine(line: &str, root: &str) -> bool {
    let needle = format!("/{root}/");
    line.match_indices(&needle)
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let faults = faults(&Workspace::open().unwrap()).unwrap();
        assert!(faults.is_empty(), "{faults:#?}");
    }

    #[test]
    fn a_lock_file_that_is_absent_or_behind_fails() {
        let workspace = Workspace::open().unwrap();
        let sh = &workspace.sh;
        let folder = workspace.target.join("tidy-lock");
        let manifest = folder.join("outer").join("Cargo.toml");
        let package = |name: &str, rest: &str| {
            let at = folder.join(name);
            fs::create_dir_all(at.join("src")).unwrap();
            fs::write(at.join("src").join("lib.rs"), "").unwrap();
            let text = format!(
                "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n{rest}"
            );
            fs::write(at.join("Cargo.toml"), text).unwrap();
        };
        let _ = fs::remove_dir_all(&folder);
        package("inner", "");
        package("outer", "");
        assert!(lock_fault(sh, &manifest).unwrap().is_some());

        cmd!(
            sh,
            "cargo generate-lockfile --offline --manifest-path {manifest}"
        )
        .quiet()
        .run()
        .unwrap();
        assert_eq!(lock_fault(sh, &manifest).unwrap(), None);

        package("outer", "[dependencies]\ninner = { path = \"../inner\" }\n");
        assert!(lock_fault(sh, &manifest).unwrap().is_some());
    }

    #[test]
    fn a_file_over_the_limit_fails() {
        let content = "x\n".repeat(MAX_FILE + 1);
        assert_eq!(
            text_faults("crates/a/src/lib.rs", &content),
            ["crates/a/src/lib.rs: 501 lines, 500 are allowed"]
        );
        assert!(text_faults("crates/a/src/lib.rs", &"x\n".repeat(MAX_FILE)).is_empty());
    }

    #[test]
    fn a_readme_over_the_limit_fails() {
        assert_eq!(
            text_faults("README.md", &"x\n".repeat(MAX_README + 1)).len(),
            1
        );
        assert!(text_faults("README.md", &"x\n".repeat(MAX_README)).is_empty());
    }

    #[test]
    fn each_mark_fails_in_each_folder_of_code() {
        for mark in MARKS {
            for folder in ["crates", "xtask", "tests", "benches"] {
                let path = format!("{folder}/a.rs");
                assert_eq!(
                    text_faults(&path, &format!("fine\n    {mark}")),
                    [format!("{path}:2: says {mark}")]
                );
            }
        }
    }

    #[test]
    fn a_machine_path_fails_in_any_file() {
        for root in MACHINE_ROOTS {
            let faults = text_faults("docs/TESTING.md", &format!("see `/{root}/someone/notes`"));
            assert_eq!(faults, ["docs/TESTING.md:1: a path of one machine"]);
        }
    }

    #[test]
    fn a_relative_path_is_no_machine_path() {
        for root in MACHINE_ROOTS {
            assert!(
                text_faults("docs/TESTING.md", &format!("target/{root}/log")).is_empty(),
                "{root}"
            );
        }
    }

    #[test]
    fn a_stranger_at_the_top_fails() {
        let files = [
            "Cargo.toml",
            "crates/a/src/lib.rs",
            "notes.txt",
            "scripts/x.sh",
        ];
        assert_eq!(
            top_faults(files.into_iter()),
            [
                "notes.txt: does not belong at the top",
                "scripts: does not belong at the top"
            ]
        );
    }
}
