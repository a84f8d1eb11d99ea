//! One whole attempt: from the name look-up to a stream on which stanzas pass.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use xtls_stanza::Address;
use xtls_stanza::normalise::normalise;

use super::dial::Dial;
use super::network::{Network, System};
use super::options::Options;
use super::race::Race;
use super::route::{Route, Start, Target};
use super::socket::Socket;
use super::step::{Step, Watch};
use super::tls::{Tls, encryption};
use crate::cause::Cause;
use crate::error::{ConnectError, HUNG_UP};
use crate::location::Location;
use crate::scram::Exporter;
use crate::session::Session;
use crate::starttls::StartTls;
use crate::stream::{Event, Opened, Stream};
use crate::stream_error::Verdict;

/// Everything that an attempt needs, so that the next one is like the first.
pub(super) struct Connector<N = System> {
    route: Route,
    tls: Tls,
    network: Arc<N>,
    dialer: Option<Arc<dyn Dial>>,
    limit: Duration,
    watch: Option<Watch>,
}

/// A stream that is open, and what carries it.
pub(super) struct Connection {
    pub(super) tls: TlsStream<Socket>,
    pub(super) stream: Stream,
}

/// Where an attempt goes.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    /// To the domain's server.
    Home,
    /// Where the server has sent us, or prefers to be reached. Its name and key are the same.
    Elsewhere(Location),
}

impl Connector {
    /// Reads the system's certificates, which takes a moment.
    pub(super) fn new(options: &Options) -> Result<(Self, Session), ConnectError> {
        Self::over(System, options)
    }
}

impl<N: Network + 'static> Connector<N> {
    pub(super) fn over(network: N, options: &Options) -> Result<(Self, Session), ConnectError> {
        let account = normalise(options.account.as_str());
        let account = account.map_err(|why| ConnectError::Address(Cause::new(why)))?;
        let domain = account.domain().to_owned();
        let session = session(&account, options)?;
        let mut tls = Tls::new(&domain, options.ca_file.as_deref(), options.pin)?;
        if let Some((certificates, key)) = &options.certificate {
            tls = tls.with_certificate(certificates, key)?;
        }
        let connector = Self {
            tls,
            route: Route {
                domain,
                server: options.server.clone(),
                security: options.security,
                looks_up: options.dialer.is_none(),
            },
            network: Arc::new(network),
            dialer: options.dialer.clone(),
            limit: options.timeout,
            watch: options.watch.clone(),
        };
        Ok((connector, session))
    }

    /// Connects, and gives the session back if it fails.
    pub(super) async fn connect(
        self: Arc<Self>,
        mut session: Session,
        goal: Goal,
    ) -> Result<(Connection, Opened), Box<(ConnectError, Session)>> {
        let limit = self.limit;
        let deadline = Instant::now() + limit;
        let late = |_| ConnectError::Timeout { limit };
        let targets = timeout_at(deadline, self.targets(&goal, &mut session)).await;
        let targets = match targets.map_err(late).flatten() {
            Ok(targets) => targets,
            Err(why) => return Err(Box::new((why, session))),
        };
        self.tell(|| Step::Located {
            places: targets.iter().map(Target::shown).collect(),
        });
        let network = Arc::clone(&self.network);
        let mut race = Race::new(network, self.dialer.clone(), targets, Instant::now());
        let mut told = Told(None);
        loop {
            let reached = timeout_at(deadline, self.reach(&mut race, &mut told)).await;
            let reached = reached.unwrap_or_else(|_| Err(told.or(ConnectError::Timeout { limit })));
            let (mut tls, exporter) = match reached {
                Ok(reached) => reached,
                Err(why) => return Err(Box::new((why, session))),
            };
            let mut stream = Stream::new(session, exporter, Instant::now().into_std());
            let opened = timeout_at(deadline, negotiate(&mut tls, &mut stream)).await;
            let why = match opened.map_err(late).flatten() {
                Ok(opened) => return Ok((Connection { tls, stream }, opened)),
                Err(why) => why,
            };
            session = stream.into_session(Instant::now().into_std());
            // What it says of the account, the others would say as well.
            let is_of_one = matches!(why, ConnectError::Broken { .. }) || may_pass(&why);
            if !is_of_one {
                return Err(Box::new((why, session)));
            }
            told.note(why);
        }
    }

    /// Whether the server was given, and is not looked for.
    pub(super) fn is_given(&self) -> bool {
        self.route.server.is_some()
    }

    async fn targets(
        &self,
        goal: &Goal,
        session: &mut Session,
    ) -> Result<Vec<Target>, ConnectError> {
        match goal {
            Goal::Home => {
                self.route
                    .targets(&*self.network, &mut || session.random())
                    .await
            }
            Goal::Elsewhere(Location { host, port }) => Ok(self.route.given(host, *port)),
        }
    }

    /// The next server that answers in TLS.
    ///
    /// # Errors
    /// There is none, or what one said goes for all.
    async fn reach(
        &self,
        race: &mut Race<N>,
        told: &mut Told,
    ) -> Result<(TlsStream<Socket>, Option<Exporter>), ConnectError> {
        loop {
            let (socket, start) = race.next().await.map_err(|why| told.or(why))?;
            let encrypted = self.encrypt(socket, start);
            let encrypted = match race.is_over() {
                true => encrypted.await,
                // One that answers nothing must not use the others' time up.
                false => timeout(PATIENCE, encrypted)
                    .await
                    .unwrap_or(Err(ConnectError::Timeout { limit: PATIENCE })),
            };
            let why = match encrypted {
                Ok(encrypted) => return Ok(encrypted),
                Err(why) => why,
            };
            tracing::debug!(
                error = &why as &dyn std::error::Error,
                "no encrypted connection"
            );
            let is_stopped = matches!(why, ConnectError::Injected { .. } | ConnectError::Stream(_));
            if is_stopped && !may_pass(&why) {
                return Err(why);
            }
            told.note(why);
        }
    }

    fn tell(&self, step: impl FnOnce() -> Step) {
        if let Some(Watch(watch)) = &self.watch {
            watch(step());
        }
    }

    async fn encrypt(
        &self,
        socket: Socket,
        start: Start,
    ) -> Result<(TlsStream<Socket>, Option<Exporter>), ConnectError> {
        self.tell(|| Step::Connected {
            address: socket.address(),
        });
        let socket = match start {
            Start::StartTls => start_tls(socket, &self.route.domain).await?,
            Start::DirectTls => socket,
        };
        let (stream, exporter) = self.tls.handshake(socket, start).await?;
        self.tell(|| Step::Encrypted(encryption(stream.get_ref().1, start == Start::DirectTls)));
        Ok((stream, exporter))
    }
}

