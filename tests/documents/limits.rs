//! The tables of limits match the code: each row names a field of a default configuration or a constant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xtls_client::relay;
use xtls_client::router::Config as Router;
use xtls_client::xmpp::Options;
use xtls_tests::keys::{self, ROMEO};
use xtls_tls::trust::Store;

use crate::markdown::{quoted, read, table};

const HEADING: [&str; 3] = ["limit", "default", "where"];
const LIMITS: &str = "docs/LIMITS.md";

/// A default: one number, or the two ends of a range; a time is in milliseconds.
#[derive(Debug, PartialEq)]
struct Value {
    numbers: Vec<u128>,
    time: bool,
}

#[test]
fn every_limit_in_a_table_is_the_one_in_the_code() {
    let configurations = configurations();
    for path in [LIMITS, "docs/PROTOCOL.md"] {
        for row in table(path, &HEADING) {
            let place = quoted(&row[2]).next().expect("a place in backticks");
            let found = match place.split_once(' ') {
                Some((file, constant)) if file.ends_with(".rs") => in_source(file, constant),
                Some(_) => configurations.get(place).and_then(|value| shown(value)),
                None => None,
            };
            let found = found.unwrap_or_else(|| panic!("{path}: there is no {place}"));
            assert_eq!(written(&row[1]), found, "{path}: {place}");
        }
    }
}

#[test]
fn every_limit_of_a_configuration_is_in_the_table() {
    let rows = table(LIMITS, &HEADING);
    let told: BTreeSet<_> = rows.iter().flat_map(|row| quoted(&row[2])).collect();
    for (place, value) in configurations() {
        if shown(&value).is_some() {
            assert!(
                told.contains(place.as_str()),
                "{LIMITS} lacks {place} = {value}"
            );
        }
    }
}

/// The fields of all default configurations, as their `Debug` shows them: `ibb Config.max_block` → `65535`.
fn configurations() -> BTreeMap<String, String> {
    let tls = || keys::seeded_tls(keys::identity(ROMEO, 1), [1; 32]);
    let router = Router::new(tls(), Arc::new(Store::new()));
    let options = Options::new(
        &keys::address(ROMEO),
        zeroize::Zeroizing::new(String::new()),
    );
    let mut fields = BTreeMap::new();
    for (name, debug) in [
        (
            "framer Limits",
            format!("{:#?}", xtls_framer::Limits::default()),
        ),
        ("ibb Config", format!("{:#?}", xtls_ibb::Config::default())),
        ("relay Limits", format!("{:#?}", relay::Limits::default())),
        ("router Config", format!("{router:#?}")),
        (
            "session Config",
            format!("{:#?}", xtls_session::Config::default()),
        ),
        ("tls Config", format!("{:#?}", tls())),
        ("xmpp Options", format!("{options:#?}")),
    ] {
        // Another crate's configuration is listed under that crate's name.
        for (field, value) in flat(&debug, &["tls", "trust", "session", "ibb", "identity"]) {
            fields.insert(format!("{name}.{field}"), value);
        }
    }
    fields
}

/// The leaves of a pretty `Debug` text by their paths, without those below the named fields.
fn flat(debug: &str, without: &[&str]) -> Vec<(String, String)> {
    let mut path: Vec<&str> = Vec::new();
    let mut leaves = Vec::new();
    for line in debug.lines().skip(1) {
        let text = line.trim();
        if matches!(text.trim_end_matches(','), "}" | ")" | "]") {
            path.pop();
        } else if let Some((field, value)) = text.split_once(": ") {
            if value.ends_with(['{', '(', '[']) {
                path.push(field);
            } else if !path.iter().any(|above| without.contains(above)) {
                let at = [path.as_slice(), &[field]].concat().join(".");
                leaves.push((at, value.trim_end_matches(',').to_owned()));
            }
        } else if text.ends_with(['{', '(', '[']) {
            path.push("");
        }
    }
    leaves
}

