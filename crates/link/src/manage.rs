//! Stream management (XEP-0198): who has handled which stanzas, and how a session outlives its connections.
//!
//! A [`Manage`] belongs to the link and not to a connection. The owner of the stream tells it what is written and what is taken,
//! passes the server's elements on, and writes what it says:
//!
//! 1. On a new connection [`Manage::resume`] comes first: binding would end the old session. Where it says nothing, or the
//!    server refuses, the owner calls [`Manage::rebind`], which gives the stanzas that are lost, binds, and calls
//!    [`Manage::enable`].
//! 2. Stanzas are written while [`Manage::may_send`], and should be while [`Manage::has_room`]; each batch goes to
//!    [`Manage::on_sent`].
//! 3. After every call, and when [`Manage::poll_timeout`] is over, [`Manage::handle_timeout`] and [`Manage::poll`] say what to write
//!    behind, until `None`.
//! 4. A stanza is marked by [`Manage::on_stanza`] when it comes, and counts when it is taken ([`Manage::on_stanza_taken`]).
//!
//! A server's refusals are no faults, and none of them makes anything happen twice: an id is tried once, `<enable/>` is written
//! once to a connection, and after a [`Miscount`] the next connection does without.

mod miscount;
mod phase;
#[cfg(test)]
mod tests;
mod unacked;
mod wire;

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::Element;

pub use self::miscount::Miscount;
use self::phase::Phase;
use self::unacked::Unacked;
use self::wire::Nonza;
#[cfg(feature = "serve")]
pub(crate) use self::wire::not_found;
pub(crate) use self::wire::{SM, enable};
use crate::ack::{Answer, Ask};
use crate::location::Location;

/// The session of one link.
#[derive(Debug, Default)]
pub(crate) struct Manage {
    phase: Phase,
    unacked: Unacked,
    /// Stanzas from the server that were taken since the session began; wraps.
    handled: u32,
    /// Another one whenever the server is told what was handled for good: what came before counts no more.
    leg: u32,
    ask: Ask,
    answer: Answer,
    /// The last session ended by a fault, so the next connection does without one.
    doubtful: bool,
}

/// What an element of the server's has changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The session is on. `resumable`: for so long after a connection.
    Enabled { resumable: Option<Duration> },
    /// The connection goes on without a session.
    NotEnabled,
    /// The session goes on. The server has handled so many stanzas that it had not acknowledged.
    Resumed { acked: u32 },
    /// The session is over: [`Manage::rebind`], in this same stream.
    NotResumed,
    /// Nothing that the owner must know.
    Nothing,
}

/// When a stanza came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// While the server did not count.
    Uncounted,
    /// On this leg.
    Counted(u32),
}

/// Connections.
impl Manage {
    /// Whether [`Manage::resume`] has something to say. It comes before binding.
    pub(crate) fn can_resume(&self, now: Instant) -> bool {
        self.phase.can_resume(now)
    }

    /// Whether the server has said that the session goes on after a loss.
    pub(crate) fn is_resumable(&self) -> bool {
        self.phase.is_resumable()
    }

    /// Where the server prefers to be reached for a resumption: to be tried first, and once in an outage.
    pub(crate) fn take_location(&mut self, now: Instant) -> Option<Location> {
        let late = !self.can_resume(now);
        match &mut self.phase {
            Phase::Away { location, .. } if !late => location.take(),
            Phase::Off
            | Phase::Refused
            | Phase::Enabling
            | Phase::On { .. }
            | Phase::Away { .. }
            | Phase::Resuming { .. }
            | Phase::Over => None,
        }
    }

    /// `<resume/>`, to be written at once. The server's answer makes its id void, unless it is good for another time; a
    /// connection that breaks before the answer does not, a few times.
    ///
    /// Stanzas that have come and are not taken will be sent again, so they are refused from now on.
    pub(crate) fn resume(&mut self, now: Instant) -> Option<Bytes> {
        if !self.can_resume(now) {
            return None;
        }
        let Phase::Away {
            ticket,
            until,
            unanswered,
            ..
        } = std::mem::replace(&mut self.phase, Phase::Over)
        else {
            return None;
        };
        self.leg = self.leg.wrapping_add(1);
        self.answer = Answer::default();
        let said = wire::resume(&ticket.id, self.handled);
        self.phase = Phase::Resuming {
            ticket,
            until,
            unanswered,
        };
        Some(said)
    }

