//! What of other crates stands in the public face of ours is in docs/DEPENDENCIES.md, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::markdown::{quoted, read, root, table};
use crate::signatures::Source;

const PAGE: &str = "docs/DEPENDENCIES.md";

/// The crates that applications depend on.
const CRATES: [&str; 15] = [
    "client", "files", "forward", "framer", "ibb", "keys", "link", "path", "pipe", "reach", "s5b",
    "session", "stanza", "tls", "tunnel",
];

#[test]
fn what_stands_in_public_signatures_is_what_the_page_allows() {
    for name in CRATES {
        let found: BTreeSet<String> = face(name).into_keys().collect();
        assert_eq!(found, allowed(name), "{name}: {:#?}", face(name));
    }
}

#[test]
fn what_the_page_allows_is_re_exported() {
    for name in CRATES {
        let sources = sources(name);
        let exported: BTreeSet<&str> = sources
            .iter()
            .flat_map(|(_, source)| source.exports())
            .collect();
        for other in allowed(name) {
            assert!(exported.contains(other.as_str()), "{name}: {other}");
        }
    }
}

/// The crates that the public signatures of a text name.
fn named(text: &str) -> Vec<String> {
    let source = Source::new(text);
    let public = source.types().collect();
    let others = ["serde", "bytes", "tokio"].map(str::to_owned).into();
    let signatures = source.signatures(&public, &others).into_iter();
    let roots: BTreeSet<_> = signatures
        .flat_map(|signature| source.roots(signature))
        .filter(|root| others.contains(*root))
        .map(str::to_owned)
        .collect();
    roots.into_iter().collect()
}

#[test]
fn a_name_of_another_crate_is_found_wherever_it_is_public() {
    let uses = "use serde::{de::Visitor as V, Serializer};\n";
    for text in [
        "pub fn a(b: &Serializer) {}",
        "pub async fn a() -> Result<(), V> {}",
        "impl Own { pub const fn a<T: V>(self) {} }",
        "pub struct Own<T: V> { inner: T }",
        "pub struct Own { inner: u8, pub other: [Serializer; 2] }",
        "pub struct Own(u8, pub Serializer);",
        "#[derive(Debug)] pub enum Own { A, B { c: Serializer } }",
        "pub trait Own { fn a(&self) -> Serializer; }",
        "pub type Own = Option<Serializer>;",
        "pub const A: Serializer = Serializer::new();",
        "pub struct Own; impl V for Own {}",
        "pub struct Own; impl From<Serializer> for Own {}",
        "pub struct Own; impl Iterator for Own { fn a() {} type Item = Serializer; }",
        "pub trait Own {} impl Own for Serializer {}",
        "pub mod inside { pub fn a(b: Serializer) {} }",
        "pub fn a() -> serde::Serializer {}",
    ] {
        assert_eq!(named(&format!("{uses}{text}")), ["serde"], "{text}");
    }
}

#[test]
fn what_others_do_not_see_is_not_looked_at() {
    let uses = "use serde::{de::Visitor as V, Serializer};\n";
    for text in [
        "fn a(b: &Serializer) {}",
        "pub(crate) fn a(b: &Serializer) {}",
        "pub fn a() { let b: Serializer = serde::Serializer::new('{', \"{\"); }",
        "pub struct Own { inner: Serializer }",
        "pub struct Own(Serializer);",
        "pub(crate) struct Own { pub inner: Serializer }",
        "struct Own { pub inner: Serializer } impl V for Own {}",
        "mod inside { pub fn a(b: Serializer) {} }",
        "#[cfg(test)] mod tests { pub fn a(b: Serializer) {} }",
        "// pub fn a(b: Serializer)",
        "pub fn serde(a: own::Serializer) {}",
    ] {
        assert_eq!(named(&format!("{uses}{text}")), [""; 0], "{text}");
    }
}

/// The crates whose names the page allows in the face of one of ours.
fn allowed(name: &str) -> BTreeSet<String> {
    let rows = table(PAGE, &["crate", "in its face", "why"]);
    let rows = rows.iter().filter(|row| row[0] == format!("`xtls-{name}`"));
    rows.flat_map(|row| quoted(&row[1]).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The other crates that the public face of one of ours names, and where.
fn face(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources(name);
    let others = dependencies(name);
    let public: BTreeSet<&str> = sources
        .iter()
        .flat_map(|(_, source)| source.types())
        .collect();
    let mut face: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, source) in &sources {
        for signature in source.signatures(&public, &others) {
            for root in source.roots(signature) {
                if others.contains(root) {
                    let place = format!("{}: {signature}", path.display());
                    face.entry(root.to_owned()).or_default().insert(place);
                }
            }
        }
    }
    face
}

fn sources(name: &str) -> Vec<(PathBuf, Source)> {
    let files = files(&root().join("crates").join(name).join("src"));
    let sources = files.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a source");
        (path, Source::new(&text))
    });
    sources.collect()
}

/// The Rust files of a folder, without those of tests.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// What a crate of ours may name: its dependencies, as they are called in code.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = read(&format!("crates/{name}/Cargo.toml"));
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && let Some(end) = line.find(['.', ' ', '=']) {
            names.insert(line[..end].replace('-', "_"));
        }
    }
    names
}
