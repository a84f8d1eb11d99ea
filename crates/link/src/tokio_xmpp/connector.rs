//! One whole attempt: from the name look-up to a stream that is logged in and has no resource yet.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;
use tokio_xmpp::jid::Jid;
use tokio_xmpp::minidom;
use tokio_xmpp::parsers::stream_error::{ReceivedStreamError, StreamError};
use tokio_xmpp::stanzastream::Connection;
use tokio_xmpp::xmlstream::{RecvFeaturesError, StreamHeader, Timeouts, initiate_stream};

use super::align::Align;
use super::dial::{Route, Start};
use super::error::ConnectError;
use super::login::LoginStream;
use super::options::Options;
use super::pipe::Pipe;
use super::sasl::{self, Login};
use super::screen::{Numbers, Screen, Sighting};
use super::socket::Socket;
use super::starttls;
use super::tls::{Exporter, Tls};
use xtls_stanza::normalise::normalise;

const NS_CLIENT: &str = "jabber:client";
const DURING: &str = "after logging in";

/// After this long without a word from the server it is asked for one, and half as long again later it is given up.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Everything that an attempt needs, so that the next one is like the first.
#[derive(Clone)]
pub(super) struct Connector {
    route: Route,
    tls: Tls,
    login: Login,
    /// The address to ask for: with a resource if one is wanted.
    identity: Jid,
    numbers: Numbers,
    fill: bool,
}

impl Connector {
    pub(super) fn new(options: &Options) -> Result<Self, ConnectError> {
        let account = normalise(options.account.as_str())?;
        let Some(local) = account.local().map(str::to_owned) else {
            return Err(ConnectError::NoLocalPart {
                account: account.to_string(),
            });
        };
        let wanted = match &options.resource {
            Some(resource) => format!("{account}/{resource}"),
            None => account.to_string(),
        };
        let wanted = normalise(&wanted)?;
        let identity = Jid::new(wanted.as_str())
            .map_err(|error| ConnectError::protocol("with the account's address", error))?;
        let domain = account.domain().to_owned();
        Ok(Self {
            tls: Tls::new(&domain, options.ca_file.as_deref())?,
            route: Route {
                domain: domain.clone(),
                server: options.server.clone(),
                security: options.security,
            },
            login: Login {
                account: account.to_string(),
                local,
                domain,
                password: options.password.clone(),
                allow_plain: options.allow_plain,
                bound: Arc::default(),
            },
            identity,
            numbers: Numbers::default(),
            fill: options.fill,
        })
    }

    /// The address that is asked for.
    pub(super) fn wanted(&self) -> &str {
        self.identity.as_str()
    }

    pub(super) async fn connect(
        &self,
        sightings: mpsc::UnboundedSender<Sighting>,
    ) -> Result<Connection, ConnectError> {
        let (tcp, start) = self.route.dial().await?;
        let socket = Socket::new(tcp).map_err(|error| ConnectError::broken("at once", &error))?;
        let socket = match start {
            Start::StartTls => starttls::negotiate(socket, &self.login.domain).await?,
            Start::DirectTls => socket,
        };
        let (tls, exporter) = self.tls.handshake(socket, start).await?;
        let tls = self.log_in(tls, exporter).await?;
        tracing::debug!("logged in");
        let align = self.fill.then(Align::default);
        let screen = Screen::new(self.numbers.clone());
        self.open(Pipe::new(tls, screen, sightings, align)).await
    }

    async fn log_in(
        &self,
        tls: TlsStream<Socket>,
        exporter: Option<Exporter>,
    ) -> Result<TlsStream<Socket>, ConnectError> {
        let login = &self.login;
        let mut stream =
            LoginStream::start(tls, sasl::DURING, Some(&login.account), &login.domain).await?;
        let features = stream.features().await?;
        sasl::log_in(&mut stream, &features, login, exporter).await?;
        let (tls, early) = stream.finish();
        if early.iter().all(u8::is_ascii_whitespace) {
            return Ok(tls);
        }
        Err(ConnectError::protocol(
            sasl::DURING,
            "it goes on before the stream is restarted",
        ))
    }

    /// Restarts the stream as tokio-xmpp's.
    async fn open<T>(&self, pipe: Pipe<T>) -> Result<Connection, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let header = StreamHeader {
            from: Some(Cow::Borrowed(self.login.account.as_str())),
            to: Some(Cow::Borrowed(self.login.domain.as_str())),
            id: None,
        };
        let timeouts = Timeouts {
            read_timeout: SILENCE,
            response_timeout: SILENCE / 2,
        };
        let pending = initiate_stream(pipe, NS_CLIENT, header, timeouts)
            .await
            .map_err(|error| ConnectError::broken(DURING, &error))?;
        let (features, stream) = pending.recv_features().await.map_err(|error| match error {
            RecvFeaturesError::Io(error) => ConnectError::broken(DURING, &error),
            RecvFeaturesError::StreamError(ReceivedStreamError(error)) => stream_error(error),
        })?;
        // tokio-xmpp's worker panics on a stream that offers none.
        if !features.can_bind() {
            return Err(ConnectError::protocol(
                DURING,
                "it offers no resource binding",
            ));
        }
        Ok(Connection {
            stream: stream.box_stream(),
            features,
            identity: self.identity.clone(),
        })
    }
}

fn stream_error(error: StreamError) -> ConnectError {
    let text = error.texts.values().next().cloned().unwrap_or_default();
    let element = minidom::Element::from(error);
    let condition = element.children().find(|child| child.name() != "text");
    let condition = condition
        .map_or("undefined-condition", minidom::Element::name)
        .to_owned();
    ConnectError::Stream { condition, text }
}

/// A connection that is over as soon as it is used.
///
/// A worker of tokio-xmpp that waits for a connection is ended by one, and by nothing else: without, it waits for ever,
/// and panics when the slot for it is dropped.
pub(super) async fn farewell(identity: &str) -> Option<Connection> {
    const GREETING: &[u8] = b"<stream:stream xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>\
        <stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
    let io = tokio::io::join(GREETING, tokio::io::sink());
    let pending = initiate_stream(io, NS_CLIENT, StreamHeader::default(), Timeouts::default())
        .await
        .ok()?;
    let (features, stream) = pending.recv_features().await.ok()?;
    Some(Connection {
        stream: stream.box_stream(),
        features,
        identity: Jid::new(identity).ok()?,
    })
}
