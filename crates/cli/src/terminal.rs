//! The single owner of the terminal, for typed input and for questions.
//!
//! If two parts of a program read the same terminal, each gets half of what is typed. So only this module reads it, and every
//! read can be cancelled at any time: [`lines`] uses the terminal's own line mode, [`screen`] a line editor that keeps the
//! line being typed below what arrives.

mod lines;
pub(crate) mod modes;
mod rows;
mod screen;

use std::future::Future;
use std::io::{IsTerminal as _, PipeWriter, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::stop::Stop;

/// The terminal of this process.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    owner: Owner,
}

/// The thread that reads it.
#[derive(Debug, Clone)]
enum Owner {
    Lines {
        requests: std::sync::mpsc::Sender<Request>,
        /// Interrupts its wait for a line.
        wake: Arc<PipeWriter>,
    },
    Screen {
        requests: std::sync::mpsc::Sender<Request>,
        /// Interrupts the line editor's wait for a key.
        wake: Arc<AtomicBool>,
    },
}

/// A request to the owner of the terminal.
#[derive(Debug)]
enum Request {
    Ask(Asked),
    Withdraw(u64),
    Print(String),
    /// Where typed lines go from now on.
    Prompt(Prompt),
    /// Where to send typed input while no question is open.
    Read(mpsc::Sender<Vec<u8>>),
    /// Restore the terminal and stop reading.
    Leave(std::sync::mpsc::SyncSender<()>),
}

/// A question to the user.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    /// The explanation, in whole lines, shown above the question.
    pub(crate) about: String,
    /// The question itself; the answer is typed behind it.
    pub(crate) prompt: String,
    /// The answer is not echoed.
    pub(crate) secret: bool,
    /// Shown if the question is withdrawn while it is on the screen.
    pub(crate) withdrawn: String,
}

#[derive(Debug)]
struct Asked {
    number: u64,
    question: Question,
    answer: oneshot::Sender<Option<Zeroizing<String>>>,
}

/// The prompt, which shows where a typed line goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// The number of the conversation. Every line is returned with the number that was current when Enter was pressed.
    pub(crate) conversation: u64,
    /// The peer's address, as shown to the user.
    pub(crate) name: String,
    /// How certain it is that this is the peer, once something is known about that.
    pub(crate) certainty: Option<String>,
    /// Undelivered lines, oldest first.
    pub(crate) undelivered: Vec<String>,
    /// How far files have come that are on their way.
    pub(crate) transfers: Vec<String>,
    /// Why nothing can be sent at the moment.
    pub(crate) closed: Option<String>,
}

/// The line being typed in an editor, without what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Typing {
    /// How often the line has changed.
    pub(crate) changes: u64,
    pub(crate) empty: bool,
}

/// Typed input.
#[derive(Debug)]
pub(crate) enum Typed {
    Line {
        conversation: u64,
        text: String,
    },
    /// Ctrl-D.
    End,
}

impl Terminal {
    /// Opens the terminal of this process in its line mode; `None` if there is none.
    pub(crate) fn open() -> Option<Self> {
        let terminal = modes::open().ok()?;
        let (woken, wake) = std::io::pipe().ok()?;
        let (requests, receiver) = std::sync::mpsc::channel();
        lines::start(terminal, receiver, woken);
        let terminal = Self {
            owner: Owner::Lines {
                requests,
                wake: Arc::new(wake),
            },
        };
        terminal.own();
        Some(terminal)
    }

    /// Opens the terminal of this process with a line editor, and returns what is typed into it. `None` if a standard stream is
    /// not a terminal, or if the terminal is too simple for an editor.
    pub(crate) fn screen(stop: Stop, prompt: Prompt) -> Option<(Self, mpsc::Receiver<Typed>)> {
        let person = std::io::stdin().is_terminal()
            && std::io::stdout().is_terminal()
            && std::io::stderr().is_terminal();
        if !person || std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
        {
            return None;
        }
        modes::change(modes::Wanted::Editor).ok()?;
        let (requests, receiver) = std::sync::mpsc::channel();
        let wake = Arc::new(AtomicBool::new(false));
        let typed = screen::start(receiver, Arc::clone(&wake), stop, prompt);
        let terminal = Self {
            owner: Owner::Screen { requests, wake },
        };
        terminal.own();
        Some((terminal, typed))
    }

