//! From the name of a server to an address on it.

use std::time::Instant;

use tokio::sync::mpsc;
use xtls_client::xmpp::{self, ConnectError, Encryption, Link, Options, Step};

use super::report::Report;
use crate::failure::Failure;
use crate::login;

/// Where the server is to be.
#[derive(Debug)]
pub(super) enum Wanted<'a> {
    Given,
    /// Where this domain says.
    Of(&'a str),
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nowhere,
    Located,
    Connected,
    Encrypted,
}

/// Connects, and reports each step. `None`: one has failed.
pub(super) async fn connect(
    options: Options,
    server: &Wanted<'_>,
    report: &mut Report,
) -> Result<Option<Link>, Failure> {
    let (steps, mut taken) = mpsc::unbounded_channel();
    let options = options.watch(move |step| {
        // Whoever does not listen any more has given up.
        let _ = steps.send((step, Instant::now()));
    });
    let (mut stage, mut since) = (Stage::Nowhere, Instant::now());
    let connecting = xmpp::connect(options);
    tokio::pin!(connecting);
    let connected = loop {
        tokio::select! {
            biased;
            Some((step, at)) = taken.recv() => {
                stage = tell(&step, server, at - since, report)?;
                since = at;
            }
            connected = &mut connecting => break connected,
        }
    };
    while let Ok((step, at)) = taken.try_recv() {
        stage = tell(&step, server, at - since, report)?;
        since = at;
    }
    match connected {
        Ok(link) => {
            let took = since.elapsed().as_millis();
            login(&link, took, report)?;
            Ok(Some(link))
        }
        Err(error) => {
            report.wrong(step_of(&error, stage), login::failure(&error))?;
            report.unknown("the rest", "needs the steps above")?;
            Ok(None)
        }
    }
}

fn tell(
    step: &Step,
    server: &Wanted<'_>,
    took: std::time::Duration,
    report: &Report,
) -> Result<Stage, Failure> {
    let ms = took.as_millis().max(1);
    match step {
        Step::Located { places } => {
            let first = places.first().map(String::as_str).unwrap_or_default();
            let text = match (places.len(), server) {
                (_, Wanted::Given) => format!("{first}, as you gave it: nothing was looked up"),
                (0 | 1, Wanted::Of(domain)) if first.starts_with(domain) => {
                    format!("{first}, the domain itself")
                }
                (0 | 1, Wanted::Of(_)) => first.to_owned(),
                (n, Wanted::Of(_)) => format!("{first}, and {} more", n - 1),
            };
            report.fine("DNS", text)?;
            Ok(Stage::Located)
        }
        Step::Connected { address } => {
            let text = match address {
                Some(address) => format!("{address} answers within {ms} ms"),
                None => format!("connected within {ms} ms"),
            };
            report.fine("TCP", text)?;
            Ok(Stage::Connected)
        }
        Step::Encrypted(encryption) => {
            report.fine("TLS", encrypted(encryption))?;
            Ok(Stage::Encrypted)
        }
        _ => Ok(Stage::Nowhere),
    }
}

fn encrypted(encryption: &Encryption) -> String {
    let Encryption {
        version,
        names,
        more,
        until,
        direct,
        ..
    } = encryption;
    let how = if *direct {
        "from the first byte"
    } else {
        "by STARTTLS"
    };
    let mut whom = names.join(", ");
    if *more > 0 {
        whom.push_str(&format!(" and {more} more"));
    }
    if whom.is_empty() {
        whom.push_str("no name");
    }
    format!("{version} {how}; the certificate is for {whom}, until {until}")
}

fn login(link: &Link, ms: u128, report: &Report) -> Result<(), Failure> {
    let mechanism = link.session().and_then(xmpp::Session::mechanism);
    let mechanism = mechanism.unwrap_or("an unknown way");
    let text = format!("as {} by {mechanism}, {ms} ms", link.bound().bare());
    if mechanism == "PLAIN" {
        let remedy = "the server has seen your password: ask whoever runs it to offer SCRAM";
        return report.remark("login", text, remedy);
    }
    report.fine("login", text)
}

/// At which step it failed.
fn step_of(error: &ConnectError, stage: Stage) -> &'static str {
    match error {
        ConnectError::Address(_) | ConnectError::NoLocalPart { .. } => "account",
        ConnectError::LookUp { .. } | ConnectError::NoService { .. } => "DNS",
        ConnectError::Unreachable { .. } => "TCP",
        ConnectError::Roots(_)
        | ConnectError::OwnCertificate(_)
        | ConnectError::NoStartTls { .. }
        | ConnectError::Injected { .. }
        | ConnectError::Certificate { .. }
        | ConnectError::Tls { .. } => "TLS",
        ConnectError::NoMechanism { .. }
        | ConnectError::Authentication { .. }
        | ConnectError::Tasks { .. }
        | ConnectError::Impostor { .. }
        | ConnectError::Weaker { .. }
        | ConnectError::Tampered { .. } => "login",
        ConnectError::Conflict { .. } | ConnectError::Bind { .. } => "resource",
        ConnectError::Unencrypted { .. }
        | ConnectError::Stream(_)
        | ConnectError::Header { .. }
        | ConnectError::Protocol { .. }
        | ConnectError::Timeout { .. }
        | ConnectError::Acknowledgement(_)
        | ConnectError::Busy
        | ConnectError::Broken { .. }
        | _ => match stage {
            Stage::Nowhere => "DNS",
            Stage::Located => "TCP",
            Stage::Connected => "TLS",
            Stage::Encrypted => "login",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn silence_is_blamed_on_the_step_after_the_last_one() {
        let late = ConnectError::Timeout {
            limit: Duration::from_secs(30),
        };
        let stages = [
            (Stage::Nowhere, "DNS"),
            (Stage::Located, "TCP"),
            (Stage::Connected, "TLS"),
            (Stage::Encrypted, "login"),
        ];
        for (stage, step) in stages {
            assert_eq!(step_of(&late, stage), step);
        }
        // What says so itself is not guessed.
        let domain = "x".to_owned();
        assert_eq!(
            step_of(&ConnectError::NoStartTls { domain }, Stage::Nowhere),
            "TLS"
        );
    }
}
