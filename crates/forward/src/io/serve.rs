//! The end that does what its peer asks for, where that is allowed.

use std::fmt;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use yamux::Mode;

use super::mux::Mux;
use super::tunnel::{Duties, Hold, run};
use super::{ForwardError, GOODBYE, Report, Reports, Resolve, system};
use crate::allow::{Allow, Allowed};
use crate::spec::Bind;

/// What a peer may do through this end. Nothing, by default.
#[derive(Clone)]
pub struct Serve {
    /// Where it may have us connect to.
    pub allow: Vec<Allowed>,
    /// Where it may have us listen.
    pub allow_bind: Vec<Bind>,
    /// Looks names up: this system, by default.
    pub resolver: Arc<dyn Resolve>,
    /// Where reports go. What is not taken in time is lost.
    pub reports: Option<mpsc::Sender<Report>>,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            allow_bind: Vec::new(),
            resolver: system(),
            reports: None,
        }
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("allow", &self.allow)
            .field("allow_bind", &self.allow_bind)
            .finish_non_exhaustive()
    }
}

/// Serves the peer at the other end of a tunnel that it has opened, until it closes it.
///
/// Not cancel-safe: connections of a future that is dropped are cut.
///
/// # Errors
/// If the tunnel is cut, or the peer breaks the protocol.
pub async fn serve<S>(mut stream: S, options: Serve) -> Result<(), ForwardError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let duties = Duties {
        allow: Allow {
            connect: options.allow,
            listen: options.allow_bind,
        },
        remote: std::collections::BTreeMap::new(),
        resolver: options.resolver,
        reports: Reports(options.reports),
    };
    let (mut mux, opener) = Mux::begin(&mut stream, Mode::Server).await?;
    duties.reports.tell(Report::Up);
    run(&mut mux, opener, Arc::new(duties), Hold::OrEnd).await?;
    drop(mux);
    // A peer that does not take the end has ended already.
    let _ = timeout(GOODBYE, stream.shutdown()).await;
    Ok(())
}
