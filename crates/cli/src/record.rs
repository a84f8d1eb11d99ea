//! `--record`: a session as JSON lines, for drawing it later.
//!
//! Every carrying stanza is written as the server sees it, with its base64 text replaced by its length; inner stanzas by
//! name, id and length, and whole only with `--record-plaintext`.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use serde_json::{Value, json};
use xtls_client::{Inbound, LinkError, Uplink};
use xtls_stanza::{Address, Content, Envelope, Payload, Stanza};

use crate::failure::Failure;

/// A handle on the file's writer.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    lines: mpsc::Sender<Value>,
    started: Instant,
    plaintext: bool,
}

impl Recorder {
    /// Creates the file; one that exists is not overwritten.
    pub(crate) fn create(path: &Path, plaintext: bool) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| {
            Failure::usage(format!("cannot record to {}: {error}", path.display()))
        })?;
        let (lines, receiver) = mpsc::channel::<Value>();
        std::thread::spawn(move || {
            let mut file = BufWriter::new(file);
            while let Ok(line) = receiver.recv() {
                // A full disk ends the recording and not the conversation.
                if writeln!(file, "{line}")
                    .and_then(|()| file.flush())
                    .is_err()
                {
                    return;
                }
            }
        });
        Ok(Self {
            lines,
            started: Instant::now(),
            plaintext,
        })
    }

    fn write(&self, mut line: Value) {
        if let Value::Object(fields) = &mut line {
            let at = self.started.elapsed().as_micros();
            fields.insert(
                "us".to_owned(),
                Value::from(u64::try_from(at).unwrap_or(u64::MAX)),
            );
        }
        // The writer has ended: there is nowhere to record to.
        let _ = self.lines.send(line);
    }

    fn carrying(&self, direction: &str, envelope: &Envelope) {
        let mut shown = envelope.clone();
        let mut bytes = 0;
        if let Content::Set(payload) = &mut shown.content {
            bytes = redact(payload);
        } else if let Content::Message { payloads, .. } = &mut shown.content {
            bytes = payloads.iter_mut().map(redact).sum();
        }
        let mut xml = Vec::new();
        shown.write(&mut xml);
        let mut whole = Vec::new();
        envelope.write(&mut whole);
        self.write(json!({
            "layer": "carrying",
            "direction": direction,
            "length": whole.len(),
            "data": bytes,
            "xml": String::from_utf8_lossy(&xml),
        }));
    }

    /// An inner stanza.
    pub(crate) fn inner(&self, direction: &str, stanza: &Stanza) {
        let mut xml = Vec::new();
        stanza.write(&mut xml);
        let mut line = json!({
            "layer": "inner",
            "direction": direction,
            "kind": format!("{:?}", stanza.kind).to_lowercase(),
            "id": stanza.id,
            "length": xml.len(),
        });
        if self.plaintext
            && let Value::Object(fields) = &mut line
        {
            fields.insert("xml".to_owned(), Value::from(String::from_utf8_lossy(&xml)));
        }
        self.write(line);
    }
}

/// Takes the data out of a chunk and says how much it was.
fn redact(payload: &mut Payload) -> usize {
    if let Payload::Data(data) = payload {
        std::mem::take(&mut data.bytes).len()
    } else {
        0
    }
}

/// A link whose stanzas are recorded as they pass.
#[derive(Debug)]
pub(crate) struct Recorded<U> {
    inner: U,
    recorder: Option<Recorder>,
}

impl<U> Recorded<U> {
    pub(crate) fn new(inner: U, recorder: Option<Recorder>) -> Self {
        Self { inner, recorder }
    }
}

impl<U: Uplink> Uplink for Recorded<U> {
    fn bound(&self) -> &Address {
        self.inner.bound()
    }

    fn stanza_limit(&self) -> Option<usize> {
        self.inner.stanza_limit()
    }

    async fn next(&mut self) -> Result<Inbound, LinkError> {
        let inbound = self.inner.next().await?;
        if let (Some(recorder), Inbound::Envelope(envelope)) = (&self.recorder, &inbound) {
            recorder.carrying("in", envelope);
        }
        Ok(inbound)
    }

    async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        if let Some(recorder) = &self.recorder {
            recorder.carrying("out", &envelope);
        }
        self.inner.send(envelope).await
    }

    async fn close(self) -> Result<(), LinkError> {
        self.inner.close().await
    }
}
