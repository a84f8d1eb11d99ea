//! A network of the test's own, and time that passes only when nothing else can happen.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

use super::*;
use crate::cause::Cause;
use crate::net::dial::Dialling;
use crate::net::network::SrvAnswer;

/// What becomes of a connection to an address.
#[derive(Clone, Copy)]
enum Fate {
    Accepted(Duration),
    Failed(io::ErrorKind),
    /// Packets are dropped, as by a firewall.
    Silent,
}

const ACCEPTED: Fate = Fate::Accepted(Duration::ZERO);
const REFUSED: Fate = Fate::Failed(io::ErrorKind::ConnectionRefused);

/// Hosts with their addresses, each of which has its fate.
struct Fates {
    hosts: Vec<(&'static str, Vec<(SocketAddr, Fate)>)>,
    began: Instant,
    /// Who was tried, and after how many milliseconds.
    tried: Mutex<Vec<(u128, String)>>,
    /// The other ends of connections.
    accepted: Mutex<Vec<DuplexStream>>,
}

impl Fates {
    fn note(&self, who: impl ToString) {
        let after = self.began.elapsed().as_millis();
        self.tried.lock().unwrap().push((after, who.to_string()));
    }

    fn tried(&self) -> Vec<(u128, String)> {
        std::mem::take(&mut *self.tried.lock().unwrap())
    }
}

impl Network for Fates {
    async fn srv(&self, _service: &str, _domain: &str) -> Result<SrvAnswer, Cause> {
        panic!("a race needs no records")
    }

    async fn addresses(&self, host: &str, _port: u16) -> Result<Vec<SocketAddr>, Cause> {
        match self.hosts.iter().find(|(name, _)| *name == host) {
            None => Err("there is no such name".into()),
            Some((_, addresses)) if addresses.is_empty() => std::future::pending().await,
            Some((_, addresses)) => Ok(addresses.iter().map(|(address, _)| *address).collect()),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        self.note(address.ip());
        let mut all = self.hosts.iter().flat_map(|(_, addresses)| addresses);
        match all.find(|(known, _)| *known == address).unwrap().1 {
            Fate::Accepted(after) => {
                tokio::time::sleep(after).await;
                let (near, far) = duplex(64);
                self.accepted.lock().unwrap().push(far);
                Ok(Socket::Dialled(Box::new(near)))
            }
            Fate::Failed(kind) => Err(kind.into()),
            Fate::Silent => std::future::pending().await,
        }
    }
}

/// The address of this number.
fn v4(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 5222))
}

fn v6(number: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number], 5222))
}

fn target(host: &str, rank: u32) -> Target {
    Target {
        host: host.to_owned(),
        port: 5222,
        start: Start::StartTls,
        rank,
    }
}