    /// A new binding is made instead: gives what the old session leaves unacknowledged, stanza by stanza.
    #[must_use]
    pub(crate) fn rebind(&mut self) -> Vec<Bytes> {
        let lost = self.unacked.take();
        *self = Self {
            leg: self.leg.wrapping_add(1),
            doubtful: self.doubtful,
            ..Self::default()
        };
        lost
    }

    /// `<enable/>`, to be written at once behind a binding: what is written from then on counts. `None`: this connection does
    /// without.
    pub(crate) fn enable(&mut self) -> Option<Bytes> {
        if !matches!(self.phase, Phase::Off) {
            return None;
        }
        if std::mem::take(&mut self.doubtful) {
            self.phase = Phase::Refused;
            return None;
        }
        self.phase = Phase::Enabling;
        Some(enable())
    }

    /// Whether [`Manage::enable`] will say something behind the next binding.
    pub(crate) fn would_enable(&self) -> bool {
        !self.doubtful
    }

    /// The server has not taken `<resume/>` in, which was part of a log-in that came to nothing: its id is good for another time.
    pub(crate) fn withdraw(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Resuming {
                ticket,
                until,
                unanswered,
            } => Phase::Away {
                ticket,
                until,
                location: None,
                unanswered,
            },
            other @ (Phase::Off
            | Phase::Refused
            | Phase::Enabling
            | Phase::On { .. }
            | Phase::Away { .. }
            | Phase::Over) => other,
        };
    }

    /// The session will not be resumed, whatever the server would say.
    pub(crate) fn forget(&mut self) {
        match &mut self.phase {
            Phase::On { ticket, .. } => *ticket = None,
            Phase::Away { .. } | Phase::Resuming { .. } => self.phase = Phase::Over,
            Phase::Off | Phase::Refused | Phase::Enabling | Phase::Over => {}
        }
    }

    /// The server ends the stream by an error that allows another resumption. If the last one has not got anything
    /// acknowledged, the next would bring the same octets and perhaps the same error, so there is none.
    pub(crate) fn on_stream_error(&mut self) {
        if let Phase::On { proven: false, .. } = self.phase {
            self.forget();
        }
    }

    /// The last `<a/>`, to be written before the end of the stream. The session won't be resumed.
    pub(crate) fn close(&mut self) -> Option<Bytes> {
        self.forget();
        matches!(self.phase, Phase::On { .. }).then(|| {
            self.answer = Answer::default();
            wire::ack(self.handled)
        })
    }

    /// The connection is gone, or an attempt to make one has failed.
    pub(crate) fn on_disconnected(&mut self, now: Instant) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::On {
                ticket: Some(ticket),
                ..
            } => Phase::Away {
                until: now.checked_add(ticket.max),
                location: ticket.location.clone(),
                ticket,
                unanswered: 0,
            },
            away @ Phase::Away { .. } => away,
            Phase::Resuming {
                ticket,
                until,
                unanswered,
            } if unanswered < MAX_UNANSWERED => Phase::Away {
                ticket,
                until,
                location: None,
                unanswered: unanswered + 1,
            },
            Phase::Off | Phase::Refused => Phase::Off,
            Phase::Enabling
            | Phase::On { ticket: None, .. }
            | Phase::Resuming { .. }
            | Phase::Over => Phase::Over,
        };
    }
}

