//! What comes in: requests, answers, messages.

use std::time::Instant;

use xtls_stanza::busy::Busy;
use xtls_stanza::ibb::{self, Carrier, Data, Open, Sid};
use xtls_stanza::{
    Address, Condition, Content, Element, Envelope, MessageKind, Payload, PayloadError,
    StanzaError, ns,
};

use crate::error::answer;
use crate::event::{By, Event, StreamId, Violation};
use crate::mux::Mux;
use crate::outbox::{Asked, Awaiting};
use crate::outgoing::MAX_ID;
use crate::stream::{Stream, StreamParams};

/// The most that an open, or the answer to one of ours, may weigh with all it holds, in bytes of memory: it waits for the
/// owner.
pub(crate) const MAX_OPEN: usize = 65_536;

impl Mux {
    /// Takes in a stanza. `None`: it was ours and has been dealt with. `Some`: it is not ours, and is the
    /// caller's to handle (a request still needs its answer then).
    ///
    /// Ours are requests with a payload of In-Band Bytestreams from a full address to exactly our
    /// own; answers whose id *and* sender match a request of ours; messages with a chunk of a
    /// stream in message mode, and their bounces.
    pub fn handle(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        self.take(now, envelope, false)
    }

    /// As [`handle`](Self::handle), of a sender whose key the owner knows: it may open
    /// [more often](crate::Config::opens_per_minute_known). Only servers vouch for the sender's name, so nothing else changes.
    pub fn handle_known(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        self.take(now, envelope, true)
    }

    fn take(&mut self, now: Instant, envelope: Envelope, known: bool) -> Option<Envelope> {
        let to_us = envelope.to.as_ref() == Some(self.own());
        if !envelope.from.as_ref().is_some_and(Address::is_full) {
            return Some(envelope);
        }
        let light = !matches!(&envelope.content, Content::Set(Payload::Open(_)))
            || envelope.weight() <= MAX_OPEN;
        match envelope {
            Envelope {
                from: Some(from),
                id,
                content: Content::Set(payload),
                ..
            } if to_us && is_bytestream(&payload) => {
                if id.len() <= MAX_ID && light {
                    self.on_request(now, &from, known, id, payload);
                } else {
                    self.refuse_heavy(&from, id, &payload);
                }
                None
            }
            Envelope {
                from: Some(from),
                id,
                content: Content::Get(payload),
                ..
            } if to_us && is_bytestream(&payload) => {
                self.outbox.error(&from, id, answer::not_for_requests());
                None
            }
            Envelope {
                content: Content::Result(_) | Content::Error(_),
                ..
            } if to_us || envelope.to.is_none() => self.on_answer(now, envelope),
            Envelope {
                content: Content::Message { .. },
                ..
            } if to_us => self.on_message(now, envelope),
            other @ Envelope { .. } => Some(other),
        }
    }

    /// Answers a request that would be kept for longer than it should weigh, without a look at what it is about.
    fn refuse_heavy(&mut self, from: &Address, request: String, payload: &Payload) {
        let open = match payload {
            Payload::Open(_) => true,
            Payload::Malformed { name, .. } => name == "open",
            Payload::Data(_)
            | Payload::Close(_)
            | Payload::Xtls(_)
            | Payload::DiscoQuery(_)
            | Payload::DiscoInfo(_)
            | Payload::Ping
            | Payload::Other(_) => false,
        };
        let error = if open && !self.admission.allows(from) {
            answer::stranger()
        } else if request.len() > MAX_ID {
            answer::long_id()
        } else {
            answer::heavy_open()
        };
        self.outbox.error(from, request, error);
    }

    fn on_request(
        &mut self,
        now: Instant,
        from: &Address,
        known: bool,
        request: String,
        payload: Payload,
    ) {
        match payload {
            Payload::Open(open) => self.on_open(now, from, known, request, open),
            Payload::Data(Data { sid, seq, bytes }) => match self.find(from, &sid) {
                Some(id) => {
                    self.touch(now, id, |stream, now, outbox| {
                        stream.on_data(now, seq, bytes, Some(request), outbox);
                    });
                }
                None => self.outbox.error(from, request, answer::unknown_stream()),
            },
            Payload::Close(ibb::Close { sid }) => match self.find(from, &sid) {
                Some(id) => {
                    self.touch(now, id, |stream, now, outbox| {
                        stream.on_close(now, request, outbox);
                    });
                }
                None => self.outbox.error(from, request, answer::unknown_stream()),
            },
            Payload::Malformed { name, sid, why, .. } => {
                self.on_malformed(now, from, request, &name, sid.as_deref(), why);
            }
            Payload::Xtls(_)
            | Payload::DiscoQuery(_)
            | Payload::DiscoInfo(_)
            | Payload::Ping
            | Payload::Other(_) => self.outbox.error(from, request, answer::not_for_requests()),
        }
    }

