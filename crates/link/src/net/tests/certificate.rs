//! Logging in by a certificate of one's own.

use tokio::sync::mpsc;

use super::*;

/// A file with the key in PEM.
fn key_file(key: &KeyPair) -> tempfile::NamedTempFile {
    labelled("PRIVATE KEY", &key.serialize_der())
}

/// A server that asks for a certificate, and offers EXTERNAL to those who have one; what it saw in the handshake comes out, and then the
/// log-in.
async fn server(authority: &Authority) -> (Server, mpsc::UnboundedReceiver<String>) {
    let tls = authority.server_that_asks("example.org");
    let (heard, hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, heard) = (tls.clone(), heard.clone());
        async move {
            let mut script = Script::new(tcp).starttls(&tls).await;
            let presented = script.io.get_ref().1.peer_certificates();
            let presented = presented.map_or(0, <[_]>::len);
            heard.send(format!("{presented} presented")).unwrap();
            script
                .greet(&mechanisms(&["EXTERNAL", "SCRAM-SHA-1"]))
                .await;
            heard.send(script.rest().await).unwrap();
        }
    })
    .await;
    (server, hears)
}

#[tokio::test]
async fn files_that_are_no_certificate_and_no_key_are_named_before_anything_is_said() {
    let authority = Authority::new();
    let (server, _hears) = server(&authority).await;
    let (certificate, key) = authority.certificate("juliet.example.org");
    let (_, other) = authority.certificate("romeo.example.org");
    let good = pem_file(&certificate);
    let (good_key, other_key) = (key_file(&key), key_file(&other));
    let empty = tempfile::NamedTempFile::new().unwrap();
    let missing = empty.path().with_extension("missing");
    for (certificates, key, named, why) in [
        (
            missing.as_path(),
            good_key.path(),
            missing.as_path(),
            "No such file",
        ),
        (
            empty.path(),
            good_key.path(),
            empty.path(),
            "there is no PEM certificate in it",
        ),
        (good.path(), empty.path(), empty.path(), "no items found"),
        (
            good.path(),
            other_key.path(),
            other_key.path(),
            "keys may not be consistent",
        ),
    ] {
        let options = server
            .options(&authority)
            .client_certificate(certificates, key);
        let error = connect(options).await.unwrap_err();
        let ConnectError::OwnCertificate(cause) = &error else {
            panic!("{error:?}")
        };
        let cause = cause.to_string();
        assert!(cause.starts_with(&named.display().to_string()), "{cause}");
        assert!(cause.contains(why), "{cause}");
        assert!(error.is_final());
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_certificate_logs_in_where_the_server_offers_it() {
    let authority = Authority::new();
    let (server, mut hears) = server(&authority).await;
    let (certificate, key) = authority.certificate("juliet.example.org");
    let (file, key) = (pem_file(&certificate), key_file(&key));
    let options = server
        .options(&authority)
        .timeout(Duration::from_millis(500))
        .client_certificate(file.path(), key.path());
    let connecting = tokio::spawn(connect(options));
    assert_eq!(hears.recv().await.unwrap(), "1 presented");
    connecting.await.unwrap().unwrap_err();
    let said = hears.recv().await.unwrap();
    let mut name = Vec::new();
    base64::encode(b"juliet@example.org", &mut name);
    let name = String::from_utf8(name).unwrap();
    assert!(said.contains("mechanism='EXTERNAL'"), "{said}");
    assert!(said.contains(&name), "{said}");
}

#[tokio::test]
async fn without_one_nothing_is_presented_and_the_password_logs_in() {
    let authority = Authority::new();
    let (server, mut hears) = server(&authority).await;
    let options = server
        .options(&authority)
        .timeout(Duration::from_millis(500));
    connect(options).await.unwrap_err();
    assert_eq!(hears.recv().await.unwrap(), "0 presented");
    let said = hears.recv().await.unwrap();
    assert!(said.contains("mechanism='SCRAM-SHA-1'"), "{said}");
}
