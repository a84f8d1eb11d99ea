//! Questions to the user at the terminal. The program never answers one itself, and every answer repeats a part of what was
//! shown, so that it cannot be mistaken for the answer to another question.

use std::path::Path;

use xtls_client::session::{Compare, Introduction};
use xtls_client::tls::Fingerprint;
use xtls_client::tls::verify::{Code, Method, ShortWords};
use xtls_stanza::Address;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::terminal::{Question, Terminal};
use crate::words;

/// The user at this process's terminal, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    terminal: Option<Terminal>,
}

/// The decision on a key that is not pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    Refuse,
    /// Decide once it is verified.
    Verify,
}

/// The result of comparing words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    Same,
    Different,
}

impl Person {
    /// The user at the terminal of this process.
    pub(crate) fn at_the_terminal() -> Self {
        Self {
            terminal: Terminal::open(),
        }
    }

    /// The user at the given terminal.
    pub(crate) fn at(terminal: Terminal) -> Self {
        Self {
            terminal: Some(terminal),
        }
    }

    /// Whether there is a terminal to ask on.
    pub(crate) fn is_there(&self) -> bool {
        self.terminal.is_some()
    }

    /// The terminal.
    pub(crate) fn terminal(&self) -> Option<&Terminal> {
        self.terminal.as_ref()
    }

    async fn ask(&self, question: Question) -> Option<Zeroizing<String>> {
        self.terminal.as_ref()?.ask(question).await
    }

    /// Asks a question that is answered with yes or no, Enter being no, and again if the answer is neither. `None` if there was none.
    async fn yes(&self, question: Question) -> Option<bool> {
        let mut about = question.about.clone();
        for _ in 0..TRIES {
            let asked = Question {
                about,
                ..question.clone()
            };
            let typed = self.ask(asked).await?;
            if let Some(yes) = yes_or_no(&typed) {
                return Some(yes);
            }
            about = "Type yes or no.\n".to_owned();
        }
        Some(false)
    }

    /// Asks what to do with the key of a first contact. `None` if there was no answer.
    pub(crate) async fn verdict(&self, introduction: &Introduction) -> Option<Answer> {
        let peer = introduction.peer.bare();
        let [first, second] = words::rows(&introduction.fingerprint);
        let mut about = format!(
            "\nThis is the first contact with {peer}. Their key is\n\n\
             \u{20}     {first}\n\
             \u{20}     {second}\n\n\
             Compare it over another channel with what `xtls id` shows them. Then type its\n\
             first group to accept and remember it, or paste the whole fingerprint that they\n\
             sent you. Type v to compare four words instead, or press Enter to refuse.\n"
        );
        for _ in 0..TRIES {
            let typed = self
                .ask(Question {
                    about,
                    prompt: format!("First group of the key of {peer}, v, or Enter to refuse: "),
                    withdrawn: withdrawn(peer),
                    ..Question::default()
                })
                .await?;
            match verdict_of(&typed, &introduction.fingerprint) {
                Ok(answer) => return Some(answer),
                Err(why) => about = format!("{why}\n"),
            }
        }
        Some(Answer::Refuse)
    }

    /// Asks whether to take part in the verification that a peer requests, and for the code if it needs one.
    pub(crate) async fn wanted(&self, peer: &Address, method: Method) -> Option<Compare> {
        let bare = peer.bare();
        match method {
            Method::Words => {
                let yes = self
                    .yes(Question {
                        about: format!(
                            "\n{bare} asks you to compare four words, to find out whether anyone is\n\
                             intercepting you. Talk to them over another channel now: a call, or in person.\n"
                        ),
                        prompt: format!("Compare words with {bare} now? [y/N] "),
                        withdrawn: withdrawn(bare),
                        ..Question::default()
                    })
                    .await?;
                yes.then_some(Compare::Words)
            }
            Method::Code => {
                let mut about = format!(
                    "\n{bare} asks you to compare a code that you agreed on over another channel.\n"
                );
                for _ in 0..TRIES {
                    let typed = self
                        .ask(Question {
                            about,
                            prompt: format!(
                                "The code you agreed on with {bare}, or Enter to decline: "
                            ),
                            secret: true,
                            withdrawn: withdrawn(bare),
                        })
                        .await?;
                    if typed.trim().is_empty() {
                        return None;
                    }
                    match Code::new(&typed) {
                        Ok(code) => return Some(Compare::Code(code)),
                        Err(error) => about = format!("That is not a valid code: {error}.\n"),
                    }
                }
                None
            }
        }
    }