    fn own(&self) {
        if std::io::stderr().is_terminal() {
            *current() = Some(self.clone());
        }
    }

    /// Asks the user. `None`: the input has ended, or the terminal is gone. Dropping the answer withdraws the question.
    pub(crate) fn ask(&self, question: Question) -> Answer {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.request(Request::Ask(Asked {
            number,
            question,
            answer: sender,
        }));
        Answer {
            number,
            terminal: Some(self.clone()),
            answer,
        }
    }

    /// Returns what is typed from now on while no question is open. The terminal must be in its line mode.
    pub(crate) fn read(&self) -> mpsc::Receiver<Vec<u8>> {
        let (input, receiver) = mpsc::channel(1);
        self.request(Request::Read(input));
        receiver
    }

    /// Changes the prompt.
    pub(crate) fn prompt(&self, prompt: Prompt) {
        self.request(Request::Prompt(prompt));
    }

    fn request(&self, request: Request) -> bool {
        match &self.owner {
            Owner::Lines { requests, wake } => {
                let taken = requests.send(request).is_ok();
                let _ = (&**wake).write(&[0]);
                taken
            }
            Owner::Screen { requests, wake } => {
                let taken = requests.send(request).is_ok();
                wake.store(true, Ordering::Release);
                taken
            }
        }
    }
}

/// Prints whole lines without disturbing a question or the line being typed. `false`: no terminal is open here, so the caller
/// may write to standard error itself.
pub(crate) fn print(text: &str) -> bool {
    let Some(terminal) = current().clone() else {
        return false;
    };
    if WAITING.fetch_add(text.len() + 1, Ordering::AcqRel) > UNPRINTED {
        WAITING.fetch_sub(text.len() + 1, Ordering::AcqRel);
        // The terminal is blocked, and a mebibyte behind: drop the text.
        return true;
    }
    terminal.request(Request::Print(text.to_owned()))
}

/// How far the line being typed is.
pub(crate) fn typing() -> Typing {
    Typing {
        changes: CHANGES.load(Ordering::Relaxed),
        empty: EMPTY.load(Ordering::Relaxed),
    }
}

/// Accounts for text that has been printed.
fn printed(text: &str) {
    WAITING.fetch_sub(text.len() + 1, Ordering::AcqRel);
}

/// Prints what is queued, restores the terminal and releases it. Later messages go to standard error.
pub(crate) fn leave() {
    if let Some(terminal) = current().take() {
        let (done, left) = std::sync::mpsc::sync_channel(1);
        if terminal.request(Request::Leave(done)) {
            let _ = left.recv_timeout(LEAVING);
        }
    }
    modes::restore_for_good();
}

/// A pending answer.
#[derive(Debug)]
pub(crate) struct Answer {
    number: u64,
    /// `None` once the answer has arrived.
    terminal: Option<Terminal>,
    answer: oneshot::Receiver<Option<Zeroizing<String>>>,
}

impl Future for Answer {
    type Output = Option<Zeroizing<String>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = Pin::new(&mut self.answer).poll(context);
        answered.map(|answer| {
            self.terminal = None;
            answer.ok().flatten()
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(terminal) = self.terminal.take() {
            terminal.request(Request::Withdraw(self.number));
        }
    }
}

/// The terminal that lines are printed on.
static CURRENT: Mutex<Option<Terminal>> = Mutex::new(None);

fn current() -> std::sync::MutexGuard<'static, Option<Terminal>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The line being typed: see [`Typing`].
static CHANGES: AtomicU64 = AtomicU64::new(0);

static EMPTY: AtomicBool = AtomicBool::new(true);

/// Bytes that are queued for printing.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Bytes that may be queued for a blocked terminal (Ctrl-S); further text is dropped.
const UNPRINTED: usize = 1_048_576;

/// How long to wait for queued text at the end.
const LEAVING: std::time::Duration = std::time::Duration::from_millis(150);
