//! A name server on the loopback that says what a test wants.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ProtocolConfig};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::rdata::{A, CNAME, SRV};
use hickory_resolver::proto::rr::{Name, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const SERVICE: &str = "_xmpp-client._tcp";
const ASKED: &str = "_xmpp-client._tcp.example.org.";

/// What it answers, to all or over UDP only.
type Answer = fn(&mut Message);

struct NameServer {
    servers: NameServers,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// `udp` and `tcp` fill the answers in; without them nothing is answered.
    async fn start(udp: Option<Answer>, tcp: Option<Answer>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let udp_port = socket.local_addr().unwrap().port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let tcp_port = listener.local_addr().unwrap().port();
        let over_udp = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((read, from)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = answer(&buffer[..read], udp, &over_udp) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let over_tcp = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let len = stream.read_u16().await.unwrap();
                let mut query = vec![0; usize::from(len)];
                stream.read_exact(&mut query).await.unwrap();
                if let Some(answer) = answer(&query, tcp, &over_tcp) {
                    let len = u16::try_from(answer.len()).unwrap();
                    stream.write_u16(len).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
        let connection = |protocol, port| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = port;
            connection
        };
        let server = NameServerConfig::new(
            Ipv4Addr::LOCALHOST.into(),
            true,
            vec![
                connection(ProtocolConfig::Udp, udp_port),
                connection(ProtocolConfig::Tcp, tcp_port),
            ],
        );
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut options = ResolverOpts::default();
        options.timeout = Duration::from_secs(1);
        options.attempts = 1;
        Self {
            servers: NameServers::new(config, options).unwrap(),
            asked,
        }
    }

    async fn says(answer: Answer) -> Result<SrvAnswer, Cause> {
        let server = Self::start(Some(answer), None).await;
        server.servers.look_up(SERVICE, "example.org").await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(query: &[u8], fill: Option<Answer>, asked: &Mutex<Vec<String>>) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).unwrap();
    let question = query.queries.first().unwrap();
    assert_eq!(question.query_type(), RecordType::SRV);
    asked.lock().unwrap().push(question.name().to_ascii());
    let fill = fill?;
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.add_query(question.clone());
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    fill(&mut message);
    Some(message.to_vec().unwrap())
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn add(message: &mut Message, owner: &str, data: RData) {
    message.add_answer(Record::from_rdata(name(owner), 60, data));
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(target)))
}

fn record(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv {
        priority,
        weight,
        port,
        target: target.to_owned(),
    }
}

#[tokio::test]
async fn a_failure_of_the_name_server_is_not_a_missing_record() {
    let failures: [Answer; 5] = [
        |message| message.metadata.response_code = ResponseCode::Unknown(11),
        |message| message.metadata.response_code = ResponseCode::ServFail,
        |message| message.metadata.response_code = ResponseCode::Refused,
        |message| message.metadata.response_code = ResponseCode::FormErr,
        |message| message.metadata.response_code = ResponseCode::NotImp,
    ];
    for failure in failures {
        let answer = NameServer::says(failure).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_server_that_does_not_answer_is_not_a_missing_record() {
    let server = NameServer::start(None, None).await;
    let answer = server.servers.look_up(SERVICE, "example.org").await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn a_name_that_is_not_there_and_one_without_records_have_no_records() {
    let absences: [Answer; 3] = [
        |message| message.metadata.response_code = ResponseCode::NXDomain,
        |_| {},
        |message| add(message, ASKED, RData::A(A::new(192, 0, 2, 1))),
    ];
    for absence in absences {
        assert_eq!(NameServer::says(absence).await, Ok(SrvAnswer::NoRecords));
    }
}

#[tokio::test]
async fn a_target_of_a_dot_says_that_there_is_no_service() {
    let answer = NameServer::says(|message| add(message, ASKED, srv(0, 0, 0, "."))).await;
    assert_eq!(answer, Ok(SrvAnswer::NotOffered));
}

#[tokio::test]
async fn records_are_read_as_they_stand() {
    let answer = NameServer::says(|message| {
        add(message, ASKED, srv(20, 5, 5222, "Backup.example.net."));
        add(message, ASKED, srv(10, 0, 443, "a.example.net."));
    })
    .await;
    assert_eq!(
        answer,
        Ok(SrvAnswer::Records(vec![
            record(20, 5, 5222, "Backup.example.net"),
            record(10, 0, 443, "a.example.net")
        ]))
    );
}

#[tokio::test]
async fn an_alias_of_a_service_leads_to_its_records() {
    let answer = NameServer::says(|message| {
        let alias = "_xmpp-client._tcp.hosting.example.";
        add(message, ASKED, RData::CNAME(CNAME(name(alias))));
        add(message, alias, srv(1, 2, 5222, "a.hosting.example."));
    })
    .await;
    let expected = record(1, 2, 5222, "a.hosting.example");
    assert_eq!(answer, Ok(SrvAnswer::Records(vec![expected])));
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_asked_for_over_tcp() {
    let udp: Answer = |message| message.metadata.truncation = true;
    let tcp: Answer = |message| add(message, ASKED, srv(1, 2, 5222, "a.example.net."));
    let server = NameServer::start(Some(udp), Some(tcp)).await;
    let answer = server.servers.look_up(SERVICE, "example.org").await;
    let expected = record(1, 2, 5222, "a.example.net");
    assert_eq!(answer, Ok(SrvAnswer::Records(vec![expected])));
    assert_eq!(server.asked(), [ASKED, ASKED]);
}

#[tokio::test]
async fn a_domain_is_asked_for_as_the_dns_writes_it_and_nothing_is_added() {
    for (domain, asked) in [
        ("example.org", ASKED),
        ("example.org.", ASKED),
        ("bücher.example", "_xmpp-client._tcp.xn--bcher-kva.example."),
        ("server", "_xmpp-client._tcp.server."),
    ] {
        let server = NameServer::start(Some(|_| {}), None).await;
        let answer = server.servers.look_up(SERVICE, domain).await;
        assert_eq!(answer, Ok(SrvAnswer::NoRecords));
        assert_eq!(server.asked(), [asked]);
    }
}

#[tokio::test]
async fn what_is_no_name_is_an_error() {
    let server = NameServer::start(Some(|_| {}), None).await;
    let long = format!("{}.example", "a".repeat(64));
    for domain in ["xn--\u{e4}.example", &long, &"a.".repeat(130)] {
        let answer = server.servers.look_up(SERVICE, domain).await;
        assert!(answer.is_err(), "{domain}: {answer:?}");
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn names_that_the_dns_does_not_have_are_nobody_elses_business() {
    for domain in [
        "localhost",
        "a.Localhost",
        "printer.local",
        "localhost.",
        "a.onion",
        "a.invalid",
    ] {
        assert_eq!(
            super::srv(SERVICE, domain).await,
            Ok(SrvAnswer::NoRecords),
            "{domain}"
        );
    }
    for domain in ["example.org", "local.example", "notlocalhost"] {
        assert!(!is_elsewhere(domain), "{domain}");
    }
}
