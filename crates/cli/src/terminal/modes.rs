//! The modes of the terminal: changed in one place, and put back on every way out.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::termios::{
    self, ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector,
    Termios,
};

/// What has to be put back; `None` while nothing is changed.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);

struct Before {
    terminal: File,
    input: InputModes,
    output: OutputModes,
    control: ControlModes,
    local: LocalModes,
    /// A line editor may have switched on bracketed paste, or hidden the cursor.
    editor: bool,
}

/// What a part of the program wants of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Lines that nobody else at the screen can read.
    Secret,
    /// Every key at once and without an echo: what the line editor finds, and leaves, when it starts and stops.
    Editor,
}

/// Opens the terminal that this process belongs to.
pub(crate) fn open() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// Changes the modes, and remembers how they were.
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
        }
    }
    set(&terminal, &modes)
}

/// Puts everything back as it was before the first change. May be called at any time and from anywhere, more than once.
pub(crate) fn restore() {
    let Some(before) = lock().take() else {
        return;
    };
    let mut terminal = &before.terminal;
    if before.editor {
        let _ = terminal.write_all(b"\x1b[?2004l\x1b[?25h\x1b[0m");
    }
    if let Ok(mut modes) = termios::tcgetattr(terminal) {
        modes.input_modes = before.input;
        modes.output_modes = before.output;
        modes.control_modes = before.control;
        modes.local_modes = before.local;
        let _ = set(terminal, &modes);
    }
}

/// Throws away what was typed and not read yet: it cannot be about what is on the screen next.
pub(crate) fn discard_input() {
    if let Ok(terminal) = open() {
        let _ = termios::tcflush(terminal.as_fd(), QueueSelector::IFlush);
    }
}

fn set(terminal: &File, modes: &Termios) -> io::Result<()> {
    Ok(termios::tcsetattr(terminal, OptionalActions::Now, modes)?)
}

/// A panic elsewhere is no reason to leave the terminal as it is.
fn lock() -> MutexGuard<'static, Option<Before>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
