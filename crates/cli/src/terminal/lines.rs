//! The terminal in its own line mode: one question at a time, and lines of input in between.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::sync::mpsc::{Receiver, TryRecvError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::modes::{self, Wanted};
use super::{Asked, Request, printed};
use crate::say;

/// Starts the owner in a separate thread. The terminal is read only while a question is open, or if its lines are input. A
/// byte in `wake` signals a request.
pub(super) fn start(terminal: File, requests: Receiver<Request>, wake: PipeReader) {
    let lines = Lines {
        terminal,
        requests,
        wake,
        waiting: VecDeque::new(),
        asked: None,
        typed: Zeroizing::new(Vec::with_capacity(LONGEST)),
        input: None,
    };
    std::thread::spawn(move || lines.run());
}

struct Lines {
    terminal: File,
    requests: Receiver<Request>,
    wake: PipeReader,
    waiting: VecDeque<Asked>,
    /// The question on the screen.
    asked: Option<Asked>,
    typed: Zeroizing<Vec<u8>>,
    /// Where to send typed input while no question is open.
    input: Option<mpsc::Sender<Vec<u8>>>,
}

impl Lines {
    fn run(mut self) {
        loop {
            loop {
                match self.requests.try_recv() {
                    Ok(Request::Leave(done)) => {
                        let _ = done.send(());
                        return;
                    }
                    Ok(request) => self.on_request(request),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.ask_next();
            if self.wait() {
                self.read();
            }
        }
    }

    /// Waits for a request or for typed input, if that is wanted. Returns whether there is input to read.
    fn wait(&mut self) -> bool {
        let mut slow = false;
        let wanted = match &self.input {
            _ if self.asked.is_some() => true,
            Some(input) => {
                slow = input.capacity() == 0;
                !slow
            }
            None => false,
        };
        let (wake, terminal) = (&self.wake, &self.terminal);
        let mut fds = vec![PollFd::new(wake, PollFlags::IN)];
        if wanted {
            fds.push(PollFd::new(terminal, PollFlags::IN));
        }
        // The receiver is slow: check again soon whether it has room.
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: 20_000_000,
        };
        if poll(&mut fds, slow.then_some(&patience)).is_err() {
            return false;
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let (woken, typed) = (ready(0), ready(1));
        if woken {
            let mut signs = [0; 64];
            let _ = self.wake.read(&mut signs);
        }
        // A request may withdraw the question, so it goes first.
        typed && !woken
    }

    fn ask_next(&mut self) {
        while self.asked.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            // No one is waiting for the answer, or the terminal would echo a secret.
            if next.answer.is_closed()
                || (next.question.secret && modes::change(Wanted::Secret).is_err())
            {
                continue;
            }
            self.typed.clear();
            modes::discard_input();
            self.write(&say::fitted(&next.question.about));
            self.write(&next.question.prompt);
            self.asked = Some(next);
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Ask(asked) => self.waiting.push_back(asked),
            Request::Withdraw(number) => {
                self.waiting.retain(|asked| asked.number != number);
                if self.asked.as_ref().is_some_and(|a| a.number == number)
                    && let Some(asked) = self.done()
                {
                    self.write("\n");
                    if !asked.question.withdrawn.is_empty() {
                        self.write(&asked.question.withdrawn);
                        self.write("\n");
                    }
                    modes::discard_input();
                }
            }
            Request::Print(text) => {
                printed(&text);
                match &self.asked {
                    // On separate lines, with the question repeated below.
                    Some(asked) => self.write(&format!("\n{text}\n{}", asked.question.prompt)),
                    None => self.write(&format!("{text}\n")),
                }
            }
            Request::Read(input) => self.input = Some(input),
            Request::Prompt(_) | Request::Leave(_) => {}
        }
    }

    /// Reads typed input: in this mode, a line or the end of the input.
    fn read(&mut self) {
        let mut piece = Zeroizing::new([0; LONGEST]);
        let read = match self.terminal.read(piece.as_mut_slice()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            read => read.unwrap_or(0),
        };
        let piece = piece.get(..read).unwrap_or_default();
        if self.asked.is_some() {
            self.typed.extend_from_slice(piece);
            self.on_answer(read == 0);
        } else if let Some(input) = &self.input
            && (read == 0 || input.try_send(piece.to_vec()).is_err())
        {
            self.input = None;
        }
    }

    fn on_answer(&mut self, end: bool) {
        let whole = self.typed.contains(&b'\n');
        if !whole && !end && self.typed.len() < LONGEST {
            return;
        }
        let Some(asked) = self.done() else {
            return;
        };
        let line = self.typed.split(|byte| *byte == b'\n').next();
        let answer = line
            .filter(|_| whole)
            .and_then(|line| std::str::from_utf8(line).ok())
            .map(|line| Zeroizing::new(line.trim_end_matches('\r').to_owned()));
        if !whole || asked.question.secret {
            self.write("\n");
        }
        let _ = asked.answer.send(answer);
        // Anything typed after the line answers no question.
        self.typed.clear();
    }

    /// Closes the question on the screen.
    fn done(&mut self) -> Option<Asked> {
        let asked = self.asked.take()?;
        if asked.question.secret {
            modes::restore();
        }
        Some(asked)
    }

    /// Writes to the terminal. If it is gone, no one is left to inform.
    fn write(&self, text: &str) {
        let _ = (&self.terminal).write_all(text.as_bytes());
    }
}

/// The longest line that a terminal delivers.
const LONGEST: usize = 4096;