/// A value as `Debug` shows it; `None` for anything that is not a limit.
fn shown(value: &str) -> Option<Value> {
    // A duration of zero is shown in nanoseconds.
    let value = if value == "0ns" { "0s" } else { value };
    let (number, factor) = match (value.strip_suffix("ms"), value.strip_suffix('s')) {
        (Some(millis), _) => (millis, Some(1)),
        (None, Some(seconds)) => (seconds, Some(1000)),
        (None, None) => (value, None),
    };
    let number: u128 = number.parse().ok()?;
    Some(Value {
        numbers: vec![number * factor.unwrap_or(1)],
        time: factor.is_some(),
    })
}

/// A value as the documents write it: `65 536 bytes`, `60 s`, `50 ms`, `4 096 to 1 000 000`, `5 s, 20 s`.
fn written(cell: &str) -> Value {
    let mut value = Value {
        numbers: Vec::new(),
        time: false,
    };
    let parts = cell.split(" to ").flat_map(|part| part.split(", "));
    for part in parts.filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
        let words: Vec<_> = part.split(' ').collect();
        let is_number = |word: &&&str| word.chars().all(|c| c.is_ascii_digit());
        let digits = words.iter().take_while(is_number).count();
        let number = words[..digits].concat().parse::<u128>();
        let number = number.unwrap_or_else(|_| panic!("no number: {cell}"));
        let factor = match words.get(digits) {
            Some(&"s") => Some(1000),
            Some(&"ms") => Some(1),
            _ => None,
        };
        value.numbers.push(number * factor.unwrap_or(1));
        value.time |= factor.is_some();
    }
    value
}

/// The constant of this name in a file of `crates/`: a number, a range, or a list.
fn in_source(file: &str, constant: &str) -> Option<Value> {
    let source = read(&format!("crates/{file}"));
    let (_, rest) = source.split_once(&format!("const {constant}:"))?;
    let (_, rest) = rest.split_once(" = ")?;
    let (expression, _) = rest.split_once(";\n")?;
    let list = expression
        .strip_prefix('[')
        .and_then(|list| list.strip_suffix(']'));
    let mut value = Value {
        numbers: Vec::new(),
        time: false,
    };
    let items = list.unwrap_or(expression).split(',').map(str::trim);
    for mut item in items.filter(|item| !item.is_empty()) {
        let mut factor = 1;
        for (call, millis) in [
            ("Duration::from_secs(", 1000),
            ("Duration::from_millis(", 1),
        ] {
            if let Some((_, inside)) = item.split_once(call) {
                item = inside.trim_end_matches(')');
                factor = millis;
                value.time = true;
            }
        }
        for end in item.split("..=") {
            value.numbers.push(evaluated(end)? * factor);
        }
    }
    Some(value)
}

/// Sums, products and shifts of integers: everything that limits consist of.
fn evaluated(expression: &str) -> Option<u128> {
    if let Some((left, right)) = expression.split_once(" + ") {
        return Some(evaluated(left)? + evaluated(right)?);
    }
    if let Some((left, right)) = expression.split_once(" << ") {
        return Some(evaluated(left)? << evaluated(right)?);
    }
    if let Some((left, right)) = expression.split_once(" * ") {
        return Some(evaluated(left)? * evaluated(right)?);
    }
    expression.replace('_', "").parse().ok()
}

#[test]
fn values_are_distinguished() {
    let value = |number, time| Value {
        numbers: vec![number],
        time,
    };
    assert_eq!(written("65 536 bytes"), value(65_536, false));
    assert_eq!(written("60 s"), value(60_000, true));
    assert_eq!(written("50 ms"), value(50, true));
    assert_ne!(written("60"), written("60 s"));
    assert_eq!(shown("60s"), Some(value(60_000, true)));
    assert_eq!(shown("50ms"), Some(value(50, true)));
    assert_eq!(shown("0ns"), Some(value(0, true)));
    assert_eq!(shown("5ns"), None);
    assert_eq!(shown("true"), None);
    assert_eq!(evaluated("4 * 1024 * 1024"), Some(4 << 20));
    assert_eq!(evaluated("8_192 + 5"), Some(8_197));
}