    /// Asks whether the words match at the other end. `None` if there was no answer.
    pub(crate) async fn same(&self, peer: &Address, shown: ShortWords) -> Option<Compared> {
        let bare = peer.bare();
        let words = words::list(shown);
        let which = asked_for(shown);
        let nth = ["first", "second", "third", "fourth"]
            .get(which)
            .copied()
            .unwrap_or("first");
        let word = words.get(which).copied()?;
        let mut about = format!(
            "\nCompare these words with {bare}\nover another channel: a call, or in person.\n\n\
             \u{20}     {}\n\n\
             If the other end shows exactly these words, type the {nth} one. If any word is\n\
             different, type no: then someone is intercepting you.\n",
            words.join(" ")
        );
        loop {
            let typed = self
                .ask(Question {
                    about,
                    prompt: format!("The {nth} word, as {bare} reads it to you, or no: "),
                    withdrawn: withdrawn(bare),
                    ..Question::default()
                })
                .await?;
            match typed.trim().to_lowercase().as_str() {
                typed if typed == word => return Some(Compared::Same),
                "no" | "n" => return Some(Compared::Different),
                "" | "y" | "yes" => {
                    about = format!("Type the {nth} word if all four match, or no.\n")
                }
                _ => {
                    about = format!(
                        "That is not the {nth} word shown here. If you mistyped it, try again; if they read you a\n\
                         different word, type no.\n"
                    );
                }
            }
        }
    }

    /// Asks for the code of `xtls verify --code`, or creates one.
    pub(crate) async fn code(&self) -> Result<Code, Failure> {
        let typed = self
            .ask(Question {
                prompt: "The code you agreed on, or Enter to create one: ".to_owned(),
                secret: true,
                ..Question::default()
            })
            .await
            .ok_or_else(|| {
                Failure::usage("there is no terminal to ask for the code on")
                    .hint("use --code-file FILE")
            })?;
        if !typed.trim().is_empty() {
            return Code::new(&typed).map_err(|error| Failure::usage(error.to_string()));
        }
        let made = words::code()?;
        self.ask(Question {
            about: format!(
                "Give them this code over another channel, and enter it at both ends:\n\n      {}\n\n",
                made.as_str()
            ),
            prompt: "Press Enter when they have it. ".to_owned(),
            ..Question::default()
        })
        .await;
        Code::new(&made).map_err(|error| Failure::usage(error.to_string()))
    }

    /// Asks for a password without echoing it.
    pub(crate) async fn password(&self, account: &Address) -> Option<Zeroizing<String>> {
        self.ask(Question {
            prompt: format!("Password of {account}: "),
            secret: true,
            ..Question::default()
        })
        .await
    }

    /// Asks whether to keep a password in a file. `None` if there was no answer.
    pub(crate) async fn keep_password(&self, account: &Address, path: &Path) -> Option<bool> {
        self.yes(Question {
            about: format!(
                "\nThe login works. The password of {account} can be kept in\n\n      {}\n\n\
                     which only you can read, so that you are not asked for it again.\n",
                path.display()
            ),
            prompt: "Keep it there? [y/N] ".to_owned(),
            ..Question::default()
        })
        .await
    }

    /// Asks whether to take the files that a peer offers. `None` if there was no answer.
    pub(crate) async fn takes(&self, peer: &Address, what: &str, folder: &Path) -> Option<bool> {
        let bare = peer.bare();
        let folder = place(folder);
        self.yes(Question {
            prompt: format!("Put {what} from {bare} into {folder}? [y/N] "),
            withdrawn: format!("(The offer of {bare} is gone: nothing was taken.)"),
            ..Question::default()
        })
        .await
    }

