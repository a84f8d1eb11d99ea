//! The real servers that `cargo xtask test` starts, processes of the program on them, and peers that break the rules.

pub mod canary;
pub mod person;
pub mod program;
pub mod puppet;
pub mod secure;
pub mod server;
pub mod speech;
pub mod switch;
pub mod terminal;
pub mod way;

use std::future::Future;
use std::time::Duration;

/// How long a test waits for anything. Generous: it ends what hangs and doesn't measure speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The output of the future.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {} s in vain for {what}", PATIENCE.as_secs()),
    }
}
