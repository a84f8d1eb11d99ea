//! A process of the program: what goes in, what comes out, and its events.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::soon;

/// A command line.
#[derive(Debug)]
pub struct Program {
    detached: bool,
    logging: bool,
    args: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// The program that `XTLS_BIN` names, with these arguments. None of this machine's own settings reach it.
    pub fn new(args: &[&str]) -> Self {
        Self {
            detached: false,
            logging: false,
            args: args.iter().map(OsString::from).collect(),
            environment: Vec::new(),
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Without an option that takes a value.
    #[must_use]
    pub fn without(mut self, option: &str) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == option) {
            self.args.drain(at..at + 2);
        }
        self
    }

    /// With sentences for people instead of events.
    #[must_use]
    pub fn without_json(mut self) -> Self {
        self.args.retain(|arg| arg != "--json");
        self
    }

    /// Logs everything that it can, to standard error between its events.
    #[must_use]
    pub fn logging(mut self) -> Self {
        self.logging = true;
        self.arg("-vvv")
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The command line: the program that `XTLS_BIN` names, and its arguments.
    pub(super) fn words(&self) -> Vec<OsString> {
        std::iter::once(binary())
            .chain(self.args.iter().cloned())
            .collect()
    }

    /// The variables of its environment besides those of the test.
    pub(super) fn variables(&self) -> &[(OsString, OsString)] {
        &self.environment
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let program = binary();
        let mut command = if self.detached {
            // A session of its own has no terminal.
            let mut command = Command::new("setsid");
            command.arg("--wait").arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(&self.args);
        for name in SETTINGS {
            command.env_remove(name);
        }
        command.envs(self.environment);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let (lines, reading) = lines(child.stdout.take().expect("piped"));
        let told = lines_of_text(child.stderr.take().expect("piped"));
        let input = child.stdin.take();
        Running {
            child,
            input,
            lines,
            reading,
            told,
            heard: Vec::new(),
            log: self.logging.then(Vec::new),
        }
    }

    /// Starts it without any terminal, whatever runs the tests.
    pub fn start_without_a_terminal(mut self) -> Running {
        self.detached = true;
        self.start()
    }

    /// Runs it with nothing on standard input until it ends.
    pub async fn run(self) -> Ended {
        self.start().end().await
    }
}

fn binary() -> OsString {
    std::env::var_os("XTLS_BIN").expect("XTLS_BIN is not set: run `cargo xtask test`")
}

/// Variables from which the program takes settings.
pub(super) const SETTINGS: [&str; 3] = ["XTLS_ACCOUNT", "XTLS_HOME", "XTLS_PASSWORD"];

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<Vec<u8>>,
    /// The task that reads standard output.
    reading: AbortHandle,
    told: mpsc::UnboundedReceiver<String>,
    /// Everything on standard error so far.
    heard: Vec<String>,
    /// What it has logged between, if it logs.
    log: Option<Vec<String>>,
}

/// Ends the standard input of both and waits for both to exit: one that has sent everything still receives from the
/// other.
pub async fn end_both(one: Running, other: Running) -> [Ended; 2] {
    let mut both = [one, other];
    both.iter_mut().for_each(Running::hush);
    let [one, other] = both;
    [one.end().await, other.end().await]
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The rest of standard output.
    pub output: Vec<Vec<u8>>,
    /// All of standard error, but for what it has logged.
    pub heard: Vec<String>,
    /// That.
    pub log: Vec<String>,
}

impl Running {
    /// Waits for the next event of this name.
    ///
    /// # Panics
    /// The process ends, or writes something other than JSON to standard error.
    pub async fn event(&mut self, name: &str) -> Value {
        let mut heard = std::mem::take(&mut self.heard);
        let waiting = async {
            while let Some(line) = self.told.recv().await {
                if let Some(log) = &mut self.log
                    && !line.starts_with('{')
                {
                    log.push(line);
                    continue;
                }
                let value = event(&line);
                heard.push(line);
                if value["event"] == name {
                    return value;
                }
            }
            panic!("it ended before it said {name:?}; it said {heard:#?}");
        };
        let value = soon(name, waiting).await;
        self.heard = heard;
        value
    }

