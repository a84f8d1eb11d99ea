//! A process on one side, a puppet on the other.

use xtls_tests::live::person::Person;
use xtls_tests::live::program::Running;
use xtls_tests::live::puppet::Puppet;
use xtls_tests::live::secure::{Heard, Secure};
use xtls_tests::live::server::Server;
use xtls_tls::Identity;
use zeroize::Zeroizing;

/// Juliet runs the program, Romeo is the puppet. They have compared keys, so only the fault under test can be refused.
pub(crate) struct Stage {
    pub(crate) romeo: Person,
    pub(crate) juliet: Person,
    /// The resource of both.
    resource: &'static str,
}

impl Stage {
    pub(crate) fn new(resource: &'static str) -> Self {
        let (romeo, juliet) = Person::pair(&Server::free());
        Self {
            romeo,
            juliet,
            resource,
        }
    }

    /// The same, but the two have never met and the program trusts on first use.
    pub(crate) fn first_contact(resource: &'static str) -> Self {
        let (romeo, juliet) = Person::strangers(&Server::free());
        Self {
            romeo,
            juliet,
            resource,
        }
    }

    /// Starts the program as listener for one session.
    pub(crate) async fn listener(&self, more: &[&str]) -> Running {
        let accept = self.romeo.address();
        self.juliet
            .listen(
                "stanzas",
                self.resource,
                &[&["--accept", accept.as_str()], more].concat(),
            )
            .await
    }

    /// Starts the program as initiator.
    pub(crate) fn initiator(&self, more: &[&str]) -> Running {
        let to = self.romeo.at(self.resource);
        self.juliet
            .online(&["stanzas", to.as_str(), "--resource", self.resource])
            .args(more)
            .start()
    }

    /// Logs the puppet in.
    pub(crate) async fn puppet(&self) -> Puppet {
        Puppet::login(&self.romeo, self.resource).await
    }

    /// A tunnel from the puppet to the listening program.
    pub(crate) async fn open(&self, me: Option<&Identity>) -> Secure {
        let mut secure =
            Secure::open(self.puppet().await, &self.juliet.at(self.resource), me).await;
        secure
            .handshake()
            .await
            .expect("a client accepts everything");
        secure
    }

    /// The tunnel that the program opens to the puppet, accepted by `me`; the handshake has yet to run.
    pub(crate) async fn accept(&self, puppet: Puppet, me: &Identity) -> Secure {
        Secure::accept(puppet, &self.juliet.at(self.resource), me, true).await
    }

    /// The program in both roles, one after the other, established and confirmed with the right keys.
    pub(crate) async fn established(&self, role: Role) -> (Running, Secure) {
        let me = self.romeo.identity();
        match role {
            Role::Listener => {
                let mut program = self.listener(&[]).await;
                let mut secure = self.open(Some(&me)).await;
                assert_eq!(secure.hear().await, Heard::Plain(b" ".to_vec()));
                program.event("established").await;
                (program, secure)
            }
            Role::Initiator => {
                let puppet = self.puppet().await;
                let mut program = self.initiator(&[]);
                let mut secure = self.accept(puppet, &me).await;
                secure.handshake().await.expect("a right handshake");
                secure.say(" ").await;
                program.event("established").await;
                (program, secure)
            }
        }
    }
}

/// The role of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Listener,
    Initiator,
}

pub(crate) const ROLES: [Role; 2] = [Role::Listener, Role::Initiator];

/// An unknown key, in a certificate that names `jid`.
pub(crate) fn other_key(jid: &str) -> Identity {
    Identity::generate(jid, &Zeroizing::new([0x5a; 32]), xtls_tests::keys::LETTER).expect("a key")
}
