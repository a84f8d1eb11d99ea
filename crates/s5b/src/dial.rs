//! The client's side of SOCKS5: two messages, and their answers.

use std::time::Instant;

use crate::destination::Destination;
use crate::socks::{
    CONNECT, NO_AUTHENTICATION, STEP, SUCCEEDED, SocksError, VERSION, length, message,
};

/// Asks a streamhost for a bytestream, over a connection that stands.
///
/// The second message goes when the first is answered: Prosody and ejabberd read one message at a time, and close when two come at once.
///
/// ```
/// use std::time::Instant;
/// use xtls_s5b::xtls_stanza::{Address, s5b::Sid};
/// use xtls_s5b::{Destination, Dial, DialEvent};
///
/// let romeo = Address::new("romeo@montague.example/orchard")?;
/// let juliet = Address::new("juliet@capulet.example/balcony")?;
/// let destination = Destination::new(&Sid::new("k3v9")?, &romeo, &juliet);
///
/// let now = Instant::now();
/// let mut dial = Dial::new(now, destination);
/// assert_eq!(dial.poll_transmit().as_deref(), Some(&[5, 1, 0][..]));
/// dial.handle_bytes(now, &[5, 0]);
/// assert_eq!(dial.poll_transmit().map(|request| request.len()), Some(47));
/// dial.handle_bytes(now, b"\x05\x00\x00\x01\0\0\0\0\0\0hello");
/// assert_eq!(dial.poll_event(), Some(DialEvent::Connected { rest: b"hello".to_vec() }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Dial {
    destination: Destination,
    step: Step,
    have: Vec<u8>,
    transmit: Option<Vec<u8>>,
    event: Option<DialEvent>,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Request,
    Over,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialEvent {
    /// The streamhost has agreed. Through a relay, bytes pass once the bytestream is activated.
    Connected {
        /// Bytes behind the answer: the first of the stream.
        rest: Vec<u8>,
    },
    /// It has not. Close the connection.
    Failed(SocksError),
}

impl Dial {
    /// Begins with the greeting.
    #[must_use]
    pub fn new(now: Instant, destination: Destination) -> Self {
        Self {
            destination,
            step: Step::Greeting,
            have: Vec::new(),
            transmit: Some(vec![VERSION, 1, NO_AUTHENTICATION]),
            event: None,
            deadline: now + STEP,
        }
    }

    /// What is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.take()
    }

    /// How it has ended.
    pub fn poll_event(&mut self) -> Option<DialEvent> {
        self.event.take()
    }

    /// How many bytes may be read that surely belong to SOCKS5. Who reads no more needs no `rest`.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let whole = match self.step {
            Step::Greeting => 2,
            Step::Request => length(&self.have).unwrap_or_default(),
            Step::Over => 0,
        };
        whole.saturating_sub(self.have.len())
    }

    /// Takes what came.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.step == Step::Over {
            return;
        }
        self.have.extend_from_slice(bytes);
        let done = match self.step {
            Step::Greeting => self.greeted(now),
            Step::Request => self.answered(),
            Step::Over => Ok(()),
        };
        if let Err(why) = done {
            self.fail(why);
        }
    }

    /// The connection has ended.
    pub fn handle_end(&mut self) {
        if self.step != Step::Over {
            self.fail(SocksError::Ended);
        }
    }

    /// When to call [`Dial::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.step != Step::Over).then_some(self.deadline)
    }

    /// The time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.fail(SocksError::Timeout);
        }
    }

    fn greeted(&mut self, now: Instant) -> Result<(), SocksError> {
        match *self.have.as_slice() {
            [version, ..] if version != VERSION => return Err(SocksError::Version(version)),
            [_, method, ..] if method != NO_AUTHENTICATION => {
                return Err(SocksError::Method(method));
            }
            [_, _] => {}
            [_, _, _, ..] => return Err(SocksError::Early),
            _ => return Ok(()),
        }
        self.have.clear();
        self.step = Step::Request;
        self.transmit = Some(message(CONNECT, &self.destination));
        self.deadline = now + STEP;
        Ok(())
    }

    fn answered(&mut self) -> Result<(), SocksError> {
        // An answer that comes before its request has left answers something else.
        if self.transmit.is_some() && !self.have.is_empty() {
            return Err(SocksError::Early);
        }
        match *self.have.as_slice() {
            [version, ..] if version != VERSION => return Err(SocksError::Version(version)),
            [_, code, ..] if code != SUCCEEDED => return Err(SocksError::Refused(code)),
            _ => {}
        }
        let whole = length(&self.have)?;
        if whole > 5 && self.have.len() >= whole {
            let rest = self.have.split_off(whole);
            self.have = Vec::new();
            self.step = Step::Over;
            self.event = Some(DialEvent::Connected { rest });
        }
        Ok(())
    }

    fn fail(&mut self, why: SocksError) {
        self.step = Step::Over;
        self.have = Vec::new();
        self.transmit = None;
        self.event = Some(DialEvent::Failed(why));
    }
}
