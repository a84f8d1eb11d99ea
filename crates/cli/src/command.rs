//! The command line together with what it leaves out: variables of the environment, then the configuration file.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory as _, ValueHint};
use xtls_stanza::Address;

use crate::args::{Account, Cli, MORE};
use crate::failure::Failure;
use crate::peer::Peer;
use crate::settings::{Setting, Settings, key_of};

/// The program's command, which takes every option from the environment as well: `--ca-file` from `XTLS_CA_FILE`.
pub(crate) fn command() -> Command {
    described(with_variables(Cli::command()))
}

/// Puts what only a few need on the long help alone, so that the short one fits on a screen.
fn described(command: Command) -> Command {
    let verbs = names(&command);
    let command = command.mut_args(|arg| {
        match arg.get_long() {
            Some(long) if !BASIC.contains(&long) => arg.hide_short_help(true),
            // Those that are for everybody come first, under one heading.
            Some(_) => arg.help_heading(None),
            None => arg,
        }
    });
    let is_program = command.get_name() == "xtls";
    let examples = command.get_after_help().map(ToString::to_string);
    let command = match examples {
        _ if is_program => command,
        Some(examples) => command.after_long_help(format!("{examples}\n\n{MORE}")),
        None => command.after_long_help(MORE),
    };
    let command = command.disable_help_subcommand(!is_program);
    verbs.into_iter().fold(command, |command, verb| {
        command.mut_subcommand(verb, described)
    })
}

/// A command that takes every value, because a wrong one would hide all that follows it.
fn lenient(command: Command) -> Command {
    let verbs = names(&command);
    let command = command.mut_args(|arg| {
        if matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
            arg.value_parser(clap::value_parser!(OsString))
        } else {
            arg
        }
    });
    verbs.into_iter().fold(command, |command, verb| {
        command.mut_subcommand(verb, lenient)
    })
}

fn names(command: &Command) -> Vec<String> {
    command
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect()
}

fn with_variables(command: Command) -> Command {
    let verbs = names(&command);
    let command = command.mut_args(|arg| match arg.get_long() {
        Some(long) if !matches!(long, "help" | "version") => {
            let name = format!("XTLS_{}", long.to_uppercase().replace('-', "_"));
            let arg = arg.env(name).hide_env(true);
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                arg.value_parser(BoolishValueParser::new())
            } else if matches!(arg.get_action(), ArgAction::Append) {
                arg.value_delimiter(' ')
            } else {
                arg
            }
        }
        _ => arg,
    });
    verbs.into_iter().fold(command, |command, verb| {
        command.mut_subcommand(verb, with_variables)
    })
}

/// What has to be known of a command line before the configuration is read, which decides on the rest.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// The verb, and the verb below it: `trust`, `list`.
    verbs: Vec<String>,
    config: Option<PathBuf>,
    home: Option<PathBuf>,
    account: Option<Address>,
    /// The options that were given.
    given: Vec<String>,
}

impl Early {
    /// Reads what can be read; what is wrong is told later.
    pub(crate) fn read(args: &[OsString]) -> Self {
        let command = lenient(command()).ignore_errors(true);
        let Ok(matches) = command.clone().try_get_matches_from(args) else {
            return Self::default();
        };
        let mut early = Self::default();
        let (mut command, mut matches) = (&command, &matches);
        loop {
            early.note(command, matches);
            let Some((verb, below)) = matches.subcommand() else {
                return early;
            };
            let Some(next) = command.find_subcommand(verb) else {
                return early;
            };
            early.verbs.push(verb.to_owned());
            (command, matches) = (next, below);
        }
    }

    fn note(&mut self, command: &Command, matches: &ArgMatches) {
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            let Some(long) = arg.get_long() else {
                continue;
            };
            // Global options are known below where they are defined, too.
            if !matches.try_contains_id(id).unwrap_or(false) {
                continue;
            }
            if matches!(
                matches.value_source(id),
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            ) {
                self.given.push(long.to_owned());
            }
        }
        let text = |id: &str| matches.try_get_one::<OsString>(id).ok().flatten();
        let path = |id: &str| text(id).map(PathBuf::from);
        self.config = path("config").or_else(|| self.config.take());
        self.home = path("home").or_else(|| self.home.take());
        let account = text("account").and_then(|account| account.to_str());
        let account = account.and_then(|account| Peer::parse_bare(account).ok());
        self.account = account
            .map(|account| account.address().clone())
            .or_else(|| self.account.take());
    }

    /// Whose account it is about.
    pub(crate) fn account(&self) -> Account {
        Account {
            account: self.account.clone(),
            home: self.home.clone(),
            config: self.config.clone(),
        }
    }

    /// Reads the configuration that this command line goes with.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        match Settings::path(self.config.as_deref(), self.home.as_deref()) {
            Some(path) => Settings::load(&path, self.config.is_some()),
            None => Ok(Settings::default()),
        }
    }
}