    fn on_open(&mut self, now: Instant, from: &Address, known: bool, request: String, open: Open) {
        let inner = self.inner_now(now);
        let streams = self.streams.len();
        let objection = match self.find(from, &open.sid) {
            // The same stanza once more, as servers resend it: its one answer serves both.
            Some(id)
                if self
                    .get(id)
                    .is_some_and(|stream| stream.open_request == request) =>
            {
                return;
            }
            Some(_) => Some(answer::declined()),
            None if self.admission.is_repeated(from, &request) => return,
            None if from == self.own() => Some(answer::declined()),
            None => {
                self.admission
                    .objection(inner, &self.config, from, known, &request, &open, streams)
            }
        };
        if let Some(error) = objection {
            tracing::debug!(%error, "an open is refused");
            if let Some(busy) = Busy::read(&error).filter(|_| !self.turned_away_queued) {
                self.turned_away_queued = true;
                let from = from.clone();
                self.outbox.event(Event::TurnedAway { from, busy });
            }
            self.outbox.error(from, request, error);
            return;
        }
        let id = self.new_id();
        let params = StreamParams {
            block: open.block_size.get(),
            carrier: open.carrier,
            window: self.config.window,
            patient: self.config.patient,
            opened_by: By::Peer,
        };
        let (peer, sid) = (from.clone(), open.sid.clone());
        let stream = Stream::incoming(inner, id, peer, sid, params, &self.config, request);
        self.admission.on_incoming(from);
        self.file(now, stream);
        self.outbox.event(Event::Incoming {
            id,
            from: from.clone(),
            open,
        });
    }

    /// Ours by the namespace, but unreadable.
    fn on_malformed(
        &mut self,
        now: Instant,
        from: &Address,
        request: String,
        name: &str,
        sid: Option<&str>,
        why: PayloadError,
    ) {
        let sid = sid.and_then(|sid| Sid::new(sid).ok());
        let error = match (name, sid) {
            // The answer does not show what is wrong with the open, as if no one here could know.
            ("open", _) if !self.admission.allows(from) => answer::stranger(),
            ("open", _) => answer::malformed_open(),
            ("data", Some(sid)) => match self.find(from, &sid) {
                Some(id) if self.get(id).is_some_and(Stream::takes_data) => {
                    let violation = Violation::Unreadable(why);
                    self.touch(now, id, |stream, now, outbox| {
                        stream.violation(now, violation, Some(request), outbox);
                    });
                    return;
                }
                Some(_) | None => answer::unknown_stream(),
            },
            ("data" | "close", _) => answer::malformed_other(),
            _ => answer::not_for_requests(),
        };
        self.outbox.error(from, request, error);
    }

    fn on_answer(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        let Some(from) = &envelope.from else {
            return Some(envelope);
        };
        let Some(Awaiting { stream: id, what }) = self.outbox.awaiting(&envelope.id) else {
            return match self.of_chunk(from, &envelope.id) {
                Some(id) => {
                    self.on_chunk_answer(now, id, &envelope);
                    None
                }
                None => Some(envelope),
            };
        };
        let theirs = |stream: &Stream| *from == stream.peer;
        if !self.get(id).is_some_and(theirs) {
            return Some(envelope);
        }
        self.outbox.settle(&envelope.id);
        let light = what == Asked::Close || envelope.weight() <= MAX_OPEN;
        match (what, envelope.content) {
            (Asked::Open, Content::Error(error)) => self.on_open_error(now, id, error),
            (Asked::Open, Content::Result(answer)) => {
                // What is too heavy to wait for the owner counts as an acceptance without content.
                let answer = answer.filter(|_| light);
                self.touch(now, id, |stream, _, outbox| {
                    stream.on_opened(answer, outbox)
                });
            }
            (Asked::Open | Asked::Close, content) => {
                let answer = match content {
                    Content::Error(error) => Err(error),
                    Content::Result(_)
                    | Content::Get(_)
                    | Content::Set(_)
                    | Content::Message { .. }
                    | Content::Presence { .. } => Ok(()),
                };
                self.touch(now, id, |stream, now, outbox| {
                    stream.on_close_answered(now, answer, outbox);
                });
            }
        }
        None
    }

    /// The stream with this peer that awaits the answer to a chunk under this id.
    fn of_chunk(&self, from: &Address, request: &str) -> Option<StreamId> {
        let waits = |id: &StreamId| {
            let stream = self.get(*id);
            stream.is_some_and(|stream| stream.sender.awaits(request))
        };
        self.of_peer(from).find(waits)
    }

