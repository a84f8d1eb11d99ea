//! What the owner is told while it connects.

use std::sync::Mutex;

use super::*;
use crate::Step;

/// Connects with somebody watching. Returns the steps, and whether there is a link.
async fn steps(server: &Server, authority: &Authority) -> (Vec<Step>, Option<Link>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let steps = Arc::clone(&taken);
    let options = server.options(authority).allow_plain(true);
    let options = options.watch(move |step| steps.lock().unwrap().push(step));
    let link = connect(options).await.ok();
    let taken = taken.lock().unwrap().clone();
    (taken, link)
}

#[tokio::test]
async fn no_step_is_told_that_was_not_taken() {
    let authority = Authority::new();
    let other = Authority::new().server("example.org");
    let server = Server::start(move |tcp, _| {
        let other = other.clone();
        async move {
            let mut script = Script::new(tcp);
            script.greet(STARTTLS).await;
            script
                .hear("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                .await;
            script.say(PROCEED).await;
            // The client ends it.
            let _ = other.accept(script.io).await;
        }
    })
    .await;
    let (steps, link) = steps(&server, &authority).await;
    assert!(link.is_none());
    assert!(
        matches!(&*steps, [Step::Located { .. }, Step::Connected { .. }]),
        "{steps:?}"
    );
}

#[tokio::test]
async fn each_step_is_told_with_what_it_has_found() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, _| {
        let tls = tls.clone();
        async move {
            let script = Script::new(tcp).bound(&tls, "x").await;
            script.rest().await;
        }
    })
    .await;
    let (steps, link) = steps(&server, &authority).await;
    let [
        Step::Located { places },
        Step::Connected {
            address: Some(address),
        },
        Step::Encrypted(encryption),
    ] = &*steps
    else {
        panic!("{steps:?}");
    };
    assert_eq!(*places, [format!("127.0.0.1:{}", server.port)]);
    assert_eq!(address.port(), server.port);
    assert_eq!(encryption.names, ["example.org"]);
    assert_eq!((encryption.version, encryption.more), ("1.3", 0));
    assert!(!encryption.direct);
    assert!(!encryption.until.is_empty());
    let link = link.unwrap();
    let session = link.session().unwrap();
    assert_eq!(session.mechanism(), Some("PLAIN"));
    assert!(!session.is_resumable());
}
