//! Completions: a shell asks the program itself, so that names and addresses are among the answers.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::account;
use crate::answer::print_all;
use crate::args::{Account, Completions, Shell};
use crate::command::{self, Early};
use crate::failure::Failure;
use crate::settings::Settings;

/// Answers a shell and ends, if it is one that asks.
pub(crate) fn answer_shell() {
    clap_complete::CompleteEnv::with_factory(command::command)
        .var(VARIABLE)
        .complete();
}

/// Prints the script that makes a shell ask.
pub(crate) fn script(args: &Completions) -> Result<(), Failure> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
        Shell::Zsh => &Zsh,
    };
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, NAME, NAME, NAME, &mut script)
        .map_err(|error| Failure::failed(format!("cannot make the script: {error}")))?;
    print_all(&String::from_utf8_lossy(&script))
}

/// The peers that have a name or a pinned key.
pub(crate) fn peers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let (settings, args) = here();
        let names = settings.peers().iter();
        let mut candidates: Vec<CompletionCandidate> = names
            .map(|(name, peer)| {
                CompletionCandidate::new(name).help(Some(peer.as_str().to_owned().into()))
            })
            .collect();
        candidates.extend(pinned(&settings, &args).unwrap_or_default());
        candidates
    })
}

/// The accounts in the configuration, and those that have a key.
pub(crate) fn accounts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let (settings, args) = here();
        let mut all: std::collections::BTreeSet<String> = settings
            .accounts()
            .map(|(account, _)| account.to_string())
            .collect();
        let keys = account::home(&args)
            .ok()
            .and_then(|home| home.accounts().ok());
        all.extend(keys.iter().flatten().map(ToString::to_string));
        all.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// What the environment says; the command line is not whole yet. What cannot be read completes to nothing.
fn here() -> (Settings, Account) {
    let early = Early::read(&[NAME.into(), "id".into()]);
    let settings = early.settings().unwrap_or_default();
    (settings, early.account())
}

fn pinned(settings: &Settings, args: &Account) -> Option<Vec<CompletionCandidate>> {
    let home = account::home(args).ok()?;
    let account = match settings.account() {
        Some(account) => account.clone(),
        None => account::account(args, &home).ok()?,
    };
    if !home.has(&account).ok()? {
        return None;
    }
    let store = home.pins(&account).ok()?.store();
    let known: Vec<CompletionCandidate> = store
        .list()
        .map(|(peer, _)| CompletionCandidate::new(peer.to_string()))
        .collect();
    Some(known)
}

/// How a shell says that it asks.
const VARIABLE: &str = "XTLS_COMPLETE";

const NAME: &str = "xtls";