    fn on_chunk_answer(&mut self, now: Instant, id: StreamId, answer: &Envelope) {
        if let Content::Error(error) = &answer.content {
            self.touch(now, id, |stream, now, outbox| {
                stream.on_chunk_error(now, &answer.id, error.clone(), outbox);
            });
            return;
        }
        let before = self.get(id).and_then(|stream| stream.sender.fastest());
        self.touch(now, id, |stream, now, outbox| {
            stream.on_acknowledged(now, &answer.id, outbox);
        });
        let fastest = self.get(id).and_then(|stream| stream.sender.fastest());
        if let Some(from) = answer.from.as_ref().filter(|_| fastest != before) {
            self.share_path(from, fastest);
        }
    }

    fn on_open_error(&mut self, now: Instant, id: StreamId, error: StanzaError) {
        let Some((peer, old)) = self.get(id).map(|s| (s.peer.clone(), s.sid.clone())) else {
            return;
        };
        if error.condition == Condition::ResourceConstraint {
            let (sid, config) = (self.new_sid(&peer), self.config.clone());
            let halved = self.touch(now, id, |stream, now, outbox| {
                stream.halve(now, sid, &config, outbox)
            });
            if halved == Some(true) {
                self.refile(id, &old);
                return;
            }
        }
        self.touch(now, id, |stream, now, outbox| {
            stream.on_refused(now, error, outbox)
        });
    }

    fn on_message(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        let (Some(from), Content::Message { kind, payloads, .. }) =
            (&envelope.from, &envelope.content)
        else {
            return Some(envelope);
        };
        if *kind == MessageKind::Error {
            let ids: Vec<StreamId> = self.of_peer(from).collect();
            let ours = ids.into_iter().any(|id| {
                let bounced = self.touch(now, id, |stream, now, outbox| {
                    stream.on_message_error(now, &envelope.id, outbox)
                });
                bounced == Some(true)
            });
            return if ours { None } else { Some(envelope) };
        }
        let Some(chunk) = chunk_of(*kind, payloads) else {
            return Some(envelope);
        };
        let sid = match &chunk {
            Ok(data) => Some(data.sid.clone()),
            Err((sid, _)) => Sid::new(sid).ok(),
        };
        let id = sid.and_then(|sid| self.find(from, &sid));
        let Some(id) = id.filter(|id| self.get(*id).is_some_and(takes_messages)) else {
            return Some(envelope);
        };
        self.touch(now, id, |stream, now, outbox| match chunk {
            Ok(Data { seq, bytes, .. }) => stream.on_data(now, seq, bytes, None, outbox),
            Err((_, why)) => stream.violation(now, Violation::Unreadable(why), None, outbox),
        });
        None
    }
}

fn takes_messages(stream: &Stream) -> bool {
    stream.carrier == Carrier::Message && stream.takes_data()
}

/// Whether a request is about bytestreams, readable or not.
fn is_bytestream(payload: &Payload) -> bool {
    match payload {
        Payload::Open(_) | Payload::Data(_) | Payload::Close(_) => true,
        Payload::Malformed { ns, .. } => ns == ibb::NS,
        Payload::Other(element) => element.ns == ibb::NS,
        Payload::Xtls(_) | Payload::DiscoQuery(_) | Payload::DiscoInfo(_) | Payload::Ping => false,
    }
}

/// The chunk in a message: exactly one, in a message that came straight from its sender. What was
/// stored, delayed, forwarded or sent to a room is no chunk, whatever it holds.
fn chunk_of(kind: MessageKind, payloads: &[Payload]) -> Option<Result<Data, (&str, PayloadError)>> {
    match kind {
        MessageKind::Normal | MessageKind::Chat | MessageKind::Headline => {}
        MessageKind::Groupchat | MessageKind::Error => return None,
    }
    let mut chunk = None;
    for payload in payloads {
        let found = match payload {
            Payload::Data(data) => Ok(data.clone()),
            Payload::Malformed {
                ns,
                name,
                sid: Some(sid),
                why,
            } if ns == ibb::NS && name == "data" => Err((sid.as_str(), *why)),
            Payload::Other(element) if is_indirect(element) => return None,
            Payload::Open(_)
            | Payload::Close(_)
            | Payload::Xtls(_)
            | Payload::DiscoQuery(_)
            | Payload::DiscoInfo(_)
            | Payload::Ping
            | Payload::Malformed { .. }
            | Payload::Other(_) => continue,
        };
        if chunk.replace(found).is_some() {
            return None;
        }
    }
    chunk
}

/// Marks of a message that did not come straight from its sender: XEP-0203 and its forerunner
/// XEP-0091, XEP-0280, XEP-0297, XEP-0313.
fn is_indirect(element: &Element) -> bool {
    match element.ns.as_str() {
        "urn:xmpp:delay" | "jabber:x:delay" | "urn:xmpp:forward:0" => true,
        ns::CARBONS => element.name != "private",
        other => other.starts_with("urn:xmpp:mam:"),
    }
}
