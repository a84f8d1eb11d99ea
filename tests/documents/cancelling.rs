//! Every async call says what becomes of it when its future is dropped.

use std::fs;

use crate::dependencies::files;
use crate::markdown::root;

#[test]
fn every_public_async_function_says_whether_it_is_cancel_safe() {
    for name in ["client", "files", "ibb", "link", "session", "tls"] {
        let mut there = 0;
        for path in files(&root().join("crates").join(name).join("src")) {
            let text = fs::read_to_string(&path).expect("a source");
            let (silent, all) = silent(&text);
            assert!(silent.is_empty(), "{}: {silent:?}", path.display());
            there += all;
        }
        assert!(there > 0, "{name} has no async function");
    }
}

/// The public async functions whose documentation does not say it, and how many there are in all.
fn silent(text: &str) -> (Vec<&str>, usize) {
    let (mut silent, mut all, mut said) = (Vec::new(), 0, false);
    for line in text.lines().map(str::trim_start) {
        match line.strip_prefix("pub async fn ") {
            Some(function) => {
                all += 1;
                if !said {
                    silent.extend(function.split(['(', '<']).next());
                }
                said = false;
            }
            None if line.starts_with("///") => {
                said |= line.contains("Cancel-safe") || line.contains("Not cancel-safe");
            }
            None if line.starts_with("#[") => {}
            None => said = false,
        }
    }
    (silent, all)
}

#[test]
fn a_function_that_does_not_say_it_is_found() {
    let text = "
/// Cancel-safe.
fn other() {}

pub async fn a() {}

/// Waits.
#[must_use]
pub async fn b<T>() {}

/// Waits. Not cancel-safe: it counts.
#[must_use]
pub async fn c() {}
";
    assert_eq!(silent(text), (vec!["a", "b"], 3));
}
