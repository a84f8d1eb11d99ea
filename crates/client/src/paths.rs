//! Where a tunnel goes, for those who have to tell somebody.

use xtls_stanza::path::Takes;
use xtls_tunnel::path::{Kind, Stay};
use xtls_tunnel::router::PathEvent;

use crate::progress::Progress;

/// Where a tunnel goes, and what is known of where it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathState {
    /// What carries it. `None`: that has gone, and another path is being looked for.
    pub carrying: Option<Kind>,
    /// Why it stayed where it was, the last time that another path was looked for in vain.
    pub stayed: Option<Stay>,
    /// What the peer's owner lets it connect to, once the peer has said it.
    pub peer_allows: Option<Takes>,
}

impl Default for PathState {
    /// Where every tunnel begins.
    fn default() -> Self {
        Self {
            carrying: Some(Kind::InBand),
            stayed: None,
            peer_allows: None,
        }
    }
}

impl PathState {
    pub(crate) fn note(&mut self, event: PathEvent) {
        match event {
            PathEvent::Moved(kind) => self.carrying = Some(kind),
            PathEvent::Lost => self.carrying = None,
            PathEvent::Stayed(why) => self.stayed = Some(why),
            PathEvent::PeerAllows(takes) => self.peer_allows = Some(takes),
            // Of a later version.
            _ => {}
        }
    }
}

/// Where a tunnel goes, now and from now on. Made by [`Sender::paths`](crate::Sender::paths).
#[derive(Debug, Clone)]
pub struct Paths {
    progress: Progress,
    told: PathState,
}

impl Paths {
    pub(crate) fn new(progress: Progress) -> Self {
        Self {
            progress,
            told: PathState::default(),
        }
    }

    /// Where it goes now.
    #[must_use]
    pub fn current(&self) -> PathState {
        self.progress.path()
    }

    /// Waits until it is different from what was told last, at first from where every tunnel begins. Of several changes since then
    /// the last one counts. `None`: the tunnel has ended.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, no change is missed.
    pub async fn changed(&mut self) -> Option<PathState> {
        self.told = self.progress.path_changed(self.told).await?;
        Some(self.told)
    }

    /// Waits until this carries it. `None`: the tunnel has ended.
    ///
    /// Cancel-safe, as [`changed`](Self::changed) is.
    pub async fn carried_by(&mut self, kind: Kind) -> Option<()> {
        while self.current().carrying != Some(kind) {
            self.changed().await?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_later_hides_nothing() {
        let mut state = PathState::default();
        state.note(PathEvent::Moved(Kind::Relay));
        state.note(PathEvent::PeerAllows(Takes::Own));
        state.note(PathEvent::Stayed(Stay::Nothing));
        assert_eq!(state.carrying, Some(Kind::Relay));
        assert_eq!(
            (state.stayed, state.peer_allows),
            (Some(Stay::Nothing), Some(Takes::Own))
        );
        state.note(PathEvent::Lost);
        assert_eq!(state.carrying, None);
    }
}
