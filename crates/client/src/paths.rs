//! What becomes of the path of a tunnel, for those who have to tell somebody.

use xtls_tunnel::router::PathEvent;

use crate::progress::Progress;

/// What becomes of the path of a tunnel. Made by [`Sender::paths`](crate::Sender::paths).
#[derive(Debug, Clone)]
pub struct Paths {
    progress: Progress,
    told: Option<PathEvent>,
}

impl Paths {
    pub(crate) fn new(progress: Progress) -> Self {
        Self {
            progress,
            told: None,
        }
    }

    /// The latest: `None` while the tunnel is where it began.
    #[must_use]
    pub fn current(&self) -> Option<PathEvent> {
        self.progress.path()
    }

    /// Waits until something else has become of it, and says what. Of several changes since the last call the last one counts.
    /// `None`: the tunnel has ended.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, no change is missed.
    pub async fn changed(&mut self) -> Option<PathEvent> {
        let event = self.progress.path_changed(self.told).await?;
        self.told = Some(event);
        Some(event)
    }
}
