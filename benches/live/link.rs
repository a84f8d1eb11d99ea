//! The server that xtask started, and logins there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use xtls_client::uplink::normalise;
use xtls_client::xmpp::{self, Link, Options};
use zeroize::Zeroizing;

/// The description of the server that xtask wrote, one `key=value` per line.
pub(crate) struct Server(BTreeMap<String, String>);

impl Server {
    pub(crate) fn named_in(variable: &str) -> Option<Self> {
        let path = std::env::var(variable).ok()?;
        let text = std::fs::read_to_string(path).expect("the server's facts");
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let facts = lines.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Some(Self(facts.collect()))
    }

    pub(crate) fn fact(&self, key: &str) -> &str {
        self.0.get(key).expect("a fact")
    }

    pub(crate) fn port(&self) -> u16 {
        self.fact("starttls_port").parse().expect("a port")
    }

    pub(crate) fn password_file(&self, account: &str) -> &str {
        self.fact(&format!("{account}_password_file"))
    }

    /// How often the server's log says this.
    pub(crate) fn logged(&self, words: &str) -> usize {
        let log = std::fs::read(self.fact("log_file")).expect("the server's log");
        memchr::memmem::find_iter(&log, words).count()
    }

    /// A link with the options that the program itself uses.
    pub(crate) async fn login(&self, account: &str, resource: &str) -> Link {
        let options = self.options(account, resource);
        xmpp::connect(options).await.expect("a login")
    }

    /// The same without XEP-0198.
    pub(crate) async fn login_unmanaged(&self, account: &str, resource: &str) -> Link {
        let options = self.options(account, resource).stream_management(false);
        xmpp::connect(options).await.expect("a login")
    }

    fn options(&self, account: &str, resource: &str) -> Options {
        let password =
            std::fs::read_to_string(self.password_file(account)).expect("a password file");
        let address = normalise(&format!("{account}@{}", self.fact("domain"))).expect("an address");
        let password = Zeroizing::new(password.trim().to_owned());
        Options::new(&address, password)
            .resource(resource)
            .server("127.0.0.1", self.port())
            .ca_file(PathBuf::from(self.fact("ca_file")))
    }
}