fn race(
    hosts: Vec<(&'static str, Vec<(SocketAddr, Fate)>)>,
    targets: Vec<Target>,
) -> (Race<Fates>, Arc<Fates>) {
    let network = Arc::new(Fates {
        hosts,
        began: Instant::now(),
        tried: Mutex::default(),
        accepted: Mutex::default(),
    });
    let race = Race::new(Arc::clone(&network), None, targets, Instant::now());
    (race, network)
}

fn at(after: u128, who: &str) -> (u128, String) {
    (after, who.to_owned())
}

#[tokio::test(start_paused = true)]
async fn nowhere_to_connect_to_is_an_error() {
    let (mut race, _) = race(Vec::new(), Vec::new());
    let error = race.next().await.err().unwrap();
    assert!(matches!(error, ConnectError::Broken { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn every_srv_target_and_address_is_tried_in_order() {
    let (mut race, network) = race(
        vec![
            ("a", vec![(v4(1), REFUSED), (v4(2), REFUSED)]),
            ("b", vec![(v4(3), REFUSED)]),
            ("d", vec![(v4(4), REFUSED), (v4(5), ACCEPTED)]),
        ],
        vec![
            target("a", 1),
            target("b", 1),
            target("c", 2),
            target("d", 3),
        ],
    );
    assert!(race.next().await.is_ok());
    // A closed port and a name that is not there cost no time.
    assert_eq!(
        network.tried(),
        [
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "192.0.2.4",
            "192.0.2.5"
        ]
        .map(|who| at(0, who))
    );
    assert!(race.is_over());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_drops_packets_gives_way_to_the_next_after_three_seconds() {
    let (mut race, network) = race(
        vec![
            ("a", vec![(v4(1), Fate::Silent)]),
            ("b", vec![(v4(2), ACCEPTED)]),
        ],
        vec![target("a", 10), target("b", 20)],
    );
    assert!(race.next().await.is_ok());
    assert_eq!(
        network.tried(),
        [at(0, "192.0.2.1"), at(3_000, "192.0.2.2")]
    );
    assert!(!race.is_over(), "the first may still come");
}

#[tokio::test(start_paused = true)]
async fn an_equal_is_tried_a_quarter_of_a_second_later() {
    let (mut race, network) = race(
        vec![
            ("a", vec![(v4(1), Fate::Silent), (v4(2), Fate::Silent)]),
            ("b", vec![(v4(3), ACCEPTED)]),
        ],
        vec![target("a", 10), target("b", 10)],
    );
    assert!(race.next().await.is_ok());
    assert_eq!(
        network.tried(),
        [
            at(0, "192.0.2.1"),
            at(250, "192.0.2.2"),
            at(500, "192.0.2.3")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_looked_up_for_long_holds_nobody_up() {
    let (mut race, network) = race(
        vec![("a", Vec::new()), ("b", vec![(v4(1), ACCEPTED)])],
        vec![target("a", 10), target("b", 20)],
    );
    assert!(race.next().await.is_ok());
    assert_eq!(network.tried(), [at(3_000, "192.0.2.1")]);
}

/// RFC 2782: the next priority is for when those of the last cannot be reached.
#[tokio::test(start_paused = true)]
async fn a_failure_does_not_hasten_a_higher_rank_while_an_equal_may_still_come() {
    let second = Duration::from_secs(1);
    let (mut race, network) = race(
        vec![
            ("a", vec![(v4(1), Fate::Accepted(second)), (v4(2), REFUSED)]),
            ("b", vec![(v4(3), ACCEPTED)]),
        ],
        vec![target("a", 10), target("b", 20)],
    );
    assert!(race.next().await.is_ok());
    assert_eq!(network.tried(), [at(0, "192.0.2.1"), at(250, "192.0.2.2")]);
}

#[tokio::test(start_paused = true)]
async fn who_had_three_seconds_holds_the_ranks_after_the_next_up_no_more() {
    let (mut race, network) = race(
        vec![
            ("a", vec![(v4(1), Fate::Silent)]),
            ("b", vec![(v4(2), REFUSED)]),
            ("c", vec![(v4(3), ACCEPTED)]),
        ],
        vec![target("a", 10), target("b", 20), target("c", 30)],
    );
    assert!(race.next().await.is_ok());
    let tried = [(0, "192.0.2.1"), (3_000, "192.0.2.2"), (3_000, "192.0.2.3")];
    assert_eq!(network.tried(), tried.map(|(after, who)| at(after, who)));
}

#[tokio::test(start_paused = true)]
async fn the_families_take_turns_and_the_systems_favourite_begins() {
    let silent = |address| (address, Fate::Silent);
    let all = [v6(1), v6(2), v6(3), v4(4)].map(silent).to_vec();
    let (mut race, network) = race(vec![("a", all)], vec![target("a", 0)]);
    let limit = Duration::from_secs(2);
    assert!(tokio::time::timeout(limit, race.next()).await.is_err());
    assert_eq!(
        network.tried(),
        [
            at(0, "2001:db8::1"),
            at(250, "192.0.2.4"),
            at(500, "2001:db8::2"),
            at(750, "2001:db8::3")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_host_does_not_bring_more_than_eight_addresses() {
    let all = (0..200).map(|number| (v4(number), REFUSED)).collect();
    let (mut race, network) = race(vec![("a", all)], vec![target("a", 0)]);
    assert!(race.next().await.is_err());
    assert_eq!(network.tried().len(), MAX_ADDRESSES);
}

#[tokio::test(start_paused = true)]
async fn when_a_connection_is_of_no_use_the_next_one_is_tried_at_once() {
    let (mut race, network) = race(
        vec![
            ("a", vec![(v4(1), ACCEPTED), (v4(2), ACCEPTED)]),
            ("b", vec![(v4(3), ACCEPTED)]),
        ],
        vec![target("a", 10), target("b", 20)],
    );
    for _ in 0..3 {
        assert!(!race.is_over());
        assert!(race.next().await.is_ok());
    }
    assert!(race.is_over());
    assert_eq!(
        network.tried(),
        ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|who| at(0, who))
    );
    assert!(race.next().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_late_is_hung_up_on() {
    let after = |milliseconds| Fate::Accepted(Duration::from_millis(milliseconds));
    let (mut race, network) = race(
        vec![("a", vec![(v4(1), after(300)), (v4(2), after(40))])],
        vec![target("a", 0)],
    );
    let (mut won, _) = race.next().await.ok().unwrap();
    assert_eq!(network.tried().len(), 2);
    drop(race);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut accepted = std::mem::take(&mut *network.accepted.lock().unwrap());
    // The slower one was given up before it stood.
    let mut far = accepted.pop().unwrap();
    assert!(accepted.is_empty());
    tokio::io::AsyncWriteExt::write_all(&mut far, b"x")
        .await
        .unwrap();
    assert_eq!(won.read_u8().await.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn a_family_that_is_not_there_is_not_the_reason() {
    let unreachable = Fate::Failed(io::ErrorKind::NetworkUnreachable);
    for order in [
        vec![(v6(1), unreachable), (v4(2), REFUSED)],
        vec![(v4(2), REFUSED), (v6(1), unreachable)],
    ] {
        let (mut race, _) = race(vec![("a", order)], vec![target("a", 0)]);
        let error = race.next().await.err().unwrap();
        assert_eq!(error.to_string(), "a:5222 (192.0.2.2) cannot be reached");
        let why = std::error::Error::source(&error).unwrap();
        assert_eq!(why.to_string(), "connection refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_there_is_told() {
    let (mut race, _) = race(Vec::new(), vec![target("a", 0)]);
    let error = race.next().await.err().unwrap();
    let expected = ConnectError::Unreachable {
        server: "a:5222".to_owned(),
        why: "there is no such name".into(),
    };
    assert_eq!(error, expected);
}

/// Somebody else's way to hosts, which answers with a refusal.
struct Refusing(Arc<Fates>);

impl Dial for Refusing {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        self.0.note(format!("{host} {port}"));
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_dialer_gets_the_names_which_nobody_looks_up() {
    let (_, network) = race(Vec::new(), Vec::new());
    for (host, dialled) in [
        ("bücher.example", "xn--bcher-kva.example"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        let dialer = Arc::new(Refusing(Arc::clone(&network)));
        let mut race = Race::new(
            Arc::clone(&network),
            Some(dialer),
            vec![target(host, 0)],
            Instant::now(),
        );
        let error = race.next().await.err().unwrap();
        assert!(matches!(error, ConnectError::Unreachable { .. }));
        assert_eq!(network.tried(), [at(0, &format!("{dialled} 5222"))]);
    }
}
