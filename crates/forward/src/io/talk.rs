//! The first frames of a stream: a request and its answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::mux::{Gone, Opener, Stream};
use crate::channel::{Channel, Event, Request};
use crate::wire::{Place, Refusal, Violation};

/// A stream, and what has come of it and is not looked at yet.
pub(super) struct Talk {
    pub(super) stream: Stream,
    pub(super) channel: Channel,
    pub(super) came: Vec<u8>,
}

/// Why a request has no good answer.
pub(super) enum NoAnswer {
    Refused(Refusal),
    Violation(Violation),
    /// The stream ended first, perhaps with the tunnel.
    Ended,
    /// There was no tunnel to ask in.
    NoTunnel,
}

/// What may come before a connection is one.
enum First {
    Asked(Request),
    Accepted(Place),
    Refused(Refusal),
    Ended,
}

impl Talk {
    /// Opens a stream and asks.
    pub(super) async fn ask(opener: &Opener, request: &Request) -> Result<(Self, Place), NoAnswer> {
        let mut talk = Self {
            stream: opener.open().await.map_err(|Gone| NoAnswer::NoTunnel)?,
            channel: Channel::asking(request),
            came: Vec::new(),
        };
        talk.say().await.map_err(|Gone| NoAnswer::Ended)?;
        match talk.first().await? {
            First::Accepted(at) => Ok((talk, at)),
            First::Refused(refusal) => Err(NoAnswer::Refused(refusal)),
            // The channel lets none through.
            First::Asked(_) | First::Ended => Err(NoAnswer::Ended),
        }
    }

    /// Waits for the request of a stream that the peer has opened.
    pub(super) async fn asked(stream: Stream) -> Result<(Self, Request), NoAnswer> {
        let mut talk = Self {
            stream,
            channel: Channel::asked(),
            came: Vec::new(),
        };
        match talk.first().await? {
            First::Asked(request) => Ok((talk, request)),
            First::Accepted(_) | First::Refused(_) | First::Ended => Err(NoAnswer::Ended),
        }
    }

    async fn first(&mut self) -> Result<First, NoAnswer> {
        let mut buffer = vec![0; FIRST];
        loop {
            let mut wire = self.came.as_slice();
            let event = self.channel.handle_wire(&mut wire);
            let first = match event.map_err(NoAnswer::Violation)? {
                Some(Event::Asked(request)) => Some(First::Asked(request)),
                Some(Event::Accepted(at)) => Some(First::Accepted(at)),
                Some(Event::Refused(refusal)) => Some(First::Refused(refusal)),
                Some(Event::Data(_) | Event::End | Event::Broken) => Some(First::Ended),
                None => None,
            };
            let rest = wire.len();
            self.came.drain(..self.came.len() - rest);
            if let Some(first) = first {
                return Ok(first);
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Err(NoAnswer::Ended),
                Ok(length) => self.came.extend(buffer.iter().take(length)),
            }
        }
    }

    /// Sends what the channel has to say.
    pub(super) async fn say(&mut self) -> Result<(), Gone> {
        while let Some(wire) = self.channel.poll_wire() {
            self.stream.write_all(&wire).await.map_err(|_| Gone)?;
        }
        self.stream.flush().await.map_err(|_| Gone)
    }

    /// Refuses what the peer has asked for, and ends the stream.
    pub(super) async fn refuse(mut self, refusal: Refusal) {
        self.channel.refuse(refusal);
        // A stream that does not take that is dropped.
        let _ = timeout(REFUSING, async {
            if self.say().await.is_ok() {
                let _ = self.stream.shutdown().await;
            }
        })
        .await;
    }

    /// Waits until the peer ends a stream that carries nothing. Cancel-safe.
    pub(super) async fn wait_for_end(&mut self) {
        let mut buffer = vec![0; FIRST];
        loop {
            let mut wire = self.came.as_slice();
            while let Ok(Some(event)) = self.channel.handle_wire(&mut wire) {
                if !matches!(event, Event::Data(_)) {
                    return;
                }
            }
            self.came.clear();
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => self.came.extend(buffer.iter().take(length)),
            }
        }
    }
}

/// Bytes read at once while a stream carries no connection yet.
const FIRST: usize = 2_048;

/// For a stream to take our refusal.
const REFUSING: Duration = Duration::from_secs(10);
