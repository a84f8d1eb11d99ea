use std::path::Path;

use clap::FromArgMatches as _;

use super::*;
use crate::args::{ConversationArgs, Verb};

const ROMEO: &str = "romeo@montague.example";

fn settings(folder: &Path, text: &str) -> Settings {
    let path = folder.join("config.toml");
    std::fs::write(&path, text).unwrap();
    Settings::load(&path, true).unwrap()
}

fn parsed(args: &[&str], text: &str) -> Result<ConversationArgs, String> {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), text);
    let args: Vec<OsString> = std::iter::once("xtls")
        .chain(args.iter().copied())
        .map(OsString::from)
        .collect();
    let early = Early::read(&args);
    let configured = configured(&early, &settings).map_err(|failure| failure.what)?;
    let matches = configured
        .command
        .try_get_matches_from(args)
        .map_err(|error| {
            let line = culprit(&error, &configured.settings).map_or(0, |setting| setting.line);
            format!("{line}: {error}")
        })?;
    match Cli::from_arg_matches(&matches).unwrap().verb {
        Verb::Chat(args) => Ok(args.talk),
        other @ (Verb::Demo(_)
        | Verb::Forward(_)
        | Verb::Doctor(_)
        | Verb::Trace(_)
        | Verb::Id(_)
        | Verb::Pipe(_)
        | Verb::Send(_)
        | Verb::Receive(_)
        | Verb::Stanzas(_)
        | Verb::Account(_)
        | Verb::Completions(_)
        | Verb::Man(_)
        | Verb::Trust(_)
        | Verb::Verify(_)) => panic!("{other:?}"),
    }
}

const CALL: [&str; 2] = ["chat", "juliet@capulet.example"];

#[test]
fn a_setting_for_nothing_is_refused() {
    let refused = |text: &str, why: &str| {
        let error = parsed(&CALL, text).unwrap_err();
        assert!(error.contains(why), "{error}");
    };
    refused("[defaults.sing]\nloud = true", "\"sing\" is no verb");
    refused(
        "[defaults.chat]\nwindows = 1",
        "`xtls chat` has no option --windows",
    );
    refused(
        "[defaults.chat]\nwindow = 1",
        "2: error: invalid value '1' for '--window",
    );
    refused(
        "[defaults.chat]\n\ntrust = \"all\"",
        "3: error: invalid value 'all'",
    );
}

#[test]
fn what_is_given_goes_before_the_account_and_that_before_the_verb() {
    let text = format!(
        "[accounts.\"{ROMEO}\"]\nserver = \"one.example:1\"\ntrust = \"tofu\"\n[defaults.chat]\ntrust = \"ask\"\nwindow = 4096\n\
         [defaults.verify]\nwindow = 8192\n"
    );
    let talk = parsed(&CALL, &text).unwrap();
    assert_eq!(talk.account.account.unwrap().as_str(), ROMEO);
    assert_eq!(talk.server.server.unwrap(), ("one.example".to_owned(), 1));
    assert_eq!(talk.tunnel.trust, Some(crate::args::TrustPolicy::Tofu));
    assert_eq!(talk.tunnel.window, Some(4096));
    let talk = parsed(
        &[
            &CALL[..],
            &["--server", "two.example:2", "--trust", "pinned"],
        ]
        .concat(),
        &text,
    )
    .unwrap();
    assert_eq!(talk.server.server.unwrap().1, 2);
    assert_eq!(talk.tunnel.trust, Some(crate::args::TrustPolicy::Pinned));
}

#[test]
fn only_the_settings_of_the_account_in_use_count() {
    let text = format!(
        "account = \"{ROMEO}\"\n[accounts.\"{ROMEO}\"]\nresource = \"one\"\n[accounts.\"a@b\"]\nresource = \"two\"\n"
    );
    let resource = |args: &[&str]| {
        parsed(&[&CALL[..], args].concat(), &text)
            .unwrap()
            .server
            .resource
    };
    assert_eq!(resource(&[]).as_deref(), Some("one"));
    assert_eq!(resource(&["--account", "a@b"]).as_deref(), Some("two"));
    assert_eq!(resource(&["--account", "c@d"]), None);
}

