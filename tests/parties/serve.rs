//! Other people's clients at our server's end.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use xtls_link::{Accounts, Listener, Login, Served};
use xtls_stanza::{Address, Content, Envelope};
use xtls_tests::live::soon;

const DOMAIN: &str = "montague.example";
const PASSWORD: &str = "p\u{e4}ss & w\u{f6}rd";

/// Romeo's server.
struct Romeo;

impl Accounts for Romeo {
    async fn let_in(&self, login: &Login) -> bool {
        login.account().as_str() == format!("romeo@{DOMAIN}") && login.is_password(PASSWORD)
    }
}

/// A client, controlled by lines of JSON.
struct Client {
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    process: Child,
}

impl Client {
    fn start(library: &str, address: std::net::SocketAddr, password: &str) -> Self {
        let python = std::env::var("XTLS_INTEROP_PYTHON").expect(
            "XTLS_INTEROP_PYTHON is not set: run `cargo xtask test`, which installs the libraries",
        );
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/parties/client.py");
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let jid = format!("romeo@{DOMAIN}/orchard");
        let mut process = Command::new(python)
            .args(["-B", script, library, &host, &port, &jid, password])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python");
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            orders: process.stdin.take(),
            answers,
            process,
        }
    }

    async fn answer(&mut self) -> Value {
        let line = soon("a word of the client", self.answers.next_line()).await;
        let line = line.unwrap().expect("the client is still there");
        println!("the client: {line}");
        serde_json::from_str(&line).unwrap()
    }

    async fn say(&mut self, to: &str, body: &str) {
        let line = format!("{}\n", json!({ "to": to, "body": body }));
        let orders = self.orders.as_mut().unwrap();
        orders.write_all(line.as_bytes()).await.unwrap();
    }
}

async fn listen() -> Listener {
    let domain = Address::new(DOMAIN).unwrap();
    let address = ([127, 0, 0, 1], 0).into();
    Listener::bind(address, &[domain]).await.unwrap()
}

async fn refused(library: &str) {
    let listener = listen().await;
    let mut client = Client::start(library, listener.address().unwrap(), "wherefore");
    let serving = tokio::spawn(async move {
        // Some try again on another connection.
        while let Ok(arrival) = listener.accept().await {
            assert!(arrival.log_in(&Romeo).await.is_err());
        }
    });
    assert_eq!(client.answer().await["is"], "refused");
    serving.abort();
}

/// The next message, among whatever else clients say: requests are refused.
async fn message(served: &mut Served) -> Envelope {
    loop {
        let stanza = soon("a message", served.next()).await.unwrap();
        let stanza = stanza.expect("the client is still there");
        println!("it says {}", stanza.escape_ascii());
        let envelope = Envelope::read(&stanza).unwrap();
        match &envelope.content {
            Content::Message { .. } => return envelope,
            Content::Get(_) | Content::Set(_) => {
                let id = &envelope.id;
                let refused = format!(
                    "<iq type='error' id='{id}'><error type='cancel'>\
                     <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                );
                served.send(refused.as_bytes()).await.unwrap();
            }
            _ => {}
        }
    }
}

async fn talks(library: &str) {
    let listener = listen().await;
    let mut client = Client::start(library, listener.address().unwrap(), PASSWORD);
    let arrival = soon("a client", listener.accept()).await.unwrap();
    let mut served = soon("a log-in", arrival.log_in(&Romeo)).await.unwrap();
    let own = format!("romeo@{DOMAIN}/orchard");
    assert_eq!(served.address().as_str(), own);
    let talking = async {
        for number in 0..20 {
            let heard = message(&mut served).await;
            assert_eq!(
                heard.to.as_ref().unwrap().as_str(),
                "juliet@capulet.example"
            );
            let body = heard.body(None).unwrap().text;
            assert_eq!(body, format!("<by & by> \u{1f339} {number}"));
            let answer = format!(
                "<message from='juliet@capulet.example/balcony' to='{own}' type='chat'><body>{number} &amp; \u{1f339}</body></message>"
            );
            served.send(answer.as_bytes()).await.unwrap();
        }
        // Its good-bye, or that it hangs up.
        while let Ok(Some(_)) = soon("its end", served.next()).await {}
    };
    let asking = async {
        let online = client.answer().await;
        assert_eq!(
            (&online["is"], &online["jid"]),
            (&json!("online"), &json!(own))
        );
        for number in 0..20 {
            let body = format!("<by & by> \u{1f339} {number}");
            client.say("juliet@capulet.example", &body).await;
            let heard = client.answer().await;
            assert_eq!(heard["from"], "juliet@capulet.example/balcony");
            assert_eq!(heard["body"], format!("{number} & \u{1f339}"));
        }
        client.orders = None;
        soon("its end", client.process.wait()).await.unwrap();
    };
    tokio::join!(talking, asking);
}

#[tokio::test]
async fn slixmpp_is_refused_with_a_wrong_password() {
    refused("slixmpp").await;
}

#[tokio::test]
async fn aioxmpp_is_refused_with_a_wrong_password() {
    refused("aioxmpp").await;
}

#[tokio::test]
async fn slixmpp_logs_in_and_talks() {
    talks("slixmpp").await;
}

#[tokio::test]
async fn aioxmpp_logs_in_and_talks() {
    talks("aioxmpp").await;
}
