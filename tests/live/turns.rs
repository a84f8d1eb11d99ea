//! Wrong turns of somebody who begins: each ends with the right exit code, and says what to do next. docs/FIRST-USE.md lists them all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Ended, Program, end_both};
use xtls_tests::live::puppet::Puppet;
use xtls_tests::live::secure::Secure;
use xtls_tests::live::server::Server;
use xtls_tests::live::terminal::Terminal;

// ── The server ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A certificate with its key, for servers of `names`.
fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params
}

/// An authority, and a file with its certificate.
fn authority(person: &Person, name: &str) -> (Issuer<'static, KeyPair>, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = person.file(name);
    std::fs::write(&file, certificate.pem()).unwrap();
    (Issuer::new(params, key), file)
}

/// A port on which a server proves itself by this certificate, and then says nothing that XMPP knows.
async fn server(certificate: &rcgen::Certificate, key: &KeyPair) -> String {
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(xtls_tls::default_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
                // What is unread at the end would reset the connection, and take the greeting with it.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    });
    address
}

fn listen(person: &Person, server: &str, more: &[&str]) -> Program {
    let program = person.online(&["chat", "--listen", "--accept", "any"]);
    program
        .without("--server")
        .args(["--server", server])
        .args(more)
}

async fn by_tls(person: &Person, server: &str, ca_file: &Path) -> Ended {
    let program = listen(person, server, &["--direct-tls"]).without("--ca-file");
    program.arg("--ca-file").arg(ca_file).run().await
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_says_why_and_what_to_do() {
    let romeo = Person::new(&Server::free(), "romeo");
    let (issuer, known) = authority(&romeo, "known.pem");
    let (_, unknown) = authority(&romeo, "unknown.pem");
    let key = KeyPair::generate().unwrap();
    let run = async |params: CertificateParams, ca_file: &Path| {
        let certificate = params.signed_by(&key, &issuer).unwrap();
        by_tls(&romeo, &server(&certificate, &key).await, ca_file).await
    };
    let other = run(params(&["capulet.example"]), &known).await;
    other
        .expect(3)
        .silent()
        .saying("capulet.example")
        .saying("is the domain of the account right?");
    let mut old = params(&["localhost"]);
    old.not_after = date_time_ymd(2021, 5, 3);
    let old = run(old, &known).await;
    old.expect(3)
        .silent()
        .saying("it expired on 3 May 2021")
        .saying("has to renew it");
    let mut early = params(&["localhost"]);
    (early.not_before, early.not_after) = (date_time_ymd(2199, 5, 3), date_time_ymd(2200, 5, 3));
    let early = run(early, &known).await;
    early
        .expect(3)
        .silent()
        .saying("3 May 2199")
        .saying("the clock of this machine");
    let stranger = run(params(&["localhost"]), &unknown).await;
    stranger
        .expect(3)
        .silent()
        .saying("--ca-file")
        .saying("--pin-server ");
}

#[tokio::test]
async fn the_servers_own_certificate_as_the_ca_file_is_accepted_and_no_other() {
    let romeo = Person::new(&Server::free(), "romeo");
    // As `openssl req -x509` makes them: an authority that has signed itself.
    let own = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[name]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let file = romeo.file(&format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).unwrap();
        (certificate, key, file)
    };
    let (certificate, key, file) = own("localhost");
    let address = server(&certificate, &key).await;
    // It gets past the certificate, to a server that does not speak XMPP.
    by_tls(&romeo, &address, &file)
        .await
        .expect(3)
        .silent()
        .saying("is it an XMPP server");
    let (certificate, key, other) = own("capulet.example");
    let elsewhere = server(&certificate, &key).await;
    by_tls(&romeo, &elsewhere, &other)
        .await
        .expect(3)
        .saying("capulet.example");
    by_tls(&romeo, &address, &other)
        .await
        .expect(3)
        .saying("--ca-file");
}

#[tokio::test]
async fn the_wrong_kind_of_port_is_named_with_the_option_for_it() {
    let romeo = Person::new(&Server::free(), "romeo");
    let port = |(host, port): (String, u16)| format!("{host}:{port}");
    let starttls = port(romeo.server().starttls());
    let ended = listen(&romeo, &starttls, &["--direct-tls"]).run().await;
    ended.expect(3).silent().saying("needs no --direct-tls");
    let direct = port(romeo.server().direct_tls());
    let ended = listen(&romeo, &direct, &[]).run().await;
    ended.expect(3).silent().saying("needs --direct-tls");
}

#[tokio::test]
async fn an_account_that_the_server_does_not_have_is_told_to_be_checked() {
    let romeo = Person::new(&Server::free(), "romeo");
    let program = romeo
        .online(&["chat", "--listen", "--accept", "any"])
        .without("--account");
    let ended = program.args(["--account", "nobody@localhost"]).run().await;
    ended
        .expect(3)
        .silent()
        .saying("not-authorized")
        .saying("check the address nobody@localhost");
    // A domain that the server at this place does not serve.
    let program = romeo
        .online(&["chat", "--listen", "--accept", "any"])
        .without("--account");
    let ended = program
        .args(["--account", "romeo@montague.example"])
        .run()
        .await;
    ended
        .expect(3)
        .silent()
        .saying("is the account's address right");
}

// ── The peer ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_peer_whose_domain_the_server_cannot_reach_is_told_as_that() {
    let romeo = Person::new(&Server::free(), "romeo");
    let ended = romeo
        .online(&["chat", "juliet@nowhere.invalid"])
        .run()
        .await;
    ended
        .expect(4)
        .silent()
        .saying("nowhere.invalid")
        .saying("is the address right?");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_are_told_with_the_limit_and_the_wait_at_both_ends() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address();
    let args = [
        "chat",
        "--listen",
        "--resource",
        "limited",
        "--accept",
        accept.as_str(),
    ];
    let mut hers = juliet
        .online(&args)
        .args(["--limit", "opens-per-minute-known=1"])
        .start();
    hers.event("listening").await;
    let to = juliet.at("limited");
    romeo.online(&["chat", to.as_str()]).run().await.expect(0);
    let ended = romeo.online(&["chat", to.as_str()]).run().await;
    ended
        .expect(4)
        .silent()
        .saying("accepts 1 open a minute")
        .saying("try again in ")
        .saying("--limit opens-per-minute-known=N");
    let told = hers.event("turned_away").await;
    assert_eq!(told["limit"], "opens-per-minute-known");
    hers.interrupt().await;
    hers.end().await.expect(130);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_refuses_our_key_is_told_on_the_terminal_with_what_to_do() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let accept = romeo.address();
    let more = ["--accept", accept.as_str(), "--trust", "pinned"];
    let hers = juliet.listen("chat", "refusing", &more).await;
    let program = romeo.online(&["chat", juliet.at("refusing").as_str(), "--trust", "tofu"]);
    let mut his = Terminal::run(&program.without_json());
    let text = his.ends_with(5).await;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("does not accept our key"), "{text}");
    assert!(
        words.contains("ask them to compare your `xtls id`"),
        "{text}"
    );
    hers.end().await.expect(5).saying("xtls trust pin");
}

