//! `xtls doctor`: each step on the way to a peer, and what to do about the first that fails.

mod arrival;
mod desk;
mod peer;
mod rate;
mod relays;
mod report;
mod server;

use xtls_client::Pins;
use xtls_stanza::Address;

use crate::account;
use crate::args::Doctor;
use crate::ask::Person;
use crate::failure::Failure;
use crate::link;
use crate::say::Say;
use crate::stop::Stop;
use crate::suggest::Suggest;
use arrival::Wanted;
use desk::Desk;
use report::Report;

/// Examines the account's connection, and the way to a peer. Nothing is written, and no tunnel is opened.
pub(crate) async fn run(args: &Doctor, say: Say, stop: Stop) -> Result<(), Failure> {
    let home = account::home(&args.account)?;
    let own = account::account(&args.account, &home)?;
    // For an account that has neither keys nor pins here, nothing is made.
    let pins = match home.has(&own)? {
        true => Some(home.pins(&own)?),
        false => None,
    };
    home.key(&own)?;
    let person = Person::at_the_terminal();
    let password = tokio::select! {
        password = account::password(&args.server, &own, &person) => password?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    // The resource of listeners is looked for, and never taken from one.
    let options = link::options(&args.server, &own, password, link::random_resource()?)?;
    let server = match args.server.server {
        Some(_) => Wanted::Given,
        None => Wanted::Of(own.domain()),
    };
    let mut report = Report::new(say);
    let arrived = tokio::select! {
        arrived = arrival::connect(options, &server, &mut report) => arrived?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    let Some(link) = arrived else {
        return report.verdict();
    };
    let mut desk = Desk::new(link)?;
    let examined = tokio::select! {
        examined = examine(args, &own, pins.as_ref(), &mut desk, &mut report) => examined,
        () = stop.asked() => Err(Failure::interrupted()),
    };
    desk.close().await;
    examined?;
    report.verdict()
}

async fn examine(
    args: &Doctor,
    own: &Address,
    pins: Option<&Pins>,
    desk: &mut Desk,
    report: &mut Report,
) -> Result<(), Failure> {
    let wanted = args.server.resource.as_deref().unwrap_or(link::LISTENER);
    let software = server::examine(own, wanted, desk, report).await?;
    relays::examine(own, software.as_deref(), desk, report).await?;
    if let Some(peer) = &args.peer {
        let suggest = Suggest::new(&args.account);
        peer::examine(own, peer, pins, &suggest, desk, report).await?;
    }
    // Last, because what waits on a slow line would delay the other answers.
    rate::examine(software.as_deref(), desk, report).await
}
