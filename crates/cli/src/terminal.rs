//! The one owner of the terminal: what a person types, and what a person is asked.
//!
//! Two parts of a program that read one terminal each get half of what is typed. So everything that reads it is here, in
//! one place that can be cancelled at any time: [`lines`] in a terminal's own line mode, [`screen`] with a line editor that
//! keeps what is being typed below what arrives.

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

/// Who reads it.
#[derive(Debug, Clone)]
enum Owner {
    Lines {
        requests: std::sync::mpsc::Sender<Request>,
        /// Ends its wait for a line.
        wake: Arc<PipeWriter>,
    },
    Screen {
        requests: std::sync::mpsc::Sender<Request>,
        /// Ends the line editor's wait for a key.
        wake: Arc<AtomicBool>,
    },
}

/// What the owner of the terminal is asked to do.
#[derive(Debug)]
enum Request {
    Ask(Asked),
    Withdraw(u64),
    Print(String),
    /// Whom typed lines go to from now on.
    Prompt(Prompt),
    /// Who takes what is typed while no question stands.
    Read(mpsc::Sender<Vec<u8>>),
    /// Put the terminal back and read no more.
    Leave(std::sync::mpsc::SyncSender<()>),
}

/// A question to the person.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    /// What it is about, in whole lines. Shown when it is asked.
    pub(crate) about: String,
    /// The question itself, at the end of which the answer is typed.
    pub(crate) prompt: String,
    /// The answer is not shown.
    pub(crate) secret: bool,
    /// What is said when the question is withdrawn while it stands on the screen.
    pub(crate) withdrawn: String,
}

#[derive(Debug)]
struct Asked {
    number: u64,
    question: Question,
    answer: oneshot::Sender<Option<Zeroizing<String>>>,
}

/// Whom a typed line goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// Which conversation: every line is returned with the number that stood here when Enter was pressed.
    pub(crate) conversation: u64,
    /// The peer's address, as shown.
    pub(crate) name: String,
    /// Lines on their way, oldest first.
    pub(crate) undelivered: Vec<String>,
    /// Why nothing can be sent now.
    pub(crate) closed: Option<String>,
}

/// What a person has typed.
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
    /// The terminal of this process in its line mode; `None` if there is none.
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

    /// The terminal of this process with a line editor, and what is typed into it. `None` if it is not for a person at both
    /// ends, or too simple for an editor.
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

    /// Asks the person. `None`: the end of the input, or no terminal any more. Dropping the answer withdraws the question.
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

    /// What is typed from now on, while no question stands. The terminal must be in its line mode.
    pub(crate) fn read(&self) -> mpsc::Receiver<Vec<u8>> {
        let (input, receiver) = mpsc::channel(1);
        self.request(Request::Read(input));
        receiver
    }

    /// Says whom typed lines go to.
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

/// Prints whole lines where they disturb neither a question nor what is being typed. `false`: no terminal is owned, so the
/// caller may write to standard error itself.
pub(crate) fn print(text: &str) -> bool {
    let Some(terminal) = current().clone() else {
        return false;
    };
    if WAITING.fetch_add(text.len() + 1, Ordering::AcqRel) > UNPRINTED {
        WAITING.fetch_sub(text.len() + 1, Ordering::AcqRel);
        // A terminal that shows nothing is behind by a mebibyte.
        return true;
    }
    terminal.request(Request::Print(text.to_owned()))
}

/// What has been printed waits no more.
fn printed(text: &str) {
    WAITING.fetch_sub(text.len() + 1, Ordering::AcqRel);
}

/// Prints what is waiting, puts the terminal back, and lets it go. What is said afterwards goes to standard error.
pub(crate) fn leave() {
    if let Some(terminal) = current().take() {
        let (done, left) = std::sync::mpsc::sync_channel(1);
        if terminal.request(Request::Leave(done)) {
            let _ = left.recv_timeout(LEAVING);
        }
    }
    modes::restore();
}

/// An answer that is waited for.
#[derive(Debug)]
pub(crate) struct Answer {
    number: u64,
    /// `None` once the answer is there.
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

/// Bytes that wait to be printed.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Bytes that may wait for a terminal that shows nothing (Ctrl-S); what comes after them is not shown.
const UNPRINTED: usize = 1_048_576;

/// How long the end waits for what is still to be printed.
const LEAVING: std::time::Duration = std::time::Duration::from_millis(150);
