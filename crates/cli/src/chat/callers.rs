//! Tunnels that the peer of a conversation opens beside it: for files, or because it has come back before its end was noticed.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

use xtls_client::Tunnel;
use xtls_client::session::Service;

/// Those of which it is not known yet what they are for, and those that wait for the end of the conversation.
#[derive(Default)]
pub(super) struct Callers {
    waiting: VecDeque<Caller>,
}

struct Caller {
    tunnel: Tunnel,
    /// What it is for, until that is known.
    service: Option<Pin<Box<dyn Future<Output = io::Result<Service>>>>>,
}

impl Callers {
    /// Waits for what a tunnel turns out to be for. The oldest of too many is closed.
    pub(super) fn hold(&mut self, tunnel: Tunnel) {
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        let sender = tunnel.sender();
        self.waiting.push_back(Caller {
            tunnel,
            service: Some(Box::pin(async move { sender.service().await })),
        });
    }

    /// The next one that both ends have accepted, and what it is for. Cancel-safe.
    pub(super) async fn sorted(&mut self) -> (Tunnel, Service) {
        poll_fn(|context| {
            let mut at = 0;
            while let Some(caller) = self.waiting.get_mut(at) {
                let Some(service) = &mut caller.service else {
                    at += 1;
                    continue;
                };
                match service.as_mut().poll(context) {
                    Poll::Pending => at += 1,
                    Poll::Ready(sorted) => {
                        caller.service = None;
                        // One that has ended before is dropped.
                        if let (Some(caller), Ok(service)) = (self.waiting.remove(at), sorted) {
                            return Poll::Ready((caller.tunnel, service));
                        }
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Keeps one that was sorted until the conversation ends.
    pub(super) fn keep(&mut self, tunnel: Tunnel) {
        self.waiting.push_back(Caller {
            tunnel,
            service: None,
        });
    }

    /// The latest, now that the conversation has ended. All others are closed.
    pub(super) fn take(&mut self) -> Option<Tunnel> {
        let latest = self.waiting.pop_back();
        self.waiting.clear();
        latest.map(|caller| caller.tunnel)
    }
}

/// Tunnels of the peer that wait.
const WAITING: usize = 8;