    /// Asks whether to wait for another try. `None` if there was no answer.
    pub(crate) async fn again(&self) -> Option<()> {
        loop {
            let typed = self
                .ask(Question {
                    prompt: "Press Enter to wait for another try, or Ctrl-C to end: ".to_owned(),
                    ..Question::default()
                })
                .await?;
            // Anything else was meant for the attempt that has ended.
            if typed.trim().is_empty() {
                return Some(());
            }
        }
    }
}

/// A folder, for people.
pub(crate) fn place(folder: &Path) -> String {
    match folder == Path::new(".") {
        true => "this folder".to_owned(),
        false => folder.display().to_string(),
    }
}

/// Which word the user has to type, counted from 0. It varies from run to run.
pub(crate) fn asked_for(shown: ShortWords) -> usize {
    let numbers = shown.numbers();
    let mixed = numbers
        .iter()
        .fold(0, |mixed, number| mixed ^ usize::from(*number));
    mixed % numbers.len()
}

/// What an answer to a question of yes or no says; `None`: neither.
fn yes_or_no(typed: &str) -> Option<bool> {
    match typed.trim().to_lowercase().as_str() {
        "y" | "yes" => Some(true),
        "" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// Interprets the answer at a first contact; the error says why it decides nothing.
fn verdict_of(typed: &str, key: &Fingerprint) -> Result<Answer, &'static str> {
    let typed = typed.trim().to_lowercase();
    match typed.as_str() {
        "" | "n" | "no" => return Ok(Answer::Refuse),
        "v" | "verify" => return Ok(Answer::Verify),
        "y" | "yes" => {
            return Err("A yes does not say which key you mean: type the first group of the key.");
        }
        _ => {}
    }
    let digits: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':' && *c != '-')
        .collect();
    let hex = key.hex();
    let whole = digits.len() == hex.len();
    if !(whole || digits.len() == GROUP) || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("Type the first group of the key (eight digits), v, or Enter to refuse.");
    }
    if hex.starts_with(&digits) {
        Ok(Answer::Accept)
    } else if whole {
        Err(
            "That is the fingerprint of ANOTHER key. If it is what they sent you, press Enter: this is not them.",
        )
    } else {
        Err(
            "That is not the first group of this key. If it is what they gave you, press Enter: this is not them.",
        )
    }
}

fn withdrawn(bare: &str) -> String {
    format!("(The tunnel with {bare} has ended: nothing was accepted.)")
}

/// How often to repeat a question whose answer decides nothing.
const TRIES: usize = 5;

/// Digits in a group of a fingerprint.
const GROUP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_neither_yes_nor_no_is_not_taken_for_a_no() {
        for unclear in ["yes please", "yess", "no thanks", "ok", "q", "j"] {
            assert_eq!(yes_or_no(unclear), None, "{unclear}");
        }
        for no in ["", "  ", "n", "No", "NO\n"] {
            assert_eq!(yes_or_no(no), Some(false), "{no}");
        }
        for yes in ["y", " Y ", "yes", "YES\n"] {
            assert_eq!(yes_or_no(yes), Some(true), "{yes}");
        }
    }

    #[test]
    fn only_the_first_group_or_the_whole_fingerprint_accepts_a_key() {
        let key = Fingerprint::of_spki(b"some key");
        let hex = key.hex();
        let group = &hex[..8];
        for yes in [
            group.to_owned(),
            format!("  {}\t", group.to_uppercase()),
            hex.clone(),
            key.to_string(),
        ] {
            assert_eq!(verdict_of(&yes, &key), Ok(Answer::Accept), "{yes}");
        }
        let other = Fingerprint::of_spki(b"another key");
        for no in [
            "y",
            "yes",
            "maybe",
            &hex[..7],
            &hex[..9],
            &hex[..63],
            &hex[8..16],
            &other.hex(),
            &other.hex()[..8],
            "00000000",
        ] {
            assert!(verdict_of(no, &key).is_err(), "{no}");
        }
        for refused in ["", "n", "NO"] {
            assert_eq!(verdict_of(refused, &key), Ok(Answer::Refuse));
        }
        assert_eq!(verdict_of("v", &key), Ok(Answer::Verify));
    }
}
