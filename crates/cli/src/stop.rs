//! Signals: the first ends the program in order, the second immediately.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::{Code, Failure};
use crate::say::Say;
use crate::terminal;

/// A request to end the program, shared by everything that has to react to it.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    asked: Arc<watch::Sender<bool>>,
    hurry: Arc<AtomicBool>,
    /// The user knows what is waited for.
    told: Arc<AtomicBool>,
    say: Say,
}

impl Stop {
    /// Listens for Ctrl-C (SIGINT), SIGTERM, SIGHUP and SIGQUIT.
    ///
    /// # Errors
    /// The operating system refuses a signal handler.
    pub(crate) fn listen(say: Say) -> std::io::Result<Self> {
        let stop = Self {
            asked: Arc::new(watch::channel(false).0),
            hurry: Arc::default(),
            told: Arc::default(),
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
        tokio::spawn(stop.clone().explain());
        Ok(stop)
    }

    /// Says what is waited for, unless the end comes at once.
    async fn explain(self) {
        self.asked().await;
        tokio::time::sleep(MOMENT).await;
        self.closing("closing in order, and still waiting for the other end");
    }

    /// Says that the end may take a while, and how to have it now. Once is enough.
    pub(crate) fn closing(&self, what: &str) {
        if !self.told.swap(true, Ordering::AcqRel) {
            let text = format_args!("{what} (press Ctrl-C again to end at once)");
            self.say.event("closing", &[], text);
        }
    }

    fn follow(&self, mut signal: Signal, act: fn(&Self)) {
        let stop = self.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                act(&stop);
            }
        });
    }

    /// Ctrl-C: the first one ends everything in order, the second one immediately.
    pub(crate) fn interrupt(&self) {
        if self.asked.send_replace(true) {
            self.now();
        }
    }

    /// SIGTERM or SIGHUP: SIGKILL is likely to follow soon, so the orderly end has a deadline.
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

    /// Exits immediately, whatever the process is waiting for.
    fn now(&self) {
        terminal::modes::restore_for_good();
        let failure = Failure::interrupted();
        // Everything may be blocked on standard error.
        let say = self.say;
        let (done, said) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            say.failure(&failure);
            terminal::leave();
            let _ = done.send(());
        });
        let _ = said.recv_timeout(SAYING);
        terminal::modes::restore_for_good();
        process::exit(Code::Interrupted as i32);
    }

    /// Waits for a request to end.
    pub(crate) async fn asked(&self) {
        let mut asked = self.asked.subscribe();
        // The sender lives as long as `self`.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// Turns a success into an interruption if the program was asked to end.
    pub(crate) fn or_interrupted(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        outcome.and_then(|()| match self.is_asked() {
            true => Err(Failure::interrupted()),
            false => Ok(()),
        })
    }

    /// Whether the program was asked to end.
    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }
}

/// The longest time from SIGTERM to the end.
const ORDERLY: Duration = Duration::from_millis(1_800);

/// How long an end may take of which nothing is said.
const MOMENT: Duration = Duration::from_millis(300);

/// How long to wait for standard error to take the last line.
const SAYING: Duration = Duration::from_millis(100);
