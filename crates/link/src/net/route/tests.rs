//! A domain, what its service records say, and where that leads.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use super::*;
use crate::net::socket::Socket;

/// A network that knows the records of one domain.
struct Records {
    starttls: Result<SrvAnswer, &'static str>,
    direct: Result<SrvAnswer, &'static str>,
    asked: Mutex<Vec<String>>,
}

impl Records {
    fn new(
        starttls: Result<SrvAnswer, &'static str>,
        direct: Result<SrvAnswer, &'static str>,
    ) -> Self {
        Self {
            starttls,
            direct,
            asked: Mutex::default(),
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Network for Records {
    async fn srv(&self, service: &str, domain: &str) -> Result<SrvAnswer, Cause> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("{service} {domain}"));
        let answer = match service {
            "_xmpp-client._tcp" => self.starttls.clone(),
            "_xmpps-client._tcp" => self.direct.clone(),
            other => panic!("{other}"),
        };
        if answer == Err("never") {
            return std::future::pending().await;
        }
        answer.map_err(Cause::from)
    }

    async fn addresses(&self, _host: &str, _port: u16) -> Result<Vec<SocketAddr>, Cause> {
        panic!("a route needs no addresses")
    }

    async fn connect(&self, _address: SocketAddr) -> io::Result<Socket> {
        panic!("a route connects nowhere")
    }
}

fn route(domain: &str, security: Security) -> Route {
    Route {
        domain: domain.to_owned(),
        server: None,
        security,
        looks_up: true,
    }
}

/// Priority, weight, port, host.
fn records(of: &[(u16, u16, u16, &str)]) -> Result<SrvAnswer, &'static str> {
    let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
        priority,
        weight,
        port,
        target: target.to_owned(),
    };
    Ok(SrvAnswer::Records(of.iter().map(record).collect()))
}

const NONE: Result<SrvAnswer, &str> = Ok(SrvAnswer::NoRecords);
const DOT: Result<SrvAnswer, &str> = Ok(SrvAnswer::NotOffered);

/// "host:port", with "tls" behind it for direct TLS.
fn shown(targets: Vec<Target>) -> Vec<String> {
    let shown = |target: Target| {
        let tls = match target.start {
            Start::StartTls => "",
            Start::DirectTls => " tls",
        };
        format!("{}:{}{tls}", target.host, target.port)
    };
    targets.into_iter().map(shown).collect()
}

async fn targets(network: &Records, security: Security) -> Result<Vec<String>, ConnectError> {
    let route = route("example.org", security);
    route.targets(network, &mut || 0).await.map(shown)
}

fn not_looked_up(why: &str) -> ConnectError {
    ConnectError::LookUp {
        domain: "example.org".to_owned(),
        why: why.into(),
    }
}

