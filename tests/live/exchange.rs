//! The main task: two processes exchange stanzas, and the servers see none of them.

use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use xtls_stanza::{Content, Element, Envelope, MessageKind, Payload, Stanza};
use xtls_tests::live::canary::{Canary, Log, encode};
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Program, Running};
use xtls_tests::live::puppet::Puppet;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;
use xtls_tests::live::speech::{Said, Speech};

/// A conversation between two processes running at the same time.
struct Course {
    seed: u64,
    count: usize,
    longest: usize,
}

impl Course {
    /// `XTLS_SEED` repeats a run.
    fn new(count: usize, longest: usize) -> Self {
        let mut seed = [0; 8];
        xtls_client::random(&mut seed).unwrap();
        let given = std::env::var("XTLS_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from_le_bytes(seed));
        println!("XTLS_SEED={seed}");
        Self {
            seed,
            count,
            longest,
        }
    }

    fn canary(&self) -> Canary {
        Canary::new(self.seed)
    }

    fn speech(&self, who: u64, from: &Person, to: &Person) -> Vec<Said> {
        let (from, to) = (from.at(&self.resource()), to.at(&self.resource()));
        let mut speech = Speech::new(self.seed.wrapping_add(who), &from, &to, &self.canary());
        (0..self.count)
            .map(|_| speech.next_up_to(self.longest))
            .collect()
    }

    fn resource(&self) -> String {
        format!("exchange-{:x}", self.seed)
    }

    /// Both send everything at the same time and read what the other sends; then both end, in order.
    async fn run(
        &self,
        romeo: &Person,
        juliet: &Person,
        reach: impl Fn(&Person, &[&str]) -> Program,
    ) {
        let resource = self.resource();
        let listen = [
            "stanzas",
            "--listen",
            "--once",
            "--resource",
            &resource,
            "--accept",
            romeo.address().as_str(),
        ]
        .map(str::to_owned);
        let mut listener = reach(juliet, &listen.each_ref().map(String::as_str)).start();
        listener.event("listening").await;
        let to = juliet.at(&resource).to_string();
        let mut initiator = reach(romeo, &["stanzas", &to, "--resource", &resource]).start();

        let started = Instant::now();
        let speeches = [self.speech(1, romeo, juliet), self.speech(2, juliet, romeo)];
        assert!(
            speeches.iter().flatten().any(|said| said.canary),
            "no canary in any stanza"
        );
        let bytes: usize = speeches.iter().flatten().map(|said| said.input.len()).sum();
        let [ours, theirs] = speeches;
        let speaking = [speak(&mut initiator, &ours), speak(&mut listener, &theirs)];
        let reading = [hear(&mut listener, ours), hear(&mut initiator, theirs)];
        for established in [
            initiator.event("established").await,
            listener.event("established").await,
        ] {
            assert_eq!(established["standing"], "verified");
            assert_eq!(established["bound"], true);
        }
        for task in speaking.into_iter().chain(reading) {
            task.await.unwrap();
        }
        let took = started.elapsed();
        for process in [initiator, listener] {
            let ended = process.end().await;
            ended.expect(0).silent();
            let closed = ended.event("closed").unwrap();
            assert_eq!(closed["clean"], true);
            assert_eq!(closed["unconfirmed"], 0);
            assert!(ended.event("failed").is_none());
        }
        println!(
            "{} stanzas, {bytes} bytes in {took:.1?}: {:.0} kB/s",
            self.count * 2,
            bytes as f64 / 1000.0 / took.as_secs_f64()
        );
    }
}

/// Writes everything to standard input and closes it.
fn speak(process: &mut Running, said: &[Said]) -> JoinHandle<()> {
    let inputs: Vec<_> = said.iter().map(|said| said.input.clone()).collect();
    let input = process.take_input();
    tokio::spawn(write(input, inputs))
}

async fn write(mut input: ChildStdin, lines: Vec<String>) {
    for line in lines {
        soon("room in its input", input.write_all(line.as_bytes()))
            .await
            .unwrap();
    }
}

/// A stanza as the program writes one.
fn canonical(stanza: &str) -> Vec<u8> {
    let stanza = Stanza::read(&Bytes::copy_from_slice(stanza.as_bytes())).expect("a stanza");
    let mut line = Vec::new();
    stanza
        .write_line(&mut line)
        .expect("what was read can be written");
    line
}

/// Compares each line of standard output, up to its end.
fn hear(process: &mut Running, said: Vec<Said>) -> JoinHandle<()> {
    tokio::spawn(compare(process.take_lines(), said))
}

async fn compare(mut lines: mpsc::UnboundedReceiver<Vec<u8>>, said: Vec<Said>) {
    for (number, said) in said.iter().enumerate() {
        let Some(line) = soon("a line", lines.recv()).await else {
            panic!("the output ends before stanza {number}");
        };
        let wanted = canonical(&said.output);
        if line != wanted {
            let at = line.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
            let around = |bytes: &[u8]| {
                let piece = &bytes[at.saturating_sub(60)..bytes.len().min(at + 60)];
                String::from_utf8_lossy(piece).into_owned()
            };
            let (found, wanted) = (around(&line), around(&wanted));
            panic!(
                "stanza {number} of {} bytes differs at {at}:\n{found}\n{wanted}",
                said.input.len()
            );
        }
    }
    if let Some(line) = soon("the end of the output", lines.recv()).await {
        panic!("more than was said: {}", String::from_utf8_lossy(&line));
    }
}

fn starttls(person: &Person, args: &[&str]) -> Program {
    person.online(args)
}

fn direct_tls(person: &Person, args: &[&str]) -> Program {
    let (host, port) = person.server().direct_tls();
    person.online(args).without("--server").args([
        "--server",
        &format!("{host}:{port}"),
        "--direct-tls",
    ])
}

/// Sends another canary in the clear, raw and in base64 in every position: all four are found in the log, so a canary
/// that is not found there was not seen.
async fn assert_unseen(log: &Log, course: &Course, romeo: &Person, juliet: &Person) {
    let control = Canary::new(!course.seed);
    let mut said = vec![control.word().to_owned()];
    said.extend(
        (0..3).map(|shift| encode(format!("{}{}", "x".repeat(shift), control.word()).as_bytes())),
    );
    let mut receiver = Puppet::login(juliet, &course.resource()).await;
    let sender = Puppet::login(romeo, &course.resource()).await;
    for (number, text) in said.into_iter().enumerate() {
        let body = Element::new("body", "jabber:client").with_text(text);
        let payloads = vec![Payload::Other(body)];
        let content = Content::Message {
            kind: MessageKind::Chat,
            payloads,
            error: None,
        };
        let id = format!("control-{number}");
        sender.send(Envelope {
            from: None,
            to: Some(receiver.own().clone()),
            id: id.clone(),
            content,
        });
        while receiver.other("the control").await.id != id {}
    }
    let seen = log.read();
    assert_eq!(
        control.found_in(&seen),
        ["raw", "base64 + 0", "base64 + 1", "base64 + 2"]
    );
    assert_eq!(course.canary().found_in(&seen), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_stanzas_each_way_and_the_server_sees_none() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let log = Log::begin(romeo.server());
    let course = Course::new(1000, Speech::LONGEST);
    course.run(&romeo, &juliet, starttls).await;
    assert_unseen(&log, &course, &romeo, &juliet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stanzas_each_way_over_direct_tls() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let log = Log::begin(romeo.server());
    let course = Course::new(100, 20_000);
    course.run(&romeo, &juliet, direct_tls).await;
    assert_unseen(&log, &course, &romeo, &juliet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ejabberd_carries_stanzas_each_way() {
    let (romeo, juliet) = Person::pair(&Server::ejabberd());
    Course::new(200, 50_000)
        .run(&romeo, &juliet, starttls)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ejabberd_carries_stanzas_each_way_over_direct_tls() {
    let (romeo, juliet) = Person::pair(&Server::ejabberd());
    Course::new(50, 20_000)
        .run(&romeo, &juliet, direct_tls)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttling_server_is_no_reason_to_give_up() {
    let (romeo, juliet) = Person::pair(&Server::stock());
    Course::new(20, 10_000).run(&romeo, &juliet, starttls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_direction_ends_and_the_other_goes_on() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut listener = juliet
        .listen("stanzas", "half", &["--accept", romeo.address().as_str()])
        .await;
    let to = juliet.at("half");
    let mut initiator = romeo
        .online(&["stanzas", to.as_str(), "--resource", "half"])
        .start();
    initiator.say("<message id='last'/>").await;
    initiator.hush();
    listener.event("peer_finished").await;
    assert!(listener.text().await.contains("id='last'"));
    for number in 0..50 {
        listener.say(format!("<message id='m{number}'/>")).await;
        assert!(initiator.text().await.contains(&format!("id='m{number}'")));
    }
    listener.end().await.expect(0).silent();
    initiator.end().await.expect(0).silent();
}
