//! What your server can do.

use std::time::Duration;

use xtls_client::LinkError;
use xtls_client::xmpp::Session;
use xtls_stanza::disco::{Info, Query};
use xtls_stanza::{Address, Payload};

use super::desk::{Desk, Unanswered};
use super::report::Report;
use crate::failure::Failure;

/// Reports on what the server grants. Returns the name of its software, if it says.
pub(super) async fn examine(
    own: &Address,
    wanted: &str,
    desk: &mut Desk,
    report: &mut Report,
) -> Result<Option<String>, Failure> {
    let domain = Address::new(own.domain()).map_err(|error| Failure::failed(error.to_string()))?;
    // Behind its answer, all that our own presence has brought has come.
    let info = info(&domain, desk).await?;
    resource(own, wanted, desk, report)?;
    resumption(desk, report)?;
    stanzas(desk, report)?;
    let identities = info.into_iter().flat_map(|info| info.identities);
    let mut servers = identities.filter(|identity| identity.category == "server");
    Ok(servers.find_map(|identity| identity.name))
}

/// What an entity says of itself, or nothing.
async fn info(whom: &Address, desk: &mut Desk) -> Result<Option<Info>, LinkError> {
    let query = Payload::DiscoQuery(Query::default());
    Ok(match desk.ask(whom, query, PATIENCE).await? {
        Ok(Some(Payload::DiscoInfo(info))) => Some(info),
        Ok(_) | Err(Unanswered::Refused(_) | Unanswered::Silence) => None,
    })
}

fn resource(own: &Address, wanted: &str, desk: &Desk, report: &Report) -> Result<(), Failure> {
    let others = desk.resources(own.bare());
    if others.iter().any(|other| other == wanted) {
        let text = format!(
            "{}/{wanted} is taken: one of your clients is there",
            own.bare()
        );
        let remedy = "if it is not `xtls … --listen`, or you want a second one, choose another with --resource";
        return report.remark("resource", text, remedy);
    }
    let text = format!("{}/{wanted} is free for a listener", own.bare());
    report.fine("resource", text)
}

fn resumption(desk: &Desk, report: &Report) -> Result<(), Failure> {
    if desk.link().session().is_some_and(Session::is_resumable) {
        let text = "the server keeps your session while the connection is away (XEP-0198)";
        return report.fine("resuming", text);
    }
    report.remark(
        "resuming",
        "the server does not keep sessions (XEP-0198): a lost connection ends every conversation",
        "ask whoever runs it for stream management",
    )
}

fn stanzas(desk: &Desk, report: &Report) -> Result<(), Failure> {
    match desk.link().stanza_limit() {
        Some(limit) => report.fine("stanzas", format!("of up to {limit} bytes (XEP-0478)")),
        None => report.unknown(
            "stanzas",
            "the server names no limit (XEP-0478), so xtls begins with small ones",
        ),
    }
}

/// How long a server's answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
