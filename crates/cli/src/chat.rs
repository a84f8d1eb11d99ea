//! `xtls chat`: a text conversation with one peer at a time.

mod callers;
mod commands;
mod conversation;
mod cut;
mod ending;
mod heard;
mod history;
mod input;
mod message;
mod page;
mod returns;
mod states;
mod transfers;

use tokio::time::{Instant, MissedTickBehavior};
use xtls_client::router::{Closed, OpenError, Why};
use xtls_client::session::Service;
use xtls_client::{Arrival, Tunnel};

use crate::args::{Acceptable, Chat as Args, ConversationArgs};
use crate::ask::Person;
use crate::attended::{Attended, Seen};
use crate::failure::{Code, Failure};
use crate::link::{self, Link};
use crate::receive;
use crate::say::Say;
use crate::stop::Stop;
use crate::suggest::Suggest;
use crate::terminal::{self, Prompt};
use callers::Callers;
use commands::Command;
use conversation::{Current, Sent, Step, Who, name_missing, prefix, say_turned_away, step};
use cut::Due;
use ending::Ending;
use history::History;
use input::{Input, Said};
use page::Page;
use returns::{Returns, no_conversation};
use states::{LOOK, States};
use transfers::Transfers;

/// Runs until the conversation is over.
pub(crate) async fn run(args: &Args, say: Say, stop: Stop) -> Result<(), Failure> {
    let mut talk = args.talk.clone();
    // The peer of a call may open tunnels beside the conversation.
    let peer = talk.peer.as_ref().map(|peer| peer.to_bare());
    talk.calls.accept.extend(peer.map(Acceptable::One));
    if !args.dir.is_dir() {
        return Err(receive::no_folder(&args.dir));
    }
    let history = History::open(args.history.as_deref(), say)?;
    let person = Person::at_the_terminal();
    let services = [Service::stanzas(), transfers::service()];
    let link = tokio::select! {
        link = link::connect(&talk, &person, services) => link?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    let mut chat = Chat::new(args, &talk, say, stop, person, history.clone())?;
    link::greet(&talk, &link, say);
    let outcome = chat.turn(link).await;
    history.finish();
    outcome
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
    page: Page,
    history: History,
    /// What the terminal was told last.
    prompted: Option<Prompt>,
    /// The current conversation, which may not be established yet.
    current: Option<Current>,
    /// Tunnels that its peer opens beside it.
    callers: Callers,
    transfers: Transfers,
    returns: Returns,
    /// Each end may know when the other is writing.
    states: bool,
    /// What the ids of messages of this run begin with.
    origin: String,
    /// The number of conversations so far.
    number: u64,
    ending: Ending,
}

impl Chat {
    fn new(
        args: &Args,
        talk: &ConversationArgs,
        say: Say,
        stop: Stop,
        person: Person,
        history: History,
    ) -> Result<Self, Failure> {
        let origin = link::random_name()?;
        let (person, input) = Input::open(&stop, person, no_conversation());
        let wanted = args.reconnect || input.is_screen();
        let suggest = Suggest::new(&talk.account).with_listener("xtls chat --listen");
        Ok(Self {
            say,
            stop,
            transfers: Transfers::new(args.dir.clone(), person.clone(), say, suggest.clone()),
            ending: Ending::new(talk, say),
            suggest,
            person,
            page: Page::new(input.is_screen(), history.clone()),
            returns: Returns::new(wanted, !talk.listen, say, history.clone()),
            history,
            input,
            input_ended: false,
            prompted: None,
            current: None,
            callers: Callers::default(),
            states: args.chat_states,
            origin,
            number: 0,
            talk: talk.clone(),
        })
    }

    async fn turn(&mut self, mut link: Link) -> Result<(), Failure> {
        if let Some(peer) = &self.talk.peer {
            let peer = link::calling(peer, self.say)?;
            let tunnel = link.client.open(&peer).await?;
            self.begin(tunnel);
        }
        let mut stopping = false;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.ending.is_over() {
            self.prompt();
            // One conversation at a time: other callers are asked to try again later.
            link.incoming
                .turn_newcomers_away(!self.talk.listen || self.current.is_some());
            let wanted = self.wants_input();
            tokio::select! {
                said = self.input.next(), if wanted => self.on_said(&link, said).await,
                step = step(&mut self.current) => match step {
                    Step::Seen(seen) => self.on_seen(&link, seen).await,
                    Step::Sent(sent) => self.on_sent(&link, sent),
                    Step::Shown((confirm, shown)) => self.on_shown(confirm, shown).await,
                },
                () = self.transfers.step() => {}
                (tunnel, service) = self.callers.sorted() => self.on_sorted(tunnel, &service).await,
                Some(arrival) = link.incoming.arrival() => match arrival {
                    Arrival::Tunnel(tunnel) => self.on_incoming(tunnel).await,
                    Arrival::TurnedAway(away) => say_turned_away(self.current.as_ref(), &away, self.say),
                },
                now = look.tick(), if self.current.is_some() => {
                    if let Some(current) = &mut self.current {
                        current.look(self.input.is_screen().then(terminal::typing), now);
                        current.pump();
                    }
                }
                due = self.returns.due(), if self.current.is_none() => self.on_due(&link, due).await,
                () = self.stop.asked(), if !stopping => {
                    stopping = true;
                    self.interrupted().await;
                }
                ended = &mut link.task => return Err(self.lost(link::ended(ended))),
            }
        }
        self.transfers.end();
        link::leave(link, self.ending.outcome(&self.stop)).await
    }

    /// Makes a tunnel the current conversation, or goes on with one that was cut.
    fn begin(&mut self, tunnel: Tunnel) {
        let cut = self.returns.take(tunnel.peer());
        if cut.is_none() {
            self.number += 1;
        }
        let attended = Attended::new(tunnel, self.person.clone(), self.say, self.suggest.clone());
        let states = (self.states).then(|| States::new(terminal::typing(), Instant::now()));
        self.current = Some(Current::new(
            attended,
            prefix(&self.origin, self.number),
            cut,
            states,
        ));
    }

    /// It is time to call a peer again, or too late.
    async fn on_due(&mut self, link: &Link, due: Due) {
        match due {
            Due::Call(peer) => match link.client.open(&peer).await {
                Ok(tunnel) => {
                    let fields = [("peer", peer.as_str().into())];
                    self.say.of(tunnel.id()).data("opening", &fields);
                    self.begin(tunnel);
                }
                // Stopped: the link has ended, which is reported by itself.
                Err(OpenError::Already(_) | OpenError::Stopped) => self.returns.missed(),
                Err(error) => {
                    self.returns.abandon();
                    self.ending.fail(error.into());
                    self.ending.end();
                }
            },
            Due::GiveUp => {
                self.forsake();
                self.ending.after_one(false, false);
            }
        }
    }

    /// Nobody comes back.
    fn forsake(&mut self) {
        if let Some(failure) = self.returns.abandon() {
            self.ending.fail(failure);
        }
        self.transfers.end();
    }

    /// Shows the user where typed lines go.
    fn prompt(&mut self) {
        let Some(terminal) = self.person.terminal().filter(|_| self.input.is_screen()) else {
            return;
        };
        let mut prompt = match &self.current {
            None => self.returns.prompt(self.number),
            Some(current) => current.prompt(self.number, self.input_ended),
        };
        prompt.transfers = self.transfers.rows();
        // Each prompt interrupts whoever types.
        if self.prompted.replace(prompt.clone()).as_ref() != Some(&prompt) {
            terminal.prompt(prompt);
        }
    }

    /// A user may type at any time. Other input is read only when it can be sent.
    fn wants_input(&self) -> bool {
        let idle = || self.current.as_ref().is_some_and(Current::is_idle);
        !self.input_ended && (self.input.is_screen() || idle())
    }

    async fn on_said(&mut self, link: &Link, said: Option<Said>) {
        match said {
            Some(Said::Line { text, .. }) if self.command(link, &text).await => {}
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
                        if !self.input.is_screen() {
                            let failure = Failure::new(Code::Peer, "not everything was sent");
                            self.ending.note(failure);
                        }
                    }
                }
            }
            Some(Said::Wrong(failure)) => self.not_sent(failure),
            None => self.end_of_input().await,
        }
        self.pump();
    }

    async fn end_of_input(&mut self) {
        self.input_ended = true;
        match &mut self.current {
            Some(current) => current.end_of_input().await,
            // A user who ends the input while nobody is there has nothing left to wait for.
            None => {
                if self.input.is_screen() {
                    self.ending.end();
                }
                self.forsake();
            }
        }
    }

    /// Runs a command typed by the user. Returns whether the line was one; input from a pipe never is.
    async fn command(&mut self, link: &Link, line: &str) -> bool {
        if !self.input.is_screen() {
            return false;
        }
        match commands::read(line) {
            Command::Say(_) => return false,
            Command::Quit => self.end_of_input().await,
            Command::Send(typed) => {
                let with = self.current.as_ref().and_then(Current::partner);
                self.transfers.send(typed, with, &link.client);
            }
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
            Some(Seen::Ready) => current.ready(),
            Some(Seen::Established) => self.on_established().await,
            Some(Seen::Stanza(stanza)) => {
                if let Some(recorder) = &link.recorder {
                    recorder.inner("in", &stanza);
                }
                self.page.on_stanza(current, &stanza);
            }
            Some(Seen::Refused(violation)) => {
                link::say_refused(current.attended.peer(), &violation, current.attended.say());
            }
            Some(Seen::PeerFinished) => current.peer_left(),
            Some(Seen::Mismatch(failure)) => {
                // A possible interceptor gets nothing more to read, and no files.
                current.attended.sender().abort().await;
                current.left = true;
                self.transfers.end();
                self.ending.fail(failure);
            }
            Some(Seen::Unanswered(_)) => {}
            Some(Seen::Closed(closed)) => self.closed(&closed),
            None => self.current = None,
        }
        self.pump();
    }

    /// Both ends have accepted each other.
    async fn on_established(&mut self) {
        let Some(current) = &mut self.current else {
            return;
        };
        let say = current.attended.say();
        let proven = current.attended.sender().proven();
        if proven.is_none_or(|peer| peer.service != Service::stanzas()) {
            return self.refuse_files();
        }
        match current.establish() {
            Who::New => {}
            Who::Back { again } => current.say_back(again),
            Who::Another(cut) => {
                let missing = cut.undelivered.missing();
                name_missing(cut.peer(), &missing, &self.history, say);
                if !self.talk.listen {
                    current.attended.sender().abort().await;
                    return self.ending.fail(cut::another_key(cut.peer()));
                }
                self.number += 1;
                current.begin_anew(prefix(&self.origin, self.number));
            }
        }
        if self.input_ended {
            current.end_of_input().await;
        }
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
                self.ending.fail_with(failure);
                self.input_ended = true;
            }
        }
        self.pump();
    }

    fn on_sent(&mut self, link: &Link, sent: Sent) {
        let current = self.current.as_mut();
        let failure = current.and_then(|current| current.sent(sent, link.recorder.as_ref()));
        if let Some(failure) = failure {
            self.not_sent(failure);
        }
        self.pump();
    }

    fn not_sent(&mut self, failure: Failure) {
        let fields = [("why", failure.what.as_str().into())];
        self.say.warn("not_sent", &fields, &failure.what);
        self.ending.fail(failure);
    }

    async fn on_incoming(&mut self, tunnel: Tunnel) {
        let peer = tunnel.peer().clone();
        let fields = [("peer", peer.as_str().into())];
        match &self.current {
            None => {
                let (say, text) = (self.say.of(tunnel.id()), format!("{peer} is calling"));
                say.event("incoming", &fields, text);
                self.begin(tunnel);
            }
            // For files; or the end of the previous tunnel has not been reported yet.
            Some(current) if *current.attended.peer() == peer => self.callers.hold(tunnel),
            Some(current) => current.decline(tunnel, self.say).await,
        }
    }

    /// What a tunnel that the peer has opened beside the conversation is for.
    async fn on_sorted(&mut self, tunnel: Tunnel, service: &Service) {
        if *service == transfers::service() {
            let with = self.current.as_ref().and_then(Current::partner);
            return self.transfers.receive(tunnel, with);
        }
        match &self.current {
            Some(current) if current.established && !self.returns.are_wanted() => {
                current.decline(tunnel, self.say).await;
            }
            Some(_) => self.callers.keep(tunnel),
            None => self.begin(tunnel),
        }
    }

    /// Somebody has called with files, and there is no conversation.
    fn refuse_files(&mut self) {
        if let Some(mut current) = self.current.take() {
            self.returns.wait_on(current.cut.take());
            transfers::decline(current.attended);
        }
    }

    async fn interrupted(&mut self) {
        self.ending.fail_with(Failure::interrupted());
        self.input_ended = true;
        match &mut self.current {
            None => {
                self.returns.abandon();
                self.ending.end();
            }
            Some(current) => {
                self.stop.closing("closing the conversation");
                current.close().await;
            }
        }
    }

    fn closed(&mut self, closed: &Closed) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        if closed.unconfirmed == 0 && closed.clean {
            for text in current.undelivered.all_confirmed() {
                self.page.delivered(&current, &text);
            }
        }
        let mut failure = Failure::of_close(closed, &self.suggest);
        let leaving = self.stop.is_asked() || (self.input_ended && self.input.is_screen());
        if !leaving && self.returns.keep(&mut current, closed, failure.as_ref()) {
            if let Some(next) = self.callers.take() {
                self.begin(next);
            }
            return;
        }
        self.transfers.end();
        if current.name_undelivered(&self.history) {
            failure.get_or_insert_with(|| cut::unconfirmed(&closed.peer));
        }
        current.say_over(closed, failure.is_none());
        if let Some(failure) = failure {
            self.ending.fail(failure);
        }
        if let Some(next) = self.callers.take() {
            self.begin(next);
            return;
        }
        let begun = closed.why == Why::Superseded;
        self.ending.after_one(begun, leaving);
    }

    /// The connection to the server is lost: names the undelivered lines, and returns the reason to exit with.
    fn lost(&mut self, failure: Failure) -> Failure {
        self.returns.abandon();
        if let Some(current) = &self.current {
            current.name_undelivered(&self.history);
        }
        self.ending.lost(failure)
    }
}
