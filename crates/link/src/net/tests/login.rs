//! Logging in, against servers that are not what they should be.

use tokio::sync::mpsc;

use super::*;

const BOTH: &[&str] = &["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];

const FAILURE: &str =
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/><text>no</text></failure>";

/// A server that offers these mechanisms and answers each `<auth/>` as told; what it heard comes out.
async fn sasl_server(
    authority: &Authority,
    offered: &'static [&'static str],
    answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> (Server, mpsc::UnboundedReceiver<String>) {
    login_server(authority, mechanisms(offered), answer).await
}

/// The same with all of the features.
async fn login_server(
    authority: &Authority,
    features: String,
    answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> (Server, mpsc::UnboundedReceiver<String>) {
    let tls = authority.server("example.org");
    let (heard, hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, heard, answer) = (tls.clone(), heard.clone(), answer.clone());
        let features = features.clone();
        async move {
            let mut script = Script::new(tcp).starttls(&tls).await;
            script.greet(&features).await;
            let mut all = String::new();
            loop {
                let mut buffer = [0; 4096];
                let read = script.io.read(&mut buffer).await.unwrap_or_default();
                if read == 0 {
                    break;
                }
                let text = std::str::from_utf8(&buffer[..read]).unwrap();
                all.push_str(text);
                script.say(&answer(text)).await;
            }
            let _ = heard.send(all);
        }
    })
    .await;
    (server, hears)
}

/// What the client's base64 says.
fn decoded(element: &str) -> String {
    let text = element
        .split_once('>')
        .unwrap()
        .1
        .split_once('<')
        .unwrap()
        .0;
    let bytes = base64::decode(text, base64::Whitespace::Refuse).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn encoded(text: &str) -> String {
    let mut out = Vec::new();
    base64::encode(text.as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
}

fn challenge(text: &str) -> String {
    format!(
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</challenge>",
        encoded(text)
    )
}

#[tokio::test]
async fn a_plain_only_server_never_sees_the_password() {
    let authority = Authority::new();
    let (server, mut heard) =
        sasl_server(&authority, &["PLAIN", "EXTERNAL"], |_| SUCCESS.to_owned()).await;
    let error = server.refused(&authority).await;
    assert!(
        matches!(&error, ConnectError::NoMechanism { offered, .. } if offered == "PLAIN, EXTERNAL")
    );
    let text = error.to_string();
    assert!(
        text.contains("PLAIN shows the server the password"),
        "{text}"
    );
    assert!(!text.contains("--"), "{text}");
    assert_eq!(heard.recv().await.unwrap(), "");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let authority = Authority::new();
    let (server, mut heard) = sasl_server(&authority, &["PLAIN", "SCRAM-SHA-1"], |_| {
        FAILURE.to_owned()
    })
    .await;
    let error = server.refused(&authority).await;
    assert_eq!(
        error.to_string(),
        "juliet@example.org could not log in: not-authorized (no)"
    );
    assert!(error.is_final());
    let heard = heard.recv().await.unwrap();
    assert_eq!(heard.matches("<auth ").count(), 1, "{heard}");
    assert!(heard.contains("mechanism='SCRAM-SHA-1'"));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_client_says_whether_it_could_have_bound() {
    let authority = Authority::new();
    let (server, mut heard) =
        sasl_server(&authority, &["SCRAM-SHA-256"], |_| FAILURE.to_owned()).await;
    server.refused(&authority).await;
    assert!(decoded(&heard.recv().await.unwrap()).starts_with("y,,n=juliet,r="));

    // A server that binds in its own ways only hears no promise, and is not guessed at.
    let (server, mut heard) = sasl_server(&authority, BOTH, |_| FAILURE.to_owned()).await;
    server.refused(&authority).await;
    let heard = heard.recv().await.unwrap();
    assert!(heard.contains("mechanism='SCRAM-SHA-256'"));
    assert!(decoded(&heard).starts_with("n,,n=juliet,r="));
}

#[tokio::test]
async fn what_fails_bound_is_not_tried_unbound() {
    let authority = Authority::new();
    let features = mechanisms_and_bindings(BOTH, &["tls-exporter"]);
    let (server, mut heard) = login_server(&authority, features, |_| FAILURE.to_owned()).await;
    let error = server.refused(&authority).await;
    assert!(error.is_final());
    let heard = heard.recv().await.unwrap();
    assert_eq!(heard.matches("<auth ").count(), 1, "{heard}");
    assert!(heard.contains("mechanism='SCRAM-SHA-256-PLUS'"));
    assert!(decoded(&heard).starts_with("p=tls-exporter,,n=juliet,r="));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_an_impostor() {
    let authority = Authority::new();
    for proof in ["", "v=AAAA", "e=other-error"] {
        let answer = move |text: &str| {
            if text.starts_with("<auth ") {
                let first = decoded(text);
                let nonce = first.rsplit_once("r=").unwrap().1;
                return challenge(&format!("r={nonce}more,s=c2FsdA==,i=4096"));
            }
            SUCCESS.replace("/>", &format!(">{}</success>", encoded(proof)))
        };
        let (server, _heard) = sasl_server(&authority, &["SCRAM-SHA-256"], answer).await;
        let error = server.refused(&authority).await;
        assert!(matches!(error, ConnectError::Impostor { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn success_before_any_proof_is_an_impostor() {
    let authority = Authority::new();
    let (server, _heard) =
        sasl_server(&authority, &["SCRAM-SHA-256"], |_| SUCCESS.to_owned()).await;
    let error = server.refused(&authority).await;
    assert!(matches!(error, ConnectError::Impostor { .. }), "{error:?}");
}

#[tokio::test]
async fn a_challenge_that_asks_for_endless_work_is_refused() {
    let authority = Authority::new();
    let answer = |text: &str| {
        let first = decoded(text);
        let nonce = first.rsplit_once("r=").unwrap().1;
        challenge(&format!("r={nonce}more,s=c2FsdA==,i=4294967295"))
    };
    let (server, _heard) = sasl_server(&authority, &["SCRAM-SHA-256"], answer).await;
    let error = server.refused(&authority).await;
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn endless_challenges_are_refused() {
    let authority = Authority::new();
    let (server, _heard) = sasl_server(&authority, &["PLAIN"], |_| challenge("more")).await;
    let error = connect(server.options(&authority).allow_plain(true))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn an_account_without_a_local_part_is_refused_before_any_connection() {
    let authority = Authority::new();
    let server = Server::start(|tcp, _| async move { drop(tcp) }).await;
    let account = normalise("example.org").unwrap();
    let options =
        Options::new(&account, Zeroizing::new(String::new())).server("127.0.0.1", server.port);
    let error = connect(options.ca_file(authority.file.path()))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        ConnectError::NoLocalPart {
            account: "example.org".to_owned()
        }
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_server_that_offers_no_resource_is_refused() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, _| {
        let tls = tls.clone();
        async move {
            let script = Script::new(tcp).logged_in(&tls, "<stream:features/>").await;
            script.rest().await;
        }
    })
    .await;
    let error = connect(server.options(&authority).allow_plain(true))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn options_do_not_show_the_password() {
    let account = normalise("juliet@example.org/x").unwrap();
    let options = Options::new(&account, Zeroizing::new("pencil".to_owned()));
    assert!(!format!("{options:?}").contains("pencil"));
}
