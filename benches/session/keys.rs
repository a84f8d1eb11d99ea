//! The participants: names, keys, and what each knows of the other.

use std::sync::Arc;

use xtls_session::{Binding, Mode, Service};
use xtls_stanza::Address;
use xtls_tls::rustls::time_provider::DefaultTimeProvider;
use xtls_tls::trust::{Level, Method, Policy, Store};
use xtls_tls::{Expectations, Identity, Role};
use zeroize::Zeroizing;

pub(crate) const ROMEO: &str = "romeo@montague.example/orchard";
pub(crate) const JULIET: &str = "juliet@capulet.example/balcony";

pub(crate) fn address(text: &str) -> Address {
    Address::new(text).expect("an address")
}

pub(crate) fn identity(jid: &str, seed: u8) -> Arc<Identity> {
    let seed = Zeroizing::new([seed; 32]);
    Arc::new(Identity::generate(address(jid).bare(), &seed, 1_767_225_600).expect("an identity"))
}

pub(crate) fn config(identity: &Arc<Identity>) -> xtls_tls::Config {
    let time = Arc::new(DefaultTimeProvider);
    xtls_tls::Config::new(identity.clone(), xtls_tls::default_provider(), time).expect("TLS")
}

pub(crate) fn knows(peer: &str, key: &Identity) -> Arc<Store> {
    let mut store = Store::new();
    let level = Level::Verified(Method::Fingerprint);
    store
        .pin(address(peer).bare(), key.fingerprint(), level, 0)
        .expect("a pin");
    Arc::new(store)
}

/// The context of one end.
pub(crate) fn context(role: Role, mode: Mode) -> (Binding, xtls_tls::Config, Expectations) {
    let (own, peer, seed) = match role {
        Role::Client => (ROMEO, JULIET, 1),
        Role::Server => (JULIET, ROMEO, 2),
    };
    let binding = Binding {
        own: address(own),
        peer: address(peer),
        sid: "s1".to_owned(),
        service: Service::new("bench", mode),
        role,
    };
    let store = knows(peer, &identity(peer, 3 - seed));
    let expect = binding.expect(store, Policy::Pinned);
    (binding, config(&identity(own, seed)), expect)
}
