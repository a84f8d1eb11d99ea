//! Answers to queries, on standard output.

use std::io::Write as _;

use crate::failure::Failure;
use crate::say::{self, Say};

/// Prints the answer to a query on standard output: a JSON object on one line for programs, text for people.
pub(crate) fn answer(
    name: &str,
    fields: &[(&str, serde_json::Value)],
    text: &str,
    say: Say,
) -> Result<(), Failure> {
    if say.is_json() {
        print_all(&format!("{}\n", say::object(name, &[], fields)))
    } else {
        print_all(text)
    }
}

/// Prints all of a text.
pub(crate) fn print_all(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::of_output(&error))
}
