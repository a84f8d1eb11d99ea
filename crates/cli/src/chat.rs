//! `xtls chat`: a text conversation with one peer at a time.

mod commands;
mod conversation;
mod input;
mod message;

use std::io::IsTerminal as _;

use xtls_client::router::TurnedAway;
use xtls_client::router::{Closed, SendError, Why};
use xtls_client::session::Service;
use xtls_client::stanza::busy::Limit;
use xtls_client::{Arrival, Tunnel};

use crate::args::ConversationArgs;
use crate::ask::Person;
use crate::attended::{Attended, Seen};
use crate::failure::{Code, Failure};
use crate::link::{self, Link};
use crate::output::Output;
use crate::say::{self, Say};
use crate::stop::Stop;
use crate::suggest::Suggest;
use crate::terminal::Prompt;
use commands::Command;
use conversation::{Current, Sent, Step, step};
use input::{Input, Said};
use message::Message;

/// Runs until the conversation is over.
pub(crate) async fn run(talk: &ConversationArgs, say: Say, stop: Stop) -> Result<(), Failure> {
    let person = Person::at_the_terminal();
    let link = tokio::select! {
        link = link::connect(talk, &person, [Service::stanzas()]) => link?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    let mut chat = Chat::new(talk, say, stop, person);
    link::greet(talk, &link, say);
    chat.turn(link).await
}

struct Chat {
    say: Say,
    stop: Stop,
    talk: ConversationArgs,
    suggest: Suggest,
    person: Person,
    input: Input,
    /// The input has ended.
    input_ended: bool,
    output: Output,
    /// The current conversation, which may not be established yet.
    current: Option<Current>,
    /// A new tunnel with the same peer, which waits for the previous one to end.
    next: Option<Tunnel>,
    /// The number of conversations so far.
    number: u64,
    outcome: Result<(), Failure>,
    /// The last conversation has ended.
    over: bool,
}

impl Chat {
    fn new(talk: &ConversationArgs, say: Say, stop: Stop, person: Person) -> Self {
        let (person, input) = Input::open(&stop, person, no_conversation());
        Self {
            say,
            stop,
            suggest: Suggest::new(&talk.account),
            talk: talk.clone(),
            person,
            input,
            input_ended: false,
            output: Output::open(),
            current: None,
            next: None,
            number: 0,
            outcome: Ok(()),
            over: false,
        }
    }

    async fn turn(&mut self, mut link: Link) -> Result<(), Failure> {
        if let Some(peer) = &self.talk.peer {
            let peer = link::calling(peer, self.say)?;
            let tunnel = link.client.open(&peer).await?;
            self.begin(tunnel);
        }
        let mut stopping = false;
        while !self.over {
            self.prompt();
            // One conversation at a time: other callers are asked to try again later.
            link.incoming.pause(self.current.is_some());
            let wanted = self.wants_input();
            tokio::select! {
                said = self.input.next(), if wanted => self.on_said(said).await,
                step = step(&mut self.current) => match step {
                    Step::Seen(seen) => self.on_seen(&link, seen).await,
                    Step::Sent(sent) => self.on_sent(&link, sent),
                    Step::Shown((confirm, shown)) => self.on_shown(confirm, shown).await,
                },
                Some(arrival) = link.incoming.arrival(), if self.talk.listen => match arrival {
                    Arrival::Tunnel(tunnel) => self.on_incoming(tunnel).await,
                    Arrival::TurnedAway(away) => self.on_turned_away(&away),
                },
                () = self.stop.asked(), if !stopping => {
                    stopping = true;
                    self.interrupted().await;
                }
                ended = &mut link.task => return Err(self.lost(link::ended(ended))),
            }
        }
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        let outcome = self.stop.or_interrupted(outcome);
        link::leave(link, outcome).await
    }

    /// Makes a tunnel the current conversation.
    fn begin(&mut self, tunnel: Tunnel) {
        self.number += 1;
        let attended = Attended::new(tunnel, self.person.clone(), self.say, self.suggest.clone());
        self.current = Some(Current::new(attended));
    }

    /// Shows the user where typed lines go.
    fn prompt(&self) {
        let Some(terminal) = self.person.terminal().filter(|_| self.input.is_screen()) else {
            return;
        };
        let prompt = match &self.current {
            None => no_conversation(),
            Some(current) => current.prompt(self.number, self.input_ended),
        };
        terminal.prompt(prompt);
    }

    /// A user may type at any time. Other input is read only when it can be sent.
    fn wants_input(&self) -> bool {
        if self.input_ended {
            return false;
        }
        match &self.current {
            _ if self.input.is_screen() => true,
            None => false,
            Some(current) => current.open && current.sending.is_none() && current.outbox.is_empty(),
        }
    }

    async fn on_said(&mut self, said: Option<Said>) {
        match said {
            Some(Said::Line { text, .. }) if self.command(&text).await => {}
            Some(Said::Line { conversation, text }) => {
                // A second slash turns a command into text.
                let said = commands::text(&text).filter(|_| self.input.is_screen());
                let text = said.map_or_else(|| text.clone(), str::to_owned);
                let current = self.current.as_mut();
                let theirs = conversation.is_none_or(|number| number == self.number);
                match current.filter(|current| theirs && !current.finishing) {
                    Some(current) => current.say(&text, self.say),
                    None => {
                        conversation::say_not_sent(&text, "its recipient has left", self.say);
                        // A user sees the warning; a pipe relies on the exit code.
                        if !self.input.is_screen() && self.outcome.is_ok() {
                            self.outcome = Err(Failure::new(Code::Peer, "not everything was sent"));
                        }
                    }
                }
            }
            Some(Said::Wrong(failure)) => {
                self.say.warn(
                    "not_sent",
                    &[("why", failure.what.as_str().into())],
                    &failure.what,
                );
                self.fail(failure);
            }
            None => self.end_of_input().await,
        }
        self.pump();
    }

    async fn end_of_input(&mut self) {
        self.input_ended = true;
        match &mut self.current {
            Some(current) => current.end_of_input().await,
            // A listener on a terminal without a conversation has nothing left to wait for.
            None => self.over = self.input.is_screen(),
        }
    }

    /// Runs a command typed by the user. Returns whether the line was one; input from a pipe never is.
    async fn command(&mut self, line: &str) -> bool {
        if !self.input.is_screen() {
            return false;
        }
        match commands::read(line) {
            Command::Say(_) => return false,
            Command::Quit => self.end_of_input().await,
            command @ (Command::Help | Command::Who | Command::Verify | Command::Unknown(_)) => {
                commands::run(&command, self.current.as_mut(), self.say);
            }
        }
        true
    }

    /// Sends what is queued.
    fn pump(&mut self) {
        if let Some(current) = &mut self.current {
            current.pump();
        }
    }

    async fn on_seen(&mut self, link: &Link, seen: Option<Seen>) {
        let Some(current) = &mut self.current else {
            return;
        };
        match seen {
            Some(Seen::Ready) => {
                current.open = true;
                let fields = [("peer", current.attended.peer().as_str().into())];
                let text = format_args!("waiting for {} to accept your key …", current.name);
                current.attended.say().event("waiting", &fields, text);
            }
            Some(Seen::Established) => {
                current.open = true;
                current.established = true;
                if self.input_ended {
                    current.end_of_input().await;
                }
            }
            Some(Seen::Stanza(stanza)) => {
                if let Some(recorder) = &link.recorder {
                    recorder.inner("in", &stanza);
                }
                match message::read(&stanza) {
                    Some(Message::Text { text, confirm }) => self.show(text, confirm),
                    Some(Message::Receipt(id)) => {
                        if let Some(text) = current.undelivered.confirmed(&id)
                            && self.input.is_screen()
                        {
                            say::said(YOU, &text);
                        }
                    }
                    None => {}
                }
            }
            Some(Seen::Refused(violation)) => {
                link::say_refused(current.attended.peer(), &violation, current.attended.say());
            }
            Some(Seen::PeerFinished) => {
                let fields = [("peer", current.attended.peer().as_str().into())];
                let text = format!("{} has left", current.name);
                if !current.attended.came_to_verify() {
                    current.attended.say().event("peer_finished", &fields, text);
                }
                // When one side leaves a chat, it is over for both.
                current.finishing = true;
            }
            Some(Seen::Mismatch(failure)) => {
                // A possible interceptor gets nothing more to read.
                current.attended.sender().abort().await;
                self.fail(failure);
            }
            Some(Seen::Unanswered(_)) => {}
            Some(Seen::Closed(closed)) => self.closed(&closed),
            None => self.current = None,
        }
        self.pump();
    }

    /// Shows a message of the peer. Until the output has accepted it, nothing more is read from the peer.
    fn show(&mut self, text: String, confirm: Option<String>) {
        let Some(current) = &mut self.current else {
            return;
        };
        if self.input.is_screen() {
            say::said(&current.name, &text);
            current.confirm(confirm);
            return;
        }
        let bytes = if std::io::stdout().is_terminal() {
            say::quoted(&current.name, &text)
        } else {
            // Between pipes, text passes unchanged.
            text
        };
        let output = self.output.clone();
        current.showing = Some(Box::pin(async move {
            let written = output.write(format!("{bytes}\n").into_bytes()).await;
            (confirm, written)
        }));
    }

    async fn on_shown(&mut self, confirm: Option<String>, shown: Result<(), Failure>) {
        let Some(current) = &mut self.current else {
            return;
        };
        current.showing = None;
        match shown {
            Ok(()) => current.confirm(confirm),
            Err(failure) => {
                // The peer must not believe that it was delivered.
                current.attended.sender().abort().await;
                self.outcome = Err(failure);
                self.input_ended = true;
            }
        }
        self.pump();
    }

    fn on_sent(&mut self, link: &Link, sent: Sent) {
        let Some(current) = &mut self.current else {
            return;
        };
        current.sending = None;
        let Some((outgoing, sent)) = sent else {
            return;
        };
        match sent {
            Ok(()) => {
                if let Some(recorder) = &link.recorder {
                    recorder.inner("out", &outgoing.stanza);
                }
            }
            // The end of the tunnel is reported with its reason and the lost line.
            Err(
                SendError::Gone(_) | SendError::Session(xtls_client::session::SendError::Finished),
            ) => {}
            Err(error) => {
                if let Some(id) = outgoing.line {
                    current.undelivered.unsent(&id);
                }
                let failure = Failure::usage(format!("{error}: the line was not sent"));
                self.say.warn(
                    "not_sent",
                    &[("why", failure.what.as_str().into())],
                    &failure.what,
                );
                self.fail(failure);
            }
        }
        self.pump();
    }

    async fn on_incoming(&mut self, tunnel: Tunnel) {
        let peer = tunnel.peer().clone();
        let fields = [("peer", peer.as_str().into())];
        match &self.current {
            None => {
                self.say.of(tunnel.id()).event(
                    "incoming",
                    &fields,
                    format_args!("{peer} is calling"),
                );
                self.begin(tunnel);
            }
            // The end of the previous tunnel has not been reported yet.
            Some(current) if !current.established && *current.attended.peer() == peer => {
                self.next = Some(tunnel);
            }
            Some(current) => {
                self.say.event(
                    "declined",
                    &fields,
                    format_args!(
                        "declined a call from {peer}: you are talking to {}",
                        current.name
                    ),
                );
                tunnel.close().await;
            }
        }
    }

    fn on_turned_away(&self, away: &TurnedAway) {
        match &self.current {
            Some(current) if away.busy.limit == Limit::Incoming => {
                let peer = &away.peer;
                let text = format_args!(
                    "asked {peer} to call again later: you are talking to {}",
                    current.name
                );
                self.say
                    .event("declined", &[("peer", peer.as_str().into())], text);
            }
            Some(_) | None => link::say_turned_away(away, self.say),
        }
    }

    async fn interrupted(&mut self) {
        self.outcome = Err(Failure::interrupted());
        self.input_ended = true;
        match &mut self.current {
            None => self.over = true,
            Some(current) => {
                current.finishing = true;
                current.finished = true;
                self.say.event(
                    "closing",
                    &[],
                    "closing the conversation (press Ctrl-C again to end at once)",
                );
                current.attended.sender().close().await;
            }
        }
    }

    fn closed(&mut self, closed: &Closed) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        if closed.unconfirmed == 0 && closed.clean {
            for text in current.undelivered.all_confirmed() {
                if self.input.is_screen() {
                    say::said(YOU, &text);
                }
            }
        }
        let mut failure = Failure::of_close(closed, &self.suggest);
        let peer = &closed.peer;
        let fields = link::closed_fields(closed);
        if !current.undelivered.is_empty() {
            current.name_undelivered(current.attended.say());
            failure.get_or_insert_with(|| {
                Failure::new(
                    Code::Corrupt,
                    format!("{peer} has not confirmed everything you sent"),
                )
            });
        }
        match failure {
            None => current.attended.say().event(
                "closed",
                &fields,
                format_args!("the conversation with {} is over", current.name),
            ),
            Some(failure) => {
                current.attended.say().data("closed", &fields);
                self.fail(failure);
            }
        }
        let superseded = closed.why == Why::Superseded;
        if let Some(next) = self.next.take() {
            self.begin(next);
            return;
        }
        let listening = self.talk.listen && !self.stop.is_asked();
        self.over = !listening || (self.talk.calls.once && !superseded);
        if listening && self.input_ended && self.input.is_screen() {
            self.over = true;
        }
    }

    /// The connection to the server is lost: names the undelivered lines, and returns the reason to exit with.
    fn lost(&self, failure: Failure) -> Failure {
        if let Some(current) = &self.current
            && !current.undelivered.is_empty()
        {
            current.name_undelivered(current.attended.say());
        }
        match &self.outcome {
            Err(earlier) if earlier.code == Code::Interrupted => Failure::interrupted(),
            Ok(()) | Err(_) => failure,
        }
    }

    /// Handles a failed conversation: a listener continues, other modes end with the first failure.
    fn fail(&mut self, failure: Failure) {
        if self.talk.listen && !self.talk.calls.once && failure.code != Code::Usage {
            self.say.failure(&failure);
        } else if self.outcome.is_ok() {
            self.outcome = Err(failure);
        }
    }
}

/// The prompt while no one is connected.
fn no_conversation() -> Prompt {
    Prompt {
        conversation: 0,
        name: NO_NAME.to_owned(),
        certainty: None,
        undelivered: Vec::new(),
        closed: Some(NO_ONE.to_owned()),
    }
}

/// Shown in place of a name.
const NO_NAME: &str = "(no one)";

/// The author shown for our lines once they are delivered.
const YOU: &str = "you";

/// Why nothing can be sent without a conversation.
const NO_ONE: &str = "no one is connected";
