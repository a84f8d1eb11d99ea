//! Lines typed for the program and not for the peer.

use std::path::{Path, PathBuf};

use super::conversation::Current;
use super::returns::NO_ONE;
use crate::say::Say;

/// A typed line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Text for the peer.
    Say(&'a str),
    Help,
    Who,
    Verify,
    /// Files to send, as they were typed.
    Send(&'a str),
    Quit,
    Unknown(&'a str),
}

/// Parses a typed line: one slash starts a command, two start text that begins with a slash.
pub(super) fn read(line: &str) -> Command<'_> {
    let Some(command) = line.strip_prefix('/') else {
        return Command::Say(line);
    };
    if command.starts_with('/') || line.contains('\n') {
        return Command::Say(if command.starts_with('/') {
            command
        } else {
            line
        });
    }
    if let Some(files) = command.strip_prefix("send")
        && files.is_empty() | files.starts_with(char::is_whitespace)
    {
        return Command::Send(files.trim());
    }
    match command.trim() {
        "help" | "?" => Command::Help,
        "who" => Command::Who,
        "verify" => Command::Verify,
        "quit" | "bye" => Command::Quit,
        _ => Command::Unknown(line.trim()),
    }
}

/// The text of a line meant for the peer.
pub(super) fn text(line: &str) -> Option<&str> {
    match read(line) {
        Command::Say(text) => Some(text),
        Command::Help
        | Command::Who
        | Command::Verify
        | Command::Send(_)
        | Command::Quit
        | Command::Unknown(_) => None,
    }
}

/// Runs a command that neither sends text nor ends the conversation.
pub(super) fn run(command: &Command<'_>, current: Option<&mut Current>, say: Say) {
    match command {
        Command::Say(_) | Command::Send(_) | Command::Quit => {}
        Command::Help => say.event("help", &[], HELP),
        Command::Unknown(word) => say.warn(
            "not_sent",
            &[],
            format_args!("unknown command {word}: /help lists the commands; // begins a line of text with a slash"),
        ),
        Command::Who => {
            let who = current.map(|current| current.attended.standing());
            say.event("who", &[], who.unwrap_or_else(|| NO_ONE.to_owned()));
        }
        Command::Verify => match current {
            Some(current) if current.established => current.attended.verify_by_words(),
            Some(_) | None => say.warn("not_verified", &[], NO_ONE),
        },
    }
}

/// The files that somebody has typed: all of it, if there is such a file, and otherwise words with quotes and backslashes as in
/// a shell. `~/` is the home folder.
pub(super) fn paths(typed: &str, exists: fn(&Path) -> bool) -> Result<Vec<PathBuf>, &'static str> {
    let whole = expanded(typed);
    if exists(&whole) {
        return Ok(vec![whole]);
    }
    let words: Vec<PathBuf> = words(typed)?.iter().map(|word| expanded(word)).collect();
    // An error about all of it says more than one about its first word.
    match words.len() > 1 && !words.iter().any(|word| exists(word)) {
        true => Ok(vec![whole]),
        false => Ok(words),
    }
}

fn words(typed: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = typed.chars();
    while let Some(c) = letters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => {
                let next = letters.next().ok_or("a backslash stands before nothing")?;
                word.get_or_insert_default().push(next);
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed");
    }
    words.extend(word);
    Ok(words)
}

fn expanded(word: &str) -> PathBuf {
    match (word.strip_prefix("~/"), std::env::home_dir()) {
        (Some(below), Some(home)) => home.join(below),
        _ => PathBuf::from(word),
    }
}

/// What `/help` shows.
const HELP: &str = "\
/who        who is at the other end, and how certain that is
/verify     compare four words with them, over another channel
/send FILE  offer them a file or a folder
/quit       leave (also Ctrl-D)
//text      send text that begins with a slash
Lines are marked … until delivered. Ctrl-C ends the program, Ctrl-Z suspends it.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slash_starts_a_command_and_two_start_text() {
        assert_eq!(read("hello /who"), Command::Say("hello /who"));
        assert_eq!(read("/who"), Command::Who);
        assert_eq!(read("/verify "), Command::Verify);
        assert_eq!(read("/quit"), Command::Quit);
        assert_eq!(read("/help"), Command::Help);
        assert_eq!(read("/send"), Command::Send(""));
        assert_eq!(read("/send  a b.txt "), Command::Send("a b.txt"));
        assert_eq!(read("/sender"), Command::Unknown("/sender"));
        assert_eq!(read("//etc/passwd"), Command::Say("/etc/passwd"));
        assert_eq!(read("/etc/passwd"), Command::Unknown("/etc/passwd"));
        // A pasted block is text.
        assert_eq!(read("/who\nam I"), Command::Say("/who\nam I"));
    }
    /// What of all these files there are.
    fn exists(path: &Path) -> bool {
        ["my photo.jpg", "a b", "a", "it's"]
            .iter()
            .any(|name| path == Path::new(name))
    }

    #[test]
    fn what_names_no_files_is_refused() {
        for wrong in ["'a b", "a \\", "\"it's"] {
            assert!(paths(wrong, exists).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_with_spaces_needs_no_quotes_and_may_have_them() {
        let of = |typed| {
            let files = paths(typed, exists).unwrap();
            files
                .iter()
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
        };
        for typed in [
            "my photo.jpg",
            "'my photo.jpg'",
            "my\\ photo.jpg",
            "\"my photo.jpg\"",
        ] {
            assert_eq!(of(typed), ["my photo.jpg"], "{typed}");
        }
        assert_eq!(of("it's"), ["it's"]);
        assert_eq!(of("a 'a b'"), ["a", "a b"]);
        assert_eq!(of("a nowhere"), ["a", "nowhere"]);
        assert_eq!(of("no where"), ["no where"]);
        assert_eq!(of("''"), [""]);
    }
}
