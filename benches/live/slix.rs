//! slixmpp at both ends, each in its own process: tests/interop/peer.py.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::link::Server;

pub(crate) struct Slixmpp {
    near: End,
    far: End,
}

struct End {
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Killed when dropped.
    _process: Child,
}

impl Slixmpp {
    /// A stream as `open_stream` opens it by default: iqs, blocks of 4096 bytes.
    pub(crate) async fn start(server: &Server, python: &str) -> Self {
        let mut near = End::start(server, python, "romeo").await;
        let mut far = End::start(server, python, "juliet").await;
        let to = format!("juliet@{}/slixmpp", server.fact("domain"));
        let open = json!({ "do": "open", "to": to, "block": 4096, "mode": "iq" });
        tokio::join!(near.ask(open), far.ask(json!({ "do": "accept" })));
        Self { near, far }
    }

    /// How long `sendall` takes, by the sender's own clock; it returns with the last answer.
    pub(crate) async fn run(&mut self, size: usize) -> Duration {
        let (sent, taken) = tokio::join!(
            self.near.ask(json!({ "do": "send", "size": size })),
            self.far.ask(json!({ "do": "take", "size": size })),
        );
        assert_eq!(sent["sent"], taken["read"], "what arrives is what was sent");
        Duration::from_secs_f64(sent["seconds"].as_f64().expect("seconds"))
    }
}

impl End {
    async fn start(server: &Server, python: &str, account: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop/peer.py");
        let jid = format!("{account}@{}/slixmpp", server.fact("domain"));
        let mut process = Command::new(python)
            .args(["-B", script, "slixmpp", "127.0.0.1"])
            .arg(server.port().to_string())
            .args([server.fact("ca_file"), &jid, server.password_file(account)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python");
        let orders = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut end = Self {
            orders,
            answers,
            _process: process,
        };
        end.answer().await;
        end
    }

    async fn ask(&mut self, order: Value) -> Value {
        let line = format!("{order}\n");
        self.orders
            .write_all(line.as_bytes())
            .await
            .expect("it listens");
        self.answer().await
    }

    async fn answer(&mut self) -> Value {
        let line = self.answers.next_line().await.expect("a line");
        let answer: Value =
            serde_json::from_str(&line.expect("the peer still runs")).expect("JSON");
        assert_ne!(answer["is"], "failed", "{answer}");
        answer
    }
}
