//! The real servers that `cargo xtask test` starts, processes of the program on them, and peers that break the rules.

pub mod canary;
pub mod person;
pub mod program;
pub mod puppet;
pub mod secure;
pub mod server;
pub mod speech;
pub mod terminal;

use std::future::Future;
use std::time::Duration;

/// How long anything may take that a test waits for. Generous: it ends what hangs and is no measure of speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the future gives.
///
/// # Panics
/// After [`PATIENCE`], with `what` was waited for.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {} s in vain for {what}", PATIENCE.as_secs()),
    }
}