/// What comes in.
impl Manage {
    /// Takes an element of the server's that is no stanza. What is not ours, or not expected, changes nothing.
    pub(crate) fn handle(&mut self, now: Instant, element: &Element) -> Result<Heard, Miscount> {
        let Some(nonza) = Nonza::read(element) else {
            return Ok(Heard::Nothing);
        };
        match (nonza, &mut self.phase) {
            (Nonza::Enabled(ticket), Phase::Enabling) => {
                let resumable = ticket.as_ref().map(|ticket| ticket.max);
                self.phase = Phase::On {
                    ticket,
                    proven: true,
                    answer_by: None,
                };
                Ok(Heard::Enabled { resumable })
            }
            (Nonza::Failed { .. }, Phase::Enabling) => {
                // They were sent as stanzas are without a session: nobody will say what became of them.
                drop(self.unacked.take());
                self.phase = Phase::Refused;
                Ok(Heard::NotEnabled)
            }
            (Nonza::Resumed { previd, h }, Phase::Resuming { ticket, .. }) => {
                if previd.is_some_and(|previd| previd != ticket.id) {
                    return Err(self.fail(Miscount::Another));
                }
                let ticket = Some(ticket.clone());
                let acked = self.on_ack(h, "resumed")?;
                self.unacked.rewind();
                self.ask = Ask::default();
                let proven = self.unacked.is_empty();
                let answer_by = if proven {
                    None
                } else {
                    // Before what is written again, which may take its time.
                    self.ask.hurry(now);
                    now.checked_add(PATIENCE)
                };
                self.phase = Phase::On {
                    ticket,
                    proven,
                    answer_by,
                };
                Ok(Heard::Resumed { acked })
            }
            (Nonza::Failed { h }, Phase::Resuming { .. }) => {
                // A number that makes no sense ends nothing more than is over already.
                let _ = h.map(|h| self.unacked.ack(h));
                self.phase = Phase::Over;
                Ok(Heard::NotResumed)
            }
            (Nonza::Ack { h }, Phase::On { answer_by, .. }) => {
                *answer_by = None;
                self.ask.on_answer();
                let news = self.on_ack(h, "a")?;
                if let Phase::On { proven, .. } = &mut self.phase {
                    *proven |= news > 0;
                }
                Ok(Heard::Nothing)
            }
            (Nonza::Request, Phase::On { .. }) => {
                self.answer.on_request(now);
                Ok(Heard::Nothing)
            }
            _ => Ok(Heard::Nothing),
        }
    }

    /// The peer asks for a session, as clients do: the answer, behind which we count. It ends with the connection.
    #[cfg(feature = "serve")]
    pub(crate) fn grant(&mut self) -> Bytes {
        if !matches!(self.phase, Phase::Off) {
            return wire::failed("unexpected-request");
        }
        self.phase = Phase::On {
            ticket: None,
            proven: true,
            answer_by: None,
        };
        wire::enabled()
    }

    fn on_ack(&mut self, h: Option<u32>, name: &'static str) -> Result<u32, Miscount> {
        let h = h.ok_or(Miscount::NoNumber(name));
        h.and_then(|h| Ok(self.unacked.ack(h)?))
            .map_err(|fault| self.fail(fault))
    }

    fn fail(&mut self, fault: Miscount) -> Miscount {
        self.phase = Phase::Over;
        self.doubtful = true;
        fault
    }

    /// Tells the time. A server that resumes a session and then takes nothing in would keep what waits for it for ever.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Miscount> {
        match self.phase {
            Phase::On {
                answer_by: Some(due),
                ..
            } if due <= now => {
                // It counts well enough: the next connection has a session again.
                self.phase = Phase::Over;
                Err(Miscount::Deaf(PATIENCE))
            }
            Phase::Off
            | Phase::Refused
            | Phase::Enabling
            | Phase::On { .. }
            | Phase::Away { .. }
            | Phase::Resuming { .. }
            | Phase::Over => Ok(()),
        }
    }

    /// A stanza has come: what to keep beside it until it is taken.
    pub(crate) fn on_stanza(&self) -> Arrival {
        match self.phase {
            Phase::On { .. } => Arrival::Counted(self.leg),
            Phase::Off
            | Phase::Refused
            | Phase::Enabling
            | Phase::Away { .. }
            | Phase::Resuming { .. }
            | Phase::Over => Arrival::Uncounted,
        }
    }

    /// The owner of the link takes a stanza, which is what "handled" means. `false`: it must not, because the server was
    /// told that this one had not come, and sends it again or makes other use of it.
    #[must_use]
    pub(crate) fn on_stanza_taken(&mut self, now: Instant, arrival: Arrival) -> bool {
        match arrival {
            Arrival::Uncounted => true,
            Arrival::Counted(leg) if leg != self.leg => false,
            Arrival::Counted(_) => {
                self.handled = self.handled.wrapping_add(1);
                self.answer.on_handled(now);
                true
            }
        }
    }
}

