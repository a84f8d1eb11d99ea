//! Runs every property test of the workspace with new cases.
//!
//! The number of cases of a property is set beside it and cannot be set from outside, so the tests run in rounds, each
//! with the next seed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::check;
use crate::test::Runner;
use crate::workspace::Workspace;

/// The variable from which proptest takes a seed; `.cargo/config.toml` sets the one for ordinary runs.
pub(crate) const SEED: &str = "PROPTEST_RNG_SEED";

/// Ten times the cases of an ordinary run.
const ROUNDS: u64 = 10;

/// The start of a block of properties.
const BLOCKS: [&str; 2] = ["proptest! {", "prop_state_machine! {"];

/// The options of `cargo xtask properties`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Drawn at random if it is not given.
    seed: Option<u64>,
    rounds: u64,
    /// Only properties whose names contain this.
    only: Option<String>,
}

impl Options {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self> {
        let mut options = Self {
            seed: None,
            rounds: ROUNDS,
            only: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let arg = arg.to_str().context("an argument is not UTF-8")?;
            match arg {
                "--rounds" => {
                    let rounds = args.next().and_then(|rounds| rounds.to_str());
                    let rounds = rounds.context("--rounds needs a number")?;
                    options.rounds = rounds.parse().context("--rounds needs a number")?;
                    ensure!(
                        options.rounds > 0,
                        "the number of rounds must be at least 1"
                    );
                }
                "--only" => {
                    let only = args.next().and_then(|only| only.to_str());
                    options.only = Some(only.context("--only needs a part of a name")?.to_owned());
                }
                _ if arg.starts_with('-') => {
                    bail!("unknown argument of cargo xtask properties: {arg}")
                }
                _ if options.seed.is_some() => bail!("cargo xtask properties takes one seed"),
                _ => options.seed = Some(arg.parse().context("the seed must be a 64-bit number")?),
            }
        }
        Ok(options)
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut properties = properties(workspace)?;
    if let Some(only) = &options.only {
        properties.retain(|name| name.contains(only));
        ensure!(
            !properties.is_empty(),
            "no property has this in its name: {only}"
        );
    }
    let features = check::features(workspace);
    let runner = Runner::installed(workspace);
    let first = options.seed.map_or_else(drawn, Ok)?;
    eprintln!(
        "{} properties, {} rounds from seed {first}",
        properties.len(),
        options.rounds
    );
    let mut broken = Vec::new();
    for round in 0..options.rounds {
        let seed = first.wrapping_add(round);
        eprintln!(
            "\n== round {} of {}: seed {seed}",
            round + 1,
            options.rounds
        );
        let start = Instant::now();
        let outcome = runner
            .only(workspace, &features, &properties)
            .env(SEED, seed.to_string())
            .quiet()
            .run();
        eprintln!("{:>7.1} s", start.elapsed().as_secs_f64());
        if outcome.is_err() {
            broken.push(seed);
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    for seed in &broken {
        let only = options.only.as_ref();
        let only = only.map_or_else(String::new, |only| format!(" --only {only}"));
        eprintln!("again: cargo xtask properties {seed} --rounds 1{only}");
    }
    bail!(
        "{} of {} rounds found a case that breaks a property (or one did not build)",
        broken.len(),
        options.rounds
    );
}

/// The names of all properties, as written in the sources.
fn properties(workspace: &Workspace) -> Result<Vec<String>> {
    let files = workspace.files(&["crates", "tests"])?;
    let mut names = Vec::new();
    for file in files.lines().filter(|file| file.ends_with(".rs")) {
        // Listed, but deleted since.
        if let Ok(source) = fs::read_to_string(workspace.root.join(file)) {
            names.extend(named_in(&source).with_context(|| file.to_owned())?);
        }
    }
    names.sort();
    names.dedup();
    ensure!(!names.is_empty(), "there is no property to test");
    Ok(names)
}

/// The tests in the blocks of a source file. rustfmt guarantees that a block ends at its own indentation, one step to
/// the left of the tests.
fn named_in(source: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut end = None;
    for line in source.lines() {
        let indent = line.len() - line.trim_start().len();
        match end {
            None if BLOCKS.contains(&line.trim()) => end = Some((indent, names.len())),
            Some((column, before)) if indent == column && line.trim() == "}" => {
                ensure!(names.len() > before, "a block of properties without any");
                end = None;
            }
            Some((column, _)) if indent == column + 4 => {
                let name = line.trim().strip_prefix("fn ");
                let name = name.and_then(|rest| rest.split('(').next());
                names.extend(name.map(str::to_owned));
            }
            None | Some(_) => {}
        }
    }
    ensure!(end.is_none(), "a block of properties without an end");
    Ok(names)
}

fn drawn() -> Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    // Short enough to be retyped.
    Ok(u64::from_le_bytes(bytes) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_no_seed_is_refused() {
        for words in [
            &["one"][..],
            &["1", "2"],
            &["-1"],
            &["--rounds"],
            &["--rounds", "0"],
            &["--rounds", "many"],
            &["--only"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_seed_and_rounds_are_taken() {
        let options = Options {
            seed: Some(7),
            rounds: 2,
            only: None,
        };
        assert_eq!(parse(&["7", "--rounds", "2"]).unwrap(), options);
        assert_eq!(parse(&[]).unwrap().seed, None);
        let only = parse(&["--only", "numbers"]).unwrap().only;
        assert_eq!(only.as_deref(), Some("numbers"));
    }

    /// A source file; macro names are split in two, so that this file contains no block itself.
    fn source(body: &str) -> String {
        format!("fn helper() {{\n}}\n\nprop{}\n", body)
    }

    #[test]
    fn properties_are_found_by_name_and_helpers_are_not() {
        let body = "test! {\n    #![proptest_config(X)]\n\n    #[test]\n    fn one(a in 0..1) {\n        fn inner() {}\n    }\n\n    \
            #[test]\n    fn two(\n        a in 0..1,\n    ) {\n    }\n}\n\nfn later() {}";
        assert_eq!(named_in(&source(body)).unwrap(), ["one", "two"]);
        let body = "_state_machine! {\n    #[test]\n    fn model(sequential 1..9 => M);\n}";
        assert_eq!(named_in(&source(body)).unwrap(), ["model"]);
        let nested = "mod x {}\nmod tests {\n    proptest! {\n        #[test]\n        fn deep(a in 0..1) {\n        }\n    }\n}\n";
        assert_eq!(named_in(nested).unwrap(), ["deep"]);
    }

    #[test]
    fn a_block_that_cannot_be_read_is_an_error() {
        assert!(named_in(&source("test! {\n}")).is_err());
        assert!(named_in(&source("test! {\n    fn one() {}\n")).is_err());
    }
}
