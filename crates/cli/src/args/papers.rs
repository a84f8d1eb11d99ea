//! What the program prints about itself.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

#[derive(Debug, Clone, Args)]
pub(crate) struct Completions {
    /// Shell to complete in.
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Man {
    /// Verb to describe; the whole program without one.
    #[arg(value_name = "VERB", conflicts_with = "dir")]
    pub(crate) verb: Option<String>,
    /// Write the pages of all verbs into this folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