/// A command with the defaults of a configuration.
#[derive(Debug)]
pub(crate) struct Configured {
    pub(crate) command: Command,
    /// What comes from the configuration, to tell where a wrong value stands.
    pub(crate) settings: Vec<Setting>,
}

/// Puts the settings of the account and of the verb in as defaults, so that they are checked as on the command line.
pub(crate) fn configured(early: &Early, settings: &Settings) -> Result<Configured, Failure> {
    let mut command = command();
    for (verb, defaults) in settings.verbs() {
        let Some(known) = command.find_subcommand(verb) else {
            let line = defaults.first().map_or(1, |setting| setting.line);
            return Err(settings.wrong(
                line,
                &format!("{verb:?} is no verb of xtls, so it has no defaults"),
            ));
        };
        if let Some(odd) = defaults.iter().find(|setting| !has(known, &setting.option)) {
            let why = format!("`xtls {verb}` has no option --{}", odd.option);
            return Err(settings.wrong(odd.line, &why));
        }
    }
    let mut chosen: Vec<Setting> = Vec::new();
    let account = early.account.as_ref().or_else(|| settings.account());
    // `account add` is about another account, and `account list` about all of them.
    let of_one = early.verbs.first().is_none_or(|verb| verb != "account");
    let account = account.filter(|_| of_one);
    if let Some(account) = account {
        chosen.push(Setting {
            option: "account".to_owned(),
            values: vec![account.to_string()],
            line: 1,
        });
    }
    let verb = early.verbs.first().map(String::as_str).unwrap_or_default();
    let of_account = account
        .and_then(|account| settings.of_account(account))
        .unwrap_or_default();
    for setting in of_account.iter().chain(settings.of_verb(verb)) {
        // What is more specific, an account, goes before a verb.
        if chosen
            .iter()
            .all(|earlier| !excludes(&earlier.option, &setting.option))
        {
            chosen.push(setting.clone());
        }
    }
    chosen.retain(|setting| {
        early
            .given
            .iter()
            .all(|given| !excludes(given, &setting.option))
    });
    let names: Vec<&str> = early.verbs.iter().map(String::as_str).collect();
    command = with_defaults(command, &names, &chosen, settings);
    Ok(Configured {
        command,
        settings: chosen,
    })
}

/// Whether an option that is given leaves no room for another from elsewhere.
fn excludes(given: &str, other: &str) -> bool {
    given == other
        || ONE_OF
            .iter()
            .any(|group| group.contains(&given) && group.contains(&other))
}

fn has(command: &Command, option: &str) -> bool {
    command
        .get_arguments()
        .any(|arg| arg.get_long() == Some(option))
        || command.get_subcommands().any(|below| has(below, option))
}

fn with_defaults(
    command: Command,
    verbs: &[&str],
    chosen: &[Setting],
    settings: &Settings,
) -> Command {
    let Some((verb, below)) = verbs.split_first() else {
        return command.mut_args(|arg| with_default(arg, chosen, settings));
    };
    command.mut_subcommand(*verb, |command| {
        with_defaults(command, below, chosen, settings)
    })
}

fn with_default(arg: Arg, chosen: &[Setting], settings: &Settings) -> Arg {
    let Some(setting) = chosen
        .iter()
        .find(|setting| arg.get_long() == Some(&setting.option))
    else {
        return arg;
    };
    let is_path = matches!(
        arg.get_value_hint(),
        ValueHint::FilePath | ValueHint::DirPath
    );
    let values = setting.values.iter().map(|value| match is_path {
        true => settings.resolve(value),
        false => value.clone(),
    });
    let repeats = matches!(arg.get_action(), ArgAction::Append);
    let arg = match repeats {
        true => arg.default_values(values.collect::<Vec<_>>()),
        false => arg.default_value(values.collect::<Vec<_>>().join(" ")),
    };
    // A switch shows none.
    match arg.get_action().takes_values() {
        true => arg.hide_default_value(true),
        false => arg,
    }
}

/// The name of an option in the file, and its line, if an error of clap is about a value that came from there.
pub(crate) fn culprit<'a>(error: &clap::Error, configured: &'a [Setting]) -> Option<&'a Setting> {
    use clap::error::{ContextKind, ContextValue};

    let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    configured.iter().find(|setting| {
        let long = format!("--{}", setting.option);
        arg.split_whitespace().next() == Some(&long) || *arg == key_of(&setting.option)
    })
}

/// Options that the short help shows.
const BASIC: [&str; 20] = [
    "listen", "accept", "account", "trust", "code", "qr", "json", "full", "svg", "help", "no-wait",
    "wait", "yes", "keep", "dir", "local", "remote", "dynamic", "serve", "allow",
];

/// Options of which one at most makes sense.
const ONE_OF: [&[&str]; 2] = [
    &["password-file", "password-command", "save-password"],
    &["ca-file", "pin-server"],
];
