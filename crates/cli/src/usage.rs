//! Wrong command lines, told as everything else is.

use clap::Parser as _;
use clap::error::Error;

use crate::args::{Cli, Output};
use crate::failure::Failure;
use crate::say::Say;

/// The command line. With `--json`, what is wrong with it is an event as well.
pub(crate) fn parse() -> Result<Cli, Failure> {
    match Cli::try_parse() {
        Ok(cli) => Ok(cli),
        Err(error) if error.use_stderr() && wants_json() => {
            let output = Output {
                json: true,
                verbose: 0,
                quiet: false,
            };
            let failure = failure(&error);
            Say::new(&output).failure(&failure);
            Err(failure)
        }
        // clap tells people itself, and ends the program with code 2, or with 0 after `--help`.
        Err(error) => error.exit(),
    }
}

/// What could not be read as a whole may still say that a program reads the answer.
fn wants_json() -> bool {
    std::env::args_os()
        .skip(1)
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
}

/// clap's text: what is wrong, then how it is meant.
fn failure(error: &Error) -> Failure {
    let text = error.render().to_string();
    let (what, how) = text.split_once("\n\n").unwrap_or((&text, ""));
    let what = what.strip_prefix("error: ").unwrap_or(what).trim();
    Failure::usage(what).hint(how.trim())
}