#[test]
fn a_way_to_give_something_replaces_another_one_from_the_configuration() {
    let text = format!(
        "[accounts.\"{ROMEO}\"]\nca_file = \"ca.pem\"\npassword_file = \"/pw\"\naccept = [\"a@b\", \"c@d\"]\n"
    );
    let talk = parsed(&CALL, &text).unwrap();
    assert!(talk.server.ca_file.unwrap().is_absolute());
    assert_eq!(talk.calls.accept.len(), 2);
    let pin = "0a".repeat(32);
    let args = [
        &CALL[..],
        &["--pin-server", &pin, "--password-command", "pass xmpp"],
    ]
    .concat();
    let talk = parsed(&args, &text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (talk.server.ca_file, talk.server.password_file),
        (None, None)
    );
}

#[test]
fn every_option_has_a_variable_of_its_own() {
    fn check(command: &Command, at: &str) {
        let mut seen = std::collections::BTreeSet::new();
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else { continue };
            let env = arg
                .get_env()
                .unwrap_or_else(|| panic!("{at} --{long}"))
                .to_owned();
            assert_ne!(env, "XTLS_PASSWORD");
            assert!(seen.insert(env), "{at} --{long}");
        }
        for below in command.get_subcommands() {
            check(below, &format!("{at} {}", below.get_name()));
        }
    }
    check(&command(), "xtls");
    command().debug_assert();
}

/// Every verb, and its words on the command line.
fn every_verb(command: &Command) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    for below in command.get_subcommands() {
        for mut words in every_verb(below) {
            words.insert(0, below.get_name().to_owned());
            all.push(words);
        }
    }
    all
}

fn help(words: &[String], flag: &str) -> String {
    let args = std::iter::once("xtls")
        .chain(words.iter().map(String::as_str))
        .chain([flag]);
    let error = command()
        .term_width(80)
        .try_get_matches_from(args)
        .unwrap_err();
    assert!(!error.use_stderr(), "{words:?}: {error}");
    error.render().to_string()
}

#[test]
fn short_help_fits_on_a_terminal() {
    let mut wrong = Vec::new();
    for words in every_verb(&command()) {
        let help = help(&words, "-h");
        let rows: Vec<&str> = help.trim_end().lines().collect();
        let wide = rows
            .iter()
            .any(|row| unicode_width::UnicodeWidthStr::width(*row) > 80);
        // The last row is the prompt's.
        if rows.len() >= 24 || wide {
            wrong.push(format!("{words:?}: {} rows\n{help}", rows.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rows = help(&[], "--help").lines().count();
    assert!(rows < 24, "{rows}");
}

#[test]
fn long_help_has_all_options_and_the_exit_codes() {
    let help = help(&["chat".to_owned()], "--help");
    for part in [
        "--block-size",
        "--password-command",
        "XTLS_CA_FILE",
        "130 interrupted",
    ] {
        assert!(help.contains(part), "{part}");
    }
}

#[test]
fn every_verb_has_four_examples_that_parse() {
    for verb in command().get_subcommands() {
        let name = verb.get_name();
        let text = verb
            .get_after_help()
            .unwrap_or_else(|| panic!("{name} has no examples"))
            .to_string();
        let examples: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(text.lines().next(), Some("Examples:"), "{name}");
        assert_eq!(examples.len(), 4, "{name}");
        for example in examples {
            let begin = example.find("xtls ").unwrap_or_else(|| panic!("{example}"));
            let line = example[begin..].split("   ").next().unwrap();
            let line = line
                .split([')', '>', '<', '|'])
                .next()
                .unwrap()
                .replace('\'', "")
                .replace('…', &"0a".repeat(32));
            let parsed = command().try_get_matches_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            assert!(line.contains(name), "{name}: {line}");
        }
    }
}

#[test]
fn a_switch_can_be_a_default() {
    let talk = parsed(&CALL, "[defaults.chat]\nno_early_hello = true").unwrap();
    assert!(talk.tunnel.no_early_hello);
    let talk = parsed(&CALL, "").unwrap();
    assert!(!talk.tunnel.no_early_hello);
}
