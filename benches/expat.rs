//! expat, in a separate process that times itself. `cargo xtask bench` builds it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The running program; dropping this ends it.
pub struct Expat {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Expat {
    /// Starts the program on the workloads, which it reads from files in this folder.
    pub fn start(program: &OsStr, folder: &Path) -> Self {
        let files = crate::workloads().map(|(name, stream)| {
            let path = folder.join(name).with_extension("xml");
            std::fs::write(&path, stream).expect("a folder to write to");
            path
        });
        let mut child = Command::new(program)
            .args(files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the driver that `cargo xtask bench` builds");
        let answers = child.stdout.take().expect("a pipe");
        Self {
            questions: child.stdin.take(),
            answers: BufReader::new(answers),
            child,
        }
    }

    /// CPU time to parse one of the workloads this many times.
    pub fn parse(&mut self, workload: usize, times: u64) -> Duration {
        let questions = self.questions.as_mut().expect("open until it is dropped");
        writeln!(questions, "{workload} {times}").expect("a living driver");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("an answer");
        Duration::from_nanos(answer.trim().parse().expect("nanoseconds"))
    }
}

impl Drop for Expat {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.child.wait();
    }
}
