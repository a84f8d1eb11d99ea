//! Where tests stop the disk: after any of its steps nothing more happens, as after a `kill -9`.

use std::io;

/// What each step on a receiver's disk asks first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    #[cfg(test)]
    plan: Option<std::sync::Arc<Plan>>,
}

/// What is to happen at which step.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Plan {
    /// Steps before that.
    left: std::sync::atomic::AtomicI64,
    /// `None`: the program is gone, and no further step succeeds.
    errno: Option<rustix::io::Errno>,
}

impl Probe {
    /// Before a step.
    #[cfg(not(test))]
    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "tests use both"
    )]
    pub(crate) fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn step(&self) -> io::Result<()> {
        let Some(plan) = &self.plan else {
            return Ok(());
        };
        let left = plan.left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        match (left, plan.errno) {
            (0, Some(errno)) => Err(errno.into()),
            (..=0, None) => Err(io::Error::other("killed")),
            _ => Ok(()),
        }
    }

    /// After so many steps the program is gone.
    #[cfg(test)]
    pub(crate) fn kill_after(steps: i64) -> Self {
        Self::planned(steps, None)
    }

    /// The step after so many fails.
    #[cfg(test)]
    pub(crate) fn fail_after(steps: i64, errno: rustix::io::Errno) -> Self {
        Self::planned(steps, Some(errno))
    }

    #[cfg(test)]
    fn planned(steps: i64, errno: Option<rustix::io::Errno>) -> Self {
        let left = steps.into();
        let plan = Some(std::sync::Arc::new(Plan { left, errno }));
        Self { plan }
    }

    /// Whether the step that was planned has come.
    #[cfg(test)]
    pub(crate) fn has_come(&self) -> bool {
        self.plan
            .as_ref()
            .is_some_and(|plan| plan.left.load(std::sync::atomic::Ordering::SeqCst) < 0)
    }
}
