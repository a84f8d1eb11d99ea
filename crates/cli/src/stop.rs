//! How the program is asked to end: once in order, twice at once.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::{Code, Failure};
use crate::say::Say;
use crate::terminal;

/// Whether the program shall end.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    asked: Arc<watch::Sender<bool>>,
    hurry: Arc<AtomicBool>,
    say: Say,
}

impl Stop {
    /// Listens to Ctrl-C (SIGINT), SIGTERM, SIGHUP and SIGQUIT.
    ///
    /// # Errors
    /// The system does not let it.
    pub(crate) fn listen(say: Say) -> std::io::Result<Self> {
        let stop = Self {
            asked: Arc::new(watch::channel(false).0),
            hurry: Arc::default(),
            say,
        };
        let [interrupt, terminate, hang_up, quit] = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ]
        .map(signal);
        stop.follow(interrupt?, Self::interrupt);
        stop.follow(terminate?, Self::terminate);
        stop.follow(hang_up?, Self::terminate);
        stop.follow(quit?, Self::now);
        Ok(stop)
    }

    fn follow(&self, mut signal: Signal, act: fn(&Self)) {
        let stop = self.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                act(&stop);
            }
        });
    }

    /// Ctrl-C: the first one ends everything in order, the second one at once.
    pub(crate) fn interrupt(&self) {
        if self.asked.send_replace(true) {
            self.now();
        }
    }

    /// Whoever sends SIGTERM or SIGHUP sends SIGKILL soon.
    fn terminate(&self) {
        self.asked.send_replace(true);
        if self.hurry.swap(true, Ordering::AcqRel) {
            self.now();
        }
        let stop = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(ORDERLY).await;
            stop.now();
        });
    }

    /// Ends the process, whatever else it is waiting for.
    fn now(&self) {
        terminal::modes::restore();
        let failure = Failure::interrupted();
        // Standard error may be what everything is waiting for.
        let say = self.say;
        let (done, said) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            say.failure(&failure);
            terminal::leave();
            let _ = done.send(());
        });
        let _ = said.recv_timeout(SAYING);
        process::exit(Code::Interrupted as i32);
    }

    /// Waits until the program shall end.
    pub(crate) async fn asked(&self) {
        let mut asked = self.asked.subscribe();
        // The sender lives as long as `self`.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// An outcome that is good only if nobody has asked for the end before.
    pub(crate) fn or_interrupted(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        outcome.and_then(|()| match self.is_asked() {
            true => Err(Failure::interrupted()),
            false => Ok(()),
        })
    }

    /// Whether the program shall end.
    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }
}

/// From SIGTERM to the end, at most.
const ORDERLY: Duration = Duration::from_millis(1_800);

/// For the last line, if standard error takes it.
const SAYING: Duration = Duration::from_millis(100);