/// Juliet's terminal, on which she is asked about every key that she does not know.
async fn asking(romeo: &Person, juliet: &Person, resource: &str) -> Terminal {
    let accept = romeo.address();
    let args = [
        "chat",
        "--listen",
        "--resource",
        resource,
        "--accept",
        accept.as_str(),
        "--trust",
        "ask",
    ];
    let mut hers = Terminal::run(&juliet.online(&args).without_json());
    hers.shows("listening as").await;
    hers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_waits_for_the_peers_answer_and_keeps_its_line_until_then() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let mut hers = asking(&romeo, &juliet, "asking").await;
    let program = romeo.online(&["chat", juliet.at("asking").as_str(), "--trust", "tofu"]);
    let mut his = Terminal::run(&program.without_json());
    his.shows("waiting for juliet@localhost to accept your key")
        .await;
    hers.shows("First group of the key of romeo@localhost")
        .await;
    his.enters("are you there?");
    his.shows("not sent: juliet@localhost has not accepted you yet")
        .await;
    hers.enters(&romeo.fingerprint().hex()[..8]);
    // Her key was taken at first sight, which is not passed over in silence.
    let text = his
        .shows("juliet@localhost · not verified> are you there?")
        .await;
    assert!(
        text.contains("first contact: key pinned, not yet verified"),
        "{text}"
    );
    his.presses("Enter");
    hers.shows("romeo@localhost: are you there?").await;
    his.until("the mark to go", |text| {
        text.contains("you: are you there?") && !text.contains("… are")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_withdrawn_when_its_caller_is_gone() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let mut hers = asking(&romeo, &juliet, "leaving").await;
    let puppet = Puppet::login(&romeo, "leaving").await;
    let mut secure = Secure::open(puppet, &juliet.at("leaving"), Some(&romeo.identity())).await;
    secure.handshake().await.unwrap();
    hers.shows("First group of the key of romeo@localhost")
        .await;
    hers.types("half an ans");
    secure.cut().await;
    hers.shows("(The tunnel with romeo@localhost has ended: nothing was accepted.)")
        .await;
    hers.until("the prompt for nobody", |text| {
        text.trim_end().ends_with("(no one)>")
    })
    .await;
}

/// Its server keeps its session for it, so that nobody else says that it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_was_killed_is_missed_after_fifteen_seconds() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address();
    let hers = juliet
        .listen("chat", "killed", &["--accept", accept.as_str()])
        .await;
    let program = romeo.online(&["chat", juliet.at("killed").as_str()]);
    let mut his = Terminal::run(&program.without_json());
    his.shows("juliet@localhost · verified> ").await;
    hers.signal("KILL").await;
    hers.end().await;
    his.enters("are you there?");
    his.shows("juliet@localhost has not confirmed your line for 15 s")
        .await;
    his.presses("C-c");
    his.shows("press Ctrl-C again").await;
    his.presses("C-c");
    his.ends_with(130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_end_says_goodbye_within_two_seconds() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let accept = romeo.address();
    for verb in ["chat", "stanzas"] {
        let mut hers = juliet
            .listen(verb, "term", &["--accept", accept.as_str()])
            .await;
        let mut his = romeo.online(&[verb, juliet.at("term").as_str()]).start();
        his.event("established").await;
        let began = Instant::now();
        his.signal("TERM").await;
        hers.event("peer_finished").await;
        his.end().await.expect(130);
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{verb}: {:?}",
            began.elapsed()
        );
        drop(hers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_more_to_say_need_not_wait_for_the_other() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut hers = juliet
        .listen("stanzas", "quick", &["--accept", romeo.address().as_str()])
        .await;
    let mut his = romeo
        .online(&["stanzas", "-N", juliet.at("quick").as_str()])
        .start();
    his.say("<message id='1'/>").await;
    // Her input stays open.
    his.end().await.expect(0);
    assert!(hers.text().await.contains("id='1'"));
    // Without it, what is waited for is said.
    let hers = juliet
        .listen("stanzas", "slow", &["--accept", romeo.address().as_str()])
        .await;
    let mut his = romeo
        .online(&["stanzas", juliet.at("slow").as_str()])
        .start();
    his.event("established").await;
    his.hush();
    let waiting = his.event("waiting").await;
    assert_eq!(waiting["peer"], juliet.at("slow").as_str());
    for ended in end_both(his, hers).await {
        ended.expect(0);
    }
}
