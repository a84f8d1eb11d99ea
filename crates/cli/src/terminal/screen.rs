//! The terminal with a line editor: what arrives is printed above the line that is being typed.
//!
//! The editor is `reedline`, in a separate thread because it blocks while it waits for keys. Everything else that has to
//! happen on the screen interrupts that wait, erases the line, does its work, and lets a new editor continue the line.
//!
//! Why `reedline`: it accepts a bracketed paste as one text, can be interrupted from outside without losing the unfinished
//! line, and draws on standard error. `rustyline-async` has no bracketed paste and reads at most 1,024 bytes of one until a
//! key is pressed; `rustyline` cannot be interrupted while it waits for a key. reedline's printing above the line counts bytes
//! where it should count columns, so this module erases the line itself.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::Style;
use reedline::{
    Color, EditCommand, Emacs, FileBackedHistory, Highlighter, History as _, HistoryItem, KeyCode,
    KeyModifiers, Prompt as EditorPrompt, PromptEditMode, PromptHistorySearch, Reedline,
    ReedlineEvent, Signal, StyledText, default_emacs_keybindings,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::modes::{self, Wanted};
use super::rows::below_first;
use super::{Asked, CHANGES, EMPTY, Prompt, Request, Typed, printed};
use crate::say;
use crate::stop::Stop;

/// Starts the editor.
pub(super) fn start(
    requests: Receiver<Request>,
    wake: Arc<AtomicBool>,
    stop: Stop,
    prompt: Prompt,
) -> mpsc::Receiver<Typed> {
    let (typed, receiver) = mpsc::channel(TYPED);
    let screen = Screen {
        requests,
        wake,
        stop,
        typed,
        prompt,
        draft: Draft::default(),
        history: VecDeque::new(),
        waiting: VecDeque::new(),
        asked: None,
        reply: Draft::default(),
        ended: false,
    };
    std::thread::spawn(move || screen.run());
    receiver
}

struct Screen {
    requests: Receiver<Request>,
    wake: Arc<AtomicBool>,
    stop: Stop,
    typed: mpsc::Sender<Typed>,
    prompt: Prompt,
    /// The unfinished line of the conversation.
    draft: Draft,
    history: VecDeque<String>,
    waiting: VecDeque<Asked>,
    /// The question on the screen.
    asked: Option<Asked>,
    /// The unfinished answer to it.
    reply: Draft,
    /// The input has ended.
    ended: bool,
}

/// An unfinished line, and where its cursor is, in bytes.
#[derive(Debug, Clone, Default)]
struct Draft {
    text: String,
    cursor: usize,
}

impl Screen {
    fn run(mut self) {
        loop {
            // A request that arrives after this sets the flag again, which interrupts the editor immediately.
            self.wake.store(false, Ordering::Release);
            while let Ok(request) = self.requests.try_recv() {
                if self.on_request(request) {
                    return;
                }
            }
            self.ask_next();
            if self.ended {
                match self.requests.recv_timeout(Duration::from_secs(1)) {
                    Ok(request) => {
                        if self.on_request(request) {
                            return;
                        }
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            self.edit();
        }
    }

    /// Waits for a line, or for something else to do.
    fn edit(&mut self) {
        let shown = match &self.asked {
            Some(asked) => Shown {
                left: asked.question.prompt.clone(),
                indicator: "",
            },
            None => Shown {
                left: left(&self.prompt, columns()),
                indicator: "> ",
            },
        };
        let draft = match &self.asked {
            Some(_) => self.reply.clone(),
            None => self.draft.clone(),
        };
        let mut editor = self.editor(&draft);
        match editor.read_line(&shown) {
            Ok(Signal::ExternalBreak(text)) => {
                let draft = Draft {
                    cursor: editor.current_insertion_point().min(text.len()),
                    text,
                };
                let before = draft.text.get(..draft.cursor).unwrap_or_default();
                erase(below_first(
                    &format!("{}{before}", shown.plain()),
                    columns(),
                ));
                match &self.asked {
                    Some(_) => self.reply = draft,
                    None => self.draft = draft,
                }
            }
            Ok(Signal::Success(text)) => self.on_line(text, &shown),
            Ok(Signal::CtrlC) => {
                self.draft = Draft::default();
                self.answer(None);
                self.stop.interrupt();
                // No editor runs from here on, so a second Ctrl-C arrives as a signal.
                self.ended = true;
            }
            Ok(Signal::CtrlD) => {
                if self.asked.is_some() {
                    self.answer(None);
                } else {
                    self.end();
                }
            }
            Ok(Signal::HostCommand(_)) => {
                let text = editor.current_buffer_contents().to_owned();
                let cursor = editor.current_insertion_point().min(text.len());
                self.draft = Draft { text, cursor };
                println();
                suspend();
            }
            Ok(_) => {}
            Err(error) => {
                write(&format!("xtls: error: the terminal: {error}\n"));
                self.answer(None);
                self.end();
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        // A receiver that has gone does not need to know.
        let _ = self.typed.try_send(Typed::End);
    }

    fn on_line(&mut self, text: String, shown: &Shown) {
        if self.asked.is_some() {
            self.answer(Some(Zeroizing::new(text)));
            return;
        }
        // The conversation shows the line once it is sent.
        erase(below_first(&format!("{}{text}", shown.plain()), columns()) + 1);
        self.draft = Draft::default();
        EMPTY.store(true, Ordering::Relaxed);
        if text.trim().is_empty() {
            return;
        }
        if let Some(why) = &self.prompt.closed {
            write(&format!("{} not sent: {why}\n", mark()));
            self.keep(text);
            return;
        }
        let line = Typed::Line {
            conversation: self.prompt.conversation,
            text: text.clone(),
        };
        if self.typed.try_send(line).is_err() {
            write(&format!(
                "{} not sent: {TYPED} lines are waiting already\n",
                mark()
            ));
            self.keep(text);
            return;
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(text);
    }

    /// Keeps a line that could not be sent in the editor.
    fn keep(&mut self, text: String) {
        self.draft = Draft {
            cursor: text.len(),
            text,
        };
    }

    /// Handles a request. Returns whether it was the last one.
    fn on_request(&mut self, request: Request) -> bool {
        match request {
            Request::Print(text) => {
                printed(&text);
                write(&format!("{text}\n"));
            }
            Request::Prompt(prompt) => {
                if prompt.conversation != self.prompt.conversation
                    && !self.draft.text.trim().is_empty()
                {
                    let draft = std::mem::take(&mut self.draft);
                    // It was meant for someone else.
                    let text = say::shown(&draft.text);
                    write(&format!(
                        "{} what you were writing to {} was not sent: {text}\n",
                        mark(),
                        self.prompt.name
                    ));
                }
                self.prompt = prompt;
            }
            Request::Ask(asked) => self.waiting.push_back(asked),
            Request::Withdraw(number) => {
                self.waiting.retain(|asked| asked.number != number);
                if self.asked.as_ref().is_some_and(|a| a.number == number)
                    && let Some(asked) = self.asked.take()
                    && !asked.question.withdrawn.is_empty()
                {
                    write(&format!("{}\n", asked.question.withdrawn));
                }
            }
            Request::Read(_) => {}
            Request::Leave(done) => {
                let _ = done.send(());
                return true;
            }
        }
        false
    }

    fn ask_next(&mut self) {
        while self.asked.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            if next.answer.is_closed() {
                continue;
            }
            if self.ended {
                // No answer can be typed any more.
                let _ = next.answer.send(None);
                continue;
            }
            // Every key of an answer is typed after its question was shown.
            discard_input();
            self.reply = Draft::default();
            write(&say::fitted(&next.question.about));
            self.asked = Some(next);
        }
    }

    fn answer(&mut self, answer: Option<Zeroizing<String>>) {
        if let Some(asked) = self.asked.take() {
            let _ = asked.answer.send(answer);
        }
    }

    /// An editor that continues an unfinished line.
    fn editor(&self, draft: &Draft) -> Reedline {
        let mut keys = default_emacs_keybindings();
        keys.add_binding(
            KeyModifiers::CONTROL,
            KeyCode::Char('z'),
            ReedlineEvent::ExecuteHostCommand("suspend".to_owned()),
        );
        let mut editor = Reedline::create()
            .with_edit_mode(Box::new(Emacs::new(keys)))
            .with_highlighter(Box::new(Watch {
                last: Mutex::new(draft.text.clone()),
                line: self.asked.is_none(),
            }))
            // It is on all the time: see `modes`.
            .use_bracketed_paste(false)
            .with_ansi_colors(say::colours())
            .with_break_signal(Arc::clone(&self.wake))
            .with_poll_interval(POLL);
        if self.asked.is_none() {
            editor = editor.with_history(Box::new(self.recalled()));
        }
        if !draft.text.is_empty() {
            editor.run_edit_commands(&[
                EditCommand::InsertString(draft.text.clone()),
                EditCommand::MoveToPosition {
                    position: draft.cursor,
                    select: false,
                },
            ]);
        }
        editor
    }

    fn recalled(&self) -> FileBackedHistory {
        let mut history = FileBackedHistory::new(HISTORY).unwrap_or_default();
        for line in &self.history {
            let _ = history.save(HistoryItem::from_command_line(line));
        }
        history
    }
}

/// Counts changes of the line being typed, which the editor shows here after each of them. Changes no colour.
struct Watch {
    last: Mutex<String>,
    /// It is no answer to a question.
    line: bool,
}

impl Highlighter for Watch {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if self.line && *last != line {
            line.clone_into(&mut last);
            CHANGES.fetch_add(1, Ordering::Relaxed);
            EMPTY.store(line.trim().is_empty(), Ordering::Relaxed);
        }
        reedline::SimpleMatchHighlighter::default().highlight(line, 0)
    }
}

/// A prompt in the form that the editor expects.
struct Shown {
    left: String,
    indicator: &'static str,
}

impl Shown {
    fn plain(&self) -> String {
        format!("{}{}", self.left, self.indicator)
    }
}

impl EditorPrompt for Shown {
    fn render_prompt_left(&self) -> std::borrow::Cow<'_, str> {
        self.left.as_str().into()
    }

    fn render_prompt_right(&self) -> std::borrow::Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> std::borrow::Cow<'_, str> {
        self.indicator.into()
    }

    fn render_prompt_multiline_indicator(&self) -> std::borrow::Cow<'_, str> {
        "".into()
    }

    fn render_prompt_history_search_indicator(
        &self,
        search: PromptHistorySearch,
    ) -> std::borrow::Cow<'_, str> {
        format!(" (search: {}) ", search.term).into()
    }

    fn get_prompt_color(&self) -> Color {
        Color::Reset
    }

    fn get_indicator_color(&self) -> Color {
        Color::Reset
    }
}

/// The prompt, with undelivered lines and transfers above it.
fn left(prompt: &Prompt, columns: usize) -> String {
    let mut left = String::new();
    let hidden = prompt.undelivered.len().saturating_sub(UNDELIVERED);
    if hidden > 0 {
        left.push_str(&format!("… {hidden} more lines are not delivered yet\n"));
    }
    for line in prompt.undelivered.iter().skip(hidden) {
        let line = format!("… {}", line.replace('\n', " ⏎ "));
        left.push_str(&say::cut(&line, columns.saturating_sub(1)));
        left.push('\n');
    }
    for transfer in &prompt.transfers {
        left.push_str(&say::cut(transfer, columns.saturating_sub(1)));
        left.push('\n');
    }
    left.push_str(&prompt.name);
    if let Some(certainty) = &prompt.certainty {
        left.push_str(" · ");
        left.push_str(certainty);
    }
    left
}

fn mark() -> String {
    let style = if say::colours() {
        anstyle::AnsiColor::Yellow.on_default().bold()
    } else {
        Style::new()
    };
    format!("{style}xtls: warning:{style:#}")
}

/// Erases the screen from the row that is `rows` above the cursor down to the cursor.
fn erase(rows: usize) {
    if rows > 0 {
        write(&format!("\r\x1b[{rows}A\x1b[J"));
    } else {
        write("\r\x1b[J");
    }
}

/// Discards what was typed ahead, before the question could be read.
fn discard_input() {
    modes::discard_input();
    while crossterm::event::poll(Duration::ZERO).is_ok_and(|ready| ready) {
        if crossterm::event::read().is_err() {
            return;
        }
    }
}

/// Stops the process as Ctrl-Z does, with the terminal restored, until it is continued.
fn suspend() {
    modes::restore();
    // To this thread, which does not go on before the process is stopped: what follows would undo what was just restored.
    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTSTP);
    // Continued: the shell has returned the terminal.
    let _ = modes::change(Wanted::Editor);
}

fn columns() -> usize {
    crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns.max(1)))
}

fn println() {
    write("\n");
}

/// The editor writes to standard error too.
fn write(text: &str) {
    let mut error = io::stderr().lock();
    let _ = error.write_all(text.as_bytes());
    let _ = error.flush();
}

/// Typed lines that may wait for the conversation.
const TYPED: usize = 4096;

/// Lines that can be recalled.
const HISTORY: usize = 200;

/// Undelivered lines that are shown individually.
const UNDELIVERED: usize = 4;

/// How long arriving text may have to wait for the editor.
const POLL: Duration = Duration::from_millis(20);
