//! Lines typed for the program and not for the peer.

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
        Command::Help | Command::Who | Command::Verify | Command::Quit | Command::Unknown(_) => {
            None
        }
    }
}

/// Runs a command that neither sends text nor ends the conversation.
pub(super) fn run(command: &Command<'_>, current: Option<&mut Current>, say: Say) {
    match command {
        Command::Say(_) | Command::Quit => {}
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

/// What `/help` shows.
const HELP: &str = "\
/who     who is at the other end, and how certain that is
/verify  compare four words with them, over another channel
/quit    leave (also Ctrl-D)
//text   send text that begins with a slash
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
        assert_eq!(read("//etc/passwd"), Command::Say("/etc/passwd"));
        assert_eq!(read("/etc/passwd"), Command::Unknown("/etc/passwd"));
        // A pasted block is text.
        assert_eq!(read("/who\nam I"), Command::Say("/who\nam I"));
    }
}
