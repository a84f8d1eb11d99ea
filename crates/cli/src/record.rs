//! `--record`: a session as JSON lines, for later analysis.
//!
//! Every carrying stanza is written as the server sees it, with its base64 text replaced by its length and the TLS records
//! that begin or go on in it; inner stanzas with
//! name, id and length, and in full only with `--record-plaintext`. Stanzas that other clients exchange with the account, and
//! that are not part of a tunnel, are private: only their kind, element names and lengths are written.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use serde_json::{Value, json};
use xtls_client::{LinkError, LinkEvent, Uplink};
use xtls_stanza::xtls::Control;
use xtls_stanza::{Address, Content, Element, Envelope, Payload, Stanza, StanzaError};

use crate::failure::Failure;
use crate::records::Records;

/// A handle to the writer of the file.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    lines: mpsc::Sender<Value>,
    started: Instant,
    plaintext: bool,
}

impl Recorder {
    /// Creates the file. An existing file is not overwritten.
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
                // A full disk ends the recording, but not the conversation.
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
        // If the writer has ended, there is nowhere to record to.
        let _ = self.lines.send(line);
    }

    fn carrying(&self, direction: &str, envelope: &Envelope, records: &[String]) {
        let (shown, bytes) = shown(envelope);
        let mut xml = Vec::new();
        shown.write(&mut xml);
        let mut whole = Vec::new();
        envelope.write(&mut whole);
        self.write(json!({
            "layer": "carrying",
            "direction": direction,
            "length": whole.len(),
            "data": bytes,
            "records": records,
            "xml": String::from_utf8_lossy(&xml),
        }));
    }

    /// Records an inner stanza.
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

/// The part of a stanza that is written, and how many bytes of a tunnel it carries.
fn shown(envelope: &Envelope) -> (Envelope, usize) {
    let mut shown = envelope.clone();
    let (bytes, ours) = match &mut shown.content {
        Content::Get(payload) | Content::Set(payload) => redact(payload),
        Content::Result(None) => (0, true),
        Content::Result(Some(payload)) => redact(payload),
        Content::Error(error) => {
            redact_error(error);
            (0, true)
        }
        Content::Message {
            payloads, error, ..
        } => {
            if let Some(error) = error {
                redact_error(error);
            }
            redact_all(payloads)
        }
        Content::Presence { payloads, .. } => redact_all(payloads),
    };
    if !ours {
        (shown.from, shown.to) = (None, None);
        shown.id.clear();
    }
    (shown, bytes)
}

fn redact_all(payloads: &mut [Payload]) -> (usize, bool) {
    payloads.iter_mut().fold((0, false), |(sum, any), payload| {
        let (bytes, ours) = redact(payload);
        (sum.saturating_add(bytes), any || ours)
    })
}

/// Removes what must not be written. Returns how many bytes of a tunnel were removed, and whether the payload belongs to a
/// tunnel.
fn redact(payload: &mut Payload) -> (usize, bool) {
    match payload {
        Payload::Data(data) => (std::mem::take(&mut data.bytes).len(), true),
        Payload::Xtls(Control::Data(bytes)) => (std::mem::take(bytes).len(), true),
        Payload::Open(_)
        | Payload::Close(_)
        | Payload::Xtls(
            Control::Start { .. }
            | Control::Proceed { .. }
            | Control::Close { .. }
            | Control::Closed,
        )
        | Payload::DiscoQuery(_)
        | Payload::DiscoInfo(_)
        | Payload::Ping => (0, true),
        Payload::Malformed { sid, .. } => {
            *sid = None;
            (0, true)
        }
        Payload::Other(element) => {
            *element = bare(element);
            (0, false)
        }
    }
}

/// The text of an error may quote the stanza that it answers.
fn redact_error(error: &mut StanzaError) {
    error.text = None;
    error.app = error.app.as_ref().map(bare);
}

/// An element reduced to its name.
fn bare(element: &Element) -> Element {
    Element::new(&element.name, &element.ns)
}

/// Follows the TLS records of every stream, in both directions.
#[derive(Debug, Default)]
struct Streams {
    followed: BTreeMap<(&'static str, String), Records>,
}

impl Streams {
    /// The records, or parts of them, in the chunks of a stanza.
    fn records(&mut self, direction: &'static str, envelope: &Envelope) -> Vec<String> {
        let payloads = match &envelope.content {
            Content::Set(payload) => std::slice::from_ref(payload),
            Content::Message { payloads, .. } => payloads.as_slice(),
            Content::Get(_) | Content::Result(_) | Content::Error(_) | Content::Presence { .. } => {
                &[]
            }
        };
        let peer = match direction {
            "in" => &envelope.from,
            _ => &envelope.to,
        };
        let peer = peer.as_ref().map(Address::as_str).unwrap_or_default();
        let mut records = Vec::new();
        for payload in payloads {
            let (sid, bytes) = match payload {
                Payload::Data(data) => (data.sid.as_str(), &data.bytes),
                // The original flow has one tunnel per peer.
                Payload::Xtls(Control::Data(bytes)) => ("", bytes),
                Payload::Close(close) => {
                    let name = format!("{peer} {}", close.sid.as_str());
                    for direction in ["in", "out"] {
                        self.followed.remove(&(direction, name.clone()));
                    }
                    continue;
                }
                Payload::Open(_)
                | Payload::Xtls(_)
                | Payload::DiscoQuery(_)
                | Payload::DiscoInfo(_)
                | Payload::Ping
                | Payload::Malformed { .. }
                | Payload::Other(_) => continue,
            };
            let key = (direction, format!("{peer} {sid}"));
            // Whoever sends chunks of streams that are not there gets no memory for them.
            if self.followed.len() >= MAX_FOLLOWED && !self.followed.contains_key(&key) {
                continue;
            }
            let parts = self.followed.entry(key).or_default().follow(bytes);
            records.extend(parts.iter().map(ToString::to_string));
        }
        records
    }
}

/// A link that records the stanzas passing through it.
#[derive(Debug)]
pub(crate) struct Recorded<U> {
    inner: U,
    recorder: Option<Recorder>,
    streams: Streams,
}

impl<U> Recorded<U> {
    pub(crate) fn new(inner: U, recorder: Option<Recorder>) -> Self {
        Self {
            inner,
            recorder,
            streams: Streams::default(),
        }
    }
}

impl<U: Uplink> Uplink for Recorded<U> {
    fn bound(&self) -> &Address {
        self.inner.bound()
    }

    fn stanza_limit(&self) -> Option<usize> {
        self.inner.stanza_limit()
    }

    fn server_address(&self) -> Option<SocketAddr> {
        self.inner.server_address()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        let event = ready!(self.inner.poll_next(cx))?;
        if let (Some(recorder), LinkEvent::Envelope(envelope)) = (&self.recorder, &event) {
            let records = self.streams.records("in", envelope);
            recorder.carrying("in", envelope, &records);
        }
        Poll::Ready(Ok(event))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_ready(cx)
    }

    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        if let Some(recorder) = &self.recorder {
            let records = self.streams.records("out", &envelope);
            recorder.carrying("out", &envelope, &records);
        }
        self.inner.start_send(envelope)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.inner.poll_close(cx)
    }
}

/// Streams whose records are followed at a time.
const MAX_FOLLOWED: usize = 256;

#[cfg(test)]
mod tests;
