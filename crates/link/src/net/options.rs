//! What `connect` needs to know.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use xtls_stanza::Address;
use zeroize::Zeroizing;

use super::dial::Dial;
use super::route::Security;
use super::step::{Step, Watch};
use crate::pin::Pin;
use crate::retry::Retry;

/// The account and the way to its server.
#[derive(Clone)]
pub struct Options {
    pub(super) account: Address,
    pub(super) password: Zeroizing<String>,
    pub(super) resource: Option<String>,
    pub(super) server: Option<(String, u16)>,
    pub(super) security: Security,
    pub(super) dialer: Option<Arc<dyn Dial>>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) pin: Option<Pin>,
    /// Files of it and of its key.
    pub(super) certificate: Option<(PathBuf, PathBuf)>,
    pub(super) bind2: bool,
    pub(super) stream_management: bool,
    pub(super) allow_plain: bool,
    pub(super) fill: bool,
    pub(super) presence: Option<i8>,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) watch: Option<Watch>,
}

impl Options {
    /// An account (its resource, if any, is the one to ask for) and its password.
    #[must_use]
    pub fn new(account: &Address, password: Zeroizing<String>) -> Self {
        Self {
            account: account.to_bare().into(),
            password,
            resource: account.resource().map(str::to_owned),
            server: None,
            security: Security::Auto,
            dialer: None,
            ca_file: None,
            pin: None,
            certificate: None,
            bind2: false,
            stream_management: true,
            allow_plain: false,
            fill: true,
            presence: Some(-1),
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
            watch: None,
        }
    }

    /// The resource to ask for. Default: the server chooses. The server may give another one in any case.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Lets the server bind within the log-in, as [`Session::bind2`](crate::Session::bind2) says: sooner, and at the price of the
    /// messages that it has kept for the account. Default: no.
    #[must_use]
    pub fn bind2(mut self, allow: bool) -> Self {
        self.bind2 = allow;
        self
    }

    /// Has the server acknowledge what it takes, and resume the session after a loss, as
    /// [`Session::stream_management`](crate::Session::stream_management) says. Default: yes.
    #[must_use]
    pub fn stream_management(mut self, wanted: bool) -> Self {
        self.stream_management = wanted;
        self
    }

    /// Connects to this host and port. Default: looks the account's domain up (SRV). Its certificate must name the
    /// account's domain all the same.
    #[must_use]
    pub fn server(mut self, host: impl Into<String>, port: u16) -> Self {
        self.server = Some((host.into(), port));
        self
    }

    /// How to encrypt.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Makes the connections, through a proxy for example. Default: TCP. No name is looked up then: the dialer gets the server
    /// that is given here or by the server itself, or else the account's domain with the usual port, 5222, or 5223 with
    /// [`Security::DirectTls`]. Encryption, and what the server is checked for, stay as they are.
    #[must_use]
    pub fn dialer(mut self, dialer: Arc<dyn Dial>) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// A file of PEM certificates that are trusted besides the system's: authorities, and servers' own self-signed ones.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// The server's key, which you have compared. Then it alone counts, whatever the certificate says: no authority, no name
    /// and no date; and no other key is accepted.
    #[must_use]
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// A certificate of your own, with those that lead to its authority, and its key, each a file in PEM. The server sees it in the TLS
    /// handshake, and where it offers SASL EXTERNAL you log in by it (XEP-0178), without the password. Default: none.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.certificate = Some((certificates.into(), key.into()));
        self
    }

    /// Shows the server the password itself (SASL PLAIN, inside TLS) if it offers nothing better. Default: never.
    #[must_use]
    pub fn allow_plain(mut self, allow: bool) -> Self {
        self.allow_plain = allow;
        self
    }

    /// Whether white space keeps the reads of Prosody whole while much is sent, which it passes two to four times as fast
    /// then. It costs less than 1 kB for all that leaves at once, and nothing while little is sent or the server has shown
    /// that it has a limit; other servers get none once they have shown what they are. Default: yes.
    #[must_use]
    pub fn fill(mut self, fill: bool) -> Self {
        self.fill = fill;
        self
    }

    /// The priority of the presence that is sent after each binding, or none (RFC 6121 §4.7.2.3). Default: −1, so that
    /// messages to the bare address go to people's clients.
    #[must_use]
    pub fn presence(mut self, priority: Option<i8>) -> Self {
        self.presence = priority;
        self
    }

    /// How long one attempt may take, from the name look-up to the binding. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What to do after a loss.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Is told how far each attempt has come, at once and in the task that connects. Default: nobody is.
    #[must_use]
    pub fn watch(mut self, watch: impl Fn(Step) + Send + Sync + 'static) -> Self {
        self.watch = Some(Watch(Arc::new(watch)));
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("account", &self.account)
            .field("resource", &self.resource)
            .field("server", &self.server)
            .field("security", &self.security)
            .field("dialer", &self.dialer.is_some())
            .field("ca_file", &self.ca_file)
            .field("pin", &self.pin)
            .field("certificate", &self.certificate)
            .field("bind2", &self.bind2)
            .field("stream_management", &self.stream_management)
            .field("allow_plain", &self.allow_plain)
            .field("fill", &self.fill)
            .field("presence", &self.presence)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("watch", &self.watch.is_some())
            .finish_non_exhaustive()
    }
}
