//! Where code stands: a type's methods in its file.

/// Folders whose types still have methods in more than one file.
const SPREAD: &[&str] = &["crates/tunnel/src/router/"];

/// What stands in the wrong place in a Rust file.
pub(crate) fn faults(path: &str, content: &str) -> Vec<String> {
    impl_faults(path, content)
}

/// Private fields are used in the file of their type only. So a type's methods stand there; other files have functions, which get
/// what they need, and implementations of traits, which go by what is public. Tests may add methods to what they share.
fn impl_faults(path: &str, content: &str) -> Vec<String> {
    let of_crate = path.starts_with("crates/") && path.contains("/src/");
    if !of_crate || is_test(path) || SPREAD.iter().any(|folder| path.starts_with(folder)) {
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
        let content = "\
//! A file.

pub(crate) struct Mux<'a>(&'a str);

impl<'a> Mux<'a> {
}

impl fmt::Debug for Stream {
}

impl<T> From<T>
    for Stream
{
}
";
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
}
