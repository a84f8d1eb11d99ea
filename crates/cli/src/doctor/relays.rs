//! Relays of your server, through which byte streams pass beside it (XEP-0065).

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use xtls_client::LinkError;
use xtls_s5b::xtls_reach::Reach;
use xtls_s5b::{ConnectError, Destination, Relays, RelaysEvent, Unusable, connect};
use xtls_stanza::Address;
use xtls_stanza::s5b::{Sid, Streamhost};

use super::desk::Desk;
use super::report::Report;
use crate::failure::Failure;
use crate::say::shown;

/// What a server has announced.
#[derive(Debug, Default)]
struct Found {
    relays: Vec<Streamhost>,
    unusable: Option<(Address, Unusable)>,
}

/// Looks for relays, and connects to them until one answers.
pub(super) async fn examine(
    own: &Address,
    software: Option<&str>,
    desk: &mut Desk,
    report: &Report,
) -> Result<(), Failure> {
    let found = find(own, desk).await?;
    let mut failed = None;
    for relay in found.relays.iter().take(MOST) {
        match reach(relay, desk).await {
            Ok(()) => {
                let text = format!(
                    "{} answers: `send`, `pipe` and `forward` can pass through it, beside the server's stanzas (XEP-0065)",
                    shown(relay.jid.bare())
                );
                return report.fine("relays", text);
            }
            Err(why) => drop(failed.get_or_insert((relay, why))),
        }
    }
    if let Some((relay, why)) = failed {
        let jid = shown(relay.jid.bare());
        let at = format!("{}, port {}", shown(relay.host.as_str()), relay.port);
        let text = format!("{jid} is announced at {at}, {}", trouble(&why));
        return report.remark("relays", text, ELSEWHERE);
    }
    if let Some((jid, why)) = found.unusable {
        let text = format!("{} can't be used: {why}", shown(jid.as_str()));
        return report.remark("relays", text, "whoever runs the server can tell");
    }
    report.remark("relays", NONE, &remedy(software, own.domain()))
}

/// What the server, and what belongs to it, say of themselves.
async fn find(own: &Address, desk: &mut Desk) -> Result<Found, LinkError> {
    let began = Instant::now();
    let deadline = began + PATIENCE;
    let mut relays = Relays::new(began.into_std(), &desk.id(), own);
    let mut found = Found::default();
    loop {
        while let Some(question) = relays.poll_transmit() {
            match timeout_at(deadline, desk.send(question)).await {
                Ok(sent) => sent?,
                Err(_) => return Ok(found),
            }
        }
        while let Some(event) = relays.poll_event() {
            match event {
                RelaysEvent::Found(relay) => found.relays.push(relay.streamhost().clone()),
                RelaysEvent::Unusable { jid, why } => found.unusable = Some((jid, why)),
                RelaysEvent::Over => return Ok(found),
            }
        }
        match timeout_at(deadline, desk.next()).await {
            Ok(envelope) => relays.handle(&envelope?),
            Err(_) => return Ok(found),
        };
    }
}

/// Asks a relay for a bytestream that nobody else knows, and leaves it again. It may be as near as the server.
async fn reach(relay: &Streamhost, desk: &mut Desk) -> Result<(), ConnectError> {
    let own = desk.link().bound().clone();
    let server = desk.link().server_address();
    let near: Vec<Reach> = server.iter().map(|at| Reach::of(at.ip())).collect();
    let Ok(sid) = Sid::new(&desk.id()) else {
        return Err(ConnectError::NoAddress);
    };
    let destination = Destination::new(&sid, &own, &own);
    connect(relay, destination, &near).await.map(drop)
}

/// Why it is of no use to be announced there.
fn trouble(why: &ConnectError) -> String {
    match why {
        ConnectError::Forbidden(Reach::Loopback | Reach::Unspecified) => {
            "which is an address that every machine has for itself".to_owned()
        }
        ConnectError::Forbidden(Reach::Private | Reach::LinkLocal) => {
            "which is an address of a private network".to_owned()
        }
        ConnectError::Forbidden(_) => "which is no address of a machine in the Internet".to_owned(),
        ConnectError::Lookup(why) => format!("and that name can't be looked up: {why}"),
        ConnectError::NoAddress => "and that name has no address".to_owned(),
        ConnectError::Unreachable(why) | ConnectError::Broken(why) => {
            format!("and can't be reached there: {why}")
        }
        ConnectError::Timeout => "and does not answer there".to_owned(),
        ConnectError::Socks(why) => format!("and does not do there what relays do: {why}"),
        // Of a later version.
        why => format!("and can't be reached there: {why}"),
    }
}

/// What whoever runs the server can do, in its own words if we know which it is.
fn remedy(software: Option<&str>, domain: &str) -> String {
    let prosody = format!("        Component \"proxy.{domain}\" \"proxy65\"");
    let ejabberd = "        mod_proxy65: {}";
    let is = |name| software.is_some_and(|software| software.eq_ignore_ascii_case(name));
    if is("prosody") {
        return format!(
            "whoever runs it can add this line to the configuration of Prosody, and the name to the DNS:\n{prosody}"
        );
    }
    if is("ejabberd") {
        return format!(
            "whoever runs it can add this line to `modules` in the configuration of ejabberd:\n{ejabberd}"
        );
    }
    format!(
        "whoever runs it can add a line to its configuration; Prosody's, with the name in the DNS as well:\n{prosody}\n\
         ejabberd's, in `modules`:\n{ejabberd}"
    )
}

const NONE: &str = "none (XEP-0065): files, pipes and forwards pass through the server as stanzas, which most servers slow down";

const ELSEWHERE: &str = "whoever runs the server can correct what it announces: `proxy65_address` in Prosody, `hostname` of mod_proxy65 in ejabberd";

/// How long the server may take for its answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Relays that are connected to.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_address_that_leads_nowhere_is_called_so() {
        let private = trouble(&ConnectError::Forbidden(Reach::Private));
        assert_eq!(private, "which is an address of a private network");
        let refused = std::io::Error::other("connection refused");
        let refused = trouble(&ConnectError::Unreachable(refused));
        assert_eq!(refused, "and can't be reached there: connection refused");
    }

    #[test]
    fn an_admin_gets_the_line_for_the_software_that_runs_there() {
        let prosody = "\n        Component \"proxy.montague.example\" \"proxy65\"";
        let ejabberd = "\n        mod_proxy65: {}";
        let lines = |software| {
            let remedy = remedy(software, "montague.example");
            (remedy.contains(prosody), remedy.contains(ejabberd))
        };
        assert_eq!(lines(Some("Prosody")), (true, false));
        assert_eq!(lines(Some("ejabberd")), (false, true));
        assert_eq!(lines(Some("Openfire")), (true, true));
        assert_eq!(lines(None), (true, true));
    }
}
