//! The other account without the program: a connection, its streams, and whatever bytes a test puts into them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant as Clock, sleep_until};
use xtls_client::uplink::LinkEvent;
use xtls_client::xmpp::Link;
use xtls_ibb::{Config, Event, Mux, OpenOptions, StreamId};
use xtls_stanza::ibb::BlockSize;
use xtls_stanza::xtls::Control;
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use super::person::Person;
use super::soon;

/// Speaks XMPP and In-Band Bytestreams correctly, in a task of its own. The test decides what travels inside.
#[derive(Debug)]
pub struct Puppet {
    own: Address,
    state: Arc<Mutex<State>>,
    /// Counts what has happened.
    changed: watch::Receiver<u64>,
    /// There is something to send.
    kick: Arc<Notify>,
    out: mpsc::UnboundedSender<Envelope>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State {
    mux: Mux,
    events: VecDeque<Event>,
    /// Answers and messages that belong to no stream.
    others: VecDeque<Envelope>,
}

impl Puppet {
    /// Logs in.
    pub async fn login(person: &Person, resource: &str) -> Self {
        let link = person.link(resource).await;
        let own = link.bound().clone();
        let config = Config::default()
            .block_size(BlockSize::MAX)
            .opens_per_minute(1000);
        let mut seed = [0; 32];
        xtls_client::random(&mut seed).expect("random bytes");
        let mut mux = Mux::new(own.clone(), config, seed);
        mux.allow(xtls_ibb::Allow::Anyone);
        let state = State {
            mux,
            events: VecDeque::new(),
            others: VecDeque::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let kick = Arc::new(Notify::new());
        let (count, changed) = watch::channel(0);
        let (out, outgoing) = mpsc::unbounded_channel();
        let pump = Pump {
            link,
            state: Arc::clone(&state),
            count,
            kick: Arc::clone(&kick),
            outgoing,
        };
        let task = tokio::spawn(pump.run()).abort_handle();
        Self {
            own,
            state,
            changed,
            kick,
            out,
            task,
        }
    }

    /// The address that the server bound.
    pub fn own(&self) -> &Address {
        &self.own
    }

    /// Sends `<open><start/></open>` and waits until it is accepted.
    pub async fn open(&mut self, to: &Address) -> StreamId {
        let start = Control::Start { hello: None }.to_element();
        let options = OpenOptions::default().extension(start);
        let id = self
            .change(|state| state.mux.open(now(), to, options))
            .expect("an open");
        let answered = |state: &mut State| {
            let mut events = state.events.iter();
            events.find_map(|event| match event {
                Event::Opened { id: opened, .. } if *opened == id => Some(Ok(())),
                Event::Closed { id: closed, close } if *closed == id => {
                    Some(Err(close.to_string()))
                }
                _ => None,
            })
        };
        self.wait("the answer to the open", answered)
            .await
            .expect("the open is accepted");
        id
    }

    /// Waits for an open with `<start/>` and accepts it.
    pub async fn accept(&mut self) -> StreamId {
        let accept = |state: &mut State| {
            let at = state
                .events
                .iter()
                .position(|event| matches!(event, Event::Incoming { .. }))?;
            let Some(Event::Incoming { id, open, .. }) = state.events.remove(at) else {
                return None;
            };
            assert!(matches!(
                Control::in_open(&open),
                Ok(Some(Control::Start { .. }))
            ));
            state
                .mux
                .stream(now(), id)
                .accept(None)
                .expect("an open stream");
            Some(id)
        };
        self.wait("an open", accept).await
    }

    /// The sid of a stream.
    pub fn sid(&self, id: StreamId) -> String {
        lock(&self.state).mux.sid(id).expect("a stream").to_string()
    }

    /// Writes all of it, as the stream has room. It is sent in the background.
    pub async fn write(&mut self, id: StreamId, bytes: &[u8]) {
        let mut rest = Bytes::copy_from_slice(bytes);
        let write = |state: &mut State| {
            // A program that refuses what it reads closes while more is on its way.
            let Ok(taken) = state.mux.stream(now(), id).write(rest.clone()) else {
                return Some(());
            };
            drop(rest.split_to(taken));
            rest.is_empty().then_some(())
        };
        self.wait("room in the stream", write).await;
    }

    /// The next bytes; `None` when the stream has ended.
    pub async fn read(&mut self, id: StreamId) -> Option<Bytes> {
        let read = |state: &mut State| {
            let ended =
                |event: &Event| matches!(event, Event::Closed { id: closed, .. } if *closed == id);
            let bytes = state.mux.stream(now(), id).read(usize::MAX);
            (bytes.is_some() || state.events.iter().any(ended)).then_some(bytes)
        };
        self.wait("bytes", read).await
    }

    /// Closes the stream once everything that was written has been acknowledged, and waits for its end. TLS, if there
    /// is any, is not involved.
    pub async fn close(&mut self, id: StreamId) {
        self.change(|state| state.mux.stream(now(), id).close());
        while self.read(id).await.is_some() {}
    }

    /// Sends a stanza.
    pub fn send(&self, envelope: Envelope) {
        self.out.send(envelope).expect("the link holds");
    }

    /// The next stanza that belongs to no stream and expects no answer.
    pub async fn other(&mut self, what: &str) -> Envelope {
        self.wait(what, |state| state.others.pop_front()).await
    }

    /// Sends a request and waits for the answer.
    pub async fn ask(&mut self, to: &Address, id: &str, content: Content) -> Content {
        self.send(Envelope {
            from: None,
            to: Some(to.clone()),
            id: id.to_owned(),
            content,
        });
        loop {
            let answer = self.other("an answer").await;
            if answer.id == id && answer.from.as_ref() == Some(to) {
                return answer.content;
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut lock(&self.state));
        self.kick.notify_one();
        changed
    }

    /// Handles everything that happens, until the awaited event is there.
    async fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            self.changed.borrow_and_update();
            if let Some(found) = self.change(&mut look) {
                return found;
            }
            soon(what, self.changed.changed())
                .await
                .expect("the link holds");
        }
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Pump {
    link: Link,
    state: Arc<Mutex<State>>,
    count: watch::Sender<u64>,
    kick: Arc<Notify>,
    outgoing: mpsc::UnboundedReceiver<Envelope>,
}

impl Pump {
    async fn run(mut self) {
        loop {
            self.flush().await;
            let deadline = lock(&self.state).mux.poll_timeout();
            let timer = async {
                match deadline {
                    Some(deadline) => sleep_until(Clock::from_std(deadline.at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                inbound = self.link.next() => match inbound.expect("the link holds") {
                    LinkEvent::Envelope(envelope) => self.take(envelope).await,
                    other => panic!("the link does not hold: {other:?}"),
                },
                Some(envelope) = self.outgoing.recv() => self.link.send(envelope).await.expect("the link holds"),
                () = self.kick.notified() => {}
                () = timer => lock(&self.state).mux.handle_timeout(now()),
            }
        }
    }

    async fn take(&mut self, envelope: Envelope) {
        let Some(other) = lock(&self.state).mux.handle(now(), envelope) else {
            return;
        };
        let answer = match &other.content {
            Content::Set(Payload::Xtls(Control::Close { .. })) => {
                other.result(Some(Payload::Xtls(Control::Closed)))
            }
            Content::Get(_) | Content::Set(_) => other.error(StanzaError::new(
                ErrorType::Cancel,
                Condition::ServiceUnavailable,
            )),
            _ => return lock(&self.state).others.push_back(other),
        };
        self.link.send(answer).await.expect("the link holds");
    }

    async fn flush(&mut self) {
        loop {
            let next = lock(&self.state).mux.poll_transmit(now());
            let Some(envelope) = next else { break };
            self.link.send(envelope).await.expect("the link holds");
        }
        {
            let mut state = lock(&self.state);
            while let Some(event) = state.mux.poll_event() {
                // Tasks that wait for bytes or room check for themselves.
                if !matches!(event, Event::Readable { .. } | Event::Writable { .. }) {
                    state.events.push_back(event);
                }
            }
        }
        self.count.send_modify(|count| *count += 1);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nobody has panicked")
}

fn now() -> Instant {
    Clock::now().into_std()
}
