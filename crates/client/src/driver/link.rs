//! The driver's link to the server: what the router sends goes out, and what arrives goes to the router.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use xtls_stanza::{Content, Envelope, Payload, xtls};
use xtls_tunnel::router::Router;

use super::now;
use crate::uplink::{LinkError, LinkEvent, Uplink};

/// The link, with what is on its way between it and the router.
pub(crate) struct Link<U> {
    uplink: U,
    /// A stanza of the router's that waits for the link to have room.
    next: Option<Envelope>,
    /// What the link has delivered and the router has not been given yet.
    arrived: VecDeque<LinkEvent>,
}

impl<U: Uplink> Link<U> {
    pub(crate) fn new(uplink: U) -> Self {
        Self {
            uplink,
            next: None,
            arrived: VecDeque::new(),
        }
    }

    pub(super) fn stanza_limit(&self) -> Option<usize> {
        self.uplink.stanza_limit()
    }

    pub(super) fn server_address(&self) -> Option<SocketAddr> {
        self.uplink.server_address()
    }

    /// The stanza that waits for room belongs to a binding that is gone.
    pub(super) fn discard_unsent(&mut self) {
        self.next = None;
    }

    /// The next thing that has arrived, for the router.
    pub(super) fn pop_arrived(&mut self) -> Option<LinkEvent> {
        let event = self.arrived.pop_front();
        if self.arrived.is_empty() {
            // Most links are idle, and need not keep the room of their busiest moment.
            self.arrived = VecDeque::new();
        }
        event
    }

    pub(super) async fn close(self) -> Result<(), LinkError> {
        self.uplink.close().await
    }

    /// Whether the router has anything left to send.
    pub(super) fn has_more(&mut self, router: &mut Router) -> bool {
        if self.next.is_none() {
            self.next = router.poll_transmit(now());
        }
        self.next.is_some()
    }

    /// Sends what the router has to send and takes what has arrived, a batch of each. Ready when either moved.
    ///
    /// The link is read whether it has room or not: a server that waits for us to read may be what we wait for.
    ///
    /// # Errors
    /// The link has ended, and everything that arrived before was taken.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        router: &mut Router,
    ) -> Poll<Result<(), LinkError>> {
        let out = self.poll_send(cx, router);
        // Answers must leave as fast as requests come, or they are dropped in the end.
        let crowded = matches!(out, Poll::Ready(Ok(()))) && router.is_crowded();
        let came = if crowded {
            Poll::Pending
        } else {
            self.poll_receive(cx)
        };
        match (out, came) {
            (_, Poll::Ready(came)) => Poll::Ready(came),
            (out, Poll::Pending) => out,
        }
    }

    /// Ready when anything was sent.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        router: &mut Router,
    ) -> Poll<Result<(), LinkError>> {
        let mut sent = Poll::Pending;
        for _ in 0..BATCH {
            if !self.has_more(router) || self.uplink.poll_ready(cx)?.is_pending() {
                break;
            }
            if let Some(envelope) = self.next.take() {
                self.uplink.start_send(envelope)?;
                sent = Poll::Ready(Ok(()));
            }
        }
        // Pending or not: what is queued in the link keeps nobody waiting here.
        let _ = self.uplink.poll_flush(cx)?;
        sent
    }

    /// Ready when anything has arrived.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut weight = 0_usize;
        // Of many stanzas or large ones, the answers to the first do not wait for the last.
        while self.arrived.len() < BATCH && weight < LOAD {
            match self.uplink.poll_next(cx) {
                Poll::Ready(Ok(event)) => {
                    if let LinkEvent::Envelope(envelope) = &event {
                        weight = weight.saturating_add(envelope.weight());
                    }
                    self.arrived.push_back(event);
                }
                // It comes again, once what arrived before has been handled.
                Poll::Ready(Err(error)) if self.arrived.is_empty() => {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        if self.arrived.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

/// Whether a stanza may begin a session.
pub(super) fn is_open(envelope: &Envelope) -> bool {
    matches!(
        envelope.content,
        Content::Set(Payload::Open(_) | Payload::Xtls(xtls::Control::Start { .. }))
    )
}

/// Stanzas sent, or events taken, in one go.
const BATCH: usize = 64;

/// Weight of stanzas taken in one go, in bytes; one may exceed it.
const LOAD: usize = 262_144;
