//! Two programs over TCP on the loopback, one of which is killed in the middle, again and again.

#![cfg(all(feature = "tokio", unix))]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tokio::net::{TcpListener, TcpStream};
use xtls_files::{Decision, Destination, Receiving, Sending, Sources, receive, send};

const NAME: &str = "after_kills_of_either_program_the_file_is_complete_or_absent";

/// Another process that runs this same test and finds in its environment what to do.
struct Program {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(role: &str, path: &Path, port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env("XTLS_TEST_ROLE", role)
            .env("XTLS_TEST_PATH", path)
            .env("XTLS_TEST_PORT", port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// The number behind this word in what it says next; `None`: it has ended.
    fn next(&mut self, word: &str) -> Option<u64> {
        let lines = self.said.by_ref().map_while(Result::ok);
        // What the test harness says may stand before it.
        let mut numbers = lines.filter_map(|line| line.split_once(word)?.1.trim().parse().ok());
        numbers.next()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn act(role: &str, path: PathBuf) {
    if role == "receive" {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\nport {}", listener.local_addr().unwrap().port());
        let (stream, _) = listener.accept().await.unwrap();
        let destination = Destination::new(path, "romeo@montague.example");
        let events = |event: Receiving<'_>| {
            if let Receiving::Stored { offset, .. } = event {
                println!("\nstored {offset}");
            }
        };
        let received = receive(stream, destination, async |_| Decision::Accept, events).await;
        println!("\nended {}", u8::from(received.is_ok()));
        return;
    }
    let port: u16 = std::env::var("XTLS_TEST_PORT").unwrap().parse().unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let sources = Sources::collect([path]).unwrap();
    let events = |event: Sending<'_>| {
        if let Sending::Stored { offset, .. } | Sending::Began { offset, .. } = event {
            println!("\nstored {offset}");
        }
    };
    let sent = send(stream, sources, events).await;
    println!("\nended {}", u8::from(sent.is_ok()));
}

/// The file is complete or absent after each kill, goes on from where it was, and is complete in the end.
#[test]
fn after_kills_of_either_program_the_file_is_complete_or_absent() {
    if let Ok(role) = std::env::var("XTLS_TEST_ROLE") {
        return act(&role, std::env::var_os("XTLS_TEST_PATH").unwrap().into());
    }
    let number = |name: &str, otherwise: u64| {
        let set = std::env::var(name).ok();
        set.map_or(otherwise, |text| text.parse().unwrap())
    };
    let mut state = number("XTLS_SEED", 0x5eed_5eed) | 1;
    let kills = number("XTLS_KILLS", 20);
    println!("XTLS_SEED={state} XTLS_KILLS={kills}");
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };

    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, there) = (from.path().join("film"), to.path().join("film"));
    let words = usize::try_from(kills).unwrap() * 128_000;
    let content: Vec<u8> = std::iter::repeat_with(|| random().to_le_bytes())
        .take(words)
        .flatten()
        .collect();
    fs::write(&file, &content).unwrap();
    let (mut before, mut interrupted) = (0, 0);
    for round in 0..kills {
        let mut receiver = Program::start("receive", to.path(), 0);
        let port = receiver.next("port ").unwrap();
        let sender = Program::start("send", &file, u16::try_from(port).unwrap());
        let (mut victim, other) = match round % 2 {
            0 => (sender, receiver),
            _ => (receiver, sender),
        };
        // The moment is so many reports after the first.
        let reports = random() % 4;
        let mut stored = victim.next("stored ").unwrap_or_default();
        assert!(
            stored >= before,
            "round {round}: it began at {stored}, and {before} bytes were there"
        );
        for _ in 0..reports {
            stored = victim.next("stored ").unwrap_or(stored);
        }
        victim.kill();
        let mut other = other;
        assert!(other.next("ended ").is_some(), "round {round}");
        other.child.wait().unwrap();
        before = stored;
        interrupted = round + 1;
        if there.exists() {
            assert!(fs::read(&there).unwrap() == content, "round {round}");
            break;
        }
        let names = fs::read_dir(to.path()).unwrap().count();
        assert!(names <= 1, "round {round}: {names} files");
    }
    // How much goes over before a program is gone is up to the system.
    assert!(interrupted >= 3, "{interrupted}");
    let mut receiver = Program::start("receive", to.path(), 0);
    let port = receiver.next("port ").unwrap();
    let mut sender = Program::start("send", &file, u16::try_from(port).unwrap());
    assert_eq!(
        (sender.next("ended "), receiver.next("ended ")),
        (Some(1), Some(1))
    );
    assert!(fs::read(&there).unwrap() == content);
}
