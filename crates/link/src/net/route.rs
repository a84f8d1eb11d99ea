//! From a domain to the places where its server may be, in order.

use std::time::Duration;

use tokio::time::timeout;

use super::network::{Network, Srv, SrvAnswer};
use crate::cause::Cause;
use crate::error::ConnectError;

/// How the connection is encrypted. There is no unencrypted one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    /// What the domain's service records say, STARTTLS and direct TLS alike (XEP-0368); without any, STARTTLS at port 5222.
    /// With a server given: direct TLS on ports 5223 and 443, STARTTLS on others.
    #[default]
    Auto,
    /// STARTTLS (RFC 6120 §5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    DirectTls,
}

/// How the connection goes on once it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    StartTls,
    DirectTls,
}

/// Where a server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) start: Start,
    /// Those of a higher rank are for when those of lower ones cannot be had.
    pub(super) rank: u32,
}

impl Target {
    /// Host and port.
    pub(super) fn shown(&self) -> String {
        let Self { host, port, .. } = self;
        match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }
}

/// What leads to the server.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The account's, as Unicode.
    pub(super) domain: String,
    pub(super) server: Option<(String, u16)>,
    pub(super) security: Security,
    /// Whether names are looked up here. Otherwise whoever makes the connections does.
    pub(super) looks_up: bool,
}

impl Route {
    /// The server at this host and port, or at the usual one.
    pub(super) fn given(&self, host: &str, port: Option<u16>) -> Vec<Target> {
        let port = port.unwrap_or_else(|| usual(self.security).1);
        vec![Target {
            host: host.to_owned(),
            port,
            start: start_on(self.security, port),
            rank: 0,
        }]
    }

    /// Where to try, best first. `random` decides among equals.
    pub(super) async fn targets<N: Network>(
        &self,
        network: &N,
        random: &mut (impl FnMut() -> u32 + Send),
    ) -> Result<Vec<Target>, ConnectError> {
        if let Some((host, port)) = &self.server {
            return Ok(self.given(host, Some(*port)));
        }
        // An address has no service records.
        let literal = self.domain.trim_matches(['[', ']']);
        if !self.looks_up || literal.parse::<std::net::IpAddr>().is_ok() {
            return Ok(self.domain_itself());
        }
        let (starttls, direct) = tokio::join!(
            self.look_up(network, Start::StartTls),
            self.look_up(network, Start::DirectTls)
        );
        let (mut records, mut absent, mut failed) = (Vec::new(), false, None);
        for (start, answer) in [(Start::StartTls, starttls), (Start::DirectTls, direct)] {
            match answer {
                None | Some(Ok(SrvAnswer::NoRecords)) => {}
                Some(Ok(SrvAnswer::Records(found))) => {
                    records.extend(found.into_iter().map(|record| (start, record)));
                }
                Some(Ok(SrvAnswer::NotOffered)) => absent = true,
                Some(Err(why)) => failed = Some(why),
            }
        }
        match (records.is_empty(), absent, failed) {
            (false, _, _) => Ok(in_order(records, random)),
            // Nobody knows whether there is a record, and the name's own address is a guess that only its absence allows.
            (true, _, Some(why)) => Err(ConnectError::LookUp {
                domain: self.domain.clone(),
                why,
            }),
            (true, true, None) => Err(ConnectError::NoService {
                domain: self.domain.clone(),
            }),
            (true, false, None) => Ok(self.domain_itself()),
        }
    }

    /// The records of one kind; `None` if it is not wanted.
    async fn look_up<N: Network>(
        &self,
        network: &N,
        start: Start,
    ) -> Option<Result<SrvAnswer, Cause>> {
        let (service, unwanted) = match start {
            Start::StartTls => ("_xmpp-client._tcp", Security::DirectTls),
            Start::DirectTls => ("_xmpps-client._tcp", Security::StartTls),
        };
        if self.security == unwanted {
            return None;
        }
        let late = || format!("no answer to {service} within {} s", LOOK_UP.as_secs()).into();
        let answer = timeout(LOOK_UP, network.srv(service, &self.domain)).await;
        Some(answer.unwrap_or_else(|_| Err(late())))
    }

    fn domain_itself(&self) -> Vec<Target> {
        let (start, port) = usual(self.security);
        vec![Target {
            host: self.domain.clone(),
            port,
            start,
            rank: 0,
        }]
    }
}

/// Both kinds of records as if they were one (XEP-0368 §4), by priority and, among equals, at random by weight (RFC 2782).
fn in_order(mut records: Vec<(Start, Srv)>, random: &mut impl FnMut() -> u32) -> Vec<Target> {
    records.sort_by_key(|(_, record)| record.priority);
    records.truncate(MAX_TARGETS);
    // Those without weight first, so that they are drawn with a very small chance.
    records.sort_by_key(|(_, record)| (record.priority, record.weight > 0));
    let mut targets = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|(_, record)| record.priority) {
        let equals = records
            .iter()
            .take_while(|(_, record)| record.priority == priority);
        let weights: Vec<_> = equals.map(|(_, record)| u64::from(record.weight)).collect();
        let at = draw(&weights, random());
        let (start, record) = records.remove(at);
        targets.push(Target {
            host: record.target,
            port: record.port,
            start,
            rank: u32::from(record.priority),
        });
    }
    targets
}

/// One of them, each by its weight; without any, each alike.
fn draw(weights: &[u64], random: u32) -> usize {
    let sum: u64 = weights.iter().sum();
    if sum == 0 {
        return usize::try_from(random).unwrap_or_default() % weights.len().max(1);
    }
    let mut left = u64::from(random) % (sum + 1);
    for (at, weight) in weights.iter().enumerate() {
        if left <= *weight {
            return at;
        }
        left -= weight;
    }
    0
}

fn usual(security: Security) -> (Start, u16) {
    match security {
        Security::Auto | Security::StartTls => (Start::StartTls, 5222),
        Security::DirectTls => (Start::DirectTls, 5223),
    }
}

fn start_on(security: Security, port: u16) -> Start {
    match (security, port) {
        (Security::DirectTls, _) | (Security::Auto, 5223 | 443) => Start::DirectTls,
        (Security::StartTls | Security::Auto, _) => Start::StartTls,
    }
}

/// How long the name servers may take to answer, with all that is asked again meanwhile. Time must be left for connections.
const LOOK_UP: Duration = Duration::from_secs(10);

/// Records that are looked at: more than anybody has, and fewer than keep us busy for long.
const MAX_TARGETS: usize = 32;

#[cfg(test)]
mod tests;
