//! Answers each message on standard input, one stanza to a line, with its own text:
//! `cargo run -p xtls-stanza --example echo < stanzas.xml`

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

use xtls_stanza::{Body, Content, Envelope, MessageKind, Payload};

fn main() -> Result<(), Box<dyn Error>> {
    echo(stdin().lock(), stdout().lock())
}

pub(crate) fn echo(input: impl BufRead, mut output: impl Write) -> Result<(), Box<dyn Error>> {
    for line in input.lines() {
        let heard = Envelope::read(&line?.into_bytes().into())?;
        let Some(body) = heard.body(None) else {
            continue;
        };
        let content = Content::Message {
            kind: MessageKind::Chat,
            payloads: vec![Payload::from(Body::new(body.text))],
            error: None,
        };
        let (from, to, id) = (heard.to, heard.from, heard.id);
        let mut answer = Vec::new();
        Envelope {
            from,
            to,
            id,
            content,
        }
        .write(&mut answer);
        answer.push(b'\n');
        output.write_all(&answer)?;
    }
    Ok(())
}
