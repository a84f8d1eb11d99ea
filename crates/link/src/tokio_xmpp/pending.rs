//! Waiting, for the task that owns the stream.

use std::future::Future;
use std::time::Duration;

use tokio_xmpp::stanzastream::{StanzaStage, StanzaToken};

/// The future if there is one, or none that ever ends.
pub(super) async fn some<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Until tokio-xmpp has taken the stanza out of its queue.
pub(super) async fn taken(token: Option<&mut StanzaToken>) {
    match token {
        Some(token) => drop(token.wait_for(StanzaStage::Sent).await),
        None => std::future::pending().await,
    }
}

/// Between half of it and the whole.
pub(super) fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 4];
    // Without random numbers all wait for the whole.
    let share = match getrandom::fill(&mut random) {
        Ok(()) => f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    };
    wait.mul_f64(0.5 + share / 2.0)
}
