//! Clients of this machine, which are scripts in memory or on loopback.

use std::net::SocketAddr;

use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;
use xtls_stanza::{Address, Condition};

use super::*;
use crate::{Accounts, Arrival, Listener, Login, ServeError, Served};

const CLIENT: &str = "<stream:stream xmlns='jabber:client' to='example.org' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
/// romeo@example.org with the password "pencil", and "pen".
const RIGHT: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHBlbmNpbA==</auth>";
const WRONG: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHBlbg==</auth>";
const RESOURCE: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>orchard</resource></bind></iq>";

fn domains() -> [Address; 1] {
    [Address::new("example.org").unwrap()]
}

/// Lets everybody in who says "pencil", after so long.
#[derive(Default)]
struct Owner {
    slow: Duration,
    taken: bool,
}

impl Accounts for Owner {
    async fn let_in(&self, login: &Login) -> bool {
        tokio::time::sleep(self.slow).await;
        login.is_password("pencil")
    }

    async fn bind(&self, wanted: Address) -> Result<Address, Condition> {
        match self.taken {
            true => Err(Condition::Conflict),
            false => Ok(wanted),
        }
    }
}

type Logging = tokio::task::JoinHandle<Result<Served, ServeError>>;

/// A client, and what becomes of it at our end.
fn in_memory(owner: Owner) -> (Script<DuplexStream>, Logging) {
    let (near, far) = duplex(65_536);
    let arrival = Arrival::over(Box::new(near), &domains()).unwrap();
    let served = tokio::spawn(async move { arrival.log_in(&owner).await });
    (Script::new(far), served)
}

