//! Service records, by the system's name servers.

use std::sync::Arc;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer as _;
use hickory_resolver::net::{DnsError, DnsHandle as _, NetError, RetryDnsHandle};
use hickory_resolver::proto::op::{DnsRequestOptions, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, system_conf};

use super::network::{Srv, SrvAnswer};
use crate::cause::Cause;

/// Asks for the records of a service at this domain, which may be Unicode.
pub(super) async fn srv(service: &str, domain: &str) -> Result<SrvAnswer, Cause> {
    if is_elsewhere(domain) {
        return Ok(SrvAnswer::NoRecords);
    }
    match system_conf::read_system_conf() {
        Ok((config, options)) => {
            let servers = NameServers::new(config, options)?;
            servers.look_up(service, domain).await
        }
        // A machine without name servers has its names elsewhere.
        Err(error) => {
            tracing::debug!(%error, "no name servers are known");
            Ok(SrvAnswer::NoRecords)
        }
    }
}

/// The name servers, asked directly: what hickory puts before them takes a service that is an alias (CNAME) of another one
/// for one without records, because it looks for records at the targets' names.
struct NameServers {
    servers: RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>,
    options: DnsRequestOptions,
}

impl NameServers {
    fn new(config: ResolverConfig, options: ResolverOpts) -> Result<Self, Cause> {
        let (edns, attempts) = (options.edns0, options.attempts);
        let tls = TlsConfig::new().map_err(Cause::new)?;
        let context = Arc::new(PoolContext::new(options, tls));
        let provider = TokioRuntimeProvider::default();
        let servers = NameServerPool::from_config(config.name_servers, context, provider);
        let mut options = DnsRequestOptions::default();
        options.use_edns = edns;
        Ok(Self {
            servers: RetryDnsHandle::new(servers, attempts),
            options,
        })
    }

    async fn look_up(&self, service: &str, domain: &str) -> Result<SrvAnswer, Cause> {
        let ascii =
            idna::domain_to_ascii(domain).map_err(|_| Cause::from("it is no name of the DNS"))?;
        // The dot at the end: nothing is searched for in the domains of this machine.
        let name = format!("{service}.{}.", ascii.trim_end_matches('.'));
        let name = Name::from_ascii(name).map_err(Cause::new)?;
        let query = Query::query(name, RecordType::SRV);
        let answer = self
            .servers
            .lookup(query, self.options)
            .first_answer()
            .await;
        let answer = match answer {
            Ok(answer) if is_absence(answer.response_code) => answer,
            Ok(answer) => return Err(answer.response_code.to_str().into()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if is_absence(none.response_code) =>
            {
                return Ok(SrvAnswer::NoRecords);
            }
            Err(error) => return Err(Cause::new(error)),
        };
        let (mut records, mut not_offered) = (Vec::new(), false);
        for record in &answer.answers {
            let RData::SRV(srv) = &record.data else {
                continue;
            };
            let target = srv.target.to_ascii();
            match target.trim_end_matches('.') {
                "" => not_offered = true,
                target => records.push(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    target: target.to_owned(),
                }),
            }
        }
        Ok(match (records.is_empty(), not_offered) {
            (false, _) => SrvAnswer::Records(records),
            (true, true) => SrvAnswer::NotOffered,
            (true, false) => SrvAnswer::NoRecords,
        })
    }
}

/// Names that the DNS does not have (RFC 6761 §6.3 and §6.4, RFC 6762 §3, RFC 7686 §2).
fn is_elsewhere(domain: &str) -> bool {
    let last = domain.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(|last| {
        ["invalid", "local", "localhost", "onion"]
            .iter()
            .any(|name| last.eq_ignore_ascii_case(name))
    })
}

/// Whether the server knows that there is nothing. Anything else is a failure of the server's.
fn is_absence(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

#[cfg(test)]
mod tests;
