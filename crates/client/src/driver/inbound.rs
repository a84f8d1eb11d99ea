//! What comes from the link.

use std::sync::atomic::Ordering;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tracing::{debug, info};
use xtls_stanza::{Content, Envelope, Payload, xtls};

use super::{BATCH, Driver, now};
use crate::client::SPARE;
use crate::uplink::{Inbound, LinkError, Uplink};

impl<U: Uplink> Driver<U> {
    /// Takes what has come meanwhile. While the link takes nothing it is still read: a server that waits for us to read
    /// may be what we wait for.
    pub(super) fn take_in(&mut self, next: &mut Option<Envelope>) -> Result<(), LinkError> {
        let mut weight = 0_usize;
        for _ in 0..BATCH {
            let Some(inbound) = at_once(self.uplink.next()) else {
                break;
            };
            let inbound = inbound?;
            if let Inbound::Envelope(envelope) = &inbound {
                weight = weight.saturating_add(envelope.weight());
            }
            self.on_inbound(inbound, next);
            // Many or large, what answers to it does not wait for the rest.
            if weight >= LOAD {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn on_inbound(&mut self, inbound: Inbound, next: &mut Option<Envelope>) {
        match inbound {
            Inbound::Envelope(envelope) => {
                let begins = is_open(&envelope);
                self.look_at_pins(begins);
                if begins {
                    self.make_room();
                }
                self.router.handle(now(), envelope);
            }
            Inbound::Suspended => {
                info!("the connection to the server is interrupted");
                self.router.pause(now());
            }
            Inbound::Resumed => {
                info!("the connection to the server is back");
                self.router.resume(now());
            }
            Inbound::Rebound(address) => {
                // A new binding is a new end: no tunnel survives it, whatever the resource is called.
                debug!("bound anew");
                *next = None;
                self.router.rebind(now(), address);
                self.router.set_server_limit(self.uplink.stanza_limit());
            }
        }
    }

    /// Tells the router how many tunnels the application has room for, once it has been given those that wait.
    fn make_room(&mut self) {
        self.give_out_all();
        let room = self.incoming.capacity().saturating_sub(SPARE);
        let shut = self.incoming.is_closed() || self.incoming_paused.load(Ordering::Acquire);
        let room = if shut { 0 } else { room };
        self.router.set_incoming_room(room);
    }
}

fn is_open(envelope: &Envelope) -> bool {
    matches!(
        envelope.content,
        Content::Set(Payload::Open(_) | Payload::Xtls(xtls::Control::Start { .. }))
    )
}

/// What a cancel-safe future gives without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Weight of stanzas taken at one go, in bytes; one may exceed it.
const LOAD: usize = 262_144;
