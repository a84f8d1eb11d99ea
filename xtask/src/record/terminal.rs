//! A terminal of 24 × 80 with a shell in it, emulated by tmux.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::screen::Screen;

/// Dropping it ends the shell.
#[derive(Debug)]
pub(super) struct Terminal {
    socket: String,
    title: String,
}

impl Terminal {
    /// A shell at `home`, with the programs in `programs`. `name` is like no other in this run.
    pub(super) fn open(title: &str, name: &str, home: &Path, programs: &Path) -> Result<Self> {
        let socket = format!("xtls-record-{}-{name}", std::process::id());
        let terminal = Self {
            socket,
            title: title.to_owned(),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let home = home.display();
        let variables = [
            format!("HOME={home}"),
            format!("XDG_CONFIG_HOME={home}"),
            format!("XDG_DATA_HOME={home}"),
            format!("XTLS_HOME={home}/xtls"),
            format!("PATH={}:{path}", programs.display()),
            "PS1=$ ".to_owned(),
            "LC_ALL=C.UTF-8".to_owned(),
            "TERM=xterm-256color".to_owned(),
            "TZ=UTC".to_owned(),
        ];
        let folder = home.to_string();
        let mut args = vec!["-f", "/dev/null", "new-session", "-d"];
        args.extend(["-x", "80", "-y", "24", "-c", &folder, "env", "-i"]);
        args.extend(variables.iter().map(String::as_str));
        args.extend(["bash", "--norc", "--noprofile"]);
        terminal.tmux(&args)?;
        terminal.wait_for("$")?;
        Ok(terminal)
    }

    /// Runs the program without a terminal, and returns what it says.
    pub(super) fn run(home: &Path, programs: &Path, args: &[&str]) -> Result<String> {
        let output = Command::new(programs.join("xtls"))
            .args(args)
            .env("XTLS_HOME", home.join("xtls"))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "xtls {args:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn tmux(&self, args: &[&str]) -> Result<Output> {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.socket])
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env_remove("TMUX")
            .output()
            .context("tmux")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tmux {args:?}: {said}");
        Ok(output)
    }

    pub(super) fn types(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", "--", text]).map(drop)
    }

    /// Presses a key by tmux's name.
    pub(super) fn presses(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// What is visible, lines as long as they were written.
    pub(super) fn text(&self) -> Result<String> {
        let output = self.tmux(&["capture-pane", "-p", "-J"])?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What is visible, with its colours.
    pub(super) fn screen(&self) -> Result<Screen> {
        let output = self.tmux(&["capture-pane", "-p", "-e"])?;
        let cursor = self.tmux(&["display-message", "-p", "#{cursor_x} #{cursor_y}"])?;
        let cursor = String::from_utf8(cursor.stdout)?;
        let (column, row) = cursor.trim().split_once(' ').context("a cursor")?;
        Ok(Screen::read(
            &self.title,
            &String::from_utf8(output.stdout)?,
            (column.parse()?, row.parse()?),
        ))
    }

    /// Waits until this is visible, wherever its lines are broken, and returns everything that is.
    pub(super) fn wait_for(&self, words: &str) -> Result<String> {
        let unbroken = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.wait_until(words, |text| unbroken(text).contains(&unbroken(words)))
    }

    /// Waits until so many prompts of the shell are visible.
    pub(super) fn wait_for_prompts(&self, prompts: usize) -> Result<String> {
        let is_prompt = |line: &&str| line.trim_end() == "$" || line.starts_with("$ ");
        self.wait_until("the shell's prompt", |text| {
            text.lines().filter(is_prompt).count() >= prompts
        })
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Result<String> {
        let since = Instant::now();
        loop {
            let text = self.text()?;
            if is_so(&text) {
                return Ok(text);
            }
            if since.elapsed() > PATIENCE {
                bail!("waited in vain for {what:?}; {} shows\n{text}", self.title);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

/// How long something may take.
const PATIENCE: Duration = Duration::from_secs(60);
