//! Where code stands: a type's methods in its file, and tests in their places.

/// Lines that tests may have in the file of what they test.
const SHORT: usize = 200;

/// What takes in programs, which have their own places, to test them.
const TAKES_EXAMPLES: &str = "tests/examples.rs";

/// What stands in the wrong place in a Rust file.
pub(crate) fn faults(path: &str, content: &str) -> Vec<String> {
    let mut faults = impl_faults(path, content);
    faults.extend(name_fault(path));
    faults.extend(path_faults(path, content));
    faults.extend(inline_faults(path, content));
    faults
}

/// Tests of a module's private parts that are too many for its file stand in `tests.rs` in its folder, or in a folder `tests`
/// beside that.
fn name_fault(path: &str) -> Option<String> {
    let named = path.ends_with("_tests.rs") || path.ends_with("_test.rs");
    let root = path.ends_with("/tests/mod.rs");
    (named || root).then(|| format!("{path}: tests of a module stand in MODULE/tests.rs"))
}

/// Every module stands where its name says.
fn path_faults(path: &str, content: &str) -> Vec<String> {
    let lines = content.lines().zip(1..);
    let elsewhere = lines.filter(|(line, _)| {
        let target = line.trim_start().strip_prefix("#[path");
        let example =
            |target: &str| target.contains("\"../crates/") && target.contains("/examples/");
        target.is_some_and(|target| path != TAKES_EXAMPLES || !example(target))
    });
    elsewhere
        .map(|(_, number)| format!("{path}:{number}: a module stands where its name says"))
        .collect()
}

/// Tests in the file of what they test are few, are called `tests`, and are its end.
fn inline_faults(path: &str, content: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines: Vec<&str> = content.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = inline_module(line) else {
            continue;
        };
        let above = lines.iter().take(at).rev();
        let mut attributes = above.take_while(|line| line.starts_with("#["));
        if !attributes.any(|line| line.starts_with("#[cfg(test)]")) {
            continue;
        }
        let body = lines.iter().skip(at);
        let length = body.take_while(|line| **line != "}").count() + 1;
        let number = at + 1;
        if name != "tests" || at + length != lines.len() {
            faults.push(format!(
                "{path}:{number}: tests in a file are called `tests` and are its end"
            ));
        }
        if length > SHORT {
            faults.push(format!(
                "{path}:{number}: {length} lines of tests, {SHORT} are allowed here: they belong into MODULE/tests.rs"
            ));
        }
    }
    faults
}

/// The name of a module whose content follows.
fn inline_module(line: &str) -> Option<&str> {
    let (_, name) = line.strip_suffix(" {")?.split_once("mod ")?;
    line.starts_with(|c: char| c.is_alphabetic())
        .then_some(name)
}

/// Private fields are used in the file of their type only. So a type's methods stand there; other files have functions, which get
/// what they need, and implementations of traits, which go by what is public. Tests may add methods to what they share.
fn impl_faults(path: &str, content: &str) -> Vec<String> {
    let of_crate = path.starts_with("crates/") && path.contains("/src/");
    if !of_crate || is_test(path) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (at, _) in content.match_indices("\nimpl") {
        let line = content[..=at].matches('\n').count() + 1;
        let owner = content.get(at + 1..).and_then(owner);
        if let Some(owner) = owner.filter(|owner| !defines(content, owner)) {
            faults.push(format!(
                "{path}:{line}: methods of {owner}, which belong into its file"
            ));
        }
    }
    faults
}

/// A file of tests: `tests.rs`, or one in a folder `tests`.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The type that this block adds methods to; `None` if it implements a trait.
fn owner(block: &str) -> Option<&str> {
    let head = block.strip_prefix("impl")?.split_once('{')?.0;
    let head = without_generics(head).trim_start();
    if head.split_whitespace().any(|word| word == "for") {
        return None;
    }
    let end = head.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'));
    head.get(..end.unwrap_or(head.len()))?.rsplit("::").next()
}

/// What follows `<…>`, if anything of the kind is first.
fn without_generics(head: &str) -> &str {
    if !head.starts_with('<') {
        return head;
    }
    let mut depth = 0_usize;
    for (at, c) in head.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if !head[..at].ends_with('-') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return &head[at + 1..];
        }
    }
    head
}