    /// The next line of standard output, without its line end.
    pub async fn line(&mut self) -> Option<Vec<u8>> {
        soon("a line of output", self.lines.recv()).await
    }

    /// The next line of standard output as text.
    pub async fn text(&mut self) -> String {
        let line = self
            .line()
            .await
            .unwrap_or_else(|| panic!("its output ended; it said {:#?}", self.heard));
        String::from_utf8(line).expect("text")
    }

    /// Writes to standard input.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let input = self.input.as_mut().expect("its input is open");
        soon("room in its input", input.write_all(bytes.as_ref()))
            .await
            .expect("it reads");
    }

    /// Its standard input, for a task of its own.
    pub fn take_input(&mut self) -> ChildStdin {
        self.input.take().expect("its input is open")
    }

    /// Its standard output, for a task of its own: nothing arrives here any more.
    pub fn take_lines(&mut self) -> mpsc::UnboundedReceiver<Vec<u8>> {
        std::mem::replace(&mut self.lines, mpsc::unbounded_channel().1)
    }

    /// Stops reading its standard output, as `head` does.
    pub fn stop_reading(&mut self) {
        drop(self.take_lines());
        self.reading.abort();
    }

    /// Ends its standard input.
    pub fn hush(&mut self) {
        self.input = None;
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends it the signal of Ctrl-C.
    pub async fn interrupt(&self) {
        self.signal("INT").await;
    }

    /// Sends it a signal.
    pub async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\"", "signal", name, &id])
            .status()
            .await;
        assert!(sent.expect("a shell").success(), "no SIG{name} can be sent");
    }

    /// Ends its standard input and waits for it to exit.
    pub async fn end(mut self) -> Ended {
        self.hush();
        let mut output = Vec::new();
        while let Some(line) = soon("the end of its output", self.lines.recv()).await {
            output.push(line);
        }
        while let Some(line) = soon("the end of its messages", self.told.recv()).await {
            match &mut self.log {
                Some(log) if !line.starts_with('{') => log.push(line),
                _ => self.heard.push(line),
            }
        }
        let status = soon("its end", self.child.wait()).await.expect("a child");
        Ended {
            code: status.code(),
            output,
            heard: self.heard,
            log: self.log.unwrap_or_default(),
        }
    }
}

impl Ended {
    /// It exited with this code.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "it said {:#?}", self.heard);
        self
    }

    /// Its failure event contains `words`.
    #[track_caller]
    pub fn saying(&self, words: &str) -> &Self {
        let failed = self.failure();
        let said = format!("{} {}", failed["what"], failed["hint"]);
        assert!(
            said.contains(words),
            "{words:?} is not in {said}; it said {:#?}",
            self.heard
        );
        self
    }

    /// It wrote nothing to standard output.
    #[track_caller]
    pub fn silent(&self) -> &Self {
        let output: Vec<_> = self
            .output
            .iter()
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        assert!(output.is_empty(), "it wrote {output:#?}");
        self
    }

    /// The event of its failure.
    #[track_caller]
    pub fn failure(&self) -> Value {
        self.event("failed")
            .unwrap_or_else(|| panic!("no failure; it said {:#?}", self.heard))
    }

    /// The last event of this name.
    pub fn event(&self, name: &str) -> Option<Value> {
        self.events()
            .into_iter()
            .rfind(|value| value["event"] == name)
    }

    /// All events.
    pub fn events(&self) -> Vec<Value> {
        self.heard.iter().map(|line| event(line)).collect()
    }

    /// The JSON objects on standard output, one per line.
    pub fn objects(&self) -> Vec<Value> {
        self.text().lines().map(event).collect()
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.output.join(&b'\n')).expect("text")
    }
}

/// Every line on standard error is an event, and every line of an answer is an object.
fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

fn lines(
    from: impl AsyncRead + Unpin + Send + 'static,
) -> (mpsc::UnboundedReceiver<Vec<u8>>, AbortHandle) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        let mut from = BufReader::with_capacity(1 << 16, from);
        loop {
            let mut line = Vec::new();
            match from.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (receiver, reading.abort_handle())
}

fn lines_of_text(from: impl AsyncRead + Unpin + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (mut lines, _) = lines(from);
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}
