//! Questions to the person at the terminal. Nothing here is ever answered by the program itself.

use std::io::{BufRead as _, BufReader, Write as _};

use tokio::sync::Mutex;
use xtls_client::session::{Compare, Introduction};
use xtls_client::tls::verify::{Code, Method, ShortWords};
use xtls_stanza::Address;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::say::Say;
use crate::words;

/// What a person says about a key that is not pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    Refuse,
    /// Not before it is verified.
    Verify,
}

/// Asks on the terminal itself, because standard input may carry the conversation. No terminal, no answer: refused.
pub(crate) async fn verdict(introduction: Introduction, say: Say) -> Answer {
    say.data(
        "judge",
        &[
            ("peer", introduction.peer.as_str().into()),
            ("fingerprint", introduction.fingerprint.hex().into()),
        ],
    );
    let peer = introduction.peer.clone();
    let question = format!(
        "\nThis is the first contact with {}.\n\
         Their key is  {}\n\
         Compare it with what `xtls id` shows them, over another channel, or say v to compare four short words instead.\n\
         Accept and remember this key? [y/N/v] ",
        peer.bare(),
        introduction.fingerprint
    );
    match ask(question).await {
        Some(answer) => match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Answer::Accept,
            "v" | "verify" => Answer::Verify,
            _ => Answer::Refuse,
        },
        None => {
            say.warn(
                "nobody_to_ask",
                &[],
                format_args!(
                    "{peer} shows a key that is not pinned, and there is no terminal to ask on: refused \
                     (use `xtls trust pin`, or --trust tofu)"
                ),
            );
            Answer::Refuse
        }
    }
}

/// Whether the person wants the verification that a peer asks for, and with which code. `None`: no.
pub(crate) async fn wanted(peer: &Address, method: Method) -> Option<Compare> {
    let bare = peer.bare();
    match method {
        Method::Words => {
            let question = format!(
                "\n{bare} asks to compare four short words with you, to find out whether anybody is between you.\n\
                 Can you talk to them another way (a call, or face to face) now? [y/N] "
            );
            let answer = ask(question).await?;
            let yes = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
            yes.then_some(Compare::Words)
        }
        Method::Code => {
            let question = format!(
                "\n{bare} asks to compare a code that you have agreed on another way.\n\
                 The code (or nothing, to decline): "
            );
            let answer = ask(question).await?;
            Code::new(&answer).ok().map(Compare::Code)
        }
    }
}

/// Whether the words are the same at the other end. `None`: nobody has said so.
pub(crate) async fn same(peer: &Address, shown: ShortWords) -> Option<bool> {
    let mut question = format!(
        "\nCompare these words with {}, another way than this (a call, or face to face):\n\n\
         \u{20}     {}\n\n\
         Does the other end show exactly these? [yes/no] ",
        peer.bare(),
        words::shown(shown)
    );
    loop {
        let answer = ask(std::mem::take(&mut question)).await?;
        match answer.trim().to_lowercase().as_str() {
            "yes" => return Some(true),
            "no" => return Some(false),
            _ => question.push_str("Please say yes or no. [yes/no] "),
        }
    }
}

/// The code of `xtls verify --code`, or a new one.
pub(crate) async fn code() -> Result<Code, Failure> {
    let question = "The code that you have agreed on (or nothing, to make one): ".to_owned();
    let answer = ask(question).await.ok_or_else(|| {
        Failure::usage("there is no terminal to ask for the code on").hint("use --code-file FILE")
    })?;
    if !answer.trim().is_empty() {
        return Code::new(&answer).map_err(|error| Failure::usage(error.to_string()));
    }
    let made = words::code()?;
    let told = format!(
        "Tell them this code another way, and enter it at both ends:\n\n      {}\n\nIs it told? [Enter] ",
        made.as_str()
    );
    ask(told).await;
    Code::new(&made).map_err(|error| Failure::usage(error.to_string()))
}

/// One question at a time.
static TERMINAL_IN_USE: Mutex<()> = Mutex::const_new(());

/// The line that the person types; `None` without a terminal, or at its end.
async fn ask(question: String) -> Option<Zeroizing<String>> {
    let _one = TERMINAL_IN_USE.lock().await;
    let asked = tokio::task::spawn_blocking(move || line(&question)).await;
    asked.ok()?.ok().filter(|line| !line.is_empty())
}

fn line(question: &str) -> std::io::Result<Zeroizing<String>> {
    let mut terminal = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(TERMINAL)?;
    terminal.write_all(question.as_bytes())?;
    terminal.flush()?;
    let mut answer = Zeroizing::new(String::with_capacity(LONGEST));
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(answer)
}

/// Terminals give no longer line.
const LONGEST: usize = 4096;

#[cfg(unix)]
const TERMINAL: &str = "/dev/tty";
#[cfg(not(unix))]
const TERMINAL: &str = "CON";
