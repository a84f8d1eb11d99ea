//! Reports wrong command lines in the same way as every other failure.

use std::ffi::OsString;

use clap::FromArgMatches as _;
use clap::error::Error;

use crate::args::{Cli, Forward, ListenArgs, Output, Verb};
use crate::command::{self, Early};
use crate::failure::Failure;
use crate::peer;
use crate::say::Say;
use crate::settings::Settings;

/// Parses the command line, with the environment and the configuration behind it. With `--json`, an error in it is an event
/// too.
pub(crate) fn parse() -> Result<(Cli, Settings), Failure> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let early = Early::read(&args);
    let settings = early.settings().map_err(told)?;
    peer::know(settings.peers());
    let configured = command::configured(&early, &settings).map_err(told)?;
    let parsed = configured
        .command
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(setting) = command::culprit(&error, &configured.settings) {
                let why = failure(&error);
                return Err(told(settings.wrong(setting.line, &why.what)));
            }
            if error.use_stderr() && wants_json() {
                return Err(told(failure(&error)));
            }
            // clap prints the message itself, and exits with code 2, or with 0 after `--help`.
            error.exit()
        }
    };
    whole(&cli).map_err(told)?;
    Ok((cli, settings))
}

/// What clap cannot check, because the value may come from the configuration.
fn whole(cli: &Cli) -> Result<(), Failure> {
    let talk = match &cli.verb {
        Verb::Receive(args) => return accepting(true, &args.talk().calls),
        Verb::Chat(args) => &args.talk,
        Verb::Stanzas(args) => &args.talk,
        Verb::Pipe(args) => &args.talk,
        Verb::Forward(args) => {
            forwards(args)?;
            &args.talk
        }
        Verb::Verify(args) => &args.talk,
        Verb::Demo(_)
        | Verb::Id(_)
        | Verb::Trust(_)
        | Verb::Account(_)
        | Verb::Send(_)
        | Verb::Doctor(_)
        | Verb::Trace(_)
        | Verb::Completions(_)
        | Verb::Man(_) => return Ok(()),
    };
    accepting(talk.listen, &talk.calls)
}

fn accepting(listens: bool, calls: &ListenArgs) -> Result<(), Failure> {
    if listens && calls.accept.is_empty() {
        return Err(Failure::usage(
            "the following required arguments were not provided:\n  --accept <JID>",
        )
        .hint("name who may call: --accept JID, or --accept any"));
    }
    Ok(())
}

/// Something has to be forwarded, or allowed.
fn forwards(args: &Forward) -> Result<(), Failure> {
    let forwards = args.local.len() + args.remote.len() + args.dynamic.len();
    let allowed = args.allow.len() + args.allow_bind.len();
    match args.talk.listen {
        true if allowed == 0 => Err(Failure::usage("nothing would be allowed")
            .hint("name what callers may reach: --allow HOST:PORT, or --allow '*:*' for everything public")),
        false if forwards == 0 => Err(Failure::usage("nothing would be forwarded").hint(
            "-L PORT:HOST:PORT leads from here to there, -R from there to here, -D PORT is a proxy; \
             --serve is the other end",
        )),
        true | false => Ok(()),
    }
}

/// Reports a failure before there is anybody else to do it.
fn told(failure: Failure) -> Failure {
    let output = Output {
        json: wants_json(),
        verbose: 0,
        quiet: false,
    };
    Say::new(&output).failure(&failure);
    failure.reported()
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