/// Whether the file defines a type of this name.
fn defines(content: &str, name: &str) -> bool {
    ["struct ", "enum ", "union ", "trait "].iter().any(|kind| {
        let found = content.split(kind).skip(1);
        found
            .filter_map(|rest| rest.strip_prefix(name))
            .any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/a/src/b.rs";

    #[test]
    fn methods_away_from_their_type_fail() {
        for head in [
            "impl Mux {",
            "impl<'a, F: Fn(u8) -> Vec<u8>> Mux<'a, F> {",
            "impl crate::mux::Mux\nwhere\n    u8: Copy,\n{",
        ] {
            let content = format!("use crate::mux::Mux;\n\nstruct Muxed;\n\n{head}\n}}\n");
            assert_eq!(
                faults(PATH, &content),
                [format!(
                    "{PATH}:5: methods of Mux, which belong into its file"
                )],
                "{head}"
            );
        }
    }

    #[test]
    fn methods_beside_their_type_and_traits_of_others_pass() {
        let content = [
            "pub(crate) struct Mux<'a>(&'a str);\n",
            "impl<'a> Mux<'a> {\n}\n",
            "impl fmt::Debug for Stream {\n}\n",
            "impl<T> From<T>\n    for Stream\n{\n}\n",
        ];
        let content = &content.join("\n");
        assert_eq!(faults(PATH, content), [""; 0]);
    }

    #[test]
    fn tests_may_add_methods() {
        let content = "\nimpl World {\n}\n";
        for path in [
            "crates/a/src/b/tests.rs",
            "crates/a/src/b/tests/c.rs",
            "crates/a/tests/d.rs",
        ] {
            assert_eq!(faults(path, content), [""; 0], "{path}");
        }
        assert_eq!(faults(PATH, content).len(), 1);
    }

    #[test]
    fn a_file_of_tests_with_another_name_fails() {
        for path in [
            "crates/a/src/b_tests.rs",
            "crates/a/src/b_test.rs",
            "crates/a/src/b/tests/mod.rs",
        ] {
            let fault = format!("{path}: tests of a module stand in MODULE/tests.rs");
            assert_eq!(faults(path, ""), [fault]);
        }
        for path in ["crates/a/src/b/tests.rs", "crates/a/src/b/tests/c.rs"] {
            assert_eq!(faults(path, ""), [""; 0], "{path}");
        }
    }

    #[test]
    fn a_module_that_is_elsewhere_fails() {
        let content = "#[cfg(test)]\n    #[path = \"x/b.rs\"]\n    mod c;\n";
        for path in [PATH, "tests/a.rs", "benches/a.rs", TAKES_EXAMPLES] {
            let fault = format!("{path}:2: a module stands where its name says");
            assert_eq!(faults(path, content), [fault]);
        }
    }

    #[test]
    fn an_example_is_taken_in_where_examples_are_tested() {
        let content = "#[path = \"../crates/a/examples/b.rs\"]\nmod b;\n";
        assert_eq!(faults(TAKES_EXAMPLES, content), [""; 0]);
        assert_eq!(faults("tests/other.rs", content).len(), 1);
    }

    #[test]
    fn tests_in_a_file_are_called_so_and_are_its_end() {
        let block = |name: &str| {
            format!("#[cfg(test)]\n#[cfg(unix)]\nmod {name} {{\n    mod a {{\n    }}\n}}\n")
        };
        let fault = format!("{PATH}:3: tests in a file are called `tests` and are its end");
        assert_eq!(faults(PATH, &block("tests")), [""; 0]);
        assert_eq!(faults(PATH, &block("checks")), std::slice::from_ref(&fault));
        let more = block("tests") + "\nfn more() {}\n";
        assert_eq!(faults(PATH, &more), [fault]);
        // What is no test may stand anywhere.
        assert_eq!(faults(PATH, "mod a {\n}\n\nfn more() {}\n"), [""; 0]);
    }

    #[test]
    fn many_tests_have_a_file_of_their_own() {
        let block = |lines: usize| {
            let body = "    // A test.\n".repeat(lines - 2);
            format!("#[cfg(test)]\nmod tests {{\n{body}}}\n")
        };
        assert_eq!(faults(PATH, &block(SHORT)), [""; 0]);
        assert_eq!(faults(PATH, &block(SHORT + 1)).len(), 1);
    }
}
