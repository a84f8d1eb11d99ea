//! The stages of the driver.

/// How far the driver's end has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Life {
    Running,
    /// Every tunnel is being closed, and none is opened any more.
    Stopping,
    /// As well, and the last handle is gone.
    Alone,
    /// The link is gone. What has come is handed out, whether it is taken or not.
    Ended,
}
