//! The other end: a Python program with a third-party library, controlled by lines of JSON.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use xtls_stanza::Address;
use xtls_tests::keys;
use xtls_tests::live::person::Person;
use xtls_tests::live::soon;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Slixmpp,
    Aioxmpp,
}

pub(crate) struct Peer {
    address: Address,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Killed when dropped.
    _process: Child,
}

impl Peer {
    /// Starts the program and waits until it is logged in. `max_block` is for slixmpp.
    pub(crate) async fn start(library: Library, person: &Person, max_block: Option<u16>) -> Self {
        let python = std::env::var("XTLS_INTEROP_PYTHON").expect(
            "XTLS_INTEROP_PYTHON is not set: run `cargo xtask test`, which installs the libraries",
        );
        let library = match library {
            Library::Slixmpp => "slixmpp",
            Library::Aioxmpp => "aioxmpp",
        };
        let (host, port) = person.server().starttls();
        let mut process = Command::new(python)
            .args([
                "-B",
                concat!(env!("CARGO_MANIFEST_DIR"), "/interop/peer.py"),
            ])
            .args([library, &host, &port.to_string()])
            .arg(person.server().ca_file())
            .arg(person.at(library).as_str())
            .arg(person.password_file())
            .args(max_block.map(|block| block.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python");
        let orders = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut peer = Self {
            address: person.at(library),
            orders,
            answers,
            _process: process,
        };
        let online = peer.answer("the login").await;
        assert_eq!(online["is"], "online");
        peer.address = keys::address(online["jid"].as_str().expect("an address"));
        peer
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a command and waits until it has been executed.
    pub(crate) async fn ask(&mut self, order: impl ToString) -> Value {
        let answer = self.try_ask(&order.to_string()).await;
        assert_ne!(answer["is"], "failed", "{answer}");
        answer
    }

    /// Sends a command that the peer can't execute, and returns the reason.
    pub(crate) async fn fail(&mut self, order: impl ToString) -> String {
        let answer = self.try_ask(&order.to_string()).await;
        assert_eq!(answer["is"], "failed", "{answer}");
        answer["why"].as_str().expect("a reason").to_owned()
    }

    async fn try_ask(&mut self, order: &str) -> Value {
        let line = format!("{order}\n");
        self.orders
            .write_all(line.as_bytes())
            .await
            .expect("it listens");
        self.answer(order).await
    }

    async fn answer(&mut self, what: &str) -> Value {
        let line = soon(what, self.answers.next_line()).await;
        let line = line.expect("a line").expect("the peer still runs");
        serde_json::from_str(&line).expect("JSON")
    }
}
