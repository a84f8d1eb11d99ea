//! The modes of the terminal: changed in one place, and restored on every way out.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::termios::{
    self, ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector,
    Termios,
};

/// What to restore; `None` while nothing is changed.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    terminal: File,
    input: InputModes,
    output: OutputModes,
    control: ControlModes,
    local: LocalModes,
    /// A line editor may have enabled bracketed paste, or hidden the cursor.
    editor: bool,
}

/// The mode that a part of the program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Lines without an echo, for secrets.
    Secret,
    /// Every key at once and without an echo, and pastes marked as such: what the line editor finds, and leaves, when it starts
    /// and stops.
    Editor,
}

/// Opens the terminal that this process belongs to.
pub(crate) fn open() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// Changes the modes, and remembers the original ones.
pub(crate) fn change(wanted: Wanted) -> io::Result<()> {
    let terminal = open()?;
    let mut modes = termios::tcgetattr(&terminal)?;
    let mut before = lock();
    let before = before.get_or_insert(Before {
        terminal: terminal.try_clone()?,
        input: modes.input_modes,
        output: modes.output_modes,
        control: modes.control_modes,
        local: modes.local_modes,
        editor: false,
    });
    match wanted {
        Wanted::Secret => modes.local_modes.remove(LocalModes::ECHO),
        Wanted::Editor => {
            before.editor = true;
            modes
                .local_modes
                .remove(LocalModes::ECHO | LocalModes::ICANON);
            // What is typed or pasted while no editor reads is read by the next one, which takes Enter for a carriage return.
            modes.input_modes.remove(InputModes::ICRNL);
        }
    }
    set(&terminal, &modes)?;
    if wanted == Wanted::Editor {
        // From the first editor to the last: a paste that came between two would fall apart into lines.
        (&terminal).write_all(b"\x1b[?2004h")?;
    }
    Ok(())
}

/// Restores the state before the first change, for as long as nothing is changed again.
pub(crate) fn restore() {
    if let Some(before) = lock().take() {
        before.restore();
    }
}

/// The same on a way out. May be called at any time, from anywhere, and more than once: an editor that another thread has begun
/// meanwhile leaves the modes that it found, so whoever comes last restores them.
pub(crate) fn restore_for_good() {
    if let Some(before) = &*lock() {
        before.restore();
    }
}

impl Before {
    fn restore(&self) {
        let mut terminal = &self.terminal;
        if self.editor {
            let _ = terminal.write_all(b"\x1b[?2004l\x1b[?25h\x1b[0m");
        }
        if let Ok(mut modes) = termios::tcgetattr(terminal) {
            modes.input_modes = self.input;
            modes.output_modes = self.output;
            modes.control_modes = self.control;
            modes.local_modes = self.local;
            let _ = set(terminal, &modes);
        }
    }
}

/// Discards input that was typed but not read yet: it cannot refer to what is shown next.
pub(crate) fn discard_input() {
    if let Ok(terminal) = open() {
        let _ = termios::tcflush(terminal.as_fd(), QueueSelector::IFlush);
    }
}

fn set(terminal: &File, modes: &Termios) -> io::Result<()> {
    Ok(termios::tcsetattr(terminal, OptionalActions::Now, modes)?)
}

/// Ignores poisoning: even after a panic, the terminal has to be restored.
fn lock() -> MutexGuard<'static, Option<Before>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
