//! A running server, as xtask describes it in a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A server that xtask started.
#[derive(Debug, Clone)]
pub struct Server {
    facts: BTreeMap<String, String>,
}

impl Server {
    /// The server without limits.
    pub fn free() -> Self {
        Self::described_in("XTLS_PROSODY_FREE")
    }

    /// The server without limits, and without a log of every stanza. It has a switch.
    pub fn quiet() -> Self {
        Self::described_in("XTLS_PROSODY_QUIET")
    }

    /// The server as Debian ships it: 10 kB/s from each client.
    pub fn stock() -> Self {
        Self::described_in("XTLS_PROSODY_STOCK")
    }

    /// Prosody with SASL2 and Bind 2, without limits.
    pub fn sasl2() -> Self {
        Self::described_in("XTLS_PROSODY_SASL2")
    }

    /// ejabberd, without limits. It has a switch.
    pub fn ejabberd() -> Self {
        Self::described_in("XTLS_EJABBERD")
    }

    /// Prosody with its package's configuration, and a certificate that its own tool has made.
    pub fn packaged_prosody() -> Self {
        Self::described_in("XTLS_PROSODY_PACKAGED")
    }

    /// ejabberd with its package's configuration and certificate.
    pub fn packaged_ejabberd() -> Self {
        Self::described_in("XTLS_EJABBERD_PACKAGED")
    }

    fn described_in(variable: &str) -> Self {
        let path = std::env::var(variable).unwrap_or_else(|_| {
            panic!("{variable} is not set: run `cargo xtask test`, which starts the servers")
        });
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let facts = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Self { facts }
    }

    fn fact(&self, key: &str) -> &str {
        self.facts
            .get(key)
            .unwrap_or_else(|| panic!("the server's facts say nothing of {key}"))
    }

    /// The domain of its accounts.
    pub fn domain(&self) -> &str {
        self.fact("domain")
    }

    /// Where it offers STARTTLS.
    pub fn starttls(&self) -> (String, u16) {
        ("127.0.0.1".to_owned(), self.port("starttls_port"))
    }

    /// Where it uses TLS from the first byte.
    pub fn direct_tls(&self) -> (String, u16) {
        ("127.0.0.1".to_owned(), self.port("tls_port"))
    }

    /// The domain of its component.
    pub fn component(&self) -> &str {
        self.fact("component")
    }

    /// Where it takes that in.
    pub fn component_port(&self) -> u16 {
        self.port("component_port")
    }

    /// The file with the component's secret.
    pub fn component_secret_file(&self) -> PathBuf {
        self.fact("component_secret_file").into()
    }

    fn port(&self, key: &str) -> u16 {
        self.fact(key)
            .parse()
            .unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    /// The authority that signed its certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.fact("ca_file").into()
    }

    /// Its log, including every stanza.
    pub fn log_file(&self) -> PathBuf {
        self.fact("log_file").into()
    }

    /// The socket by which it is turned off and on.
    pub fn switch(&self) -> PathBuf {
        self.fact("switch").into()
    }

    /// The file with an account's password.
    pub fn password_file(&self, account: &str) -> PathBuf {
        self.fact(&format!("{account}_password_file")).into()
    }
}
