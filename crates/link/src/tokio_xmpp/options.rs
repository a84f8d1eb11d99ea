//! What `connect` needs to know.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use xtls_stanza::Address;
use zeroize::Zeroizing;

/// How the connection is encrypted. There is no unencrypted one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    /// STARTTLS at the host of `_xmpp-client`, and direct TLS at that of `_xmpps-client` where no connection could be
    /// made. With a server given: direct TLS on ports 5223 and 443, STARTTLS on others.
    #[default]
    Auto,
    /// STARTTLS (RFC 6120 §5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    DirectTls,
}

/// How a lost connection is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait before the first attempt; it doubles with each. Default 1 s. Each wait is cut at random to between half
    /// and the whole, so that the clients of a restarted server do not all come at once.
    pub first: Duration,
    /// The longest wait. Default 30 s.
    pub longest: Duration,
    /// An outage that lasts longer ends the link. Default 5 min.
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            give_up: Duration::from_secs(300),
        }
    }
}

/// The account and the way to its server.
#[derive(Clone)]
pub struct Options {
    pub(super) account: Address,
    pub(super) password: Zeroizing<String>,
    pub(super) resource: Option<String>,
    pub(super) server: Option<(String, u16)>,
    pub(super) security: Security,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) allow_plain: bool,
    pub(super) fill: bool,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
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
            ca_file: None,
            allow_plain: false,
            fill: true,
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
        }
    }

    /// The resource to ask for. Default: the server chooses. The server may give another one in any case.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
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

    /// A file of PEM certificates that are trusted besides the system's.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Shows the server the password itself (SASL PLAIN, inside TLS) if it offers nothing better. Default: never.
    #[must_use]
    pub fn allow_plain(mut self, allow: bool) -> Self {
        self.allow_plain = allow;
        self
    }

    /// Whether white space keeps the server's reads whole while much is sent: Prosody passes bulk two to four times as
    /// fast with it, others do not care. It costs less than 1 kB for all that leaves at once, and nothing when less than
    /// 4 kB leave at a time or 50 ms lie between. Default: yes.
    #[must_use]
    pub fn fill(mut self, fill: bool) -> Self {
        self.fill = fill;
        self
    }

    /// How long one attempt may take, from the name look-up to the login, and as long again the binding of a resource.
    /// Default 30 s.
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
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("account", &self.account)
            .field("resource", &self.resource)
            .field("server", &self.server)
            .field("security", &self.security)
            .field("ca_file", &self.ca_file)
            .field("allow_plain", &self.allow_plain)
            .field("fill", &self.fill)
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
