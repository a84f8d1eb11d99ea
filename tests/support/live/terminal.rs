//! A terminal of 24 × 80 with the program in it, emulated by tmux: what is typed, and what a person sees.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::program::{Program, SETTINGS};
use super::soon;

/// The terminal, and the shell in it that runs the program. Dropping it ends both.
#[derive(Debug)]
pub struct Terminal {
    socket: String,
    folder: TempDir,
    /// A copy of every byte that the terminal gets: a signal to look at it again.
    output: pipe::Receiver,
}

/// How the program left the terminal.
#[derive(Debug)]
pub struct Left {
    /// Its exit code, as the shell reports it.
    pub code: i32,
    /// `stty -a` before it began, and after it ended.
    pub modes: [String; 2],
}

impl Terminal {
    /// Runs the program, its standard streams on the terminal.
    pub fn run(program: &Program) -> Self {
        Self::line(program, "")
    }

    /// The same, with something after the command line for the shell, such as `<in >out`. The shell is in a folder of
    /// this terminal's own.
    pub fn line(program: &Program, behind: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut line = OsString::from("env");
        for name in SETTINGS {
            line.push(format!(" -u {name}"));
        }
        for (name, value) in program.variables() {
            line.push(" ");
            line.push(quoted(name));
            line.push("=");
            line.push(quoted(value));
        }
        for word in program.words() {
            line.push(" ");
            line.push(quoted(&word));
        }
        let fifo = folder.path().join("output");
        let made = Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("mkfifo").success(), "no pipe");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let socket = format!("xtls-{}-{number}", std::process::id());
        // Both ends, so that opening it doesn't wait for a writer.
        let output = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&fifo)
            .expect("a pipe");
        // With job control, as in a shell that people use: the program is in its own process group.
        let script = format!(
            "cd {folder}; tmux -L {socket} wait-for go; stty -a >before; set -m; {line} {behind}; code=$?\n\
             while [ $code = 148 ]; do echo '[the program is stopped]'; read -r line; fg; code=$?; done\n\
             echo $code >code; stty -a >after; echo; echo '[the program has ended]'; exec cat",
            folder = quoted(folder.path().as_os_str()).to_string_lossy(),
            line = line.to_string_lossy(),
        );
        let terminal = Self {
            socket,
            folder,
            output,
        };
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "bash",
            "-c",
            &script,
        ]);
        terminal.tmux(&["set-option", "-g", "history-limit", "10000"]);
        let copy = format!("cat >>{}", quoted(fifo.as_os_str()).to_string_lossy());
        terminal.tmux(&["pipe-pane", "-O", &copy]);
        terminal.tmux(&["wait-for", "-S", "go"]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.socket])
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .output()
            .expect("tmux");
        assert!(
            output.status.success(),
            "tmux {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// Everything on the screen, and what has scrolled off, with lines as long as they were written.
    pub fn text(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-J", "-S", "-10000"]);
        String::from_utf8(output.stdout).expect("text")
    }

    /// The 24 visible rows.
    pub fn rows(&self) -> Vec<String> {
        let output = self.tmux(&["capture-pane", "-p"]);
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|row| row.trim_end().to_owned()).collect()
    }

    /// The visible rows, with their colours and styles.
    pub fn escapes(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-e", "-S", "-10000"]);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Waits until this is visible, and returns everything visible.
    ///
    /// # Panics
    /// It doesn't appear in time.
    pub async fn shows(&mut self, words: &str) -> String {
        self.until(words, |text| text.contains(words)).await
    }

    /// Waits until the screen is as it should be.
    ///
    /// # Panics
    /// It doesn't become so in time.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        let waiting = async {
            let mut sign = [0; 4096];
            loop {
                text = self.text();
                if is_so(&text) {
                    return;
                }
                let read = self.output.read(&mut sign).await;
                assert!(read.expect("its output") > 0, "the terminal is gone");
            }
        };
        if tokio::time::timeout(super::PATIENCE, waiting)
            .await
            .is_err()
        {
            panic!(
                "waited in vain for {what:?}; the terminal shows\n{}",
                self.text()
            );
        }
        text
    }

    /// Types text.
    pub fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    /// Presses a key by tmux's name: `Enter`, `C-c`, `Up`.
    pub fn presses(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Types a line.
    pub fn enters(&self, line: &str) {
        self.types(line);
        self.presses("Enter");
    }

    /// Pastes text as terminals do, bracketed if the program has requested that.
    pub fn pastes(&self, text: &str) {
        let file = self.folder.path().join("paste");
        std::fs::write(&file, text).expect("a file");
        self.tmux(&["load-buffer", &file.display().to_string()]);
        self.tmux(&["paste-buffer", "-p", "-r"]);
    }

    /// Resizes the terminal.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&[
            "resize-window",
            "-x",
            &columns.to_string(),
            "-y",
            &rows.to_string(),
        ]);
    }

    /// The process of the program, or those of a pipeline, one per line: the children of the terminal's shell.
    pub fn process(&self) -> String {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = String::from_utf8(shell.stdout).expect("text");
        let children = Command::new("pgrep")
            .args(["-P", shell.trim()])
            .output()
            .expect("pgrep");
        String::from_utf8(children.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    /// The process with this name among the children of the terminal's shell.
    pub fn process_named(&self, name: &str) -> String {
        for child in self.process().lines() {
            let path = format!("/proc/{child}/comm");
            if std::fs::read_to_string(path).is_ok_and(|comm| comm.trim() == name) {
                return child.to_owned();
            }
        }
        panic!("no {name} runs in the terminal")
    }

    /// Sends the program a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.process()])
            .status();
        assert!(sent.expect("kill").success(), "no SIG{name} can be sent");
    }

    /// A file in the shell's folder.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for the program to exit.
    pub async fn end(&mut self) -> Left {
        self.shows("[the program has ended]").await;
        let read = |name: &str| {
            let path = self.folder.path().join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        Left {
            code: read("code").trim().parse().expect("a code"),
            modes: [read("before"), read("after")],
        }
    }

    /// Waits for the program to exit; it must leave the terminal as it was.
    pub async fn ends_with(&mut self, code: i32) -> String {
        let left = soon("the end of the program", self.end()).await;
        let text = self.text();
        assert_eq!(left.code, code, "{text}");
        let [before, after] = left.modes;
        assert_eq!(before, after, "the terminal is not as it was\n{text}");
        text
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .output();
    }
}

/// Quotes one word for a shell.
fn quoted(word: &OsStr) -> OsString {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''")).into()
}

static NEXT: AtomicU32 = AtomicU32::new(0);
