//! What comes out of the tunnel: cutting, judging, answering.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tracing::warn;
use xtls_framer::Frame;
use xtls_stanza::verify::Step;
use xtls_stanza::{ReadError, Stanza, finish};

use super::{Direction, Phase, Session};
use crate::Mode;
use crate::event::{By, Event, Why};
use crate::routing::{self, Arrival};

impl Session {
    /// Reads bytes (byte mode), at most `max`. [`poll_event`](Self::poll_event) afterwards tells whether those were the
    /// last ones.
    pub fn read(&mut self, max: usize) -> Option<Bytes> {
        let open = matches!(self.phase, Phase::Open { confirmed: true });
        if !open || self.binding.service.mode() == Mode::Stanzas || self.plain.is_empty() {
            return None;
        }
        let length = self.plain.len().min(max);
        self.traffic.read(length);
        (length > 0).then(|| self.plain.split_to(length).freeze())
    }

    /// The next stanza, or the end of the peer's direction.
    pub(super) fn poll_inner(&mut self) -> Option<Event> {
        let early = planted!("delivered-unverified") && matches!(self.phase, Phase::Judging { .. });
        while (early || matches!(self.phase, Phase::Open { .. }))
            && self.reading != Direction::Ended
        {
            match self.binding.service.mode() {
                Mode::Stanzas => match self.next_frame() {
                    Ok(Some(frame)) => match self.arrive(frame) {
                        Some(event) => return Some(event),
                        None if self.events.is_empty() => continue,
                        None => return self.events.pop_front(),
                    },
                    Ok(None) => self.starved = true,
                    Err(why) => {
                        self.end(By::Us, why);
                        return None;
                    }
                },
                Mode::Bytes if !self.plain.is_empty() => return None,
                Mode::Bytes => {}
            }
            if self.tls.peer_closed() {
                self.verification_ends();
                if self.cutter.finish(&self.plain).is_err() && !planted!("torn-is-clean") {
                    self.end(By::Peer, Why::Truncated);
                    return None;
                }
                let told = self.reading == Direction::Finished;
                self.reading = Direction::Ended;
                // Nothing can be answered any more.
                if self.writing == Direction::Finished {
                    self.shut();
                }
                // How a verification ended belongs to what came before.
                self.events.push_back(if told {
                    Event::PeerClosed
                } else {
                    Event::PeerFinished
                });
                return self.events.pop_front();
            }
            if let Some((by, why)) = self.take_last() {
                self.end(by, why);
            } else if self.plain.is_empty() {
                // An idle session holds no memory for bytes that may not come for hours.
                self.plain = BytesMut::new();
                self.ahead = VecDeque::new();
            }
            return None;
        }
        self.settle();
        None
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, Why> {
        if let Some(frame) = self.ahead.pop_front() {
            self.ahead_bytes = self.ahead_bytes.saturating_sub(frame.len());
            return Ok(Some(frame));
        }
        // First, so that it is the same fault in any cutting.
        if let Some(error) = self.begins_wrong() {
            return Err(Why::Xml(error));
        }
        let frame = self.cutter.cut(&mut self.plain).map_err(Why::Framing)?;
        Ok(frame.map(Frame::into_bytes))
    }

    /// Why what has begun can be no stanza, if it cannot: the end of a start tag of a stream, say, would be waited for in vain.
    fn begins_wrong(&self) -> Option<ReadError> {
        let name = self.plain.trim_ascii_start().strip_prefix(b"<")?;
        let end = name
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'));
        let local = name.get(..end?)?.rsplit(|byte| *byte == b':').next()?;
        match local {
            [] | [b'!' | b'?', ..] | b"message" | b"presence" | b"iq" => None,
            other => Stanza::read(&[b"<", other, b"/>"].concat().into()).err(),
        }
    }

    fn arrive(&mut self, frame: Bytes) -> Option<Event> {
        self.traffic.read(frame.len());
        let stanza = match Stanza::try_from(frame) {
            Ok(stanza) => stanza,
            Err(error) => {
                self.end(By::Us, Why::Xml(error));
                return None;
            }
        };
        if !routing::is_plain(&stanza) {
            if let Some(step) = Step::in_stanza(&stanza) {
                self.on_step(&stanza, step);
                return None;
            }
            if let Some(id) = finish::in_stanza(&stanza) {
                let id = Box::from(id);
                return self.on_finish(&stanza, id);
            }
        }
        if self.is_finish_answer(&stanza) {
            self.on_finish_answer(&stanza);
            return None;
        }
        let late = self.is_afterthought(&stanza);
        match routing::restore(stanza, &self.binding) {
            Ok(Arrival::Deliver(stanza)) if self.is_probed(&stanza) => None,
            Ok(
                Arrival::Deliver(_)
                | Arrival::Drop(_)
                | Arrival::Answer {
                    refused: Some(_), ..
                },
            ) if late => {
                self.end(By::Us, Why::Afterthought);
                None
            }
            Ok(Arrival::Deliver(stanza)) => {
                self.answered(&stanza);
                Some(Event::Stanza(stanza))
            }
            Ok(Arrival::Answer { reply, refused }) => {
                self.reply(&reply);
                refused.map(Event::Refused)
            }
            Ok(Arrival::Drop(violation)) => Some(Event::Refused(violation)),
            Err(violation) => {
                warn!("a stanza inside the tunnel broke the binding");
                self.end(By::Us, Why::Routing(violation));
                None
            }
        }
    }

    /// Answers in the channel of the request. An answer that finds our direction closed is dropped, as RFC 6120 drops
    /// what arrives after the stream's end.
    pub(super) fn reply(&mut self, reply: &Stanza) {
        self.put(reply, true);
    }

    /// Writes what the session itself has to say.
    pub(super) fn put(&mut self, reply: &Stanza, padded: bool) {
        if self.writing == Direction::Ended || self.gone {
            return;
        }
        let mut xml = Vec::new();
        reply.write(&mut xml);
        if padded {
            self.pad(&mut xml);
        }
        // The application may have filled its queue by one stanza too many. As much as that queue is kept for answers.
        let queue = self.config.queue;
        let most = queue
            .saturating_add(self.config.max_stanza)
            .saturating_add(queue);
        let held = self.tls.wire_pending().saturating_add(xml.len());
        if held > most || self.tls.write(&xml).is_err() {
            self.end(By::Us, Why::Unread);
        }
    }
}