impl<T: AsyncRead + AsyncWrite + Unpin> Script<T> {
    async fn log_in_as_client(&mut self) {
        self.say(CLIENT).await;
        self.hear("</stream:features>").await;
        self.say(RIGHT).await;
        self.hear("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
            .await;
        self.say(CLIENT).await;
        self.hear("</stream:features>").await;
        self.say(RESOURCE).await;
        let bound = self.hear("</iq>").await;
        assert!(
            bound.contains("<jid>romeo@example.org/orchard</jid>"),
            "{bound}"
        );
    }
}

async fn online() -> (Script<DuplexStream>, Served) {
    let (mut client, served) = in_memory(Owner::default());
    client.log_in_as_client().await;
    (client, served.await.unwrap().unwrap())
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_refused_and_named() {
    for address in [
        "0.0.0.0:0",
        "192.0.2.1:5222",
        "[::]:0",
        "[2001:db8::1]:5222",
        "[::ffff:0.0.0.0]:0",
        "[::ffff:192.0.2.1]:0",
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let error = Listener::bind(address, &domains()).await.unwrap_err();
        assert!(matches!(error, ServeError::NotLoopback { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&address.to_string()));
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_three_times_and_then_the_end() {
    let (mut client, served) = in_memory(Owner::default());
    client.say(CLIENT).await;
    for _ in 0..3 {
        client.say(WRONG).await;
        client.hear("<not-authorized/></failure>").await;
    }
    let rest = client.rest().await;
    assert!(rest.contains("<policy-violation "), "{rest}");
    assert_eq!(served.await.unwrap().unwrap_err(), ServeError::NotLoggedIn);
}

#[tokio::test]
async fn what_breaks_the_rules_is_told_also_to_a_client_that_goes_on_talking() {
    let (mut client, served) = in_memory(Owner::default());
    client.say(CLIENT).await;
    client.say("<message/>").await;
    client.say(&"<message/>".repeat(1_000)).await;
    let heard = client.hear("</stream:stream>").await;
    assert!(heard.contains("<not-authorized "), "{heard}");
    drop(client);
    let error = served.await.unwrap().unwrap_err();
    assert!(matches!(error, ServeError::Client { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_has_thirty_seconds_whatever_it_or_its_owner_does() {
    let slow = Duration::from_secs(100);
    for say in ["", CLIENT, "both"] {
        let began = Instant::now();
        let (mut client, served) = in_memory(Owner { slow, taken: false });
        match say {
            "both" => client.say(&format!("{CLIENT}{RIGHT}")).await,
            say => client.say(say).await,
        }
        let error = served.await.unwrap().unwrap_err();
        assert!(
            matches!(error, ServeError::Timeout { .. }),
            "{say}: {error:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(33));
        let rest = client.rest().await;
        assert!(rest.contains("<connection-timeout "), "{rest}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused() {
    let owner = Owner {
        taken: true,
        ..Owner::default()
    };
    let (mut client, served) = in_memory(owner);
    client.say(CLIENT).await;
    client.say(RIGHT).await;
    client.hear("<success").await;
    client.say(CLIENT).await;
    client.say(RESOURCE).await;
    let refused = client.hear("</iq>").await;
    assert!(refused.contains("<conflict "), "{refused}");
    drop(client);
    assert!(matches!(served.await.unwrap(), Err(ServeError::Broken(_))));
}

#[tokio::test]
async fn a_client_that_hangs_up_is_told_apart_from_one_that_says_good_bye() {
    let (mut client, mut served) = online().await;
    client.say("<presence/></stream:stream>").await;
    assert_eq!(served.next().await.unwrap().unwrap(), "<presence/>");
    for _ in 0..2 {
        assert_eq!(served.next().await, Ok(None));
    }
    assert_eq!(served.send(b"<presence/>").await, Err(ServeError::Closed));
    assert_eq!(client.rest().await, "</stream:stream>");

    let (client, mut served) = online().await;
    drop(client);
    for _ in 0..2 {
        let error = served.next().await.unwrap_err();
        assert_eq!(error, ServeError::Broken("the client hung up".into()));
    }
    assert!(served.send(b"<presence/>").await.is_err());
}

#[tokio::test]
async fn a_fault_is_told_and_ends_the_stream() {
    let (mut client, mut served) = online().await;
    client.say("<!-- -->").await;
    for _ in 0..2 {
        let error = served.next().await.unwrap_err();
        assert!(matches!(error, ServeError::Client { .. }), "{error:?}");
    }
    let rest = client.rest().await;
    assert!(rest.contains("<restricted-xml "), "{rest}");
}

#[tokio::test]
async fn a_client_that_is_replaced_or_dropped_is_told() {
    let (client, served) = online().await;
    served.end("conflict");
    let rest = client.rest().await;
    assert!(
        rest.contains("<conflict ") && rest.ends_with("</stream:stream>"),
        "{rest}"
    );

    let (mut client, mut served) = online().await;
    served.send(b"<message/>").await.unwrap();
    drop(served);
    let rest = client.hear("</stream:stream>").await;
    assert_eq!(rest, "<message/></stream:stream>");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_keeps_nobody_waiting_at_the_end() {
    let (_client, mut served) = online().await;
    let stanza = format!("<message>{}</message>", "a".repeat(30_000));
    served.send(stanza.as_bytes()).await.unwrap();
    served.send(stanza.as_bytes()).await.unwrap();
    served.send(stanza.as_bytes()).await.unwrap();
    let began = Instant::now();
    let error = served.close().await.unwrap_err();
    assert!(matches!(error, ServeError::Broken(_)), "{error:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn who_waits_for_room_reads_on() {
    let (mut client, mut served) = online().await;
    client
        .say("<enable xmlns='urn:xmpp:sm:3'/><presence id='1'/>")
        .await;
    let first = served.next().await.unwrap().unwrap();
    assert_eq!(first, "<presence id='1'/>");
    let sending = tokio::spawn(async move {
        for _ in 0..8_192 + 1 {
            served.send(b"<message/>").await.unwrap();
        }
        served.next().await.unwrap().unwrap()
    });
    for _ in 0..8_192 {
        client.hear("<message/>").await;
    }
    client.say("<presence id='2'/>").await;
    client.say("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
    client.hear("<message/>").await;
    assert_eq!(sending.await.unwrap(), "<presence id='2'/>");
}

#[tokio::test]
async fn clients_come_over_tcp() {
    let address = ([127, 0, 0, 1], 0).into();
    let listener = Listener::bind(address, &domains()).await.unwrap();
    let address = listener.address().unwrap();
    let serving = tokio::spawn(async move {
        let arrival = listener.accept().await.unwrap();
        let mut served = arrival.log_in(&Owner::default()).await.unwrap();
        assert_eq!(served.address().as_str(), "romeo@example.org/orchard");
        while let Some(stanza) = served.next().await.unwrap() {
            served.send(&stanza).await.unwrap();
        }
    });
    let mut client = Script::new(TcpStream::connect(address).await.unwrap());
    client.log_in_as_client().await;
    for id in 0..100 {
        let stanza = format!("<message id=\"{id}\"><body>&#x61;</body></message>");
        client.say(&stanza).await;
        assert_eq!(client.hear("</message>").await, stanza);
    }
    client.say("</stream:stream>").await;
    assert_eq!(client.rest().await, "</stream:stream>");
    serving.await.unwrap();
}