#[tokio::test]
async fn a_failed_look_up_is_not_a_missing_record() {
    for (starttls, direct) in [
        (Err("refused"), NONE),
        (NONE, Err("refused")),
        (Err("refused"), DOT),
        (Err("refused"), Err("refused")),
    ] {
        let network = Records::new(starttls, direct);
        assert_eq!(
            targets(&network, Security::Auto).await,
            Err(not_looked_up("refused"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_never_answer_leave_time_for_connections() {
    let network = Records::new(Err("never"), Err("never"));
    let began = tokio::time::Instant::now();
    assert_eq!(
        targets(&network, Security::Auto).await,
        Err(not_looked_up("no answer to _xmpps-client._tcp within 10 s"))
    );
    assert_eq!(
        began.elapsed(),
        Duration::from_secs(10),
        "both at the same time"
    );
}

#[tokio::test]
async fn a_failed_look_up_leaves_the_records_of_the_other_kind() {
    let there = records(&[(1, 0, 5222, "a")]);
    let network = Records::new(there.clone(), Err("refused"));
    assert_eq!(targets(&network, Security::Auto).await.unwrap(), ["a:5222"]);
    let network = Records::new(Err("refused"), there);
    assert_eq!(
        targets(&network, Security::Auto).await.unwrap(),
        ["a:5222 tls"]
    );
}

#[tokio::test]
async fn a_domain_that_offers_no_service_is_not_connected_to() {
    let refused = Err(ConnectError::NoService {
        domain: "example.org".to_owned(),
    });
    for (starttls, direct) in [(DOT, DOT), (DOT, NONE), (NONE, DOT)] {
        let network = Records::new(starttls, direct);
        assert_eq!(targets(&network, Security::Auto).await, refused);
    }
    for security in [Security::StartTls, Security::DirectTls] {
        assert_eq!(targets(&Records::new(DOT, DOT), security).await, refused);
    }
}

#[tokio::test]
async fn a_domain_with_direct_tls_only_is_reached_by_direct_tls() {
    let direct = records(&[(5, 0, 443, "x")]);
    for starttls in [DOT, NONE] {
        let network = Records::new(starttls, direct.clone());
        assert_eq!(
            targets(&network, Security::Auto).await.unwrap(),
            ["x:443 tls"]
        );
    }
}

#[tokio::test]
async fn no_srv_record_means_the_domain_itself() {
    for (security, expected) in [
        (Security::Auto, "example.org:5222"),
        (Security::StartTls, "example.org:5222"),
        (Security::DirectTls, "example.org:5223 tls"),
    ] {
        let network = Records::new(NONE, NONE);
        assert_eq!(targets(&network, security).await.unwrap(), [expected]);
    }
}

#[tokio::test]
async fn only_the_kind_that_is_wanted_is_asked_for() {
    let starttls = "_xmpp-client._tcp example.org".to_owned();
    let direct = "_xmpps-client._tcp example.org".to_owned();
    for (security, expected) in [
        (Security::Auto, vec![starttls.clone(), direct.clone()]),
        (Security::StartTls, vec![starttls]),
        (Security::DirectTls, vec![direct]),
    ] {
        let network = Records::new(NONE, NONE);
        targets(&network, security).await.unwrap();
        assert_eq!(network.asked(), expected);
    }
}

#[tokio::test]
async fn an_address_and_a_given_server_are_not_looked_up() {
    let network = Records::new(DOT, DOT);
    for domain in ["192.0.2.1", "[2001:db8::1]"] {
        let route = route(domain, Security::Auto);
        let targets = route.targets(&network, &mut || 0).await.unwrap();
        assert_eq!(shown(targets), [format!("{domain}:5222")]);
    }
    for (security, port, expected) in [
        (Security::Auto, 5222, "a:5222"),
        (Security::Auto, 5223, "a:5223 tls"),
        (Security::Auto, 443, "a:443 tls"),
        (Security::StartTls, 443, "a:443"),
        (Security::DirectTls, 5222, "a:5222 tls"),
    ] {
        let server = Some(("a".to_owned(), port));
        let route = Route {
            server,
            ..route("example.org", security)
        };
        let targets = route.targets(&network, &mut || 0).await.unwrap();
        assert_eq!(shown(targets), [expected]);
    }
    let dialled = Route {
        looks_up: false,
        ..route("example.org", Security::Auto)
    };
    let targets = dialled.targets(&network, &mut || 0).await.unwrap();
    assert_eq!(shown(targets), ["example.org:5222"]);
    assert_eq!(network.asked(), [""; 0]);
}

#[test]
fn another_host_without_a_port_has_the_usual_one() {
    for (security, expected) in [
        (Security::Auto, "b:5222"),
        (Security::StartTls, "b:5222"),
        (Security::DirectTls, "b:5223 tls"),
    ] {
        assert_eq!(
            shown(route("example.org", security).given("b", None)),
            [expected]
        );
    }
}

#[tokio::test]
async fn the_target_with_the_lowest_priority_is_first_whatever_the_order_of_the_answer() {
    let starttls = records(&[(20, 0, 5222, "backup"), (10, 0, 5222, "primary")]);
    let network = Records::new(starttls, NONE);
    assert_eq!(
        targets(&network, Security::Auto).await.unwrap(),
        ["primary:5222", "backup:5222"]
    );
}

#[tokio::test]
async fn both_kinds_of_records_are_one_list() {
    let starttls = records(&[(10, 0, 5222, "b"), (30, 0, 5222, "d")]);
    let direct = records(&[(5, 0, 5223, "a"), (20, 0, 443, "c")]);
    let route = route("example.org", Security::Auto);
    let network = Records::new(starttls, direct);
    let targets = route.targets(&network, &mut || 0).await.unwrap();
    let ranks: Vec<_> = targets.iter().map(|target| target.rank).collect();
    assert_eq!(ranks, [5, 10, 20, 30]);
    assert_eq!(
        shown(targets),
        ["a:5223 tls", "b:5222", "c:443 tls", "d:5222"]
    );
}

#[tokio::test]
async fn equals_are_drawn_by_their_weights_and_one_without_weight_now_and_then() {
    // As many draws as there are numbers to draw, so that what comes out is the chance itself.
    const SUM: u32 = 100;
    let starttls = records(&[(1, 60, 5222, "sixty"), (1, 0, 5222, "none")]);
    let direct = records(&[(1, 40, 5223, "forty")]);
    let network = Records::new(starttls, direct);
    let route = route("example.org", Security::Auto);
    let mut first = std::collections::BTreeMap::new();
    for drawn in 0..=SUM {
        let targets = route.targets(&network, &mut || drawn).await.unwrap();
        assert_eq!(targets.len(), 3);
        let best = targets.into_iter().next().unwrap();
        *first.entry(best.host).or_insert(0) += 1;
    }
    let first: Vec<_> = first
        .iter()
        .map(|(host, count)| (host.as_str(), *count))
        .collect();
    assert_eq!(first, [("forty", 40), ("none", 1), ("sixty", 60)]);
}

#[tokio::test]
async fn equals_without_weight_are_drawn_alike() {
    let route = route("example.org", Security::Auto);
    let network = Records::new(records(&[(1, 0, 1, "a"), (1, 0, 2, "b")]), NONE);
    for (drawn, expected) in [(6, ["a:1", "b:2"]), (7, ["b:2", "a:1"])] {
        let targets = route.targets(&network, &mut || drawn).await.unwrap();
        assert_eq!(shown(targets), expected);
    }
}

#[tokio::test]
async fn of_too_many_records_the_best_are_kept() {
    let many: Vec<_> = (0..100)
        .rev()
        .map(|priority| (priority, 0, 5222, "a"))
        .collect();
    let network = Records::new(records(&many), records(&many));
    let targets = route("example.org", Security::Auto)
        .targets(&network, &mut || 0)
        .await
        .unwrap();
    assert_eq!(targets.len(), MAX_TARGETS);
    assert_eq!(targets.last().unwrap().rank, 15);
}
