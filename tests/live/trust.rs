//! Keys: your own, the first contact, and the pin store on the command line.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Ended, end_both};
use xtls_tests::live::server::Server;

/// One session in which nothing is sent. Returns how both ended, the initiator first.
async fn meet(romeo: &Person, juliet: &Person, resource: &str, policy: &str) -> [Ended; 2] {
    let accept = romeo.address();
    let listener = juliet
        .listen(
            "stanzas",
            resource,
            &["--accept", accept.as_str(), "--trust", policy],
        )
        .await;
    let to = juliet.at(resource);
    let initiator = romeo
        .online(&["stanzas", to.as_str(), "--trust", policy])
        .start();
    end_both(initiator, listener).await
}

fn standing(ended: &Ended) -> Value {
    ended.event("established").unwrap()["standing"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_contact_is_pinned_and_then_required() {
    first_contact(&Server::free()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ejabberd_carries_a_first_contact() {
    first_contact(&Server::ejabberd()).await;
}

async fn first_contact(server: &Server) {
    let (romeo, juliet) = Person::strangers(server);
    for ended in meet(&romeo, &juliet, "tofu", "tofu").await {
        ended.expect(0);
        assert_eq!(standing(&ended), "unverified");
    }
    for ended in meet(&romeo, &juliet, "tofu", "pinned").await {
        ended.expect(0);
        assert_eq!(standing(&ended), "pinned");
    }
    let listed = romeo.program(&["trust", "list"]).run().await;
    listed.expect(0);
    let (address, key) = (juliet.address(), juliet.fingerprint());
    let [pin] = listed.objects().try_into().expect("one pin");
    assert_eq!(pin["event"], "pin");
    assert_eq!(pin["peer"], address.as_str());
    assert_eq!(pin["fingerprint"], key.hex());
    assert_eq!(pin["level"], "first use");

    let forgotten = romeo
        .program(&["trust", "forget", address.as_str()])
        .run()
        .await;
    assert_eq!(forgotten.expect(0).event("forgotten").unwrap()["keys"], 1);
    let [initiator, listener] = meet(&romeo, &juliet, "tofu", "pinned").await;
    initiator
        .expect(5)
        .silent()
        .saying("no key is pinned for juliet@")
        .saying("xtls trust pin --account romeo@")
        .saying("'<the fingerprint they give you>'");
    listener
        .expect(5)
        .silent()
        .saying("does not accept our key");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_a_stranger_is_refused() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let ends = meet(&romeo, &juliet, "ask", "ask").await;
    // The end that refuses first reports it: the other may not have reached its own verdict.
    let [initiator, listener] = &ends;
    initiator.expect(5).silent();
    listener.expect(5).silent();
    assert!(
        ends.iter()
            .any(|ended| ended.event("nobody_to_ask").is_some())
    );
    assert_eq!(
        romeo
            .program(&["trust", "list"])
            .run()
            .await
            .expect(0)
            .text(),
        ""
    );
}

#[tokio::test]
async fn pins_are_shown_and_never_overwritten() {
    let server = Server::free();
    let (romeo, juliet) = Person::strangers(&server);
    let other = Person::new(&server, "juliet");
    let address = juliet.address();
    let trust = async |args: &[&str]| romeo.program(&[&["trust"], args].concat()).run().await;

    // An account without a key has no pins, and gets none.
    trust(&["show", address.as_str()])
        .await
        .expect(2)
        .silent()
        .saying("no key for romeo@");
    romeo.identity();
    trust(&["show", address.as_str()])
        .await
        .expect(1)
        .silent()
        .saying("no key is pinned for juliet@");
    // As `xtls id` prints it, in several arguments.
    let grouped = juliet.fingerprint().to_string();
    let pin: Vec<_> = ["pin", address.as_str()]
        .into_iter()
        .chain(grouped.split(' '))
        .collect();
    trust(&pin).await.expect(0);
    let shown = trust(&["show", address.as_str()]).await;
    let [pin] = shown.expect(0).objects().try_into().expect("one pin");
    assert_eq!(pin["fingerprint"], juliet.fingerprint().hex());
    assert_eq!(pin["level"], "verified by fingerprint");

    let key = other.fingerprint().hex();
    trust(&["pin", address.as_str(), &key])
        .await
        .expect(5)
        .silent()
        .saying("--another");
    trust(&["pin", address.as_str(), &key, "--another"])
        .await
        .expect(0);
    assert_eq!(
        trust(&["show", address.as_str()])
            .await
            .expect(0)
            .output
            .len(),
        2
    );
    trust(&["pin", address.as_str(), "0123"])
        .await
        .expect(2)
        .silent();
    let own = romeo.fingerprint().hex();
    trust(&["pin", address.as_str(), &own])
        .await
        .expect(5)
        .silent()
        .saying("your own key");
    trust(&["forget", address.as_str()]).await.expect(0);
    trust(&["forget", address.as_str()]).await.expect(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_for_good() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let address = juliet.address();
    let trust = async |args: &[&str]| romeo.program(&[&["trust"], args].concat()).run().await;
    let key = juliet.fingerprint().hex();
    let own = romeo.fingerprint().hex();
    trust(&["revoke", address.as_str(), &own])
        .await
        .expect(5)
        .silent()
        .saying("your own key");
    trust(&["revoke", romeo.address().as_str(), &key])
        .await
        .expect(5)
        .silent();
    trust(&["revoke", address.as_str(), "0123"])
        .await
        .expect(2)
        .silent();
    let revoked = trust(&["revoke", address.as_str()]).await;
    assert_eq!(
        revoked.expect(0).silent().event("revoked").unwrap()["fingerprint"],
        key
    );
    let again = trust(&["revoke", address.as_str()]).await;
    again
        .expect(1)
        .silent()
        .saying("no key is pinned for juliet@");

    for policy in ["pinned", "tofu"] {
        let [initiator, listener] = meet(&romeo, &juliet, "revoked", policy).await;
        initiator.expect(5).silent().saying("which is revoked");
        listener
            .expect(5)
            .silent()
            .saying("does not accept our key");
        // And it stays revoked.
        trust(&["forget", address.as_str()]).await.expect(0);
    }
    let shown = trust(&["show", address.as_str()]).await;
    assert!(
        shown.expect(0).text().contains("revoked"),
        "{}",
        shown.text()
    );
    // A key that was never met.
    let other = Person::new(romeo.server(), "juliet").fingerprint().hex();
    trust(&["revoke", address.as_str(), &other]).await.expect(0);
    assert_eq!(trust(&["show", address.as_str()]).await.output.len(), 2);
}

#[tokio::test]
async fn a_damaged_store_is_not_an_empty_one() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let store = xtls_client::Home::at(romeo.home())
        .account(&romeo.address())
        .join("pins");
    let text = std::fs::read_to_string(&store).unwrap();
    std::fs::write(&store, &text[..text.len() - 2]).unwrap();
    let ended = romeo
        .online(&["stanzas", juliet.address().as_str(), "--trust", "tofu"])
        .run()
        .await;
    ended.expect(1).silent().saying("is damaged");
}

#[tokio::test]
async fn the_key_is_made_once_and_kept_private() {
    let romeo = Person::new(&Server::free(), "romeo");
    let first = romeo.program(&["id"]).run().await;
    first.expect(0);
    let [id] = first.objects().try_into().expect("one answer");
    assert_eq!(id["address"], romeo.address().as_str());
    assert_eq!(id["fingerprint"], romeo.fingerprint().hex());
    let uri = format!(
        "xmpp:{}?xtls;fp={}",
        romeo.address(),
        romeo.fingerprint().hex()
    );
    assert_eq!(id["uri"], uri);

    let file = xtls_client::Home::at(romeo.home())
        .account(&romeo.address())
        .join("key.pem");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // The only account need not be named again.
    let again = romeo.program(&["id"]).without("--account").run().await;
    assert_eq!(again.expect(0).objects(), [id]);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    romeo
        .program(&["id"])
        .run()
        .await
        .expect(1)
        .silent()
        .saying("chmod 600");
}
