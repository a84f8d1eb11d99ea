//! An account on a server, with a home folder of its own for one test.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xtls_client::Home;
use xtls_client::xmpp::{self, Link, Options};
use xtls_stanza::Address;
use xtls_tls::trust::{Level, Method};
use xtls_tls::{Fingerprint, Identity};
use zeroize::Zeroizing;

use super::program::{Program, Running};
use super::server::Server;
use super::soon;
use crate::keys;

/// Who runs the program, or breaks the rules.
#[derive(Debug)]
pub struct Person {
    server: Server,
    name: &'static str,
    folder: TempDir,
}

impl Person {
    /// A person unknown to everyone, with a new key.
    pub fn new(server: &Server, name: &'static str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self {
            server: server.clone(),
            name,
            folder,
        }
    }

    /// Romeo and Juliet, who have compared their keys.
    pub fn pair(server: &Server) -> (Self, Self) {
        let (romeo, juliet) = Self::strangers(server);
        romeo.verify(&juliet);
        juliet.verify(&romeo);
        (romeo, juliet)
    }

    /// Romeo and Juliet, who have never met.
    pub fn strangers(server: &Server) -> (Self, Self) {
        (Self::new(server, "romeo"), Self::new(server, "juliet"))
    }

    /// The bare address.
    pub fn address(&self) -> Address {
        keys::address(&format!("{}@{}", self.name, self.server.domain()))
    }

    /// The address with a resource.
    pub fn at(&self, resource: &str) -> Address {
        self.address()
            .with_resource(resource)
            .expect("a resource")
            .into()
    }

    /// The server of the account.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The file with the account's password.
    pub fn password_file(&self) -> PathBuf {
        self.server.password_file(self.name)
    }

    /// A path in the person's own folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in the person's own folder that holds a secret, so no one else may read it.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    }

    /// The folder of keys and pins.
    pub fn home(&self) -> PathBuf {
        self.file("home")
    }

    /// The person's key, made on first use.
    pub fn identity(&self) -> Identity {
        Home::at(self.home())
            .identity(&self.address())
            .expect("a key")
    }

    /// The fingerprint that others pin.
    pub fn fingerprint(&self) -> Fingerprint {
        self.identity().fingerprint()
    }

    /// Pins another person's key as if they had compared it.
    pub fn verify(&self, other: &Self) {
        self.pin(&other.address(), other.fingerprint());
    }

    /// Pins a key.
    pub fn pin(&self, whose: &Address, key: Fingerprint) {
        let mut pins = Home::at(self.home())
            .pins(&self.address())
            .expect("a pin store");
        let level = Level::Verified(Method::Fingerprint);
        pins.change(|store, now| store.pin(whose.bare(), key, level, now))
            .expect("a new pin");
    }

    /// The program with this account's key and pins, `args` first; it contacts no server unless told which.
    pub fn program(&self, args: &[&str]) -> Program {
        Program::new(args)
            .arg("--json")
            .args(["--account", self.address().as_str()])
            .arg("--home")
            .arg(self.home())
    }

    /// The program with this account on its server over STARTTLS.
    pub fn online(&self, args: &[&str]) -> Program {
        let (host, port) = self.server.starttls();
        self.program(args)
            .args(["--server", &format!("{host}:{port}")])
            .arg("--ca-file")
            .arg(self.server.ca_file())
            .arg("--password-file")
            .arg(self.password_file())
    }

    /// Starts a listener for one session and waits until it listens.
    pub async fn listen(&self, verb: &str, resource: &str, more: &[&str]) -> Running {
        let mut running = self
            .online(&[verb, "--listen", "--once", "--resource", resource])
            .args(more)
            .start();
        running.event("listening").await;
        running
    }

    /// The account without the program: a connection of its own.
    pub async fn link(&self, resource: &str) -> Link {
        soon("the login", xmpp::connect(self.options(resource)))
            .await
            .expect("a login")
    }

    /// What such a connection is made by.
    pub fn options(&self, resource: &str) -> Options {
        self.options_anywhere().resource(resource)
    }

    /// What a connection is made by whose resource the server chooses.
    pub fn options_anywhere(&self) -> Options {
        let (host, port) = self.server.starttls();
        Options::new(&self.address(), read(&self.password_file()))
            .server(host, port)
            .ca_file(self.server.ca_file())
    }
}

fn read(path: &Path) -> Zeroizing<String> {
    let text = std::fs::read_to_string(path).expect("a password file");
    Zeroizing::new(text.trim_end().to_owned())
}
