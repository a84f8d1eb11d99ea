//! Commands to paste into a shell, which run exactly what they show.
//!
//! Peers choose their own addresses, and the local part may contain almost any shell metacharacter (`;|{}$()` and back
//! quotes), so every word is quoted. A fingerprint that a peer has merely presented is never part of a command: pasting it
//! would be easier than comparing it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use xtls_stanza::Address;

use crate::args::Account;
use crate::say::visible;

/// The placeholder in a command for a fingerprint that has to be compared first.
pub(crate) const THEIR_FINGERPRINT: &str = "<the fingerprint they give you>";

/// Builds commands for the account and the folder of this run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suggest {
    account: Option<Address>,
    home: Option<PathBuf>,
    config: Option<PathBuf>,
    listener: Option<&'static str>,
}

impl Suggest {
    /// Builds commands that repeat the `--account` and `--home` of this run, even if they came from the environment.
    pub(crate) fn new(account: &Account) -> Self {
        Self {
            account: account.account.clone(),
            home: account.home.clone(),
            config: account.config.clone(),
            listener: None,
        }
    }

    /// For a verb of which the other end is another command than `xtls … --listen`.
    pub(crate) fn with_listener(mut self, command: &'static str) -> Self {
        self.listener = Some(command);
        self
    }

    /// The command that has to run at the other end.
    pub(crate) fn listener(&self) -> &'static str {
        self.listener.unwrap_or("xtls … --listen")
    }

    /// Builds commands for another account.
    pub(crate) fn with_account(mut self, account: &Address) -> Self {
        self.account = Some(account.clone());
        self
    }

    /// One command: `xtls`, our own words (a verb and options, without text from others), the account and the folder, then the
    /// operands.
    pub(crate) fn line(&self, words: &[&str], operands: &[&str]) -> String {
        let mut line = "xtls".to_owned();
        for word in words {
            push(&mut line, quote(OsStr::new(word)));
        }
        if let Some(account) = &self.account {
            push_option(&mut line, "--account", OsStr::new(account.as_str()));
        }
        if let Some(home) = &self.home {
            push_option(&mut line, "--home", home.as_os_str());
        }
        if let Some(config) = &self.config {
            push_option(&mut line, "--config", config.as_os_str());
        }
        // A local part may start with a hyphen, and must not be mistaken for an option.
        if operands.iter().any(|operand| operand.starts_with('-')) {
            push(&mut line, "--".to_owned());
        }
        for operand in operands {
            push(&mut line, quote(OsStr::new(operand)));
        }
        line
    }

    /// Several commands, each on its own indented line, for the end of a hint.
    pub(crate) fn block(lines: &[String]) -> String {
        lines
            .iter()
            .map(|line| format!("\n        {line}"))
            .collect()
    }
}

/// An option for somebody else to add to a command of theirs.
pub(crate) fn option(name: &str, value: &str) -> String {
    let mut option = name.to_owned();
    push(&mut option, quote(OsStr::new(value)));
    option
}

/// A system command on paths, such as the one that makes a file private.
pub(crate) fn on_paths(words: &str, paths: &[&Path]) -> String {
    let mut line = words.to_owned();
    if paths
        .iter()
        .any(|path| path.as_os_str().as_encoded_bytes().starts_with(b"-"))
    {
        push(&mut line, "--".to_owned());
    }
    for path in paths {
        push(&mut line, quote(path.as_os_str()));
    }
    line
}

fn push(line: &mut String, word: String) {
    line.push(' ');
    line.push_str(&word);
}

fn push_option(line: &mut String, name: &str, value: &OsStr) {
    push(line, name.to_owned());
    let joint = if value.as_encoded_bytes().starts_with(b"-") {
        '='
    } else {
        ' '
    };
    line.push(joint);
    line.push_str(&quote(value));
}

/// Quotes a word for a POSIX shell (Shell Command Language §2.2). Harmless words stay as they are. What a terminal would not
/// show literally, control characters and octets that are not UTF-8, is written in octal for `printf`.
fn quote(word: &OsStr) -> String {
    let octets = word.as_encoded_bytes();
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"@%+:,./_-".contains(octet);
    if !octets.is_empty() && octets.iter().all(plain) {
        return octets.iter().copied().map(char::from).collect();
    }
    let mut quoted = "'".to_owned();
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            let shown = c.to_string();
            if c == '\'' {
                quoted.push_str(r"'\''");
            } else if visible(&shown) == shown {
                quoted.push(c);
            } else {
                octal(&mut quoted, shown.as_bytes());
            }
        }
        octal(&mut quoted, chunk.invalid());
    }
    quoted.push('\'');
    quoted
}

/// Closes the single quotes, writes the octets as a command substitution, and reopens the quotes.
fn octal(quoted: &mut String, octets: &[u8]) {
    if octets.is_empty() {
        return;
    }
    quoted.push_str("'\"$(printf '");
    for octet in octets {
        quoted.push_str(&format!("\\{octet:03o}"));
    }
    quoted.push_str("')\"'");
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
