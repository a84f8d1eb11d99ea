//! The question that a first contact asks.

use std::io::{BufRead as _, BufReader, Write as _};

use xtls_client::session::{Introduction, Verdict};

use crate::say::Say;

/// Asks on the terminal itself, because standard input may carry the conversation. No terminal, no answer: refused.
pub(crate) async fn verdict(introduction: Introduction, say: Say) -> Verdict {
    say.data(
        "judge",
        &[
            ("peer", introduction.peer.as_str().into()),
            ("fingerprint", introduction.fingerprint.hex().into()),
        ],
    );
    let peer = introduction.peer.clone();
    let asked = tokio::task::spawn_blocking(move || question(&introduction)).await;
    match asked {
        Ok(Ok(true)) => Verdict::Accept,
        Ok(Ok(false)) => Verdict::Refuse,
        Ok(Err(_)) | Err(_) => {
            say.warn(
                "nobody_to_ask",
                &[],
                format_args!(
                    "{peer} shows a key that is not pinned, and there is no terminal to ask on: refused \
                     (use `xtls trust pin`, or --trust tofu)"
                ),
            );
            Verdict::Refuse
        }
    }
}

fn question(introduction: &Introduction) -> std::io::Result<bool> {
    let mut terminal = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(TERMINAL)?;
    write!(
        terminal,
        "\nThis is the first contact with {}.\n\
         Their key is  {}\n\
         Compare it with what `xtls id` shows them, over another channel, if you can.\n\
         Accept and remember this key? [y/N] ",
        introduction.peer.bare(),
        introduction.fingerprint
    )?;
    terminal.flush()?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(unix)]
const TERMINAL: &str = "/dev/tty";
#[cfg(not(unix))]
const TERMINAL: &str = "CON";
