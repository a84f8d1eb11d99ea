//! What was recorded.

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[derive(Debug, Clone, Args)]
pub(crate) struct Trace {
    /// Recording that --record has made; `-` is standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Draw a picture into this file, instead of text.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) svg: Option<PathBuf>,
    /// Show long runs of chunks and their answers one by one.
    #[arg(long)]
    pub(crate) full: bool,
}
