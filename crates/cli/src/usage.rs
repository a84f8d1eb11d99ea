//! Reports wrong command lines in the same way as every other failure.

use clap::Parser as _;
use clap::error::Error;

use crate::args::{Cli, Output};
use crate::failure::Failure;
use crate::say::Say;

/// Parses the command line. With `--json`, an error in it is an event too.
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
        // clap prints the message itself, and exits with code 2, or with 0 after `--help`.
        Err(error) => error.exit(),
    }
}

/// Even a command line that does not parse may ask for JSON.
fn wants_json() -> bool {
    std::env::args_os()
        .skip(1)
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
}

/// Splits clap's text into what is wrong and how to use the command.
fn failure(error: &Error) -> Failure {
    let text = error.render().to_string();
    let (what, how) = text.split_once("\n\n").unwrap_or((&text, ""));
    let what = what.strip_prefix("error: ").unwrap_or(what).trim();
    Failure::usage(what).hint(how.trim())
}
