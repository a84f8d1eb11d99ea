//! A server's process, and its end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a server may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// Interval between two checks on a server that is starting or stopping.
const LOOK: Duration = Duration::from_millis(20);

/// A running server. It ends when this is dropped, and also when this program is killed.
pub(crate) struct Running {
    name: &'static str,
    folder: PathBuf,
    /// What to run, once or again.
    command: Command,
    process: Child,
    /// Waits for the end of its input, which comes when this program ends in any way; then stops the server.
    guard: Child,
}

impl Running {
    /// Runs the command in `folder`, where its output goes to `console.log`.
    pub(crate) fn start(name: &'static str, mut command: Command, folder: &Path) -> Result<Self> {
        let console = File::create(folder.join("console.log"))?;
        // In their own process groups: an interrupt from the keyboard reaches only this program, and the guard does the
        // rest.
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .process_group(0);
        let (process, guard) = spawn(name, &mut command)?;
        Ok(Self {
            name,
            folder: folder.to_owned(),
            command,
            process,
            guard,
        })
    }

    /// Kills it without any warning, as a crash or a loss of power would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        // The guard first: the number of a process that has ended may be given to another one.
        self.guard.kill()?;
        self.guard.wait()?;
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        drop(self.guard.stdin.take());
        while let Ok(None) = self.process.try_wait() {
            if Instant::now() > deadline {
                eprintln!("{} does not stop: killing it", self.name);
                if let Err(error) = self
                    .process
                    .kill()
                    .and_then(|()| self.process.wait().map(drop))
                {
                    eprintln!("cannot kill {}: {error}", self.name);
                }
                break;
            }
            std::thread::sleep(LOOK);
        }
        if let Err(error) = self.guard.wait() {
            eprintln!("cannot wait for the guard of {}: {error}", self.name);
        }
    }

    /// Starts it again after its end.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        (self.process, self.guard) = spawn(self.name, &mut self.command)?;
        Ok(())
    }

    /// Waits until something answers on the port.
    pub(crate) fn wait_for(&mut self, port: u16) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.wait_until(&format!("does not answer on port {port}"), || {
            TcpStream::connect_timeout(&address, PATIENCE).ok()
        })?;
        Ok(())
    }

    /// Polls until the condition holds; `else_says` is the error if it does not.
    pub(crate) fn wait_until<T>(
        &mut self,
        else_says: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let name = self.name;
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("{name} ended with {status}:\n{}", last_words(&self.folder));
            }
            if Instant::now() > deadline {
                bail!("{name} {else_says}:\n{}", last_words(&self.folder));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server's process, and its guard.
fn spawn(name: &str, command: &mut Command) -> Result<(Child, Child)> {
    let mut process = command
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let guard = Command::new("sh")
        .args(["-c", "cat >/dev/null; kill \"$1\" 2>/dev/null", "guard"])
        .arg(process.id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    match guard {
        Ok(guard) => Ok((process, guard)),
        Err(error) => {
            process.kill()?;
            process.wait()?;
            Err(error).context("cannot run sh")
        }
    }
}

/// The end of the output of the server in this folder.
pub(crate) fn last_words(folder: &Path) -> String {
    let mut words = String::new();
    for name in ["console.log", "prosody.log", "ejabberd.log"] {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(20)) {
            words.push_str(line);
            words.push('\n');
        }
    }
    words
}
