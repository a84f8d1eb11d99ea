//! Clients in this process, over links to a real server.

use std::collections::BTreeSet;
use std::time::Duration;

use xtls_client::router::ServiceLimits;
use xtls_client::xmpp::{self, Options};
use xtls_client::{Accept, Client, Config, Incoming, Pins, Task, Tunnel};
use xtls_session::{Mode, Service};
use xtls_stanza::Address;
use xtls_stanza::busy::Limit;
use xtls_tests::keys;
use xtls_tests::live::person::Person;
use xtls_tests::live::soon;
use xtls_tls::default_provider;
use xtls_tls::trust::{Level, Method, Policy};

pub(crate) struct Party {
    pub(crate) client: Client,
    pub(crate) incoming: Incoming,
    task: Task,
}

/// Whose client it is.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    Romeo,
    Juliet,
}

impl Who {
    fn key(self) -> u8 {
        match self {
            Self::Romeo => 1,
            Self::Juliet => 2,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Romeo => Self::Juliet,
            Self::Juliet => Self::Romeo,
        }
    }

    fn address(self, domain: &str) -> Address {
        let name = match self {
            Self::Romeo => "romeo",
            Self::Juliet => "juliet",
        };
        keys::address(&format!("{name}@{domain}"))
    }
}

/// The one service: bytes.
fn pipe() -> Service {
    Service::new("pipe", Mode::Bytes)
}

impl Party {
    /// A client of theirs that takes and opens any number of tunnels to the other.
    pub(crate) async fn start(who: Who, person: &Person, options: Options) -> Self {
        Self::start_with(who, person, options, |config| config).await
    }

    /// As [`start`](Self::start), with something else in the configuration.
    pub(crate) async fn start_with(
        who: Who,
        person: &Person,
        options: Options,
        with: impl FnOnce(Config) -> Config,
    ) -> Self {
        let domain = person.server().domain();
        let (own, peer) = (who.address(domain), who.other().address(domain));
        let link = soon("the login", xmpp::connect(options)).await;
        let mut pins = Pins::memory();
        let key = keys::fingerprint(peer.bare(), who.other().key());
        let level = Level::Verified(Method::Fingerprint);
        pins.change(|store, now| store.pin(peer.bare(), key, level, now))
            .unwrap();
        let tls = keys::tls(keys::identity(own.bare(), who.key()), default_provider());
        let config = Config::new(tls, pins.store())
            .policy(Policy::Pinned)
            .service(pipe())
            .accept(Accept::Only(BTreeSet::from([peer.to_bare()])))
            .service_limits(pipe(), ServiceLimits::default().unfinished(ANY, ANY));
        let config = Limit::ALL
            .into_iter()
            .fold(config, |config, limit| config.limit(limit, ANY));
        let (client, incoming, task) = Client::start(link.unwrap(), with(config), pins).unwrap();
        Self {
            client,
            incoming,
            task,
        }
    }

    /// A tunnel to the other, at both ends; tried until there is one.
    pub(crate) async fn connect(&self, other: &mut Self) -> [Tunnel; 2] {
        loop {
            let opened = self.client.open(other.client.own()).await.unwrap();
            let taken = async {
                let taken = other.incoming.next().await.unwrap();
                taken.established().await.map(|_| taken)
            };
            let both = async { tokio::try_join!(opened.established(), taken) };
            let told = tokio::time::timeout(TRY, both);
            if let Ok(Ok((_, taken))) = soon("a tunnel", told).await {
                return [opened, taken];
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.client.stop().await;
        soon("the end", self.task).await.unwrap().unwrap();
    }
}

/// How long an open may take before another one is tried.
const TRY: Duration = Duration::from_secs(5);

/// More than there will be.
const ANY: usize = 4_096;
