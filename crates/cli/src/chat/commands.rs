//! Lines of a person that are for the program and not for the peer.

use super::NO_ONE;
use super::conversation::Current;
use crate::say::Say;

/// What a typed line is.
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

/// Reads a typed line: one that begins with a slash is a command, with two it is text that begins with one.
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

/// The text of a line that is for the peer.
pub(super) fn text(line: &str) -> Option<&str> {
    match read(line) {
        Command::Say(text) => Some(text),
        Command::Help | Command::Who | Command::Verify | Command::Quit | Command::Unknown(_) => {
            None
        }
    }
}

/// Does what is neither text nor the end.
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
    fn commands_begin_with_a_slash_and_two_make_text_of_it() {
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
