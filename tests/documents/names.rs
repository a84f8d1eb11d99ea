//! Everything that the documents name exists: files, tests, commands, options, chores.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::markdown::{DOCUMENTS, fences, quoted, read, root};

/// The most lines that the README may have.
const MAX_README: usize = 150;

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(
        lines <= MAX_README,
        "README.md: {lines} lines, {MAX_README} are allowed"
    );
}

/// The commands in a document: lines of its fences, and words in backticks, that begin with a program's name.
fn commands(path: &str, program: &str) -> Vec<String> {
    let text = read(path);
    let fenced = fences(path)
        .into_iter()
        .filter(|fence| fence.info == "sh")
        .map(|fence| fence.text);
    let fenced: String = fenced.collect();
    let lines = fenced
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default());
    let begins = format!("{program} ");
    let all = lines.chain(text.lines().flat_map(quoted));
    all.map(str::trim)
        .filter(|line| line.starts_with(&begins))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_in_the_documents_is_one_of_the_program() {
    let mut args = read("crates/cli/src/args.rs");
    for entry in fs::read_dir(root().join("crates/cli/src/args")).expect("a folder") {
        let path = entry.expect("an entry").path();
        args.push_str(&fs::read_to_string(path).expect("a file"));
    }
    let verbs = variants(&args, "enum Verb");
    let trust = variants(&args, "enum Trust");
    let accounts = variants(&args, "enum Accounts");
    let policies = variants(&args, "enum TrustPolicy");
    let fields = args
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub(crate) ")?.split_once(": "))
        .map(|(field, _)| field.replace('_', "-"));
    // An option of several verbs may have a name of its own in one of them.
    let renamed = args.split(".long(\"").skip(1);
    let renamed = renamed.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    let fields: BTreeSet<_> = fields.chain(renamed).collect();
    let mut seen = 0;
    let crates = ["crates/cli/README.md", "crates/client/README.md"];
    for path in DOCUMENTS.into_iter().chain(crates) {
        for command in commands(path, "xtls") {
            let words: Vec<_> = command.split_whitespace().skip(1).collect();
            // What keys are derived for.
            if words.last() == Some(&"1") {
                continue;
            }
            let verb = words[0];
            assert!(
                verbs.contains(verb) || verb.starts_with("--"),
                "{path}: no verb {verb}: {command}"
            );
            let known = match verb {
                "trust" => Some(&trust),
                "account" => Some(&accounts),
                _ => None,
            };
            if let (Some(known), Some(below)) = (known, words.get(1)) {
                for below in below.split('|') {
                    assert!(
                        known.contains(below),
                        "{path}: no {verb} {below}: {command}"
                    );
                }
            }
            for (at, word) in words.iter().enumerate() {
                if let Some(option) = word.trim_start_matches('[').strip_prefix("--") {
                    let option = option.trim_end_matches([']', ',', '…']);
                    let known = fields.contains(option) || ["help", "version"].contains(&option);
                    assert!(known, "{path}: no option --{option}: {command}");
                    if option == "trust" {
                        assert!(policies.contains(words[at + 1]), "{path}: {command}");
                    }
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} commands");
}

/// The names of an enum's variants as clap writes them.
fn variants(source: &str, declaration: &str) -> BTreeSet<String> {
    let begins = format!("pub(crate) {declaration} {{");
    let (_, body) = source
        .split_once(&begins)
        .unwrap_or_else(|| panic!("no {declaration}"));
    let (body, _) = body.split_once("\n}").expect("an end");
    let names = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        name.starts_with(|c: char| c.is_ascii_uppercase())
            .then_some(name)
    });
    names
        .map(|name| {
            name.split(['(', ','])
                .next()
                .unwrap_or_default()
                .to_lowercase()
        })
        .collect()
}

#[test]
fn every_chore_in_the_documents_exists() {
    let source = read("xtask/src/main.rs");
    let mut seen = 0;
    for path in DOCUMENTS {
        for command in commands(path, "cargo") {
            let mut words = command.split_whitespace().skip(1);
            if words.next() != Some("xtask") {
                continue;
            }
            let chore = words.next().expect("a chore");
            assert!(
                source.contains(&format!("Some(\"{chore}\") =>")),
                "{path}: {command}"
            );
            for flag in words.filter(|word| word.starts_with("--")) {
                assert!(source.contains(flag), "{path}: {command}");
                if flag == "--then" {
                    // The rest belongs to another program.
                    break;
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} chores");
}

#[test]
fn every_file_in_the_documents_exists() {
    const ENDS: [&str; 5] = [".rs", ".md", ".toml", ".lua", ".yml"];
    for path in DOCUMENTS {
        let mut folder = String::new();
        for line in read(path).lines() {
            // In the code map, a heading names the folder of the files below it.
            if line.starts_with('#') {
                folder = quoted(line).next().unwrap_or_default().to_owned();
            }
            for name in quoted(line).filter(|name| ENDS.iter().any(|end| name.ends_with(end))) {
                let here = root().join(&folder).join(name);
                assert!(
                    root().join(name).exists() || here.exists(),
                    "{path}: there is no {name}: {line}"
                );
            }
            for target in line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                let file = target.split('#').next().unwrap_or_default();
                if !file.is_empty() && !file.contains("://") {
                    let from = Path::new(path).parent().expect("a folder");
                    assert!(root().join(from).join(file).exists(), "{path}: no {target}");
                }
            }
        }
    }
}

#[test]
fn every_file_of_a_crate_is_on_the_map() {
    let map = read("docs/ARCHITECTURE.md");
    for name in [
        "framer", "stanza", "ibb", "tls", "session", "tunnel", "link", "keys", "pipe", "files",
        "forward", "s5b", "reach", "client", "cli",
    ] {
        let folder = root().join("crates").join(name).join("src");
        for entry in fs::read_dir(folder).expect("a folder") {
            let file = entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name");
            let test = file.ends_with("tests.rs") || file == "strategy.rs";
            if file.ends_with(".rs") && !test {
                assert!(
                    map.contains(&format!("`{file}`")),
                    "the map lacks crates/{name}/src/{file}"
                );
            }
        }
    }
}

#[test]
fn every_test_of_the_whole_stack_is_described() {
    let described = read("docs/TESTING.md");
    let manifest = read("tests/Cargo.toml");
    let (_, targets) = manifest.split_once("[[test]]").expect("a test");
    let paths = targets
        .lines()
        .filter_map(|line| line.strip_prefix("path = "));
    for path in paths.map(|path| path.trim_matches('"')) {
        assert!(
            described.contains(&format!("| `{path}` |")),
            "docs/TESTING.md lacks tests/{path}"
        );
    }
}

/// Each invariant names at least one test, rule or file that checks it, and everything that it names exists.
#[test]
fn every_invariant_is_held_by_something_that_exists() {
    let text = read("docs/INVARIANTS.md");
    let invariants: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("- **Invariant: "))
        .collect();
    assert!(invariants.len() >= 10);
    let sources = sources();
    for line in invariants {
        let (_, held) = line
            .split_once(" Held by ")
            .unwrap_or_else(|| panic!("nothing holds: {line}"));
        let mut names = 0;
        for name in quoted(held) {
            let test = sources.contains(&format!("fn {name}("));
            assert!(
                test || root().join(name).is_file(),
                "there is no {name}: {line}"
            );
            names += 1;
        }
        assert!(names > 0, "nothing holds: {line}");
    }
}

/// Each row of docs/FIRST-USE.md ends with tests, all of which exist.
#[test]
fn every_wrong_turn_is_held_by_a_test_that_exists() {
    let text = read("docs/FIRST-USE.md");
    let rows: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.ends_with("` |"))
        .collect();
    // 31 places to stumble, and some wrong turns.
    assert!(rows.len() > 31 + 15, "{}", rows.len());
    let numbers = rows
        .iter()
        .filter_map(|row| row.split(' ').nth(1)?.parse::<u32>().ok());
    assert!(numbers.eq(1..=31_u32), "a row is missing");
    let sources = sources();
    for row in rows {
        let held = row.trim_end_matches(" |").rsplit("| ").next();
        for name in quoted(held.expect("a last cell")) {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "there is no {name}: {row}"
            );
        }
    }
}

/// All Rust files of the workspace in one text.
fn sources() -> String {
    let mut text = String::new();
    let mut folders: Vec<_> = ["crates", "tests", "xtask"]
        .iter()
        .map(|name| root().join(name))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("a text"));
            }
        }
    }
    text
}
