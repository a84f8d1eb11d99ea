//! The simulated world: many seeds, one seed, planted bugs, or the model.

use std::ffi::OsString;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::planted;
use crate::workspace::Workspace;

/// What to simulate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Options {
    /// The world as it is, with these arguments for the program.
    World(Vec<OsString>),
    /// The same with bugs planted in it: all of them, those whose names begin so, or those for the checker of this name.
    Planted(Option<String>),
}

impl Options {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self> {
        for arg in args {
            let word = arg.to_string_lossy();
            let known = [
                "--steps",
                "--seeds",
                "--seed",
                "--from",
                "--trace",
                "--threads",
                "--all",
                "--model",
                "--planted",
            ];
            if word.starts_with('-') && !known.contains(&word.as_ref()) {
                bail!("unknown argument of cargo xtask sim: {word}");
            }
        }
        if args.iter().any(|arg| arg == "--planted") {
            let mut names = args.iter().map(|arg| arg.to_string_lossy());
            let name = names.find(|name| !name.starts_with('-'));
            return Ok(Self::Planted(name.map(Into::into)));
        }
        Ok(Self::World(args.to_vec()))
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let sh = &workspace.sh;
    match options {
        Options::World(args) => cmd!(
            sh,
            "cargo run --quiet --locked --profile sim -p xtls-sim --bin sim -- {args...}"
        )
        .run()?,
        Options::Planted(only) => planted::hunt(workspace, only.as_deref())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        Options::parse(&args)
    }

    #[test]
    fn an_unknown_flag_is_refused() {
        assert!(parse(&["--sed", "4"]).is_err());
    }

    #[test]
    fn bugs_are_planted_only_when_asked_for() {
        let one = Options::Planted(Some("no-seq-check".to_owned()));
        assert_eq!(parse(&["--planted", "no-seq-check"]).unwrap(), one);
        assert_eq!(parse(&["--planted"]).unwrap(), Options::Planted(None));
        let options = Options::World(vec!["--seed".into(), "4".into()]);
        assert_eq!(parse(&["--seed", "4"]).unwrap(), options);
    }
}