/// The most telling of what went wrong with the servers that could be reached, which is worth more than that the last of
/// them could not.
struct Told(Option<ConnectError>);

impl Told {
    /// The first that said what is wrong, or else the first.
    fn note(&mut self, why: ConnectError) {
        if self.0.is_none() || self.0.as_ref().is_some_and(is_silence) && !is_silence(&why) {
            self.0 = Some(why);
        }
    }

    fn or(&self, last: ConnectError) -> ConnectError {
        self.0.clone().unwrap_or(last)
    }
}

/// Whether a server has ended the stream for a reason of its own, which another one may not have.
fn may_pass(why: &ConnectError) -> bool {
    let ConnectError::Stream(error) = why else {
        return false;
    };
    error.verdict() == Verdict::Resume
}

fn is_silence(why: &ConnectError) -> bool {
    matches!(
        why,
        ConnectError::Timeout { .. } | ConnectError::Broken { .. }
    )
}

fn session(account: &Address, options: &Options) -> Result<Session, ConnectError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|why| ConnectError::broken("at once", Cause::new(why)))?;
    let session = Session::new(account, options.password.clone(), seed);
    let session = session.map_err(|account| ConnectError::NoLocalPart {
        account: account.to_string(),
    })?;
    let session = session
        .allow_plain(options.allow_plain)
        .bind2(options.bind2)
        .stream_management(options.stream_management)
        .certificate(options.certificate.is_some());
    let Some(resource) = &options.resource else {
        return Ok(session);
    };
    let wanted = normalise(&format!("{account}/{resource}"));
    let wanted = wanted.map_err(|why| ConnectError::Address(Cause::new(why)))?;
    Ok(session.resource(wanted.resource().unwrap_or_default()))
}

/// Up to the byte where TLS begins.
async fn start_tls(mut socket: Socket, domain: &str) -> Result<Socket, ConnectError> {
    const DURING: &str = "before encryption";
    let broken = |why: std::io::Error| ConnectError::broken_io(DURING, why);
    let mut machine = StartTls::new(domain);
    let mut buffer = [0; 4_096];
    loop {
        while let Some(octets) = machine.poll_transmit() {
            socket.write_all(&octets).await.map_err(broken)?;
        }
        let read = socket.read(&mut buffer).await.map_err(broken)?;
        if read == 0 {
            return Err(ConnectError::broken(DURING, HUNG_UP));
        }
        if machine.handle_bytes(buffer.get(..read).unwrap_or_default())? {
            return Ok(socket);
        }
    }
}

/// Up to where stanzas pass.
async fn negotiate(
    tls: &mut TlsStream<Socket>,
    stream: &mut Stream,
) -> Result<Opened, ConnectError> {
    let broken = |why: std::io::Error| ConnectError::broken_io(LOGIN, why);
    loop {
        while let Some(event) = stream.poll_event(Instant::now().into_std())? {
            match event {
                Event::Opened(opened) => return Ok(opened),
                Event::Derive(job) => {
                    // Half a second of arithmetic would hold up every other task of this thread.
                    let keys = tokio::task::spawn_blocking(move || job.run()).await;
                    stream.handle_keys(
                        keys.map_err(|why| ConnectError::broken(LOGIN, Cause::new(why)))?,
                    );
                }
                Event::Stanza(_) | Event::Software | Event::Closed => {}
            }
        }
        while let Some(octets) = stream.poll_transmit(Instant::now().into_std()) {
            tls.write_all(octets).await.map_err(broken)?;
        }
        tls.flush().await.map_err(broken)?;
        let buffer = stream.buffer();
        buffer.reserve(READ);
        if tls.read_buf(buffer).await.map_err(broken)? == 0 {
            return Err(ConnectError::broken(LOGIN, HUNG_UP));
        }
        stream.heard(Instant::now().into_std());
    }
}

const LOGIN: &str = "while logging in";

/// Read at a time before stanzas pass.
const READ: usize = 4_096;

/// How long encryption may take while there are other servers to try.
const PATIENCE: Duration = Duration::from_secs(8);