/// What goes out.
impl Manage {
    /// Whether new stanzas may be written to this connection: not before an old session is resumed or given up, and not
    /// before what is unacknowledged has been written again.
    pub(crate) fn may_send(&self) -> bool {
        match self.phase {
            Phase::Off | Phase::Refused | Phase::Enabling => true,
            Phase::On { .. } => !self.unacked.is_behind(),
            Phase::Away { .. } | Phase::Resuming { .. } | Phase::Over => false,
        }
    }

    /// Whether more stanzas should be written before the server has acknowledged some.
    pub(crate) fn has_room(&self) -> bool {
        self.unacked.bytes() < ROOM_BYTES && self.unacked.stanzas() < ROOM_STANZAS
    }

    /// Stanzas are being written: their octets, which are kept and not copied, and the offset at which each ends.
    ///
    /// What is kept is weighed by its length. Whoever splits `octets` off a longer buffer shares it among what it holds; a
    /// buffer with room to spare for each batch would weigh more.
    pub(crate) fn on_sent(&mut self, now: Instant, octets: Bytes, ends: &[usize]) {
        // They may have been written before a fault was seen.
        debug_assert!(self.may_send() || matches!(self.phase, Phase::Over));
        if matches!(self.phase, Phase::Off | Phase::Refused) {
            return;
        }
        let crowded = self.is_crowded();
        self.ask.on_sent(now, ends.len(), octets.len());
        self.unacked.push(octets, ends);
        if self.is_crowded() && !crowded {
            self.ask.hurry(now);
        }
    }

    /// Half of the room is taken.
    fn is_crowded(&self) -> bool {
        self.unacked.bytes() >= ROOM_BYTES / 2 || self.unacked.stanzas() >= ROOM_STANZAS / 2
    }

    /// The longest stanza that is not acknowledged, in bytes: a server may refuse it, and then resuming brings it again.
    pub(crate) fn longest_unacked(&self) -> usize {
        self.unacked.longest()
    }

    /// Asks whether the server is there, whatever was sent. `false`: it can't be asked like this.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        let on = matches!(self.phase, Phase::On { .. });
        if on {
            self.ask.hurry(now);
        }
        on
    }

    /// The next octets to write behind what was written; `None`: nothing more now.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Bytes> {
        if !matches!(self.phase, Phase::On { .. }) {
            return None;
        }
        if self.answer.take(now) {
            return Some(wire::ack(self.handled));
        }
        if self.ask.take(now) {
            return Some(wire::request());
        }
        let again = self.unacked.write_again()?;
        // One stanza at least, and of the rest the bytes say enough.
        self.ask.on_sent(now, 1, again.len());
        Some(again)
    }

    /// When [`Manage::poll`] has something to say although nothing else happens.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::On { answer_by, .. } => {
                let due = [self.ask.due(), self.answer.due(), answer_by];
                due.into_iter().flatten().min()
            }
            Phase::Off
            | Phase::Refused
            | Phase::Enabling
            | Phase::Away { .. }
            | Phase::Resuming { .. }
            | Phase::Over => None,
        }
    }
}

#[cfg(test)]
impl Manage {
    /// As if so many stanzas had gone and come in this session before.
    fn shift(&mut self, by: u32) {
        self.unacked.shift(by);
        self.handled = self.handled.wrapping_add(by);
    }
}

/// Bytes of unacknowledged stanzas beyond which there is no room.
const ROOM_BYTES: usize = 8 << 20;

/// Unacknowledged stanzas beyond which there is no room.
const ROOM_STANZAS: usize = 8_192;

/// How long the server may take to answer the first request after a resumption.
const PATIENCE: Duration = Duration::from_secs(10);

/// Resumptions in one outage that may break without an answer. A server that hangs up on each is bound anew.
const MAX_UNANSWERED: u32 = 3;
