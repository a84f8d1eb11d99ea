//! A session while it runs, and what is known about its end before it ends.

use std::time::Instant;

use xtls_session::{By, Close, Session, Why as SessionWhy};
use xtls_stanza::Address;
use xtls_tls::TlsError;

use super::event::{Closed, Why};
use crate::transport::StreamEnd;

/// A session, and what is known about its end before it ends.
#[derive(Debug)]
pub(super) struct Running {
    session: Box<Session>,
    hello: Hello,
    fate: Fate,
    /// What the stream beneath ended with.
    stream_end: Option<Box<StreamEnd>>,
    /// The peer's xtls `<close/>` has come.
    close_received: bool,
    /// The peer has sent something after its end, which the owner was not given: so the peer is never told that everything
    /// was taken.
    withheld: bool,
}

/// Where our ClientHello has travelled: it decides whether a failure is answered by one more try without an early one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    /// On the stream or in the open, not both; or the handshake has gone beyond it.
    Once,
    /// In the open, and on the stream once more, because the open's answer brought no flight.
    Twice,
}

/// What becomes of a session.
#[derive(Debug)]
enum Fate {
    /// It goes on.
    Open,
    /// There is nothing more to read: its last events do not wait for room at the owner.
    Over,
    /// The same, and this is why the router ended it.
    Dropped(Box<(By, Why)>),
}

impl Running {
    pub(super) fn new(session: Box<Session>, hello: Hello) -> Self {
        Self {
            session,
            hello,
            fate: Fate::Open,
            stream_end: None,
            close_received: false,
            withheld: false,
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The peer has answered the ClientHello, wherever that travelled.
    pub(super) fn hello_answered(&mut self) {
        self.hello = Hello::Once;
    }

    /// Whether a session that has failed so deserves one more try without an early ClientHello: somebody between us may have
    /// taken the peer's early answer away.
    pub(super) fn may_try_again(&self, close: &Close) -> bool {
        let cut = match self.stream_end.as_deref() {
            // The peer's alert may be sealed with keys that we do not have.
            None => matches!(
                close.why,
                SessionWhy::Tls(TlsError::Alert(_) | TlsError::Protocol(_))
            ),
            Some(StreamEnd::LinkLost | StreamEnd::Aborted | StreamEnd::TimedOut(_)) => false,
            Some(_) => true,
        };
        let dropped = matches!(self.fate, Fate::Dropped(_));
        self.hello == Hello::Twice && cut && !dropped && !self.close_received
    }

    /// Whether nothing more is to be read, so that the last events do not wait for room at the owner.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.fate, Fate::Open)
    }

    fn over(&mut self) {
        if matches!(self.fate, Fate::Open) {
            self.fate = Fate::Over;
        }
    }

    /// The peer has sent something after its end.
    pub(super) fn withhold(&mut self) {
        self.withheld = true;
    }

    /// The owner has taken everything that the peer sent. The peer is told, unless something was withheld.
    pub(super) fn take_all(&mut self, now: Instant) {
        if !self.withheld {
            self.session.took(now);
        }
    }

    /// Ends the session without a word of TLS: for this reason if there is one. Nothing of it is handed out any more.
    pub(super) fn abort(&mut self, why: Option<(By, Why)>) {
        self.session.abort();
        match why {
            Some(why) => self.fate = Fate::Dropped(Box::new(why)),
            None => self.over(),
        }
    }

    /// It ends for this reason, unless there is one already.
    pub(super) fn blame(&mut self, by: By, why: Why) {
        if !matches!(self.fate, Fate::Dropped(_)) {
            self.fate = Fate::Dropped(Box::new((by, why)));
        }
    }

    /// Whether the session is not trusted any more; its end does not wait for the owner then.
    pub(super) fn is_distrusted(&mut self) -> bool {
        let distrusted = self.session.is_untrusted();
        if distrusted {
            self.over();
        }
        distrusted
    }

    /// The stream beneath has ended.
    pub(super) fn on_stream_end(&mut self, now: Instant, why: StreamEnd) {
        self.session.handle_wire_end(now);
        self.stream_end = Some(Box::new(why));
    }

    /// The peer's xtls `<close/>` has come.
    pub(super) fn on_peer_close(&mut self) {
        self.close_received = true;
    }

    pub(super) fn has_received_close(&self) -> bool {
        self.close_received
    }

    /// A deadline of the session has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        // A probe, old keys and a first step of closing are no end.
        if self.session.is_ending() {
            self.over();
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        if self.is_over() {
            // What is over waits for nothing but that the stream takes its alert.
            return Some((self.session.last_words()?, "last words"));
        }
        let deadline = self.session.poll_timeout()?;
        Some((deadline.at, deadline.why))
    }

    /// What the owner is told of the end: the router's reason if it has one, the stream's beside the session's, or the
    /// session's alone. `left`: the peer may have gone on where we have received nothing, so its close_notify was not its
    /// last word.
    pub(super) fn closed(&mut self, peer: &Address, close: Close, left: bool) -> Closed {
        let orderly = matches!(close.why, SessionWhy::Finished);
        let tls = matches!(close.why, SessionWhy::Tls(_));
        let fate = std::mem::replace(&mut self.fate, Fate::Over);
        let (by, why) = match (fate, self.stream_end.take()) {
            (Fate::Dropped(why), _) if !orderly => *why,
            (_, Some(stream)) if !orderly && !tls => {
                let (session, stream) = (close.why, *stream);
                (close.by, Why::Cut { session, stream })
            }
            _ => (close.by, Why::Session(close.why)),
        };
        let (by, why) = if left {
            (By::Transport, Why::Session(SessionWhy::Truncated))
        } else {
            (by, why)
        };
        let cut_off = matches!(why, Why::Replaced | Why::Session(SessionWhy::Truncated));
        Closed {
            peer: peer.clone(),
            by,
            why,
            clean: close.clean && !cut_off,
            unconfirmed: close.unconfirmed,
            receipt: close.receipt,
            traffic: close.traffic,
        }
    }
}
